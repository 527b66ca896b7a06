"""Right rules that read something computed wrongly: an operand without one of its terms, a function elsewhere.

People make anew, on the way back, what a rule reads: a sigmoid of the logits, the sum of some rows. What they make is a
mutant of the right thing, by the same mistakes as in a forward pass; only this one rule reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.checks.doctor.backprop import Edge, operands
from autodiff.checks.doctor.forwards import NAMES, changes_of
from autodiff.checks.doctor.mistaken import mistakes_at
from autodiff.checks.doctor.relations import laid_out
from autodiff.checks.doctor.substitution import MANY, Shaped
from autodiff.checks.doctor.suspects import (
    DOES_NOT_FIT,
    Problem,
    State,
    Suspect,
    changed,
    rule_of,
    said,
    with_operand,
)
from autodiff.checks.mistakes import ALONG, KINDS, POWERS, PRODUCTS, Mistake
from autodiff.kinds import Op
from autodiff.program.passes import value_of
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.checks.doctor.search import Search

COST = 1.5
Wrongs = list[tuple[tuple[str, ...], str, Any]]           # by its names, in words, and what it is


def mutants(search: Search, problem: Problem) -> list[Suspect]:
    """The rules at one place that read a mutant, or treat one of the contributions that arrive otherwise."""
    bp = search.bp
    state = State(bp.g, bp.fitted)
    target, slack = search.target(bp.g, problem)
    found: list[Suspect] = []
    known: dict[Record, Wrongs] = {}
    with np.errstate(all="ignore"):
        for edge in bp.edges:
            if bp.reach.get(edge.x, 0) != problem.mask or isinstance(bp.fitted[edge], tuple):
                continue
            tried = chain(search.mistaken(edge, state, misread(edge, state, search.shaped, known)),
                          of_one_use(edge, state, search),
                          relaid(edge, state) if edge is bp.into[edge.x][0] and np.ndim(bp.g[edge.x]) > 1 else ())
            found += [s for s in tried if search.passes(s, target, slack) and search.verified(s, problem)]
            if search.late:
                search.leave_out("rules that read something computed wrongly")
                break
    return found


def misread(edge: Edge, state: State, shaped: Shaped, known: dict[Record, Wrongs]) -> Iterator[Mistake]:
    """What may be wrong with what a rule reads: with an operand of a product, with the argument of a function."""
    op = edge.r.op
    assert op is not None
    rule = rule_of(edge)
    if op in PRODUCTS or op in POWERS:
        for k, x in enumerate(edge.r.inputs):
            if np.ndim(value_of(x)) and (k != edge.i) is (op in PRODUCTS):
                for kinds, told, value in (*spoilt(x, state, shaped), *wrong_values(x, known)):
                    for n, kind in enumerate(kinds):
                        yield Mistake(kind, with_operand(rule, k, value), f"operand {k}: {told}", COST + 0.02 * n, told)
    elif is_function(edge):
        alike = shaped.get(np.shape(edge.x.value), ())[:MANY]
        others = [(("wrong-operand",), said(r), r.value) for r in alike if r is not edge.x]
        for kinds, told, value in (*others, *wrong_values(edge.x, known)):
            first = ("wrong-operand", "wrong-argument") if op in ALONG else ("wrong-argument",)
            for n, kind in enumerate(dict.fromkeys((*first, *kinds))):
                wrong = partial(derived_at, op=op, value=value, rule=rule)
                yield Mistake(kind, wrong, f"at {told}", COST + 0.02 * n, told)


def relaid(edge: Edge, state: State) -> Iterator[Suspect]:
    """What arrives at a record with its axes in another order when it was reshaped."""
    g = state.g[edge.x]
    for told, other in laid_out(g):
        for n, kind in enumerate(("wrong-axis", "scatter")):
            yield Suspect(kind, COST + 0.02 * n, edge, {}, {edge.x: other - g}, told=told, tag=told)


def is_function(edge: Edge) -> bool:
    """Whether an edge is that of a function of one argument, whose derivative depends on it."""
    op = edge.r.op
    assert op is not None
    return len(edge.r.inputs) == 1 and (op in ALONG or (op.kind == "elementwise" and callable(op.partials[0])))


def derived_at(g: Any, y: Any, x: Any, *, op: Op, value: Any, rule: Any, **options: Any) -> Any:
    """The derivative of a function at another argument."""
    return rule(g, op.forward(value, **options), value, **options)


def spoilt(x: Any, state: State, shaped: Shaped) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """A gradient in an operand's place, ones; a matrix without its numbers or its diagonal, a kernel turned round."""
    value, name = value_of(x), said(x) if isinstance(x, Record) else "the array"
    for other in shaped.get(np.shape(value), ())[:MANY]:
        if other in state.g:
            yield ("wrong-operand",), f"d{said(other)}", state.g[other]
    if not np.all(value):
        yield ("missing-local-derivative", "wrong-operand"), f"ones where {name} is not zero", (value != 0) * 1.0
    if np.ndim(value) == 1:
        yield ("missing-local-derivative", "wrong-operand"), "nothing but ones", np.ones_like(value)
    if np.ndim(value) > 1 and np.shape(value)[-1] == np.shape(value)[-2]:
        rest = 1 - np.eye(np.shape(value)[-1])
        yield ("dropped-path", "wrong-operand"), f"{name} without its diagonal", value * rest
    for told, other in turned(value):
        yield ("wrong-operand", "scatter"), f"{name} {told}", other


def turned(value: Any) -> Iterator[tuple[str, Any]]:
    """A kernel turned round along one of its axes."""
    for axis in range(np.ndim(value)) if np.ndim(value) > 2 else ():
        if np.shape(value)[axis] > 1:
            yield f"turned round along axis {axis}", np.flip(value, axis)


def wrong_values(x: Any, known: dict[Record, Wrongs]) -> Wrongs:
    """What a record may be computed as, by mistake; made once."""
    if not isinstance(x, Record):
        return []
    if x not in known:
        found: Wrongs = []
        for kind, told, wrong in changes_of(x) if x.op is not None and not isinstance(x.value, tuple) else ():
            try:
                value = wrong(operands(x))
            except DOES_NOT_FIT:
                continue
            if np.shape(value) == np.shape(x.value):
                kinds = ("wrong-operand", *(name for name in NAMES.get(kind, (kind,)) if name in KINDS))
                found.append((tuple(dict.fromkeys(kinds)), told, value))
        known[x] = found
    return known[x]


def of_one_use(edge: Edge, state: State, search: Search) -> Iterator[Suspect]:
    """The mistakes of a function made with what arrives by one of its value's uses only."""
    into = [z for z in search.bp.into.get(edge.r, ()) if z in state.fitted]
    if len(into) < 2 or isinstance(edge.r.value, tuple) or not is_function(edge):
        return
    for use in into:
        part = state.fitted[use]
        now = changed(edge, rule_of(edge), part, 0.0)
        for m in mistakes_at(edge) if now is not None else ():
            change = changed(edge, m.rule, part, now)
            if change is not None:
                yield Suspect(m.kind, m.cost + 0.3, edge, {}, {edge.x: change}, told=m.operand, tag=f"one use: {m.tag}",
                              guess=True)
