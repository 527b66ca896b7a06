"""The four operations, powers and what chooses between values.

In every table y is the result. Kinks (where there is no derivative and one value must be chosen)
are decided here once: |0|' = 0, a tie of maximum or minimum (fmax, fmin) gives each side half, and clip passes the
gradient on the closed interval, edges included. A remainder has slope 1 also where it jumps; hypot at the origin has
gradient 0; copysign is flat at 0 and in its second operand, heaviside flat in its first.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from autodiff.kinds import Op, constant, elementwise, linear_op


def product_power(x: Any, n: int) -> Any:
    """x to a whole number by products, which are far faster than NumPy's power."""
    if n < 0:
        return 1.0 / product_power(x, -n)
    result, square = None, x
    while n:
        if n & 1:
            result = square if result is None else result * square
        n >>= 1
        if n:
            square = square * square
    return np.ones_like(x) if result is None else result * 1 if result is x else result


def one_less(a: Any, b: Any) -> Any:
    """b - 1, but 1 where a = b = 0: there b aᵇ⁻¹ is 0, not 0 · ∞."""
    return b - 1 if isinstance(b, int | float) and b else where((a == 0) & (b == 0), 1, b - 1)


def log_of(a: Any) -> Any:
    """log a, but 0 where a = 0: there aᵇ log a is 0, not 0 · ∞."""
    return math.log(a) if isinstance(a, int | float) and a > 0 else np.log(where(a == 0, 1, a))


def real(x: Any) -> Any:
    """What an order comparison of complex numbers goes by."""
    return np.real(x)


def by_real_part(f: Any) -> Any:
    """The comparison or rounding of the real parts: its replay form."""
    return lambda *xs: f(*(real(x) for x in xs))


# ------------------- name        forward            ∂y/∂a                          ∂y/∂b
add      = elementwise("add",      operator.add,      1,                             1)
subtract = elementwise("subtract", operator.sub,      1,                             -1)
multiply = elementwise("multiply", operator.mul,      lambda y, a, b: b,             lambda y, a, b: a,
                       vjp={0: lambda g, y, a, b: g * b, 1: lambda g, y, a, b: g * a})
divide   = elementwise("divide",   operator.truediv,  lambda y, a, b: 1 / b,         lambda y, a, b: -y / b,
                       vjp={0: lambda g, y, a, b: g / b})
negative = elementwise("negative", operator.neg,      -1)
square   = elementwise("square",   np.square,         lambda y, x: 2 * x)
power    = elementwise("power",    operator.pow,
                       lambda y, a, b: b * a ** one_less(a, b),
                       lambda y, a, b: y * log_of(a))
integer_power: Op = elementwise("integer_power", product_power, lambda y, x, n: n * integer_power(x, n=n - 1) if n else np.zeros_like(x))

maximum  = elementwise("maximum",  np.maximum,        lambda y, a, b: share(a > b, a, b),  lambda y, a, b: share(b > a, a, b))
minimum  = elementwise("minimum",  np.minimum,        lambda y, a, b: share(a < b, a, b),  lambda y, a, b: share(b < a, a, b))
fmax     = elementwise("fmax",     np.fmax,           lambda y, a, b: share((a > b) | (b != b), a, b),
                       lambda y, a, b: share((b > a) | (a != a), a, b))              # a NaN is ignored
fmin     = elementwise("fmin",     np.fmin,           lambda y, a, b: share((a < b) | (b != b), a, b),
                       lambda y, a, b: share((b < a) | (a != a), a, b))
absolute = elementwise("absolute", np.absolute,       lambda y, x: direction(x, y) if np.iscomplexobj(x) else np.sign(x),
                       analytic=lambda x: np.where(real(x) < 0, -x, x)[()])
fabs     = elementwise("fabs",     np.fabs,           lambda y, x: np.sign(x),     analytic=absolute.analytic)
copysign = elementwise("copysign", np.copysign,       lambda y, a, b: np.sign(a) * np.sign(y), None,
                       analytic=lambda a, b: np.where(np.signbit(real(a)) != np.signbit(real(b)), -a, a)[()])
heaviside = elementwise("heaviside", np.heaviside,    None,                          lambda y, x, half: x == 0,
                        analytic=lambda x, half: np.where(real(x) == 0, half, np.heaviside(real(x), 0.0))[()])
