"""What the three writers share: which part of a formula needs parentheses, and what a document is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.derivation.notation import (
    BigSum,
    Call,
    Element,
    Expr,
    Fenced,
    Fraction,
    Hadamard,
    Infix,
    Matrix,
    Neg,
    Number,
    Partial,
    Power,
    Product,
    Shown,
    Sum,
    Symbol,
    Transpose,
    Words,
)

# How tightly each binds: what binds less than its place asks for stands in parentheses.
RELATION, SUM, MINUS, ELEMENTS, PRODUCT, RAISED, ATOM = range(7)


# ---- a document

@dataclass(frozen=True)
class Title:
    """A heading."""

    text: str


Inline = str | Expr


@dataclass(frozen=True)
class Paragraph:
    """Words and formulas."""

    parts: tuple[Inline, ...]


@dataclass(frozen=True)
class Line:
    """An equation, with remarks beside it."""

    left: Expr
    right: Expr
    remarks: tuple[Inline, ...] = ()
    more: tuple[Expr, ...] = ()                # = more = more
    sign: str = "="


@dataclass(frozen=True)
class Lines:
    """Equations under each other."""

    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Grid:
    """A table of words; all columns but the first are numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block = Title | Paragraph | Lines | Grid


def paragraph(*parts: Inline) -> Paragraph:
    """Words and formulas, one after the other."""
    return Paragraph(parts)


# ---- formulas

