"""Circular and hyperbolic functions, their inverses, angles and sinc.

The rules divide by lengths, hypot(x, 1) for √(x² + 1), which neither overflow nor underflow on the way.
arctan2 at the origin has gradient 0; so has sinc at 0, by mathematics.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.kinds import Op, elementwise, linear_op
from autodiff.ops.arithmetic import or_infinite

quiet = np.errstate(over="ignore")
PI, DEGREE = math.pi, math.pi / 180
TERMS = 24                        # of sinc's power series; beyond, none is above 1e-20 where |x| < 1


def turned(a: Any, b: Any) -> Any:
    """np.arctan2, which knows no complex numbers: the angle of the real parts, and the one from there."""
    ar, br = np.real(a), np.real(b)
    square = a * ar + b * br
    return np.arctan2(ar, br) + np.arctan((a * br - b * ar) / np.where(square == 0, 1, square))


def sine_over_angle(x: Any, order: int = 0) -> Any:
    """NumPy's sinc, sin(πx) / (πx), or its derivative of that order."""
    return sinc_derived(x, order) if order else np.sinc(x)


def sinc_derived(x: Any, order: int = 0) -> Any:
    """The derivative of sinc of that order.

    Written x s = sin(πx) / π and derived n times: x sₙ + n sₙ₋₁ = πⁿ⁻¹ sin(πx + nπ/2). Where |x| < 1 that
    cancels, and the power series serves.
    """
    near = np.absolute(np.real(x)) < 1
    far, close = np.where(near, 1, x), np.where(near, x, 0)
    s = np.sinc(far)
    for n in range(1, order + 1):
        s = (PI ** (n - 1) * quarter_turns(PI * far, n) - n * s) / far
    return np.where(near, sinc_series(close, order), s)[()]


def quarter_turns(x: Any, n: int) -> Any:
    """sin(x + nπ/2)."""
    wave = np.cos(x) if n % 2 else np.sin(x)
    return -wave if n % 4 > 1 else wave


def sinc_series(x: Any, order: int) -> Any:
    """Σ (-1)ᵏ (πx)²ᵏ / (2k + 1)!, derived `order` times, by Horner's rule."""
    powers = range(order + order % 2, order + 2 * TERMS, 2)
    square, total = x * x, 0 * x
    for m in reversed(powers):
        coefficient = (-1) ** (m // 2) * PI**m / math.factorial(m + 1) * math.perm(m, order)
        total = total * square + coefficient
    return total * x if order % 2 else total


# -------------------- name      forward      dy/dx
sin     = elementwise("sin",     np.sin,      lambda y, x: np.cos(x))
cos     = elementwise("cos",     np.cos,      lambda y, x: -np.sin(x))
tan     = elementwise("tan",     np.tan,      lambda y, x: 1 + y * y)
arcsin  = elementwise("arcsin",  np.arcsin,   lambda y, x: 1 / np.sqrt((1 - x) * (1 + x)))
arccos  = elementwise("arccos",  np.arccos,   lambda y, x: -1 / np.sqrt((1 - x) * (1 + x)))
arctan  = elementwise("arctan",  np.arctan,   quiet(lambda y, x: 1 / (1 + x * x)))
sinh    = elementwise("sinh",    np.sinh,     lambda y, x: np.cosh(x))
cosh    = elementwise("cosh",    np.cosh,     lambda y, x: np.sinh(x))
arcsinh = elementwise("arcsinh", np.arcsinh,  lambda y, x: 1 / np.hypot(x, 1))
arccosh = elementwise("arccosh", np.arccosh,  lambda y, x: 1 / (np.sqrt(x - 1) * np.sqrt(x + 1)))
arctanh = elementwise("arctanh", np.arctanh,  lambda y, x: 1 / ((1 - x) * (1 + x)))
sinc: Op = elementwise("sinc",   sine_over_angle,  lambda y, x, order=0: sinc(x, order=order + 1),   analytic=sinc_derived)

# -------------------- name      forward      ∂y/∂a                                                 ∂y/∂b
arctan2 = elementwise("arctan2", np.arctan2,  lambda y, a, b: b / length(a, b) / length(a, b),      lambda y, a, b: -a / length(a, b) / length(a, b),  analytic=turned)

# -------------------- name      forward      transpose
radians = linear_op("radians",   np.radians,  lambda g, y, x: np.radians(g),   analytic=lambda x: x * DEGREE)
degrees = linear_op("degrees",   np.degrees,  lambda g, y, x: np.degrees(g),   analytic=lambda x: x / DEGREE)


def length(a: Any, b: Any) -> Any:
    """√(a² + b²), ∞ at the origin."""
    return or_infinite(np.hypot(a, b))
