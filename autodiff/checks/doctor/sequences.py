"""Mistakes made every time round a loop in what is read there: another sequence, another gradient, two exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.checks.doctor.backprop import Borrowed, Edge, applied
from autodiff.checks.doctor.blocks import blocks
from autodiff.checks.doctor.loops import Loops, every_time
from autodiff.checks.doctor.mistaken import mistakes_at
from autodiff.checks.doctor.suspects import DOES_NOT_FIT, Suspect, rule_of, said, scaled, with_operand, with_output
from autodiff.checks.mistakes import PRODUCTS, Rule
from autodiff.ops import indexing, shapes
from autodiff.ops.arithmetic import multiply, subtract
from autodiff.program.passes import value_of
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.checks.doctor.search import Search

HOPS = 4                 # records between a gradient and the one that is taken for it


def of_the_catalogue(loops: Loops, search: Search) -> Iterator[Suspect]:
    """What is in the catalogue, and the plain constants."""
    for edges in loops.groups:
        tagged = [{m.tag: m for m in mistakes_at(e)} for e in edges]
        for tag, m in tagged[-1].items():
            if all(tag in other for other in tagged):
                rules = {e: t[tag].rule for e, t in zip(edges, tagged, strict=True)}
                for some in loops.but_the_first(edges):
                    yield from every_time((m.kind,), m.cost + 0.2, {e: rules[e] for e in some}, m.operand, tag)
        for k in (0.0, -1.0, 2.0, 0.5):
            kind, cost, told = search.factor(k, edges[0])
            for some in loops.but_the_first(edges):
                yield from every_time((kind,), cost + 0.2, scaled(some, k), told, f"× {k:.6g}")


def other_gradients(loops: Loops) -> Iterator[Suspect]:
    """The gradient of another tensor of the same time in place of the one that arrives: dh for dz."""
    outs = [line for line in loops.lines if line[-1] in loops.bp.g and plainly(line[-1])]
    for edges in loops.groups:
        r = edges[0].r
        if not np.ndim(r.value) or isinstance(r.value, tuple):
            continue
        for line in outs:
            at = {loops.time[x]: x for x in line}
            for later in (0, 1, loops.times):
                others = {e: at.get(loops.time[e.r] + later, line[-1]) for e in edges}
                if any(x.serial < e.r.serial or np.ndim(x.value) != np.ndim(e.r.value) for e, x in others.items()):
                    continue
                last = edges[-1].r
                if np.shape(others[edges[-1]].value) != np.shape(last.value):
                    continue
                kinds: tuple[str, ...] = ("wrong-operand", "stale-value") if later else ("wrong-operand",)
                whose = "" if not later else " of the time after" if later == 1 else " of the last time"
                if not later and above(loops, last, others[edges[-1]]):
                    kinds = ("missing-local-derivative", "wrong-operand")
                for some in loops.but_the_first(edges):
                    rules: dict[Edge, Any] = {e: Borrowed(others[e], taking(e)) for e in some}
                    yield from every_time(kinds, 1.4 if later else 1.3, rules, f"d{said(line[-1])}" + whose,
                                          f"d{loops.line[line[-1]]} +{later}")


def above(loops: Loops, r: Record, other: Any) -> bool:
    """Whether the other is what r is made into by a few operations, one after the other."""
    for _ in range(HOPS):
        users = [e.r for e in loops.bp.into.get(r, ())]
        if len(users) != 1:
            return other in users
        r = users[0]
        if r is other:
            return True
    return False


def taking(edge: Edge) -> Rule:
    """The right rule on the other gradient."""
    rule = rule_of(edge)
    return lambda g, y, *x, h, **o: rule(h, y, *x, **o)


def elsewhere(loops: Loops, edges: list[Edge]) -> Iterator[Suspect]:
    """The derivative of a function at another sequence."""
    op = edges[0].r.op
    if op is None or op.kind != "elementwise" or len(op.edges) != 1 or not np.ndim(edges[-1].x.value):
        return
    for s in loops.series:
        if s.items[-1] is edges[-1].x or not plainly(s.items[-1]):
            continue
        values = [s.items[min(loops.time[e.r], len(s.items) - 1)].value for e in edges]
        if all(compatible(np.shape(v), np.shape(e.x.value)) for v, e in zip(values, edges)):
            rules = {e: at_argument(e, np.broadcast_to(v, np.shape(e.x.value))) for e, v in zip(edges, values)}
            yield from every_time(("wrong-argument", "wrong-operand"), 1.4, rules, s.name, f"at {s.name}")


def at_argument(edge: Edge, value: Any) -> Rule:
    """The right rule of a function, at another argument."""
    rule, op = rule_of(edge), edge.r.op
    assert op is not None
    return lambda g, y, x, **o: rule(g, op.forward(value, **o), value, **o)


def plainly(x: Any) -> bool:
    """Whether people have a name for this, or read it off: a variable, a function of one."""
    return isinstance(x, Record) and not isinstance(x.value, tuple) and (
        bool(x.name) or x.op is None or (x.op.kind == "elementwise" and (len(x.inputs) == 1 or x.op is subtract)))


def other_values(loops: Loops, search: Search, plain: bool) -> Iterator[Suspect]:
    """Another sequence, or what another time read, in place of what is read every time; another matrix for one.

    First the `plain` ones.
    """
    for edges in loops.groups:
        if plain:
            yield from elsewhere(loops, edges)
        for k in read(edges[0]):
            own = [e.r if k == len(e.r.inputs) else e.r.inputs[k] for e in edges]
            if any(not np.ndim(value_of(x)) for x in own):
                continue
            kinds = misread(edges[0])
            for told, values, more in replacements(loops, search, edges, own, plain):
                place = with_output if k == len(edges[0].r.inputs) else None
                rules: dict[Edge, Any] = {e: place(rule_of(e), v) if place else with_operand(rule_of(e), k, v)
                                          for e, v in zip(edges, values, strict=True)}
                for some in loops.but_the_first(edges):
                    yield from every_time((*more, *kinds)[:2], 1.4, {e: rules[e] for e in some}, told,
                                          f"operand {k}: {told}")


def replacements(loops: Loops, search: Search, edges: list[Edge], own: list[Any],
                 plain: bool) -> Iterator[tuple[str, list[Any], tuple[str, ...]]]:
    """What may be read in place of a sequence: another one, a time before or after; of a constant, another."""
    times = [loops.time[e.r] for e in edges]
    sizes = [np.shape(value_of(x)) for x in own]
    if all(x is own[0] for x in own):
        if plain:
            for r in search.shaped.get(sizes[0], ()):
                if r is not own[0] and r.op is None:
                    yield said(r), [r.value] * len(edges), ()
            for kind, told, wrong in blocks(loops, edges, own[0]):
                yield told, [wrong] * len(edges), kind
        return
    for s in loops.series:
        if plainly(s.items[-1]) != plain:
            continue
        mine = s.items[-1] is own[-1] or loops.starts_with(s)
        for by, told in ((0, ""), (1, " of the time after"), (-1, " of the time before")) if mine else ((0, ""),):
            chosen = [s.items[min(max(t + by, 0), len(s.items) - 1)].value for t in times]
            if np.shape(chosen[-1]) == sizes[-1] and all(np.ndim(v) == len(n) for v, n in zip(chosen, sizes)) \
                    and not all(v is value_of(x) for v, x in zip(chosen, own)):
                yield f"{s.name}{told}", [np.broadcast_to(v, n) if compatible(np.shape(v), n) else v
                                          for v, n in zip(chosen, sizes)], ()
    if plain:
        for told, values in remade(loops, own, times):
            yield told, values, ()


def compatible(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether an array can be broadcast to a shape."""
    try:
        return np.broadcast_shapes(shape, wanted) == wanted
    except ValueError:
        return False


