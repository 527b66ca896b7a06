"""What goes wrong where several contributions meet, or where one is cut into several: by several edges at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.checks.doctor.backprop import Edge, every
from autodiff.checks.doctor.suspects import (
    Change,
    State,
    Suspect,
    changed,
    nothing,
    proportion,
    rule_of,
    said,
    scaled,
    with_operand,
)
from autodiff.checks.mistakes import PRODUCTS, right
from autodiff.ops import indexing, shapes
from autodiff.ops.arithmetic import where
from autodiff.ops.reductions import max_
from autodiff.program.passes import value_of
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.checks.doctor.search import Search

FEW_USES = 5           # of a record, of which all choices are tried


def nodes(search: Search, edges: list[Edge], state: State, target: Any) -> Iterator[Suspect]:
    """All contributions to a record times one constant: held constant, a factor; or only some of its uses."""
    yield from branches(edges, state)
    for x in {e.x: None for e in edges}:
        into = [e for e in search.bp.into[x] if e in state.fitted]
        if len(into) < 2:
            continue
        parts = [state.fitted[e] for e in into]
        signatures = [search.signature({x: part}) for part in parts]
        yield from groups_at(search, x, into, parts, signatures, target)
        yield from subsets(x, into, parts, signatures, target)
        yield from overwritten(x, into, state)
        yield from exchanged_operands(x, into, parts, state)
        uses = [[into.index(e) for e in same] for same in every(into, lambda e: e.r).values()]      # c * c is one
        if x.op is None and 1 < len(uses) <= FEW_USES:
            whole = [sum(parts[i] for i in use) for use in uses]
            yield from parts_left_out(x, [into[use[0]] for use in uses], whole)
            yield from exchanged_factors(search, x, into, uses, whole, target)
        for use in uses if x.op is None and np.size(x.value) > 1 else ():
            yield from of_another_form(search, x, into[use[0]], sum(parts[i] for i in use), target)


def groups_at(search: Search, x: Record, into: list[Edge], parts: list[Any], signatures: list[Any],
              target: Any) -> Iterator[Suspect]:
    """All edges into a record, and those from one other (both factors of c * c), as one."""
    groups = [list(range(len(into)))]
    groups += [[into.index(e) for e in group] for group in every(into, lambda e: e.r).values()
               if len(group) > 1]
    groups += [list(some) for k in range(2, len(into)) for some in combinations(range(len(into)), k)
               if len(into) <= FEW_USES]
    groups = [group for i, group in enumerate(groups) if group not in groups[:i]]
    for group in groups:
        c = proportion(target, sum(signatures[i] for i in group))
        if c is not None:
            kind, cost, told = search.factor(1 + c, into[group[0]])
            whole = len(group) == len(into) and x.op is not None and search.lines[x.code, x.lasti] == 1
            if whole and kind in ("dropped-path", "missing-term"):
                kind = "treated-as-constant"
            yield Suspect(kind, cost, into[group[0]], scaled([into[i] for i in group], 1 + c),
                          {x: c * sum(parts[i] for i in group)}, told=told, tag=f"× {1 + c:.6g}")


def exchanged_factors(search: Search, x: Record, into: list[Edge], uses: list[list[int]], parts: list[Any],
                      target: Any) -> Iterator[Suspect]:
    """The constants of two terms, each in the place of the other."""
    signatures = [search.signature({x: part}) for part in parts]
    for i, j in combinations(range(len(uses)), 2):
        c, *_ = np.linalg.lstsq(np.stack([signatures[i], signatures[j]], 1), target, rcond=None)
        a, b = 1 + c
        if abs(a) > 1e-9 and abs(a * b - 1) < 1e-6 and abs(a - 1) > 1e-6:
            rules = {**scaled([into[k] for k in uses[i]], float(a)), **scaled([into[k] for k in uses[j]], float(b))}
            yield Suspect("swapped", 1.3, into[uses[i][0]], rules, {x: c[0] * parts[i] + c[1] * parts[j]},
                          told=f"the factors of two terms, {a:.4g} and {b:.4g} times what they must be", tag="factors")


def exchanged_operands(x: Record, into: list[Edge], parts: list[Any], state: State) -> Iterator[Suspect]:
    """Of two products that meet, each with the other's matrix."""
    for i, j in combinations(range(len(into)), 2) if len(into) <= FEW_USES else ():
        a, b = into[i], into[j]
        if a.r.op in PRODUCTS and a.r.op is b.r.op and a.i == b.i and len(a.r.inputs) == 2:
            its, mine = value_of(b.r.inputs[1 - b.i]), value_of(a.r.inputs[1 - a.i])
            d, e = (changed(z, with_operand(rule_of(z), 1 - z.i, v), state.g[z.r], now)
                    for z, v, now in ((a, its, parts[i]), (b, mine, parts[j])))
            if np.shape(its) == np.shape(mine) and d is not None and e is not None:
                yield Suspect("swapped", 1.25, a, {}, {x: d + e}, told="the matrices of two products",
                              tag="operands exchanged")


