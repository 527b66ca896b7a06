"""Complex numbers on the way from real inputs to a real loss, and the one convention for their gradients.

Leaves are real: a complex tensor that requires grad is refused. In between anything may be complex, and the gradient
of the real loss L with respect to z = a + ib is

    g = ∂L/∂a - i ∂L/∂b,        so that  dL = Re(g dz).

For an analytic w = f(z) the chain rule is then as on paper, g_z = g_w f'(z), without a conjugate in any rule; only what
is not analytic (conj, imag, |z|) says more. A real input takes the real part of its contribution. (PyTorch hands out
the conjugate of this g; on real leaves all agree.) A complex step into a program that is complex itself means nothing:
there the checks take differences instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.kinds import linear_op
from autodiff.ops.elementary import cast

# ------------- name     forward        transpose
real = linear_op("real", np.real,       lambda g, y, z: g,             analytic=lambda x: x[...])
imag = linear_op("imag", np.imag,       lambda g, y, z: g * -1j,       analytic=np.zeros_like)
conj = linear_op("conj", np.conjugate,  lambda g, y, z: np.conj(g),    analytic=lambda x: x[...])


def angle(z: Any, deg: bool = False) -> Any:
    """The argument of complex numbers."""
    theta = np.arctan2(np.imag(z), np.real(z))
    return theta * (180 / np.pi) if deg else theta


def fitted(c: Any, dtype: Any) -> Any:
    """A contribution in the dtype of what it belongs to; something real takes the real part."""
    if c.dtype.kind == "c" and dtype.kind != "c":
        c = np.real(c)
    return c if c.dtype == dtype else cast(c, dtype=dtype)


def is_complex(*xs: Any) -> bool:
    """Whether an operand, or what a record held when it was made, is complex."""
    return any(getattr(getattr(getattr(x, "value", x), "dtype", None), "kind", "") == "c" for x in xs)
