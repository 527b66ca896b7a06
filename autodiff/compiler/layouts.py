"""What NumPy would give, before anything is computed: shape, dtype and the order of the axes in memory.

They are told from the same call on arrays of at most two elements along an axis, laid out like the large ones; and an
array that is never touched takes no memory.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from math import prod
from mmap import mmap
from typing import Any

import numpy as np

SCALAR = "scalar"               # the layout of NumPy's numbers, which are no arrays
SMALL = 1 << 16                 # bytes of an array that may as well be touched


def kind(x: Any) -> Any:
    """Of an operand what decides the shape, dtype and layout of an elementwise result."""
    if isinstance(x, np.ndarray):
        steps = [step if n > 1 else 0 for step, n in zip(x.strides, x.shape)]
        far = sorted({0, *map(abs, steps)})
        return x.shape, x.dtype, tuple(far.index(abs(step)) * (1 if step > 0 else -1) for step in steps)
    return x if isinstance(x, np.dtype) else Number(x)


class Number:
    """A number that is an operand: equal to those that are the same in type and value."""

    def __init__(self, value: Any) -> None:
        self.value, self.key = value, (type(value), repr(value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(4096)
def layout(function: Callable[..., Any], kinds: tuple[Any, ...]) -> tuple[tuple[int, ...], Any, Any]:
    """Shape, dtype and order of axes that a call gives: from one on arrays of at most two elements along an axis."""
    shapes = [each[0] if isinstance(each, tuple) else () for each in kinds]
    if function is operator.matmul:
        a, b = shapes
        if not a or not b or a[-1] != b[-2:][0]:
            raise ValueError("matrices do not fit")
        shape = *np.broadcast_shapes(a[:-2], b[:-2]), *a[-2:-1], *b[-1:][:len(b) - 1]
    else:
        shape = np.broadcast_shapes(*shapes)
    with np.errstate(all="ignore"):
        y = function(*map(tiny, kinds))
    if isinstance(y, np.generic):
        return shape, y.dtype, SCALAR
    return shape, y.dtype, None if y.flags.c_contiguous else tuple(sorted(range(y.ndim), key=lambda i: -y.strides[i]))


def tiny(each: Any) -> Any:
    """A small operand of a kind: its axes are as near to each other as those of the large one, and as far."""
    if not isinstance(each, tuple):
        return each.value if isinstance(each, Number) else each
    shape, dtype, ranks = each
    steps = [2 ** (abs(rank) - 1) * (1 if rank > 0 else -1) if rank else 0 for rank in ranks]
    buffer, offset = np.ones(1 + sum(map(abs, steps)), dtype), -sum(step for step in steps if step < 0)
    size = dtype.itemsize
    return np.ndarray([min(n, 2) for n in shape], dtype, buffer, offset * size, [step * size for step in steps])


def empty(shape: tuple[int, ...], dtype: Any, order: Any = None) -> Any:
    """An array laid out along its axes in this order, large ones in memory that takes no room until it is touched."""
    if order is SCALAR:
        return dtype.type(1)
    if order is not None:
        return empty(tuple(shape[axis] for axis in order), dtype).transpose(np.argsort(order))
    size = prod(shape) * dtype.itemsize
    return np.ndarray(shape, dtype, mmap(-1, size) if size > SMALL else None)
