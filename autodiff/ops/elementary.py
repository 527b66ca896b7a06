"""Functions of one argument, and conversions between dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.kinds import constant, elementwise, linear_op

# ---------------- name      forward    dy/dx
sqrt  = elementwise("sqrt",  np.sqrt,   lambda y, x: 0.5 / y)
exp   = elementwise("exp",   np.exp,    lambda y, x: y)
log   = elementwise("log",   np.log,    lambda y, x: 1 / x,        vjp={0: lambda g, y, x: g / x})
log1p = elementwise("log1p", np.log1p,  lambda y, x: 1 / (1 + x))
tanh  = elementwise("tanh",  np.tanh,   lambda y, x: (1 + y) * (1 - y))

# --------------- name          forward                            transpose
alias = linear_op("alias",      lambda x: x[...],                  lambda g, y, x: g)
copy  = linear_op("copy",       lambda x: np.copy(x)[()],          lambda g, y, x: g)
real  = linear_op("real",       np.real,                           lambda g, y, x: g,  analytic=lambda x: x[...])


def astype(x: Any, dtype: Any) -> Any:
    """The values in another dtype."""
    return x.astype(dtype)


def keeping_precision(x: Any, dtype: Any) -> Any:
    """In a replay in another dtype, a conversion between floating-point dtypes is none."""
    return x[...] if x.dtype.kind in "fc" else x.astype(dtype)


# To a floating-point dtype a conversion is linear (the walk casts g back); to any other it is a step function.
cast = linear_op("astype", astype, lambda g, y, x, dtype: g, analytic=keeping_precision)
truncate = constant("truncate", astype, lambda x, dtype: np.real(x).astype(dtype))
