"""Which NumPy name is which operation: the coverage, as tables. `protocol` reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.kinds import Op, constant
from autodiff.ops import arithmetic as a
from autodiff.ops import elementary as e
from autodiff.ops import products, reductions, shapes

# ---- universal functions, and their reductions

UFUNCS: dict[np.ufunc, Op] = {
    np.add: a.add, np.subtract: a.subtract, np.multiply: a.multiply, np.divide: a.divide,
    np.negative: a.negative, np.absolute: a.absolute, np.square: a.square, np.power: a.power,
    np.maximum: a.maximum, np.minimum: a.minimum, np.sign: a.sign, np.floor: a.floor,
    np.greater: a.greater, np.greater_equal: a.greater_equal, np.less: a.less, np.less_equal: a.less_equal,
    np.equal: a.equal, np.not_equal: a.not_equal, np.logical_and: a.logical_and, np.logical_or: a.logical_or,
    np.logical_xor: a.logical_xor, np.logical_not: a.logical_not, np.bitwise_and: a.bitwise_and,
    np.bitwise_or: a.bitwise_or, np.bitwise_xor: a.bitwise_xor, np.invert: a.invert,
    np.sqrt: e.sqrt, np.exp: e.exp, np.log: e.log, np.log1p: e.log1p, np.tanh: e.tanh, np.positive: e.alias,
    np.matmul: products.matmul,
    np.isfinite: constant("isfinite", np.isfinite), np.isnan: constant("isnan", np.isnan),
    np.isinf: constant("isinf", np.isinf),
}
REDUCTIONS: dict[np.ufunc, Op] = {np.add: reductions.sum_, np.maximum: reductions.max_, np.minimum: reductions.min_}

# ---- other functions

# Per function its op and NumPy's parameters after the operands, in NumPy's order. What the op does not know
# must be left at its default.
FUNCTIONS: dict[Callable[..., Any], tuple[Op, str]] = {
    np.sum: (reductions.sum_, "axis dtype out keepdims initial where"),
    np.mean: (reductions.mean_, "axis dtype out keepdims where"),
    np.max: (reductions.max_, "axis out keepdims initial where"),
    np.amax: (reductions.max_, "axis out keepdims initial where"),
    np.min: (reductions.min_, "axis out keepdims initial where"),
    np.amin: (reductions.min_, "axis out keepdims initial where"),
    np.reshape: (shapes.reshape, "shape order copy"),
    np.transpose: (shapes.transpose, "axes"),
    np.expand_dims: (shapes.expand_dims, "axis"),
    np.squeeze: (shapes.squeeze, "axis"),
    np.broadcast_to: (shapes.broadcast_to, "shape subok"),
    np.split: (shapes.split, "indices_or_sections axis"),
    np.concatenate: (shapes.concatenate, "axis out dtype casting"),
    np.stack: (shapes.stack, "axis out dtype casting"),
    np.where: (a.where, ""),
    np.real: (e.real, ""),
    np.copy: (e.copy, "order subok"),
}
SEQUENCES = (np.concatenate, np.stack)                 # their first argument is a sequence of operands
NUMPY_DEFAULTS = {"order": ("C", "K"), "casting": ("same_kind",), "subok": (False,)}

# These look at shapes and dtypes, or only compare: they answer with plain values.
METADATA = {np.shape, np.ndim, np.size, np.result_type, np.zeros_like, np.ones_like, np.full_like, np.empty_like,
            np.array_equal, np.allclose, np.isclose, np.can_cast, np.may_share_memory, np.shares_memory,
            np.array_repr, np.array_str, np.array2string, np.iscomplexobj, np.isrealobj}

# What is written in terms of the above: NumPy's function, and ours of the same signature (see `ops.composed`).
COMPOSED: dict[Callable[..., Any], Callable[..., Any]] = {}