def remade(loops: Loops, own: list[Any], times: list[int]) -> Iterator[tuple[str, list[Any]]]:
    """What is made of two sequences, one of them another: z * h for r * h."""
    op = own[-1].op if isinstance(own[-1], Record) else None
    if op is None or not (op.kind == "elementwise" or op is shapes.concatenate) or len(own[-1].inputs) != 2 \
            or any(not isinstance(x, Record) or x.op is not op for x in own):
        return
    for j in (0, 1):
        if len({id(x.inputs[j]) for x in own}) == 1:
            continue
        for s in loops.series:
            items = [s.items[t] for t in times]
            if [np.shape(x.value) for x in items] == [np.shape(value_of(x.inputs[j])) for x in own]:
                pairs = [[value_of(z) for z in x.inputs] for x in own]
                values = [op.forward(*pair[:j], x.value, *pair[j + 1:], **z.options)
                          for pair, x, z in zip(pairs, items, own)]
                yield f"{s.name} for {said_of(own[-1].inputs[j])}", values


def read(edge: Edge) -> list[int]:
    """Which operands a rule reads, the output as the last: those that make it no number when they are none."""
    r, found = edge.r, []
    for k in range(len(r.inputs) + 1):
        x = r.value if k == len(r.inputs) else value_of(r.inputs[k])
        if isinstance(x, tuple) or np.asarray(x).dtype.kind != "f":
            continue
        rule, none = rule_of(edge), np.full_like(x, np.nan)
        try:
            c = applied(with_output(rule, none) if k == len(r.inputs) else with_operand(rule, k, none), edge,
                        np.ones_like(r.value))
        except DOES_NOT_FIT:
            continue
        if c is not None and np.any(np.isnan(c)):
            found.append(k)
    return found


