"""A strict stand-in for a device array: what is not dispatched to it fails.

It offers what CuPy's array offers (the operators, both NumPy protocols, a few methods) and refuses what CuPy's
refuses: conversion to a host array (`__array__` raises), host arrays as operands (as indices they are taken), writing
flags, functions that the device library does not have. A result without axes is a stand-in too, never a NumPy scalar,
and has no truth value for free: `transfers` counts each value that was brought to the host.
"""

import numpy as np

# What CuPy has under the same name, of what NumPy dispatches. Metadata functions (shape, ndim, size) included.
FUNCTIONS = {
    "sum",
    "mean",
    "max",
    "amax",
    "min",
    "amin",
    "prod",
    "reshape",
    "transpose",
    "expand_dims",
    "squeeze",
    "broadcast_to",
    "concatenate",
    "stack",
    "split",
    "where",
    "clip",
    "copy",
    "zeros_like",
    "ones_like",
    "full_like",
    "empty_like",
    "shape",
    "ndim",
    "size",
    "take_along_axis",
    "put_along_axis",
    "real",
    "imag",
    "dot",
    "array_equal",
    "allclose",
    "isclose",
    "may_share_memory",
    "shares_memory",
    "moveaxis",
    "swapaxes",
    "ravel",
    "result_type",
    "can_cast",
    "iscomplexobj",
    "isrealobj",
    "argmax",
    "argmin",
    "any",
    "all",
    "cumsum",
    "einsum",
    "tensordot",
    "outer",
    "tile",
    "repeat",
    "flip",
    "roll",
    "rot90",
    "pad",
    "tril",
    "triu",
    "diag",
    "diagonal",
    "argsort",
    "solve",
    "inv",
    "det",
    "slogdet",
    "cholesky",
    "var",
    "std",
    "median",
    "nanmax",
    "nanmin",
    "nansum",
    "nanmean",
    "norm",
    "cumprod",
    "count_nonzero",
    "nonzero",
    "round",
    "around",
    "fix",
    "sinc",
    "nan_to_num",
    "sort",
    "sliding_window_view",
}
METHODS = {"__call__", "reduce", "at"}
SCALARS = (bool, int, float, complex, np.generic)
transfers = []


class TransferError(TypeError):
    """Something asked for a host array."""


class Flags:
    """What a device array's flags tell; they cannot be set."""

    __slots__ = ("c_contiguous", "f_contiguous", "owndata")

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, flags.owndata


class StrictArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that lives elsewhere."""

    __slots__ = ("_there",)
    __hash__ = None

    def __init__(self, there):
        self._there = np.asarray(there)

    # ---- NumPy's protocols

    def __array__(self, dtype=None, copy=None):
        raise TransferError("implicit conversion to a NumPy array is not allowed; use .get()")

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **keywords):
        if method not in METHODS:
            return NotImplemented
        checked = (inputs[0], *inputs[2:]) if method == "at" else (*inputs, *(out or ()))
        for x in checked:
            if isinstance(x, np.ndarray):
                raise TypeError(f"unsupported type {type(x)}: move it to the device first")
            if not isinstance(x, (StrictArray, *SCALARS)):
                return NotImplemented
        there = [unwrapped(x) for x in inputs]
        if out is not None:
            if not isinstance(out[0], StrictArray):
                return NotImplemented
            getattr(ufunc, method)(*there, out=(out[0]._there,), **keywords)
            return out[0]
        return wrapped(getattr(ufunc, method)(*there, **keywords))

    def __array_function__(self, function, types, args, keywords):
        if function is np.asarray:                       # np.asarray(host, like=device) moves to the device
            return StrictArray(np.asarray(*args, **keywords))
        if function.__name__ not in FUNCTIONS or not all(issubclass(t, StrictArray | np.ndarray) for t in types):
            return NotImplemented
        refuse_host(args)
        refuse_host(keywords)
        return wrapped(function(*unwrapped(args), **unwrapped(keywords)))

    # ---- attributes and methods of a device array

    shape = property(lambda self: self._there.shape)
    dtype = property(lambda self: self._there.dtype)
    ndim = property(lambda self: self._there.ndim)
    size = property(lambda self: self._there.size)
    itemsize = property(lambda self: self._there.itemsize)
    nbytes = property(lambda self: self._there.nbytes)
    strides = property(lambda self: self._there.strides)
    T = property(lambda self: StrictArray(self._there.T))
    real = property(lambda self: StrictArray(self._there.real))
    flags = property(lambda self: Flags(self._there.flags))
    base = property(lambda self: None if self._there.base is None else StrictArray(self._there.base))

    def dot(self, other):
        if not isinstance(other, StrictArray):
            raise TypeError(f"unsupported type {type(other)}")
        return StrictArray(self._there.dot(other._there))

    def reshape(self, *shape, order="C"):
        return StrictArray(self._there.reshape(*shape, order=order))

    def transpose(self, *axes):
        return StrictArray(self._there.transpose(*axes))

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        return StrictArray(self._there.astype(dtype, order=order, copy=copy))

    def copy(self, order="C"):
        return StrictArray(self._there.copy(order))

    def sum(self, axis=None, dtype=None, out=None, keepdims=False):
        return StrictArray(self._there.sum(axis, dtype, out, keepdims))

    def ravel(self, order="C"):
        return StrictArray(self._there.ravel(order))

    def squeeze(self, axis=None):
        return StrictArray(self._there.squeeze(axis))

    def max(self, axis=None, out=None, keepdims=False):
        return StrictArray(self._there.max(axis, out, keepdims))

    def fill(self, value):
        self._there.fill(unwrapped(value))

    def __getitem__(self, index):
        return StrictArray(self._there[unwrapped(index)])

    def __setitem__(self, index, value):
        refuse_host(value)
        self._there[unwrapped(index)] = unwrapped(value)

    def __len__(self):
        return len(self._there)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        return f"StrictArray({self.shape}, {self.dtype})"

    # ---- the ways to the host, which are allowed and counted

    def get(self):
        transfers.append("get")
        return self._there.copy()

    def item(self):
        transfers.append("item")
        return self._there.item()

    def tolist(self):
        transfers.append("tolist")
        return self._there.tolist()

    def __bool__(self):
        transfers.append("bool")
        return bool(self._there)

    def __float__(self):
        transfers.append("float")
        return float(self._there)

    def __int__(self):
        transfers.append("int")
        return int(self._there)


def unwrapped(x):
    """Arguments with every stand-in replaced by what it stands for."""
    if isinstance(x, StrictArray):
        return x._there
    if isinstance(x, dict):
        return {key: unwrapped(value) for key, value in x.items()}
    return type(x)(unwrapped(item) for item in x) if isinstance(x, list | tuple) else x


def wrapped(y):
    """Results with every array and NumPy scalar as a stand-in."""
    if isinstance(y, np.ndarray | np.generic):
        return StrictArray(y)
    if hasattr(y, "_fields"):
        return type(y)(*map(wrapped, y))
    return (
        type(y)(wrapped(part) for part in y)
        if isinstance(y, list | tuple) and any(isinstance(part, np.ndarray) for part in y)
        else y
    )


def refuse_host(x):
    """Raise for a NumPy array among the arguments."""
    if isinstance(x, np.ndarray):
        raise TypeError(f"unsupported type {type(x)}: move it to the device first")
    if isinstance(x, dict):
        x = tuple(x.values())
    if isinstance(x, list | tuple):
        for item in x:
            refuse_host(item)
