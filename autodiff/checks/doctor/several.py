"""Several mistakes: one for each parameter, two on different paths, two one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from autodiff.checks.doctor.mistaken import mistakes_at
from autodiff.checks.doctor.search import Search
from autodiff.checks.doctor.suspects import SURE, Problem, State, Suspect

OVERWRITTEN = "overwritten-accumulation"          # in one loop and in another: one mistake


def matches_one(u: Any, g: Any, tol: Any) -> bool:
    """Whether two gradients are the same but for rounding."""
    return bool(np.all(np.abs(u - g) <= tol))


def each_by_itself(search: Search, problem: Problem, rest: bool = True) -> list[Suspect]:
    """A mistake for each wrong parameter, where each concerns it alone; the same one at all, best.

    Or, with `rest`, one for one of them alone, beside one that explains the others.
    """
    n = sum(problem.wrong)
    if n < 2 or n > 64:
        return []
    found: list[list[Suspect]] = []
    for k, w in enumerate(problem.wrong):
        if w:
            mine = [s for s in search.singles(problem.alone(k)) or search.rounds(problem.alone(k)) if s.cost < SURE]
            if not mine:
                return rest_by_itself(search, problem) if rest else []
            found.append(mine)
        if search.late:
            search.leave_out("each parameter by itself")
            return []
    return merged(found)


def rest_by_itself(search: Search, problem: Problem) -> list[Suspect]:
    """One parameter with a mistake of its own beside one that explains the others."""
    found: list[Suspect] = []
    for j, w in enumerate(problem.wrong):
        if not w or search.late:
            continue
        own = [s for s in search.singles(problem.alone(j)) if s.cost < 2]
        if not own:
            continue
        others = [i != j for i in range(len(problem.wrong))]
        rest = search.singles(problem.only(others)) or search.groups(problem.only(others))
        found += [joined([a, b]) for a in cheapest(own) for b in cheapest(rest)]
    return found


def merged(found: list[list[Suspect]]) -> list[Suspect]:
    """One explanation for each of several parameters, as one: the same mistake at all of them, or a mistake each."""
    if len(found) == 1 and len(found[0]) > 1:
        found = [[s] for s in found[0]]
    common = set.intersection(*({(s.kind, s.tag) for s in mine} for mine in found))
    kinds = set.intersection(*({s.kind for s in mine} for mine in found)) - {"scale"}      # by another factor each
    if common:
        kind, tag = min(common, key=lambda key: min(s.cost for mine in found for s in mine if (s.kind, s.tag) == key))
        parts = [min((s for s in mine if (s.kind, s.tag) == (kind, tag)), key=lambda s: s.cost) for mine in found]
        return [the_same(parts, kind, 0.2)]
    if kinds:
        kind = min(kinds, key=lambda k: sum(min(s.cost for s in mine if s.kind == k) for mine in found))
        parts = [min((s for s in mine if s.kind == kind), key=lambda s: s.cost) for mine in found]
        return [the_same(parts, kind, 0.3)]
    return [joined([min(mine, key=lambda s: s.cost) for mine in found])]


def the_same(parts: list[Suspect], kind: str, more: float) -> Suspect:
    """The same kind of mistake at several parameters."""
    first = parts[0]
    return Suspect(kind, max(s.cost for s in parts) + more, first.edge, {}, None, first.param, first.told, first.tag,
                   tuple(parts), "for each")


def joined(parts: list[Suspect]) -> Suspect:
    """Different mistakes at once."""
    flat = [p for s in parts for p in (s.parts if s.kind == "two" else (s,))]
    kinds = {s.kind for s in flat}
    if len(flat) > 1 and len(kinds) == 1 and (len({s.told for s in flat}) == 1 or kinds == {OVERWRITTEN}):
        return the_same(flat, flat[0].kind, 0.3)
    return Suspect("two", 0.5 + sum(s.cost for s in flat), flat[0].edge, parts=tuple(flat))


def cheapest(found: list[Suspect], n: int = 3) -> list[Suspect]:
    """The plainest few."""
    return sorted(found, key=lambda s: s.cost)[:n]


def pairs(search: Search, problem: Problem) -> list[Suspect]:
    """Two mistakes: those that add up by their signatures, then one after the other."""
    return adding_up(search, problem) or in_series(search, problem)


def adding_up(search: Search, problem: Problem) -> list[Suspect]:
    """Mistakes on different paths: their signatures add up to what is to be explained."""
    bp = search.bp
    state = State(bp.g, bp.fitted)
    target, slack = search.target(bp.g, problem)
    pool: list[Suspect] = []
    signatures: list[Any] = []
    for suspect in plain(search, problem, state):
        if suspect.change:
            s = search.signature(suspect.change)
            if np.any(np.abs(s) > slack):
                pool.append(suspect)
                signatures.append(s)
        if search.late:
            search.leave_out("some pairs of mistakes")
            break
    if not pool:
        return []
    S = np.array(signatures)
    order = np.argsort(S[:, 0])
    first = S[order, 0]
    found: list[Suspect] = []
    reach = np.abs(S).sum(1) + np.abs(target).sum()
    for i in range(len(pool)):
        left = target - S[i]
        width = slack[0] + 1e-9 * reach[i]
        lo, hi = np.searchsorted(first, left[0] - width), np.searchsorted(first, left[0] + width)
        for j in order[lo:hi]:
            if j > i and np.all(np.abs(S[j] - left) <= slack + 1e-9 * (reach[i] + reach[j])):
                both = two(pool[i], pool[int(j)])
                if search.verified(both, problem):
                    found.append(joined([pool[i], pool[int(j)]]))
    E = [(k, pool[k]) for k in range(len(pool)) if pool[k].tag == "× 0"]
    for k, dropping in E:                                  # one of them with any factor
        direction = -S[k]
        rest = target - S
        c = rest @ direction / (direction @ direction)
        off = np.abs(rest - c[:, None] * direction).max(1)
        for i in map(int, np.flatnonzero((off <= slack.max() + 1e-9 * reach) & (np.abs(c) > 1e-9))):
            if i == k or pool[i].edge is None or dropping.edge is None or pool[i].edge == dropping.edge:
                continue
            kind, cost, told = search.factor(1 + float(c[i]), dropping.edge)
            if cost >= 3:
                continue
            assert dropping.change is not None
            other = replace(dropping, kind=kind, cost=cost, told=told, tag=f"× {1 + c[i]:.6g}",
                            change={x: -c[i] * d for x, d in dropping.change.items()})
            if search.verified(two(pool[i], other), problem):
                found.append(joined([pool[i], other]))
        if search.late:
            break
    return found


def plain(search: Search, problem: Problem, state: State) -> Iterator[Suspect]:
    """Mistakes worth pairing: those of the catalogue and the common constants at every edge."""
    bp = search.bp
    with np.errstate(all="ignore"):
        for edge in bp.edges:
            if not bp.reach.get(edge.x, 0) & problem.mask:
                continue
            now = bp.fitted[edge]
            if isinstance(now, tuple):
                continue
            yield from search.mistaken(edge, state, mistakes_at(edge))
            for k in (0.0, -1.0, 2.0, 0.5):
                yield search.times(edge, k, now)
        yield from search.composite(bp.edges, state)
        for k, w in enumerate(problem.wrong):
            if w and not search.late:
                yield from search.singles(problem.alone(k))


def two(a: Suspect, b: Suspect) -> Suspect:
    """Both changes at once."""
    change = dict(a.change or {})
    for x, d in (b.change or {}).items():
        change[x] = change[x] + d if x in change else d
    return Suspect("two", 0, a.edge, {**a.rules, **b.rules}, change)


def in_series(search: Search, problem: Problem) -> list[Suspect]:
    """One mistake above the other: the first changes what the second gets."""
    bp = search.bp
    state = State(bp.g, bp.fitted)
    slack = search.target(bp.g, problem)[1]
    firsts: list[tuple[int, float, int, Suspect]] = []
    for suspect in plain(search, problem, state):
        if suspect.change and suspect.rules and suspect.cost < 1.5 \
                and np.any(np.abs(search.signature(suspect.change)) > slack):
            good = [matches_one(u, g, tol) for u, g, tol in
                    zip(problem.yours, search.gradients(suspect), problem.allowed, strict=True)]
            broken = sum(not ok and not w for ok, w in zip(good, problem.wrong, strict=True))
            fixed = sum(ok and w for ok, w in zip(good, problem.wrong, strict=True))
            if not broken:
                firsts.append((-fixed, suspect.cost, len(firsts), suspect))
        if search.late:
            break
    found: list[Suspect] = []
    for _, _, _, suspect in sorted(firsts, key=lambda f: f[:3]):
        raw: dict[Any, Any] = {}
        fitted: dict[Any, Any] = {}
        g = bp.walk(suspect.rules, raw, fitted)
        now = [matches_one(u, g.get(r, 0.0), tol)
               for u, r, tol in zip(problem.yours, bp.wanted, problem.allowed, strict=True)]
        left = Problem(bp, problem.yours, problem.allowed, [not ok for ok in now], problem.factors)
        target, slack = search.target(g, left)
        for second in search.suspects([e for e in bp.edges if bp.reach.get(e.x, 0) == left.mask], State(g, fitted),
                                     target, left, False):
            if search.passes(second, target, slack) and search.verified(second, left, g):
                found.append(joined([suspect, second]))
        if search.late:
            search.leave_out("pairs of mistakes one after the other")
            break
        if len(found) > 8:
            break
    return found
