"""Which line of theirs is wrong: the one whose repair makes the gradients right.

Their function is run again with the values of one line replaced, by what the tape knows, by a multiple, by the
transpose, by a sum; and with `+=` for `=`. What comes out is affine in a cotangent, so the factor of a repair is solved
for, not searched. Lines that are right by their own name and numbers come last.
"""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.checks.reading.elsewhere import Elsewhere
from autodiff.checks.reading.hooks import OPAQUE, Spot
from autodiff.checks.reading.known import Knowledge
from autodiff.checks.reading.quantities import (
    CLOSE,
    COTANGENT,
    INNER,
    LOCAL,
    STEP,
    VALUE,
    Known,
    direction,
    shaped_like,
)
from autodiff.checks.reading.reach import Reach
from autodiff.checks.reading.status import COARSE, is_new, right, same, statuses
from autodiff.checks.reading.their_code import Change, Program, Run, Seen

TRIED = 40                 # quantities of one shape that are tried in place of a line's values

EACH = 6                   # wrong gradients of which each by itself is looked at for a factor
Outputs = dict[Any, Any]


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
    deadline : float
        When to stop (`time.perf_counter`).
    elsewhere : Elsewhere, optional
        The same at other values of the parameters.
    base : dict
        Lines that are put right already.
    """

    def __init__(self, program: Program, arguments: Mapping[str, Any], read: Callable[[Any], Outputs], targets: Outputs,
                 knowledge: Knowledge, deadline: float, elsewhere: Elsewhere | None = None,
                 base: Mapping[Spot, Change] | None = None) -> None:
        self.program, self.arguments, self.read, self.targets = program, arguments, read, targets
        self.knowledge, self.deadline = knowledge, deadline
        self.elsewhere, self.base = elsewhere, dict(base or {})
        self.reliable: bool | None = None
        started = time.perf_counter()
        self.first: Run = program.run(arguments, self.base, look=True, seconds=deadline - started)
        self.cost = time.perf_counter() - started
        self.patience = 20 * self.cost + 0.05
        self.tried = TRIED
        self.outputs = read(self.first.returned)
        self.wrong = frozenset(k for k, target in targets.items() if not right(self.outputs.get(k), target))
        self.statuses = statuses(self.first.seen, knowledge)
        self.order = sorted(self.first.seen, key=lambda spot: self.first.seen[spot].ticks[0])
        self.reach = Reach(self)

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
        passes = self.passes()
        unsure, neutral, named, _ = passes
        self.tried = int(np.clip((self.deadline - time.perf_counter()) / (self.cost * len(unsure) or 1), 4, TRIED))
        partial: list[Fix] = []
        for spots in passes:
            whole: list[Fix] = []
            for spot in spots:
                likely = [f.tick for f in whole if not self.unlikely(f)]
                if likely and self.first.seen[spot].ticks[0] > min(likely):
                    continue
                for fix in self.multiples(spot) if spots is unsure and self.scaled_only(spot) else self.fixes(spot):
                    (whole if fix.fixed == self.wrong else partial).append(fix)
                    if fix.fixed == self.wrong and (spots is neutral or spots is named):
                        return fix
                    if fix.fixed == self.wrong and not self.unlikely(fix):
                        break                              # nothing else in its place does better
                if time.perf_counter() > self.deadline:
                    break
            if whole:
                return min(whole, key=lambda f: (self.unlikely(f), f.tick))
        return min(partial, key=lambda f: (-len(f.fixed), self.statuses[f.spot].sure, self.unlikely(f), f.tick),
                   default=None)

    def passes(self) -> tuple[list[Spot], list[Spot], list[Spot], list[Spot]]:
        """The spots in the order in which they are suspected.

        First what is not known to be right, and of that what is made of what is right; if it is right but for a factor,
        only the factor is in doubt. Then what is right by itself and may lack a step: the last one before its use. Then
        the functions that theirs calls, which serve other lines too.
        """
        main = [spot for spot in self.order if spot.main and spot.kind not in (*OPAQUE, "factor") and not is_new(spot)
                and spot not in self.base and not self.reach.useless(spot)]
        unsure = [spot for spot in main if not self.statuses[spot].sure]
        names = {spot.name for spot in unsure}
        unsure.sort(key=lambda spot: (self.reach.harmful(spot), bool((spot.reads - {spot.name}) & names)))
        sure = [spot for spot in reversed(main) if self.statuses[spot].sure or self.scaled_only(spot)]
        return (unsure, [spot for spot in sure if not self.statuses[spot].named],
                [spot for spot in sure if self.statuses[spot].named],
                [spot for spot in self.order if not spot.main and not self.statuses[spot].sure])

    def scaled_only(self, spot: Spot) -> bool:
        """Whether a line's value is right but for a factor, as far as no name contradicts it."""
        status = self.statuses[spot]
        return not status.sure and status.match is not None and status.match.known.kind in (COTANGENT, VALUE, LOCAL) \
            and abs(status.match.factor - 1) > CLOSE and not status.claimed \
            and spot.kind not in ("key", "increment", "whole")

    def multiples(self, spot: Spot) -> Iterator[Fix]:
        """The repairs of one spot by a factor."""
        seen = self.first.seen[spot]
        if not seen.values or np.asarray(seen.values[0]).dtype.kind != "f":
            return
        nothing = self.outputs_of({spot: changing(spot, seen.times, lambda n, v: 0 * v)})
        yield from self.scaled(spot, seen, nothing, None, None, self.outputs)

    def unlikely(self, fix: Fix) -> bool:
        """Whether another line explains it better: a multiple of what nobody knows, a value against the line's name."""
        status, seen = self.statuses[fix.spot], self.first.seen[fix.spot]
        if 1 < len(seen.values) == seen.times and fix.values is not None and not status.claimed:
            old, new = seen.values[fix.at], fix.values[fix.at]
            exact = [m for m in self.knowledge.matches(old) if abs(m.factor - 1) < CLOSE]
            multiple = self.same_direction([old]) == self.same_direction([new])
            if exact and (multiple or exact[0].known.kind not in (STEP, INNER)):      # it was right at that moment
                return True
        if fix.known is None:
            return fix.how == "scale" and (status.match is None or not fix.holds)
        meant = {name for k in status.claimed for name in k.names}
        return bool(meant and fix.known.names and fix.known.kind == COTANGENT and not meant & fix.known.names)

    def fixes(self, spot: Spot) -> Iterator[Fix]:
        """The repairs of one spot that make some gradient right."""
        seen = self.first.seen[spot]
        if not seen.values or np.asarray(seen.values[0]).dtype.kind not in "fb":
            return
        times = seen.times
        nothing = self.outputs_of({spot: changing(spot, times, lambda n, v: 0 * v)})
        if spot.kind == "value" and (adding := added(spot)) and (fixed := self.fixed(self.outputs_of({spot: adding}))):
            yield self.fix(spot, "accumulate", fixed, adding)
        status = self.statuses[spot]
        if status.match is None or status.match.known.kind != INNER:        # its sign is the next line's business
            yield from self.scaled(spot, seen, nothing, None, None, self.outputs)
        for known, values in self.candidates(spot, seen):
            if time.perf_counter() > self.deadline:
                return

            def put(n: int, v: Any, values: Sequence[Any] = values) -> Any:
                return like(values[n], v) if n < len(values) else v
            change = changing(spot, times, put)
            outputs = self.outputs_of({spot: change})
            if fixed := self.fixed(outputs):
                yield self.fix(spot, "known", fixed, change, known, 1.0, values)
            elif outputs is not None:
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

    def candidates(self, spot: Spot, seen: Seen) -> Iterator[tuple[Known, list[Any]]]:
        """What may belong in place of a spot's values: what its name says, then whatever has their shapes."""
        tried = {self.same_direction(seen.values)}            # which is the business of a factor
        claimed = self.statuses[spot].claimed
        steps = [known for known in self.knowledge.known if known.parts] if seen.times > 1 else []
        steps.sort(key=lambda known: (COTANGENT, STEP).index(known.kind) if known.kind in (COTANGENT, STEP) else 2)
        n, size = len(seen.values), np.size(seen.values[0])
        sizes = {n * size, (n - 1) * size}
        ragged = any(np.shape(v) != np.shape(seen.values[0]) for v in seen.values)
        for known in (*claimed, *steps, *self.knowledge.known):
            if not (ragged or known.parts or known.value.size in sizes or known.kind == INNER or known in claimed):
                continue
            for values in self.shaped(spot, seen, known, known in claimed):
                key = self.same_direction(values)
                if key not in tried and len(tried) <= self.tried:
                    tried.add(key)
                    yield known, values

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


