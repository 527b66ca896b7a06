"""What an operation costs: its multiply-adds, as far as its shapes tell; a table by name, a default by kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.record import Record

Shape = tuple[int, ...]


def size(shape: Shape) -> int:
    """How many entries an array of this shape has."""
    return int(np.prod(shape, dtype=object))


def contracted(out: Shape, operands: list[Shape], options: dict[str, Any]) -> int:
    """Of a product: per entry of the result one multiply-add for each entry of the axis that is summed."""
    return size(out) * (operands[0][-1] if operands[0] else 1)


def einsum(out: Shape, operands: list[Shape], options: dict[str, Any]) -> int:
    """One per combination of all the indices."""
    extents: dict[str, int] = {}
    for letters, shape in zip(str(options.get("subscripts", "")).split("->")[0].split(","), operands, strict=False):
        if len(letters) != len(shape):                  # an ellipsis: at least one per entry
            return max(map(size, [out, *operands]))
        extents.update(zip(letters, shape, strict=True))
    return size(tuple(extents.values()))


def convolved(out: Shape, operands: list[Shape], options: dict[str, Any]) -> int:
    """Per entry of what goes across one multiply-add for each entry of a kernel (out, channels / groups, *window)."""
    return size(out) * size(operands[1][1:])


def back_convolved(out: Shape, operands: list[Shape], options: dict[str, Any]) -> int:
    """As on the way there: per entry of g one for each entry of a kernel."""
    return size(operands[0]) * size(operands[1][1:])


def weighed(out: Shape, operands: list[Shape], options: dict[str, Any]) -> int:
    """As on the way there: per entry of g one for each entry of a kernel, which is the result here."""
    return size(operands[1]) * size(out[1:])


def entries_read(out: Shape, operands: list[Shape], options: dict[str, Any]) -> int:
    """One per entry that is read."""
    return max(map(size, operands), default=0)


COSTS: dict[str, Callable[[Shape, list[Shape], dict[str, Any]], int]] = {
    **dict.fromkeys(("matmul", "linear", "dot", "inner", "vecdot", "vdot"), contracted), "einsum": einsum,
    **dict.fromkeys(("sum", "mean", "average", "cumsum", "trace", "nansum", "nanmean"), entries_read),
    "conv": convolved, "conv_transpose": back_convolved, "conv_weight": weighed,
    **dict.fromkeys(("max_pool", "avg_pool", "max_unpool", "avg_unpool", "at_max"), entries_read),
}


def multiply_adds(r: Record) -> int:
    """The multiply-adds of a record.

    One per entry of an elementwise operation, none for moving entries about, at least one per entry of anything else.

    >>> x = ad.Tensor(np.ones((8, 3)), requires_grad=True)
    >>> [multiply_adds(y.record) for y in (x @ np.ones((3, 5)), np.tanh(x), x.T, x.sum())]
    [120, 24, 0, 24]
    """
    if r.op is None or isinstance(r.value, tuple):
        return 0
    operands = [np.shape(x.value if isinstance(x, Record) else x) for x in r.inputs
                if not isinstance(getattr(x, "value", None), tuple)]
    out = np.shape(r.value)
    if r.op.name in COSTS and operands:
        return COSTS[r.op.name](out, operands, r.options)
    if r.op.kind == "linear":
        return 0
    return max(map(size, [out, *operands])) if r.op.kind == "general" else size(out)
