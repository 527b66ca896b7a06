"""What joins, splits, pads and turns arrays, in terms of `shapes`: NumPy's functions of the same names."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.errors import NoRuleError, OperandError
from autodiff.ops import shapes

# ---- axes

def ravel(a: Any, order: str = "C") -> Any:
    """In one row, by rows ("C") or by columns ("F")."""
    if order not in ("C", "F"):
        raise OperandError(f"ravel of a Tensor takes order='C' or 'F', not {order!r}: it has no layout to keep")
    return np.reshape(a if order == "C" else np.transpose(a), -1)


def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """One axis moved to before another."""
    axis, start = axis % np.ndim(a), start + np.ndim(a) * (start < 0)
    return np.moveaxis(a, axis, start - (axis < start))


def matrix_transpose(x: Any, /) -> Any:
    """Each matrix of a stack transposed."""
    return np.swapaxes(x, -1, -2)


def atleast_1d(*arys: Any) -> Any:
    """Numbers as arrays of one element."""
    return each(lambda a: np.reshape(a, 1) if np.ndim(a) == 0 else a, arys)


def atleast_2d(*arys: Any) -> Any:
    """Vectors as matrices of one row."""
    return each(lambda a: a if np.ndim(a) > 1 else np.reshape(a, (1, -1)), arys)


def atleast_3d(*arys: Any) -> Any:
    """Matrices as stacks of one column each, vectors as one row of such."""
    return each(lambda a: a if np.ndim(a) > 2 else np.expand_dims(a, 2) if np.ndim(a) == 2 else np.reshape(a, (1, -1, 1)),
                arys)


def each(f: Any, arys: tuple[Any, ...]) -> Any:
    """f of the only array, or of each."""
    return f(arys[0]) if len(arys) == 1 else tuple(f(a) for a in arys)


# ---- joining and splitting

def hstack(tup: Any) -> Any:
    """Side by side."""
    arrays = [np.atleast_1d(a) for a in tup]
    return np.concatenate(arrays, axis=0 if np.ndim(arrays[0]) == 1 else 1)


def vstack(tup: Any) -> Any:
    """One below the other."""
    return np.concatenate([np.atleast_2d(a) for a in tup], axis=0)


def dstack(tup: Any) -> Any:
    """One behind the other."""
    return np.concatenate([np.atleast_3d(a) for a in tup], axis=2)


def column_stack(tup: Any) -> Any:
    """Vectors as the columns of a matrix."""
    return np.concatenate([a if np.ndim(a) > 1 else np.reshape(a, (-1, 1)) for a in tup], axis=1)


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """In parts that are as equal as they can be."""
    if np.ndim(indices_or_sections):
        return np.split(ary, tuple(int(i) for i in indices_or_sections), axis)
    parts, n = int(indices_or_sections), np.shape(ary)[axis]
    if parts <= 0:
        raise ValueError("number sections must be larger than 0.")
    sizes = [n // parts + (i < n % parts) for i in range(parts)]
    return np.split(ary, tuple(sum(sizes[:i + 1]) for i in range(parts - 1)), axis)


def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Along the columns."""
    return np.split(ary, indices_or_sections, 1 if np.ndim(ary) > 1 else 0)


def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Along the rows."""
    return np.split(within(ary, 2, "vsplit"), indices_or_sections, 0)


def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Along the third axis."""
    return np.split(within(ary, 3, "dsplit"), indices_or_sections, 2)


def within(ary: Any, ndim: int, called: str) -> Any:
    """The array, if it has so many axes."""
    if np.ndim(ary) < ndim:
        raise ValueError(f"{called} only works on arrays of {ndim} or more dimensions")
    return ary


def broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    """All stretched to their common shape."""
    shape = np.broadcast_shapes(*(np.shape(a) for a in args))
    return tuple(a if np.shape(a) == shape else np.broadcast_to(a, shape) for a in args)


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    """The coordinates of a grid."""
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    n = len(xi)
    places = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else list(range(n))
    grids = tuple(np.reshape(x, tuple(-1 if i == place else 1 for i in range(n))) for x, place in zip(xi, places))
    return grids if sparse else broadcast_arrays(*grids)


# ---- turning

def fliplr(m: Any) -> Any:
    """Columns backwards."""
    return np.flip(within(m, 2, "fliplr"), 1)


def flipud(m: Any) -> Any:
    """Rows backwards."""
    return np.flip(within(m, 1, "flipud"), 0)


def diag(v: Any, k: int = 0) -> Any:
    """A matrix with this diagonal, or the diagonal of this matrix."""
    return np.diagonal(v, k) if np.ndim(v) == 2 else shapes.diag(v, k=k)


def diagflat(v: Any, k: int = 0) -> Any:
    """A matrix with all elements on its diagonal."""
    return shapes.diag(np.reshape(v, -1), k=k)


# ---- margins

GATHERED = ("edge", "reflect", "symmetric", "wrap")


def pad(array: Any, pad_width: Any, mode: str = "constant", **keywords: Any) -> Any:
    """A margin of constants, or of what the array has at its edges."""
    ndim = np.ndim(array)
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(i, pad_width.get(i - ndim, 0)) for i in range(ndim)]
        pad_width = [(w, w) if np.ndim(w) == 0 else w for w in pad_width]
    width = tuple((int(a), int(b)) for a, b in np.broadcast_to(np.asarray(pad_width), (ndim, 2)))
    if mode == "constant":
        y = shapes.pad(array, pad_width=width)
        values = keywords.get("constant_values", 0)
        return y + np.pad(np.zeros_like(array), width, constant_values=values) if np.any(values) else y
    if mode not in GATHERED or keywords.get("reflect_type", "even") != "even":
        raise NoRuleError(f"np.pad has no rule for mode={mode!r} of these options; there is 'constant', "
                          f"{', '.join(map(repr, GATHERED))}")
    for axis, margin in enumerate(width):
        if any(margin):
            array = array[(slice(None),) * axis + (np.pad(np.arange(np.shape(array)[axis]), margin, mode=mode),)]   # type: ignore[call-overload]
    return array
