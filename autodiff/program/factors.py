"""Products in one line: a constant, what it multiplies, what divides it.

A chain of multiplications, divisions and signs is taken apart into its factors and written anew, as
``-c * x * y / z / n``, with the constants multiplied out: as a fraction where that is how they came about.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from autodiff.ops import arithmetic as a
from autodiff.ops import elementary as e
from autodiff.ops import shapes
from autodiff.program.passes import (
    LARGEST,
    Operand,
    Program,
    computed,
    dtype_of,
    fills,
    full,
    is_number,
    shape_of,
    tidy,
)
from autodiff.record import Record

CHAIN = (a.multiply, a.divide, a.negative)
DEEP = 16                         # operations in one product
PARTS = 64                        # 1/64 and what is made of it is a fraction; 0.1 is a number
SHORT, MOST = 9, 10**5            # and so is a number of more digits that a fraction of so large a divisor gives


@dataclass
class Product:
    """A constant times factors by divisors: the constant as a fraction, and what is no fraction apart."""

    ratio: Fraction = Fraction(1)
    times: float = 1.0
    over: float = 1.0
    factors: list[Record] = field(default_factory=list)
    divisors: list[Record] = field(default_factory=list)

    def constant(self, x: Any, divides: bool) -> bool:
        """Take in a number, unless that is impossible."""
        if not math.isfinite(x) or x == 0:
            return False
        whole = as_fraction(x)
        if whole is not None:
            self.ratio = self.ratio / whole if divides else self.ratio * whole
        elif divides:
            self.over *= float(x)
        else:
            self.times *= float(x)
        return True


def as_fraction(x: Any) -> Fraction | None:
    """A number as a fraction, if that is how it came about: 12.0, 0.5, 0.08333333333333333, but not 0.1."""
    if isinstance(x, Fraction):
        return x
    if abs(x) < LARGEST and float(x * PARTS).is_integer():
        return Fraction(int(x * PARTS), PARTS)
    if len(repr(float(x))) > SHORT:
        near = Fraction(float(x)).limit_denominator(MOST)
        if near and float(near) == x:
            return near
    return None


def product(r: Record, state: Program) -> Operand | None:
    """The record of a product written anew; None where it is written so already, or cannot be."""
    if r.value.dtype.kind != "f":
        return None
    if any(map(is_zero, r.inputs[:1] if r.op is a.divide else r.inputs)):
        return fills(0, r)
    found = Product()
    if not collect(r, False, found, state, shape_of(r)):
        return None
    result = written(found, r)
    return None if result is None or alike(result, r) else result


def is_zero(x: Operand) -> bool:
    """Whether an operand is 0, or an array made of nothing else."""
    number = full(x) if isinstance(x, Record) else x
    return is_number(number) and number == 0


def collect(x: Operand, divides: bool, found: Product, state: Program, shape: tuple[int, ...],
            depth: int = 0) -> bool:
    """Take an operand into a product, apart if it is one itself; False if that is impossible."""
    number = full(x) if isinstance(x, Record) else x
    if is_number(number):
        return found.constant(number, divides)
    if not isinstance(x, Record):
        return False
    if x.op in CHAIN and (not depth or (state.single(x) and shape_of(x) in (shape, ()) and depth < DEEP)):
        if x.op is a.negative:
            found.ratio = -found.ratio
            return collect(x.inputs[0], divides, found, state, shape, depth + 1)
        left, right = x.inputs
        return collect(left, divides, found, state, shape, depth + 1) and \
            collect(right, divides != (x.op is a.divide), found, state, shape, depth + 1)
    (found.divisors if divides else found.factors).append(x)
    return True


def written(found: Product, r: Record) -> Operand | None:
    """The product as records; None if its dtype would change."""
    n, d = found.ratio.numerator, found.ratio.denominator
    number = tidy(n * found.times)
    negative, number = number < 0, abs(number)
    if not found.factors and not found.divisors:
        plain = found.times == found.over == 1
        return fills(tidy(found.ratio if plain else float(found.ratio) * found.times / found.over), r)
    if dtype_of([1.0, *found.factors, *found.divisors]) != r.value.dtype:
        return None
    found.factors = sorted(without_conjugates(found.factors), key=lambda x: bool(x.value.dtype.kind in "bu"))
    if found.factors and found.factors[0].value.dtype.kind in "bu" and (negative or number != 1):
        number, negative = float(-number if negative else number), False               # truth values have no sign
    y: Any = None if number == 1 and found.factors else number
    for x in found.factors:
        y = x if y is None else computed(a.multiply, y, x)
    for z in (*found.divisors, *(tidy(k) for k in (found.over, d) if k != 1)):
        y = computed(a.divide, y, z)
    if negative:
        y = computed(a.negative, y)
    if y.value.dtype != r.value.dtype:
        y = computed(e.cast, y, dtype=r.value.dtype)
    return y if shape_of(y) == shape_of(r) else computed(shapes.broadcast_to, y, value=r.value, shape=shape_of(r))


def without_conjugates(factors: list[Record]) -> list[Record]:
    """(1 + y) (1 - y) as 1 - y²."""
    for plus in factors:
        for minus in factors:
            if plus.op is a.add and minus.op is a.subtract \
                    and is_one(plus.inputs[0]) and is_one(minus.inputs[0]) and plus.inputs[1] is minus.inputs[1]:
                y = plus.inputs[1]
                merged = computed(a.subtract, 1, computed(a.square, y))
                return [merged if x is plus else x for x in factors if x is not minus]
    return factors


def is_one(x: Operand) -> bool:
    """Whether an operand is the number 1."""
    return is_number(x) and bool(x == 1)


def alike(x: Operand, y: Operand) -> bool:
    """Whether two products are written the same way."""
    if x is y:
        return True
    if isinstance(x, Record) and isinstance(y, Record):
        return x.op in CHAIN and x.op is y.op and all(map(alike, x.inputs, y.inputs))
    return is_number(x) and is_number(y) and bool(np.equal(x, y))