def stale(search: Search, edge: Edge, state: State, target: Any) -> Iterator[Suspect]:
    """A weight that had been updated already when the gradient went back through it."""
    op = edge.r.op
    if op not in PRODUCTS:
        return
    for k, w in enumerate(edge.r.inputs):
        leaf, seen = base_of(w)
        if k == edge.i or not isinstance(leaf, Record) or leaf not in state.g or leaf not in search.bp.wanted:
            continue
        rule = with_operand(right(op, edge.i), k, seen(state.g[leaf]))
        step = changed(edge, rule, state.g[edge.r], 0.0)
        c = None if step is None else proportion(target, search.signature({edge.x: step}))
        if c is not None and -10 < c < 0:
            yield Suspect("stale-value", 1.5, edge, {}, {edge.x: c * step}, told=f"{-c:.6g}", param=leaf,
                          tag="stale")


def of_another_form(search: Search, x: Record, edge: Edge, part: Any, target: Any) -> Iterator[Suspect]:
    """A parameter's use with the parameter's sign in place of what belongs there, or with nothing but a number."""
    for kind, told, form in (("wrong-local-rule", f"the sign of {said(x)}", np.sign(x.value)),
                             ("missing-local-derivative", "the same for all elements", np.ones_like(x.value))):
        c = proportion(target + search.signature({x: part}), search.signature({x: form}))
        if c is not None:
            for more, name in enumerate((kind, "wrong-operand")):
                yield Suspect(name, 1.4 + 0.02 * more, edge, change={x: c * form - part}, told=told, tag=f"as {told}")


def branches(edges: list[Edge], state: State) -> Iterator[Suspect]:
    """What is chosen by a condition, each branch where the other belongs."""
    for r, both in every((e for e in edges if e.r.op is where), lambda e: e.r).items():
        other = ~np.asarray(value_of(r.inputs[0]), bool)
        change: Change = {}
        for e in both:
            d = np.where(other if e.i == 1 else ~other, state.g[r], 0.0)
            if np.shape(d) != np.shape(e.x.value):
                break
            change[e.x] = d - state.fitted[e] + change.get(e.x, 0.0)
        else:
            if len(both) == 2:
                for more, kind in enumerate(("swapped", "wrong-local-rule")):
                    yield Suspect(kind, 1.2 + 0.02 * more, both[0], change=change, told="the two branches",
                                  tag="branches")


def subsets(x: Record, into: list[Edge], parts: list[Any], signatures: list[Any], target: Any) -> Iterator[Suspect]:
    """Some of a record's uses left out: all but the first or last, or any of a few."""
    n = len(into)
    if n < 3:
        return
    keep: list[tuple[int, ...]] = [(0,), (n - 1,)]
    if n <= 6:
        chosen = [tuple(i for i in range(n) if b >> i & 1) for b in range(1, 2 ** n - 1)]
        keep += [kept for kept in chosen if len(kept) < n - 1]
    for kept in dict.fromkeys(keep):
        out = [i for i in range(n) if i not in kept]
        s = -sum(signatures[i] for i in out)
        if np.allclose(s, target, rtol=1e-3, atol=0):
            several = len({into[i].r for i in out}) > 1                          # c * c is one use
            of_a_line = x.op is None or len({(e.r.code, e.r.lasti) for e in into}) == 1
            alone = len(kept) == 1 and several and of_a_line
            for more, kind in enumerate(("overwritten-accumulation", "dropped-path") if alone else ("dropped-path",)):
                yield Suspect(kind, (1.0 if alone else 1.2) + 0.05 * more, into[kept[0]],
                              {into[i]: nothing for i in out}, {x: -sum(parts[i] for i in out)},
                              told=f"only {len(kept)} of {n}", tag=f"kept {kept}")


