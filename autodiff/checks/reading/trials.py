"""The wrong line by trying: small changes of the lines that may be to blame, until one makes the gradients right.

A line is to blame for the gradients that its values reach, which shows if they are moved a little; and whatever it
reaches is wrong, or its mistake would be too. So few lines are left. Their changes are tried in the order in which
people make mistakes: one sign, index, axis or operator; another operand; a factor or a term left out.
"""

from __future__ import annotations

import ast
import sys
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from autodiff.checks.budget import Budget
from autodiff.checks.reading.arrangements import Operands, flips
from autodiff.checks.reading.blame import renames, unpacked
from autodiff.checks.reading.edits import (
    Shape,
    additions,
    compiled,
    evaluating,
    heads,
    local,
    operands,
    rewritten,
    scope_of,
    substitutions,
)
from autodiff.checks.reading.hooks import HEADS, Spot
from autodiff.checks.reading.quantities import COTANGENT, STEP
from autodiff.checks.reading.repair import Fix, Repairs
from autodiff.checks.reading.status import FEWEST, right

SECONDS = 1.4              # for all of it
SECONDS_BEFORE = 0.2       # for the lines before one that a small change puts right already
TIMES = 40                 # a choice is looked at
RUNS = 400                 # of changed lines, for each line and sort of change
FEW = 2                    # lines where no wrongness begins, of which it is tried whether something was left out
Texts = Callable[[str, Operands, Shape], Iterator[str]]


def signs(rhs: str, others: list[tuple[str, Any]], shape: tuple[int, ...] | None = None) -> Iterator[str]:
    """A plus for a minus, or the other way round."""
    tree = ast.parse(rhs, mode="eval").body
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            was = node.op
            node.op = ast.Sub() if isinstance(was, ast.Add) else ast.Add()
            yield ast.unparse(tree)
            node.op = was


def completions(rhs: str, others: Operands, shape: Shape = None) -> Iterator[str]:
    """The additions after which a line makes something that the tape knows: only these are run."""
    return additions(rhs, others, shape)


