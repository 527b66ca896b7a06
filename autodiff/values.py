"""Values on their way in and out of the engine."""

from __future__ import annotations

from sys import _getframe
from typing import Any

import numpy as np
from numpy import ndarray

from autodiff.record import Array, Leaf
from autodiff.tensor import Tensor


def plain_value(x: Any, dtype: Any = None) -> Array:
    """Anything array-like as an array (or NumPy scalar) without a tape; device arrays stay where they are."""
    if isinstance(x, Tensor):
        x = x.record.value
    if not hasattr(x, "__array_ufunc__"):
        x = np.asarray(x)
    x = x if dtype is None or x.dtype == dtype else x.astype(dtype)
    return x[()] if isinstance(x, ndarray) and x.ndim == 0 else x


def unnamed(value: Array) -> Tensor:
    """A constant of the engine's own, which no line of the user's names."""
    return Tensor.of(Leaf(value, False, _getframe()))


def converted(value: Any, dtype: Any, like: Any = None) -> Any:
    """An operand in the dtype of a replay; what is no floating-point array stays as it is.

    Whole numbers given in place of a floating-point value `like` are meant as such.
    """
    if like is not None and value.dtype.kind in "biu" and like.dtype.kind in "fc":
        value = value.astype(like.dtype)
    if dtype is None or not hasattr(value, "dtype") or value.dtype.kind not in "fc":
        return value
    return value.astype(np.result_type(dtype, np.complex64) if value.dtype.kind == "c" else dtype)
