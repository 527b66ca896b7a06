"""Why a gradient derived by hand is wrong: which step was missed.

The cheapest evidence first: the shapes of what was given, one mistake at one place, the same one at several places,
each parameter by itself, two mistakes at once.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from autodiff.checks.budget import Budget
from autodiff.checks.doctor.backprop import Backprop
from autodiff.checks.doctor.consequences import consequences
from autodiff.checks.doctor.explanation import POSSIBLE, Explanation, Telling, listed, text_of
from autodiff.checks.doctor.factors import Factors, beside
from autodiff.checks.doctor.fair import fairly
from autodiff.checks.doctor.formulas import Formulas
from autodiff.checks.doctor.forwards import forward_mistakes
from autodiff.checks.doctor.mutants import mutants
from autodiff.checks.doctor.relations import in_shape
from autodiff.checks.doctor.replaced import replaced
from autodiff.checks.doctor.search import Search
from autodiff.checks.doctor.several import each_by_itself, joined, matches_one, merged, pairs
from autodiff.checks.doctor.suspects import MATCH, SURE, Problem, Suspect, said
from autodiff.record import Record
from autodiff.tape import Tape

CLASS = 0.3            # explanations whose costs are no further apart are one class
NEAR = 0.15            # and no further, that it is open which of two kinds it is
CLASSES, MOST = 4, 16  # how many classes are told, and explanations in all
PLAIN = 1.6            # the cost up to which one mistake at one place is not questioned
BUDGET = 3.0           # seconds
GROUPS = 0.5           # of the time that is left, for the same mistake at several places


def suspects_of(tape: Tape, wanted: Sequence[Record], yours: Sequence[Any], tolerances: Sequence[Any],
                wrong: Sequence[bool], values: dict[Record, Any] | None = None,
                budget: float = BUDGET, held: Mapping[Record, Any] | None = None,
                several: bool = True) -> tuple[list[Suspect], Problem, Search]:
    """The mistakes that reproduce what was given, the plain ones first."""
    bp = Backprop(tape, wanted, values, held)
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
    search = Search(problem, Budget(budget))
    shapes = [s for s in reshaped if s is not None]
    if not any(still):
        return merged([shapes]) if len(shapes) > 1 else shapes, problem, search
    found = found_in(search, problem, several)
    if shapes:
        found = [joined([*shapes, f]) for f in found] or shapes
    return sorted([*found, *by_another_name(found)], key=lambda s: s.cost), problem, search


def by_another_name(found: Sequence[Suspect]) -> list[Suspect]:
    """What is left out of a difference from a quantity made of it, as x - mean(x): held constant, some say."""
    return [replace(s, kind="treated-as-constant", cost=s.cost + 0.05) for s in found
            if s.kind == "dropped-path" and s.edge is not None and beside(s.edge)]


def found_in(search: Search, problem: Problem, several: bool = True) -> list[Suspect]:
    """All explanations at the first level that has any, up to the same mistake everywhere or to `several` mistakes."""
    found = search.singles(problem)

    def plain() -> bool:
        return min((s.cost for s in found), default=np.inf) <= PLAIN

    if not plain():
        found += search.rounds(problem)
    if not plain() and several:
        found += forward_mistakes(problem, search)
    if not plain() and several:
        found += mutants(search, problem)
    if not plain():
        everything, search.budget = search.budget, search.budget.part(GROUPS * search.budget.left)
        found += search.groups(problem)
        search.budget = everything
        found += each_by_itself(search, problem, several)
    if not several:
        return found
    if not plain():
        found += replaced(search, problem)
    if not plain() and not all(problem.wrong):
        alone = problem.of_these_alone()
        narrow = Search(alone, search.budget, search)
        found += [replace(s, cost=s.cost + 0.3) for s in forward_mistakes(alone, narrow)]
        if min((s.cost for s in found), default=np.inf) > SURE:
            found += [replace(s, cost=s.cost + 0.7) for s in narrow.singles(alone)]
    return found if min((s.cost for s in found), default=np.inf) < SURE else found + pairs(search, problem)


def allowance(u: Any, g: Any, tol: Any) -> Any:
    """By how much an explanation may miss: the tolerance of the verdict, for gradients of this size."""
    size, yours = float(np.max(np.abs(g), initial=0)), float(np.max(np.abs(u), initial=0))
    return MATCH * tol * max(1.0, yours / size if size else 1.0)


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

def step_by_step(tape: Tape, given: Mapping[Record, Any], tolerances: Mapping[Record, Any], wrong: Collection[Record],
                 values: Mapping[Record, Any] | None, budget: float) -> Diagnosis:
    """Where intermediates were given: each gradient against what follows from those given above it.

    So the first wrong one is found without search, what only follows from it is not held against anyone, and each
    mistake is explained by itself.
    """
    held: dict[Record, Any] = {}
    found: list[Explanation] = []
    names: list[list[str]] = []
    notes: list[str] = []
    for stage in stages(tape, given, wrong):
        bp = Backprop(tape, stage, values, held)
        own: list[Record] = []
        follows: list[Record] = []
        for r, x in zip(stage, bp.wanted, strict=True):
            u, g = np.asarray(given[r], np.float64), bp.g.get(x, np.zeros_like(x.value))
            right = np.shape(u) == np.shape(g) and matches_one(u, g, allowance(u, g, tolerances[r]))
            (follows if right else own).append(r)
        if names:
            names[-1] += [tape.given.get(r) or said(r) for r in follows if r in wrong]
        if own:
            one = diagnosis_of(tape, {r: given[r] for r in stage}, tolerances, own, values, budget, held)
            found += one.explanations[:1]
            names += [[tape.given.get(r) or said(r) for r in own]] if one.explanations else []
            notes += [one.note] if one.note else []
        held.update((r, given[r]) for r in stage if r in wrong and r.op is not None
                    and np.shape(given[r]) == np.shape(r.value))
    told = [replace(e, params=tuple(params)) for e, params in zip(found, names, strict=True)]
    steps = {(e.kind, *((p.op, p.tensor) for p in e.places[:1])) for e in told}
    if len(steps) == 1 < len(told):                                                 # the same step, seen at each
        told = [replace(told[0], params=tuple(name for e in told for name in e.params))]
    at = [(p.op, p.tensor) for e in told for p in e.places[:1]]
    if len(told) > 1:
        told = [replace(told[0], kind="two", sentence="; and ".join(e.sentence for e in told),
                        places=tuple(place for e in told for place in e.places), members=(),
                        correct="\n".join(filter(None, (e.correct for e in told))),
                        yours="\n".join(filter(None, (e.yours for e in told))),
                        params=tuple(name for e in told for name in e.params),
                        evidence="each from what you gave above it",
                        confidence=told[0].confidence if len(at) == len(set(at)) else POSSIBLE), *told]
    return Diagnosis(tuple(told[:1]), "\n".join(notes), tuple(told[1:]) or tuple(told))


def stages(tape: Tape, given: Mapping[Record, Any], wrong: Collection[Record]) -> list[list[Record]]:
    """The given ones, going back from the loss, parted after each wrong intermediate: from there it is gone on with."""
    found: list[list[Record]] = [[]]
    for r in sorted(given, key=closeness(tape), reverse=True):
        found[-1].append(r)
        if r in wrong and r.op is not None:
            found.append([])
    return [stage for stage in found if stage]


def closeness(tape: Tape) -> Callable[[Record], int]:
    """How near to the loss the gradient of a record is made."""
    latest: dict[Record, int] = {}
    for r in tape:
        for x in r.inputs:
            if isinstance(x, Record):
                latest[x] = r.serial
    return lambda r: latest.get(r, 0)


@dataclass(frozen=True)
class Diagnosis:
    """Why gradients differ.

    Attributes
    ----------
    explanations : tuple of Explanation
        Classes of what cannot be told apart, the plainest first; () if nothing fits.
    note : str
        What was searched and what not, and where the first wrong gradient is if nothing fits.
    each : tuple of Explanation
        The mistakes one by one, where intermediates were given.
    made : callable or None
        What the plainest makes on the way in place of right arrays; None for what was done to values, or beforehand.
    """

    explanations: tuple[Explanation, ...] = ()
    note: str = ""
    each: tuple[Explanation, ...] = ()
    made: Callable[[], list[Any] | None] | None = field(default=None, repr=False, compare=False)


def diagnose(tape: Tape, given: Mapping[Record, Any], tolerances: Mapping[Record, Any], wrong: Collection[Record],
             values: Mapping[Record, Any] | None = None, budget: float = BUDGET, several: bool = True) -> Diagnosis:
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
    several : bool
        Whether to look for several mistakes at once too.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if any(r.op is not None for r in wrong):
            return step_by_step(tape, given, tolerances, wrong, values, budget)
        return diagnosis_of(tape, given, tolerances, wrong, values, budget, several=several)


def diagnosis_of(tape: Tape, given: Mapping[Record, Any], tolerances: Mapping[Record, Any], wrong: Collection[Record],
                 values: Mapping[Record, Any] | None, budget: float,
                 held: Mapping[Record, Any] | None = None, several: bool = True) -> Diagnosis:
    """The search as a whole."""
    records = list(given)
    found, problem, search = suspects_of(tape, records, [given[r] for r in records], [tolerances[r] for r in records],
                                         [r in wrong for r in records], dict(values or {}), budget, held, several)
    if not found:
        return Diagnosis((), nothing_fits(problem, search))
    telling = Telling(replace_wrong(problem, records, wrong), Formulas(problem.bp, tape.given))
    groups = classes(found)[:CLASSES]
    told = [doubted(fairly(telling.explanation(group[0], group[1:]))) for group in groups]
    return Diagnosis(tuple(told), left_out(search), made=lambda: consequences(groups[0][0], problem.bp))


def doubted(found: Explanation) -> Explanation:
    """Possible, no more, where the numbers fit another kind of mistake that is hardly more far-fetched."""
    sure = all(e.kind == found.kind or e.cost > found.cost + NEAR for e in found.members)
    return found if sure else replace(found, confidence=POSSIBLE)


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
