"""What gathers an array along axes.

Ties of max, min and median share the gradient evenly. Where a norm or a standard deviation is 0, its gradient is 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.kinds import Op, constant, linear_op
from autodiff.ops.arithmetic import or_infinite, real
from autodiff.ops.shapes import broadcast_to, inverse, repeated, spread

add_reduce: Any = np.add.reduce


def back_over(g: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """A reduction's g, repeated along the reduced axes."""
    if isinstance(g, np.generic):                              # of a total
        return repeated(g, x.shape)
    return broadcast_to(spread(g, axis, keepdims) if x.ndim else g, shape=np.shape(x))


def share(x: Any, y: Any) -> Any:
    """How many elements of x went into each of y."""
    return x.size / (y.size or 1)


def average(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """NumPy's mean, without its overhead (float16 needs its wider accumulator)."""
    if x.dtype.char == "e":
        return np.mean(x, axis, keepdims=keepdims)
    total = add_reduce(x, axis, None, None, keepdims)
    return total / share(x, total)


def among(x: Any, y: Any, axis: Any, keepdims: bool) -> Any:
    """1 at the maximum along the axes; ties share it evenly."""
    hit = (x == spread(y, axis, keepdims)) | (x != x)         # a NaN is the maximum
    return hit / np.sum(hit, axis=axis, keepdims=True)


def among_numbers(x: Any, y: Any, axis: Any, keepdims: bool) -> Any:
    """1 at the maximum along the axes, NaNs left out; ties share it evenly, and so do NaNs alone."""
    top = spread(y, axis, keepdims)
    hit = (x == top) | np.isnan(top)
    return hit / np.sum(hit, axis=axis, keepdims=True)


def centred(x: Any, axis: Any) -> Any:
    """x without its mean along the axes."""
    return x - mean_(x, axis=axis, keepdims=True)


def freedom(x: Any, y: Any, ddof: float) -> Any:
    """Degrees of freedom: what a variance divides by."""
    return max(share(x, y) - ddof, 0)


def order_for(axis: Any, ndim: int) -> tuple[tuple[int, ...], int]:
    """The permutation that brings the axes to the end, and how many others there are."""
    axes = range(ndim) if axis is None or ndim == 0 else axis if isinstance(axis, tuple) else (axis,)
    last = tuple(i % ndim for i in axes)
    rest = tuple(i for i in range(ndim) if i not in last)
    return rest + last, len(rest)


def lined_up(x: Any, axis: Any) -> Any:
    """x with the axes as one, the last."""
    order, n = order_for(axis, np.ndim(x))
    shape = [np.shape(x)[i] for i in order]
    return np.reshape(np.transpose(x, order), (*shape[:n], math.prod(shape[n:])))


def put_back(z: Any, x: Any, axis: Any) -> Any:
    """What was made of `lined_up(x, axis)`, in the shape of x."""
    order, _ = order_for(axis, np.ndim(x))
    return np.transpose(np.reshape(z, tuple(np.shape(x)[i] for i in order)), inverse(order))


def before(z: Any) -> Any:
    """Along the last axis, the product of all that come before."""
    return np.concatenate([np.ones_like(z[..., :1]), np.cumprod(z[..., :-1], -1)], -1)


def of_others(x: Any, axis: Any) -> Any:
    """The product of all others along the axes; nothing is divided, so zeros are as good as any value."""
    z = lined_up(x, axis)
    return put_back(before(z) * before(z[..., ::-1])[..., ::-1], x, axis)


def at_the_middle(x: Any, axis: Any = None) -> Any:
    """What part each element has in the median; NaNs, if there are any, share it."""
    z = lined_up(real(x), axis)
    s = np.sort(z, -1)
    n = np.shape(s)[-1]
    nan = z != z
    weights = 0.0
    for i in ((n - 1) // 2, n // 2):
        hit = np.where(np.any(nan, -1, keepdims=True), nan, z == s[..., i:i + 1])
        weights = weights + 0.5 * hit / np.sum(hit, -1, keepdims=True)
    return put_back(weights, x, axis)


def variance(x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    """np.var without absolute values: its replay form."""
    squares = centred(x, axis) ** 2
    return np.mean(squares, axis=axis, keepdims=keepdims) * (share(x, y := np.sum(x, axis=axis)) / freedom(x, y, ddof))


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
nanmax = Op(lambda x, axis=None, keepdims=False: np.nanmax(x, axis, keepdims=keepdims), "nanmax").vjp(
    lambda g, y, x, axis=None, keepdims=False: among_numbers(x, y, axis, keepdims) * spread(g, axis, keepdims))
nanmin = Op(lambda x, axis=None, keepdims=False: np.nanmin(x, axis, keepdims=keepdims), "nanmin").vjp(
    lambda g, y, x, axis=None, keepdims=False: among_numbers(x, y, axis, keepdims) * spread(g, axis, keepdims))
prod  = Op(lambda x, axis=None, keepdims=False: np.prod(x, axis, keepdims=keepdims), "prod").vjp(
    lambda g, y, x, axis=None, keepdims=False: of_others(x, axis) * spread(g, axis, keepdims))
median = Op(lambda x, axis=None, keepdims=False: np.median(x, axis, keepdims=keepdims), "median").vjp(
    lambda g, y, x, axis=None, keepdims=False: middle(x, axis=axis) * spread(g, axis, keepdims))
var   = Op(lambda x, axis=None, ddof=0, keepdims=False: np.var(x, axis, ddof=ddof, keepdims=keepdims), "var", variance).vjp(
    lambda g, y, x, axis=None, ddof=0, keepdims=False: 2 * spread(g, axis, keepdims) * centred(x, axis) / freedom(x, y, ddof))
std   = Op(lambda x, axis=None, ddof=0, keepdims=False: np.std(x, axis, ddof=ddof, keepdims=keepdims), "std", lambda x, **options: np.sqrt(variance(x, **options))).vjp(
    lambda g, y, x, axis=None, ddof=0, keepdims=False: spread(g / or_infinite(y), axis, keepdims) * centred(x, axis) / freedom(x, y, ddof))
norm  = Op(lambda x, axis=None, keepdims=False: np.linalg.norm(x, axis=axis, keepdims=keepdims), "norm", lambda x, axis=None, keepdims=False: np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))).vjp(
    lambda g, y, x, axis=None, keepdims=False: x * spread(g / or_infinite(y), axis, keepdims))

# ---- recorded, since values depend on them, and constant between their jumps
middle: Op = constant("middle", at_the_middle)
argmax = constant("argmax", lambda x, axis=None, keepdims=False: np.argmax(real(x), axis, keepdims=keepdims))
argmin = constant("argmin", lambda x, axis=None, keepdims=False: np.argmin(real(x), axis, keepdims=keepdims))
any_   = constant("any",    lambda x, axis=None, keepdims=False: np.any(real(x), axis, keepdims=keepdims))
all_   = constant("all",    lambda x, axis=None, keepdims=False: np.all(real(x), axis, keepdims=keepdims))
count_nonzero = constant("count_nonzero", lambda x, axis=None, keepdims=False: np.count_nonzero(real(x), axis, keepdims=keepdims))
nonzero = constant("nonzero", lambda x: np.nonzero(real(x)))
