"""What may go wrong at an edge of the tape: the mistakes of the table, and those that any operation may suffer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from autodiff.checks.doctor.backprop import Edge
from autodiff.checks.mistakes import (
    ACTIVATIONS,
    ALONG,
    ARGUMENT,
    AXIS,
    EXACTLY_ONE,
    LOCAL,
    MISTAKES,
    POWERS,
    PRODUCTS,
    TWICE,
    Mistake,
    Rule,
    right,
)
from autodiff.kinds import Op
from autodiff.ops import arithmetic as a
from autodiff.ops import contraction, indexing, products, shapes
from autodiff.program.passes import value_of
from autodiff.record import Record


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
    if op is shapes.reshape:
        yield from mistakes_of_reshaping(y, x)
    if np.ndim(x) == 2 and x.shape[0] == x.shape[1] and x.shape[0] > 1:
        yield Mistake("missing-transpose" if edge.x.op is not None else "transposed-result",
                      lambda g, y, *x, **o: np.transpose(rule(g, y, *x, **o)), "transposed", 1.1)
    if op is contraction.contract:
        yield from mistakes_of_contracting(edge, rule)
    if op in PRODUCTS or op in ALONG or edge.x.op is None or np.shape(y) != np.shape(x):
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
    if op is a.absolute:
        yield Mistake("sign", lambda g, y, x: g * 1.0, "as if positive", 0.98)
    if op is a.where:
        for kind, more in (("missing-local-derivative", 0.0), (LOCAL, 0.02), ("extra-term", 0.04)):
            yield Mistake(kind, lambda g, y, *x, **o: g * 1.0, "both branches", 1.0 + more)
    for k in (*range(np.ndim(x)), None) if op in ALONG else ():
        for n, along in enumerate(ALONG[op]):
            yield Mistake(AXIS, partial(along, other=k), f"{op.name} along {k}:{n}", 1.05)
    if op.kind in ("elementwise", "general") and op not in EXACTLY_ONE and np.shape(y) == np.shape(x):
        if not (op in PRODUCTS and np.ndim(y) == 0):
            plain = op not in PRODUCTS and op not in POWERS
            yield Mistake("missing-local-derivative", lambda g, y, *x, **o: g * 1.0, "identity", 1.0 if plain else 1.1)
        yield Mistake(TWICE, lambda g, y, *x, **o: rule(rule(g, y, *x, **o), y, *x, **o), "twice", 1.12)
    for other in ACTIVATIONS if op in ACTIVATIONS else ():
        if other is not op:
            yield from (Mistake(LOCAL, partial(slope_of, other=other, at_y=at_y), f"{other.name}' {at_y}", 1.2)
                        for at_y in (False, True))
    if op.kind == "elementwise" and len(op.edges) == 1 and callable(op.partials[0]):
        yield Mistake(ARGUMENT, lambda g, y, x, **o: rule(g, op(y, **o), y, **o), "at y")
        yield Mistake(ARGUMENT, lambda g, y, x, **o: rule(g, x, x, **o), "x for y", 1.2)
        yield Mistake(ARGUMENT, lambda g, y, x, **o: rule(g, y, y, **o), "y for x", 1.2)
        yield Mistake(ARGUMENT, lambda g, y, x, **o: rule(g, g, g, **o), "at g", 1.25)
        yield Mistake(LOCAL, lambda g, y, x, **o: g / rule(np.ones_like(g), y, x, **o), "divided", 1.5)
        yield Mistake(LOCAL, lambda g, y, x, **o: rule(np.ones_like(g), y, x, **o), "without g", 1.5)


def slope_of(g: Any, y: Any, x: Any, other: Op, at_y: bool) -> Any:
    """The derivative of another function, at its own value there or at the value that is in its place."""
    d = other.partials[0]
    assert callable(d)
    return g * d(y if at_y else other(x), x)


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
        yield Mistake("overwritten-accumulation", lambda g, y, *x, **o: rule(g * corner, y, *x, **o), "the very last",
                      1.3, "the very last")
    chosen_from = edge.r.op is indexing.items and not edge.i and of_leaf(edge.x)
    only = "scatter" if chosen_from else "overwritten-accumulation" if of_leaf(edge.x) else "dropped-path"
    if np.ndim(y) > 1 and np.ndim(edge.x.value) > 1 and not chosen_from:
        for axis in (0, np.ndim(edge.x.value) - 1):
            for cost, kind in ((1.55, "stale-value"), (1.57, "extra-term")):
                yield Mistake(kind, lambda g, y, *x, axis=axis, **o: np.cumsum(rule(g, y, *x, **o), axis),
                              f"runs on along axis {axis}", cost, f"what ran on along axis {axis}")
    for axis in range(np.ndim(y)) if chosen_from or np.ndim(y) < 4 else (0, np.ndim(y) - 1):
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


def mistakes_of_contracting(edge: Edge, rule: Rule) -> Iterator[Mistake]:
    """One of the factors of a product turned, where two of its axes are of one length."""
    factors = [edge.r.value, *map(value_of, edge.r.inputs)]              # the gradient is shaped as the product is
    for k, z in enumerate(factors):
        for axes in combinations(range(np.ndim(z)), 2):
            if k != edge.i + 1 and np.shape(z)[axes[0]] == np.shape(z)[axes[1]] > 1:
                def turned(g: Any, y: Any, *x: Any, k: int = k, axes: tuple[int, int] = axes, **o: Any) -> Any:
                    parts = [g, *x]
                    parts[k] = np.swapaxes(parts[k], *axes)
                    return rule(parts[0], y, *parts[1:], **o)
                yield Mistake("missing-transpose", turned, f"{k} turned, axes {axes}", 1.1)


def mistakes_of_indexing(op: Op, i: int, rule: Rule) -> Iterator[Mistake]:
    """Gradients of chosen elements: overwritten where they must be added, one place off, the first only."""
    if op is shapes.concatenate:
        yield from mistakes_of_joining(i)
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
        yield Mistake("scatter", lambda g, y, *x, step=step, **o: np.roll(rule(g, y, *x, **o), step, 0),
                      f"off by {step}", 1.3)
        yield Mistake("scatter", lambda g, y, *x, step=step, **o: np.roll(rule(g, y, *x, **o), step, -1),
                      f"off by {step} along the last axis", 1.3)
    yield Mistake("scatter", lambda g, y, *x, **o: np.mean(g) * np.ones_like(x[0]), "everywhere", 2.0)


def mistakes_of_reshaping(y: Any, x: Any) -> Iterator[Mistake]:
    """The numbers put back in another order: by columns, or with two axes in the wrong order."""
    if np.size(x) < 4 or (np.ndim(x) < 2 and np.ndim(y) < 2):
        return
    ways: list[tuple[str, Rule]] = [("by columns", lambda g, y, x, **o: np.reshape(g, np.shape(x), order="F"))]
    for i in range(np.ndim(y) - 1):
        ways.append((f"axes {i} and {i + 1} exchanged",
                     lambda g, y, x, i=i, **o: np.reshape(np.swapaxes(g, i, i + 1), np.shape(x))))
    for i in range(np.ndim(x) - 1):
        def turned(g: Any, y: Any, x: Any, i: int = i, **o: Any) -> Any:
            return np.swapaxes(np.reshape(g, np.shape(np.swapaxes(x, i, i + 1))), i, i + 1)
        ways.append((f"its axes {i} and {i + 1} exchanged", turned))
    for told, wrong in ways:
        for more, kind in enumerate(("wrong-axis", "scatter")):
            yield Mistake(kind, wrong, told, 1.2 + 0.02 * more, told)


def mistakes_of_joining(i: int) -> Iterator[Mistake]:
    """The gradient of one of several arrays put side by side: cut from the beginning, or from the end."""
    for told, last in (("beginning", False), ("end", True)):
        def cut(g: Any, y: Any, *x: Any, axis: int = 0, last: bool = last) -> Any:
            n, size = np.shape(x[i])[axis], np.shape(y)[axis]
            return np.take(g, np.arange(size - n, size) if last else np.arange(n), axis)
        yield Mistake("scatter", cut, f"cut from the {told}", 1.1, f"cut from the {told}")


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
        yield Mistake("missing-broadcast-reduction",
                      lambda g, y, *x, index=index, **o: some(rule(g, y, *x, **o), index), tag)
    if np.ndim(y) == 2 and np.ndim(x) == 1 and y.shape[0] == y.shape[1]:
        yield Mistake("wrong-axis", lambda g, y, *x, **o: np.sum(rule(g, y, *x, **o), axis=1), "other axis")
