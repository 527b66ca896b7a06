"""Expressions put together as a person writes them: no factor 1, no double minus, numbers in front, (A B)ᵀ as Bᵀ Aᵀ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.derivation.notation import (
    BigSum,
    Expr,
    Fenced,
    Fraction,
    Hadamard,
    Neg,
    Number,
    Power,
    Product,
    Shown,
    Sum,
    Symbol,
    Transpose,
)

ONE, ZERO = Number(1), Number(0)
IDENTITY = Symbol("I")
ONES = Symbol("𝟏")


def bare(x: Expr) -> Expr:
    """Without what is only worth something else, where broadcasting makes up for it."""
    while isinstance(x, Shown) and x.role == "spread":
        x = x.body
    return x


def is_one(x: Expr) -> bool:
    """Whether it is the number 1."""
    x = bare(x)
    return isinstance(x, Number) and np.ndim(x.value) == 0 and bool(x.value == 1)


def add(*terms: Expr) -> Expr:
    """A sum, flat; a sum of one is that one."""
    flat: list[Expr] = []
    for term in map(bare, terms):
        if isinstance(term, Sum):
            flat += term.terms
        elif term != ZERO:
            flat.append(Neg(minus(term)) if is_below_zero(term) else term)
    if not flat:
        return ZERO
    if len(flat) == 1:
        return flat[0]
    if isinstance(flat[0], Neg) and (positive := [t for t in flat if not isinstance(t, Neg)]):
        flat.remove(positive[0])
        flat.insert(0, positive[0])
    split = [split_front(term.body if isinstance(term, Neg) else term) for term in flat]
    front = split[0][0]
    if not is_scalar(front) and all(f == front for f, _ in split):
        return in_front(front, add(*(minus(y) if isinstance(t, Neg) else y for t, (_, y) in zip(flat, split))))
    return Sum(tuple(flat))


def split_front(x: Expr) -> tuple[Expr, Expr]:
    """The numbers in front of a term, and the rest: 2 v/m as 2/m and v."""
    match x:
        case Product(factors, "scalar"):
            front: Expr = ONE
            for f in factors[:-1]:
                front = scaled(front, f)
            return front, factors[-1]
        case Fraction(top, bottom) if not is_scalar(top):
            above, t = split_front(top)
            below, b = (bottom, ONE) if is_scalar(bottom) else split_front(bottom)
            return fraction(above, below), fraction(t, b)
        case Hadamard((first, *others)):
            front, rest = split_front(first)
            return front, hadamard(rest, *others)
    return ONE, x


def minus(x: Expr) -> Expr:
    """-x; of -x it is x, of a - b it is b - a."""
    x = x if isinstance(x, Shown) and is_one(x) else bare(x)
    if isinstance(x, Neg):
        return x.body
    if isinstance(x, Number) and np.ndim(x.value) == 0 and not np.iscomplexobj(x.value):
        return Number(-x.value)
    if isinstance(x, Sum) and sum(isinstance(term, Neg) for term in x.terms) * 2 >= len(x.terms):
        turned = [term.body if isinstance(term, Neg) else Neg(term) for term in x.terms]
        return Sum(tuple(sorted(turned, key=lambda term: isinstance(term, Neg))))
    return Neg(x)


def subtract(a: Expr, b: Expr) -> Expr:
    """A difference."""
    b = bare(b)
    if isinstance(b, Sum):
        return add(a, Neg(b))
    return add(a, minus(b))


def is_below_zero(x: Expr) -> bool:
    """Whether it is a negative number."""
    return isinstance(x, Number) and np.ndim(x.value) == 0 and not np.iscomplexobj(x.value) and bool(x.value < 0)


def pulled(factors: tuple[Expr, ...]) -> tuple[bool, list[Expr]]:
    """Whether the product is negative, and the factors without their signs and without ones."""
    negative, kept = False, []
    for x in factors:
        if isinstance(bare(x), Neg):
            negative, x = not negative, bare(x).parts[0]
        elif is_below_zero(x):
            negative, x = not negative, minus(x)
        kept.append(x)
    return negative, kept


def hadamard(*factors: Expr) -> Expr:
    """A product element by element: flat, its sign in front, without ones."""
    numbers = [x for x in factors if is_number(x)]
    negative, kept = pulled(tuple(bare(x) for x in factors if not is_number(x)))
    flat: list[Expr] = []
    below: list[Expr] = []
    for x in kept:
        if isinstance(x, Product) and x.kind == "scalar":
            numbers += x.factors[:-1]
            x = x.factors[-1]
        if isinstance(x, Fraction) and (is_scalar(x.top) or is_scalar(x.bottom)) and len(kept) > 1:
            below.append(x.bottom)
            x = x.top
            if is_scalar(x):
                numbers.append(x)
                continue
        flat += x.factors if isinstance(x, Hadamard) else [] if is_one(x) else [x]
    y: Expr = ONE if not flat else flat[0] if len(flat) == 1 else Hadamard(tuple(flat))
    for divisor in below:
        if is_scalar(divisor):
            numbers.append(Fraction(ONE, divisor))
        else:
            y = fraction(y, divisor)
    for number in reversed(numbers):
        y = in_front(number, y)
    return minus(y) if negative else y


def in_front(number: Expr, y: Expr) -> Expr:
    """A number times a product element by element: it goes to the first factor."""
    if not isinstance(y, Hadamard):
        return scaled(number, y)
    negative, (first,) = pulled((scaled(number, y.factors[0]),))
    z = Hadamard((first, *y.factors[1:]))
    return minus(z) if negative else z


def is_scalar(x: Expr) -> bool:
    """Whether something is a single number by its looks: a number, or m."""
    if isinstance(x, Fenced | Shown) and x.role in ("root", "worth"):
        return is_scalar(x.body)
    return isinstance(x, Number) or (isinstance(x, Symbol) and x.base == "m" and not x.sub)


def is_number(x: Expr) -> bool:
    """Whether something is a number spread over an array, so that it goes in front."""
    return isinstance(x, Number) or (isinstance(x, Shown) and x.role == "spread" and (
        isinstance(x.body, Number) or getattr(x.call, "keywords", {}).get("scalar") is True))


def scaled(factor: Expr, x: Expr) -> Expr:
    """A number times something, the number in front; (1/m) x as x/m, 2 (3 x) as 6 x."""
    negative, (factor, x) = pulled((bare(factor), bare(x)))
    fronts = [f for part in (factor, x) for f in (part.factors if isinstance(part, Product) and part.kind == "scalar"
                                                  else (part,))]
    value, below, rest = 1, [], []
    divisors: list[Expr] = []
    for f in fronts:
        if isinstance(f, Fraction) and isinstance(f.top, Number) and not is_scalar(f.bottom) and len(fronts) > 1:
            divisors.append(f.bottom)
            f = f.top
        if isinstance(f, Fraction) and is_scalar(f.bottom) and (is_scalar(f.top) or len(fronts) == 2):
            below.append(f.bottom)
            f = f.top
        if isinstance(f, Number) and np.ndim(f.value) == 0:
            value *= f.value
        else:
            rest.append(f)
    negative, number = negative != bool(np.real(value) < 0), Number(-value if np.real(value) < 0 else value)
    bottom = below[0] if below else ONE
    for divisor in below[1:]:
        bottom = Product((bottom, divisor))
    y: Expr
    if not rest:
        y = fraction(number, bottom)
    elif len(rest) == 1 and isinstance(rest[0], Fraction):
        y = Fraction(scaled(number, rest[0].top), scaled(bottom, rest[0].bottom))
    elif len(rest) == 1 and isinstance(rest[0], Hadamard):
        y = rest[0] if is_one(number) and not below else in_front(fraction(number, bottom), rest[0])
    elif isinstance(rest[-1], BigSum | Fraction | Hadamard):
        front = fraction(number, bottom)
        y = side_by_side(rest if is_one(front) else [front, *rest])
    else:
        top = side_by_side(rest if is_one(number) else [number, *rest])
        y = fraction(top, bottom) if below else top
    for divisor in divisors:
        y = fraction(y, divisor)
    return minus(y) if negative else y


def side_by_side(factors: list[Expr]) -> Expr:
    """A product as it is; of one factor that factor."""
    return factors[0] if len(factors) == 1 else Product(tuple(factors))


def fraction(top: Expr, bottom: Expr) -> Expr:
    """A quotient, its sign in front; x/1 is x, (x/a)/b is x/(a b), and numbers stay in front of (x/y)."""
    negative, (top, bottom) = pulled((bare(top), bare(bottom)))
    y: Expr
    if is_one(bottom):
        y = top
    elif isinstance(top, Fraction):
        y = Fraction(top.top, below_both(top.bottom, bottom))
    elif isinstance(top, Number) and isinstance(bottom, Number) and float(top.value / bottom.value).is_integer():
        y = Number(top.value / bottom.value)
    else:
        y = Fraction(top, bottom)
    return minus(y) if negative else y


def below_both(a: Expr, b: Expr) -> Expr:
    """What (x/a)/b has below: a b, where that is √v √v it is v."""
    if is_scalar(a) or is_scalar(b):
        return scaled(a, b) if is_scalar(a) else scaled(b, a)
    if a == b:
        return a.body if isinstance(a, Fenced) and a.role == "root" else Power(a, Number(2))
    return hadamard(a, b)


def transposed(x: Expr) -> Expr:
    """Its transpose, with the signs ᵀ at the letters."""
    match x:
        case Transpose(body):
            return body
        case Product(factors, "matrix" | "outer" as kind):
            return Product(tuple(transposed(f) for f in reversed(factors)), kind)
        case Neg(body):
            return Neg(transposed(body))
        case Fraction(top, bottom) if is_scalar(bottom):
            return Fraction(transposed(top), bottom)
        case Product(factors, "scalar"):
            return Product((*factors[:-1], transposed(factors[-1])))
        case Number():
            return x
    return Transpose(x)


def matrix_product(a: Expr, b: Expr, flat: bool = True) -> Expr:
    """A matrix product: flat (unless b is the product of a vector with a matrix), its sign and numbers in front."""
    negative, (a, b) = pulled((a, b))
    numbers: list[Expr] = []
    factors: list[Expr] = []
    below: list[Expr] = []
    for x, open_ in ((a, True), (b, flat)):
        if isinstance(x, Fraction) and is_scalar(x.bottom):
            below.append(x.bottom)
            x = x.top
        if isinstance(x, Product) and x.kind == "scalar":
            numbers += x.factors[:-1]
            x = x.factors[-1]
        factors += x.factors if open_ and isinstance(x, Product) and x.kind == "matrix" else [x]
    y: Expr = Product(tuple(factors), "matrix")
    for divisor in below:
        y = fraction(y, divisor)
    for number in reversed(numbers):
        y = scaled(number, y)
    return minus(y) if negative else y


def total(x: Expr, index: str, call: Callable[..., Any]) -> Expr:
    """Σ x, its sign in front."""
    match x:
        case Neg(body):
            return minus(total(body, index, call))
    front, rest = split_front(x)
    if front != ONE and not is_scalar(rest):
        return scaled(front, total(rest, index, call))
    return BigSum(index, x, call)
