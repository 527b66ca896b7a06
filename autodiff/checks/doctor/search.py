"""The search: which mistake, made on this tape, gives exactly the gradients that were given.

The right backward pass is changed, one contribution at a time, until it equals the wrong one. Walking back is linear,
so a change D of the gradient that arrives at x changes the wanted ones by Jᵀ D, and for random r

    ⟨yours - g, r⟩ = ⟨Jᵀ D, r⟩ = ⟨D, J r⟩

must hold, where J r, for all x at once, is one walk forward. Thus a mistake costs one inner product to screen; what is
left is verified by walking back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from autodiff.checks.budget import Budget
from autodiff.checks.doctor.backprop import Edge, every
from autodiff.checks.doctor.factors import dropped, natural_place
from autodiff.checks.doctor.groups import together
from autodiff.checks.doctor.relations import relations
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
    nothing,
    proportion,
    said,
    scaled,
    with_operand,
)
from autodiff.checks.mistakes import PRODUCTS, Mistake, mistakes_at, right
from autodiff.ops import arithmetic, indexing, shapes
from autodiff.record import Record
from autodiff.sites import locate

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
        for edges in (exact, rest):
            found += [s for s in self.suspects(edges, state, target, problem, edges is exact)
                      if self.passes(s, target, slack) and self.verified(s, problem, state.g)]
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
            yield from self.nodes(edges, state, target)
            yield from self.composite(edges, state)
            yield from relations(problem, state.g)
            for edge in edges if thorough else ():
                yield from self.mistaken(edge, state, substitutes(edge, state, self.shaped, self.bp))
                yield from self.mistaken(edge, state, derived(edge, self.shaped))
                yield from self.stale(edge, state, target)
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

    def nodes(self, edges: list[Edge], state: State, target: Any) -> Iterator[Suspect]:
        """All contributions to a record times one constant: held constant, a factor; or only some of its uses."""
        for x in {e.x: None for e in edges}:
            into = [e for e in self.bp.into[x] if e in state.fitted]
            if len(into) < 2:
                continue
            parts = [state.fitted[e] for e in into]
            signatures = [self.signature({x: part}) for part in parts]
            yield from self.groups_at(x, into, parts, signatures, target)
            yield from subsets(x, into, parts, signatures, target)
            yield from overwritten(x, into, state)

    def groups_at(self, x: Record, into: list[Edge], parts: list[Any], signatures: list[Any],
                  target: Any) -> Iterator[Suspect]:
        """All edges into a record, and those from one other (both factors of c * c), as one."""
        groups = [list(range(len(into)))]
        groups += [[into.index(e) for e in group] for group in every(into, lambda e: e.r).values()
                   if len(group) > 1]
        groups = [group for i, group in enumerate(groups) if group not in groups[:i]]
        for group in groups:
            c = proportion(target, sum(signatures[i] for i in group))
            if c is not None:
                kind, cost, told = self.factor(1 + c, into[group[0]])
                whole = len(group) == len(into) and x.op is not None and self.lines[x.code, x.lasti] == 1
                if whole and kind in ("dropped-path", "missing-term"):
                    kind = "treated-as-constant"
                yield Suspect(kind, cost, into[group[0]], scaled([into[i] for i in group], 1 + c),
                              {x: c * sum(parts[i] for i in group)}, told=told, tag=f"× {1 + c:.6g}")

    def stale(self, edge: Edge, state: State, target: Any) -> Iterator[Suspect]:
        """A weight that had been updated already when the gradient went back through it."""
        op = edge.r.op
        if op not in PRODUCTS:
            return
        for k, w in enumerate(edge.r.inputs):
            leaf, seen = base_of(w)
            if k == edge.i or not isinstance(leaf, Record) or leaf not in state.g or leaf not in self.bp.wanted:
                continue
            rule = with_operand(right(op, edge.i), k, seen(state.g[leaf]))
            step = changed(edge, rule, state.g[edge.r], 0.0)
            c = None if step is None else proportion(target, self.signature({edge.x: step}))
            if c is not None and -10 < c < 0:
                yield Suspect("stale-value", 1.5, edge, {}, {edge.x: c * step}, told=f"{-c:.6g}", param=leaf,
                              tag="stale")

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
                        self.tried += 1
                        if self.verified(suspect, problem):
                            found.append(suspect)
                        if self.late:
                            self.leave_out("the same mistake at several places")
                            return found
        return found


# ---- small things

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
            alone = len(kept) == 1 and (x.op is None or len({(e.r.code, e.r.lasti) for e in into}) == 1)
            yield Suspect("overwritten-accumulation" if alone else "dropped-path", 1.0 if alone else 1.2, into[kept[0]],
                          {into[i]: nothing for i in out}, {x: -sum(parts[i] for i in out)},
                          told=f"only {len(kept)} of {n}", tag=f"kept {kept}")


def overwritten(x: Record, into: list[Edge], state: State) -> Iterator[Suspect]:
    """Gradients of overlapping parts assigned one after the other, not added up."""
    if not all(e.r.op is indexing.item for e in into):
        return
    for ordered, tag in ((into, "backwards"), (into[::-1], "forwards")):
        total = np.zeros_like(x.value)
        for e in ordered:
            total = indexing.index_update(total, e.r.options["index"], state.g[e.r])
        yield Suspect("overwritten-accumulation", 1.0, into[0], {}, {x: total - sum(state.fitted[e] for e in into)},
                      told="overlapping parts", tag=f"assigned {tag}")


def stem(r: Record) -> str:
    """What a record's name and line are but for numbers: the same for the steps of an unrolled loop."""
    return re.sub(r"\d+", "", f"{r.name or ''} {locate(r.code, r.lasti).text}")


def fits(t: Record, g: Any) -> bool:
    """Whether a tensor can multiply a gradient without changing its shape."""
    try:
        return bool(np.broadcast_shapes(np.shape(t.value), np.shape(g)) == np.shape(g))
    except ValueError:
        return False


def base_of(x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The leaf behind a transposed operand, and what was done to it."""
    if isinstance(x, Record) and x.op is shapes.transpose:
        op, options = x.op, x.options
        return x.inputs[0], lambda a: op.forward(a, **options)
    return x, lambda a: a
