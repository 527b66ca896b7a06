"""Indexing and its transpose.

The index is an option, except that arrays in it (integers, booleans) are operands of their own: they may be
results themselves, and a replay must see them. Where they stood, the index has a HOLE.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from autodiff.kinds import At, Op, constant, linear_op
from autodiff.tensor import Tensor


class Hole:
    """The place of an array within an index."""

    def __repr__(self) -> str:
        return "□"


HOLE = Hole()


def separated(index: Any) -> tuple[Any, tuple[Any, ...]]:
    """An index with holes, and the arrays that fill them."""
    if isinstance(index, tuple):
        given = [isinstance(i, tuple) or is_array(i) for i in index]
        arrays = tuple(as_index_array(i) for i, array in zip(index, given) if array)
        return tuple(HOLE if array else i for i, array in zip(index, given)), arrays
    return (HOLE, (as_index_array(index),)) if is_array(index) else (index, ())


def is_array(i: Any) -> bool:
    """Whether a part of an index is data rather than structure."""
    return isinstance(i, Tensor | np.ndarray | list) or hasattr(i, "__array_function__")


def as_index_array(i: Any) -> Any:
    """Lists and inner tuples become arrays of integers (an empty one too)."""
    return np.array(i, dtype=None if i else np.intp) if isinstance(i, list | tuple) else i


def filled(index: Any, arrays: Any) -> Any:
    """The index with its holes filled in order."""
    fill: Iterator[Any] = iter(arrays)
    if isinstance(index, tuple):
        return tuple(next(fill) if i is HOLE else i for i in index)
    return next(fill) if index is HOLE else index


def placed(*operands: Any, indices: tuple[tuple[Any, int], ...], shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with values added in at their indices; a place named twice gets both."""
    n = len(indices)
    out = np.zeros_like(operands[0], shape=shape)
    for value, (index, start) in zip(operands[:n], indices, strict=True):
        arrays = operands[n + start:n + start + holes(index)]
        where = filled(index, arrays)
        if any(array.dtype.kind != "b" for array in arrays):
            np.add.at(out, where, value)
        else:
            out[where] += value
    return out


def holes(index: Any) -> int:
    """How many arrays an index takes."""
    return sum(i is HOLE for i in index) if isinstance(index, tuple) else int(index is HOLE)


def picked(g: Any, y: Any, *operands: Any, indices: tuple[tuple[Any, int], ...], shape: tuple[int, ...]) -> list[Any]:
    """What of g stands where each operand's values were placed."""
    arrays = operands[len(indices):]
    return [g[filled(index, arrays[start:start + holes(index)])] for index, start in indices]


def replaced(x: Any, value: Any, *arrays: Any, index: Any) -> Any:
    """A copy of x with ``copy[index] = value``."""
    if x.dtype.kind in "biu" and np.result_type(value).kind in "fc":
        raise TypeError(f"values of dtype {np.result_type(value)} do not fit an array of dtype {x.dtype}; "
                        "convert that with .astype(np.float64)")
    out = np.copy(x)
    out[filled(index, arrays)] = value
    return out if out.ndim else out[()]


def written_last(x: Any, *arrays: Any, index: Any) -> Any:
    """Which elements of a value assigned to ``x[index]`` are still there: of several for one place the last."""
    where = filled(index, arrays)
    order = np.zeros_like(x, dtype=np.intp)
    turn = np.reshape(np.cumsum(np.ones_like(order[where])), np.shape(order[where]))
    order[where] = turn
    return order[where] == turn


def assigned(g: Any, y: Any, x: Any, value: Any, *arrays: Any, index: Any) -> list[Any]:
    """g where x was left as it was, and g at the index."""
    at = getitem(g, filled(index, arrays))
    if any(not_a_mask(array) for array in arrays):
        at = np.where(last(x, *arrays, index=index), at, 0)
    extra = np.ndim(value) - np.ndim(at)                            # assignment drops leading axes of length one
    return [put(g, 0, *arrays, index=index), np.expand_dims(at, tuple(range(extra))) if extra > 0 else at]


def not_a_mask(array: Any) -> bool:
    """Whether an array in an index may name a place twice."""
    return bool(array.dtype.kind != "b")


# ------------- name       forward                                             transpose
item    = linear_op("getitem", lambda x, index: operator.getitem(x, index),    lambda g, y, x, index: At(g, index))
items   = Op(lambda x, *arrays, index: x[filled(index, arrays)], "getitem").variadic(
    lambda g, y, x, *arrays, index: [At(g, index, arrays)], leading=lambda options: 1)
scatter = Op(placed, "scatter").variadic(picked, leading=lambda options: len(options["indices"]))
put: Op = Op(replaced, "index_update").variadic(assigned, leading=lambda options: 2)
last    = constant("written_last", written_last)


def getitem(x: Any, index: Any) -> Any:
    """``x[index]``: basic, integer, boolean and mixed."""
    template, arrays = separated(index)
    return items(x, *arrays, index=template) if arrays else item(x, index=index)


def index_update(x: Any, index: Any, value: Any) -> Any:
    """x with ``x[index] = value``, as a new array; x itself is left as it is.

    Linear in both: what is overwritten has gradient zero. An index that names a place several times writes there
    several times, and the last value stays.

    Parameters
    ----------
    x : Tensor or array
        Any shape; the result has its shape and dtype.
    index : int, slice, array, mask or tuple of these
        As between brackets; arrays in it may be tensors.
    value : Tensor, array or number
        Broadcast to ``x[index]``.

    Raises
    ------
    OperandError
        If `value` is floating-point and x holds integers.

    Examples
    --------
    >>> x = ad.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = ad.index_update(x, 1, x[0] * 10)
    >>> y.numpy()
    array([ 1., 10.,  3.])
    >>> y.sum().backward()
    >>> x.grad
    array([11.,  0.,  1.])
    """
    template, arrays = separated(index)
    x, value = (v if isinstance(v, Tensor) or hasattr(v, "__array_ufunc__") else np.asarray(v)[()] for v in (x, value))
    return put(x, value, *arrays, index=template)


def put_together(parts: list[At], like: Any, arrived: Any = None) -> Any:
    """Contributions to single elements as one array, with what has arrived for the whole.

    For an op with several outputs: as one cotangent per output.
    """
    if isinstance(like, tuple):
        terms: list[list[Any]] = [[] for _ in like]
        for part in parts:
            terms[part.index].append(part.value)
        return tuple(sum_of(values, y) for values, y in zip(terms, like))
    indices: list[tuple[Any, int]] = []
    arrays: list[Any] = []
    for part in parts:
        indices.append((part.index, len(arrays)))
        arrays += part.parts
    whole = scatter(*(part.value for part in parts), *arrays, indices=tuple(indices), shape=np.shape(like))
    return whole if arrived is None else arrived + whole


def sum_of(terms: list[Any], like: Any) -> Any:
    """Their sum; if there are none a zero, broadcast, by which a rule can know it."""
    if terms:
        return sum(terms[1:], start=terms[0])
    return np.broadcast_to(like.dtype.type(0), like.shape) if type(like) is np.ndarray else np.zeros_like(like)
