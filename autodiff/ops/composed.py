"""NumPy functions written in terms of others, with NumPy's own signatures.

Their parts are recorded one by one, in a scope of the function's name; `numpy_table.COMPOSED` says which is which.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.errors import NoRuleError, OperandError
from autodiff.ops import reductions

NOT_GIVEN: Any = np._NoValue


def refuse(called: str, **options: Any) -> None:
    """Raise for an option of NumPy's that is not supported, if it is given."""
    for name, value in options.items():
        if value is not None and value is not NOT_GIVEN:
            raise OperandError(f"{called} of a Tensor does not take {name}=")


def kept(keepdims: Any) -> bool:
    """NumPy's keepdims, which may not be given."""
    return False if keepdims is NOT_GIVEN else bool(keepdims)


# ---- averages and spreads

def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = NOT_GIVEN) -> Any:
    """np.average: Σ w a / Σ w; the weights in the shape of a, or of its axes that are averaged."""
    keepdims = kept(keepdims)
    if weights is None:
        y = np.mean(a, axis=axis, keepdims=keepdims)
        return (y, np.size(a) / (np.size(y) or 1) * np.ones_like(y)) if returned else y
    if np.shape(weights) == np.shape(a):
        total, products = np.sum(weights, axis=axis, keepdims=keepdims), np.multiply(a, weights)
    else:
        w = beside(weights, a, axis)
        total, products = np.sum(w, axis=axis, keepdims=keepdims), np.multiply(a, w)
    y = np.sum(products, axis=axis, keepdims=keepdims) / total
    return (y, np.broadcast_to(total, np.shape(y))) if returned else y


def beside(weights: Any, a: Any, axis: Any) -> Any:
    """Weights for some axes of an array, shaped to stand beside it."""
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    axes = [i % np.ndim(a) for i in (axis if isinstance(axis, tuple) else (axis,))]
    if np.shape(weights) != tuple(np.shape(a)[i] for i in axes):
        raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
    ordered = np.transpose(weights, sorted(range(len(axes)), key=axes.__getitem__))
    return np.reshape(ordered, tuple(n if i in axes else 1 for i, n in enumerate(np.shape(a))))


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NOT_GIVEN) -> Any:
    """np.ptp: the maximum less the minimum."""
    refuse("np.ptp", out=out)
    keepdims = kept(keepdims)
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = NOT_GIVEN, append: Any = NOT_GIVEN) -> Any:
    """np.diff: aᵢ₊₁ - aᵢ, n times."""
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n}")
    if n == 0:
        return a
    if np.ndim(a) == 0:
        raise ValueError("diff requires input that is at least one dimensional")
    axis = axis % np.ndim(a)
    one = tuple(1 if i == axis else size for i, size in enumerate(np.shape(a)))
    ends = [x if x is NOT_GIVEN or np.ndim(x) else np.broadcast_to(x, one) for x in (prepend, append)]
    if any(x is not NOT_GIVEN for x in ends):
        a = np.concatenate([x for x in (ends[0], a, ends[1]) if x is not NOT_GIVEN], axis=axis)
    before = (slice(None),) * axis
    for _ in range(n):
        later, earlier = a[(*before, slice(1, None))], a[(*before, slice(None, -1))]
        a = later != earlier if a.dtype == bool else later - earlier
    return a


# ---- without NaNs

def nansum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NOT_GIVEN,
           initial: Any = NOT_GIVEN, where: Any = NOT_GIVEN) -> Any:
    """np.nansum: the sum of what is no NaN."""
    refuse("np.nansum", dtype=dtype, out=out, initial=initial, where=where)
    return np.sum(np.where(np.isnan(a), 0, a), axis=axis, keepdims=kept(keepdims))


def nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NOT_GIVEN, *,
            where: Any = NOT_GIVEN) -> Any:
    """np.nanmean: the mean of what is no NaN."""
    refuse("np.nanmean", dtype=dtype, out=out, where=where)
    missing, keepdims = np.isnan(a), kept(keepdims)
    count = np.count_nonzero(np.logical_not(missing), axis=axis, keepdims=keepdims)
    return np.sum(np.where(missing, 0, a), axis=axis, keepdims=keepdims) / count.astype(a.dtype)


# ---- norms

def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """np.linalg.norm, but for those that are singular values. Where a norm is 0, so is its gradient."""
    if ord is None or (axis is None and (np.ndim(x), ord) in [(2, "fro"), (2, "f"), (1, 2)]):
        return reductions.norm(x, axis=axis, keepdims=keepdims)
    axes = tuple(range(np.ndim(x))) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if len(axes) == 1:
        return vector_norm(x, ord, axes[0], keepdims)
    if len(axes) == 2:
        return matrix_norm(x, ord, (axes[0] % np.ndim(x), axes[1] % np.ndim(x)), keepdims)
    raise ValueError("Improper number of dimensions to norm.")


def vector_norm(x: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    """(Σ |x|ᵖ)^(1/p), p being `ord`; at ±∞ the largest and smallest |x|, at 0 how many are not 0."""
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    if ord == 2:
        return reductions.norm(x, axis=axis, keepdims=keepdims)
    if ord == 0:
        return np.sum((x != 0).astype(x.dtype), axis=axis, keepdims=keepdims)
    size = np.abs(x)
    if ord in (np.inf, -np.inf):
        return (np.max if ord > 0 else np.min)(size, axis=axis, keepdims=keepdims)
    if ord == 1:
        return np.sum(size, axis=axis, keepdims=keepdims)
    total = np.sum(size ** ord, axis=axis, keepdims=keepdims)
    return np.where(total == 0, total, np.where(total == 0, 1, total) ** (1 / ord))


def matrix_norm(x: Any, ord: Any, axes: tuple[int, int], keepdims: bool) -> Any:
    """At ±1 the largest and smallest sum of a column's |x|, at ±∞ of a row's."""
    rows, columns = axes
    if rows == columns:
        raise ValueError("Duplicate axes given.")
    if ord in ("fro", "f"):
        return reductions.norm(x, axis=axes, keepdims=keepdims)
    if ord not in (1, -1, np.inf, -np.inf):
        if ord in (2, -2, "nuc"):
            raise NoRuleError(f"np.linalg.norm of matrices with ord={ord!r} is one of singular values, which have no "
                              "derivative rule here; ord='fro' is the square root of the sum of squares")
        raise ValueError("Invalid norm order for matrices.")
    inside, outside = (rows, columns) if ord in (1, -1) else (columns, rows)
    y = (np.max if ord > 0 else np.min)(np.sum(np.abs(x), axis=inside, keepdims=True), axis=outside, keepdims=True)
    return y if keepdims else np.squeeze(y, axis=axes)
