"""What the values of each line are, as far as the tape knows them, and whether that is what the line's name says."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autodiff.checks.reading.hooks import Spot
from autodiff.checks.reading.known import Knowledge
from autodiff.checks.reading.quantities import CLOSE, COTANGENT, INNER, STEP, Known, Match, shaped_like
from autodiff.checks.reading.their_code import Seen

RIGHT = 1e-6               # relative to its largest element, how close a right gradient must come; in float64
COARSE = 2e-3              # the same where they compute in float32
FEWEST = 4                 # numbers by which a quantity is recognised
LONG_LOOP = 200            # steps up to which each is looked at by itself
DIGITS = "0123456789_"


@dataclass(frozen=True)
class Status:
    """What a spot's values are.

    Attributes
    ----------
    match : Match or None
        The quantity they equal, up to a factor.
    sure : bool
        Whether that is what the line's name says they are, or the name says nothing; and the factor is one.
    named : bool
        Whether the name says so.
    claimed : tuple of Known
        What the name says they are.
    told : Match or None
        The quantity they equal that has a name.
    """

    match: Match | None
    sure: bool
    named: bool
    claimed: tuple[Known, ...] = ()
    told: Match | None = None


def statuses(seen: Mapping[Spot, Seen], knowledge: Knowledge) -> dict[Spot, Status]:
    """The status of each spot of a run."""
    return {spot: status(spot, seen, knowledge) for spot in seen}


def status(spot: Spot, run: Mapping[Spot, Seen], knowledge: Knowledge) -> Status:
    """What the values of a spot are."""
    seen = run[spot]
    if not seen.values:
        return Status(None, False, False)
    claimed = () if spot.kind == "increment" else tuple(knowledge.claims(spot.name, spot.kind == "key"))
    together = stacked(seen)
    matches = one_by_one(seen, knowledge) or (ragged(seen, knowledge) if together is None else
                                              knowledge.matches(together))
    if together is not None and len(seen.values) > 1 and not matches:
        matches = knowledge.matches(together[::-1])
    if together is not None and together.ndim == 2:
        matches += [replace(m, turned=not m.turned) for m in knowledge.matches(together.T)]
    by_name = [m for m in matches if any(m.known is k for k in claimed)]
    best = next(iter(by_name or matches), None)
    if best is None and together is not None and together.size == 1:        # a number says nothing but by its name
        best = next((Match(k, 1.0) for k in claimed if k.value.size == 1 and np.any(k.value) and right(
            np.ravel(together), np.ravel(k.value))), None)
        by_name = [best] if best else []
    if best is None:
        zero = seen.values and not any(map(np.any, seen.values))
        return Status(None, bool(zero) and (is_new(spot) or begins(spot, run, 1)), False, claimed)
    returned = spot.kind == "key" or any(k.record in knowledge.wanted for k in claimed)
    square = np.shape(together)[:1] == np.shape(together)[1:]
    if subtracted(spot) and best.known.kind in (COTANGENT, STEP):           # then the negative of a part belongs there
        less = [replace(m, factor=-m.factor) for m in matches]
        best = next((m for m in less if abs(m.factor - 1) < CLOSE), replace(best, factor=-best.factor))
    exact = abs(best.factor - 1) < CLOSE and not (best.turned and (returned or square)) and best.known.kind != INNER
    first = best.known.kind == STEP and begins(spot, run)
    told = next((m for m in by_name or matches if m.known.called and m.known.kind not in (STEP, INNER)), None)
    if sum(map(np.count_nonzero, seen.values)) < FEWEST and not (told and abs(told.factor - 1) < CLOSE and by_name):
        told = None
    return Status(best, exact and bool(by_name or not claimed or first), bool(by_name), claimed, told)


def begins(spot: Spot, run: Mapping[Spot, Seen], least: int = 0) -> bool:
    """Whether this is the first value of a variable, to which another line adds more than so many times."""
    others = [other for other in run if other.name == spot.name and other.function == spot.function
              and other.line != spot.line]
    ticks = run[spot].ticks
    more = max((run[other].times for other in others if other.kind == "increment"), default=0)
    return spot.kind == "value" and len(ticks) == 1 and more > least \
        and all(run[other].ticks[0] > ticks[0] for other in others)


def subtracted(spot: Spot) -> bool:
    """Whether this is an increment that is taken off."""
    if spot.kind != "increment":
        return False
    if isinstance(spot.node, ast.AugAssign):
        return isinstance(spot.node.op, ast.Sub)
    return any(isinstance(n, ast.BinOp) and n.right is spot.expression and isinstance(n.op, ast.Sub)
               for n in ast.walk(spot.node))


def is_new(spot: Spot) -> bool:
    """Whether a line makes an array of zeros to be filled; what is made anew of itself was thrown away."""
    call = spot.expression
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in (
        "zeros", "zeros_like", "empty", "empty_like") and not any(
        isinstance(x, ast.Name) and x.id == spot.name for x in call.args)


def one_by_one(seen: Seen, knowledge: Knowledge) -> list[Match]:
    """What the values of a spot equal, if each equals the same quantity of another step or layer."""
    if not 2 <= len(seen.values) == seen.times <= LONG_LOOP:
        return []
    common: set[tuple[str, str]] | None = None
    first: list[Match] = []
    for value in seen.values:
        found = [m for m in knowledge.matches(value) if abs(m.factor - 1) < CLOSE and not m.turned]
        kinds = {kind for m in found for kind in kinds_of(m)}
        common = kinds if common is None else common & kinds
        first = first or found
        if not common:
            return in_steps(seen, knowledge)
    return [m for m in first if common and not common.isdisjoint(kinds_of(m))]


def in_steps(seen: Seen, knowledge: Knowledge) -> list[Match]:
    """What sequence of steps the values of a spot equal; the last one may go unused, and be anything."""
    return [Match(known, 1.0) for known in knowledge.known if known.parts
            for values in shaped_like(known, seen.values) if all(map(right, seen.values, values))][:1]


def kinds_of(match: Match) -> set[tuple[str, str]]:
    """A quantity's kind and the names of its records, without their numbers."""
    return {(match.known.kind, name.rstrip(DIGITS)) for name in match.known.names}


def ragged(seen: Seen, knowledge: Knowledge) -> list[Match]:
    """What the values of a spot equal, if each has another shape."""
    return [Match(known, 1.0) for known in knowledge.known if seen.values and known.kind != STEP
            for values in shaped_like(known, seen.values) if all(map(right, seen.values, values))]


def stacked(seen: Seen) -> Any:
    """All the values of a spot as one array; None if their shapes differ, or not all were kept."""
    if not seen.values or not seen.complete or any(np.shape(v) != np.shape(seen.values[0]) for v in seen.values):
        return None
    return np.asarray(seen.values[0]) if len(seen.values) == 1 else np.stack(seen.values)


def right(yours: Any, target: Any) -> bool:
    """Whether a gradient is what it must be."""
    if yours is None or np.shape(yours) != np.shape(target):
        return False
    yours = np.asarray(yours)
    if yours.dtype.kind not in "fiub":
        return False
    if yours.dtype.kind == "b":
        yours = yours.astype(float)
    allowed = COARSE if yours.dtype.itemsize < 8 and yours.dtype.kind == "f" else RIGHT
    size = np.abs(target).max(initial=0)
    return bool((np.abs(yours - target) <= allowed * size).all())


def same(a: Any, b: Any) -> bool:
    """Whether two outputs are equal, to the bit."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and bool(np.all((a == b) | ((a != a) & (b != b))))