def parts_left_out(x: Record, into: list[Edge], parts: list[Any]) -> Iterator[Suspect]:
    """Some of a parameter's uses left out for its first or last elements: a penalty on all but the last."""
    n = np.shape(x.value)[0] if np.ndim(x.value) else 0
    for at, told in ((n - 1, "last"), (0, "first")) if n > 1 else ():
        there = np.reshape(np.arange(n) == at, (n,) + (1,) * (np.ndim(x.value) - 1))
        for k in range(1, len(into)):
            for some in combinations(range(len(into)), k):
                change = {x: -sum(parts[i] for i in some) * there}
                for more, kind in enumerate(("dropped-path", "missing-term")):
                    yield Suspect(kind, 1.3 + 0.02 * more, into[some[0]], change=change,
                                  told=f"the {told} along axis 0", tag=f"without the {told}")


def overwritten(x: Record, into: list[Edge], state: State) -> Iterator[Suspect]:
    """Gradients of overlapping parts assigned one after the other, not added up."""
    now = sum(state.fitted[e] for e in into)
    if all(e.r.op is indexing.item for e in into):
        for ordered, tag in ((into, "backwards"), (into[::-1], "forwards")):
            total = np.zeros_like(x.value)
            for e in ordered:
                total = indexing.index_update(total, e.r.options["index"], state.g[e.r])
            yield Suspect("overwritten-accumulation", 1.0, into[0], {}, {x: total - now}, told="overlapping parts",
                          tag=f"assigned {tag}")
    yield from assigned(x, into, state)
    rows = [value_of(e.r.inputs[1]) for e in into if e.r.op is indexing.items and len(e.r.inputs) == 2]
    if len(rows) == len(into) and len({np.shape(row) for row in rows}) == 1:
        forwards = sorted(range(len(into)), key=lambda n: into[n].r.serial)
        for axis in (1, 0):
            for order in (forwards, forwards[::-1]):
                index = np.stack([rows[n] for n in order], axis)
                total = np.zeros_like(x.value)
                total[index] = np.stack([state.g[into[n].r] for n in order], axis)
                for more, kind in enumerate(("scatter", "overwritten-accumulation")):
                    yield Suspect(kind, 1.1 + 0.02 * more, into[0], {}, {x: total - now},
                                  told="rows that are met again are overwritten", tag="rows assigned")


def assigned(x: Record, into: list[Edge], state: State) -> Iterator[Suspect]:
    """Gradients of chosen elements assigned, not added: what other uses gave is overwritten there."""
    for e in into:
        if e.r.op in (indexing.item, indexing.items, max_):
            there = changed(e, rule_of(e), np.ones_like(state.g[e.r]), 0.0) != 0
            others = sum(state.fitted[z] for z in into if z is not e)
            yield Suspect("overwritten-accumulation", 1.15, e, {}, {x: -others * there}, told="elements chosen",
                          tag="chosen ones assigned")


def joined_parts(edges: list[Edge], state: State) -> Iterator[Suspect]:
    """The gradient of arrays put side by side cut up in wrong places: all from the beginning, in another order."""
    for r, parts in every((e for e in edges if e.r.op is shapes.concatenate), lambda e: e.r).items():
        axis, g = r.options.get("axis", 0), state.g[r]
        sizes = [np.shape(e.x.value)[axis] for e in sorted(parts, key=lambda e: e.i)]
        if len(parts) < 2 or len(set(sizes)) > 1 or isinstance(g, tuple) or len(parts) != len(r.inputs):
            continue
        k, n = len(sizes), sizes[0]
        ways = {"all from the beginning": [np.arange(n)] * k,
                "in reverse order": [i * n + np.arange(n) for i in range(k)][::-1],
                "one number on each time": [i + np.arange(n) for i in range(k)],
                "every so many": [i + k * np.arange(n) for i in range(k)],
                "one place on": [(i + 1) % k * n + np.arange(n) for i in range(k)],
                "one place back": [(i - 1) % k * n + np.arange(n) for i in range(k)]}
        for told, places in ways.items():
            change: Change = {}
            for e in parts:
                d = np.take(g, places[e.i], axis) - state.fitted[e]
                change[e.x] = change[e.x] + d if e.x in change else d
            for more, kind in enumerate(("scatter", "wrong-operand")):
                yield Suspect(kind, 1.2 + 0.02 * more, parts[0], change=change, told=f"cut {told}", tag=told)


def base_of(x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The leaf behind a transposed operand, and what was done to it."""
    if isinstance(x, Record) and x.op is shapes.transpose:
        op, options = x.op, x.options
        return x.inputs[0], lambda a: op.forward(a, **options)
    return x, lambda a: a
