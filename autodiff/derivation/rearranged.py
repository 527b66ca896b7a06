"""How what sums, moves or picks elements is written: Σ, transposes, views, indices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.derivation.calls import Builder, Held, default, plain, run
from autodiff.derivation.notation import Call, Element, Expr, Shown, Symbol
from autodiff.derivation.paper import ONE, ONES, fraction, matrix_product, scaled, total, transposed
from autodiff.derivation.structure import shape_of
from autodiff.ops import indexing, shapes
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.derivation.formulas import Formulas

LETTERS = "ijkl"


def axes_of(r: Record, ndim: int) -> tuple[int, ...]:
    """The axes that a reduction goes over."""
    axis = r.options.get("axis")
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(a % ndim for a in axes)


def index_over(w: Formulas, shape: tuple[int, ...], axes: tuple[int, ...]) -> str:
    """The letters of the axes that are summed over; none where all are."""
    if len(axes) == len(shape):
        return "s" if shape == (w.samples,) else ""
    return ", ".join("s" if w.samples == shape[a] and a == 0 else LETTERS[min(a, 3)] for a in axes)


def sum_(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """Σ."""
    shape = shape_of(r.inputs[0])
    if not shape:
        return args[0]
    return total(args[0], index_over(w, shape, axes_of(r, len(shape))), run(r))


def mean(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """1/n Σ."""
    shape = shape_of(r.inputs[0])
    if not shape:
        return args[0]
    axes = axes_of(r, len(shape))
    call = partial(np.sum, axis=axes, keepdims=r.options.get("keepdims", False))
    n = w.divisor(int(np.prod([shape[a] for a in axes])))
    return scaled(fraction(ONE, n), total(args[0], index_over(w, shape, axes), call))


def sum_to(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """Sums over what was broadcast: of a matrix over its rows δᵀ 𝟏, else Σ."""
    x, shape, target = args[0], shape_of(r.inputs[0]), r.options["shape"]
    if shape == target:
        return x
    if isinstance(x, Symbol) and len(shape) == 2 and target == shape[1:]:
        return matrix_product(transposed(x), Symbol(ONES.base, key=Held(np.ones(shape[0]))))
    if isinstance(x, Symbol) and len(shape) == 2 and target == (shape[0], 1):
        return matrix_product(x, Symbol(ONES.base, key=Held(np.ones((shape[1], 1)))))
    lead = len(shape) - len(target)
    axes = (*range(lead), *(lead + i for i, n in enumerate(target) if n == 1 != shape[lead + i]))
    return total(x, index_over(w, shape, axes), run(r))


def view(kind: str) -> Builder:
    """Written as its operand."""
    def write(w: Formulas, r: Record, args: list[Expr]) -> Expr:
        x = args[0]
        if not isinstance(x, Shown) or x.role == "worth" or kind in ("column", "row"):
            return Shown(x, run(r), kind)
        return Shown(x.body, after(x.call, run(r)), "view")

    return write


def after(first: Callable[[Any], Any] | None, then: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One after the other."""
    return then if first is None else lambda x: then(first(x))


def expand_dims(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """A vector as a column or a row; else as it is."""
    vector = len(shape_of(r.inputs[0])) == 1
    axis = r.options["axis"]
    return view("column" if vector and axis in (-1, 1) else "row" if vector and axis in (-2, 0) else "view")(w, r, args)


def reshape(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """As it is where only axes of length one come or go, or leading ones are merged; else said."""
    before, now = shape_of(r.inputs[0]), shape_of(r)
    if [n for n in before if n > 1] == [n for n in now if n > 1] or (before and now and before[-1] == now[-1]):
        return view("view")(w, r, args)
    return Call(Symbol("reshape"), (args[0],), run(r), note="×".join(map(str, now)))


def transpose(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """Xᵀ where the last two axes are exchanged; else said."""
    x = plain(r.inputs[0])
    ndim = np.ndim(x)
    if ndim < 2:
        return args[0]
    axes = r.options.get("axes")
    order = tuple(range(ndim))[::-1] if axes is None else tuple(a % ndim for a in axes)
    if r.op is shapes.swapaxes:
        pair = {r.options["axis1"] % ndim, r.options["axis2"] % ndim}
        order = (*range(ndim - 2), ndim - 1, ndim - 2) if pair == {ndim - 1, ndim - 2} else ()
    if order == (*range(ndim - 2), ndim - 1, ndim - 2):
        return transposed(args[0])
    return default(w, r, args)


def getitem(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """x[index], the samples' own numbers as s."""
    arrays = iter(zip(r.inputs[1:], args[1:]))

    def part(i: Any) -> str:
        if i is indexing.HOLE:
            x, written = next(arrays)
            x = plain(x)
            if np.ndim(x) == 1 and np.array_equal(x, np.arange(len(x))):
                return "s"
            return written.base + "".join(map(str, written.sub)) if isinstance(written, Symbol) else "…"
        if isinstance(i, slice):
            ends = [i.start, i.stop] + ([i.step] if i.step is not None else [])
            return ":".join("" if end is None else str(end) for end in ends)
        return "…" if i is Ellipsis else "new" if i is None else str(i)

    index = r.options["index"]
    if index == (Ellipsis, 0) and shape_of(r.inputs[0])[-1:] == (1,):
        return view("view")(w, r, args)
    parts = tuple(part(i) for i in (index if isinstance(index, tuple) else (index,)))
    return Element(args[0], parts, run(r, 1))


def scatter(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """Values put where an index says, zeros elsewhere: scatter[index](values)."""
    n = len(r.options["indices"])
    index = r.options["indices"][0][0]
    if n > 1:
        return default(w, r, args)
    if isinstance(index, int) and len(shape_of(r)) == 1:
        unit = np.zeros_like(r.value)
        unit[index] = 1
        return scaled(args[0], Symbol("e", (str(index % len(unit)),), key=Held(unit)))
    letters = [x.base if isinstance(x, Symbol) else "…" for x in args[1:]]
    letters = ["s" if np.array_equal(plain(x), np.arange(len(plain(x)))) else a for a, x in zip(letters, r.inputs[1:])]
    return Call(Symbol("scatter"), (args[0],), run(r, 1), note=", ".join(letters))
