"""The declared table of operations: one line each. Whatever holds for every operation is tested from here.

A line says how the operation is called (``f``, whose first argument is NumPy or another library of its interface), on
what, and, where it is ours alone or not analytic as NumPy writes it, the same thing spelled out (`plain`). Arguments
are drawn away from kinks; `kinks` says where those are. `oracles` names the other libraries that have it: "a" for
autograd, "m" for mygrad.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import autodiff as ad
from autodiff.ops.convolution import conv_transpose, conv_weight
from autodiff.ops.elementary import detached
from autodiff.ops.pooling import at_max, avg_unpool, max_unpool

# ruff: noqa: E501, SIM300  # one operation, one line


@dataclass(frozen=True)
class Arg:
    """A differentiable argument: its shape, and how its values are drawn."""

    shape: tuple[int, ...]
    draw: Callable[[np.random.Generator, tuple[int, ...]], Any]


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    name: str
    f: Callable[..., Any]
    args: tuple[Any, ...]
    plain: Callable[..., Any] | None = None
    kinks: str = ""
    oracles: str = "am"
    group: str = ""
    rtol: float = 1e-14
    tags: frozenset[str] = field(default_factory=frozenset)

    def __str__(self):
        return self.name

    @property
    def wrt(self):
        """The positions of the differentiable arguments."""
        return [i for i, a in enumerate(self.args) if isinstance(a, Arg)]

    def arrays(self, dtype=np.float64, seed=0):
        """The arguments, drawn; what is no Arg is as declared."""
        rng = np.random.default_rng([seed, *map(ord, self.name)])
        return [np.array(a.draw(rng, a.shape), dtype=dtype) if isinstance(a, Arg) else a for a in self.args]

    def spelled(self, numpy, *xs):
        """The same function without anything of ours, analytic in complex numbers."""
        return (self.plain or self.f)(numpy, *xs)

    def with_shape(self, *shapes):
        """The same line with other shapes."""
        new = iter(shapes)
        return replace(self, args=tuple(Arg(next(new), a.draw) if isinstance(a, Arg) else a for a in self.args))


# ---- how values are drawn

def n(*shape):
    return Arg(shape, lambda rng, s: rng.normal(size=s))


def p(*shape):
    """Positive."""
    return Arg(shape, lambda rng, s: rng.uniform(0.5, 2, s))


def u(low, high, *shape):
    return Arg(shape, lambda rng, s: rng.uniform(low, high, s))


def k(*shape):
    """Away from zero."""
    return Arg(shape, lambda rng, s: rng.uniform(0.2, 2, s) * rng.choice([-1, 1], s))


def grid(offset, *shape):
    """Different by at least 1/4 from each other, and from those of a grid of another offset."""
    def draw(rng, s):
        size = int(np.prod(s, dtype=int))
        return (0.5 * rng.permutation(np.arange(-(size // 2), size - size // 2)) + offset).reshape(s)
    return Arg(shape, draw)


def among(zeros):
    """Zero where this is."""
    return Arg(zeros.shape, lambda rng, s: rng.normal(size=s) * zeros)


TABLE: list[Case] = []


def case(name, f, *args, **keywords):
    TABLE.append(Case(name, f, args, **keywords))


def softmax(np, x, axis=-1):
    e = np.exp(x)
    return e / np.sum(e, axis=axis, keepdims=True)


def regular(*shape):
    """Square matrices far from singular, of positive determinant."""
    def draw(rng, s):
        return rng.uniform(-1, 1, s) + s[-1] * np.eye(s[-1])
    return Arg((*shape, shape[-1]), draw)


def cholesky(np, A):
    """Column by column, analytic in complex numbers."""
    if np.__name__ != "numpy":
        return np.linalg.cholesky(A)
    L = np.zeros_like(A)
    for k in range(A.shape[-1]):
        c = A[..., k:, k] - np.sum(L[..., k:, :k] * L[..., k:k + 1, :k], axis=-1)
        L[..., k:, k] = c / np.sqrt(c[..., :1])
    return L


ORDER = frozenset({"order"})            # terms are added up in another order than NumPy's
def normal_cdf(np, x):
    """Φ by its series, whose terms are all positive (Marsaglia, Journal of Statistical Software 11, 2004)."""
    term = total = x
    for i in range(3, 200, 2):
        term = term * x * x / i
        total = total + term
    return 0.5 + total * np.exp(-0.5 * x * x) / (2 * PI) ** 0.5


def gaps(np, x):
    return np.where(MISSING, np.nan, x)


def norms(ord, axis, keep):
    """Norms without absolute values."""
    def norm(np, x):
        size, axes = np.where(x > 0, x, -x), (0, 1) if axis is None else axis
        if ord in (None, "fro") or (ord == 2 and axis is not None):
            return np.sqrt(np.sum(x * x, axis=axes, keepdims=keep))
        if isinstance(axes, tuple):
            inside = axes[0] if abs(ord) == 1 else axes[1]
            y = (np.max if ord > 0 else np.min)(np.sum(size, axis=inside, keepdims=True), axis=axes, keepdims=True)
            return y if keep else np.squeeze(y)
        if abs(ord) == np.inf:
            return (np.max if ord > 0 else np.min)(size, axis=axes, keepdims=keep)
        return np.sum(size**ord, axis=axes, keepdims=keep) ** (1 / ord)
    return norm


def seen(x, window, stride, pads, dilation, fill=0.0):
    """For each place of a window, what of x it sees: by plain slices."""
    numpy = np
    shape = [n + a + b for n, (a, b) in zip(x.shape[2:], pads)]
    inside = (slice(None), slice(None), *(slice(a, a + n) for n, (a, _) in zip(x.shape[2:], pads)))
    index = numpy.zeros(shape, int) - 1
    index[inside[2:]] = numpy.arange(index[inside[2:]].size).reshape(x.shape[2:])
    for offset in numpy.ndindex(*window):
        at = index[tuple(slice(d * o, d * o + s * ((n - d * (k - 1) - 1) // s) + 1, s)
                         for o, n, k, s, d in zip(offset, shape, window, stride, dilation))]
        yield offset, at


def spelled_conv(stride=1, pads=0, dilation=1, groups=1):
    """Convolution with a loop over the places of the kernel."""
    def f(np, x, w, b=None):
        n, c, o, dims = x.shape[0], w.shape[1], w.shape[0] // groups, w.ndim - 2
        s, d = ((v,) * dims if isinstance(v, int) else v for v in (stride, dilation))
        p = ((pads, pads),) * dims if isinstance(pads, int) else pads
        flat = np.concatenate([np.reshape(x, (n, x.shape[1], -1)), np.reshape(x, (n, x.shape[1], -1))[:, :, :1] * 0.0], axis=2)
        total = 0.0
        for offset, at in seen(x, w.shape[2:], s, p, d):
            part = flat[:, :, at.reshape(-1)]
            each = [np.matmul(w[(slice(g * o, g * o + o), slice(None), *offset)], part[:, g * c:g * c + c]) for g in range(groups)]
            total = total + np.reshape(np.concatenate(each, axis=1), (n, o * groups, *at.shape))
        return total if b is None else total + np.reshape(b, (-1,) + (1,) * dims)
    return f


def spelled_pool(how, window, stride, pads, dilation=None, members=None):
    """Pooling with a loop over the places of the window."""
    def f(np, x):
        n, c = x.shape[:2]
        flat = np.reshape(x, (n, c, -1))
        flat = np.concatenate([flat, flat[:, :, :1] * 0.0 - (1e9 if how == "max" else 0.0)], axis=2)
        parts = [np.reshape(flat[:, :, at.reshape(-1)], (n, c, *at.shape)) for _, at in seen(x, window, stride, pads, dilation or (1,) * len(window))]
        return np.max(np.stack(parts), axis=0) if how == "max" else sum(parts) / members
    return f


PI, LOG2 = np.pi, np.log(2)
ZERO = np.array([[1, 0, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]]) * 1.0
ZEROS = np.array([[1, 0, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]) * 1.0
MISSING = np.array([[True, False, False, True], [False, False, False, False], [False, True, False, False]])
MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, True]])
I, J = np.array([0, 2, 2, 1]), np.array([3, 0, 0, 1])
LABELS = np.array([2, 0, 3])

# ---- two arguments, elementwise
case("add",            lambda np, a, b: np.add(a, b),            n(3, 4), n(3, 4), group="binary")
case("subtract",       lambda np, a, b: np.subtract(a, b),       n(3, 4), n(3, 4), group="binary")
case("multiply",       lambda np, a, b: np.multiply(a, b),       n(3, 4), n(3, 4), group="binary")
case("divide",         lambda np, a, b: np.divide(a, b),         n(3, 4), k(3, 4), group="binary")
case("power",          lambda np, a, b: np.power(a, b),          p(3, 4), n(3, 4), group="binary", kinks="a = 0")
case("maximum",        lambda np, a, b: np.maximum(a, b),        grid(0, 3, 4), grid(.25, 3, 4), group="binary", kinks="a = b")
case("minimum",        lambda np, a, b: np.minimum(a, b),        grid(0, 3, 4), grid(.25, 3, 4), group="binary", kinks="a = b")
case("fmax",           lambda np, a, b: np.fmax(a, b),           grid(0, 3, 4), grid(.25, 3, 4), group="binary", kinks="a = b", oracles="a")
case("fmin",           lambda np, a, b: np.fmin(a, b),           grid(0, 3, 4), grid(.25, 3, 4), group="binary", kinks="a = b", oracles="a")
case("hypot",          lambda np, a, b: np.hypot(a, b),          k(3, 4), n(3, 4), group="binary", kinks="a = b = 0", plain=lambda np, a, b: np.sqrt(a * a + b * b))
case("arctan2",        lambda np, a, b: np.arctan2(a, b),        n(3, 4), k(3, 4), group="binary", kinks="a = b = 0", rtol=1e-13,
     plain=lambda np, a, b: 2 * np.arctan(a / (np.sqrt(a * a + b * b) + b)))
case("logaddexp",      lambda np, a, b: np.logaddexp(a, b),      n(3, 4), n(3, 4), group="binary", plain=lambda np, a, b: np.log(np.exp(a) + np.exp(b)))
case("logaddexp2",     lambda np, a, b: np.logaddexp2(a, b),     n(3, 4), n(3, 4), group="binary", plain=lambda np, a, b: np.log(2.0**a + 2.0**b) / LOG2)
case("float_power",    lambda np, a, b: np.float_power(a, b),    p(3, 4), n(3, 4), group="binary", kinks="a = 0", tags=frozenset({"widens"}), plain=lambda np, a, b: np.exp(b * np.log(a)))
case("copysign",       lambda np, a, b: np.copysign(a, b) * 2.0 + b, k(3, 4), k(3, 4), group="binary", kinks="a = 0, b = 0",
     plain=lambda np, a, b: np.where(a > 0, a, -a) * np.where(b > 0, 2.0, -2.0) + b)
case("heaviside",      lambda np, a, b: np.heaviside(a, b) * a + b, k(3, 4), n(3, 4), group="binary", kinks="a = 0", plain=lambda np, a, b: np.where(a > 0, a, a * 0) + b)
case("remainder",      lambda np, a, b: np.remainder(a, b),      u(4.2, 5.8, 3, 4), u(1.9, 2.05, 3, 4), group="binary", kinks="a / b whole", plain=lambda np, a, b: a - 2 * b)
case("remainder_negative", lambda np, a, b: a % b,               u(-5.8, -4.2, 3, 4), u(1.9, 2.05, 3, 4), group="binary", kinks="a / b whole", plain=lambda np, a, b: a + 3 * b)
case("fmod",           lambda np, a, b: np.fmod(a, b),           u(-5.8, -4.2, 3, 4), u(1.9, 2.05, 3, 4), group="binary", kinks="a / b whole", plain=lambda np, a, b: a + 2 * b)
case("squared_error",  lambda np, a, b: ad.squared_error(a, b),  n(3, 4), n(3, 4), group="binary", plain=lambda np, a, b: (a - b) * (a - b))
case("bce",            lambda np, a, b: ad.binary_cross_entropy(a, b), u(.1, .9, 3, 4), u(.1, .9, 3, 4), group="binary", kinks="p = 0, p = 1", rtol=1e-13,
     plain=lambda np, q, t: -(t * np.log(q) + (1 - t) * np.log(1 - q)))
case("bce_logits",     lambda np, a, b: ad.binary_cross_entropy_with_logits(a, b), n(3, 4), u(.1, .9, 3, 4), group="binary", rtol=1e-13,
     plain=lambda np, z, t: np.log(1 + np.exp(z)) - t * z)
case("operators",      lambda np, a, b: (a + b) * (a - b) / (2.0 - b * b) - -a * 3.0, n(3, 4), u(-1, 1, 3, 4), group="binary")

# ---- with a number on one side
case("add_number",      lambda np, x: 2.5 + x,             n(3, 4), group="unary")
case("rsub",            lambda np, x: 1 - x,               n(3, 4), group="unary")
case("rdiv",            lambda np, x: 2.0 / x,             k(3, 4), group="unary")
case("div_number",      lambda np, x: x / 3,               n(3, 4), group="unary")
case("power_square",    lambda np, x: x**2,                n(3, 4), group="unary")
case("power_cube",      lambda np, x: x**3,                n(3, 4), group="unary")
case("power_7",         lambda np, x: x**7,                n(3, 4), group="unary", rtol=1e-13)
case("power_minus_1",   lambda np, x: x**-1,               k(3, 4), group="unary", plain=lambda np, x: 1 / x)
case("power_minus_3",   lambda np, x: x**-3,               k(3, 4), group="unary", plain=lambda np, x: 1 / (x * x * x), rtol=1e-13)
case("power_one",       lambda np, x: x**1,                k(3, 4), group="unary", oracles="a")
case("power_zero",      lambda np, x: x**0,                k(3, 4), group="unary", oracles="a")
case("power_fraction",  lambda np, x: x**2.5,              p(3, 4), group="unary", kinks="0")
case("power_root",      lambda np, x: x**0.5,              p(3, 4), group="unary", kinks="0")
case("power_float",     lambda np, x: x**3.0,              k(3, 4), group="unary", rtol=1e-13)
case("rpow",            lambda np, x: 2.0**x,              n(3, 4), group="unary")
case("power_array",     lambda np, x, e: x**e,             p(3, 4), np.array([0.5, 2.0, -1.5, 3.0]), oracles="a")

# ---- one argument, elementwise
case("negative",       lambda np, x: np.negative(x),       n(3, 4), group="unary")
case("positive",       lambda np, x: np.positive(x) * 2.0, n(3, 4), group="unary", oracles="m")
case("absolute",       lambda np, x: np.absolute(x),       k(3, 4), group="unary", kinks="0", plain=lambda np, x: np.where(x > 0, x, -x))
case("abs",            lambda np, x: abs(x),               k(3, 4), group="unary", kinks="0", plain=lambda np, x: np.where(x > 0, x, -x))
case("square",         lambda np, x: np.square(x),         n(3, 4), group="unary")
case("sqrt",           lambda np, x: np.sqrt(x),           p(3, 4), group="unary", kinks="0")
case("exp",            lambda np, x: np.exp(x),            n(3, 4), group="unary")
case("log",            lambda np, x: np.log(x),            p(3, 4), group="unary")
case("tanh",           lambda np, x: np.tanh(x),           n(3, 4), group="unary")
case("expm1",          lambda np, x: np.expm1(x),          n(3, 4), group="unary")
case("exp2",           lambda np, x: np.exp2(x),           n(3, 4), group="unary")
case("log2",           lambda np, x: np.log2(x),           p(3, 4), group="unary")
case("log10",          lambda np, x: np.log10(x),          p(3, 4), group="unary")
case("log1p",          lambda np, x: np.log1p(x),          p(3, 4), group="unary")
case("reciprocal",     lambda np, x: np.reciprocal(x),     k(3, 4), group="unary")
case("cbrt",           lambda np, x: np.cbrt(x),           k(3, 4), group="unary", kinks="0", plain=lambda np, x: np.where(x > 0, 1.0, -1.0) * np.where(x > 0, x, -x) ** (1 / 3))
case("sin",            lambda np, x: np.sin(x),            n(3, 4), group="unary")
case("cos",            lambda np, x: np.cos(x),            n(3, 4), group="unary")
case("tan",            lambda np, x: np.tan(x),            u(-1, 1, 3, 4), group="unary")
case("arcsin",         lambda np, x: np.arcsin(x),         u(-.9, .9, 3, 4), group="unary")
case("arccos",         lambda np, x: np.arccos(x),         u(-.9, .9, 3, 4), group="unary")
case("arctan",         lambda np, x: np.arctan(x),         n(3, 4), group="unary")
case("sinh",           lambda np, x: np.sinh(x),           n(3, 4), group="unary")
case("cosh",           lambda np, x: np.cosh(x),           n(3, 4), group="unary")
case("arcsinh",        lambda np, x: np.arcsinh(x),        n(3, 4), group="unary")
case("arccosh",        lambda np, x: np.arccosh(x),        u(1.2, 3, 3, 4), group="unary")
case("arctanh",        lambda np, x: np.arctanh(x),        u(-.9, .9, 3, 4), group="unary")
case("sinc",           lambda np, x: np.sinc(x),           k(3, 4), group="unary", rtol=1e-13, plain=lambda np, x: np.sin(PI * x) / (PI * x))
case("deg2rad",        lambda np, x: np.deg2rad(x),        n(3, 4), group="unary", plain=lambda np, x: x * (PI / 180))
case("radians",        lambda np, x: np.radians(x),        n(3, 4), group="unary", plain=lambda np, x: x * (PI / 180))
case("rad2deg",        lambda np, x: np.rad2deg(x),        n(3, 4), group="unary", plain=lambda np, x: x * (180 / PI))
case("degrees",        lambda np, x: np.degrees(x),        n(3, 4), group="unary", plain=lambda np, x: x * (180 / PI))
case("fabs",           lambda np, x: np.fabs(x),           k(3, 4), group="unary", kinks="0", plain=lambda np, x: np.where(x > 0, x, -x))
case("nan_to_num",     lambda np, x: np.nan_to_num(x, nan=1.0) * 2.0, n(3, 4), group="unary", plain=lambda np, x: x * 2.0)
case("log_sigmoid",    lambda np, x: ad.log_sigmoid(x),    n(3, 4), group="unary", plain=lambda np, x: -np.log(1 + np.exp(-x)))
case("silu",           lambda np, x: ad.silu(x),           n(3, 4), group="unary", plain=lambda np, x: x / (1 + np.exp(-x)))
case("mish",           lambda np, x: ad.mish(x),           n(3, 4), group="unary", plain=lambda np, x: x * np.tanh(np.log(1 + np.exp(x))))
case("gelu_tanh",      lambda np, x: ad.gelu_tanh(x),      n(3, 4), group="unary", plain=lambda np, x: 0.5 * x * (1 + np.tanh((2 / PI) ** 0.5 * (x + 0.044715 * x**3))))
case("gelu",           lambda np, x: ad.gelu(x),           n(3, 4), group="unary", rtol=1e-13, plain=lambda np, x: x * normal_cdf(np, x))
case("elu",            lambda np, x: ad.elu(x, alpha=0.7), k(3, 4), group="unary", kinks="0", plain=lambda np, x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1)))
case("leaky_relu",     lambda np, x: ad.leaky_relu(x, negative_slope=0.1), k(3, 4), group="unary", kinks="0", plain=lambda np, x: np.where(x > 0, x, 0.1 * x))
case("hardtanh",       lambda np, x: ad.hardtanh(x, max_val=0.5), grid(.2, 3, 4), group="unary", kinks="edges", plain=lambda np, x: np.minimum(np.maximum(x, -1.0), 0.5))
case("sigmoid",        lambda np, x: ad.sigmoid(x),        n(3, 4), group="unary", plain=lambda np, x: 1 / (1 + np.exp(-x)))
case("relu",           lambda np, x: ad.relu(x),           k(3, 4), group="unary", kinks="0", plain=lambda np, x: np.maximum(x, 0))
case("softplus",       lambda np, x: ad.softplus(x),       n(3, 4), group="unary", plain=lambda np, x: np.log(1 + np.exp(x)))
case("copy",           lambda np, x: np.copy(x) * 2.0,     n(3, 4), group="unary", plain=lambda np, x: x * 2.0)
case("real",           lambda np, x: np.real(x) * 2.0,     n(3, 4), group="unary", plain=lambda np, x: x * 2.0)
case("astype",         lambda np, x: x.astype(np.float64) * x, n(3, 4), group="unary", plain=lambda np, x: x * x)
case("astype_float32", lambda np, x: x.astype(np.float32), n(3, 4), plain=lambda np, x: x * 1.0, rtol=1e-7, tags=frozenset({"rounds"}))
case("dropout",        lambda np, x: ad.dropout(x, 0.4, rng=7), n(3, 4), oracles="",
     plain=lambda np, x: x * ad.dropout(np.ones(x.shape), 0.4, rng=7))

# ---- choosing
case("where",          lambda np, a, b: np.where(MASK, a, b),           n(3, 4), n(3, 4))
case("where_value",    lambda np, a, b: np.where(a > b, a * 2.0, b),    grid(0, 3, 4), grid(.25, 3, 4), kinks="a = b")
case("where_number",   lambda np, x: np.where(MASK, x, 1.5),            n(3, 4))
case("where_integer",  lambda np, x: np.where(MASK, x, 1),              n(3, 4))
case("where_integers", lambda np, x: np.where(MASK, np.arange(4), x),   n(3, 4), plain=lambda np, x: np.where(MASK, np.arange(4.0), x))
case("where_broadcast", lambda np, a, b: np.where(MASK, a, b),          n(4), n(3, 1), oracles="m")
case("clip",           lambda np, x: np.clip(x, -1, 1),                 u(.2, .8, 3, 4), kinks="edges")
case("clip_outside",   lambda np, x: np.clip(x, -0.5, 0.5),             grid(.25, 3, 4), kinks="edges", plain=lambda np, x: np.minimum(np.maximum(x, -0.5), 0.5))
case("clip_low",       lambda np, x: np.clip(x, 0.0, None),             k(3, 4), kinks="edges", oracles="m", plain=lambda np, x: np.maximum(x, 0.0))
case("clip_high",      lambda np, x: np.clip(x, None, 0.0),             k(3, 4), kinks="edges", oracles="m", plain=lambda np, x: np.minimum(x, 0.0))
case("clip_bounds",    lambda np, x, low, high: np.clip(x, low, high),  grid(0, 3, 4), u(-1.2, -1.1, 3, 4), u(1.1, 1.2, 4), oracles="",
     plain=lambda np, x, low, high: np.minimum(np.maximum(x, low), high))

# ---- products
for a_shape, b_shape in [((4,), (4,)), ((4,), (4, 3)), ((3, 4), (4,)), ((3, 4), (4, 2)), ((4,), (2, 4, 3)), ((2, 3, 4), (4,)),
                         ((2, 3, 4), (4, 2)), ((3, 4), (2, 4, 2)), ((2, 3, 4), (2, 4, 2)), ((2, 1, 3, 4), (3, 4, 2)),
                         ((1, 3, 4), (5, 4, 2)), ((1, 1), (1, 1))]:
    case(f"matmul{len(a_shape)}{len(b_shape)}_{a_shape[0]}", lambda np, a, b: np.matmul(a, b), n(*a_shape), n(*b_shape), group="matmul")
case("matmul_operator", lambda np, a, b: a @ b.T,                       n(3, 4), n(2, 4))
case("dot_method",      lambda np, a, b: a.dot(b),                      n(3, 4), n(4, 2), oracles="", plain=lambda np, a, b: a @ b)
case("linear_2d",       lambda np, x, W, b: ad.linear(x, W, b),         n(5, 4), n(3, 4), n(3), plain=lambda np, x, W, b: x @ W.T + b)
case("linear_1d",       lambda np, x, W, b: ad.linear(x, W, b),         n(4), n(3, 4), n(3),    plain=lambda np, x, W, b: x @ W.T + b)
case("linear_3d",       lambda np, x, W, b: ad.linear(x, W, b),         n(2, 3, 4), n(3, 4), n(3), plain=lambda np, x, W, b: x @ W.T + b)
case("linear_no_bias",  lambda np, x, W: ad.linear(x, W),               n(5, 4), n(3, 4),       plain=lambda np, x, W: x @ W.T)
case("linear_1d_no_bias", lambda np, x, W: ad.linear(x, W),             n(4), n(3, 4),          plain=lambda np, x, W: x @ W.T)
case("linear_3d_no_bias", lambda np, x, W: ad.linear(x, W, None),       n(2, 3, 4), n(3, 4),    plain=lambda np, x, W: x @ W.T)
case("linear_many",     lambda np, x, W, b: ad.linear(x, W, b),         n(20, 2), n(2, 2), n(2), plain=lambda np, x, W, b: x @ W.T + b)

# ---- reductions
KINKS = {"max": "ties", "min": "ties", "median": "ties", "ptp": "ties", "nanmax": "ties", "nanmin": "ties", "std": "0"}
ORACLES = {"sum": "am", "mean": "am", "max": "am", "min": "am", "prod": "am", "var": "am", "std": "am"}
PLAIN = {
    "var": lambda axis, keep: lambda np, x: np.mean((x - np.mean(x, axis=axis, keepdims=True)) ** 2, axis=axis, keepdims=keep) * 2.0,
    "std": lambda axis, keep: lambda np, x: np.sqrt(np.mean((x - np.mean(x, axis=axis, keepdims=True)) ** 2, axis=axis, keepdims=keep)) * 2.0,
}
for axis in [None, 0, 1, -1, (0, 2), (-1, 0), (0, 1, 2), ()]:
    for keep in (False, True):
        for op, arg in [("sum", n(2, 3, 2)), ("mean", n(2, 3, 2)), ("max", grid(0, 2, 3, 2)), ("min", grid(0, 2, 3, 2)),
                        ("prod", n(2, 3, 2)), ("var", n(2, 3, 2)), ("std", grid(.1, 2, 3, 2)), ("median", grid(.1, 2, 3, 2)), ("ptp", grid(0, 2, 3, 2)),
                        ("nansum", n(2, 3, 2)), ("nanmean", n(2, 3, 2)), ("nanmax", grid(0, 2, 3, 2)), ("nanmin", grid(0, 2, 3, 2))]:
            if axis == () and op in ("std", "median"):        # 0 everywhere, a kink; and NumPy's median knows no empty axes
                continue
            case(f"{op}_{axis}_{'keep' if keep else 'drop'}".replace(" ", ""),
                 lambda np, x, op=op, axis=axis, keep=keep: getattr(np, op)(x, axis=axis, keepdims=keep) * 2.0, arg,
                 group="reduction", kinks=KINKS.get(op, ""), oracles="" if axis == () else ORACLES.get(op, ""), plain=PLAIN.get(op, lambda axis, keep: None)(axis, keep))
case("sum_method",     lambda np, x: x.sum(0),                          n(3, 4))
case("mean_method",    lambda np, x: x.mean(axis=1, keepdims=True),     n(3, 4))
case("max_method",     lambda np, x: x.max(axis=1),                     grid(0, 3, 4), kinks="ties")
case("min_method",     lambda np, x: x.min(),                           grid(0, 3, 4), kinks="ties")
case("add_reduce",     lambda np, x: np.add.reduce(x),                  n(3, 4), oracles="")
case("var_ddof",       lambda np, x: np.var(x, axis=1, ddof=1),         n(3, 4), plain=lambda np, x: np.sum((x - np.mean(x, axis=1, keepdims=True)) ** 2, axis=1) / 3)
case("std_ddof",       lambda np, x: np.std(x, ddof=1.5),               n(3, 4), plain=lambda np, x: np.sqrt(np.sum((x - np.mean(x)) ** 2) / 10.5))
case("prod_zero",      lambda np, x: np.prod(x, axis=1),                among(ZERO), oracles="")
case("prod_zeros",     lambda np, x: np.prod(x),                        among(ZEROS), oracles="")
case("prod_method",    lambda np, x: x.prod(axis=0, keepdims=True),     n(3, 4), oracles="")
case("var_method",     lambda np, x: x.var(0),                          n(3, 4), oracles="", plain=lambda np, x: np.mean((x - np.mean(x, axis=0)) ** 2, axis=0))
case("std_method",     lambda np, x: x.std(),                           n(3, 4), oracles="", plain=lambda np, x: np.sqrt(np.mean((x - np.mean(x)) ** 2)))
case("median_odd",     lambda np, x: np.median(x, axis=0),              grid(.1, 3, 4), oracles="", kinks="ties")
case("where_nan",      lambda np, x: np.nansum(gaps(np, x), axis=0) + np.nanmean(gaps(np, x), axis=0) * np.nanmax(gaps(np, x), axis=0) - np.nanmin(gaps(np, x)), grid(.1, 3, 4), oracles="", kinks="ties",
     plain=lambda np, x: np.sum(np.where(MISSING, 0.0, x), axis=0) + np.sum(np.where(MISSING, 0.0, x), axis=0) / np.sum(~MISSING, axis=0) * np.max(np.where(MISSING, -99.0, x), axis=0)
     - np.min(np.where(MISSING, 99.0, x)))
case("average",        lambda np, x: np.average(x),                     n(3, 4), oracles="")
case("average_axis",   lambda np, x: np.average(x, axis=1, keepdims=True), n(3, 4), oracles="")
case("average_weights", lambda np, x, w: np.average(x, axis=0, weights=w), n(3, 4), p(3), oracles="")
case("average_all",    lambda np, x, w: np.average(x, weights=w),       n(3, 4), p(3, 4), oracles="")
case("average_axes",   lambda np, x, w: np.average(x, axis=(2, 0), weights=w), n(3, 2, 4), p(4, 3), oracles="")
case("average_returned", lambda np, x, w: np.multiply(*np.average(x, axis=1, weights=w, returned=True)), n(3, 4), p(3, 4), oracles="")
case("diff",           lambda np, x: np.diff(x),                        n(3, 4), oracles="a")
case("diff_twice",     lambda np, x: np.diff(x, 2, axis=0),             n(4, 3), oracles="a")
case("diff_ends",      lambda np, x, e: np.diff(x, axis=1, prepend=e, append=e * 2.0), n(3, 4), n(3, 1), oracles="")
case("multiply_reduce", lambda np, x: np.multiply.reduce(x, axis=1),    n(3, 4), oracles="")

# ---- running sums and products
for axis in (None, 0, 1, -1):
    case(f"cumsum_{axis}",  lambda np, x, axis=axis: np.cumsum(x, axis=axis),  n(3, 4), group="cumulative")
    case(f"cumprod_{axis}", lambda np, x, axis=axis: np.cumprod(x, axis=axis), n(3, 4), group="cumulative", oracles="m")
case("cumsum_method",  lambda np, x: x.cumsum(1),                       n(2, 3, 2), oracles="")
case("cumprod_method", lambda np, x: x.cumprod(axis=-2),                n(2, 3, 2), oracles="")
case("cumprod_zeros",  lambda np, x: np.cumprod(x, axis=1),             among(ZEROS), oracles="")
case("cumprod_long",   lambda np, x: np.cumprod(x),                     p(9), oracles="m")

# ---- norms
for ord_, axis, keep in [(None, None, False), (None, 0, True), (None, (0, 1), False), ("fro", None, False), (2, -1, False), (2, -1, True),
                         (1, 0, False), (3, 1, False), (1.5, 1, True), (np.inf, 1, False), (-np.inf, 0, True), (1, None, False), (-1, (1, 0), True),
                         (np.inf, None, False), (-np.inf, (0, 1), False), ("fro", (1, 0), True)]:
    case(f"norm_{ord_}_{axis}_{keep}".replace(" ", ""), lambda np, x, o=ord_, axis=axis, keep=keep: np.linalg.norm(x, o, axis, keep), grid(.1, 3, 4), oracles="", kinks="0, ties", rtol=1e-13,
         tags=frozenset({"order"}) if ord_ == 3 else frozenset(), plain=norms(ord_, axis, keep))
case("norm_vector",    lambda np, x: np.linalg.norm(x),                 n(5), oracles="", plain=lambda np, x: np.sqrt(np.sum(x * x)))
case("norm_of_all",    lambda np, x: np.linalg.norm(x),                 n(2, 3, 2), oracles="", plain=lambda np, x: np.sqrt(np.sum(x * x)))
case("norm_count",     lambda np, x: np.linalg.norm(x, 0, axis=0) * x,  k(3, 4), oracles="", plain=lambda np, x: 3 * x)

# ---- positions
case("nonzero",        lambda np, x: x[np.nonzero(x > 0.0)],           k(3, 4), oracles="", kinks="0")
case("argmax_index",   lambda np, x: x[np.arange(3), np.argmax(x, axis=1)], grid(0, 3, 4), oracles="", kinks="ties", plain=lambda np, x: np.max(x, axis=1))
case("maximum_reduce", lambda np, x: np.maximum.reduce(x, axis=1),      grid(0, 3, 4), oracles="", kinks="ties")

# ---- shapes
case("reshape",        lambda np, x: np.reshape(x, (2, 6)),             n(3, 4))
case("reshape_free",   lambda np, x: x.reshape(2, -1),                  n(3, 4))
case("reshape_flat",   lambda np, x: np.reshape(x, -1),                 n(3, 4), oracles="a")
case("transpose",      lambda np, x: np.transpose(x),                   n(2, 3, 4))
case("transpose_axes", lambda np, x: np.transpose(x, (1, -1, 0)),       n(2, 3, 4), oracles="m")
case("transpose_T",    lambda np, x: x.T * 2.0,                         n(2, 3))
case("transpose_method", lambda np, x: x.transpose(2, 0, 1),            n(2, 3, 4), oracles="m")
case("broadcast_to",   lambda np, x: np.broadcast_to(x, (2, 3, 4)),     n(3, 1), oracles="m")
case("broadcast_scalar", lambda np, x: np.broadcast_to(x, (2, 3)),      n(), oracles="m")
case("expand_dims",    lambda np, x: np.expand_dims(x, 1),              n(3, 4))
case("expand_dims_2",  lambda np, x: np.expand_dims(x, (0, -1)),        n(3, 4), oracles="")
case("squeeze",        lambda np, x: np.squeeze(x),                     n(3, 1, 4, 1))
case("squeeze_axis",   lambda np, x: np.squeeze(x, axis=(1, -1)),       n(3, 1, 4, 1))
case("squeeze_all",    lambda np, x: np.squeeze(x),                     n(1, 1))
case("concatenate",    lambda np, a, b: np.concatenate([a, b]),         n(2, 3), n(4, 3))
case("concatenate_axis", lambda np, a, b: np.concatenate((a, b, a), axis=-1), n(2, 3), n(2, 1))
case("concatenate_flat", lambda np, a, b: np.concatenate([a, b], axis=None), n(2, 3), n(4), oracles="m")
case("concatenate_integers", lambda np, x: np.concatenate([x, np.array([7, 8])]), n(3), oracles="", plain=lambda np, x: np.concatenate([x, np.array([7.0, 8.0])]))
case("stack",          lambda np, a, b: np.stack([a, b]),               n(2, 3), n(2, 3))
case("stack_axis",     lambda np, a, b: np.stack([a, b, a], axis=-1),   n(2, 3), n(2, 3))
case("stack_integers", lambda np, x: np.stack([x, np.array([7, 8])]),   n(2), oracles="", plain=lambda np, x: np.stack([x, np.array([7.0, 8.0])]))
case("split",          lambda np, x: np.split(x, 3)[0] * np.split(x, 3)[2], n(6, 2), oracles="a")
case("split_one_used", lambda np, x: np.split(x, [1, 3], axis=1)[1] * 2.0, n(2, 5), oracles="a")
case("split_all_used", lambda np, x: np.concatenate(np.split(x, [1, 3], axis=-1)[::-1], axis=1), n(2, 5), oracles="a")
case("sum_to",         lambda np, x: ad.sum_to(x, shape=(1, 4)),        n(3, 4), plain=lambda np, x: np.sum(x, axis=0, keepdims=True))
case("sum_to_trailing", lambda np, x: ad.sum_to(x, shape=(4,)),         n(2, 3, 4), plain=lambda np, x: np.sum(x, axis=(0, 1)))
case("sum_to_scalar",  lambda np, x: ad.sum_to(x, shape=()),            n(2, 3), plain=lambda np, x: np.sum(x))
case("sum_to_many",    lambda np, x: ad.sum_to(x, shape=(2,)),          n(20, 2), plain=lambda np, x: np.sum(x, axis=0))

# ---- indexing
case("item_int",       lambda np, x: x[1],                              n(3, 4))
case("item_scalar",    lambda np, x: x[-1, 2],                          n(3, 4))
case("item_slice",     lambda np, x: x[1:, ::2],                        n(3, 4))
case("item_negative",  lambda np, x: x[::-1, 3:0:-2],                   n(3, 4))
case("item_newaxis",   lambda np, x: x[:, None, 1],                     n(3, 4))
case("item_ellipsis",  lambda np, x: x[..., 0],                         n(2, 3, 4))
case("item_integers",  lambda np, x: x[I],                              n(3, 4))
case("item_pairs",     lambda np, x: x[I, J],                           n(3, 4))
case("item_list",      lambda np, x: x[[0, 0, 2]],                      n(3, 4))
case("item_mask",      lambda np, x: x[MASK],                           n(3, 4))
case("item_mask_rows", lambda np, x: x[np.array([True, False, True])],  n(3, 4), plain=lambda np, x: x[[0, 2]])
case("item_mixed",     lambda np, x: x[I, 1:3],                         n(3, 4))
case("item_apart",     lambda np, x: x[I, :, [0, 1, 1, 0]],             n(3, 2, 2), oracles="a")
case("item_matrix",    lambda np, x: x[np.array([[0, 1], [2, 2]])],     n(3, 2), plain=lambda np, x: x[[[0, 1], [2, 2]]])
case("item_nested",    lambda np, x: x[(0, 0), (1, 1)],                 n(3, 4), oracles="a", plain=lambda np, x: np.stack([x[0, 1], x[0, 1]]))
case("item_twice",     lambda np, x: x[1:][0] * x[0],                   n(3, 4))

# ---- arrangement
case("ravel",          lambda np, x: np.ravel(x),                       n(3, 4))
case("ravel_columns",  lambda np, x: np.ravel(x, order="F"),            n(3, 4), oracles="")
case("ravel_method",   lambda np, x: x.ravel(),                         n(3, 4), oracles="a")
case("flatten",        lambda np, x: x.flatten(),                       n(3, 4), oracles="")
case("swapaxes",       lambda np, x: np.swapaxes(x, 0, -1),             n(2, 3, 4))
case("swapaxes_method", lambda np, x: x.swapaxes(1, 0),                 n(2, 3), oracles="")
case("moveaxis",       lambda np, x: np.moveaxis(x, 0, -1),             n(2, 3, 4))
case("moveaxis_several", lambda np, x: np.moveaxis(x, (0, 2), (-1, 0)), n(2, 3, 4), oracles="")
case("rollaxis",       lambda np, x: np.rollaxis(x, 2, 1),              n(2, 3, 4), oracles="")
case("mT",             lambda np, x: x.mT,                              n(2, 3, 4), oracles="")
case("matrix_transpose", lambda np, x: np.matrix_transpose(x),          n(2, 3, 4), oracles="")
case("atleast_1d",     lambda np, x: np.atleast_1d(x),                  n())
case("atleast_2d",     lambda np, x: np.atleast_2d(x) * 2.0,            n(3))
case("atleast_3d",     lambda np, x: np.atleast_3d(x),                  n(2, 3))
case("hstack",         lambda np, a, b: np.hstack([a, b]),              n(2, 3), n(2, 1), oracles="a")
case("hstack_vectors", lambda np, a, b: np.hstack((a, b)),              n(3), n(2), oracles="a")
case("vstack",         lambda np, a, b: np.vstack([a, b]),              n(2, 3), n(3), oracles="a")
case("dstack",         lambda np, a, b: np.dstack([a, b]),              n(2, 3), n(2, 3), oracles="")
case("column_stack",   lambda np, a, b: np.column_stack([a, b]),        n(3), n(3, 2), oracles="")
case("append",         lambda np, a, b: np.append(a, b, axis=1),        n(2, 3), n(2, 1), oracles="a")
case("append_flat",    lambda np, a, b: np.append(a, b),                n(2, 3), n(2), oracles="")
case("insert",         lambda np, a, b: np.insert(a, [1, 3, 1], b, axis=1), n(2, 4), n(2, 3), oracles="",
     plain=lambda np, a, b: np.concatenate([a, b], axis=1)[:, [0, 4, 6, 1, 2, 5, 3]])
case("insert_one",     lambda np, a, b: np.insert(a, -1, b, axis=0),    n(3, 4), n(4), oracles="", plain=lambda np, a, b: np.stack([a[0], a[1], b, a[2]]))
case("delete",         lambda np, x: np.delete(x, [0, 2], axis=1),      n(3, 4), oracles="")
case("array_split",    lambda np, x: np.array_split(x, 3)[0] * np.array_split(x, 3, axis=0)[1], n(8, 2), oracles="")
case("hsplit",         lambda np, x: np.hsplit(x, 2)[1] * 2.0,          n(3, 4), oracles="a")
case("vsplit",         lambda np, x: np.vsplit(x, [1])[1] * 2.0,        n(3, 4), oracles="a")
case("dsplit",         lambda np, x: np.dsplit(x, 2)[0] * 2.0,          n(1, 3, 4), oracles="a")
case("broadcast_arrays", lambda np, a, b: np.broadcast_arrays(a, b)[0] * np.broadcast_arrays(a, b)[1], n(3, 1), n(4), oracles="")
case("meshgrid",       lambda np, a, b: np.meshgrid(a, b)[0] * np.meshgrid(a, b)[1], n(3), n(2), oracles="")
case("meshgrid_ij",    lambda np, a, b: np.meshgrid(a, b, indexing="ij", sparse=True)[0] * np.meshgrid(a, b, indexing="ij")[1], n(3), n(2), oracles="")
case("tile",           lambda np, x: np.tile(x, (2, 1, 3)),             n(2, 3), oracles="a")
case("tile_short",     lambda np, x: np.tile(x, 2),                     n(2, 3), oracles="")
case("repeat",         lambda np, x: np.repeat(x, 3, axis=-1),          n(2, 3), oracles="m")
case("repeat_flat",    lambda np, x: np.repeat(x, 2),                   n(2, 3), oracles="am")
case("repeat_each",    lambda np, x: np.repeat(x, [2, 0, 1], axis=1),   n(2, 3), oracles="m")
case("repeat_each_flat", lambda np, x: np.repeat(x, [2, 0, 1, 1]),      n(2, 2), oracles="m")
case("repeat_method",  lambda np, x: x.repeat(2, axis=0),               n(2, 3), oracles="")
case("flip",           lambda np, x: np.flip(x),                        n(2, 3), oracles="")
case("flip_axis",      lambda np, x: np.flip(x, axis=(0, -1)),          n(2, 3, 2), oracles="")
case("fliplr",         lambda np, x: np.fliplr(x),                      n(2, 3), oracles="a")
case("flipud",         lambda np, x: np.flipud(x),                      n(2, 3), oracles="a")
case("roll",           lambda np, x: np.roll(x, 2),                     n(2, 3))
case("roll_axis",      lambda np, x: np.roll(x, -1, axis=1),            n(2, 3))
case("roll_axes",      lambda np, x: np.roll(x, (1, 2), axis=(0, -1)),  n(2, 3), oracles="")
case("rot90",          lambda np, x: np.rot90(x),                       n(2, 3), oracles="a")
case("rot90_axes",     lambda np, x: np.rot90(x, 3, axes=(2, 1)),       n(2, 3, 4), oracles="")
case("pad",            lambda np, x: np.pad(x, ((1, 2), (0, 3))),       n(2, 3), oracles="")
case("pad_constant",   lambda np, x: np.pad(x, 1, constant_values=2.5), n(2, 3), oracles="")
for mode in ("edge", "reflect", "symmetric", "wrap"):
    case(f"pad_{mode}", lambda np, x, mode=mode: np.pad(x, ((1, 2), (2, 4)), mode=mode), n(2, 3), oracles="")
case("tril",           lambda np, x: np.tril(x, -1),                    n(3, 4), oracles="a")
case("triu",           lambda np, x: np.triu(x, 1),                     n(2, 3, 4), oracles="a")
case("tril_vector",    lambda np, x: np.tril(x),                        n(3), oracles="")
case("diag",           lambda np, x: np.diag(x, -1),                    n(3), oracles="a")
case("diag_of_matrix", lambda np, x: np.diag(x, 1),                     n(3, 4), oracles="")
case("diagflat",       lambda np, x: np.diagflat(x, 1),                 n(2, 2), oracles="")
case("diagonal",       lambda np, x: np.diagonal(x, -1),                n(4, 3), oracles="")
case("diagonal_axes",  lambda np, x: np.diagonal(x, 1, axis1=2, axis2=0), n(2, 3, 4), oracles="")
case("diagonal_method", lambda np, x: x.diagonal(axis1=-1, axis2=-2),   n(2, 3, 3), oracles="")
case("trace",          lambda np, x: np.trace(x),                       n(3, 4), oracles="a")
case("trace_axes",     lambda np, x: x.trace(-1, axis1=1, axis2=-1),    n(4, 2, 3), oracles="")

# ---- selection
ROWS = np.array([[0, 2, 1, 1], [2, 2, 0, 1], [1, 0, 0, 2]])
case("take",           lambda np, x: np.take(x, [5, 0, 0, -1]),         n(3, 4), oracles="")
case("take_axis",      lambda np, x: np.take(x, I, axis=1),             n(3, 4), oracles="")
case("take_wrap",      lambda np, x: np.take(x, [[5, -1], [7, 0]], axis=-1, mode="wrap"), n(3, 4), oracles="")
case("take_method",    lambda np, x: x.take(1, axis=0),                 n(3, 4), oracles="")
case("take_along_axis", lambda np, x: np.take_along_axis(x, ROWS, axis=0), n(3, 4), oracles="")
case("take_along_last", lambda np, x: np.take_along_axis(x, ROWS[:, :2], axis=-1), n(3, 4), oracles="")
case("compress",       lambda np, x: np.compress([True, False, True], x, axis=1), n(3, 4), oracles="")
case("compress_method", lambda np, x: x.compress(MASK[0], axis=-1),     n(3, 4), oracles="")
case("extract",        lambda np, x: np.extract(MASK, x),               n(3, 4), oracles="")
case("select",         lambda np, a, b: np.select([MASK, ~MASK & MASK[::-1]], [a, b], 0.5), n(3, 4), n(4), oracles="")
case("choose",         lambda np, a, b: np.choose(ROWS, [a, b, a * b]), n(3, 4), n(4), oracles="")
case("sort",           lambda np, x: np.sort(x),                        grid(0, 3, 4), oracles="", kinks="ties")
case("sort_axis",      lambda np, x: np.sort(x, axis=0),                grid(0, 3, 4), oracles="", kinks="ties")
case("sort_flat",      lambda np, x: np.sort(x, axis=None),             grid(0, 3, 4), oracles="", kinks="ties")
case("index_update",   lambda np, x, v: ad.index_update(x, (slice(1, None), slice(None, 2)), v), n(3, 4), n(2), oracles="",
     plain=lambda np, x, v: np.concatenate([x[:1], np.concatenate([np.stack([v, v]), x[1:, 2:]], axis=1)]))
case("index_update_number", lambda np, x: ad.index_update(x, 1, 2.0) * x, n(3), oracles="", plain=lambda np, x: x * np.where([False, True, False], 2.0, x))
case("index_update_rows", lambda np, x, v: ad.index_update(x, np.array([2, 0, 2]), v) * 2.0, n(3, 2), n(3, 2), oracles="",
     plain=lambda np, x, v: np.stack([v[1], x[1], v[2]]) * 2.0)
case("index_update_mask", lambda np, x, v: ad.index_update(x, MASK, v), n(3, 4), n(), oracles="", plain=lambda np, x, v: np.where(MASK, v, x))

# ---- more products
case("outer",          lambda np, a, b: np.outer(a, b),                 n(3), n(2, 2), oracles="")
case("outer_vectors",  lambda np, a, b: np.outer(a, b),                 n(3), n(2), oracles="a")
case("inner",          lambda np, a, b: np.inner(a, b),                 n(3), n(3), oracles="a", tags=ORDER)
case("inner_matrices", lambda np, a, b: np.inner(a, b),                 n(2, 3), n(2, 4, 3), oracles="a", tags=ORDER)
case("inner_number",   lambda np, a, b: np.inner(a, b),                 n(), n(2, 2), oracles="a")
case("dot",            lambda np, a, b: np.dot(a, b),                   n(2, 3), n(3, 2), oracles="a", tags=ORDER)
case("dot_vectors",    lambda np, a, b: np.dot(a, b),                   n(3), n(3), oracles="a", tags=ORDER)
case("dot_number",     lambda np, a, b: np.dot(a, b),                   n(2, 2), n(), oracles="a")
case("dot_stacks",     lambda np, a, b: np.dot(a, b),                   n(2, 3), n(2, 3, 2), oracles="a", tags=ORDER)
case("dot_stacks_method", lambda np, a, b: a.dot(b),                    n(3), n(2, 3, 2), oracles="", tags=ORDER)
case("vdot",           lambda np, a, b: np.vdot(a, b),                  n(2, 3), n(3, 2), oracles="", tags=ORDER, plain=lambda np, a, b: np.sum(np.reshape(a, -1) * np.reshape(b, -1)))
case("tensordot",      lambda np, a, b: np.tensordot(a, b),             n(2, 3, 4), n(3, 4, 2), oracles="a", tags=ORDER)
case("tensordot_0",    lambda np, a, b: np.tensordot(a, b, axes=0),     n(2), n(3), oracles="a", tags=ORDER)
case("tensordot_axes", lambda np, a, b: np.tensordot(a, b, axes=([2, 0], [-1, 0])), n(2, 3, 4), n(2, 4), oracles="a", tags=ORDER)
for text, shapes in [("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,kj", [(2, 3), (4, 3)]), ("i,i", [(3,), (3,)]), ("ij->ji", [(2, 3)]), ("ii", [(3, 3)]), ("ii->i", [(3, 3)]),
                     ("ij->", [(2, 3)]), ("i,j,k->kji", [(2,), (3,), (2,)]), ("bij,bjk,bk->bi", [(2, 3, 2), (2, 2, 3), (2, 3)]), ("...ij,...j->...i", [(2, 3, 2), (2,)]),
                     ("...,...", [(2, 3), (3,)]), ("iij,jkk->i", [(2, 2, 3), (3, 2, 2)]), ("ij,jk,kl,li->", [(2, 3), (3, 2), (2, 4), (4, 2)]), ("ij,ij->ij", [(2, 3), (1, 3)]),
                     (",ij->ij", [(), (2, 3)]), ("iji->j", [(2, 3, 2)])]:
    case(f"einsum_{text}", lambda np, *xs, text=text: np.einsum(text, *xs), *(n(*s) for s in shapes), oracles="", tags=ORDER, group="einsum")
case("einsum_sublists", lambda np, a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]), n(2, 3), n(3, 2), oracles="", tags=ORDER)
case("kron",           lambda np, a, b: np.kron(a, b),                  n(2, 3), n(2, 2), oracles="a")
case("kron_ranks",     lambda np, a, b: np.kron(a, b),                  n(3), n(2, 2), oracles="")
case("cross",          lambda np, a, b: np.cross(a, b),                 n(2, 3), n(3), oracles="")
case("cross_axis",     lambda np, a, b: np.cross(a, b, axis=0),         n(3, 2), n(3, 2), oracles="")

# ---- linear algebra
case("solve",          lambda np, A, b: np.linalg.solve(A, b),          regular(3), n(3, 2), oracles="a", rtol=1e-13)
case("solve_vector",   lambda np, A, b: np.linalg.solve(A, b),          regular(3), n(3), oracles="a", rtol=1e-13)
case("solve_stack",    lambda np, A, b: np.linalg.solve(A, b),          regular(2, 3), n(3, 2), oracles="", rtol=1e-13)
case("solve_stack_vector", lambda np, A, b: np.linalg.solve(A, b),      regular(2, 3), n(3), oracles="", rtol=1e-13)
case("inv",            lambda np, A: np.linalg.inv(A),                  regular(3), oracles="a", rtol=1e-13)
case("inv_stack",      lambda np, A: np.linalg.inv(A),                  regular(2, 2), oracles="a", rtol=1e-13)
case("det",            lambda np, A: np.linalg.det(A),                  regular(3), oracles="a", rtol=1e-13)
case("det_stack",      lambda np, A: np.linalg.det(A),                  regular(2, 2), oracles="a", rtol=1e-13)
case("slogdet",        lambda np, A: np.linalg.slogdet(A)[1],           regular(3), oracles="a", rtol=1e-13, plain=lambda np, A: np.log(np.linalg.det(A)))
case("slogdet_stack",  lambda np, A: np.linalg.slogdet(-A)[0] * np.linalg.slogdet(-A)[1], regular(2, 3), oracles="", rtol=1e-13, plain=lambda np, A: -np.log(np.linalg.det(A)))
case("cholesky",       lambda np, A: np.linalg.cholesky(A @ A.T),       regular(3), oracles="a", rtol=1e-13, plain=lambda np, A: cholesky(np, A @ A.T))
case("cholesky_stack", lambda np, A: np.linalg.cholesky(A @ np.swapaxes(A, -1, -2)), regular(2, 2), oracles="a", rtol=1e-13,
     plain=lambda np, A: cholesky(np, A @ np.swapaxes(A, -1, -2)))
case("matrix_power",   lambda np, A: np.linalg.matrix_power(A, 5),      u(-1, 1, 3, 3), oracles="", rtol=1e-13)
case("matrix_power_inverse", lambda np, A: np.linalg.matrix_power(A, -2), regular(3), oracles="", rtol=1e-13)

# ---- complex numbers on the way; a real input is its own real part
case("real_part",      lambda np, x: np.real(x) * x + x.real,           n(3, 4), oracles="", plain=lambda np, x: x * x + x)
case("conj",           lambda np, x: np.conj(x) * x + x.conj(),         n(3, 4), oracles="", plain=lambda np, x: x * x + x)
case("imag",           lambda np, x: x * 2.0 + np.imag(x) + x.imag,     n(3, 4), oracles="", plain=lambda np, x: x * 2.0)

# ---- stable forms
case("softmax",         lambda np, x: ad.softmax(x),                     n(3, 4), plain=softmax)
case("softmax_axis",    lambda np, x: ad.softmax(x, axis=0),             n(3, 4), plain=lambda np, x: softmax(np, x, 0))
case("softmax_axes",    lambda np, x: ad.softmax(x, axis=(0, -1)),       n(2, 3, 2), plain=lambda np, x: softmax(np, x, (0, -1)))
case("log_softmax",     lambda np, x: ad.log_softmax(x),                 n(3, 4), plain=lambda np, x: np.log(softmax(np, x)), rtol=1e-13)
case("log_softmax_axis", lambda np, x: ad.log_softmax(x, axis=0),        n(3, 4), plain=lambda np, x: np.log(softmax(np, x, 0)), rtol=1e-13)
case("logsumexp",       lambda np, x: ad.logsumexp(x),                   n(3, 4), plain=lambda np, x: np.log(np.sum(np.exp(x))), rtol=1e-13)
for axis, keep in [(0, False), (-1, True), ((0, 2), False), ((0, 2), True), (None, True)]:
    case(f"logsumexp_{axis}_{keep}".replace(" ", ""), lambda np, x, axis=axis, keep=keep: ad.logsumexp(x, axis=axis, keepdims=keep), n(2, 3, 2), rtol=1e-13,
         plain=lambda np, x, axis=axis, keep=keep: np.log(np.sum(np.exp(x), axis=axis, keepdims=keep)))

# ---- losses
case("cross_entropy",   lambda np, z: ad.cross_entropy_of_labels(z, LABELS), n(3, 4), rtol=1e-13,
     plain=lambda np, z: -np.log(softmax(np, z))[np.arange(3) if hasattr(np, "arange") else [0, 1, 2], LABELS])
case("cross_entropy_3d", lambda np, z: ad.cross_entropy_of_labels(z, LABELS[None, :2]), n(1, 2, 4), rtol=1e-13, oracles="a",
     plain=lambda np, z: -np.log(softmax(np, z))[[[0, 0]], [[0, 1]], LABELS[None, :2]])
case("cross_entropy_1", lambda np, z: ad.cross_entropy_of_labels(z, 1),  n(4), rtol=1e-13, plain=lambda np, z: -np.log(softmax(np, z))[1])
case("cross_entropy_p", lambda np, z, t: ad.cross_entropy_of_probabilities(z, t), n(3, 4), p(3, 4), rtol=1e-13,
     plain=lambda np, z, t: -np.sum(t * np.log(softmax(np, z)), axis=-1))

# ---- convolution and pooling
for name, shapes, options, plain in [
    ("1d",         [(2, 2, 6), (3, 2, 3), (3,)],          {},                                           spelled_conv()),
    ("1d_options", [(2, 2, 8), (2, 1, 2)],                {"stride": 3, "padding": 2, "dilation": 2, "groups": 2}, spelled_conv(3, 2, 2, 2)),
    ("1d_same",    [(1, 2, 5), (2, 2, 4), (2,)],          {"padding": "same"},                          spelled_conv(1, ((1, 2),))),
    ("2d",         [(2, 1, 4, 5), (2, 1, 2, 3), (2,)],    {},                                           spelled_conv()),
    ("2d_narrow",  [(2, 3, 3, 4), (2, 3, 2, 2), (2,)],    {"padding": 1},                               spelled_conv(1, 1)),
    ("2d_options", [(1, 4, 5, 4), (4, 2, 3, 2), (4,)],    {"stride": (2, 1), "padding": ((1, 0), (2, 1)), "dilation": (1, 2), "groups": 2},
     spelled_conv((2, 1), ((1, 0), (2, 1)), (1, 2), 2)),
    ("2d_wide",    [(1, 1, 3, 3), (1, 1, 2, 2)],          {"padding": 2},                               spelled_conv(1, 2)),
    ("depthwise",  [(2, 3, 3, 3), (3, 1, 2, 2)],          {"groups": 3},                                spelled_conv(groups=3)),
    ("pointwise",  [(2, 3, 2, 2), (2, 3, 1, 1), (2,)],    {},                                           spelled_conv()),
    ("3d",         [(1, 1, 3, 2, 3), (1, 1, 2, 2, 2)],    {"stride": (1, 1, 2)},                        spelled_conv((1, 1, 2))),
]:
    case(f"conv_{name}", lambda np, *xs, options=options: ad.conv(*xs, **options), *(n(*s) for s in shapes), oracles="", group="conv", rtol=1e-13, plain=plain)
case("max_pool_1d",    lambda np, x: ad.max_pool(x, window=2),          grid(0, 2, 2, 5), oracles="", kinks="ties", plain=spelled_pool("max", (2,), (2,), [(0, 0)]))
case("max_pool_2d",    lambda np, x: ad.max_pool(x, window=2),          grid(0, 2, 2, 4, 5), oracles="", kinks="ties", plain=spelled_pool("max", (2, 2), (2, 2), [(0, 0), (0, 0)]))
case("max_pool_options", lambda np, x: ad.max_pool(x, window=(3, 2), stride=(1, 2), padding=(1, 0), dilation=(1, 2)), grid(0, 2, 1, 4, 5), oracles="", kinks="ties",
     plain=spelled_pool("max", (3, 2), (1, 2), [(1, 1), (0, 0)], (1, 2)))
case("max_pool_ceil",  lambda np, x: ad.max_pool(x, window=2, ceil_mode=True), grid(0, 1, 2, 3, 5), oracles="", kinks="ties", plain=spelled_pool("max", (2, 2), (2, 2), [(0, 1), (0, 1)]))
case("avg_pool_1d",    lambda np, x: ad.avg_pool(x, window=3, stride=1), n(2, 2, 5), oracles="", plain=spelled_pool("avg", (3,), (1,), [(0, 0)], members=3))
case("avg_pool_2d",    lambda np, x: ad.avg_pool(x, window=2, padding=1), n(2, 1, 4, 4), oracles="", plain=spelled_pool("avg", (2, 2), (2, 2), [(1, 1), (1, 1)], members=4))
case("avg_pool_ceil",  lambda np, x: ad.avg_pool(x, window=(2, 3), padding=(1, 0), ceil_mode=True, count_include_pad=False), n(1, 2, 3, 5), oracles="",
     plain=spelled_pool("avg", (2, 3), (2, 3), [(1, 1), (0, 1)], members=np.array([[3.0, 2.0], [6.0, 4.0]])))
case("conv_transpose", lambda np, g, w: conv_transpose(g, w, shape=(5,), stride=2), n(1, 2, 2), n(2, 1, 2), oracles="",
     plain=lambda np, g, w: np.concatenate([np.stack([np.sum(g * w[:, :, i][None], axis=1) for i in (0, 1)], axis=-1).reshape(1, 1, 4), 0.0 * g[:, :1, :1]], axis=2))
case("conv_weight",    lambda np, x, g: conv_weight(x, g, window=(2,)), n(2, 1, 3), n(2, 1, 2), oracles="",
     plain=lambda np, x, g: np.stack([np.sum(x[:, :, i:i + 2] * g) for i in (0, 1)]).reshape(1, 1, 2))
TOP = np.array([[[2.0, 5.0, 5.0, 1.0], [3.0, 0.0, 7.0, 9.0]]])           # the first of two fives counts
AT_TOP = np.array([[[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]])
case("at_max",         lambda np, u: at_max(u, TOP, ad.max_pool(TOP, window=2), window=2), n(1, 2, 4), oracles="",
     plain=lambda np, u: np.sum(np.reshape(u, (1, 2, 2, 2)) * AT_TOP, axis=-1))
case("max_unpool",     lambda np, g: max_unpool(g, TOP, ad.max_pool(TOP, window=2), window=2), n(1, 2, 2), oracles="",
     plain=lambda np, g: np.reshape(np.reshape(g, (1, 2, 2, 1)) * AT_TOP, (1, 2, 4)))
case("avg_unpool",     lambda np, g: avg_unpool(g, shape=(5,), window=2), n(1, 2, 2), oracles="",
     plain=lambda np, g: np.concatenate([np.reshape(np.stack([g, g], axis=-1), (1, 2, 4)) / 2, g[:, :, :1] * 0.0], axis=2))

# ---- recorded, since values depend on them, and without a derivative: name, function, operands
X, Y = np.array([[-1.5, 0.0, 2.0], [0.5, 2.0, -0.0]]), np.array([0.5, 0.0, 2.0])
B, C = X > 0, Y > 0
CONSTANT = {
    "greater": (lambda np, a, b: np.greater(a, b), X, Y), "greater_equal": (lambda np, a, b: a >= b, X, Y),
    "less": (lambda np, a, b: a < b, X, Y), "less_equal": (lambda np, a, b: np.less_equal(a, b), X, Y),
    "equal": (lambda np, a, b: a == b, X, Y), "not_equal": (lambda np, a, b: a != b, X, Y),
    "less_reflected": (lambda np, a, b: 0.5 < a, X, Y), "equal_number": (lambda np, a, b: a == 0.0, X, Y),
    "logical_and": (lambda np, a, b: np.logical_and(a, b), X, Y), "logical_or": (lambda np, a, b: np.logical_or(a, b), X, Y),
    "logical_xor": (lambda np, a, b: np.logical_xor(a, b), X, Y), "logical_not": (lambda np, a, b: np.logical_not(a), X, Y),
    "and": (lambda np, a, b: (a > 0) & (b > 0), X, Y), "or": (lambda np, a, b: (a > 0) | (b > 0), X, Y),
    "xor": (lambda np, a, b: (a > 0) ^ (b > 0), X, Y), "invert": (lambda np, a, b: ~(a > 0), X, Y),
    "ceil": (lambda np, a, b: np.ceil(a), X, Y), "trunc": (lambda np, a, b: np.trunc(a), X, Y),
    "rint": (lambda np, a, b: np.rint(a), X, Y),
    "round": (lambda np, a, b: np.round(a * 0.37, 1), X, Y), "round_method": (lambda np, a, b: (a * 0.37).round(1), X, Y),
    "floor_divide": (lambda np, a, b: np.floor_divide(a, b + 1.0), X, Y), "floor_divide_operator": (lambda np, a, b: a // (b + 1.0), X, Y),
    "signbit": (lambda np, a, b: np.signbit(a - 0.25), X, Y),
    "argmax": (lambda np, a, b: np.argmax(a), X, Y), "argmin": (lambda np, a, b: np.argmin(a, axis=0), X, Y),
    "argmax_keep": (lambda np, a, b: a.argmax(1, keepdims=True), X, Y), "argmin_method": (lambda np, a, b: a.argmin(), X, Y),
    "any": (lambda np, a, b: np.any(a > 1, axis=0), X, Y), "all": (lambda np, a, b: np.all(a, axis=1, keepdims=True), X, Y),
    "any_method": (lambda np, a, b: (a > b).any(), X, Y), "all_method": (lambda np, a, b: (a > b).all(axis=0), X, Y),
    "logical_and_reduce": (lambda np, a, b: np.logical_and.reduce(a), X, Y),
    "count_nonzero": (lambda np, a, b: np.count_nonzero(a, axis=0), X, Y),
    "count_nonzero_all": (lambda np, a, b: np.count_nonzero(a, keepdims=True), X, Y),
    "sign": (lambda np, a, b: np.sign(a), X, Y), "floor": (lambda np, a, b: np.floor(a), X, Y),
    "isfinite": (lambda np, a, b: np.isfinite(a), X, Y), "isnan": (lambda np, a, b: np.isnan(a), X, Y),
    "isinf": (lambda np, a, b: np.isinf(a), X, Y), "astype_int": (lambda np, a, b: a.astype(np.int64), X, Y),
    "astype_bool": (lambda np, a, b: a.astype(bool), X, Y), "detach": (lambda np, a, b: detached(a), X, Y),
}


# ---- what the tests do with a line

def outputs(case, numpy, xs):
    return case.f(numpy, *xs)


def weight(y, seed=1):
    """A cotangent for an output of this shape."""
    return np.random.default_rng(seed).normal(size=np.shape(y))


def tensors(case, xs):
    """The differentiable arguments as Tensors that require grad."""
    return [ad.Tensor(x, requires_grad=True, name=f"x{i}") if i in case.wrt else x for i, x in enumerate(xs)]


def recorded(case, xs, seed=1):
    """A weighted sum of the outputs, and the Tensors it came from."""
    ts = tensors(case, xs)
    y = case.f(np, *ts)
    loss = (y * weight(y, seed).astype(y.dtype)).sum()
    return loss, [ts[i] for i in case.wrt], y


def complex_step(function, xs, i):
    """∂function/∂xs[i] of a scalar function, element by element, to full precision."""
    g = np.zeros(np.shape(xs[i]))
    for index in np.ndindex(g.shape):
        bumped = [np.array(x, dtype=complex) if j == i else x for j, x in enumerate(xs)]
        bumped[i][index] += 1e-30j
        g[index] = np.imag(function(*bumped)) / 1e-30
    return g


def close(a, b, rtol=1e-11):
    """Equal to a fraction of the largest element."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    scale = max(np.max(np.abs(b), initial=0), 1e-3)
    assert np.all(np.abs(a - b) <= rtol * scale), f"{a}\n{b}\nworst {np.max(np.abs(a - b)) / scale:.2e}"


def gradients_or_zeros(total, ts):
    """Gradients with zeros for what the total does not depend on at all."""
    tape = set(ad.Tape(total).all)
    reached = [t for t in ts if t.record in tape] if total.requires_grad else []
    found = iter(ad.gradients(total, reached) if reached else [])
    return [next(found) if t in set(reached) else np.zeros(t.shape) for t in ts]
