"""What gathers an array along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.kinds import Op, linear_op
from autodiff.ops.shapes import broadcast_to, spread

add_reduce: Any = np.add.reduce


def back_over(g: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """A reduction's g, repeated along the reduced axes."""
    return broadcast_to(spread(g, axis, keepdims) if x.ndim else g, shape=np.shape(x))


def share(x: Any, y: Any) -> Any:
    """How many elements of x went into each of y."""
    return x.size / (y.size or 1)


def average(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """NumPy's mean, without its overhead (float16 needs its wider accumulator)."""
    if x.dtype.char == "e":
        return np.mean(x, axis, keepdims=keepdims)
    total = add_reduce(x, axis, keepdims=keepdims)
    return total / share(x, total)


def among(x: Any, y: Any, axis: Any, keepdims: bool) -> Any:
    """1 at the maximum along the axes; ties share it evenly."""
    hit = (x == spread(y, axis, keepdims)) | (x != x)         # a NaN is the maximum
    return hit / np.sum(hit, axis=axis, keepdims=True)


# -------------- name    forward                                                                        transpose
sum_  = linear_op("sum",  lambda x, axis=None, keepdims=False: add_reduce(x, axis, keepdims=keepdims),
                          lambda g, y, x, axis=None, keepdims=False: back_over(g, x, axis, keepdims))
mean_ = linear_op("mean", average,
                          lambda g, y, x, axis=None, keepdims=False: back_over(g / share(x, y), x, axis, keepdims))

# -------------- name    forward                                                                        vjp
max_  = Op(lambda x, axis=None, keepdims=False: np.max(x, axis, keepdims=keepdims), "max").vjp(
    lambda g, y, x, axis=None, keepdims=False: among(x, y, axis, keepdims) * spread(g, axis, keepdims))
min_  = Op(lambda x, axis=None, keepdims=False: np.min(x, axis, keepdims=keepdims), "min").vjp(
    lambda g, y, x, axis=None, keepdims=False: among(x, y, axis, keepdims) * spread(g, axis, keepdims))
