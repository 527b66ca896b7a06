"""Mistakes in which time round a loop is undone when: what was kept of another time is read, the last ones are skipped.

Everything that a time round reads on the way back comes from one place, so it is all of another time together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autodiff.checks.doctor.backprop import Borrowed, Edge, operands
from autodiff.checks.doctor.loops import Loops, every_time
from autodiff.checks.doctor.suspects import Suspect, rule_of
from autodiff.checks.mistakes import Rule
from autodiff.ops import shapes
from autodiff.ops.arithmetic import multiply
from autodiff.program.passes import value_of
from autodiff.record import Record

KINDS = ("stale-value", "wrong-operand", "wrong-argument")


def of_other_times(loops: Loops) -> Iterator[Suspect]:
    """All that was kept of another time read at each time; or only what is carried, as it was left."""
    n = loops.times
    at: dict[str, Callable[[int], int]] = {
        "the time before": lambda t: t - 1, "the time after": lambda t: min(t + 1, n - 1),
        "the times in the other order": lambda t: n - 1 - t, "the last time": lambda t: n - 1}
    edges = [e for e in loops.bp.edges if e.r in loops.line and not isinstance(e.r.value, tuple)]
    for told, of in at.items():
        rules = {e: reading(e, other) for e in edges if (other := made_at(loops, e.r, of(loops.time[e.r]))) is not None}
        if rules:
            yield from every_time(KINDS, 1.3, rules, f"what was kept of {told}", f"all of {told}")
    moved: dict[Edge, Any] = {}
    for e in edges:
        values = [as_left(loops, e.r, k) for k in range(len(e.r.inputs))]
        if any(v is not None for v in values):
            moved[e] = reading_of(e, values)
    if moved:
        yield from every_time(KINDS, 1.3, moved, "what is carried as this time left it", "carried as left")


def made_at(loops: Loops, r: Record, t: int) -> Record | None:
    """What the same line made at another time; None if it is the same or has another shape."""
    line = loops.lines[loops.line[r]]
    other = line[t + len(line) - loops.times] if -len(line) <= t < loops.times else r
    alike = len(other.inputs) == len(r.inputs) and np.shape(other.value) == np.shape(r.value) and all(
        np.shape(value_of(x)) == np.shape(value_of(z)) for x, z in zip(other.inputs, r.inputs))
    return other if alike and other is not r else None


def reading(edge: Edge, other: Record) -> Rule:
    """The right rule, reading all that another record read and made."""
    rule, values = rule_of(edge), operands(other)
    return lambda g, y, *x, **o: rule(g, other.value, *values, **o)


def reading_of(edge: Edge, values: list[Any]) -> Rule:
    """The right rule, with other operands where there are any."""
    rule = rule_of(edge)
    return lambda g, y, *x, **o: rule(g, y, *(a if v is None else v for a, v in zip(x, values)), **o)


def as_left(loops: Loops, r: Record, k: int) -> Any:
    """An operand that is carried, or made of it by a product or by putting side by side, one time later; else None."""
    line = loops.lines[loops.line[r]]
    x, state = r.inputs[k], line[-1].inputs[k] if k < len(line[-1].inputs) else None
    if isinstance(state, Record) and state in loops.states and loops.time[state] == loops.times - 2:
        after = loops.lines[loops.line[state]][loops.time[r] - loops.times].value
        return after if np.shape(after) == np.shape(value_of(x)) else None
    if isinstance(x, Record) and x.op in (multiply, shapes.concatenate) and x in loops.line:
        values = [as_left(loops, x, j) for j in range(len(x.inputs))]
        if any(v is not None for v in values):
            return x.op.forward(*(value_of(z) if v is None else v for z, v in zip(x.inputs, values)), **x.options)
    return None


def beginning_late(loops: Loops) -> Iterator[Suspect]:
    """The loop back passes over the last times, and takes the gradient of what they made for what it begins with."""
    n = loops.times
    for k in range(1, n):
        rules: dict[Edge, Any] = {e: zeros(e) for e in loops.bp.edges
                                  if loops.time.get(e.r, -1) >= n - k and np.ndim(e.r.value)}
        for line in [loops.lines[i] for i in dict.fromkeys(loops.line[x] for x in loops.states)]:
            at = next((e for e in rules if e.x is line[-1 - k]), None) if len(line) > k else None
            if at is not None and np.shape(line[-1].value) == np.shape(at.x.value):
                rules[at] = Borrowed(line[-1], instead)
        if any(isinstance(rule, Borrowed) for rule in rules.values()):
            yield from every_time(("dropped-path", "stale-value"), 1.25, rules, f"the last {k} of {n} times",
                                  f"begins {k} late")


def zeros(edge: Edge) -> Rule:
    """A contribution of zero, which passes on."""
    return lambda g, y, *x, **o: np.zeros(np.shape(edge.x.value))


def instead(g: Any, y: Any, *inputs: Any, h: Any, **options: Any) -> Any:
    """The other gradient as it is."""
    return h
