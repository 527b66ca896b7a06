"""How operations are called in NumPy so that they write into memory that is given: a table keyed by the operation."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from autodiff.compiler.lowering import less_one_hot
from autodiff.errors import OperandError
from autodiff.kinds import Op
from autodiff.naming import free
from autodiff.ops import arithmetic as a
from autodiff.ops import elementary as e
from autodiff.ops import products, reductions, shapes
from autodiff.program.passes import shape_of
from autodiff.program.writing import ANY, ATOM
from autodiff.record import Record


class Caller(Protocol):
    """Who writes calls: knows what operands and functions are called."""

    used: dict[str, int]
    namespace: dict[str, Any]

    def arg(self, x: Any, level: int = ANY, r: Record | None = None) -> str:
        """The text of an operand."""

    def function(self, f: Any, wish: str) -> str:
        """The name that a function is called by."""


UFUNCS: dict[Any, np.ufunc] = {
    operator.add: np.add, operator.sub: np.subtract, operator.mul: np.multiply, operator.truediv: np.divide,
    operator.neg: np.negative, operator.gt: np.greater, operator.ge: np.greater_equal, operator.lt: np.less,
    operator.le: np.less_equal, operator.eq: np.equal, operator.ne: np.not_equal, operator.and_: np.bitwise_and,
    operator.or_: np.bitwise_or, operator.xor: np.bitwise_xor, operator.invert: np.invert,
}

def check_labels(labels: Any, classes: int) -> None:
    """Raise if a class number is none: NumPy would count a negative one from the end."""
    if labels.size:
        unsigned = labels.view(f"u{labels.itemsize}") if labels.dtype.kind == "i" else labels
        if unsigned.max() >= classes:
            wrong = labels[unsigned >= classes].flat[0]
            raise OperandError(f"there is a class number {wrong}, and {classes} classes, numbered 0 to {classes - 1}")


def rows_of(n: int, w: Caller) -> str:
    """The name of 0, 1, ... n - 1."""
    name = f"rows_{n}"
    w.namespace[name] = np.arange(n)
    return name


def picked(r: Record, w: Caller) -> str:
    """``x[rows, labels]``."""
    x, labels = r.inputs
    if np.ndim(x.value) != 2:
        return f"{w.function(r.op.forward, 'pick')}({w.arg(x)}, {w.arg(labels)})"           # type: ignore[union-attr]
    return f"{w.arg(x)}[{rows_of(shape_of(x)[0], w)}, {w.arg(labels)}]"


def less_hot(r: Record, w: Caller, out: str) -> str:
    """A copy of rows, and one off where the labels say."""
    x, labels = r.inputs
    return f"copyto({out}, {w.arg(x)}); {out}[{rows_of(shape_of(x)[0], w)}, {w.arg(labels)}] -= 1"


def product(r: Record, w: Caller, out: str = "") -> str:
    """``dot(a, b, out)``; of higher rank, matmul."""
    left, right = r.inputs
    flat = np.ndim(r.value) == 2 and shape_of(left) != () and np.ndim(left.value) == np.ndim(right.value) == 2 \
        if isinstance(left, Record) and isinstance(right, Record) else False
    same = flat and left.value.dtype == right.value.dtype == r.value.dtype
    name = w.function(np.dot, "dot") if same else w.function(np.matmul, "matmul")
    return f"{name}({w.arg(left, ATOM)}, {w.arg(right, ATOM)}{', ' if out else ''}{out})"


def reduction(ufunc: np.ufunc, name: str) -> Callable[[Record, Caller, str], str]:
    """``add_reduce(x, axis, None, out)``."""
    def write(r: Record, w: Caller, out: str) -> str:
        axis, keepdims = r.options.get("axis"), r.options.get("keepdims", False)
        kept = ", True" if keepdims else ""
        return f"{w.function(ufunc.reduce, name)}({w.arg(r.inputs[0])}, {axis!r}, None, {out}{kept})"
    return write


def summed(r: Record, w: Caller, out: str) -> str:
    """A sum over what was broadcast; over many rows a product with ones."""
    x = r.inputs[0]
    n = shape_of(x)[0]
    if np.ndim(x.value) == 2 and shape_of(r) == shape_of(x)[1:] and n > shapes.MANY and x.value.dtype.char in "fd":
        ones = free("ones", w.used)
        w.namespace[ones] = np.ones(n, x.value.dtype)
        return f"{w.function(np.dot, 'dot')}({ones}, {w.arg(x)}, {out})"
    return f"{out}[...] = {w.function(shapes.summed_to, 'sum_to')}({w.arg(x)}, {np.shape(r.value)!r})"


def chosen(r: Record, w: Caller, out: str) -> str:
    """One choice laid over the other."""
    condition, first, second = r.inputs
    return f"copyto({out}, {w.arg(second)}); copyto({out}, {w.arg(first)}, where={w.arg(condition)})"


def converted(r: Record, w: Caller, out: str) -> str:
    """A conversion, by copying."""
    return f"copyto({out}, {w.arg(r.inputs[0])}, casting='unsafe')"


def joined(function: Any, name: str) -> Callable[[Record, Caller, str], str]:
    """``concatenate((a, b), axis, out)``."""
    def write(r: Record, w: Caller, out: str) -> str:
        parts = "".join(f"{w.arg(x)}, " for x in r.inputs)
        return f"{w.function(function, name)}(({parts}), {r.options.get('axis', 0)!r}, {out})"
    return write


TOTALS = {reductions.sum_: (np.add.reduce, "add_reduce"), reductions.max_: (np.maximum.reduce, "maximum_reduce"),
          reductions.min_: (np.minimum.reduce, "minimum_reduce")}
WRITERS: dict[Op, Callable[[Record, Caller, str], str]] = {
    products.matmul: product, less_one_hot: less_hot, shapes.sum_to: summed, a.where: chosen,
    e.cast: converted, e.truncate: converted,
    reductions.sum_: reduction(np.add, "add_reduce"), reductions.max_: reduction(np.maximum, "maximum_reduce"),
    reductions.min_: reduction(np.minimum, "minimum_reduce"),
    shapes.concatenate: joined(np.concatenate, "concatenate"), shapes.stack: joined(np.stack, "stack"),
}
