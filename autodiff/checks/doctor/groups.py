"""The same mistake at several places: every time round a loop, at every use of an operation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.checks.doctor.backprop import Edge
from autodiff.checks.doctor.mistaken import mistakes_at
from autodiff.checks.doctor.mutants import turned
from autodiff.checks.doctor.substitution import derived
from autodiff.checks.doctor.suspects import Suspect, rule_of, said, scaled, with_operand, with_output
from autodiff.checks.mistakes import PRODUCTS, Rule
from autodiff.kinds import At
from autodiff.ops import indexing
from autodiff.program.passes import value_of
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.checks.doctor.search import Search

NUMBERED = re.compile(r"(\D+)(\d+)")
FEW = 40                # other tensors that are tried in all places
DIGITS = "0123456789_"


def together(group: list[Edge], everywhere: str, search: Search) -> Iterator[Suspect]:
    """The mistakes that all edges of a group may share."""
    first = group[0]
    yield from not_summed(group, everywhere)
    if len(group) < 2:
        return

    def suspect(kind: str, cost: float, rules: dict[Edge, Rule], tag: str, told: str = "") -> Suspect:
        return Suspect(kind, cost, first, rules, told=told, tag=tag, everywhere=everywhere, rule=rules.get(first))

    tagged = [{m.tag: m for m in (*mistakes_at(e), *derived(e, search.shaped))} for e in group]
    for tag, m in tagged[0].items():
        if all(tag in other for other in tagged):
            rules = {e: t[tag].rule for e, t in zip(group, tagged, strict=True)}
            yield suspect(m.kind, m.cost + 0.2, rules, tag, m.operand)
    sizes = {float(n) for n in np.shape(first.r.value)} | {2.0} if not isinstance(first.r.value, tuple) else {2.0}
    for k in (0.0, -1.0, *sizes, *(1 / n for n in sizes if n)):
        if k != 1.0:
            kind, cost, told = search.factor(k, first)
            yield suspect(kind, cost + 0.2, scaled(group, k), f"× {k:.6g}", told)
    ordered = sorted(group, key=lambda e: e.r.serial)
    yield from turned_round(ordered, suspect)
    yield from one_step_off(ordered, search, suspect)
    yield from of_their_own(ordered, suspect)
    yield from of_another_name(ordered, search, suspect)
    yield from elsewhere(ordered, suspect)


def turned_round(ordered: list[Edge], suspect: Any) -> Iterator[Suspect]:
    """A kernel that all products share, turned round."""
    for k, x in enumerate(ordered[0].r.inputs) if ordered[0].r.op in PRODUCTS else ():
        if k != ordered[0].i and all(len(e.r.inputs) > k and e.r.inputs[k] is x for e in ordered):
            for told, other in turned(value_of(x)):
                rules = {e: with_operand(rule_of(e), k, other) for e in ordered}
                yield suspect("wrong-operand", 1.4, rules, told, told)


def one_step_off(ordered: list[Edge], search: Search, suspect: Any) -> Iterator[Suspect]:
    """For each time round, what the one before or after reads, or all in reverse order, or the same every time."""
    for k in range(len(ordered[0].r.inputs) + 1):
        if any(k > len(e.r.inputs) for e in ordered) or (len(ordered[0].r.inputs) == 1 and k == 0):
            continue
        values = [own(e, k) for e in ordered]
        if len({np.shape(v) for v in values}) > 1 or np.ndim(values[0]) == 0:
            continue
        if k < len(ordered[0].r.inputs) and ordered[0].r.inputs[k] is ordered[-1].r.inputs[k] and len(ordered) > 1:
            continue
        others = [(said(r), r.value) for r in alike([read(e, k) for e in ordered], search)[:FEW]]
        others.append(("zero", np.zeros_like(values[0])))                          # as before the first step
        orders: list[tuple[str, list[Any]]] = [("the reverse order", values[::-1])]
        orders += [(f"{name} every time", [v] * len(values)) for name, v in others]
        orders += [(f"the one after ({name} at the end)", [*values[1:], v]) for name, v in others]
        orders += [(f"the one before ({name} at the start)", [v, *values[:-1]]) for name, v in others]
        for told, chosen in orders:
            place = with_output if k == len(ordered[0].r.inputs) else None
            rules = {e: place(rule_of(e), v) if place else with_operand(rule_of(e), k, v)
                     for e, v in zip(ordered, chosen, strict=True)}
            yield suspect(misread(ordered[0]), 1.5, rules, f"operand {k}: {told}", told)


def misread(edge: Edge) -> str:
    """What it is to read the wrong tensor at an edge."""
    return "wrong-operand" if edge.r.op in PRODUCTS or (edge.r.op and edge.r.op.kind != "elementwise") else \
        "wrong-argument"


def alike(records: list[Any], search: Search) -> list[Record]:
    """The tensors that may be taken for one of these: of the same line, of the same name but for its number, given."""
    records = [r for r in records if isinstance(r, Record)]
    lines = {(r.code, r.lasti) for r in records}
    names = {r.name.rstrip(DIGITS) for r in records if r.name}
    shape = np.shape(records[0].value) if records else ()
    return [r for r in search.shaped.get(shape, ())
            if r.op is None or (r.code, r.lasti) in lines or (r.name and r.name.rstrip(DIGITS) in names)]


def read(edge: Edge, k: int) -> Any:
    """The k-th operand of an edge's record as it stands there, or the record."""
    return edge.r if k == len(edge.r.inputs) else edge.r.inputs[k]


