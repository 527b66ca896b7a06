"""Mistakes made every time round a loop, in what is carried from one time to the next.

A change at several places is not the sum of the changes at each, since what goes wrong at one time passes through all
times before it. So each suspect is walked; first along the way to one wrong gradient only.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.checks.doctor.backprop import Borrowed, Edge, applied, fit
from autodiff.checks.doctor.caches import beginning_late, instead, of_other_times, zeros
from autodiff.checks.doctor.loops import Loops, every_time
from autodiff.checks.doctor.sequences import exchanged, of_the_catalogue, other_factors, other_gradients, other_values
from autodiff.checks.doctor.suspects import Suspect, nothing, rule_of, said, scaled
from autodiff.checks.mistakes import Rule
from autodiff.ops.shapes import un_broadcast

if TYPE_CHECKING:
    from autodiff.checks.doctor.search import Search

MOST_USES = 6            # of what is carried, of which all choices are tried
DROPPED = ("dropped-path", "overwritten-accumulation")
CARRIED = ("dropped-path", "treated-as-constant", "overwritten-accumulation")


def rounds(search: Search) -> Iterator[Iterator[Suspect]]:
    """The mistakes of a loop by families, the likeliest first."""
    loops = search.loops
    if loops.times < 2:
        return
    if loops.carrying:
        yield of_the_carry(loops)
        yield of_uses(loops)
        yield ending_early(loops)
        yield beginning_late(loops)
        yield of_other_times(loops)
    yield of_the_catalogue(loops, search)
    yield exchanged(loops)
    yield past(loops)
    yield other_gradients(loops)
    yield other_values(loops, search, True)
    yield other_factors(loops)
    if loops.carrying:
        yield grown(loops)
    yield other_values(loops, search, False)


# ---- what is carried

def of_the_carry(loops: Loops) -> Iterator[Suspect]:
    """What comes from the next time: left out, at all times or at one, with the wrong sign, a factor too much."""
    every = loops.carrying
    parts: dict[Any, list[Edge]] = {}
    for e in every:
        parts.setdefault(loops.line.get(e.x, said(e.x)), []).append(e)
    lists = [every, *(part for part in parts.values() if 1 < len(part) < len(every))]
    for edges in lists:
        for some in loops.but_the_first(edges):
            yield from every_time(CARRIED, 1.1, dict.fromkeys(some, nothing), "nothing from the next time", "carry × 0")
            yield from every_time(("sign",), 1.2, scaled(some, -1.0), "", "carry × -1")
            for k in (2.0, 0.5):
                yield from every_time(("scale",), 1.4, scaled(some, k), f"{k:g}", f"carry × {k:g}")
    for t in range(loops.times):
        cut = [e for e in every if loops.time[e.r] == t]
        if cut:
            yield from every_time(("dropped-path", "treated-as-constant"), 1.3, dict.fromkeys(cut, nothing),
                                  f"nothing passes from time {t} to the one before", f"cut at {t}")


def of_uses(loops: Loops) -> Iterator[Suspect]:
    """Some of the uses of what is made every time left out: all but one, where they overwrite each other; or a few."""
    into = loops.bp.into
    for line in loops.lines:
        uses: dict[Any, list[Edge]] = {}
        for x in line:
            for e in into.get(x, ()):
                passed = loops.time[e.r] - loops.time[x] if e.r in loops.time else None
                uses.setdefault((loops.line.get(e.r), e.i, passed), []).append(e)
        carried = {key for key in uses if key[2]}
        before = [e for e in loops.carrying if loops.starts(e)]
        for key in carried:
            uses[key] += [e for e in before if (loops.line.get(e.r), e.i, 1) == key]
        n = len(uses)
        if n > 1:
            yield from every_time(("sign",), 1.1, scaled([e for key in uses for e in uses[key]], -1.0), "", "uses × -1")
        if not 2 <= n <= MOST_USES:
            continue
        choices = [c for k in (n - 1, 1, *range(2, n - 1)) for c in combinations(uses, k)]
        for out in dict.fromkeys(choices):
            kept = {e.x for key in uses if key not in out for e in uses[key]}
            edges = [e for key in out for e in uses[key] if e.x in kept]         # where there is nothing to overwrite
            if not edges:
                continue
            alone = n - len(out) == 1
            told = f"only {n - len(out)} of the {n} uses of {said(line[-1])}"
            kinds = DROPPED[::-1] if alone and n > 2 else DROPPED[:1] if not alone and len(out) == 1 else DROPPED
            for some in loops.but_the_first(edges):
                yield from every_time(kinds, 1.15 + 0.05 * (not alone), dict.fromkeys(some, nothing), told,
                                      f"uses {sorted(map(str, out))}")


def ending_early(loops: Loops) -> Iterator[Suspect]:
    """The loop back stops some times before the first, or begins after the last; what is carried is taken as it is."""
    for k in range(1, loops.times):
        out = {e: zeros(e) for e in loops.bp.edges if loops.time.get(e.r, k) < k and np.ndim(e.r.value)}
        if not out:
            continue
        told = f"the first {k} of {loops.times} times"
        passed: dict[Edge, Any] = dict(out)
        for s in loops.series:
            if loops.starts_with(s):
                at = next((e for e in out if e.x is s.items[0]), None)
                if at is not None and np.ndim(s.items[k].value) == np.ndim(at.x.value):
                    passed[at] = Borrowed(s.items[k], instead)
        if len(passed) and any(isinstance(rule, Borrowed) for rule in passed.values()):
            yield from every_time(("dropped-path", "stale-value"), 1.2, passed, told, f"stops at {k}")
        yield from every_time(("dropped-path", "treated-as-constant"), 1.25, out, told, f"stops before {k}")
    last = {e: nothing for e in loops.bp.edges if loops.time.get(e.r) == loops.times - 1 and np.ndim(e.r.value)}
    if last:
        yield from every_time(("dropped-path",), 1.4, last, "the last time", "begins late")


def grown(loops: Loops) -> Iterator[Suspect]:
    """What is carried with a term too many: what was carried before, or what only the last time gets."""
    into, fitted = loops.bp.into, loops.bp.fitted
    carrying = set(loops.carrying)
    for s in filter(loops.starts_with, loops.series):
        line = loops.lines[loops.line[s.items[1]]]
        after = {x: z for x, z in zip(s.items, line) if z in loops.bp.g}
        at = {e.x: e for e in loops.carrying if e.x in after}
        if not at:
            continue
        own = {x: sum(fitted[z] for z in into[after[x]] if z not in carrying) for x in at}
        final = sum(fitted[z] for z in into.get(line[-1], ()) if z not in carrying)
        for edges in loops.but_the_first(list(at.values())):
            for more, told in ((dict.fromkeys(at, 0.0), f"d{said(line[-1])} of the time after added"),
                               ({x: -own[x] for x in at}, "what was carried before added")):
                yield from every_time(("extra-term", "stale-value"), 1.4,
                                      {e: Borrowed(after[e.x], plus(e, more[e.x])) for e in edges}, told, told)
            yield from every_time(("extra-term",), 1.4, {e: plus_fixed(e, final) for e in edges},
                                  "what only the last time gets", "last added")
            yield from every_time(("stale-value", "dropped-path", "wrong-operand"), 1.4,
                                  {z: Borrowed(after[z.x], instead) if z is at[e.x] else nothing for e in edges
                                   for z in into[e.x]}, f"d{said(line[-1])} of the time after, as it is", "not moved")


def plus(edge: Edge, more: Any) -> Rule:
    """The right rule, and the other gradient."""
    rule = rule_of(edge)
    return lambda g, y, *x, h, **o: rule(g, y, *x, **o) + un_broadcast(h + more, np.shape(edge.x.value))


def plus_fixed(edge: Edge, more: Any) -> Rule:
    """The right rule and a term."""
    rule = rule_of(edge)
    return lambda g, y, *x, **o: rule(g, y, *x, **o) + more


def past(loops: Loops) -> Iterator[Suspect]:
    """A part of what arrives at a function's output passed on without its derivative."""
    for edges in loops.groups:
        op = edges[0].r.op
        if op is None or op.kind != "elementwise" or len(op.edges) != 1:
            continue
        keys = {(loops.line.get(z.r), z.i, loops.time.get(z.r, -1) - loops.time[e.r] if z.r in loops.time else None)
                for e in edges for z in loops.bp.into[e.r]}
        if len(keys) < 2:
            continue
        for line, i, passed in sorted(keys, key=str):
            rules: dict[Edge, Any] = {}
            for e in edges:
                for z in loops.bp.into[e.r]:
                    of_this = z.r in loops.time and loops.time[z.r] - loops.time[e.r] == passed
                    if (loops.line.get(z.r), z.i) == (line, i) and (of_this or passed is None):
                        rules[e] = Borrowed(z.r, beside(e, z))
            but_the_last = {e: rule for e, rule in rules.items() if loops.time[e.r] < loops.times - 1}
            for some in (rules, but_the_last) if rules and but_the_last else (rules,) if rules else ():
                yield from every_time(("missing-local-derivative",), 1.3, some, "", f"beside {line} {i} {passed}")


def beside(edge: Edge, use: Edge) -> Rule:
    """The right rule, but for what comes by one use of the output."""
    rule = rule_of(edge)

    def wrong(g: Any, y: Any, *x: Any, h: Any, **o: Any) -> Any:
        part = fit(applied(rule_of(use), use, h), use.x)
        return rule(g - part, y, *x, **o) + part
    return wrong
