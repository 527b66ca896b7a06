"""What picks elements by position, by order or by condition, in terms of indexing and `where`.

At equal values sort keeps their order, and with it whose gradient goes where.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autodiff.kinds import At, constant, linear_op
from autodiff.ops.indexing import HOLE
from autodiff.tensor import Tensor

ALL = slice(None)


def given(x: Any) -> Any:
    """Values on which what is selected depends, when that must be known now."""
    return x.record.value if isinstance(x, Tensor) else x


def flat_unless(axis: int | None, a: Any) -> tuple[Any, int]:
    """The array and the axis to go along; without an axis, everything in one row."""
    if axis is None:
        return np.reshape(a, -1), 0
    return a, normalize_axis_index(axis, np.ndim(a))


def along(axis: int, index: Any) -> tuple[Any, ...]:
    """The index that has `index` at one axis."""
    return (*(ALL,) * axis, index)


def gathered_back(g: Any, y: Any, x: Any, repeats: Any, axis: int | None = None) -> Any:
    """The copies of each element, added up."""
    shape = np.shape(x)
    if axis is not None:
        axis = normalize_axis_index(axis, len(shape))
    if isinstance(repeats, int):
        copies = (*shape, repeats) if axis is None else (*shape[:axis + 1], repeats, *shape[axis + 1:])
        return np.sum(np.reshape(g, copies), axis=len(shape) if axis is None else axis + 1)
    if axis is not None:
        return At(g, along(axis, HOLE), (np.repeat(np.arange(shape[axis]), repeats),))
    if not shape:
        return np.sum(g)
    return At(g, (HOLE,) * len(shape), np.unravel_index(np.repeat(np.arange(x.size), repeats), shape))


def ordering(x: Any, axis: Any = -1, kind: Any = None, stable: Any = None) -> Any:
    """NumPy's argsort."""
    return np.argsort(x, axis=axis, kind=kind, stable=stable)


def ordering_of_real(x: Any, **options: Any) -> Any:
    """Its replay form."""
    return ordering(np.real(x), **options)


repeat = linear_op("repeat", lambda x, repeats, axis=None: np.repeat(x, repeats, axis), gathered_back)
argsort = constant("argsort", ordering, ordering_of_real)


# ---- as NumPy's functions of the same names

def take(a: Any, indices: Any, axis: int | None = None, *, mode: str = "raise") -> Any:
    """Elements by position along an axis."""
    a, axis = flat_unless(axis, a)
    indices = indices if hasattr(indices, "dtype") else np.asarray(indices, dtype=None if np.size(indices) else np.intp)
    if indices.dtype.kind == "b":
        indices = indices.astype(np.intp)
    n = np.shape(a)[axis]
    if mode != "raise":
        indices = np.clip(indices, 0, n - 1) if mode == "clip" else indices % n
    return a[along(axis, indices if indices.ndim else indices[()])]


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Of each row the elements at its own positions."""
    arr, axis = flat_unless(axis, arr)
    ndim = np.ndim(arr)
    if np.ndim(indices) != ndim:
        raise ValueError(f"take_along_axis: the indices have {np.ndim(indices)} axes, the array {ndim}")
    places = [np.reshape(np.arange(n), (-1,) + (1,) * (ndim - i - 1)) for i, n in enumerate(np.shape(arr))]
    return arr[(*places[:axis], indices, *places[axis + 1:])]


def compress(condition: Any, a: Any, axis: int | None = None) -> Any:
    """The slices along an axis for which the condition holds; a short one leaves out the rest."""
    a, axis = flat_unless(axis, a)
    if not hasattr(condition, "dtype"):
        condition = np.asarray(condition, dtype=bool)
    elif condition.dtype.kind != "b":
        condition = condition != 0
    short = np.shape(condition)[0] < np.shape(a)[axis]
    return (a[along(axis, slice(np.shape(condition)[0]))] if short else a)[along(axis, condition)]


def extract(condition: Any, arr: Any) -> Any:
    """The elements for which the condition holds."""
    return compress(np.ravel(condition), np.ravel(arr))


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Of several choices the first whose condition holds."""
    if len(condlist) != len(choicelist):
        raise ValueError(f"select: {len(condlist)} conditions for {len(choicelist)} choices")
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist)):
        result = np.where(condition, choice, result)
    return result


def choose(a: Any, choices: Any, *, mode: str = "raise") -> Any:
    """For each element the choice of that number."""
    n = len(choices)
    if mode == "raise" and np.any((given(a) < 0) | (given(a) >= n)):
        raise ValueError(f"choose: there are {n} choices, numbered from 0")
    if mode != "raise":
        a = np.clip(a, 0, n - 1) if mode == "clip" else a % n
    result = choices[0]
    for k in range(1, n):
        result = np.where(a == k, choices[k], result)
    return np.broadcast_to(result, np.shape(a)) if n == 1 else result


def sort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """The elements in order along an axis; always stable."""
    a, axis = flat_unless(axis, a)
    return take_along_axis(a, argsort(a, axis=axis, kind="stable"), axis)


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonals of the matrices that two axes make, as the last axis."""
    if not {axis1, axis2} <= {-2, -1} or axis1 == axis2:
        a = np.moveaxis(a, (axis1, axis2), (-2, -1))
    elif axis1 == -1:
        a = np.swapaxes(a, -1, -2)
    rows, columns = np.shape(a)[-2:]
    i = np.arange(max(0, min(rows + min(offset, 0), columns - max(offset, 0))))
    return a[..., i - min(offset, 0), i + max(offset, 0)]


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal."""
    return np.sum(diagonal(a, offset, axis1, axis2), axis=-1)


def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """Everything but what stands at some positions."""
    arr, axis = flat_unless(axis, arr)
    return arr[along(axis, np.delete(np.arange(np.shape(arr)[axis]), given(obj)))]


def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """Values after those of an array."""
    return np.concatenate([arr, values], axis=axis)


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """Values before some positions of an array."""
    arr, axis = flat_unless(axis, arr)
    shape, obj = np.shape(arr), given(obj)
    values = np.reshape(values, (1,) * (len(shape) - np.ndim(values)) + np.shape(values))
    if np.ndim(obj) == 0 and not isinstance(obj, slice):
        values = np.moveaxis(values, 0, axis)
        new = np.shape(values)[axis]
        obj = [obj] * new
    else:
        new = len(range(*obj.indices(shape[axis]))) if isinstance(obj, slice) else np.size(obj)
    values = np.broadcast_to(values, (*shape[:axis], new, *shape[axis + 1:]))
    order = np.insert(np.arange(shape[axis]), obj, shape[axis] + np.arange(new))
    return np.concatenate([arr, values], axis=axis)[along(axis, order)]
