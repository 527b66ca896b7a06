"""Functions of one argument, and conversions between dtypes.

nan_to_num passes the gradient where its operand is finite.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.kinds import constant, elementwise, linear_op

LOG_2, LOG_10 = math.log(2), math.log(10)


def cube_root(x: Any) -> Any:
    """np.cbrt, which knows no complex numbers."""
    negative = np.real(x) < 0
    root = np.where(negative, -x, x) ** (1 / 3)
    return np.where(negative, -root, root)[()]


# ---------------- name      forward    dy/dx
sqrt  = elementwise("sqrt",  np.sqrt,   lambda y, x: 0.5 / y)
exp   = elementwise("exp",   np.exp,    lambda y, x: y,            vjp={0: lambda g, y, x: g * y})
log   = elementwise("log",   np.log,    lambda y, x: 1 / x,        vjp={0: lambda g, y, x: g / x})
exp2  = elementwise("exp2",  np.exp2,   lambda y, x: y * LOG_2)
expm1 = elementwise("expm1", np.expm1,  lambda y, x: np.exp(x))
log2  = elementwise("log2",  np.log2,   lambda y, x: 1 / LOG_2 / x,   vjp={0: lambda g, y, x: g / LOG_2 / x})
log10 = elementwise("log10", np.log10,  lambda y, x: 1 / LOG_10 / x,  vjp={0: lambda g, y, x: g / LOG_10 / x})
log1p = elementwise("log1p", np.log1p,  lambda y, x: 1 / (1 + x))
cbrt  = elementwise("cbrt",  np.cbrt,   lambda y, x: 1 / (3 * y * y),   analytic=cube_root)
reciprocal = elementwise("reciprocal", np.reciprocal,  lambda y, x: -y * y)
tanh  = elementwise("tanh",  np.tanh,   lambda y, x: (1 + y) * (1 - y),   vjp={0: lambda g, y, x: g * ((1 + y) * (1 - y))})

# --------------- name          forward                            transpose
alias = linear_op("alias",      lambda x: x[...],                  lambda g, y, x: g)
copy  = linear_op("copy",       lambda x: np.copy(x)[()],          lambda g, y, x: g)
detached = constant("detach",   copy.forward, lambda x: np.copy(np.real(x))[()])     # only where a program is to be run again


def finite(x: Any, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """NumPy's nan_to_num."""
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


nan_to_num = elementwise("nan_to_num", finite, lambda y, x, nan=0.0, posinf=None, neginf=None: np.isfinite(x))


def astype(x: Any, dtype: Any) -> Any:
    """The values in another dtype."""
    return x.astype(dtype)


def keeping_precision(x: Any, dtype: Any) -> Any:
    """In a replay in another dtype, a conversion between floating-point dtypes is none."""
    return x[...] if x.dtype.kind in "fc" else x.astype(dtype)


# To a floating-point dtype a conversion is linear (the walk casts g back); to any other it is a step function.
cast = linear_op("astype", astype, lambda g, y, x, dtype: g, analytic=keeping_precision)
truncate = constant("truncate", astype, lambda x, dtype: np.real(x).astype(dtype))
