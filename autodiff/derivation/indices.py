"""A formula element by element: ∂loss/∂W = δᵀ x as ∂loss/∂W_ij = Σ_s δ_si x_sj."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from autodiff.derivation.notation import (
    BigSum,
    Call,
    Element,
    Expr,
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
    evaluate,
)
from autodiff.derivation.paper import (
    ONE,
    ONES,
    add,
    fraction,
    hadamard,
    minus,
    scaled,
)

SPARE = ("k", "l", "p", "q", "r", "t")


class Indices:
    """Writes elements of expressions.

    Parameters
    ----------
    values : mapping
        What symbols stand for: their shapes decide.
    samples : int or None
        How many samples: what is summed over so many is summed over s.
    """

    def __init__(self, values: Mapping[Hashable, Any], samples: int | None) -> None:
        self.values = values
        self.samples = samples
        self.used: set[str] = set()

    def shape(self, x: Expr) -> tuple[int, ...]:
        """The shape of what an expression is worth."""
        return np.shape(evaluate(x, self.values))

    def letters(self, shape: tuple[int, ...], names: str = "ij") -> tuple[str, ...]:
        """Letters for the axes; none for an axis of length one."""
        free = iter([*names, *(c for c in SPARE if c not in names)])
        found = tuple("" if n == 1 else letter for n, letter in zip(shape, free))
        self.used |= set(found)
        return found

    def fresh(self, n: int) -> str:
        """A letter to sum over n values."""
        if n == 1:
            return ""
        letter = "s" if n == self.samples and "s" not in self.used else next(c for c in SPARE if c not in self.used)
        self.used.add(letter)
        return letter

    def of(self, x: Expr, at: tuple[str, ...]) -> Expr | None:
        """The element of x at these letters; None where that has no plain form."""
        match x:
            case Number():
                return x
            case Symbol():
                return ONE if x.base == ONES.base else Element(x, tuple(a for a in at if a)) if any(at) else x
            case Neg(body):
                y = self.of(body, at)
                return None if y is None else minus(y)
            case Transpose(body):
                return self.of(body, at[::-1])
            case Sum(terms):
                ys = []
                for term in terms:
                    before = set(self.used)
                    ys.append(self.fitting(term, at))
                    self.used = before
                return None if any(y is None for y in ys) else add(*ys)                     # type: ignore[arg-type]
            case Hadamard(factors):
                ys = [self.fitting(f, at) for f in factors]
                return None if any(y is None for y in ys) else hadamard_of_numbers(ys)
            case Fraction(top, bottom):
                a, b = self.fitting(top, at), self.fitting(bottom, at)
                return None if a is None or b is None else fraction(a, b)
            case Power(base, exponent):
                a = self.fitting(base, at)
                return None if a is None else Power(a, exponent)
            case Call(elementwise=True):
                ys = [self.fitting(a, at) for a in x.args]
                return None if any(y is None for y in ys) else Call(x.name, tuple(ys), primes=x.primes)   # type: ignore[arg-type]
            case Product(factors, "scalar"):
                ys = [self.fitting(f, at) for f in factors]
                return None if any(y is None for y in ys) else hadamard_of_numbers(ys)
            case Product((a, b), "outer"):
                return self.product([a, b], at, [(at[0],), (at[1],)])
            case Product(factors, "matrix"):
                return self.matrix(factors, at)
            case Shown(body, _, "column") if len(at) == 2:
                return self.of(body, at[:1])
            case Shown(body, _, "row") if len(at) == 2:
                return self.of(body, at[1:])
            case Shown(body, _, "spread"):
                return self.fitting(body, at)
            case Shown(body) if x.role != "worth":
                return self.of(body, at) if self.shape(body) == self.shape(x) else self.reshaped(body, x, at)
            case BigSum("s", body):
                return self.summed(body, at)
        return None

    def reshaped(self, body: Expr, x: Expr, at: tuple[str, ...]) -> Expr | None:
        """An element where only axes of length one came or went."""
        before, now = self.shape(body), self.shape(x)
        if [n for n in before if n > 1] != [n for n in now if n > 1]:
            return None
        letters = iter(a for a in at if a)
        return self.of(body, tuple("" if n == 1 else next(letters, "") for n in before))

    def summed(self, body: Expr, at: tuple[str, ...]) -> Expr | None:
        """Σ_s over the leading axis."""
        shape = self.shape(body)
        if len(shape) != len(at) + 1:
            return None
        letter = self.fresh(shape[0])
        y = self.of(body, (letter, *at))
        return None if y is None else BigSum(letter, y) if letter else y

    def fitting(self, x: Expr, at: tuple[str, ...]) -> Expr | None:
        """The element of a part that is broadcast."""
        shape = self.shape(x)
        last = at[len(at) - len(shape):] if len(shape) <= len(at) else at
        return self.of(x, tuple("" if n == 1 else a for n, a in zip(shape, last)))

    def matrix(self, factors: tuple[Expr, ...], at: tuple[str, ...]) -> Expr | None:
        """Σ_k A_ik B_kj."""
        shapes = [self.shape(f) for f in factors]
        if any(len(s) > 2 for s in shapes) or any(len(s) < 2 for s in shapes[1:-1]):
            return None
        first, last = len(shapes[0]) == 2, len(shapes[-1]) == 2
        inner = [self.fresh(s[-1]) for s in shapes[:-1]]
        start: tuple[str, ...] = (at[0],) if first and at else ()
        end: tuple[str, ...] = (at[-1],) if last and at else ()
        places = [(*(start if n == 0 else (inner[n - 1],)), *(end if n == len(factors) - 1 else (inner[n],)))
                  for n in range(len(factors))]
        y = self.product(list(factors), at, places)
        for letter in reversed(inner):
            y = BigSum(letter, y) if letter and y is not None else y
        return y

    def product(self, factors: list[Expr], at: tuple[str, ...], places: list[tuple[str, ...]]) -> Expr | None:
        """Elements side by side."""
        ys = [self.of(f, place) for f, place in zip(factors, places)]
        return None if any(y is None for y in ys) else hadamard_of_numbers(ys)


def hadamard_of_numbers(factors: list[Any]) -> Expr:
    """Numbers multiplied, side by side."""
    y = hadamard(*factors)
    if isinstance(y, Hadamard):
        return Product(y.factors)
    return minus(Product(y.body.factors)) if isinstance(y, Neg) and isinstance(y.body, Hadamard) else y


def index_form(x: Expr, shape: tuple[int, ...], values: Mapping[Hashable, Any], samples: int | None) \
        -> tuple[tuple[str, ...], Expr] | None:
    """The letters of an element of the result and what it is; None where there is no plain form."""
    if len(shape) > 2:
        return None
    indices = Indices(values, samples)
    at = indices.letters(shape)
    y = indices.of(x, at)
    return None if y is None else (tuple(a for a in at if a), scaled(ONE, y))