def added(spot: Spot) -> Change | None:
    """What adds to what stood at the target before, in place of overwriting it; None if a line has no such target."""
    statement = spot.node
    if not isinstance(statement, ast.Assign) or isinstance(statement.targets[0], ast.Tuple | ast.List):
        return None
    try:
        target = compile(ast.unparse(statement.targets[0]), "<target>", "eval")
    except (SyntaxError, ValueError, RecursionError):
        return None

    def change(n: int, v: Any) -> Any:
        frame = sys._getframe(2)                      # of their function, which called the hook
        try:
            return eval(target, frame.f_globals, frame.f_locals) + v
        except Exception:
            return v

    return change


def changing(spot: Spot, times: int, change: Change) -> Change:
    """A change of a variable that is added to is one of its last value."""
    if spot.kind != "whole" or spot.fresh or times == 1:
        return change
    return lambda n, v: change(0, v) if n == times - 1 else v


SHAPINGS: dict[str, Callable[[Any], Any]] = {
    "transpose": lambda v: np.swapaxes(v, -1, -2) if np.ndim(v) > 1 else v,
    "sum": lambda v: np.sum(v, axis=0) if np.ndim(v) else v,
    "sum of the last axis": lambda v: np.sum(v, axis=-1) if np.ndim(v) > 1 else v,
}


def like(new: Any, old: Any) -> Any:
    """A value in the dtype of a mask, where that is what it replaces."""
    return np.asarray(new).astype(bool) if np.asarray(old).dtype.kind == "b" else np.array(new)[()]


def factor(nothing: Outputs, once: Outputs, targets: Outputs, keys: Any) -> float | None:
    """The f for which nothing + f (once - nothing) comes nearest to the targets; None if it comes not near."""
    over = under = 0.0
    parts = []
    for k in keys:
        if any(k not in x or np.shape(x[k]) != np.shape(targets[k]) for x in (nothing, once)):
            return None
        with np.errstate(all="ignore"):
            step = np.asarray(once[k], float) - nothing[k]
            wanted = np.asarray(targets[k], float) - nothing[k]
            over, under = over + float(np.sum(step * wanted)), under + float(np.sum(step * step))
        parts.append((step, wanted))
    if not (np.isfinite(over) and np.isfinite(under)) or under == 0:
        return None
    f = over / under
    with np.errstate(all="ignore"):
        near = all(np.max(np.abs(wanted - f * step), initial=0) <= COARSE * np.max(np.abs(targets[k]), initial=0)
                   for (step, wanted), k in zip(parts, keys, strict=True))
    return f if near else None
