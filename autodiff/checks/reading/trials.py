"""The wrong line by trying: small changes of the lines that may be to blame, until one makes the gradients right.

A line is to blame for the gradients that its values reach, which shows if they are moved a little; and whatever it
reaches is wrong, or its mistake would be too. So few lines are left. Their changes are tried in the order in which
people make mistakes: one sign, index, axis or operator; another operand; a factor or a term left out.
"""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from autodiff.checks.reading.edits import additions, evaluating, local, operands, rewritten, scope_of, substitutions
from autodiff.checks.reading.hooks import HEADS, OPAQUE, Spot
from autodiff.checks.reading.quantities import CLOSE, INNER, STEP, VALUE
from autodiff.checks.reading.repair import Fix, Repairs
from autodiff.checks.reading.status import is_new

SECONDS = 1.4              # for all of it
SECONDS_BEFORE = 0.1       # for the lines before one that a small change puts right already
RUNS = 400                 # of changed lines, for each line and sort of change
TIERS = (local, substitutions, additions)
Texts = Callable[[str, list[tuple[str, Any]]], Iterator[str]]


class Trial(NamedTuple):
    """A small change that makes gradients right, and the line as it reads then."""

    fix: Fix
    text: str


class Trials:
    """Tries small changes of the lines of somebody's function.

    Parameters
    ----------
    repairs : Repairs
        The function, and what its gradients must be.
    deadline : float
        When to stop.
    """

    def __init__(self, repairs: Repairs, deadline: float) -> None:
        self.repairs, self.deadline = repairs, min(deadline, time.perf_counter() + SECONDS)

    # ---- who is to blame

    def suspects(self, goal: frozenset[Any], before: int | None, sizes: bool) -> tuple[list[Spot], list[Spot]]:
        """The lines that may be to blame for these gradients, the likeliest first; and those where wrongness begins.

        It begins where a line makes, of values that the tape knows, one that it does not, the first time it runs.
        """
        repairs = self.repairs
        everything = goal == repairs.wrong
        ranked = []
        strange: set[str] = set()
        for spot in repairs.order:
            status, seen = repairs.statuses[spot], repairs.first.seen[spot]
            strange_reads = (spot.reads - {spot.name}) & strange
            odd = spot.kind not in OPAQUE and not status.sure and (
                (bool(status.claimed) and not status.named) or self.strange(spot))
            if odd and spot.name:
                strange.add(spot.name)
            if spot in repairs.base or spot.kind == "whole" or is_new(spot) \
                    or (before is not None and seen.ticks[0] >= before):
                continue
            if spot.kind not in OPAQUE and ((status.sure and status.named) or (before and self.known(spot))):
                continue
            reached = repairs.reach.of(spot)
            if reached is None and before is not None and not sizes:
                continue
            if reached is not None and not (goal <= reached if everything else reached & goal):
                continue
            rank = 2 if reached is not None and repairs.reach.harmful(spot) else reached is None
            ranked.append((rank, not odd, status.sure and spot.kind not in OPAQUE, odd and not strange_reads, spot))
        origins = [spot for rank, *_, begins, spot in ranked if begins and not rank]
        read = {name for spot in origins for name in spot.reads}
        ranked.sort(key=lambda found: (found[0], found[-1].name not in read, *found[1:3]))
        return [spot for *_, spot in ranked], origins

    def strange(self, spot: Spot) -> bool:
        """Whether a spot's first value is something that the tape does not know."""
        value = self.repairs.first.seen[spot].values[0]
        return bool(np.any(value)) and not any(abs(m.factor - 1) < CLOSE and m.known.kind != INNER
                                               for m in self.repairs.knowledge.matches(value))

    def known(self, spot: Spot) -> bool:
        """Whether a line's value is known for what it is."""
        status = self.repairs.statuses[spot]
        if status.match is None:
            first = self.repairs.knowledge.matches(self.repairs.first.seen[spot].values[0])[:1]
            return any(abs(m.factor - 1) < CLOSE and m.known.kind not in (STEP, INNER) for m in first)
        return status.match.known.kind != VALUE or abs(status.match.factor - 1) < CLOSE

    # ---- trying

    def search(self, goal: frozenset[Any] | None = None, before: int | None = None, sizes: bool = True) -> Trial | None:
        """The likeliest small change that makes these gradients right, by default all that are wrong.

        With `before` only lines that ran before this moment are looked at, and those that make `sizes` only on demand.
        """
        goal = goal or self.repairs.wrong
        if before is not None:
            self.deadline = min(self.deadline, time.perf_counter() + SECONDS_BEFORE)
        spots, origins = self.suspects(goal, before, sizes)
        rest = [spot for spot in spots if spot not in origins]
        named = any(self.repairs.statuses[spot].claimed for spot in origins)         # what is wrong, by its own name
        turns = [(origins, 0), (origins, 1), (rest, 0), (origins, 2), (rest, 1), (rest, 2)]
        if named:
            turns.insert(2, turns.pop(3))
        if before is not None:                             # a line below is repaired by a small change already
            turns = [(spots, 0), (spots, 1)]
        for chosen, tier in turns:
            found: list[Trial] = []
            for i, spot in enumerate(chosen):
                now = time.perf_counter()
                if now > self.deadline:
                    break
                share = (self.deadline - now) / (len(chosen) - i) / 2
                found += self.of(spot, tier, goal, now + max(2 * share, 0.02))
            if found:
                return min(found, key=self.preference)
        return None

    def preference(self, trial: Trial) -> Any:
        """Which of several changes that do the same comes first."""
        spot = trial.fix.spot
        status = self.repairs.statuses[spot]
        return -len(trial.fix.fixed), status.sure, not status.claimed, trial.fix.tick

    def of(self, spot: Spot, tier: int, goal: frozenset[Any], stop: float) -> list[Trial]:
        """The changes of one line that make these gradients right."""
        repairs = self.repairs
        for text, code in self.variants(spot, TIERS[tier], stop, tier == 0):
            change = {spot: evaluating(code)}
            fixed = repairs.fixed(repairs.outputs_of(change))
            if fixed >= goal and repairs.holds(change, fixed):
                fix = Fix(spot, "edit", fixed, tick=repairs.first.seen[spot].ticks[0], change=change[spot])
                new = ast.parse(text, mode="eval").body
                if nothing(new):
                    return [Trial(replace(fix, how="scale", factor=0.0), "")]
                return [Trial(fix, rewritten(spot, new))]
            if time.perf_counter() > stop:
                break
        return []

    def variants(self, spot: Spot, texts: Texts, stop: float, any_shape: bool) -> list[tuple[str, Any]]:
        """The changes of a line whose results differ from its own and from each other's, the first times it runs."""
        kept: dict[str, tuple[Any, list[Any]]] = {}
        mine: list[Any] = []
        spots = [other for other in self.repairs.order if other.function == spot.function]
        rhs = ast.unparse(spot.expression)

        def mark(code: Any, scope: dict[str, Any], v: Any) -> Any:
            """What tells the result of a change from others; None if it does not fit here."""
            try:
                with np.errstate(all="ignore"):
                    value = eval(code, scope)
            except Exception:
                return None
            return fingerprint(value) if fits(value, v, any_shape, isinstance(spot.node, HEADS)) else None

        def look(n: int, v: Any) -> Any:
            if len(mine) > 1:
                return v
            frame = sys._getframe(2)
            scope = scope_of(frame)
            mine.append(fingerprint(v))
            if len(mine) > 1:
                for code, marks in kept.values():
                    marks.append(mark(code, scope, v))
                return v
            others = list(operands(spots, frame))
            if type(v) is int:                            # a size, another size
                others = [(f"{name}.shape[{i}]", n) for name, x in others for i, n in enumerate(np.shape(x)[:2])]
            named = [name for name, _ in others] if type(v) is int and texts is substitutions else []
            seen: set[str] = set()
            for text in chain(texts(rhs, others), named):
                if len(kept) >= RUNS or time.perf_counter() > stop:
                    break
                if text in seen or (type(v) is int and text.count("*") > rhs.count("*")):
                    continue
                seen.add(text)
                try:
                    code = compile(text, "<line>", "eval")
                except (SyntaxError, ValueError, RecursionError):
                    continue
                if (made := mark(code, scope, v)) is not None:
                    kept[text] = code, [made]
            return v

        self.repairs.run({spot: look})
        seen = {tuple(mine)}
        found = []
        for text, (code, marks) in kept.items():
            if None not in marks and tuple(marks) not in seen:
                seen.add(tuple(marks))
                found.append((text, code))
        return found


