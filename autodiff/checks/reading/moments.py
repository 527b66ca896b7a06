"""Values at the wrong moment: overwritten before anybody reads them, of the step before or after, in reverse order."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.checks.reading.hooks import STATEMENTS, Spot
from autodiff.checks.reading.their_code import Change, definition

if TYPE_CHECKING:
    from autodiff.checks.reading.repair import Repairs

MOST = 12                  # lines whose values are tried at other moments


def overwriting(repairs: Repairs) -> list[Spot]:
    """The lines that assign a variable anew although nobody has read what it held: they may have meant to add."""
    lost = {node for function in repairs.program.made for node in unread(definition(function.__code__))}
    return [spot for spot in repairs.order if spot.kind == "value" and spot.node in lost]


def unread(tree: ast.AST) -> Iterator[ast.stmt]:
    """The statements that overwrite what a statement before them, in the same block, computed for nothing."""
    for block in (getattr(node, part, None) for node in ast.walk(tree) for part in STATEMENTS):
        if not isinstance(block, list):
            continue
        names_made = [t.id for s in block if isinstance(s, ast.Assign) for t in s.targets if isinstance(t, ast.Name)]
        if len(set(names_made)) == len(names_made):
            continue
        held: set[str] = set()                             # computed, and not yet read
        for s in block:
            held -= {n.id for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
            if not isinstance(s, ast.Assign):
                held -= {n.id for n in ast.walk(s) if isinstance(n, ast.Name)}
                continue
            names = {t.id for t in s.targets if isinstance(t, ast.Name)}
            if names & held:
                yield s
            held |= {name for name in names if any(isinstance(n, ast.Name) for n in ast.walk(s.value))}


def moved(repairs: Repairs) -> Iterator[tuple[Spot, Change, Sequence[Any] | None]]:
    """Lines with the values that they would have at another moment: what puts these in, and they, if they are arrays.

    Of a variable that is kept, the value before it was last assigned, or the one after; of what is taken from a list in
    a loop, the same in reverse order.
    """
    found = 0
    for spot in repairs.order:
        seen = repairs.first.seen[spot]
        if seen.times < 2 or found >= MOST:
            continue
        if spot.kind == "picked" and not isinstance(spot.expression, ast.Name):
            found += 1
            things: list[Any] = []

            def look(n: int, v: Any, things: list[Any] = things) -> Any:
                things.append(v)
                return v

            repairs.run({spot: look})
            yield spot, ordered(things[::-1], len(things)), None
        elif spot.kind in ("element", "value") and isinstance(spot.expression, ast.Name) \
                and len(seen.values) == seen.times and repairs.reach.of(spot):
            found += 1
            for values in (earlier(repairs, spot), later(repairs, spot)):
                if values is not None:
                    yield spot, ordered(values, seen.times), values


def ordered(values: Sequence[Any], times: int) -> Change:
    """What puts one value after the other in."""
    return lambda n, v: values[n] if n < times else v


def history(repairs: Repairs, spot: Spot) -> list[tuple[int, Any]]:
    """The values that the variable at a spot was given, each with its moment."""
    assert isinstance(spot.expression, ast.Name)
    name = spot.expression.id
    given = [(0, repairs.arguments[name])] if spot.main and name in repairs.arguments else []
    making = [seen for other, seen in repairs.first.seen.items() if other.kind in ("value", "whole")
              and other.name == name and other.function == spot.function and len(seen.values) == seen.times]
    made = [(tick, value) for seen in making for tick, value in zip(seen.ticks, seen.values, strict=True)]
    return given + sorted(made, key=lambda found: found[0])


def earlier(repairs: Repairs, spot: Spot) -> list[Any] | None:
    """The values of a spot's variable before it was last assigned; None if they are not all known."""
    made = history(repairs, spot)
    found = []
    for tick in repairs.first.seen[spot].ticks:
        before = [value for t, value in made if t < tick]
        if len(before) < 2 or np.shape(before[-2]) != np.shape(before[-1]):
            return None
        found.append(before[-2])
    return found


def later(repairs: Repairs, spot: Spot) -> list[Any] | None:
    """The values that a spot's variable is given next; None if there are none."""
    made = history(repairs, spot)
    found = []
    for tick, value in zip(repairs.first.seen[spot].ticks, repairs.first.seen[spot].values, strict=True):
        after = next((v for t, v in made if t > tick), None)
        if after is None or np.shape(after) != np.shape(value):
            return None
        found.append(after)
    return found