def of_their_own(ordered: list[Edge], suspect: Any) -> Iterator[Suspect]:
    """At each place another of its own operands, or its output."""
    n = len(ordered[0].r.inputs)
    if any(len(e.r.inputs) != n or isinstance(e.r.value, tuple) for e in ordered):
        return
    for k in range(n):
        for j in range(n + 1):
            if j != k and all(isinstance(e.r.inputs[k], type(e.x)) and np.shape(own(e, j)) == np.shape(own(e, k)) != ()
                              for e in ordered):
                yield suspect("wrong-argument", 1.4, {e: with_operand(rule_of(e), k, own(e, j)) for e in ordered},
                              f"own {j} for {k}")


def of_another_name(ordered: list[Edge], search: Search, suspect: Any) -> Iterator[Suspect]:
    """At each of the numbered steps i1 for f1, i2 for f2: another tensor of the same step."""
    named: dict[str, dict[str, Any]] = {}
    for records in search.shaped.values():
        for r in records:
            if r.name and (found := NUMBERED.fullmatch(r.name)):
                named.setdefault(found[1], {})[found[2]] = r.value
    for k in range(len(ordered[0].r.inputs) + 1):
        reads = [e.r if k == len(e.r.inputs) else e.r.inputs[k] for e in ordered if k <= len(e.r.inputs)]
        numbers = [NUMBERED.fullmatch(r.name or "") if isinstance(r, Record) else None for r in reads]
        if len(reads) < len(ordered) or not all(numbers):
            continue
        keys = [found[2] for found in numbers if found]
        for name, values in named.items():
            if numbers[0] and name != numbers[0][1] and all(
                    key in values and np.shape(values[key]) == np.shape(own(e, k)) for e, key in zip(ordered, keys)):
                rules = {e: with_output(rule_of(e), values[key]) if k == len(e.r.inputs)
                         else with_operand(rule_of(e), k, values[key]) for e, key in zip(ordered, keys)}
                elementwise = ordered[0].r.op is not None and len(ordered[0].r.op.edges) == 1
                yield suspect("wrong-argument" if elementwise else "wrong-operand", 1.45, rules, f"{name} for {k}",
                              f"{name} of each step")


def elsewhere(ordered: list[Edge], suspect: Any) -> Iterator[Suspect]:
    """Gradients of indexed parts put where those of another part belong."""
    if not all(e.r.op is indexing.item for e in ordered):
        return
    indices = [e.r.options["index"] for e in ordered]
    for told, chosen in (("in reverse order", indices[::-1]), ("all in the first place", indices[:1] * len(indices)),
                         ("one place on", indices[1:] + indices[:1]), ("one place back", indices[-1:] + indices[:-1])):
        rules = {e: lambda g, y, x, index, at=at: indexing.put_together([At(g, at)], x)
                 for e, at in zip(ordered, chosen, strict=True)}
        yield suspect("scatter", 1.2, rules, told, told)


def own(edge: Edge, j: int) -> Any:
    """The j-th operand of an edge's record, or its output."""
    return edge.r.value if j == len(edge.r.inputs) else value_of(edge.r.inputs[j])


# ---- sums over the wrong axis

def not_summed(group: list[Edge], everywhere: str) -> Iterator[Suspect]:
    """Where an input was broadcast: its gradient not summed, summed over another axis, or over everything."""
    raws = [np.shape(e.r.value) for e in group]
    if any(isinstance(e.r.value, tuple) or e.x.op is None or np.ndim(e.x.value) != len(shape)
           or np.shape(e.x.value) == shape for e, shape in zip(group, raws, strict=True)):
        return
    everywhere = everywhere if len(group) > 1 else ""
    shape = raws[0]
    axes = tuple(k for k, n in enumerate(shape) if n != np.shape(group[0].x.value)[k])
    summed = int(np.prod([shape[k] for k in axes]))
    ways: list[tuple[str, str, Rule]] = [("missing-broadcast-reduction", "not summed", lambda c: c)]
    for b, n in enumerate(shape):
        if b not in axes and n > 1:
            ways.append(("wrong-axis", f"summed over axis {b}", lambda c, b=b: c.sum(axis=b, keepdims=True)))
            ways.append(("wrong-axis", f"averaged over axis {b}",
                         lambda c, b=b, n=n: c.sum(axis=b, keepdims=True) * (summed / n)))
    rest = int(np.prod(shape)) // summed
    if rest > 1:
        ways.append(("wrong-axis", "summed over everything", lambda c: np.sum(c, keepdims=True)))
        ways.append(("wrong-axis", "averaged over everything", lambda c: np.sum(c, keepdims=True) / rest))
    for kind, told, way in ways:
        yield Suspect(kind, 1.1, group[0], told=told, tag=told, everywhere=everywhere, loose=dict.fromkeys(group, way))
