"""The one expression tree of a derivation: what is written, and what it is worth.

Three writers typeset it (`text`, `latex`, `mathml`); `evaluate` works it out in numbers, so that what is printed
is what is checked. It is put together by the constructors in `paper`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, ClassVar

import numpy as np


class Expr:
    """Anything that can be written in a formula."""

    holds: ClassVar[tuple[str, ...]] = ()         # the attributes that are expressions, or several of them

    @property
    def parts(self) -> tuple[Expr, ...]:
        """The expressions it is made of."""
        found: list[Expr] = []
        for name in self.holds:
            value = getattr(self, name)
            found += value if isinstance(value, tuple) else (value,)
        return tuple(found)


@dataclass(frozen=True)
class Symbol(Expr):
    """A letter or a word, with subscripts, a hat, a bar or a tilde, primes.

    `key` says whose value it stands for; a symbol without one is only written.
    """

    base: str
    sub: tuple[str | Symbol, ...] = ()
    accent: str = ""
    key: Hashable = field(default=None, compare=False)

    @property
    def is_word(self) -> bool:
        """Whether it is more than one letter, so that it is set upright."""
        return len(self.base) > 1


@dataclass(frozen=True)
class Number(Expr):
    """A number."""

    value: Any


@dataclass(frozen=True)
class Matrix(Expr):
    """Numbers in rows and columns."""

    value: Any = field(compare=False)


@dataclass(frozen=True)
class Words(Expr):
    """Plain words within a formula."""

    text: str


@dataclass(frozen=True)
class Shown(Expr):
    """Written as its body, but worth `call(body's value)`: a reshape, a broadcast, what was computed by plain NumPy."""

    body: Expr
    call: Callable[[Any], Any] | None = field(default=None, compare=False)
    role: str = ""

    holds = ("body",)


@dataclass(frozen=True)
class Neg(Expr):
    """Minus something."""

    body: Expr

    holds = ("body",)


@dataclass(frozen=True)
class Sum(Expr):
    """Terms added up; a `Neg` is subtracted."""

    terms: tuple[Expr, ...]

    holds = ("terms",)


@dataclass(frozen=True)
class Product(Expr):
    """Factors side by side. `kind`: "scalar" (numbers times anything), "matrix", "outer" (of two vectors), "chain"."""

    factors: tuple[Expr, ...]
    kind: str = "scalar"

    holds = ("factors",)


@dataclass(frozen=True)
class Hadamard(Expr):
    """Factors multiplied element by element, ⊙."""

    factors: tuple[Expr, ...]

    holds = ("factors",)


@dataclass(frozen=True)
class Fraction(Expr):
    """A quotient, element by element."""

    top: Expr
    bottom: Expr

    holds = ("top", "bottom")


@dataclass(frozen=True)
class Power(Expr):
    """A power, element by element."""

    base: Expr
    exponent: Expr

    holds = ("base", "exponent")


@dataclass(frozen=True)
class Transpose(Expr):
    """The last two axes exchanged; a vector stays as it is."""

    body: Expr

    holds = ("body",)


@dataclass(frozen=True)
class Call(Expr):
    """A function of arguments, σ(z), σ′(z); `note` is what else it was told, such as an axis."""

    name: Expr
    args: tuple[Expr, ...]
    call: Callable[..., Any] | None = field(default=None, compare=False)
    primes: int = 0
    note: str = ""
    elementwise: bool = False

    holds = ("args",)


@dataclass(frozen=True)
class Fenced(Expr):
    """With signs around: |x| (role "abs"), ‖x‖ ("norm"), √x ("root"), X⁻¹ ("inverse")."""

    role: str
    body: Expr
    call: Callable[..., Any] | None = field(default=None, compare=False)

    holds = ("body",)


@dataclass(frozen=True)
class BigSum(Expr):
    """Σ over an index (or over everything, ""): `call` adds up."""

    index: str
    body: Expr
    call: Callable[..., Any] | None = field(default=None, compare=False)
    sign: str = "Σ"

    holds = ("body",)


@dataclass(frozen=True)
class Element(Expr):
    """An element or a part of something: [W₁]ᵢⱼ, x[2:5]."""

    body: Expr
    indices: tuple[str, ...]
    call: Callable[..., Any] | None = field(default=None, compare=False)

    holds = ("body",)


@dataclass(frozen=True)
class Infix(Expr):
    """Two sides with a sign between them; what has a value, such as x > 0, is the indicator 1[x > 0]."""

    sign: str
    left: Expr
    right: Expr
    call: Callable[..., Any] | None = field(default=None, compare=False)

    holds = ("left", "right")


@dataclass(frozen=True)
class Partial(Expr):
    """∂top/∂bottom."""

    top: Expr
    bottom: Expr

    holds = ("top", "bottom")


# ---- worked out

def evaluate(x: Expr, values: Mapping[Hashable, Any]) -> Any:
    """What an expression is worth, given what its symbols stand for."""
    if isinstance(x, Shown) and x.role == "worth":
        return x.call(None) if x.call else None
    inner = [evaluate(part, values) for part in x.parts]
    match x:
        case Symbol():
            return values[x.key]
        case Number(value) | Matrix(value):
            return value
        case Shown(_, call):
            return inner[0] if call is None else call(inner[0])
        case Neg():
            return -inner[0]
        case Sum():
            return reduce(np.add, inner)
        case Product(kind="matrix"):
            return reduce(np.matmul, inner)
        case Product(kind="outer"):
            return np.multiply.outer(*inner)
        case Product() | Hadamard():
            return reduce(np.multiply, inner)
        case Fraction():
            return np.true_divide(*inner)
        case Power():
            return inner[0] ** inner[1]
        case Transpose():
            return np.swapaxes(inner[0], -1, -2) if np.ndim(inner[0]) > 1 else inner[0]
    call = getattr(x, "call", None)
    if call is None:
        raise TypeError(f"{type(x).__name__} is only written, it has no value")
    return call(*inner)


def contains(x: Expr, symbol: Symbol) -> bool:
    """Whether a symbol occurs in an expression."""
    return x == symbol or any(contains(part, symbol) for part in x.parts)


def size(x: Expr) -> int:
    """How much there is to write."""
    return 1 + sum(size(part) for part in x.parts)