def nothing(tree: ast.expr) -> bool:
    """Whether an expression says that there is nothing: 0, or 0 times something."""
    return (isinstance(tree, ast.Constant) and tree.value == 0) or \
        (isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult) and (nothing(tree.left) or nothing(tree.right)))


def fits(value: Any, now: Any, any_shape: bool, head: bool) -> bool:
    """Whether a value may stand where another does."""
    if isinstance(now, np.ndarray | np.generic | float | int) and not isinstance(now, bool):
        if not isinstance(value, np.ndarray | np.generic | float | int):
            return False
        a, b = np.asarray(value), np.asarray(now)
        if type(now) is int and (type(value) is not int or value < 1 or value in (2 * now, now / 2)):
            return False                           # a factor of two is a mistake by itself, not another size
        return (a.dtype.kind == b.dtype.kind or {a.dtype.kind, b.dtype.kind} <= set("fiu")) \
            and (any_shape or a.shape == b.shape)
    return head or type(value) is type(now)


def fingerprint(value: Any) -> Any:
    """What tells results apart."""
    if isinstance(value, np.ndarray | np.generic):
        return np.shape(value), np.asarray(value).tobytes()
    if isinstance(value, tuple | list):
        return tuple(map(fingerprint, value[:50]))
    return repr(value)[:200]
