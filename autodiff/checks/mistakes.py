"""The mistakes people make in one step of a backward pass: a table, an op a line or a few.

A mistake is a kind and a wrong rule ``(g, y, *inputs, **options)``, written as the right ones are: run on arrays
it gives what the person got, run on Tensors it prints what the person seems to have written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autodiff.forward import contribution
from autodiff.kinds import At, Op
from autodiff.ops import activations, contraction, cumulative, elementary, products, reductions, shapes
from autodiff.ops import arithmetic as a
from autodiff.ops import stable as s
from autodiff.ops.indexing import put_together

Rule = Callable[..., Any]

# What a mistake may be. The keys are public: `Explanation.kind` is one of them.
KINDS: dict[str, str] = {
    "sign": "a contribution with the wrong sign",
    "scale": "a wrong constant factor",
    "missing-local-derivative": "the derivative of an operation left out",
    "wrong-argument": "the right derivative, at the wrong tensor",
    "wrong-local-rule": "a wrong formula for the derivative of an operation",
    "double-derivative": "the derivative of an operation applied twice",
    "missing-transpose": "a matrix where its transpose is needed",
    "transposed-result": "a gradient in the transposed layout",
    "dropped-path": "one of several paths to the loss left out",
    "overwritten-accumulation": "one of several uses kept where all must be added up",
    "treated-as-constant": "a quantity treated as if it did not depend on the parameters",
    "missing-broadcast-reduction": "a sum over a broadcast axis left out",
    "wrong-axis": "the right thing along the wrong axis",
    "softmax-diagonal": "a wrong Jacobian of a softmax",
    "stale-value": "a value from before or after an update",
    "swapped": "two gradients exchanged",
    "missing-term": "a term of the loss left out",
    "extra-term": "a term that is not in the loss",
    "wrong-operand": "a product with the wrong tensor",
    "scatter": "gradients of indexed elements put in the wrong place",
    "two": "several mistakes at once",
}


class Mistake(NamedTuple):
    """A wrong rule for one argument of an op.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    rule : callable
        ``(g, y, *inputs, **options)``, the wrong contribution.
    tag : str
        Which mistake this is, the same for every use of the op.
    cost : float
        How far-fetched: 1 for a common mistake.
    operand : str
        The tensor that was taken by mistake, where that is what is wrong.
    """

    kind: str
    rule: Rule
    tag: str
    cost: float = 1.0
    operand: str = ""


LOCAL, ARGUMENT, TWICE = "wrong-local-rule", "wrong-argument", "double-derivative"
DIAGONAL, AXIS = "softmax-diagonal", "wrong-axis"


def over(g: Any, axis: Any) -> Any:
    """A sum that keeps its axis."""
    return np.sum(g, axis=axis, keepdims=True)


def other_axis(axis: Any, x: Any) -> Any:
    """The axis people confuse with this one."""
    return 0 if x.ndim < 2 or axis in (-1, x.ndim - 1) else -1


def softmax_of(x: Any, axis: Any) -> Any:
    """The softmax, where it does not stand on the tape."""
    return s.softmax(x, axis=axis)


def below_top(x: Any, axis: Any) -> Any:
    """What the exponential is taken of, where the largest is subtracted first."""
    return x - np.max(x, axis=axis, keepdims=True)


def first_along(x: Any, axis: Any) -> Any:
    """Ones at the first place along an axis, else zeros."""
    return np.arange(np.shape(x)[axis]).reshape((-1,) + (1,) * (np.ndim(x) - 1 - axis % np.ndim(x))) == 0


POWER = (                                                                # g n xⁿ⁻¹
    (LOCAL, lambda g, y, x, n: g * n * x ** n), (LOCAL, lambda g, y, x, n: g * x ** (n - 1)),
    (LOCAL, lambda g, y, x, n: g * n * x), (LOCAL, lambda g, y, x, n: g * (n - 1) * x ** (n - 1)),
    (LOCAL, lambda g, y, x, n: g * n * x ** (n + 1)), (LOCAL, lambda g, y, x, n: g * (n - 1) * x ** n),
    (LOCAL, lambda g, y, x, n: g * np.sign(x)))

# Per op and argument: (kind, wrong rule). The comment is the right rule.
Table = dict[Op, tuple[tuple[tuple[str, Rule], ...], ...]]
MISTAKES: Table = {
    s.sigmoid: ((                                                        # g y (1 - y)
        (LOCAL, lambda g, y, x: g * (1 - y)), (LOCAL, lambda g, y, x: g * y), (LOCAL, lambda g, y, x: g * y * (1 + y)),
        (LOCAL, lambda g, y, x: g * y * y), (LOCAL, lambda g, y, x: g * (1 - y * y)),
        (ARGUMENT, lambda g, y, x: g * x * (1 - x)),
        (ARGUMENT, lambda g, y, x: g * s.sigmoid(y) * (1 - s.sigmoid(y))), (ARGUMENT, lambda g, y, x: g * g * (1 - g)),
        (LOCAL, lambda g, y, x: g * y * (1 - x)), (LOCAL, lambda g, y, x: g * x * (1 - y))),),
    elementary.tanh: ((                                                           # g (1 - y²)
        (LOCAL, lambda g, y, x: g * (1 - y)), (LOCAL, lambda g, y, x: g * y * y), (LOCAL, lambda g, y, x: g * (1 + y * y)),
        (LOCAL, lambda g, y, x: g * y * (1 - y)), (LOCAL, lambda g, y, x: g * (1 - y) * (1 - y)),
        (ARGUMENT, lambda g, y, x: g * (1 - x * x)), (ARGUMENT, lambda g, y, x: g * (1 - np.tanh(y) ** 2)),
        (LOCAL, lambda g, y, x: g * y), (LOCAL, lambda g, y, x: g * (1 + y) * (1 + y)),
        (LOCAL, lambda g, y, x: g * (1 + y)), (LOCAL, lambda g, y, x: g * np.sqrt(1 - y * y))),),
    s.relu: ((                                                           # g [x > 0]
        (LOCAL, lambda g, y, x: np.maximum(g, 0)), (LOCAL, lambda g, y, x: g * (x > 0) * (g > 0)),
        (LOCAL, lambda g, y, x: g * (x <= 0)), (LOCAL, lambda g, y, x: g * y), (LOCAL, lambda g, y, x: g * (g > 0)),
        (LOCAL, lambda g, y, x: (x > 0) * 1.0), (LOCAL, lambda g, y, x: g * (x < 1))),),
    elementary.exp: ((                                                   # g y
        (LOCAL, lambda g, y, x: g * x), (LOCAL, lambda g, y, x: g / y), (ARGUMENT, lambda g, y, x: g * np.exp(y))),),
    elementary.log: ((                                                   # g / x
        (LOCAL, lambda g, y, x: g * x), (LOCAL, lambda g, y, x: g / (x * x)), (ARGUMENT, lambda g, y, x: g / y),
        (LOCAL, lambda g, y, x: g * y)),),
    elementary.log1p: (((LOCAL, lambda g, y, x: g / x), (LOCAL, lambda g, y, x: g * (1 + x))),),    # g / (1 + x)
    elementary.sqrt: ((                                                  # g / 2y
        (LOCAL, lambda g, y, x: g * y / 2), (LOCAL, lambda g, y, x: g / y), (ARGUMENT, lambda g, y, x: g / (2 * x))),),
    a.square: (((LOCAL, lambda g, y, x: g * x), (ARGUMENT, lambda g, y, x: g * 2 * y),         # g 2x
                (LOCAL, lambda g, y, x: g * np.sign(x)), (LOCAL, lambda g, y, x: g * y)),),
    a.power: (POWER,), a.integer_power: (POWER,),
    a.absolute: (((LOCAL, lambda g, y, x: g * x),),),                    # g sign x
    a.divide: (
        ((LOCAL, lambda g, y, x, z: g * z), (LOCAL, lambda g, y, x, z: g / (z * z))),            # g / z
        ((LOCAL, lambda g, y, x, z: -g * x / z), (LOCAL, lambda g, y, x, z: g / z),              # -g x / z²
         (LOCAL, lambda g, y, x, z: -g / (z * z)), (LOCAL, lambda g, y, x, z: g * x),
         (LOCAL, lambda g, y, x, z: -g / z))),
    a.multiply: (                                                        # g z, g x
        (("wrong-operand", lambda g, y, x, z: g * x), (LOCAL, lambda g, y, x, z: g / z)),
        (("wrong-operand", lambda g, y, x, z: g * z), (LOCAL, lambda g, y, x, z: g / x))),
    a.subtract: ((), ((LOCAL, lambda g, y, x, z: g * x),)),
    a.maximum: (((LOCAL, lambda g, y, x, z: g * (x < z)),), ((LOCAL, lambda g, y, x, z: g * (z < x)),)),
    a.minimum: (((LOCAL, lambda g, y, x, z: g * (x > z)),), ((LOCAL, lambda g, y, x, z: g * (z > x)),)),
    s.softplus: (((LOCAL, lambda g, y, x: g * s.sigmoid(x) * (1 - s.sigmoid(x))), (ARGUMENT, lambda g, y, x: g * s.sigmoid(y)),
                  (LOCAL, lambda g, y, x: g * (1 - s.sigmoid(x)))),),
    activations.log_sigmoid: ((                                          # g (1 - eʸ), eʸ = sigmoid x
        (LOCAL, lambda g, y, x: g * np.exp(y)), (LOCAL, lambda g, y, x: g * np.exp(y) * (1 - np.exp(y))),
        (LOCAL, lambda g, y, x: g / np.exp(y)), (ARGUMENT, lambda g, y, x: g * (1 - y))),),
    activations.leaky_relu: ((                                           # g where x > 0, else k g
        (LOCAL, lambda g, y, x, negative_slope=0.01: g * np.where(x > 0, negative_slope, 1.0)),
        (LOCAL, lambda g, y, x, negative_slope=0.01: g * np.where(g > 0, 1.0, negative_slope)),
        (LOCAL, lambda g, y, x, negative_slope=0.01: g * (x > 0)),
        (LOCAL, lambda g, y, x, negative_slope=0.01: g * np.where(x > 0, 1.0, -negative_slope)),
        (LOCAL, lambda g, y, x, negative_slope=0.01: g * np.where(x > 0, 1.0, negative_slope * x))),),
    s.softmax: ((                                                        # y (g - Σ g y)
        (DIAGONAL, lambda g, y, x, axis=-1: g * y * (1 - y)), (DIAGONAL, lambda g, y, x, axis=-1: g * y),
        (DIAGONAL, lambda g, y, x, axis=-1: y * (g + over(g * y, axis))),
        (DIAGONAL, lambda g, y, x, axis=-1: -y * over(g * y, axis)),
        (DIAGONAL, lambda g, y, x, axis=-1: y * (g - over(g, axis))),
        (DIAGONAL, lambda g, y, x, axis=-1: g - over(g * y, axis)),
        (DIAGONAL, lambda g, y, x, axis=-1: g * y - over(g * y, axis)),
        (DIAGONAL, lambda g, y, x, axis=-1: y * (g - np.mean(g * y, axis=axis, keepdims=True))),
        (DIAGONAL, lambda g, y, x, axis=-1: y * (g - np.mean(g, axis=axis, keepdims=True))),
        (DIAGONAL, lambda g, y, x, axis=-1: y * (g - y)), (DIAGONAL, lambda g, y, x, axis=-1: y * (g - g * y)),
        (DIAGONAL, lambda g, y, x, axis=-1: g * (1 - y)),
        (AXIS, lambda g, y, x, axis=-1: y * (g - over(g * y, other_axis(axis, x)))),
        (AXIS, lambda g, y, x, axis=-1: y * (g - np.sum(g * y)))),),
    s.log_softmax: ((                                                    # g - eʸ Σ g
        (LOCAL, lambda g, y, x, axis=-1: np.exp(y) * (g - over(g * np.exp(y), axis))),
        (DIAGONAL, lambda g, y, x, axis=-1: g - np.exp(y)), (DIAGONAL, lambda g, y, x, axis=-1: g - np.exp(y) * g),
        (LOCAL, lambda g, y, x, axis=-1: g - over(g, axis)), (DIAGONAL, lambda g, y, x, axis=-1: g + np.exp(y) * over(g, axis)),
        (LOCAL, lambda g, y, x, axis=-1: g - np.exp(x) * over(g, axis)),
        (LOCAL, lambda g, y, x, axis=-1: g - np.exp(below_top(x, axis)) * over(g, axis)),
        (ARGUMENT, lambda g, y, x, axis=-1: g - y * over(g, axis)), (DIAGONAL, lambda g, y, x, axis=-1: g + np.exp(y)),
        (LOCAL, lambda g, y, x, axis=-1: -np.exp(y) * over(g, axis)),
        ("sign", lambda g, y, x, axis=-1: -g - np.exp(y) * over(g, axis)),
        ("overwritten-accumulation", lambda g, y, x, axis=-1: np.where(
            g == 0, -np.exp(y) * over(g, axis), g if np.any(g == 0) else np.nan)),
        (LOCAL, lambda g, y, x, axis=-1: np.exp(y) * (g - np.exp(y) * over(g, axis))),
        (TWICE, lambda g, y, x, axis=-1: np.exp(y) * (1 - np.exp(y)) * (g - np.exp(y) * over(g, axis))),
        (AXIS, lambda g, y, x, axis=-1: g - np.exp(y) * over(g, other_axis(axis, x)))),),
    s.logsumexp: ((                                                      # g softmax x
        ("missing-local-derivative", lambda g, y, x, axis=None, keepdims=False: shapes.spread(g, axis, keepdims) * np.exp(x)),
        ("missing-local-derivative", lambda g, y, x, axis=None, keepdims=False: shapes.spread(g, axis, keepdims) * x),
        ("missing-local-derivative", lambda g, y, x, axis=None, keepdims=False:
            shapes.spread(g, axis, keepdims) * np.exp(below_top(x, axis))),
        (DIAGONAL, lambda g, y, x, axis=None, keepdims=False:
            shapes.spread(g, axis, keepdims) * (p := softmax_of(x, axis)) * (1 - p)),
        (DIAGONAL, lambda g, y, x, axis=None, keepdims=False: shapes.spread(g, axis, keepdims) * softmax_of(x, axis) ** 2)),),
    reductions.max_: ((                                                  # g where x is the largest
        (LOCAL, lambda g, y, x, axis=None, keepdims=False: np.ones_like(x) * shapes.spread(g, axis, keepdims)),
        (LOCAL, lambda g, y, x, axis=None, keepdims=False:
            shapes.spread(g, axis, keepdims) * np.ones_like(x) * (np.size(y) / np.size(x))),
        (LOCAL, lambda g, y, x, axis=None, keepdims=False:
            shapes.spread(g, axis, keepdims) * (x == np.min(x, axis=axis, keepdims=True))),
        (LOCAL, lambda g, y, x, axis=None, keepdims=False: shapes.spread(g, axis, keepdims) * first_along(x, axis))),),
    reductions.var: (((LOCAL, lambda g, y, x, axis=None, **_: x * shapes.spread(g, axis, np.ndim(g) == np.ndim(x))),),),
    reductions.norm: (((LOCAL, lambda g, y, x, axis=None, keepdims=False: shapes.spread(g, axis, keepdims) * x),
                       (LOCAL, lambda g, y, x, axis=None, keepdims=False: np.ones_like(x) * shapes.spread(g, axis, keepdims))),),
    cumulative.cumsum: (((AXIS, lambda g, y, x, axis=None: np.cumsum(g, axis)),),),
    products.matmul: (
        (("missing-transpose", lambda g, y, x, z: g @ z), ("missing-transpose", lambda g, y, x, z: products.flipped(g) @ products.flipped(z))),
        (("missing-transpose", lambda g, y, x, z: x @ g), ("missing-transpose", lambda g, y, x, z: products.flipped(x) @ products.flipped(g)))),
    products.linear: (
        (("missing-transpose", lambda g, y, x, W, b=None: g @ W.T),),
        (("missing-transpose", lambda g, y, x, W, b=None: g @ x), ("missing-transpose", lambda g, y, x, W, b=None: g.T @ x.T)), ()),
}
# Rules that are sums, part by part: a part may have a factor of its own.
PARTS: dict[Op, tuple[Rule, ...]] = {
    s.softmax: (lambda g, y, x, axis=-1: g * y, lambda g, y, x, axis=-1: -y * over(g * y, axis)),
    s.log_softmax: (lambda g, y, x, axis=-1: g * 1.0, lambda g, y, x, axis=-1: -np.exp(y) * over(g, axis)),
}
# Rules that sum along an axis, along another one.
ALONG: dict[Op, tuple[Rule, ...]] = {
    s.softmax: (lambda g, y, x, other, axis=-1: y * (g - over(g * y, other)),
                lambda g, y, x, other, axis=-1: (p := softmax_of(x, other)) * (g - over(g * p, axis)),
                lambda g, y, x, other, axis=-1: (p := softmax_of(below_top(x, axis), other)) * (g - over(g * p, axis))),
    s.log_softmax: (lambda g, y, x, other, axis=-1: g - np.exp(y) * over(g, other),
                    lambda g, y, x, other, axis=-1: g - softmax_of(x, other) * over(g, axis),
                    lambda g, y, x, other, axis=-1: g - softmax_of(below_top(x, axis), other) * over(g, axis)),
    s.logsumexp: (lambda g, y, x, other, axis=None, keepdims=False:
                  shapes.spread(g, axis, keepdims) * softmax_of(x, other),
                  lambda g, y, x, other, axis=None, keepdims=False:
                  shapes.spread(g, axis, keepdims) * softmax_of(below_top(x, axis), other)),
}
STATISTICS = {reductions.sum_, reductions.mean_, reductions.var, reductions.std, reductions.max_, reductions.min_,
              reductions.norm, s.logsumexp, reductions.nanmax, reductions.median}
# Functions whose derivatives are taken for each other's.
ACTIVATIONS: tuple[Op, ...] = (s.sigmoid, elementary.tanh, s.relu, s.softplus, elementary.exp)
POWERS = {a.square, a.power, a.integer_power}
EXACTLY_ONE = {a.add, a.subtract, a.negative}          # nothing to forget but the sign
PRODUCTS = {products.matmul, products.linear, contraction.contract, a.multiply}


def add_mistake(op: Op, argument: int, kind: str, rule: Rule) -> None:
    """Add to the catalogue a mistake that people make with an op.

    Parameters
    ----------
    op : Op
        Any, also your own.
    argument : int
        Which of its arguments the wrong contribution goes to.
    kind : str
        One of `KINDS`, or a new word.
    rule : callable
        ``(g, y, *inputs, **options)``: the wrong contribution.

    Examples
    --------
    >>> from autodiff.checks.mistakes import MISTAKES, add_mistake
    >>> @ad.op
    ... def cube(x):
    ...     return x * x * x
    >>> _ = cube.derivative(lambda y, x: 3 * x * x)
    >>> add_mistake(cube, 0, "wrong-local-rule", lambda g, y, x: g * 3 * x)
    >>> len(MISTAKES[cube][0])
    1
    """
    rows = list(MISTAKES.get(op, ()))
    rows += [()] * (argument + 1 - len(rows))
    rows[argument] = (*rows[argument], (kind, rule))
    MISTAKES[op] = tuple(rows)


def right(op: Op, i: int) -> Rule:
    """The right rule of an op for its i-th input, in full."""

    def rule(g: Any, y: Any, *inputs: Any, **options: Any) -> Any:
        c = contribution(op, i, g, y, list(inputs), options)
        return put_together([c], inputs[i]) if isinstance(c, At) else c

    return rule
