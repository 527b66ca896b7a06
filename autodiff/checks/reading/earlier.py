"""Whether a small change of an earlier line explains it all.

A line whose value nobody knows (the Jacobian of one sample, the number of samples, what a loop runs over) has no right
value to put in its place. But if changing one thing in it makes right what a repair further down makes right, that is
where the mistake was made.
"""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from autodiff.checks.reading.edits import additions, changes, evaluating, operands, replacements, rewritten
from autodiff.checks.reading.hooks import Spot
from autodiff.checks.reading.known import CLOSE, INNER, STEP, VALUE
from autodiff.checks.reading.repair import Fix, Repairs
from autodiff.checks.reading.status import begins, is_new

SECONDS = 0.3
RUNS = 200                 # of changed lines, for each line


def explained_earlier(repairs: Repairs, fix: Fix | None, deadline: float, surely: bool) -> tuple[Fix, str] | None:
    """The first line before a repaired one whose small change does as much, and how it reads then; None if none does.

    If the repaired line itself is `surely` wrong, only lines whose value is nothing at all are looked at.
    """
    end = min(deadline, time.perf_counter() + SECONDS)
    spots = unknown(repairs, fix, surely)
    for i, spot in enumerate(spots):
        now = time.perf_counter()
        stop = now + (end - now) / (len(spots) - i)
        for text, code in variants(repairs, spot, stop):
            change = evaluating(code)
            fixed = repairs.fixed(repairs.outputs_of({spot: change}))
            if (fixed >= fix.fixed if fix else fixed) and repairs.holds({spot: change}, fixed):
                found = Fix(spot, "edit", fixed, tick=repairs.first.seen[spot].ticks[0], change=change)
                return found, rewritten(spot, ast.parse(text, mode="eval").body)
            if time.perf_counter() > stop:
                break
    return None


def unknown(repairs: Repairs, fix: Fix | None, surely: bool) -> list[Spot]:
    """The lines that nobody knows and that matter, before the repaired one, and the loops that it stands in."""
    found, loops = [], []
    for spot in repairs.order:
        if fix is not None and (repairs.first.seen[spot].ticks[0] >= fix.tick or spot is fix.spot):
            continue
        if spot.kind == "loop":
            if fix is None or (spot.function == fix.spot.function and spot.line < fix.spot.line <= spot.end_line):
                loops.append(spot)
        elif spot.kind == "index" or (spot.kind != "whole" and not known(repairs, spot, surely)
                                      and repairs.matters(spot)):
            found.append(spot)
    return loops[::-1] + found


def known(repairs: Repairs, spot: Spot, surely: bool) -> bool:
    """Whether a line's value is known for what it is, or is zeros to be filled."""
    status = repairs.statuses[spot]
    if status.match is None:
        first = repairs.knowledge.matches(repairs.first.seen[spot].values[0])[:1]
        return is_new(spot) or any(abs(m.factor - 1) < CLOSE and m.known.kind not in (STEP, INNER) for m in first)
    if status.match.known.kind == STEP:
        return surely or status.named or begins(spot, repairs.first.seen)
    return status.match.known.kind != VALUE or abs(status.match.factor - 1) < CLOSE


def variants(repairs: Repairs, spot: Spot, stop: float) -> Iterator[tuple[str, Any]]:
    """The small changes of a line that give something else than it does, each result once."""
    kept: list[tuple[str, Any]] = []
    spots = [other for other in repairs.order if other.function == spot.function]

    def look(n: int, v: Any) -> Any:
        if not n and not kept:
            frame = sys._getframe(2)
            kept.extend(different(spot, v, list(operands(spots, frame)), frame, stop))
        return v

    repairs.run({spot: look})
    yield from kept


def different(spot: Spot, now: Any, others: list[tuple[str, Any]], frame: Any,
              stop: float) -> Iterator[tuple[str, Any]]:
    """The changes whose first result is not that of another."""
    scope = {**frame.f_globals, **frame.f_locals}
    seen = {fingerprint(now)}
    names = [name for name, _ in others] if spot.kind != "loop" else []
    numbers = [name for name, value in others if np.ndim(value) == 0] if names else []
    if type(now) is int:
        names = [f"{name}.shape[{axis}]" for name, value in others for axis in range(min(np.ndim(value), 2))]
    runs = 0
    rhs = ast.unparse(spot.expression)
    for text in replacements(rhs, names) if type(now) is int else chain(
            changes(rhs, names, numbers, multiples=False), additions(rhs, names, numbers)):
        if time.perf_counter() > stop or runs > RUNS:
            return
        try:
            code = compile(text, "<line>", "eval")
            with np.errstate(all="ignore"):
                value = eval(code, scope)
        except Exception:
            continue
        if type(now) is int and (type(value) is not int or value < 1 or value in (2 * now, now / 2)):
            continue                               # a factor of two is a mistake by itself, not another size
        mark = fingerprint(value)
        if mark not in seen:
            seen.add(mark)
            runs += 1
            yield text, code


def fingerprint(value: Any) -> Any:
    """What tells results apart."""
    if isinstance(value, np.ndarray | np.generic):
        return np.shape(value), np.asarray(value).tobytes()
    return repr(value)[:200]
