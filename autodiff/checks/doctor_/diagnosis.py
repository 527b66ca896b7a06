"""Why a gradient derived by hand is wrong: which step was missed.

The cheapest evidence first: the shapes of what was given, one mistake at one place, the same one at several places,
each parameter by itself, two mistakes at once.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autodiff.checks.backprop import Backprop
from autodiff.checks.explanation import Explanation, Telling, listed, text_of
from autodiff.checks.factors import Factors
from autodiff.checks.formulas import Formulas
from autodiff.checks.mistakes import mistakes_at
from autodiff.checks.relations import in_shape
from autodiff.checks.search import Search
from autodiff.checks.suspects import MATCH, Problem, State, Suspect, said
from autodiff.record import Record
from autodiff.tape import Tape

CLASS = 0.3            # explanations whose costs are no further apart are one class
CLASSES, MOST = 4, 16  # how many classes are told, and explanations in all
PLAIN = 1.6            # the cost up to which one mistake at one place is not questioned
BUDGET = 3.0           # seconds


def suspects_of(tape: Tape, wanted: Sequence[Record], yours: Sequence[Any], tolerances: Sequence[Any],
                wrong: Sequence[bool], values: dict[Record, Any] | None = None,
                budget: float = BUDGET) -> tuple[list[Suspect], Problem, Search]:
    """The mistakes that reproduce what was given, the plain ones first."""
    bp = Backprop(tape, wanted, values)
    shaped, reshaped = [], []
    for r, u, tol in zip(bp.wanted, yours, tolerances, strict=True):
        u = np.asarray(u, np.float64)
        s = None
        if np.shape(u) != np.shape(r.value):
            s, u = in_shape(r, u, bp.g.get(r, np.zeros_like(r.value)), tol)
        shaped.append(u)
        reshaped.append(s)
    allowed = [allowance(u, bp.g.get(r, 0.0), tol) for r, u, tol in zip(bp.wanted, shaped, tolerances, strict=True)]
    still = [w and (s is None or not matches_one(u, bp.g.get(r, 0.0), tol))
             for w, s, u, r, tol in zip(wrong, reshaped, shaped, bp.wanted, allowed, strict=True)]
    problem = Problem(bp, shaped, allowed, still, Factors(tape))
    search = Search(problem, time.perf_counter() + budget)
    shapes = [s for s in reshaped if s is not None]
    if not any(still):
        return merged([shapes]) if len(shapes) > 1 else shapes, problem, search
    found = found_in(search, problem)
    if shapes:
        found = [joined([*shapes, f]) for f in found] or shapes
    return sorted(found, key=lambda s: s.cost), problem, search


def found_in(search: Search, problem: Problem) -> list[Suspect]:
    """All explanations at the first level that has any."""
    found = search.singles(problem)
    best = min((s.cost for s in found), default=np.inf)
    if best > PLAIN:
        found += search.groups(problem) + each_by_itself(search, problem)
    if found and min(s.cost for s in found) < 3.5:
        return found
    if not all(problem.wrong):
        alone = problem.of_these_alone()
        narrow = Search(alone, search.ends)
        found += [replace(s, cost=s.cost + 0.7) for s in narrow.singles(alone)]
        if found and min(s.cost for s in found) < 3.5:
            return found
    return found + pairs(search, problem)


def allowance(u: Any, g: Any, tol: Any) -> Any:
    """By how much an explanation may miss: the tolerance of the verdict, for gradients of this size."""
    size, yours = float(np.max(np.abs(g), initial=0)), float(np.max(np.abs(u), initial=0))
    return MATCH * tol * max(1.0, yours / size if size else 1.0)


def matches_one(u: Any, g: Any, tol: Any) -> bool:
    """Whether two gradients are the same but for rounding."""
    return bool(np.all(np.abs(u - g) <= tol))


# ---- several mistakes

def each_by_itself(search: Search, problem: Problem) -> list[Suspect]:
    """A mistake for each wrong parameter, where each concerns it alone; the same one at all, best."""
    n = sum(problem.wrong)
    if n < 2 or n > 64:
        return []
    found: list[list[Suspect]] = []
    for k, w in enumerate(problem.wrong):
        if w:
            alone = problem.only([k == j for j in range(len(problem.wrong))])
            mine = [s for s in search.singles(alone) if s.cost < 3.5]
            if not mine:
                return rest_by_itself(search, problem, k)
            found.append(mine)
        if search.late:
            search.left_out.append("each parameter by itself")
            return []
    return merged(found)


def rest_by_itself(search: Search, problem: Problem, k: int) -> list[Suspect]:
    """One parameter with a mistake of its own beside one that explains the others."""
    found: list[Suspect] = []
    for j, w in enumerate(problem.wrong):
        if not w or search.late:
            continue
        own = [s for s in search.singles(problem.only([i == j for i in range(len(problem.wrong))])) if s.cost < 2]
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
    kinds = set.intersection(*({s.kind for s in mine} for mine in found))
    if common:
        kind, tag = min(common, key=lambda key: min(s.cost for mine in found for s in mine if (s.kind, s.tag) == key))
        parts = [min((s for s in mine if (s.kind, s.tag) == (kind, tag)), key=lambda s: s.cost) for mine in found]
        return [together(parts, kind, 0.2)]
    if kinds:
        kind = min(kinds, key=lambda k: sum(min(s.cost for s in mine if s.kind == k) for mine in found))
        parts = [min((s for s in mine if s.kind == kind), key=lambda s: s.cost) for mine in found]
        return [together(parts, kind, 0.3)]
    return [joined([min(mine, key=lambda s: s.cost) for mine in found])]


def together(parts: list[Suspect], kind: str, more: float) -> Suspect:
    """The same kind of mistake at several parameters."""
    first = parts[0]
    return Suspect(kind, max(s.cost for s in parts) + more, first.edge, {}, None, first.param, first.told, first.tag,
                   tuple(parts), "for each")


def joined(parts: list[Suspect]) -> Suspect:
    """Different mistakes at once."""
    flat = [p for s in parts for p in (s.parts if s.kind == "two" else (s,))]
    kinds = {s.kind for s in flat}
    if len(flat) > 1 and len(kinds) == 1 and len({s.told for s in flat}) == 1:
        return together(flat, flat[0].kind, 0.3)
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
            search.left_out.append("some pairs of mistakes")
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
        for i in np.flatnonzero((off <= slack.max() + 1e-9 * reach) & (np.abs(c) > 1e-9)):
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


def plain(search: Search, problem: Problem, state: State) -> Any:
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
            if w:
                alone = problem.only([k == j for j in range(len(problem.wrong))])
                yield from search.singles(alone)


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
    firsts = []
    for suspect in plain(search, problem, state):
        if suspect.change and suspect.rules and suspect.cost < 1.5:
            total = [bp.g.get(r, 0.0) for r in bp.wanted]
            for x, d in suspect.change.items():
                total = [a + b for a, b in zip(total, bp.seen_through(x, d), strict=True)]
            good = [matches_one(u, g, tol) for u, g, tol in zip(problem.yours, total, problem.allowed, strict=True)]
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
        inner = Search.__new__(Search)
        inner.__dict__.update(search.__dict__)
        now = [matches_one(u, g.get(r, 0.0), tol)
               for u, r, tol in zip(problem.yours, bp.wanted, problem.allowed, strict=True)]
        left = Problem(bp, problem.yours, problem.allowed, [not ok for ok in now], problem.factors)
        target, _ = inner.target(g, left)
        for second in inner.suspects([e for e in bp.edges if bp.reach.get(e.x, 0) == left.mask], State(g, fitted),
                                     target, left):
            slack = inner.target(g, left)[1]
            s = inner.signature(second.change or {})
            if np.all(np.abs(s - target) <= slack + 1e-9 * (np.abs(s) + np.abs(target))) \
                    and inner.verified(second, left, g):
                found.append(joined([suspect, second]))
        if time.perf_counter() > search.ends:
            search.left_out.append("pairs of mistakes one after the other")
            break
        if len(found) > 8:
            break
    return found


def classes(found: Sequence[Suspect]) -> list[list[Suspect]]:
    """Explanations by how plain they are: those that cannot be told apart together, each kind at each place once."""
    once: dict[Any, Suspect] = {}
    for s in sorted(found, key=lambda s: s.cost):
        once.setdefault(same_place(s), s)
    ordered = list(once.values())[:MOST]
    return [list(group) for _, group in itertools.groupby(
        ordered, key=lambda s: 0 if s.cost <= ordered[0].cost + CLASS else round(s.cost / CLASS))]


def same_place(s: Suspect) -> Any:
    """What makes two suspects one explanation."""
    edges = frozenset((e.r, e.x) for e in (s.rules or s.loose or ([s.edge] if s.edge else [])))
    return s.kind, edges, s.out, s.x, s.param, tuple(same_place(p) for p in s.parts)


# ---- what the report says

@dataclass(frozen=True)
class Diagnosis:
    """Why gradients differ.

    Attributes
    ----------
    explanations : tuple of Explanation
        Classes of what cannot be told apart, the plainest first; () if nothing fits.
    note : str
        What was searched and what not, and where the first wrong gradient is if nothing fits.
    """

    explanations: tuple[Explanation, ...] = ()
    note: str = ""


def diagnose(tape: Tape, given: Mapping[Record, Any], tolerances: Mapping[Record, Any], wrong: Collection[Record],
             values: Mapping[Record, Any] | None = None, budget: float = BUDGET) -> Diagnosis:
    """The mistakes that explain why gradients derived by hand differ from the tape's.

    Parameters
    ----------
    tape : Tape
        What stands behind the loss.
    given, tolerances : dict of Record to array
        The gradients given, and by how much rounding may move each.
    wrong : collection of Record
        Those that differ; the others are evidence too.
    values : dict of Record to array, optional
        Other values for some leaves.
    budget : float
        Seconds.
    """
    records = list(given)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, problem, search = suspects_of(tape, records, [given[r] for r in records],
                                             [tolerances[r] for r in records], [r in wrong for r in records],
                                             dict(values or {}), budget)
        if not found:
            return Diagnosis((), nothing_fits(problem, search))
        telling = Telling(replace_wrong(problem, records, wrong), Formulas(problem.bp, tape.given))
        told = []
        for group in classes(found)[:CLASSES]:
            told.append(telling.explanation(group[0], group[1:]))
    return Diagnosis(tuple(told), left_out(search))


def replace_wrong(problem: Problem, records: Sequence[Record], wrong: Collection[Record]) -> Problem:
    """The problem with everything that differs marked as wrong, shapes included."""
    return replace(problem, wrong=[r in wrong for r in records])


def nothing_fits(problem: Problem, search: Search) -> str:
    """Where to look when no mistake of the catalogue explains what was given."""
    bp = problem.bp
    right = [r for r, w in zip(bp.wanted, problem.wrong, strict=True) if not w]
    wrong = [r for r, w in zip(bp.wanted, problem.wrong, strict=True) if w]
    first = max(wrong, key=lambda r: max((e.r.serial for e in bp.into.get(r, ())), default=0))
    used = max((e.r for e in bp.into.get(first, ())), key=lambda r: r.serial, default=first)
    agree = f"{listed([said(r) for r in right])} agree{'s' if len(right) == 1 else ''}, " if right else ""
    return (f"no mistake of the catalogue, alone or in pairs, reproduces what you gave ({search.tried} tried). "
            f"{agree}the first wrong gradient, going back from the loss, is d{said(first)}, at {text_of(used)} "
            f"({used.where}). Give intermediates by name (dz3, da2, ...) or the function itself to narrow it down."
            + ("\n" + left_out(search) if search.left_out else ""))


def left_out(search: Search) -> str:
    """What there was no time to search."""
    return f"not searched, for lack of time: {', '.join(search.left_out)}" if search.left_out else ""
