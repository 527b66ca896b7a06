"""Which line of theirs is wrong: the one whose repair makes the gradients right.

Their function is run again with the values of one line replaced, by what the tape knows, by a multiple, by the
transpose, by a sum; and with `+=` for `=`. What comes out is affine in a cotangent, so the factor of a repair is solved
for, not searched. Lines that are right by their own name and numbers come last.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from autodiff.checks.budget import Budget
from autodiff.checks.reading.blame import Blame, renames
from autodiff.checks.reading.elsewhere import Elsewhere
from autodiff.checks.reading.hooks import OPAQUE, Spot
from autodiff.checks.reading.known import Knowledge
from autodiff.checks.reading.likely import Likely
from autodiff.checks.reading.moments import moved, overwriting
from autodiff.checks.reading.quantities import (
    COTANGENT,
    INNER,
    STEP,
    VALUE,
    Known,
    direction,
    shaped_like,
)
from autodiff.checks.reading.reach import Reach
from autodiff.checks.reading.replacing import SHAPINGS, Outputs, added, changing, factor, like
from autodiff.checks.reading.status import is_new, right, same, statuses
from autodiff.checks.reading.their_code import Change, Program, Run, Seen

TRIED = 40                 # quantities of one shape that are tried in place of a line's values

EACH = 6                   # wrong gradients of which each by itself is looked at for a factor


@dataclass(frozen=True)
class Fix:
    """A repair that makes gradients right.

    Attributes
    ----------
    spot : Spot
        Whose values were replaced.
    how : str
        "known", "scale", "transpose", "sum", "sum of the last axis" or "accumulate".
    fixed : frozenset
        The keys of the gradients that it made right.
    known : Known or None
        What was put in their place.
    factor : float
        Times this.
    tick, at : int
        When the values were wrong first, and which of them that is.
    values : list or None
        What belongs there, for each time the spot ran.
    change : callable or None
        What puts the values right in a run.
    holds : bool
        False if it is known to be wrong at other values of the parameters.
    """

    spot: Spot
    how: str
    fixed: frozenset[Any]
    known: Known | None = None
    factor: float = 1.0
    tick: int = 0
    at: int = 0
    values: Sequence[Any] | None = None
    change: Change | None = None
    holds: bool = True


class Repairs:
    """Tries repairs on somebody's function.

    Parameters
    ----------
    program : Program
        The function.
    arguments : dict
        What it is called with.
    read : callable
        From what it returns to the gradients by key.
    targets : dict
        What these must be.
    knowledge : Knowledge
        What the tape knows.
    budget : Budget
        How long to try.
    elsewhere : Elsewhere, optional
        The same at other values of the parameters.
    base : dict
        Lines that are put right already.
    """

    def __init__(self, program: Program, arguments: Mapping[str, Any], read: Callable[[Any], Outputs], targets: Outputs,
                 knowledge: Knowledge, budget: Budget, elsewhere: Elsewhere | None = None,
                 base: Mapping[Spot, Change] | None = None) -> None:
        self.program, self.arguments, self.read, self.targets = program, arguments, read, targets
        self.knowledge, self.budget = knowledge, budget
        self.elsewhere, self.base = elsewhere, dict(base or {})
        self.reliable: bool | None = None
        self.losses: frozenset[Any] = frozenset()          # of the targets, those that are the loss itself
        left = budget.left
        self.first: Run = program.run(arguments, self.base, look=True, seconds=left)
        self.cost = left - budget.left
        self.patience = min(20 * self.cost, 3 * self.cost + 0.5) + 0.05
        self.tried = TRIED
        self.outputs = read(self.first.returned)
        self.wrong = frozenset(k for k, target in targets.items() if not right(self.outputs.get(k), target))
        self.statuses = statuses(self.first.seen, knowledge)
        self.order = sorted(self.first.seen, key=lambda spot: self.first.seen[spot].ticks[0])
        self.reach = Reach(self)
        self.likely = Likely(self)

    @cached_property
    def blame(self) -> Blame:
        """Which lines may be to blame."""
        return Blame(self)

    # ---- running

    def run(self, changes: Mapping[Spot, Change], look: bool = False) -> Run:
        """Their function with changes."""
        return self.program.run(self.arguments, {**self.base, **changes} if self.base else changes, look, self.patience)

    def holds(self, changes: Mapping[Spot, Change], fixed: frozenset[Any]) -> bool:
        """Whether changes make these gradients right at other values too, as far as that can be told."""
        if self.elsewhere is None:
            return True
        if self.reliable is None:
            self.reliable = self.elsewhere.prepare(frozenset(self.targets) - self.wrong, self.patience)
        return not self.reliable or fixed <= self.elsewhere.right({**self.base, **changes}, self.patience)

    def outputs_of(self, changes: Mapping[Spot, Change]) -> Outputs | None:
        """The gradients with changes; None if it does not run, or gives no numbers."""
        run = self.run(changes)
        if run.error is not None:
            return None
        return self.read(run.returned)

    def fixed(self, outputs: Outputs | None) -> frozenset[Any]:
        """The wrong gradients that are right now; none if another one is wrong now."""
        if outputs is None:
            return frozenset()
        mended = frozenset(k for k in self.wrong if right(outputs.get(k), self.targets[k]))
        if not mended or not all(right(outputs.get(k), self.targets[k]) for k in self.targets.keys() - self.wrong):
            return frozenset()
        return mended

    # ---- the search

    def search(self) -> Fix | None:
        """The best repair: of the line that is wrong first and makes everything right, else the most."""
        for spot in overwriting(self):
            adding = added(spot)
            if adding and (fixed := self.fixed(self.outputs_of({spot: adding}))) == self.wrong:
                return self.fix(spot, "accumulate", fixed, adding)
        passes = self.passes()
        alias, strange, unsure, neutral, named, *_ = passes
        self.tried = int(np.clip(self.budget.left / (self.cost * len(strange or self.order) or 1), 4, TRIED))
        partial: list[Fix] = []
        whole: list[Fix] = []
        usual: list[Fix] = []
        for spots in passes:
            for spot in spots:
                likely = [f for f in whole if not self.likely.unlikely(f)]
                if likely and self.first.seen[spot].ticks[0] > min(f.tick for f in likely) \
                        and not (self.likely.only_scales(spot) and any(f.spot.name == spot.name for f in likely)):
                    continue
                factor_only = (spots is strange or spots is unsure) and self.likely.scaled_only(spot)
                for fix in self.multiples(spot) if factor_only else self.fixes(spot):
                    if spots is alias and fix.known not in self.statuses[spot].claimed \
                            and not self.likely.added_to(spot) and not self.likely.for_nothing(spot):
                        continue
                    if self.likely.as_usual(fix):
                        usual.append(fix)
                        continue
                    (whole if fix.fixed == self.wrong else partial).append(fix)
                    if fix.fixed == self.wrong and (spots is neutral or spots is named) \
                            and not (len(whole) > 1 and self.likely.unlikely(fix)):
                        return fix
                    if fix.fixed == self.wrong and not self.likely.unlikely(fix):
                        break                              # nothing else in its place does better
                if self.budget.late:
                    break
            if whole and ((spots is not strange and spots is not alias) or not all(map(self.likely.unlikely, whole))):
                return self.likely.earliest(whole)
        if whole:
            return self.likely.earliest(whole)
        partial += usual
        return min(partial, key=lambda f: (-len(f.fixed), self.statuses[f.spot].sure, self.likely.unlikely(f),
                                          not self.blame.levels[f.spot], f.tick), default=None)

    def before(self, fix: Fix) -> Fix | None:
        """The repair of a line before, which is right by itself and may lack a step."""
        _, _, unsure, neutral, named, _, _ = self.passes()
        for spot in (*neutral, *named, *unsure):
            seen, match, here = self.first.seen[spot], self.statuses[spot].match, spot.node is fix.spot.node
            forward = match is not None and match.known.kind == VALUE              # it is right as it is
            if seen.ticks[0] >= fix.tick or (here and spot.kind != "increment") or not any(map(np.any, seen.values)):
                continue
            for other in self.fixes(spot):
                known = other.how == "known" and not (here or forward or spot in unsure)
                if other.fixed == self.wrong and (other.how == "accumulate" or (
                        known and not self.likely.unlikely(other))):
                    return other
            if self.budget.late:
                break
        return None

    def moved(self, budget: Budget) -> Fix | None:
        """The repair of a line whose values are those of another moment."""
        for spot, change, values in moved(self):
            if self.fixed(self.outputs_of({spot: change})) == self.wrong and self.wrong:
                return self.fix(spot, "moment", self.wrong, change, None, 1.0, values)
            if budget.late:
                break
        return None

    def inside(self, fix: Fix) -> Fix | None:
        """The repair of the line of a function of theirs that returns the value that a line only takes from it."""
        value = self.first.seen[fix.spot].values[fix.at]
        found: Spot | None = None
        for spot in self.order:
            seen = self.first.seen[spot]
            at = [n for n, tick in enumerate(seen.ticks) if tick < fix.tick and n < len(seen.values)]
            if spot.kind in ("return", "element") and at and same(seen.values[at[-1]], value):
                found = spot
        values = fix.values
        if found is None or isinstance(found.expression, ast.Name) or values is None \
                or self.first.seen[found].times != len(values):
            return None
        change = changing(found, len(values), lambda n, v: like(values[n], v))
        fixed = self.fixed(self.outputs_of({found: change}))
        return self.fix(found, fix.how, fixed, change, fix.known, fix.factor, values) if fixed >= fix.fixed else None

    def passes(self) -> tuple[list[Spot], ...]:
        """The spots in the order in which they are suspected.

        First what gives a value another name, which it does not deserve: a step was meant there. Then what is strange
        from the first time it runs, and of that what is made of what is right; if it is right but for a factor, only
        the factor is in doubt. Then what becomes wrong later. Then what is right by itself and may lack a step: the
        last one before its use. Then the functions that theirs calls, which serve other lines too, and at last what
        does not reach all that is wrong.
        """
        main = [spot for spot in self.order if spot.main and spot.kind not in (*OPAQUE, "factor") and not is_new(spot)
                and spot not in self.base and not self.reach.useless(spot)]
        partly = [spot for spot in main if not self.wrong <= (self.reach.of(spot) or self.wrong)]
        main = [spot for spot in main if spot not in set(partly)]
        partly.sort(key=lambda spot: (self.statuses[spot].sure, self.reach.harmful(spot), self.blame.levels[spot]))
        unsure = [spot for spot in main if not self.statuses[spot].sure]
        unsure.sort(key=lambda spot: (self.reach.harmful(spot), self.blame.levels.get(spot, 0)))
        strange = [spot for spot in unsure if self.blame.levels.get(spot)]
        unsure = [spot for spot in unsure if not self.blame.levels.get(spot)]
        sure = [spot for spot in reversed(main) if self.statuses[spot].sure or self.likely.scaled_only(spot)]
        strangers = {spot.name for spot in self.blame.unknown if spot.kind == "value" and self.statuses[spot].claimed}
        alias = [spot for spot in main if spot.kind == "value" and renames(spot.expression)
                 and not self.statuses[spot].named and not spot.reads & strangers
                 and (self.statuses[spot].claimed or self.likely.for_nothing(spot))]
        return (alias, strange, unsure, [spot for spot in sure if not self.statuses[spot].named],
                [spot for spot in sure if self.statuses[spot].named],
                [spot for spot in self.order if not spot.main and not self.statuses[spot].sure], partly)

    def multiples(self, spot: Spot) -> Iterator[Fix]:
        """The repairs of one spot by a factor."""
        seen = self.first.seen[spot]
        if not seen.values or np.asarray(seen.values[0]).dtype.kind != "f":
            return
        nothing = self.outputs_of({spot: changing(spot, seen.times, lambda n, v: 0 * v)})
        yield from self.scaled(spot, seen, nothing, None, None, self.outputs)

    def fixes(self, spot: Spot) -> Iterator[Fix]:
        """The repairs of one spot that make some gradient right."""
        seen = self.first.seen[spot]
        summed = spot.kind == "increment" or (spot.kind == "value" and np.asarray(seen.first).dtype.kind == "f")
        if summed and seen.values and (adding := added(spot)) \
                and (fixed := self.fixed(self.outputs_of({spot: adding}))):
            yield self.fix(spot, "accumulate", fixed, adding)
        if not seen.values or np.asarray(seen.values[0]).dtype.kind not in "fb":
            return
        times = seen.times
        nothing = self.outputs_of({spot: changing(spot, times, lambda n, v: 0 * v)})
        status = self.statuses[spot]
        if status.match is None or status.match.known.kind != INNER:        # its sign is the next line's business
            yield from self.scaled(spot, seen, nothing, None, None, self.outputs)
        if self.likely.only_scales(spot):
            return
        for known, values, scalable in self.candidates(spot, seen):
            if self.budget.late:
                return

            def put(n: int, v: Any, values: Sequence[Any] = values) -> Any:
                return like(values[n], v) if n < len(values) else v
            change = changing(spot, times, put)
            outputs = self.outputs_of({spot: change})
            if fixed := self.fixed(outputs):
                yield self.fix(spot, "known", fixed, change, known, 1.0, values)
            elif outputs is not None and scalable:
                yield from self.scaled(spot, seen, nothing, known, values, outputs)
        if spot.kind in ("whole", "increment"):
            return
        for how, shaping in SHAPINGS.items():
            def shaped(n: int, v: Any, shaping: Callable[[Any], Any] = shaping) -> Any:
                return shaping(v)
            if fixed := self.fixed(self.outputs_of({spot: shaped})):
                yield self.fix(spot, how, fixed, shaped, None, 1.0, [shaping(v) for v in seen.values])

    def matters(self, spot: Spot) -> bool:
        """Whether a wrong gradient changes with the values of a spot."""
        if not any(map(np.any, self.first.seen[spot].values)):
            return False
        outputs = self.outputs_of({spot: changing(spot, self.first.seen[spot].times, lambda n, v: 0 * v)})
        return outputs is not None and not all(same(outputs.get(k), self.outputs.get(k)) for k in self.wrong)

    def fix(self, spot: Spot, how: str, fixed: frozenset[Any], change: Change, known: Known | None = None,
            f: float = 1.0, values: Sequence[Any] | None = None) -> Fix:
        """A repair, with the moment from which the values differ from the right ones."""
        seen = self.first.seen[spot]
        at = 0
        if values is not None and len(seen.values) == seen.times:
            at = next((i for i, (old, new) in enumerate(zip(seen.values, values, strict=False))
                       if not right(old, new)), 0)
        elif spot.kind == "whole":
            at = seen.times - 1
        return Fix(spot, how, fixed, known, f, seen.ticks[at], at, values, change,
                   known is not None or self.holds({spot: change}, fixed))

    def scaled(self, spot: Spot, seen: Seen, nothing: Outputs | None, known: Known | None,
               values: Sequence[Any] | None, once: Outputs) -> Iterator[Fix]:
        """A multiple of the values, or of others in their place, that makes some gradient right."""
        if nothing is None or np.asarray(seen.values[0]).dtype.kind == "b":         # a mask has no multiples
            return
        tried: list[float] = []
        each = sorted(self.wrong, key=str)[:EACH if values is None else 1] if len(self.wrong) > 1 else []
        for keys in (self.wrong, *({k} for k in each)):
            f = factor(nothing, once, self.targets, keys)
            if f is None or any(abs(f - g) < 1e-6 for g in tried):
                continue
            tried.append(f)

            def multiple(n: int, v: Any, f: float = f) -> Any:
                return f * v if values is None else f * like(values[n], v) if n < len(values) else v

            change = changing(spot, seen.times, multiple)
            if fixed := self.fixed(self.outputs_of({spot: change})):
                new = seen.values if values is None else values
                yield self.fix(spot, "scale" if known is None else "known", fixed, change, known, f,
                               [f * v for v in new])

    def candidates(self, spot: Spot, seen: Seen) -> Iterator[tuple[Known, list[Any], bool]]:
        """What may belong in place of a spot's values: what its name says, then whatever has their shapes.

        And whether a multiple may; a value of which a multiple was tried before may only stand there as it is.
        """
        tried = {self.same_direction(seen.values)}            # which is the business of a factor
        claimed = self.statuses[spot].claimed
        steps = [known for known in self.knowledge.known if known.parts] if seen.times > 1 else []
        steps.sort(key=lambda known: (COTANGENT, STEP).index(known.kind) if known.kind in (COTANGENT, STEP) else 2)
        n, size = len(seen.values), np.size(seen.values[0])
        sizes = {n * size, (n - 1) * size}
        ragged = any(np.shape(v) != np.shape(seen.values[0]) for v in seen.values)
        for known in (*claimed, *steps, *self.named_first):
            if not (ragged or known.parts or known.value.size in sizes or known.kind == INNER or known in claimed):
                continue
            for values in self.shaped(spot, seen, known, known in claimed):
                key = self.same_direction(values)
                if key not in tried and len(tried) <= self.tried:
                    tried.add(key)
                    yield known, values, True
                elif known.kind == VALUE and len(tried) <= self.tried:
                    exact = (*key, round(float(np.linalg.norm(values[0])), 9))
                    if exact not in tried:
                        tried.add(exact)
                        yield known, values, False

    @cached_property
    def named_first(self) -> list[Known]:
        """What the tape knows, first what somebody gave a name."""
        return sorted(self.knowledge.known, key=lambda known: not known.names)

    @staticmethod
    def same_direction(values: Sequence[Any]) -> Any:
        """What multiples of these values share."""
        flat = np.concatenate([np.ravel(v) for v in values]).astype(float)
        found = direction(flat)
        key = np.round(found[:2], 6).tolist() if found else flat.tolist() if flat.size < 2 else [bool(np.any(flat))]
        return (np.shape(values[0]), *key)

    @staticmethod
    def shaped(spot: Spot, seen: Seen, known: Known, claimed: bool) -> Iterator[list[Any]]:
        """A quantity in place of a spot's values."""
        if (spot.fresh or spot.kind not in ("increment", "whole")) and len(seen.values) != seen.times:
            return
        for values in shaped_like(known, seen.values):
            yield [values[0], *[np.zeros_like(values[0])] * (seen.times - 1)] if spot.kind == "increment" else values
        if seen.times == 1 and known.value.shape != np.shape(seen.values[0]) \
                and (claimed or (known.kind == INNER and known.value.size > 1)):
            yield [known.value]
