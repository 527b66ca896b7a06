"""Activations and log-sum-exp in forms that neither overflow nor cancel.

Each is one operation with its own short rule in terms of y. relu'(0) = 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.kinds import Op, elementwise
from autodiff.ops.elementary import LOG_2
from autodiff.ops.shapes import spread

quiet = np.errstate(over="ignore")


@quiet
def logistic(x: Any) -> Any:
    """1 / (1 + e⁻ˣ), elementwise.

    Full precision down to -709; below that e⁻ˣ overflows and the result is a true 0.

    Examples
    --------
    >>> ad.sigmoid(np.array([-800.0, 0.0, 800.0]))
    array([0. , 0.5, 1. ])
    """
    return np.reciprocal(1.0 + np.exp(-x))


def smooth_relu(x: Any) -> Any:
    """log(1 + eˣ), elementwise, from the side that does not overflow.

    Written with min(x, -x) for -|x|, which is analytic where it is smooth.

    Examples
    --------
    >>> ad.softplus(np.array([-800.0, 0.0, 800.0])).round(4)
    array([0.000e+00, 6.931e-01, 8.000e+02])
    """
    return np.maximum(x, 0) + np.log1p(np.exp(np.minimum(x, -x)))


def positive_part(x: Any) -> Any:
    """max(x, 0), elementwise; its derivative at 0 is 0.

    Examples
    --------
    >>> x = ad.Tensor([-1.0, 0.0, 2.0], requires_grad=True)
    >>> ad.relu(x).sum().backward()
    >>> x.grad
    array([0., 0., 1.])
    """
    return np.maximum(x, 0)


def larger_and_rest(a: Any, b: Any) -> tuple[Any, Any]:
    """max(a, b) and min(a, b) - max(a, b), which is never positive."""
    top = np.maximum(a, b)
    return top, np.minimum(a, b) - top


def log_of_two(a: Any, b: Any) -> Any:
    """np.logaddexp, which knows no complex numbers."""
    top, rest = larger_and_rest(a, b)
    return top + np.log1p(np.exp(rest))


def log2_of_two(a: Any, b: Any) -> Any:
    """np.logaddexp2, which knows no complex numbers."""
    top, rest = larger_and_rest(a, b)
    return top + np.log1p(np.exp2(rest)) / LOG_2


def shifted(x: Any, axis: Any) -> tuple[Any, Any]:
    """x - max x and max x along the axes, of length one; an infinite maximum is not subtracted."""
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    return x - top, top


def normalised_exp(x: Any, axis: Any = -1) -> Any:
    """eˣ / Σ eˣ along the axes (by default the last).

    Examples
    --------
    >>> ad.softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    e = np.exp(shifted(x, axis)[0])
    return e / np.sum(e, axis=axis, keepdims=True)


def log_of_sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log Σ eˣ along the axes (by default all).

    Examples
    --------
    >>> float(ad.logsumexp(np.array([-1000.0, -1000.0])).round(4))
    -999.3069
    """
    below, top = shifted(x, axis)
    with np.errstate(divide="ignore"):
        y = np.log(np.sum(np.exp(below), axis=axis, keepdims=True)) + top
    return y if keepdims else np.squeeze(y, axis)[()]


def log_normalised_exp(x: Any, axis: Any = -1) -> Any:
    """x - log Σ eˣ along the axes (by default the last).

    Examples
    --------
    >>> ad.log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    below, _ = shifted(x, axis)                                    # first, so that a common shift costs no digits
    with np.errstate(divide="ignore"):
        return below - np.log(np.sum(np.exp(below), axis=axis, keepdims=True))


# --------------------- name        forward                       dy/dx
sigmoid  = elementwise("sigmoid",  logistic,                     lambda y, x: y * (1 - y),   vjp={0: lambda g, y, x: g * (y * (1 - y))})
softplus = elementwise("softplus", smooth_relu,                  lambda y, x: sigmoid(x))
relu     = elementwise("relu",     positive_part,                 lambda y, x: x > 0)

# --------------------- name          forward        ∂y/∂a                                        ∂y/∂b
logaddexp  = elementwise("logaddexp",  np.logaddexp,  lambda y, a, b: sigmoid(a - b),              lambda y, a, b: sigmoid(b - a),            analytic=log_of_two)
logaddexp2 = elementwise("logaddexp2", np.logaddexp2, lambda y, a, b: sigmoid((a - b) * LOG_2),    lambda y, a, b: sigmoid((b - a) * LOG_2),  analytic=log2_of_two)

# --------------------- not elementwise: vjp
softmax = Op(normalised_exp, "softmax").vjp(
    lambda g, y, x, axis=-1: y * (g - np.sum(g * y, axis=axis, keepdims=True)))
log_softmax = Op(log_normalised_exp, "log_softmax").vjp(
    lambda g, y, x, axis=-1: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True))
logsumexp = Op(log_of_sum, "logsumexp").vjp(
    lambda g, y, x, axis=None, keepdims=False: softmax(x, axis=axis) * spread(g, axis, keepdims))