def turned(rhs: str, others: Operands, shape: Shape = None) -> Iterator[str]:
    """The same in reverse order, and all local changes; what is returned in reverse order hides a mistake before."""
    yield from flips(ast.parse(rhs, mode="eval").body, others)
    yield from local(rhs, others, shape)


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
    budget : Budget
        How long to try.
    """

    def __init__(self, repairs: Repairs, budget: Budget) -> None:
        self.repairs, self.budget = repairs, budget.part(SECONDS)
        self.blame = repairs.blame

    def recognised(self, value: Any, before: Any, now: Any) -> bool:
        """Whether the tape knows a value that a spot would make, added to what was there before.

        Up to a factor, if it is no multiple of what the spot makes now.
        """
        if not isinstance(value, np.ndarray | np.floating):
            return False
        knowledge = self.repairs.knowledge
        if np.any(before) and np.shape(value) == np.shape(before):
            return knowledge.recognised(value + before)
        return knowledge.recognised(value) or (np.size(value) >= FEWEST and any(
            m.known.kind in (COTANGENT, STEP) for m in knowledge.matches(value))
            and self.repairs.same_direction([value]) != self.repairs.same_direction([np.asarray(now)]))

    # ---- trying

    def search(self, goal: frozenset[Any] | None = None, before: Fix | None = None,
               final: bool = False) -> Trial | None:
        """The likeliest small change that makes these gradients right, by default all that are wrong.

        With `before` only lines that ran before this repair are looked at, and those that make sizes only if it is one
        of a factor; for lines that lack something only if what is repaired then is `final`, a gradient that is
        returned, or if it reads a value that is not what its name says.
        """
        goal = goal or self.repairs.wrong
        if before is not None:
            self.budget = self.budget.part(SECONDS_BEFORE)
        suspects = self.blame.suspects(goal, before.tick if before else None, before is None or before.how == "scale",
                                       before.spot.reads if before else frozenset())
        origins, next_to, last = ([spot for level, spot in suspects if level == n] for n in (1, 2, 3))
        data = [spot for spot in origins if spot.kind == "value" and self.blame.only_data(spot)
                and not renames(spot.expression) and not self.repairs.statuses[spot].claimed] if before is None else []
        origins, next_to = [spot for spot in origins if spot not in data], next_to + data
        rest = [spot for level, spot in suspects if level not in (1, 2, 3)]
        read = {name for spot in origins if spot in self.blame.unknown for name in spot.reads}
        lacking = [spot for spot in rest if spot.name in read and spot.kind == "value"
                   and not self.repairs.statuses[spot].named]                # known for what it is, but not all of it
        lacking = sorted(lacking, key=lambda spot: not renames(spot.expression))[:FEW]
        turns = [(origins, local), (origins, substitutions), (origins, completions), (lacking, completions),
                 (next_to, local), (next_to, substitutions), (next_to, completions), (last + rest, local),
                 (origins, additions), (next_to, additions), (last + rest, substitutions),
                 ((last + rest)[:FEW], additions)]
        if before is not None:                             # a line below is repaired by a small change already
            lacking = [spot for level, spot in sorted(suspects, key=lambda found: found[0]) if renames(spot.expression)
                       or (level and spot in self.blame.unknown and not self.blame.only_data(spot))]
            odd = [spot for spot in origins if spot in self.blame.unknown]
            half = [spot for spot in origins if spot.name in before.spot.reads and not self.blame.only_data(spot)]
            named = [spot for spot in half if self.repairs.statuses[spot].claimed]
            turns = [([spot for _, spot in suspects], local), (odd, substitutions), (half, completions),
                     (lacking if final else named, additions)]
        for chosen, texts in turns:
            found: list[Trial] = []
            for i, spot in enumerate(chosen):
                if self.budget.late:
                    break
                share = self.budget.left / (len(chosen) - i) / 2
                found += self.of(spot, texts, goal, Budget(max(2 * share, 0.02)))
            if found:
                best = min(found, key=self.preference)
                return self.at_the_making(best, goal) if best.fix.spot.main else self.at_the_call(best, goal)
        return None

    def at_the_making(self, trial: Trial, goal: frozenset[Any]) -> Trial:
        """A change of what only this line reads, if it does the same: that line is there for nothing else."""
        for spot in self.serving(trial.fix.spot):
            if found := self.of(spot, turned, goal, self.budget.part(SECONDS_BEFORE)):
                return found[0]
        return trial

    def serving(self, user: Spot) -> list[Spot]:
        """The lines that make of values, not of gradients, what only one line reads."""
        def elsewhere(spot: Spot) -> bool:
            return any(spot.name in other.reads or (other.name == spot.name and other is not spot)
                       for other in self.repairs.order if other.node is not user.node)

        return [spot for spot in self.repairs.order if spot.kind == "value" and spot.main == user.main
                and spot.name in user.reads and not self.repairs.statuses[spot].claimed
                and not self.blame.goes_back(spot) and not elsewhere(spot)]

    def at_the_call(self, trial: Trial, goal: frozenset[Any]) -> Trial:
        """A change of the call of a function of theirs that does what a change within it does, if there is one."""
        for spot in self.callers(trial.fix.spot):
            for texts in (local, substitutions):
                if found := self.of(spot, texts, goal, self.budget):
                    return found[0]
        return trial

    def at_the_use(self, fix: Fix | None, goal: frozenset[Any]) -> Trial | None:
        """A changed sign where a value is used, rather than where it is made: a line may make it with either."""
        if fix is None or not fix.spot.name or self.repairs.statuses[fix.spot].claimed or fix.spot.kind != "value":
            return None
        old = self.repairs.first.seen[fix.spot].first
        now = self.repairs.run({fix.spot: fix.change}, look=True).seen.get(fix.spot) if fix.change else None
        if now is None or np.asarray(old).dtype.kind != "f" or not np.any(old) or not right(now.first, -old):
            return None
        for spot in self.repairs.order:
            sums = any(isinstance(n, ast.Add | ast.Sub) for n in ast.walk(spot.expression))
            if sums and spot.kind in ("value", "element", "return") and spot.function == fix.spot.function \
                    and fix.spot.name in spot.reads and self.blame.levels.get(spot) \
                    and (found := self.of(spot, signs, goal, self.budget)):
                return found[0]
        return None

    def callers(self, inner: Spot) -> list[Spot]:
        """The lines that call the function that a line is in: what they make is made right after."""
        seen = self.repairs.first.seen
        made = sorted((tick, n) for n, spot in enumerate(self.repairs.order) if spot.main and spot.kind != "index"
                      for tick in seen[spot].ticks)
        after = (bisect(made, (tick, 0)) for tick in seen[inner].ticks)
        return [self.repairs.order[n] for n in dict.fromkeys(made[i][1] for i in after if i < len(made))]

    def preference(self, trial: Trial) -> Any:
        """Which of several changes that do the same comes first."""
        spot = trial.fix.spot
        status = self.repairs.statuses[spot]
        data = spot.kind == "value" and self.blame.only_data(spot) and not renames(spot.expression)
        return -len(trial.fix.fixed), status.sure, not spot.main, not status.claimed, data, trial.fix.tick

    def of(self, spot: Spot, texts: Texts, goal: frozenset[Any], stop: Budget) -> list[Trial]:
        """The changes of one line that make these gradients right."""
        repairs = self.repairs
        kept = spot.kind == "element" and isinstance(spot.expression, ast.Name) and repairs.statuses[spot].sure
        if unpacked(spot) or (kept and (texts is local or not spot.main)):
            return []                                      # it may be another variable, but not another value of this
        for text, code in self.variants(spot, texts, stop):
            change = {spot: evaluating(code)}
            fixed = repairs.fixed(repairs.outputs_of(change))
            if fixed >= goal and repairs.holds(change, fixed):
                fix = Fix(spot, "edit", fixed, tick=repairs.first.seen[spot].ticks[0], change=change[spot])
                new = ast.parse(text, mode="eval").body
                if nothing(new):
                    return [Trial(replace(fix, how="scale", factor=0.0), "")]
                return [Trial(fix, rewritten(spot, new))]
            if stop.late:
                break
        return []

    def variants(self, spot: Spot, texts: Texts, stop: Budget) -> list[tuple[str, Any]]:
        """The changes of a line whose results differ from its own and from each other's, the first times or the last.

        Of `completions` only those after which it makes something that the tape knows.
        """
        whole = self.blame.whole(spot)
        before: Any = 0
        if whole is not None:
            now, added = (self.repairs.first.seen[s].first for s in (whole, spot))
            before = now - added if np.shape(now) == np.shape(added) else 0
        times = self.repairs.first.seen[spot].times        # a choice may differ anywhere
        chosen = set(range(TIMES)) if spot.kind == "choice" else {0, 1, times - 1}
        kept: dict[str, tuple[Any, list[Any]]] = {}
        mine: list[Any] = []
        spots = [other for other in self.repairs.order if other.function == spot.function]
        rhs = ast.unparse(spot.expression)

        def mark(code: Any, scope: dict[str, Any], v: Any) -> Any:
            """What tells the result of a change from others; None if it does not fit here."""
            try:
                value = eval(code, scope)
            except Exception:
                return None
            if not fits(value, v, texts is local, isinstance(spot.node, HEADS)):
                return None
            if texts is completions and len(mine) == 1 and not self.recognised(value, before, v):
                return None
            return fingerprint(value)

        def look(n: int, v: Any) -> Any:
            if n not in chosen:
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
            named = [name for name, _ in others] if type(v) is int and texts is substitutions else \
                list(heads(spot, frame)) if texts is local else []
            seen: set[str] = set()
            shape = np.shape(v) if isinstance(v, np.ndarray | np.generic | float | int) else None
            for text in chain(texts(rhs, others, shape), named):
                if len(kept) >= RUNS or stop.late:
                    break
                if text in seen or (type(v) is int and text.count("*") > rhs.count("*")):
                    continue
                seen.add(text)
                code = compiled(text)
                if code is not None and (made := mark(code, scope, v)) is not None:
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
