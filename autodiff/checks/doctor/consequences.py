"""What a mistake makes of the gradients on the way: each that is another than the right one, and what is added to it.

A person who made this mistake has these in their variables, so the first line that makes one is where it was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from autodiff.checks.doctor.backprop import Backprop, Edge
from autodiff.checks.doctor.suspects import DOES_NOT_FIT, Suspect
from autodiff.record import Record
from autodiff.tape import walk_back


def consequences(suspect: Suspect, bp: Backprop) -> list[Any] | None:
    """The arrays that a mistake gives in place of right ones; those of one line of a loop also as one array.

    Nothing where gradients are right until they are returned; None where that cannot tell the line: of a mistake that
    was not made on the way back, or where a sum is left out, so that what is right before it is used.
    """
    parts = suspect.parts or (suspect,)
    if any(s.loose for s in parts) or not all(s.rules or s.change or s.param is not None for s in parts):
        return None
    found: list[Any] = []
    lines: dict[Any, list[Any]] = {}
    for part in parts:
        if part.kind == "swapped" and all(x.op is None for x in part.change or ()) and not part.rules:
            continue
        try:
            for key, value in made_by(part, bp):
                found.append(value)
                lines.setdefault(key, []).append(value)
        except DOES_NOT_FIT:
            continue
    together = [np.stack(values) for values in lines.values()
                if len(values) > 1 and len({np.shape(v) for v in values}) == 1]
    return [*found, *together]


def made_by(suspect: Suspect, bp: Backprop) -> Iterator[tuple[Any, Any]]:
    """What one mistake changes, each with its line: the gradients that arrive, then the contributions."""
    raw: dict[Edge, Any] = {}
    fitted: dict[Edge, Any] = {}
    if suspect.rules:
        g: Mapping[Record, Any] = bp.walk(suspect.rules, raw, fitted)
    else:
        g = dict(bp.g)
        for x, d in (suspect.change or {}).items():
            for r, more in walk_back({x: d}, [r for r in bp.g if r.serial <= x.serial]).items():
                g[r] = g[r] + more
    for r, right in bp.g.items():
        yield from different(g.get(r, np.zeros_like(right)), right, (r.code, r.lasti, "arrives") if r.op else r)
    for kind, now, before in (("raw", raw, bp.raw), ("fitted", fitted, bp.fitted)):
        for edge, right in before.items():
            if edge in now:
                yield from different(now[edge], right, (edge.r.code, edge.r.lasti, edge.i, kind))


def different(value: Any, right: Any, key: Any) -> Iterator[tuple[Any, Any]]:
    """A value, if it is an array of numbers and not the right one."""
    if not isinstance(value, tuple) and not isinstance(right, tuple) and not equal(value, right):
        yield key, np.asarray(value, np.float64)


def equal(a: Any, b: Any) -> bool:
    """Whether two arrays are the same but for rounding."""
    return np.shape(a) == np.shape(b) and bool(np.allclose(a, b, rtol=1e-9, atol=0))
