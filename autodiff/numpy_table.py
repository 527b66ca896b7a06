"""Which NumPy name is which operation: the coverage, as tables. `protocol` reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.kinds import Op, constant
from autodiff.ops import arithmetic as a
from autodiff.ops import arranging as arr
from autodiff.ops import complex as c
from autodiff.ops import composed, cumulative, linalg, products, reductions, shapes, stable
from autodiff.ops import contraction as con
from autodiff.ops import elementary as e
from autodiff.ops import selecting as sel
from autodiff.ops import trigonometric as t

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
    np.fmax: a.fmax, np.fmin: a.fmin, np.fabs: a.fabs, np.copysign: a.copysign, np.heaviside: a.heaviside,
    np.hypot: a.hypot, np.float_power: a.float_power, np.remainder: a.remainder, np.fmod: a.fmod,
    np.floor_divide: a.floor_divide, np.ceil: a.ceil, np.trunc: a.trunc, np.rint: a.rint, np.signbit: a.signbit,
    np.exp2: e.exp2, np.expm1: e.expm1, np.log2: e.log2, np.log10: e.log10, np.cbrt: e.cbrt,
    np.reciprocal: e.reciprocal, np.logaddexp: stable.logaddexp, np.logaddexp2: stable.logaddexp2,
    np.sin: t.sin, np.cos: t.cos, np.tan: t.tan, np.arcsin: t.arcsin, np.arccos: t.arccos, np.arctan: t.arctan,
    np.arctan2: t.arctan2, np.sinh: t.sinh, np.cosh: t.cosh, np.arcsinh: t.arcsinh, np.arccosh: t.arccosh,
    np.arctanh: t.arctanh, np.radians: t.radians, np.deg2rad: t.radians, np.degrees: t.degrees, np.rad2deg: t.degrees,
    np.matmul: products.matmul, np.conjugate: c.conj,
    np.isfinite: constant("isfinite", np.isfinite), np.isnan: constant("isnan", np.isnan),
    np.isinf: constant("isinf", np.isinf),
}
REDUCTIONS: dict[np.ufunc, Op] = {
    np.add: reductions.sum_, np.multiply: reductions.prod, np.maximum: reductions.max_, np.minimum: reductions.min_,
    np.logical_and: reductions.all_, np.logical_or: reductions.any_,
}

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
    np.prod: (reductions.prod, "axis dtype out keepdims initial where"),
    np.var: (reductions.var, "axis dtype out ddof keepdims where mean correction"),
    np.std: (reductions.std, "axis dtype out ddof keepdims where mean correction"),
    np.median: (reductions.median, "axis out overwrite_input keepdims"),
    np.nanmax: (reductions.nanmax, "axis out keepdims initial where"),
    np.nanmin: (reductions.nanmin, "axis out keepdims initial where"),
    np.argmax: (reductions.argmax, "axis out keepdims"),
    np.argmin: (reductions.argmin, "axis out keepdims"),
    np.any: (reductions.any_, "axis out keepdims where"),
    np.all: (reductions.all_, "axis out keepdims where"),
    np.count_nonzero: (reductions.count_nonzero, "axis keepdims"),
    np.nonzero: (reductions.nonzero, ""),
    np.cumsum: (cumulative.cumsum, "axis dtype out"),
    np.cumprod: (cumulative.cumprod, "axis dtype out"),
    np.round: (a.round_, "decimals out"),
    np.around: (a.round_, "decimals out"),
    np.fix: (a.trunc, "out"),
    np.sinc: (t.sinc, ""),
    np.nan_to_num: (e.nan_to_num, "copy nan posinf neginf"),
    np.reshape: (shapes.reshape, "shape order copy"),
    np.transpose: (shapes.transpose, "axes"),
    np.expand_dims: (shapes.expand_dims, "axis"),
    np.squeeze: (shapes.squeeze, "axis"),
    np.broadcast_to: (shapes.broadcast_to, "shape subok"),
    np.split: (shapes.split, "indices_or_sections axis"),
    np.concatenate: (shapes.concatenate, "axis out dtype casting"),
    np.stack: (shapes.stack, "axis out dtype casting"),
    np.where: (a.where, ""),
    np.real: (c.real, ""), np.imag: (c.imag, ""),
    np.swapaxes: (shapes.swapaxes, "axis1 axis2"), np.moveaxis: (shapes.moveaxis, "source destination"),
    np.flip: (shapes.flip, "axis"), np.roll: (shapes.roll, "shift axis"), np.rot90: (shapes.rot90, "k axes"),
    np.tile: (shapes.tile, "reps"), np.repeat: (sel.repeat, "repeats axis"),
    np.tril: (shapes.tril, "k"), np.triu: (shapes.triu, "k"),
    np.argsort: (sel.argsort, "axis kind order"),
    np.linalg.inv: (linalg.inv, ""), np.linalg.det: (linalg.det, ""), np.linalg.solve: (linalg.solve, ""),
    np.copy: (e.copy, "order subok"),
}
SEQUENCES = (np.concatenate, np.stack)                 # their first argument is a sequence of operands
NUMPY_DEFAULTS = {"order": ("C", "K"), "casting": ("same_kind",), "subok": (False,), "copy": (True,),
                  "overwrite_input": (False,)}

# These look at shapes and dtypes, or only compare: they answer with plain values.
METADATA = {np.shape, np.ndim, np.size, np.result_type, np.zeros_like, np.ones_like, np.full_like, np.empty_like,
            np.array_equal, np.allclose, np.isclose, np.can_cast, np.may_share_memory, np.shares_memory,
            np.array_repr, np.array_str, np.array2string, np.iscomplexobj, np.isrealobj}

# What is written in terms of the above: NumPy's function, and ours of the same signature (see `ops.composed`).
COMPOSED: dict[Callable[..., Any], Callable[..., Any]] = {
    np.average: composed.average, np.diff: composed.diff, np.ptp: composed.ptp, np.nansum: composed.nansum,
    np.nanmean: composed.nanmean, np.linalg.norm: composed.norm,
    np.ravel: arr.ravel, np.rollaxis: arr.rollaxis, np.matrix_transpose: arr.matrix_transpose,
    np.linalg.matrix_transpose: arr.matrix_transpose, np.atleast_1d: arr.atleast_1d,
    np.atleast_2d: arr.atleast_2d, np.atleast_3d: arr.atleast_3d, np.hstack: arr.hstack, np.vstack: arr.vstack,
    np.dstack: arr.dstack, np.column_stack: arr.column_stack, np.array_split: arr.array_split,
    np.hsplit: arr.hsplit, np.vsplit: arr.vsplit, np.dsplit: arr.dsplit, np.broadcast_arrays: arr.broadcast_arrays,
    np.meshgrid: arr.meshgrid, np.fliplr: arr.fliplr, np.flipud: arr.flipud, np.diag: arr.diag,
    np.diagflat: arr.diagflat, np.pad: arr.pad,
    np.take: sel.take, np.take_along_axis: sel.take_along_axis, np.compress: sel.compress, np.extract: sel.extract,
    np.select: sel.select, np.choose: sel.choose, np.sort: sel.sort, np.diagonal: sel.diagonal, np.trace: sel.trace,
    np.delete: sel.delete, np.append: sel.append, np.insert: sel.insert,
    np.einsum: con.einsum, np.outer: con.outer, np.inner: con.inner, np.dot: con.dot, np.vdot: con.vdot,
    np.tensordot: con.tensordot, np.kron: con.kron, np.cross: con.cross, np.linalg.outer: con.outer,
    np.linalg.tensordot: con.tensordot, np.linalg.cross: con.cross, np.angle: c.angle,
    np.linalg.slogdet: linalg.slogdet_named, np.linalg.cholesky: linalg.cholesky_of,
    np.linalg.matrix_power: linalg.matrix_power,
}
