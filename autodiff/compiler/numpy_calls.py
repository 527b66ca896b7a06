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
    rows: dict[str, str]

    def arg(self, x: Any, level: int = ANY, r: Record | None = None) -> str:
        """The text of an operand."""

    def function(self, f: Any, wish: str) -> str:
        """The name that a function is called by."""

    def made(self, wish: str, value: Callable[[], Any]) -> str:
        """The name of an array that does not depend on anything."""

    def flat(self, x: Record) -> str:
        """The name of a view of all elements in a row; "" if there is none that can be made once."""

    def over(self, r: Record, x: Any) -> bool:
        """Whether a result is written over this operand."""

    def check(self, labels: Any, classes: int) -> None:
        """Have class numbers looked at before they are used."""

    def ahead(self, line: str, x: Record) -> None:
        """A line that must come before the one that is being written, and after an operand is there."""


UFUNCS: dict[Any, np.ufunc] = {
    operator.add: np.add, operator.sub: np.subtract, operator.mul: np.multiply, operator.truediv: np.divide,
    operator.neg: np.negative, operator.gt: np.greater, operator.ge: np.greater_equal, operator.lt: np.less,
    operator.le: np.less_equal, operator.eq: np.equal, operator.ne: np.not_equal, operator.and_: np.bitwise_and,
    operator.or_: np.bitwise_or, operator.xor: np.bitwise_xor, operator.invert: np.invert,
}

UNSIGNED = {np.dtype(f"{order}i{n}"): np.dtype(f"{order}u{n}") for n in (1, 2, 4, 8) for order in "<>"}


def check_labels(labels: Any, classes: int) -> None:
    """Raise if a class number is none: NumPy would count a negative one from the end."""
    unsigned = labels.view(UNSIGNED.get(labels.dtype, labels.dtype))
    if labels.size and np.maximum.reduce(unsigned, None) >= classes:
        wrong = labels[unsigned >= classes].flat[0]
        raise OperandError(f"there is a class number {wrong}, and {classes} classes, numbered 0 to {classes - 1}")


def places(rows: Any, labels: Any, shape: tuple[int, int]) -> Any:
    """Where the element of each row lies that a class number names, counted through all rows.

    Raises as `check_labels` does, which takes longer.
    """
    try:
        return np.ravel_multi_index((rows, labels), shape)
    except ValueError:
        wrong = labels
    return check_labels(wrong, shape[1])


def labelled(x: Record, labels: Any, w: Caller) -> str:
    """The text of the element of each row that a class number names: by one index where that is possible, faster."""
    shape, given = np.shape(x.value), w.arg(labels)
    rows = w.made(f"rows_{shape[0]}", lambda: np.arange(shape[0]))
    flat = w.flat(x) if isinstance(labels, Record) and np.result_type(labels.value.dtype, np.intp) == np.intp else ""
    if not flat:
        w.check(labels, shape[1])
        return f"{w.arg(x)}[{rows}, {given}]"
    key = f"{given} in {shape}"
    if key not in w.rows:
        w.rows[key] = free(f"{given}_at", w.used)
        w.ahead(f"{w.rows[key]} = {w.function(places, 'places')}({rows}, {given}, {shape!r})", labels)
    return f"{flat}[{w.rows[key]}]"


def picked(r: Record, w: Caller) -> str:
    """``x[rows, labels]``."""
    x, labels = r.inputs
    if np.ndim(x.value) != 2:
        w.check(labels, shape_of(x)[-1])
        return f"{w.function(r.op.forward, 'pick')}({w.arg(x)}, {w.arg(labels)})"           # type: ignore[union-attr]
    return labelled(x, labels, w)


def less_hot(r: Record, w: Caller, out: str) -> str:
    """Rows, and one off where the labels say."""
    x, labels = r.inputs
    copied = "" if w.over(r, x) else f"copyto({out}, {w.arg(x)}); "
    return f"{copied}{labelled(r, labels, w)} -= 1"


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
    was, shape = shape_of(x), shape_of(r)
    if len(was) == 2 and shape == was[1:] and was[0] > shapes.MANY and x.value.dtype.char in "fd":
        kind = "" if x.value.dtype == np.float64 else f"_{x.value.dtype.name}"
        ones = w.made(f"ones_{was[0]}{kind}", lambda: np.ones(was[0], x.value.dtype))
        return f"{w.function(np.dot, 'dot')}({ones}, {w.arg(x)}, {out})"
    if shape == was[1:]:
        return f"{w.function(np.add.reduce, 'add_reduce')}({w.arg(x)}, 0, None, {out})"
    if len(was) == len(shape):
        axes = tuple(i for i, n in enumerate(shape) if n == 1 != was[i])
        return f"{w.function(np.add.reduce, 'add_reduce')}({w.arg(x)}, {axes!r}, None, {out}, True)"
    return f"{out}[...] = {w.function(shapes.summed_to, 'sum_to')}({w.arg(x)}, {shape!r})"


def chosen(r: Record, w: Caller, out: str) -> str:
    """One choice laid over the other."""
    condition, first, second = r.inputs
    base = f"copyto({out}, {w.arg(second)})" if isinstance(second, Record) else f"{out}.fill({w.arg(second)})"
    return f"{base}; copyto({out}, {w.arg(first)}, where={w.arg(condition)})"


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