class Writer:
    """Writes expressions; a subclass says how each sign looks."""

    flat_fractions = True           # a/b on one line, which needs more parentheses

    def formula(self, x: Expr) -> str:
        """An expression as text of this kind."""
        return self.write(x, RELATION)

    def write(self, x: Expr, level: int) -> str:
        """An expression where at least this tightness is asked for."""
        text, own = self.rendered(x)
        return text if own >= level else self.parentheses(text)

    def rendered(self, x: Expr) -> tuple[str, int]:
        """An expression, and how tightly it binds."""
        match x:
            case Shown(body):
                return self.rendered(body)
            case Symbol():
                return self.symbol(x), ATOM
            case Number(value):
                return self.number(value), MINUS if negative(value) else ATOM
            case Matrix(value):
                return (self.matrix(np.asarray(value)), ATOM) if np.ndim(value) else \
                    (self.number(value), MINUS if negative(value) else ATOM)
            case Words(text):
                return self.words(text), ATOM
            case Neg(body):
                return self.row([self.sign("−", unary=True), self.write(body, ELEMENTS)]), MINUS
            case Sum(terms):
                return self.sum(terms), SUM
            case Hadamard(factors):
                return self.joined(factors, "⊙", PRODUCT), ELEMENTS
            case Product(factors, "chain"):
                return self.joined(factors, "·", PRODUCT), ELEMENTS
            case Product(factors):
                return self.product(factors), ELEMENTS if isinstance(factors[-1], BigSum) else PRODUCT
            case Fraction(top, bottom):
                if not self.flat_fractions:
                    return self.fraction(self.formula(top), self.formula(bottom)), PRODUCT
                return self.fraction(self.write(top, PRODUCT), self.write(bottom, RAISED)), PRODUCT
            case Power(base, exponent):
                return self.power(self.write(base, ATOM), exponent), RAISED
            case Transpose(Symbol() as letter):
                return self.symbol_transposed(letter), RAISED
            case Transpose(body):
                return self.transpose(self.write(body, ATOM)), RAISED
            case Call(name, args):
                return self.call(x, self.rendered(name)[0], [self.write(a, RELATION) for a in args]), ATOM
            case Fenced(role, body):
                if role == "inverse":
                    return self.power(self.write(body, ATOM), Number(-1)), RAISED
                return self.fenced(role, self.formula(body)), ATOM
            case BigSum(index, body):
                inner = self.write(body, ELEMENTS if isinstance(body, BigSum) else PRODUCT)
                return self.big_sum(x.sign, index, inner), ELEMENTS
            case Element(body, indices):
                if x.call is not None:
                    return self.part(self.write(body, ATOM), ", ".join(indices)), ATOM
                simple = isinstance(body, Symbol) and not body.sub and not body.is_word
                text = self.write(body, ATOM) if simple else self.brackets(self.formula(body))
                return (self.subscript(text, "".join(indices)) if indices else self.write(body, ATOM)), ATOM
            case Infix(sign, left, right):
                text = self.row([self.write(left, SUM), self.sign(sign), self.write(right, SUM)])
                return (self.indicator(text), ATOM) if x.call is not None else (text, RELATION)
            case Partial(top, bottom):
                return self.partial(self.formula(top), self.formula(bottom)), RAISED
        raise TypeError(f"no way to write {type(x).__name__}")

    def sum(self, terms: tuple[Expr, ...]) -> str:
        """Terms with their signs."""
        parts: list[str] = []
        for n, term in enumerate(terms):
            if isinstance(term, Neg):
                parts += [self.sign("−", unary=n == 0), self.write(term.body, ELEMENTS)]
            else:
                parts += [self.sign("+")] * (n > 0) + [self.write(term, MINUS if n == 0 else ELEMENTS)]
        return self.row(parts)

    def joined(self, factors: tuple[Expr, ...], sign: str, level: int) -> str:
        """Factors with a sign between them."""
        parts: list[str] = []
        for n, factor in enumerate(factors):
            last = n == len(factors) - 1
            bare_sum = last and isinstance(factor, BigSum)
            parts += [self.sign(sign)] * (n > 0) + [self.write(factor, ELEMENTS if bare_sum else level)]
        return self.row(parts)

    def product(self, factors: tuple[Expr, ...]) -> str:
        """Factors side by side; a fraction may stand in front, a sum at the end."""
        parts = []
        for n, factor in enumerate(factors):
            first, last = n == 0, n == len(factors) - 1
            free = (isinstance(factor, Fraction) and (first or not self.flat_fractions)) \
                or (isinstance(factor, Product) and (last or factor.kind != "matrix"))
            level = ELEMENTS if last and isinstance(factor, BigSum) else PRODUCT if free else RAISED
            parts.append(self.write(factor, level))
        return self.beside(parts)

    def indicator(self, text: str) -> str:
        """1[text]: 1 where it holds, else 0."""
        return self.beside([self.number(1) + self.brackets(text)])

    # ---- what a subclass says

    def symbol(self, x: Symbol) -> str:
        """A letter or word with its subscripts and accent."""
        raise NotImplementedError

    def symbol_transposed(self, x: Symbol) -> str:
        """A letter with the sign ᵀ above its subscripts."""
        return self.transpose(self.symbol(x))

    def number(self, x: Any) -> str:
        """A number."""
        raise NotImplementedError

    def matrix(self, x: Any) -> str:
        """Numbers in rows."""
        raise NotImplementedError

    def words(self, text: str) -> str:
        """Plain words."""
        raise NotImplementedError

    def sign(self, sign: str, unary: bool = False) -> str:
        """An operator between two things, or in front of one."""
        raise NotImplementedError

    def row(self, parts: list[str]) -> str:
        """Parts one after the other."""
        raise NotImplementedError

    def beside(self, parts: list[str]) -> str:
        """Factors side by side."""
        raise NotImplementedError

    def parentheses(self, text: str) -> str:
        """(text)."""
        raise NotImplementedError

    def brackets(self, text: str) -> str:
        """[text]."""
        raise NotImplementedError

    def fraction(self, top: str, bottom: str) -> str:
        """A quotient."""
        raise NotImplementedError

    def power(self, base: str, exponent: Expr) -> str:
        """A power."""
        raise NotImplementedError

    def transpose(self, text: str) -> str:
        """With the sign ᵀ."""
        raise NotImplementedError

    def call(self, x: Call, name: str, args: list[str]) -> str:
        """A function of arguments."""
        raise NotImplementedError

    def fenced(self, role: str, text: str) -> str:
        """Root, absolute value or norm."""
        raise NotImplementedError

    def big_sum(self, sign: str, index: str, body: str) -> str:
        """Σ."""
        raise NotImplementedError

    def part(self, body: str, index: str) -> str:
        """body[index]."""
        raise NotImplementedError

    def subscript(self, body: str, letters: str) -> str:
        """With indices."""
        raise NotImplementedError

    def partial(self, top: str, bottom: str) -> str:
        """∂top/∂bottom."""
        raise NotImplementedError

    def document(self, blocks: list[Block]) -> str:
        """A whole document."""
        raise NotImplementedError


def negative(x: Any) -> bool:
    """Whether a number has a minus sign in front; a complex one is several terms."""
    return bool(np.ndim(x) == 0 and (np.iscomplexobj(x) or x < 0))


def short(x: Any) -> str:
    """A number as people write it.

    >>> short(2.0), short(0.25), short(-1e-9)
    ('2', '0.25', '−1e−9')
    """
    value = np.asarray(x).item()
    if isinstance(value, bool | complex):
        return str(value)
    text = str(value) if isinstance(value, int) else f"{value:.6g}"
    mantissa, e, exponent = text.partition("e")
    return (f"{mantissa}e{int(exponent)}" if e else text).replace("-", "−")


def few(x: Any) -> str:
    """A number among others, in few digits."""
    return short(float(f"{np.asarray(x).item():.4g}")) if np.asarray(x).dtype.kind in "fiu" else short(x)
