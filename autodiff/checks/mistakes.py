"""The mistakes people make in one step of a backward pass: a table, an op a line or a few, and what any op may suffer.

A mistake is a kind and a wrong rule ``(g, y, *inputs, **options)``, written as the right ones are: run on arrays
it gives what the person got, run on Tensors it prints what the person seems to have written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from autodiff.checks.doctor.backprop import Edge
from autodiff.forward import contribution
from autodiff.kinds import At, Op
from autodiff.ops import arithmetic as a
from autodiff.ops import contraction, cumulative, elementary, indexing, products, reductions, shapes
from autodiff.ops import stable as s
from autodiff.ops.indexing import put_together
from autodiff.program.passes import value_of
from autodiff.record import Record

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


POWER = (                                                                # g n xⁿ⁻¹
    (LOCAL, lambda g, y, x, n: g * n * x ** n), (LOCAL, lambda g, y, x, n: g * x ** (n - 1)),
    (LOCAL, lambda g, y, x, n: g * n * x), (LOCAL, lambda g, y, x, n: g * (n - 1) * x ** (n - 1)),
    (LOCAL, lambda g, y, x, n: g * n * x ** (n + 1)), (LOCAL, lambda g, y, x, n: g * (n - 1) * x ** n))

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
    a.square: (((LOCAL, lambda g, y, x: g * x), (ARGUMENT, lambda g, y, x: g * 2 * y),),),     # g 2x
    a.power: (POWER,), a.integer_power: (POWER,),
    a.absolute: (((LOCAL, lambda g, y, x: g * x),),),                    # g sign x
    a.divide: (
        ((LOCAL, lambda g, y, x, z: g * z), (LOCAL, lambda g, y, x, z: g / (z * z))),            # g / z
        ((LOCAL, lambda g, y, x, z: -g * x / z), (LOCAL, lambda g, y, x, z: g / z),              # -g x / z²
         (LOCAL, lambda g, y, x, z: -g / (z * z)), (LOCAL, lambda g, y, x, z: g * x),
         (LOCAL, lambda g, y, x, z: -g / z))),
    a.multiply: (
        (("wrong-operand", lambda g, y, x, z: g * x),), (("wrong-operand", lambda g, y, x, z: g * z),)),
    a.subtract: ((), ((LOCAL, lambda g, y, x, z: g * x),)),
    a.maximum: (((LOCAL, lambda g, y, x, z: g * (x < z)),), ((LOCAL, lambda g, y, x, z: g * (z < x)),)),
    a.minimum: (((LOCAL, lambda g, y, x, z: g * (x > z)),), ((LOCAL, lambda g, y, x, z: g * (z > x)),)),
    s.softplus: (((LOCAL, lambda g, y, x: g * s.sigmoid(x) * (1 - s.sigmoid(x))), (ARGUMENT, lambda g, y, x: g * s.sigmoid(y)),
                  (LOCAL, lambda g, y, x: g * (1 - s.sigmoid(x)))),),
    s.softmax: ((                                                        # y (g - Σ g y)
        (DIAGONAL, lambda g, y, x, axis=-1: g * y * (1 - y)), (DIAGONAL, lambda g, y, x, axis=-1: g * y),
        (DIAGONAL, lambda g, y, x, axis=-1: y * (g + over(g * y, axis))),
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
        (DIAGONAL, lambda g, y, x, axis=-1: g - np.exp(y)), (DIAGONAL, lambda g, y, x, axis=-1: g - np.exp(y) * g),
        (LOCAL, lambda g, y, x, axis=-1: g - over(g, axis)), (DIAGONAL, lambda g, y, x, axis=-1: g + np.exp(y) * over(g, axis)),
        (ARGUMENT, lambda g, y, x, axis=-1: g - y * over(g, axis)),
        (AXIS, lambda g, y, x, axis=-1: g - np.exp(y) * over(g, other_axis(axis, x)))),),
    reductions.max_: (((LOCAL, lambda g, y, x, axis=None, keepdims=False: np.ones_like(x) * shapes.spread(g, axis, keepdims)),),),
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
STATISTICS = {reductions.sum_, reductions.mean_, reductions.var, reductions.std, reductions.max_, reductions.min_,
              reductions.norm, s.logsumexp, reductions.nanmax, reductions.median}
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


def mistakes_at(edge: Edge) -> Iterator[Mistake]:
    """What may go wrong at an edge, but for constants and wrong tensors: those of the table, then those of any op."""
    op, i = edge.r.op, edge.i
    assert op is not None
    y, x = edge.r.value, edge.x.value
    rule = right(op, i)
    if not (op in (a.multiply, a.divide) and is_number(edge.r.inputs[1 - i])):             # else they are all factors
        yield from catalogue(op, i, y, x)
    if op in (shapes.transpose, shapes.swapaxes, shapes.moveaxis):
        yield Mistake("missing-transpose", lambda g, y, x, **o: np.reshape(g, np.shape(x)), "reshaped", 1.2)
        if np.shape(y) == np.shape(x):
            yield Mistake("missing-transpose", lambda g, y, x, **o: g * 1.0, "not transposed")
    yield from mistakes_of_indexing(op, i, rule)
    if np.ndim(x) == 2 and x.shape[0] == x.shape[1] and x.shape[0] > 1:
        yield Mistake("missing-transpose" if edge.x.op is not None else "transposed-result",
                      lambda g, y, *x, **o: np.transpose(rule(g, y, *x, **o)), "transposed", 1.1)
    if op in PRODUCTS or edge.x.op is None or np.shape(y) != np.shape(x):
        yield from mistakes_of_looping(edge, rule)
    yield from mistakes_of_summing(edge, rule)


def is_number(x: Any) -> bool:
    """Whether an operand is a constant of one element."""
    return not (isinstance(x, Record) and x.requires_grad) and np.size(value_of(x)) == 1


def catalogue(op: Op, i: int, y: Any, x: Any) -> Iterator[Mistake]:
    """The mistakes with an op as such: its lines in the table, and what can be said of any derivative."""
    rule = right(op, i)
    rows = MISTAKES.get(op, ())
    for n, (kind, wrong) in enumerate(rows[i] if i < len(rows) else ()):
        yield Mistake(kind, wrong, f"{op.name}[{i}]:{n}")
    if op.kind in ("elementwise", "general") and op not in EXACTLY_ONE and np.shape(y) == np.shape(x):
        if not (op in PRODUCTS and np.ndim(y) == 0):
            plain = op not in PRODUCTS and op not in POWERS
            yield Mistake("missing-local-derivative", lambda g, y, *x, **o: g * 1.0, "identity", 1.0 if plain else 1.1)
        yield Mistake(TWICE, lambda g, y, *x, **o: rule(rule(g, y, *x, **o), y, *x, **o), "twice")
    if op.kind == "elementwise" and len(op.edges) == 1 and callable(op.partials[0]):
        yield Mistake(ARGUMENT, lambda g, y, x, **o: rule(g, op(y, **o), y, **o), "at y")
        yield Mistake(ARGUMENT, lambda g, y, x, **o: rule(g, x, x, **o), "x for y", 1.2)
        yield Mistake(ARGUMENT, lambda g, y, x, **o: rule(g, y, y, **o), "y for x", 1.2)
        yield Mistake(LOCAL, lambda g, y, x, **o: g / rule(np.ones_like(g), y, x, **o), "divided", 1.5)
        yield Mistake(LOCAL, lambda g, y, x, **o: rule(np.ones_like(g), y, x, **o), "without g", 1.5)


def of_leaf(x: Record) -> bool:
    """Whether this is a leaf, or one turned, shaped otherwise, or a part of one."""
    return x.op is None or (x.op in (indexing.item, shapes.transpose, shapes.swapaxes, shapes.reshape)
                            and isinstance(x.inputs[0], Record) and x.inputs[0].op is None)


def mistakes_of_looping(edge: Edge, rule: Rule) -> Iterator[Mistake]:
    """A loop over samples or places that overwrites instead of adding up: only the last counts, or the first."""
    y = edge.r.value
    if isinstance(y, tuple):
        return
    if np.ndim(y) > 1 and of_leaf(edge.x):
        corner = np.zeros(np.shape(y))
        corner[(-1,) * np.ndim(y)] = 1.0
        yield Mistake("overwritten-accumulation", lambda g, y, *x, **o: rule(g * corner, y, *x, **o), "the very last", 1.3,
                      "the very last")
    chosen_from = edge.r.op is indexing.items and not edge.i and of_leaf(edge.x)
    only = "scatter" if chosen_from else "overwritten-accumulation" if of_leaf(edge.x) else "dropped-path"
    for axis in range(np.ndim(y)) if chosen_from else {0, np.ndim(y) - 1} if np.ndim(y) else ():
        n = np.shape(y)[axis]
        if n < 2:
            continue
        extra = 0.0 if of_leaf(edge.x) else 0.8
        for at, said, more in ((n - 1, "last", 0.0), (0, "first", 0.2)):
            chosen = np.reshape(np.arange(n) == at, (n,) + (1,) * (np.ndim(y) - 1 - axis))
            yield Mistake(only, lambda g, y, *x, chosen=chosen, **o: rule(g * chosen, y, *x, **o),
                          f"the {said} of axis {axis}", 1.1 + more + extra, f"only the {said} along axis {axis}")
            if n > 2:
                yield Mistake("dropped-path", lambda g, y, *x, chosen=chosen, **o: rule(g * ~chosen, y, *x, **o),
                              f"all but the {said} of axis {axis}", 1.3 + extra, f"the {said} along axis {axis}")


def mistakes_of_indexing(op: Op, i: int, rule: Rule) -> Iterator[Mistake]:
    """Gradients of chosen elements: overwritten where they must be added, one place off, the first only."""
    if op not in (indexing.items, indexing.item) or i:
        return

    def overwritten(g: Any, y: Any, x: Any, *arrays: Any, index: Any) -> Any:
        return indexing.index_update(np.zeros_like(x), indexing.filled(index, arrays) if arrays else index, g)

    def once(g: Any, y: Any, x: Any, *arrays: Any, index: Any) -> Any:
        rows = arrays[0].reshape(len(arrays[0]), -1)
        new = np.array([[k not in row[:i] for i, k in enumerate(row)] for row in rows.tolist()])
        return rule(g * new.reshape(arrays[0].shape + (1,) * (np.ndim(g) - arrays[0].ndim)), y, x, *arrays, index=index)

    def first(g: Any, y: Any, x: Any, *arrays: Any, index: Any) -> Any:
        picked = indexing.filled(index, arrays) if arrays else index
        kept = np.zeros(np.shape(x)[:1], bool)
        rows = np.zeros_like(x)
        places = np.ravel(picked if not isinstance(picked, tuple) else picked[0])
        for place, row in zip(places, np.reshape(g, (len(places), *np.shape(x)[1:])), strict=True):
            if not kept[place]:
                rows[place], kept[place] = row, True
        return rows

    if op is indexing.items:
        for step, told in ((1, "before"), (-1, "after")):
            yield Mistake("scatter", lambda g, y, x, *arrays, step=step, **o: rule(
                g, y, x, *(np.roll(k, step, 0) for k in arrays[:-1]), np.roll(arrays[-1], step, 0), **o),
                f"that of the one {told}", 1.3, f"that of the one {told}")
            yield Mistake("scatter", lambda g, y, x, *arrays, step=step, **o: rule(
                g, y, x, *arrays[:-1], np.roll(arrays[-1], step, 0), **o), f"last of the one {told}", 1.3,
                f"that of the one {told}")
        yield Mistake("scatter", once, "once", 1.2, "repeated ones of a row counted once")
        yield Mistake("scatter", overwritten, "overwritten")
        yield Mistake("scatter", first, "first only", 1.2)
    for step in (1, -1):
        yield Mistake("scatter", lambda g, y, *x, step=step, **o: np.roll(rule(g, y, *x, **o), step, 0), f"off by {step}", 1.3)
        yield Mistake("scatter", lambda g, y, *x, step=step, **o: np.roll(rule(g, y, *x, **o), step, -1),
                      f"off by {step} along the last axis", 1.3)
    yield Mistake("scatter", lambda g, y, *x, **o: np.mean(g) * np.ones_like(x[0]), "everywhere", 2.0)


def mistakes_of_summing(edge: Edge, rule: Rule) -> Iterator[Mistake]:
    """Where the input was broadcast: the first slice only, or a sum over the wrong axis."""
    x, y = edge.x.value, edge.r.value
    if isinstance(y, tuple) or np.ndim(y) == 0 or np.shape(y) == np.shape(x) or np.ndim(x) > np.ndim(y):
        return
    op = edge.r.op
    assert op is not None
    if op.kind != "elementwise" and op not in (products.linear, shapes.broadcast_to):
        return
    extra = np.ndim(y) - np.ndim(x)
    axes = [k for k, n in enumerate(np.shape(y)) if k < extra or (np.shape(x)[k - extra] == 1 and n > 1)]
    if not axes:
        return
    k = axes[0]

    def some(g: Any, index: Any) -> Any:
        return g[(slice(None),) * k + (index,)]

    n = np.shape(y)[k]
    for index, tag in ((slice(0, 1), "first slice"), (slice(n - 1, n), "last slice")):
        yield Mistake("missing-broadcast-reduction", lambda g, y, *x, index=index, **o: some(rule(g, y, *x, **o), index), tag)
    if np.ndim(y) == 2 and np.ndim(x) == 1 and y.shape[0] == y.shape[1]:
        yield Mistake("wrong-axis", lambda g, y, *x, **o: np.sum(rule(g, y, *x, **o), axis=1), "other axis")