hypot: Op = elementwise("hypot",   np.hypot,          lambda y, a, b: a / or_infinite(y),     lambda y, a, b: b / or_infinite(y),
                        analytic=lambda a, b: np.sqrt(a * a + b * b))
float_power = elementwise("float_power", np.float_power,                             # always in float64
                          lambda y, a, b: b * a ** one_less(a, b),
                          lambda y, a, b: y * log_of(a))
remainder = elementwise("remainder", np.remainder,    1,                             lambda y, a, b: -floor_divide(a, b),
                        analytic=lambda a, b: rest_of(np.remainder, a, b))
fmod     = elementwise("fmod",     np.fmod,           1,                             lambda y, a, b: np.rint((y - a) / b),
                       analytic=lambda a, b: rest_of(np.fmod, a, b))


def direction(z: Any, size: Any) -> Any:
    """The conjugate of z / |z|, 0 where z is: d|z| = Re(direction dz)."""
    return np.conj(z) / where(size == 0, 1, size)


def share(wins: Any, a: Any, b: Any) -> Any:
    """1 where this side is chosen, 1/2 at a tie."""
    return wins + 0.5 * (a == b)


def or_infinite(y: Any) -> Any:
    """A divisor, but ∞ for 0: where a length is 0 its gradient is 0."""
    return where(y == 0, np.inf, y)


def rest_of(division: Any, a: Any, b: Any) -> Any:
    """A remainder a - n b, n whole: its replay form."""
    y = division(real(a), real(b))
    return y + (a - real(a)) + (b - real(b)) * np.rint((y - real(a)) / real(b))


def clipped(x: Any, low: Any, high: Any) -> Any:
    """x between low and high; None is no bound."""
    return np.clip(x, low, high)


clip = elementwise("clip", clipped,
                   lambda y, x, low, high: inside(x, low, high),
                   lambda y, x, low, high: x < low if high is None else (x < low) & (low <= high),
                   lambda y, x, low, high: x > high if low is None else (x > high) | (low > high))      # high wins


def inside(x: Any, low: Any, high: Any) -> Any:
    """Whether the bounds leave x as it is."""
    if low is None:
        return x <= high
    return x >= low if high is None else (x >= low) & (x <= high)


def chosen(condition: Any, a: Any, b: Any) -> Any:
    """NumPy's where; a scalar when all three are."""
    y: Any = np.where(condition, a, b)
    return y[()]


where: Op = linear_op("where", chosen, None,
                  lambda g, y, condition, a, b: np.where(condition, g, 0),
                  lambda g, y, condition, a, b: np.where(condition, 0, g))

# ---- recorded, since values depend on them, and constant between their jumps
greater       = constant("greater",       operator.gt, by_real_part(operator.gt))
greater_equal = constant("greater_equal", operator.ge, by_real_part(operator.ge))
less          = constant("less",          operator.lt, by_real_part(operator.lt))
less_equal    = constant("less_equal",    operator.le, by_real_part(operator.le))
equal         = constant("equal",         operator.eq, by_real_part(operator.eq))
not_equal     = constant("not_equal",     operator.ne, by_real_part(operator.ne))
logical_and   = constant("logical_and",   np.logical_and, by_real_part(np.logical_and))
logical_or    = constant("logical_or",    np.logical_or, by_real_part(np.logical_or))
logical_xor   = constant("logical_xor",   np.logical_xor, by_real_part(np.logical_xor))
logical_not   = constant("logical_not",   np.logical_not, by_real_part(np.logical_not))
bitwise_and   = constant("bitwise_and",   operator.and_)
bitwise_or    = constant("bitwise_or",    operator.or_)
bitwise_xor   = constant("bitwise_xor",   operator.xor)
invert        = constant("invert",        operator.invert)
sign          = constant("sign",          np.sign,     by_real_part(np.sign))
floor         = constant("floor",         np.floor,    by_real_part(np.floor))
ceil          = constant("ceil",          np.ceil,     by_real_part(np.ceil))
trunc         = constant("trunc",         np.trunc,    by_real_part(np.trunc))
rint          = constant("rint",          np.rint,     by_real_part(np.rint))
floor_divide: Op = constant("floor_divide", np.floor_divide, by_real_part(np.floor_divide))
signbit       = constant("signbit",       np.signbit,  by_real_part(np.signbit))
round_        = constant("round",         lambda x, decimals=0: np.round(x, decimals),  lambda x, decimals=0: np.round(real(x), decimals))
