"""Numbers in a proposed line: what rounding made is put back to what a person writes, and the rest is not proposed."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from autodiff.checks.reading.quantities import CLOSE

NOTHING = 1e-12            # a factor below this is one of rounding
PLAIN = 16                 # numerators and denominators that a person writes without a name
DIGITS = 8                 # of a number that a person writes


def sizes_of(operands: Iterable[tuple[str, Any]]) -> set[int]:
    """The lengths and sizes of arrays, by which sums are divided."""
    return {int(n) for _, value in operands for n in (*np.shape(value), np.size(value))}


def fraction(f: float, sizes: set[int]) -> Fraction | None:
    """The simple fraction, or the one over a size, that a number is but for rounding; None if it is none."""
    if not np.isfinite(f) or abs(f) < NOTHING:
        return None
    for q in (Fraction(f).limit_denominator(PLAIN), *(Fraction(round(f * n), n) for n in sorted(sizes) if n)):
        plain = abs(q.numerator) <= PLAIN or abs(q.numerator) in sizes
        if q and plain and abs(f / float(q) - 1) < CLOSE:
            return q
    return None


def times(f: float, text: str, operands: list[tuple[str, Any]]) -> str:
    """A multiple of an expression, by one of their numbers where that is the factor; "" if it is no simple one."""
    q = fraction(f, sizes_of(operands))
    if q is not None and abs(q) in (1, 2, Fraction(1, 2)):
        return over(q, text)
    for name, value in operands:
        if np.ndim(value) == 0 and name.isidentifier() and value:
            if abs(f * value - 1) < CLOSE:
                return f"{text} / {name}"
            if abs(f / value - 1) < CLOSE:
                return f"{name} * {text}"
    return "" if q is None else over(q, text)


def over(q: Fraction, text: str) -> str:
    """A fraction times an expression, as it is written."""
    n, d = abs(q.numerator), q.denominator
    made = (f"{n} * {text}" if n > 1 else text) + (f" / {d}" if d > 1 else "")
    return f"-{made}" if q < 0 else made


def snapped(text: str, operands: list[tuple[str, Any]]) -> str:
    """An expression with its numbers as a person writes them; "" if one of them is neither simple nor has a name."""
    snapping = Snapping(operands)
    tree = ast.fix_missing_locations(snapping.visit(ast.parse(text, mode="eval").body))
    return "" if snapping.odd or zero(tree) else ast.unparse(tree)


class Snapping(ast.NodeTransformer):
    """Simple numbers in place of those that rounding made."""

    def __init__(self, operands: list[tuple[str, Any]]) -> None:
        self.sizes = sizes_of(operands)
        self.named = [(name, float(value)) for name, value in operands if np.ndim(value) == 0 and name.isidentifier()]
        self.odd = False

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """A number."""
        c = node.value
        if not isinstance(c, float) or not np.isfinite(c):
            return node
        if abs(c) < NOTHING:
            return node                                    # what it multiplies decides
        if c == round(c) and abs(c) < 1e6:
            return ast.Constant(int(c))
        if len(f"{c:.17g}".strip("0.")) <= DIGITS or len(repr(c)) <= DIGITS:
            return node
        for name, value in self.named:
            if abs(c - value) <= CLOSE * abs(c):
                return ast.Name(name, ast.Load())
        q = fraction(c, self.sizes)
        if q is None:
            self.odd = True
            return node
        if len(repr(float(q))) <= DIGITS:
            return ast.Constant(float(q))
        return ast.parse(f"{q.numerator} / {q.denominator}", mode="eval").body

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """A product with nothing is nothing, and may be left out of a sum; x * (1 / n) is x / n."""
        self.generic_visit(node)
        left, op, right = node.left, node.op, node.right
        match op:
            case ast.Mult() if zero(left) or zero(right):
                return ast.Constant(0)
            case ast.Div() if zero(left):
                return ast.Constant(0)
            case ast.Add() | ast.Sub() if zero(right):
                return left
            case ast.Add() if zero(left):
                return right
            case ast.Sub() if zero(left):
                return ast.UnaryOp(ast.USub(), right)
            case ast.Add() | ast.Sub() if isinstance(right, ast.BinOp) and isinstance(right.op, ast.Mult | ast.Div) \
                    and isinstance(right.right, ast.UnaryOp) and isinstance(right.right.op, ast.USub):
                turned = self.visit_BinOp(ast.BinOp(right.left, right.op, right.right.operand))
                return ast.BinOp(left, ast.Sub() if isinstance(op, ast.Add) else ast.Add(), turned)
            case ast.Mult() if isinstance(right, ast.BinOp) and isinstance(right.op, ast.Div) and one(right.left):
                return ast.BinOp(left, ast.Div(), right.right)
            case ast.Mult() if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Div) and one(left.left):
                return ast.BinOp(right, ast.Div(), left.right)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        """Minus nothing is nothing."""
        self.generic_visit(node)
        return ast.Constant(0) if zero(node.operand) else node


def zero(node: ast.AST) -> bool:
    """Whether this is a number that is nothing but rounding."""
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and abs(node.value) < NOTHING


def one(node: ast.AST) -> bool:
    """Whether this is the number 1."""
    return isinstance(node, ast.Constant) and node.value == 1