def misread(edge: Edge) -> tuple[str, ...]:
    """What it may be called to read the wrong tensor at an edge."""
    product = edge.r.op in PRODUCTS or (edge.r.op is not None and edge.r.op.kind != "elementwise")
    return ("wrong-operand",) if product else ("wrong-argument", "wrong-operand")


def other_factors(loops: Loops) -> Iterator[Suspect]:
    """A sequence of the same time as a factor too much."""
    for edges in loops.groups:
        shape = np.shape(edges[0].x.value)
        if not shape or edges[0].r.op in (shapes.reshape, shapes.transpose):
            continue
        for s in loops.series:
            values = s.values
            if not plainly(s.items[-1]) or any(loops.time[e.r] >= len(values) for e in edges):
                continue
            rules = {e: times(e, values[loops.time[e.r]]) for e in edges}
            if any(np.shape(values[loops.time[e.r]]) != np.shape(e.x.value) for e in edges):
                continue
            for some in loops.but_the_first(edges):
                yield from every_time(("double-derivative", "wrong-operand", "wrong-local-rule"), 1.5,
                                      {e: rules[e] for e in some}, f"{s.name} as a factor too much", f"× {s.name}")


def times(edge: Edge, factor: Any) -> Rule:
    """The right rule, times a factor."""
    rule = rule_of(edge)
    return lambda g, y, *x, **o: rule(g, y, *x, **o) * factor


def exchanged(loops: Loops) -> Iterator[Suspect]:
    """Of two edges of the same kind, each with what belongs to the other: its matrix, its place."""
    for edges in loops.groups:
        if edges[0].r.op is multiply and not edges[0].i:
            other = [Edge(e.r, 1, e.r.inputs[1]) for e in edges]
            if all(e in loops.bp.fitted and np.shape(e.x.value) == np.shape(e.r.value) for e in (*edges, *other)):
                factors: dict[Edge, Any] = {e: with_operand(rule_of(e), 1 - e.i, e.x.value) for e in (*edges, *other)}
                yield from every_time(("swapped", "wrong-operand"), 1.25, factors,
                                      f"{said(edges[-1].x)} and {said(other[-1].x)}", "factors exchanged")
    into_one = [(a, b) for a, b in combinations(loops.groups, 2)
                if a[0].r.op is b[0].r.op and a[0].i == b[0].i]
    for a, b in into_one:
        if a[0].r.op is indexing.item and len(a) == len(b) and all(e.x is f.x for e, f in zip(a, b)):
            i, j = a[0].r.options["index"], b[0].r.options["index"]
            rules: dict[Edge, Any] = {**{e: placed(e, j) for e in a}, **{e: placed(e, i) for e in b}}
            if np.shape(a[0].r.value) == np.shape(b[0].r.value):
                told = f"the places of {said(a[0].r)} and {said(b[0].r)}"
                yield from every_time(("swapped", "scatter"), 1.2, rules, told, "places exchanged")
            continue
        for k in read(a[0]):
            if k >= len(a[0].r.inputs) or k >= len(b[0].r.inputs):
                continue
            read_by = [{loops.time[r]: r.inputs[k] for r in loops.lines[loops.line[of[0].r]]} for of in (b, a)]
            if any(loops.time[e.r] not in at for of, at in zip((a, b), read_by) for e in of):
                continue
            its, mine = ([at[loops.time[e.r]] for e in of] for of, at in zip((a, b), read_by))
            if any(np.shape(value_of(x)) != np.shape(value_of(e.r.inputs[k])) for of, xs in ((a, its), (b, mine))
                   for e, x in zip(of, xs)) or its[-1] is a[-1].r.inputs[k] or not np.ndim(value_of(mine[0])):
                continue
            rules = {**{e: with_operand(rule_of(e), k, value_of(x)) for e, x in zip(a, its)},
                     **{e: with_operand(rule_of(e), k, value_of(x)) for e, x in zip(b, mine)}}
            for some in loops.but_the_first(list(rules)):
                yield from every_time(("swapped", "wrong-operand"), 1.25, {e: rules[e] for e in some},
                                      f"{said_of(mine[-1])} and {said_of(its[-1])}", f"operands {k} exchanged")


def placed(edge: Edge, index: Any) -> Rule:
    """A part's gradient put in another place."""
    def rule(g: Any, y: Any, x: Any, **options: Any) -> Any:
        found = np.zeros_like(x)
        found[index] = g
        return found
    return rule


def said_of(x: Any) -> str:
    """What an operand is called."""
    return said(x) if isinstance(x, Record) else "an array"
