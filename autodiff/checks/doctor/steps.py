"""Several operations that a person takes as one step: a sigmoid or a softmax spelled out, a whole line."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from autodiff.checks.doctor.backprop import Backprop, Edge, reads
from autodiff.checks.doctor.mistaken import catalogue
from autodiff.checks.doctor.norms import Norm, mistakes_of_norm, mistakes_of_unit, norm_between, unit_between
from autodiff.checks.mistakes import Mistake
from autodiff.kinds import Op
from autodiff.ops import arithmetic, elementary, stable
from autodiff.record import Record
from autodiff.tape import walk_back

SPAN = 24            # records that one step may consist of
MANY = 60            # other tensors that are tried in a step
LARGEST = 1 << 17    # elements of a tensor that functions are tried on

LIKE: tuple[tuple[Op, dict[str, Any]], ...] = (
    (stable.sigmoid, {}), (elementary.tanh, {}), (stable.relu, {}), (stable.softmax, {"axis": -1}),
    (stable.softmax, {"axis": 0}), (stable.log_softmax, {"axis": -1}), (stable.log_softmax, {"axis": 0}),
    (elementary.exp, {}), (stable.softplus, {}))


class Step(NamedTuple):
    """What computes `y` from `x`; `op` is what it amounts to, None where that is nothing well known."""

    x: Record
    y: Record
    op: Op | None
    options: dict[str, Any]
    norm: Norm | None = None


def steps(bp: Backprop) -> list[Step]:
    """The pairs of tensors of one shape, one computed from the other by several operations, the known ones first."""
    arrived = [r for r in (*bp.wanted, *bp.tape) if r in bp.g and np.ndim(r.value) and not isinstance(r.value, tuple)]
    records = sorted(set(arrived), key=lambda r: r.serial)
    known: list[Step] = []
    pairs: list[Step] = []
    for i, x in enumerate(records):
        later = [y for y in records[i + 1:i + 1 + SPAN] if np.shape(y.value) == np.shape(x.value)]
        if not later or np.size(x.value) > LARGEST:
            continue
        for op, options in LIKE:
            if options and np.ndim(x.value) < 2 and options["axis"] == 0:
                continue
            value = op.forward(x.value, **options)
            known += [Step(x, y, op, options) for y in later
                      if not (y.op is op and reads(y, x)) and alike(value, y.value)]
        known += [Step(x, y, None, {}, norm) for y in later
                  if (norm := norm_between(x, y) or (unit_between(x, y) if y.op is arithmetic.divide else None))]
        pairs += [Step(x, y, None, {}) for y in later if not reads(y, x) and (y.name or x.name)]
    return known + pairs


def alike(a: Any, b: Any) -> bool:
    """Whether two arrays are the same to rounding; told from the first element where it is not."""
    first = (0,) * np.ndim(a)
    return bool(abs(a[first] - b[first]) <= 1e-10 * abs(a[first]) + 1e-12 and
                np.allclose(a, b, rtol=1e-11, atol=1e-13))


def through(bp: Backprop, step: Step, g: dict[Record, Any]) -> Any:
    """What arrives at x by way of y; None if nothing does."""
    return walk_back({step.y: g[step.y]}, [step.x]).get(step.x)


def mistakes_of(step: Step) -> Iterator[Mistake]:
    """Leaving the step out as if it were the identity; the mistakes of what it amounts to."""
    yield Mistake("missing-local-derivative", lambda g, y, x: g * 1.0, "step left out", 1.15 if step.op else 1.35)
    if step.norm is not None:
        yield from (mistakes_of_unit if step.norm.unit else mistakes_of_norm)(step.norm)
    if step.op is not None:
        for m in catalogue(step.op, 0, step.y.value, step.x.value):
            if m.tag != "identity":
                yield m._replace(rule=partial(m.rule, **step.options), cost=m.cost + 0.05)


def factors_between(step: Step) -> list[Record]:
    """The tensors by which something is divided or multiplied on the way from x to y."""
    found: dict[Record, None] = {}
    pending, seen = [step.y], {step.y}
    while pending:
        r = pending.pop()
        for k, z in enumerate(r.inputs):
            if isinstance(z, Record) and z.serial > step.x.serial:
                if z.op is not None and r.op in (arithmetic.divide, arithmetic.multiply) and k == 1 \
                        and not isinstance(z.value, tuple):
                    found[z] = None
                if z not in seen:
                    seen.add(z)
                    pending.append(z)
    return list(found)


def misread(step: Step, shaped: Any) -> Iterator[tuple[Mistake, Record]]:
    """The right derivative of a known step, reading another tensor of the same shape."""
    if step.op is None:
        return
    edge = step.op.edges[0]
    assert edge is not None
    for other in shaped.get(np.shape(step.x.value), ())[:MANY]:
        if other is not step.x:
            yield Mistake("wrong-argument", lambda g, y, x, other=other: edge(g, y, other.value, **step.options),
                          f"x: {other.serial}", 1.45), other
        if other is not step.y:
            yield Mistake("wrong-argument", lambda g, y, x, other=other: edge(g, other.value, x, **step.options),
                          f"y: {other.serial}", 1.45), other


def on_top(bp: Backprop, edges: list[Edge]) -> Iterator[tuple[Record, Mistake, Any]]:
    """A derivative applied where the gradient has passed it already: ŷ - y times σ' again."""
    for x in dict.fromkeys(e.x for e in edges):
        if np.ndim(x.value) == 0 or x.op is None or isinstance(x.value, tuple) or np.size(x.value) > LARGEST:
            continue
        for op, options in LIKE[:5]:
            if options and np.ndim(x.value) < 2:
                continue
            y = op.forward(x.value, **options)
            rule = op.edges[0]
            assert rule is not None
            for more, kind in enumerate(("double-derivative", "wrong-local-rule")[:1 + (op is stable.relu)]):
                yield x, Mistake(kind, rule, f"{op.name} on top", 1.3 + 0.05 * more, f"{op.name}'"), (y, options)
            if op is stable.softmax:
                yield x, Mistake("double-derivative", lambda g, y, x, axis=-1: g * y * (1 - y), f"{op.name} on top",
                                 1.35, "y (1 - y)"), (y, options)
