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


TABLE: list[Case] = []


def case(name, f, *args, **keywords):
    TABLE.append(Case(name, f, args, **keywords))


def softmax(np, x, axis=-1):
    e = np.exp(x)
    return e / np.sum(e, axis=axis, keepdims=True)


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
for axis in [None, 0, 1, -1, (0, 2), (-1, 0), (0, 1, 2), ()]:
    for keep in (False, True):
        for op, arg in [("sum", n(2, 3, 2)), ("mean", n(2, 3, 2)), ("max", grid(0, 2, 3, 2)), ("min", grid(0, 2, 3, 2))]:
            case(f"{op}_{axis}_{'keep' if keep else 'drop'}".replace(" ", ""),
                 lambda np, x, op=op, axis=axis, keep=keep: getattr(np, op)(x, axis=axis, keepdims=keep) * 2.0, arg,
                 group="reduction", kinks="ties" if op in ("max", "min") else "", oracles="" if axis == () else "am")
case("sum_method",     lambda np, x: x.sum(0),                          n(3, 4))
case("mean_method",    lambda np, x: x.mean(axis=1, keepdims=True),     n(3, 4))
case("max_method",     lambda np, x: x.max(axis=1),                     grid(0, 3, 4), kinks="ties")
case("min_method",     lambda np, x: x.min(),                           grid(0, 3, 4), kinks="ties")
case("add_reduce",     lambda np, x: np.add.reduce(x),                  n(3, 4), oracles="")
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
    "sign": (lambda np, a, b: np.sign(a), X, Y), "floor": (lambda np, a, b: np.floor(a), X, Y),
    "isfinite": (lambda np, a, b: np.isfinite(a), X, Y), "isnan": (lambda np, a, b: np.isnan(a), X, Y),
    "isinf": (lambda np, a, b: np.isinf(a), X, Y), "astype_int": (lambda np, a, b: a.astype(np.int64), X, Y),
    "astype_bool": (lambda np, a, b: a.astype(bool), X, Y),
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
