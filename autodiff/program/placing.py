"""How operations that arrange elements are written: shapes, axes, joining, indexing."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.ops import indexing
from autodiff.ops import shapes as s
from autodiff.ops.indexing import HOLE
from autodiff.ops.shapes import order_of
from autodiff.program.literals import dtype_text, filled_text, tuple_text
from autodiff.program.passes import value_of
from autodiff.program.writing import ATOM, Text, Writer
from autodiff.record import Record


def turned(r: Record, w: Writer) -> Text:
    """``x.T``, ``x.mT`` or ``x.transpose(1, 0, 2)``."""
    x = w.arg(r.inputs[0], ATOM, r)
    n = r.value.ndim
    axes = order_of(r.options.get("axes"), n)
    if axes == tuple(reversed(range(n))):
        return Text(f"{x}.T")
    if axes == (*range(n - 2), n - 1, n - 2):
        return Text(f"{x}.mT")
    return Text(f"{x}.transpose({', '.join(map(str, axes))})")


def exchanged(r: Record, w: Writer) -> Text:
    """``x.swapaxes(0, 2)``, ``x.mT`` for the last two, ``x.T`` of a matrix."""
    n, pair = r.value.ndim, (r.options["axis1"], r.options["axis2"])
    x = w.arg(r.inputs[0], ATOM, r)
    if n > 1 and {i % n for i in pair} == {n - 2, n - 1}:
        return Text(f"{x}.T" if n == 2 else f"{x}.mT")
    return Text(f"{x}.swapaxes({pair[0]}, {pair[1]})")


def in_shape(r: Record, w: Writer) -> Text:
    """``x.reshape(3, 4)``, or an axis added or taken away by an index."""
    x, shape = r.inputs[0], np.shape(r.value)
    was = np.shape(value_of(x))
    text = w.arg(x, ATOM, r)
    if shape == ():
        return Text(f"{text}[{', '.join('0' * len(was))}]" if was else text)
    if was and tuple(n for n in shape if n != 1) == tuple(n for n in was if n != 1):
        index = axes_index(was, shape)
        if index:
            return Text(f"{text}[{index}]")
    wanted = "-1" if len(shape) == 1 else ", ".join(map(str, shape))
    return Text(f"np.reshape({w.arg(x)}, ({wanted},))" if not was else f"{text}.reshape({wanted})")


def axes_index(was: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """The index that turns one shape into another that differs by axes of length one; "" if it is no short one."""
    if abs(len(was) - len(shape)) > 2 or len(was) == len(shape):
        return ""
    parts, i = [], 0
    for n in shape:
        while i < len(was) and was[i] == 1 != n and len(was) > len(shape):
            parts.append("0")
            i += 1
        if i < len(was) and was[i] == n:
            parts.append(":")
            i += 1
        elif n == 1:
            parts.append("None")
        else:
            return ""
    parts += ["0"] * (len(was) - i)
    if sum(p != "None" for p in parts) != len(was):
        return ""
    while len(parts) > 1 and parts[-1] == ":":
        parts.pop()
    return ", ".join(parts)


def expanded(r: Record, w: Writer) -> Text:
    """``x[:, None]``."""
    n = r.value.ndim
    axis = r.options["axis"]
    axes = {i % n for i in (axis if isinstance(axis, tuple) else (axis,))}
    if not axes:
        return as_is(r, w)
    if n - len(axes) == 0:
        return Text(f"np.expand_dims({w.arg(r.inputs[0])}, {axis!r})")
    x = w.arg(r.inputs[0], ATOM, r)
    if axes == {n - 1}:
        return Text(f"{x}[:, None]" if n == 2 else f"{x}[..., None]")
    parts = ["None" if i in axes else ":" for i in range(max(axes) + 1)]
    return Text(f"{x}[{', '.join(parts)}]")


def stretched(r: Record, w: Writer) -> Text:
    """An array filled with a number, or one repeated along axes."""
    x, shape = r.inputs[0], r.options["shape"]
    if isinstance(x, Record):
        return Text(f"np.broadcast_to({w.arg(x)}, {shape!r})")
    if w.exact:
        return Text(f"np.broadcast_to({w.arg(x)}, {shape!r})")
    return Text(filled_text(x, r.value.dtype, shape))


def summed(r: Record, w: Writer) -> Text:
    """A sum over what was broadcast: ``x.sum(axis=0)``, and a reshape where axes of length one go too."""
    x, shape = r.inputs[0], r.options["shape"]
    was = np.shape(value_of(x))
    if w.exact and shape == was[1:]:
        if was[0] == 1:
            return Text(f"{w.arg(x, ATOM)}[0]")
        if len(was) == 2 and was[0] > s.MANY and value_of(x).dtype.char in s.BLAS_DTYPES:
            kind = "" if r.value.dtype == np.float64 else f", {dtype_text(r.value.dtype)}"
            return Text(f"np.ones({was[0]}{kind}).dot({w.arg(x)})")
    lead = len(was) - len(shape)
    kept = [lead + i for i, n in enumerate(shape) if n == 1 != was[lead + i]]
    text = w.arg(x, ATOM, r)
    if not kept:
        ones = [i for i in range(lead) if was[i] == 1]
        if lead and len(ones) == lead:
            return Text(f"{text}[{', '.join('0' * lead)}]")
        return Text(f"{text}.sum({over(tuple(range(lead)), len(was))})")
    axes = (*range(lead), *kept)
    if w.exact:
        total = f"{text}.sum({over(axes, -1)}, keepdims=True)"
        return Text(f"{total}.reshape{tuple_text(shape)}" if lead else total)
    if not lead:
        return Text(f"{text}.sum({over(axes, -1)}, keepdims=True)")
    return Text(f"{text}.sum({over(axes, len(was))}).reshape{tuple_text(shape)}")


def over(axes: tuple[int, ...], ndim: int) -> str:
    """``axis=0``; nothing for all."""
    if len(axes) == ndim:
        return ""
    return f"axis={axes[0] if len(axes) == 1 else axes!r}"


def as_is(r: Record, w: Writer) -> Text:
    """What changes nothing."""
    x = r.inputs[0]
    return Text(w.arg(x, ATOM, r)) if isinstance(x, Record) else Text(w.arg(x, r=r))


def converted(r: Record, w: Writer) -> Text:
    """``x.astype(float)``."""
    return Text(f"{w.arg(r.inputs[0], ATOM, r)}.astype({dtype_text(r.options['dtype'])})")


def joined(r: Record, w: Writer) -> Text:
    """``np.concatenate([a, b], axis=1)``."""
    name = "stack" if r.op is s.stack else "concatenate"
    axis = r.options.get("axis", 0)
    return Text(f"np.{name}([{', '.join(w.arg(x, r=r) for x in r.inputs)}]{f', axis={axis}' if axis != 0 else ''})")


def parts(r: Record, w: Writer) -> Text:
    """``np.split(x, 3, axis=1)``."""
    where, axis = r.options["indices_or_sections"], r.options.get("axis", 0)
    where = list(where) if isinstance(where, tuple) else where
    return Text(f"np.split({w.arg(r.inputs[0])}, {where!r}{f', axis={axis}' if axis else ''})")


def selected(r: Record, w: Writer) -> Text:
    """One of several outputs."""
    return Text(f"{w.arg(r.inputs[0], ATOM)}[{r.options['output']}]")


def looked_up(r: Record, w: Writer) -> Text:
    """``x[i, 1:]``."""
    return Text(f"{w.arg(r.inputs[0], ATOM, r)}[{index_text(r.options['index'], r.inputs[1:], w, r)}]")


def index_text(index: Any, arrays: tuple[Any, ...], w: Writer, r: Record | None = None) -> str:
    """An index as between brackets."""
    fill = iter(arrays)
    items = index if isinstance(index, tuple) else (index,)
    texts = [position(next(fill), w, r) if i is HOLE else part_text(i) for i in items]
    return ", ".join(texts) or "()"


def position(x: Any, w: Writer, r: Record | None = None) -> str:
    """What says where, in an index: an array by its name, a single number as it stands."""
    return w.arg(x, r=r if np.ndim(value_of(x)) else None)


def part_text(i: Any) -> str:
    """A part of an index: a number, a slice, None, an ellipsis."""
    if isinstance(i, slice):
        ends = ["" if x is None else str(x) for x in (i.start, i.stop)]
        return ":".join(ends) + ("" if i.step is None else f":{i.step}")
    return "..." if i is Ellipsis else str(i)


def as_object(index: Any, where: str) -> str:
    """An index as an argument: np.s_ for slices, parentheses for several."""
    if not isinstance(index, tuple):
        return f"np.s_[{where}]" if isinstance(index, slice) else where
    if any(i is not HOLE and not isinstance(i, int | np.integer) for i in index):
        return f"np.s_[{where}]"
    return f"({where})" if len(index) > 1 else f"({where},)"


def last_written(r: Record, w: Writer) -> Text:
    """Of the places an index names, which still hold the value written there."""
    x, *arrays = r.inputs
    index = r.options["index"]
    where = as_object(index, index_text(index, tuple(arrays), w, r))
    return Text(f"{w.helper(indexing.last)}({np.shape(value_of(x))!r}, {where})")
