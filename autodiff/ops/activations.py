"""Activations of one argument, each one operation, finite and without a warning for every x, ±∞ included.

Kinks are decided as in PyTorch: leaky_relu has its `negative_slope` at 0, elu its `alpha`, and hardtanh is flat at both
its edges.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.kinds import Op, elementwise
from autodiff.ops.arithmetic import where
from autodiff.ops.stable import logistic, sigmoid, smooth_relu, softplus

# Φ(-x) = e^(-x²/2) (1 + s) P(s), s = (3 - x) / (3 + x), for x ≥ 0: the coefficients of P, from its Chebyshev series in
# 60 digits. What it leaves out is below a quarter of float64's rounding.
MILLS = (
    0.12151394835556217, 0.08488866365291492, 0.03833628666243293, 0.007877170857161386, -0.0017438111704905519,
    -0.001162103540065534, 0.00017126537507262626, 0.0001743047703735631, -4.276254016532667e-05,
    -2.5732410968176587e-05, 1.3135320139740185e-05, 2.2076783493902156e-06, -3.44762818541666e-06,
    5.86237518352773e-07, 6.050321216409207e-07, -3.7584411913547405e-07, 4.502703770261813e-09,
    9.809448695701157e-08, -4.957047431272225e-08, -5.673950456701196e-09, 1.9136410657963413e-08,
    -5.748241494744298e-09, -3.773093628609243e-09, 2.1769202867450553e-09, 3.314184202693626e-10,
    -2.838327805314438e-10)
ROOT_2_PI = math.sqrt(2 * math.pi)
TANH_GELU = math.sqrt(2 / math.pi)
FAR = 20000.0             # beyond it the logistic function is 0 or 1, to all digits, also of longdouble
FAR_OUT = 200.0           # and beyond this the normal distribution function


def held(x: Any, far: float) -> Any:
    """x, but finite where what it multiplies is 0."""
    return np.clip(x, -far, far)


def log_logistic(x: Any) -> Any:
    """log σ(x) = -log(1 + e⁻ˣ), elementwise, without overflow.

    Examples
    --------
    >>> ad.log_sigmoid(np.array([-800.0, 0.0, 800.0])).round(4)
    array([-8.000e+02, -6.931e-01, -0.000e+00])
    """
    return -smooth_relu(-x)


def gaussian(x: Any) -> Any:
    """The standard normal density φ(x) = e^(-x²/2) / √(2π), elementwise."""
    near = held(x, FAR_OUT)
    return np.exp(-0.5 * near * near) / ROOT_2_PI


def cumulative_gaussian(x: Any) -> Any:
    """The standard normal distribution function Φ(x) = (1 + erf(x/√2)) / 2, elementwise.

    In float64 to 2 units in the last place of e^(-x²/2) as NumPy rounds it, in the tail too: no 1 + erf that cancels.
    """
    near = held(x, FAR_OUT)
    negative = np.real(x) < 0
    size = where(negative, -near, near)
    s = (3 - size) / (3 + size)
    ratio = MILLS[-1]
    for coefficient in reversed(MILLS[:-1]):
        ratio = ratio * s + coefficient
    tail = np.exp(-0.5 * near * near) * ((1 + s) * ratio)
    return where(negative, tail, 1 - tail)


def gaussian_linear(x: Any) -> Any:
    """x Φ(x), Φ the normal distribution function, elementwise: the exact form, PyTorch's default.

    Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.

    Examples
    --------
    >>> ad.gelu(np.array([-10.0, -1.0, 0.0, 1.0])).round(6)
    array([-0.      , -0.158655,  0.      ,  0.841345])
    """
    return np.maximum(x, -FAR_OUT) * cumulative_gaussian(x)


def inner(x: Any) -> Any:
    """What stands within the logistic function of gelu_tanh."""
    return 2 * TANH_GELU * (x + 0.044715 * x * x * x)


def gaussian_linear_by_tanh(x: Any) -> Any:
    """x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, elementwise: the approximation of gelu that GPT-2 and BERT use.

    Within 5e-4 of `gelu`. Written x σ(2 ...), which does not cancel.

    Examples
    --------
    >>> ad.gelu_tanh(np.array([-1.0, 0.0, 1.0])).round(6)
    array([-0.158808,  0.      ,  0.841192])
    """
    near = held(x, FAR_OUT)
    return np.maximum(x, -FAR_OUT) * logistic(inner(near))


def sigmoid_linear(x: Any) -> Any:
    """x σ(x), elementwise; also called swish.

    Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units", Neural Networks 107 (2018).

    Examples
    --------
    >>> ad.silu(np.array([-np.inf, 0.0, 1.0])).round(6)
    array([-0.      ,  0.      ,  0.731059])
    """
    return np.maximum(x, -FAR) * logistic(x)


def exponential_linear(x: Any, alpha: float = 1.0) -> Any:
    """x for x > 0, else alpha (eˣ - 1), elementwise.

    Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential linear units", 2016.

    Examples
    --------
    >>> ad.elu(np.array([-np.inf, 0.0, 2.0]))
    array([-1.,  0.,  2.])
    """
    return where(x > 0, x, alpha * np.expm1(where(x > 0, 0, x)))


def leaking(x: Any, negative_slope: float = 0.01) -> Any:
    """x for x > 0, else negative_slope · x, elementwise.

    Examples
    --------
    >>> ad.leaky_relu(np.array([-2.0, 3.0]), negative_slope=0.1)
    array([-0.2,  3. ])
    """
    return where(x > 0, x, negative_slope * x)


def between(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """x between min_val and max_val, elementwise; flat at these and beyond.

    Examples
    --------
    >>> ad.hardtanh(np.array([-3.0, 0.5, 3.0]))
    array([-1. ,  0.5,  1. ])
    """
    return np.clip(x, min_val, max_val)


def mish_of(x: Any) -> Any:
    """x tanh(log(1 + eˣ)), elementwise.

    Misra, "Mish: a self regularized non-monotonic activation function", 2019.

    Examples
    --------
    >>> ad.mish(np.array([-np.inf, 0.0, 1.0])).round(6)
    array([-0.      ,  0.      ,  0.865098])
    """
    return np.maximum(x, -FAR) * np.tanh(smooth_relu(x))


# ---------------------------- name         forward               dy/dx
log_sigmoid = elementwise("log_sigmoid",    log_logistic,         lambda y, x: sigmoid(-x))
normal_pdf  = elementwise("normal_pdf",     gaussian,             lambda y, x: -held(x, FAR_OUT) * y)
normal_cdf  = elementwise("normal_cdf",     cumulative_gaussian,  lambda y, x: normal_pdf(x))
gelu        = elementwise("gelu",           gaussian_linear,      lambda y, x: normal_cdf(x) + held(x, FAR_OUT) * normal_pdf(x))
gelu_tanh   = elementwise("gelu_tanh",      gaussian_linear_by_tanh, lambda y, x: gated(held(x, FAR_OUT)))
silu: Op    = elementwise("silu",           sigmoid_linear,       lambda y, x: sigmoid(x) * (1 + held(x, FAR) * sigmoid(-x)))
mish        = elementwise("mish",           mish_of,              lambda y, x: opened(held(x, FAR), np.tanh(softplus(x))))
elu         = elementwise("elu",            exponential_linear,   lambda y, x, alpha=1.0: where(x > 0, 1, alpha * np.exp(where(x > 0, 0, x))))
leaky_relu  = elementwise("leaky_relu",     leaking,              lambda y, x, negative_slope=0.01: where(x > 0, 1.0, negative_slope),
                          vjp={0: lambda g, y, x, negative_slope=0.01: where(x > 0, g, negative_slope * g)})
hardtanh    = elementwise("hardtanh",       between,              lambda y, x, min_val=-1.0, max_val=1.0: (x > min_val) & (x < max_val))


def gated(x: Any) -> Any:
    """The derivative of x σ(u), u = 2 √(2/π) (x + 0.044715 x³)."""
    return sigmoid(inner(x)) * (1 + x * sigmoid(-inner(x)) * (2 * TANH_GELU * (1 + 0.134145 * x * x)))


def opened(x: Any, t: Any) -> Any:
    """The derivative of x t, t = tanh(log(1 + eˣ))."""
    return t + x * sigmoid(x) * ((1 - t) * (1 + t))
