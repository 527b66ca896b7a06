"""The search: which mistake, made on this tape, gives exactly the gradients that were given.

The right backward pass is changed, one contribution at a time, until it equals the wrong one. Walking back is linear,
so a change D of the gradient that arrives at x changes the wanted ones by Jᵀ D, and for random r

    ⟨yours - g, r⟩ = ⟨Jᵀ D, r⟩ = ⟨D, J r⟩

must hold, where J r, for all x at once, is one walk forward. Thus a mistake costs one inner product to screen; what is
left is verified by walking back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from autodiff.checks.budget import Budget
from autodiff.checks.doctor.backprop import Edge, every
from autodiff.checks.doctor.factors import dropped, natural_place
from autodiff.checks.doctor.groups import together
from autodiff.checks.doctor.loops import Loops, stem
from autodiff.checks.doctor.mistaken import mistakes_at
from autodiff.checks.doctor.nodes import joined_parts, nodes, stale
from autodiff.checks.doctor.relations import relations
from autodiff.checks.doctor.rounds import rounds
from autodiff.checks.doctor.steps import Step, factors_between, misread, mistakes_of, on_top, steps, through
from autodiff.checks.doctor.substitution import derived, same_shapes, substitutes
from autodiff.checks.doctor.suspects import (
    DOES_NOT_FIT,
    FAR_FETCHED,
    Change,
    Problem,
    State,
    Suspect,
    changed,
    proportion,
    said,
    scaled,
)
from autodiff.checks.mistakes import PARTS, Mistake
from autodiff.ops import arithmetic
from autodiff.record import Record

DIRECTIONS = 3


class Search:
    """Looks for mistakes, the plain ones first, within a time budget.

    Parameters
    ----------
    problem : Problem
        What is to be explained.
    budget : Budget
        How long to look.
    wider : Search, optional
        One on the same tape, whose steps these are too.
    """

    def __init__(self, problem: Problem, budget: Budget, wider: Search | None = None) -> None:
        self.problem, self.bp, self.budget = problem, problem.bp, budget
        self.rng = np.random.default_rng(0)
        self.tried = 0
        self.left_out: list[str] = []
        self.seeds = [self.directions() for _ in range(DIRECTIONS)]
        moved = [self.bp.tangents(seed) for seed in self.seeds]
        self.moved = {x: np.stack([np.ravel(m[x]) if x in m else np.zeros(np.size(x.value)) for m in moved])
                      for x in set().union(*moved) if not isinstance(x.value, tuple)}
        self.shaped = same_shapes(self.bp)
        self.steps: list[Step] = steps(self.bp) if wider is None else wider.steps
        self.by_way: dict[int, Any] = {} if wider is None else wider.by_way       # what arrives by way of each step
        self.wider = wider
        self.ways: dict[int, tuple[int, list[Edge]]] = {}                     # to the wrong gradient that is nearest
        self.lines = Counter((r.code, r.lasti) for r in self.bp.tape)         # more than one: a loop's

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return self.budget.late

    def leave_out(self, what: str) -> None:
        """Note what there was no time for."""
        if what not in self.left_out:
            self.left_out.append(what)

    def directions(self) -> dict[Record, Any]:
        """A random direction for each wanted gradient that counts, so that all weigh the same."""
        found = {}
        for r, u, heard in zip(self.bp.wanted, self.problem.yours, self.problem.heard, strict=True):
            size = max(float(np.max(np.abs(u), initial=0)), float(np.max(np.abs(self.bp.g.get(r, 0.0)), initial=0)))
            if heard:
                found[r] = self.rng.normal(size=np.shape(r.value)) / (size or 1.0)
        return found

    # ---- screening

    def target(self, g: dict[Record, Any], problem: Problem) -> tuple[Any, Any]:
        """⟨yours - g, r⟩ in each direction, and how far rounding may move that."""
        t, slack = np.zeros(len(self.seeds)), np.zeros(len(self.seeds))
        for r, u, tol in zip(self.bp.wanted, problem.yours, problem.allowed, strict=True):
            error = u - g.get(r, 0.0)
            for k, seed in enumerate(self.seeds):
                if r in seed:
                    t[k] += np.vdot(error, seed[r])
                    slack[k] += np.sum(np.abs(tol * seed[r]))
        return t, slack

    def signature(self, change: Change) -> Any:
        """⟨D, J r⟩ in each direction."""
        s: Any = np.zeros(len(self.seeds))
        for x, d in change.items():
            if x in self.moved:
                s = s + self.moved[x] @ np.ravel(d)
        return s

    def passes(self, suspect: Suspect, target: Any, slack: Any) -> bool:
        """Whether a suspect has the right signature."""
        self.tried += 1
        s = self.signature(suspect.change or {}).tolist()
        return all(abs(a - b) <= tol + 1e-9 * (abs(a) + abs(b))
                   for a, b, tol in zip(s, target.tolist(), slack.tolist(), strict=True))

    def verified(self, suspect: Suspect, problem: Problem, g: dict[Record, Any] | None = None) -> bool:
        """Whether it reproduces all that was given, by a real walk back."""
        return problem.matched_by(self.gradients(suspect, g))

    def gradients(self, suspect: Suspect, g: dict[Record, Any] | None = None) -> list[Any]:
        """The wanted gradients if this mistake is made; not a number where it cannot be made."""
        if suspect.change is None:
            try:
                new = self.bp.walk(suspect.rules, loose=suspect.loose)
            except DOES_NOT_FIT:
                return [np.nan] * len(self.bp.wanted)
            found = [new.get(r, np.zeros_like(r.value)) for r in self.bp.wanted]
            return [c if np.shape(c) == np.shape(r.value) else np.nan
                    for c, r in zip(found, self.bp.wanted, strict=True)]
        total = [(g or self.bp.g).get(r, 0.0) for r in self.bp.wanted]
        for x, d in suspect.change.items():
            total = [a + b for a, b in zip(total, self.bp.seen_through(x, d), strict=True)]
        return total

    # ---- single mistakes

    def singles(self, problem: Problem, state: State | None = None) -> list[Suspect]:
        """The mistakes at one place that reproduce what was given."""
        state = state or State(self.bp.g, self.bp.fitted)
        target, slack = self.target(state.g, problem)
        exact = [e for e in self.bp.edges if self.bp.reach.get(e.x, 0) == problem.mask]
        rest = [e for e in self.bp.edges if self.bp.reach.get(e.x, 0) != problem.mask]
        found: list[Suspect] = []
        often: dict[Any, list[Suspect]] = {}
        for edges in (exact, rest):
            for s in self.suspects(edges, state, target, problem, edges is exact):
                if self.passes(s, target, slack) and self.verified(s, problem, state.g):
                    found.append(s)
                for x in s.change or () if s.out is not None else ():
                    often.setdefault((s.kind, s.tag, self.loops.line.get(x)), []).append(s)
            if not found:
                everywhere = [added_up(same) for same in often.values() if len(same) == self.loops.times > 1]
                found = [s for s in everywhere if self.passes(s, target, slack) and self.verified(s, problem, state.g)]
            if found or self.late:
                break
        return found

    def suspects(self, edges: list[Edge], state: State, target: Any, problem: Problem,
                 thorough: bool = True) -> Iterator[Suspect]:
        """All that may have gone wrong at these edges, the likeliest first; wrong tensors only if `thorough`."""
        edges = [e for e in edges if e in state.fitted and not isinstance(state.fitted[e], tuple)]
        with np.errstate(all="ignore"):
            for edge in edges:
                yield from self.constants_at(edge, state, target)
                yield from self.mistaken(edge, state, mistakes_at(edge))
            yield from nodes(self, edges, state, target)
            yield from self.composite(edges, state)
            yield from joined_parts(edges, state)
            yield from relations(problem, state.g)
            for edge in edges if thorough else ():
                yield from self.mistaken(edge, state, substitutes(edge, state, self.shaped, self.bp))
                yield from self.mistaken(edge, state, derived(edge, self.shaped))
                yield from stale(self, edge, state, target)
                if self.late:
                    self.leave_out("wrong tensors at some operations")
                    return

    def mistaken(self, edge: Edge, state: State, mistakes: Iterable[Mistake]) -> Iterator[Suspect]:
        """Wrong rules at an edge."""
        for m in mistakes:
            change = changed(edge, m.rule, state.g[edge.r], state.fitted[edge])
            if change is not None:
                yield Suspect(m.kind, m.cost, edge, {edge: m.rule}, {edge.x: change}, told=m.operand, tag=m.tag,
                              rule=m.rule)

    def constants_at(self, edge: Edge, state: State, target: Any) -> Iterator[Suspect]:
        """The contribution of an edge times one free constant: left out, with the wrong sign, a factor too much."""
        now = state.fitted[edge]
        if sum(z is edge.x for z in edge.r.inputs) > 1:           # c * c is one use of c, not two
            return
        c = proportion(target, self.signature({edge.x: now}))
        if c is not None:
            yield self.times(edge, 1 + c, now)
        for n, rule in enumerate(PARTS.get(edge.r.op, ()) if edge.r.op else ()):
            part = changed(edge, rule, state.g[edge.r], 0.0)
            c = None if part is None else proportion(target, self.signature({edge.x: part}))
            if c is not None and (factor := self.problem.factors.named(abs(1 + c))):
                for more, kind in enumerate(("scale", "wrong-local-rule")):
                    yield Suspect(kind, factor.cost + 0.3 + 0.02 * more, edge, change={edge.x: c * part},
                                  told=factor.text, tag=f"part {n} × {1 + c:.6g}", rule=rule)

    def times(self, edge: Edge, k: float, now: Any) -> Suspect:
        """The contribution of an edge times a constant."""
        kind, cost, told = self.factor(k, edge)
        rules = scaled([edge], k)
        return Suspect(kind, cost, edge, rules, {edge.x: (k - 1) * now}, told=told, tag=f"× {k:.6g}", rule=rules[edge])

    def factor(self, k: float, edge: Edge) -> tuple[str, float, str]:
        """The kind of mistake that a factor is, what it costs there, and what it is called."""
        op = edge.r.op
        if abs(k) < 1e-7:
            return dropped(edge)
        if abs(k + 1) < 1e-7:
            natural = op is arithmetic.negative or (op is arithmetic.subtract and edge.i == 1)
            return "sign", 1.0 if natural else 1.1, ""
        factor = self.problem.factors.named(abs(k))
        if factor is None:
            return "scale", FAR_FETCHED, f"{k:.6g}"
        return "scale", factor.cost + natural_place(edge.r, edge.i, factor.base) + (0.3 if k < 0 else 0), \
            ("-" if k < 0 else "") + factor.text

    # ---- several operations as one step

    def composite(self, edges: list[Edge], state: State) -> Iterator[Suspect]:
        """Steps of several operations: left out, or with the mistakes of what they amount to; a derivative on top."""
        here = {e.x for e in edges}
        for n, step in enumerate(self.steps):
            if step.x not in here or step.y not in state.g:
                continue
            total = self.arriving(n, step, state)
            if total is None:
                continue
            mistakes = [(m, m.operand) for m in mistakes_of(step)]
            mistakes += [(m, said(other)) for m, other in misread(step, self.shaped)]
            for m, told in mistakes:
                try:
                    wrong = m.rule(state.g[step.y], step.y.value, step.x.value)
                except DOES_NOT_FIT:
                    continue
                if np.shape(wrong) == np.shape(total) and np.all(np.isfinite(wrong)):
                    yield Suspect(m.kind, m.cost, None, change={step.x: wrong - total}, tag=m.tag, out=step.y, x=step.x,
                                  rule=m.rule, told=told)
            for t in factors_between(step):
                if not fits(t, total):
                    continue
                for k, told in ((t.value, f"without dividing by {said(t)}"), (1 / t.value, f"divided by {said(t)}")):
                    yield Suspect("missing-local-derivative", 1.3, None, change={step.x: total * k - total},
                                  tag=told, out=step.y, x=step.x, told=told)
        for x, m, (y, options) in on_top(self.bp, edges):
            if x in state.g and not isinstance(state.g[x], tuple):
                wrong = m.rule(state.g[x], y, x.value, **options)
                yield Suspect(m.kind, m.cost, None, change={x: wrong - state.g[x]}, tag=m.tag, told=m.operand,
                              out=x, x=x)

    def arriving(self, n: int, step: Step, state: State) -> Any:
        """What arrives at the start of the n-th step by way of its end; with nothing changed it is walked once."""
        if state.g is not self.bp.g:
            return through(self.bp, step, state.g)
        if n not in self.by_way:
            self.by_way[n] = through(self.bp, step, state.g)
        return self.by_way[n]

    def reached(self, group: Iterable[Edge]) -> int:
        """The wanted gradients that a change at these edges would change."""
        reached = 0
        for e in group:
            reached |= self.bp.reach.get(e.x, 0)
        return reached

    # ---- the same everywhere

    @cached_property
    def loops(self) -> Loops:
        """The loop of the tape."""
        return Loops(self.bp) if self.wider is None else self.wider.loops

    def likely(self, suspect: Suspect, problem: Problem) -> bool:
        """Whether it reproduces one of the wrong gradients, the one that the fewest edges lead to."""
        if problem.mask not in self.ways:
            ways = [(k, [e for e in self.bp.edges if self.bp.reach.get(e.x, 0) >> k & 1])
                    for k, w in enumerate(problem.wrong) if w]
            self.ways[problem.mask] = min(ways, key=lambda way: len(way[1]))
        k, along = self.ways[problem.mask]
        self.tried += 1
        try:
            g = self.bp.walk(suspect.rules, loose=suspect.loose, along=along).get(self.bp.wanted[k], 0.0)
        except DOES_NOT_FIT:
            return False
        u = problem.yours[k]
        return np.shape(g) in ((), np.shape(u)) and bool(np.all(np.abs(u - g) <= problem.allowed[k]))

    @staticmethod
    def one_family(families: Iterator[Iterator[Suspect]], found: list[Suspect]) -> Iterator[Suspect]:
        """The suspects of one family after the other, until one has the mistake."""
        for family in families:
            yield from family
            if found:
                return

    def rounds(self, problem: Problem) -> list[Suspect]:
        """Mistakes made every time round a loop."""
        found: list[Suspect] = []
        starts = 0
        for s in self.loops.series:
            starts |= self.bp.reach.get(s.items[0], 0) if self.loops.starts_with(s) else 0
        with np.errstate(all="ignore"):
            for suspect in self.one_family(rounds(self), found):
                if self.late:
                    self.leave_out("some mistakes every time round a loop")
                    break
                reached = self.reached(suspect.rules)
                if problem.mask & ~reached or reached & ~problem.mask & ~starts:
                    continue
                if self.likely(suspect, problem) and self.verified(suspect, problem):
                    found.append(suspect)
        return found

    def groups(self, problem: Problem) -> list[Suspect]:
        """The same mistake at every use of an op, or every time round a loop."""
        found: list[Suspect] = []
        keys: list[tuple[str, Callable[[Edge], Any]]] = [
            ("every time round", lambda e: (e.r.code, e.r.lasti, e.i)),
            ("at every use", lambda e: (e.r.op, e.x) if e.x.op is None else None),
            ("at every step", lambda e: (e.r.op, e.i, stem(e.r))),
            ("at every use", lambda e: (e.r.op, e.i, e.x.op is None)),
            ("at every use", lambda e: (e.r.op, e.i)),
        ]
        seen: set[frozenset[Edge]] = set()
        with np.errstate(all="ignore"):
            for everywhere, key in keys:
                for group in every(self.bp.edges, key).values():
                    one = frozenset(group)
                    if one in seen or self.reached(group) != problem.mask:
                        continue
                    seen.add(one)
                    for suspect in together(group, everywhere, self):
                        if self.likely(suspect, problem) and self.verified(suspect, problem):
                            found.append(suspect)
                        if self.late:
                            self.leave_out("the same mistake at several places")
                            return found
        return found


# ---- small things


# ---- small things

def fits(t: Record, g: Any) -> bool:
    """Whether a tensor can multiply a gradient without changing its shape."""
    try:
        return bool(np.broadcast_shapes(np.shape(t.value), np.shape(g)) == np.shape(g))
    except ValueError:
        return False


def added_up(same: list[Suspect]) -> Suspect:
    """The same mistake at each time round a loop, where none of them changes what another meets."""
    change: Change = {}
    for s in same:
        for x, d in (s.change or {}).items():
            change[x] = change[x] + d if x in change else d
    return replace(same[-1], cost=same[-1].cost + 0.2, change=change, everywhere="every time round")
