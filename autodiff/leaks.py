"""Leaks: places where a value left the tape as a Python number (`item()`, `bool(t)`, an `if`).

What the program did with the number the tape cannot know, so a replay on other values past such a
place could be wrong; `Tape.replay` asks here first.
"""

from __future__ import annotations

from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from autodiff.errors import ReplayError
from autodiff.record import Record, next_serial
from autodiff.sites import locate

KEPT = 8          # the newest leaks a leaf remembers; a write to the leaf forgets them


class Leak(NamedTuple):
    """When (a serial number), where and how a value left the tape."""

    serial: int
    code: CodeType
    lasti: int
    how: str
    record: str
    constant: bool          # used to compute a constant, which any later record may hold


def leave(record: Record, how: str, code: CodeType, lasti: int, constant: bool = False) -> None:
    """Mark a record and all it was computed from.

    An intermediate keeps its first leak, and the walk stops there: what stands before it is marked
    already. So a program's leaks cost time linear in its records altogether.
    """
    leak = Leak(next_serial(), code, lasti, how, record.name or "", constant)
    pending = [record]
    while pending:
        r = pending.pop()
        if r.op is None:
            if not r.leaks or r.leaks[0] is not leak:
                r.leaks = (leak, *r.leaks)[:KEPT]
        elif not r.leaks:
            r.leaks = (leak,)
            pending.extend(x for x in r.inputs if isinstance(x, Record))


def refuse_leaks(tape: list[Record], changed: set[Record], since: int = 0) -> None:
    """Raise if a value that this replay changes was used, since then, where the tape cannot follow."""
    first = next((r.serial for r in tape if r.op is not None), 0)
    last = tape[-1].serial
    roots: dict[int, Record] = {}
    for r in tape:
        if r in changed or any(x in changed for x in r.inputs if isinstance(x, Record)):
            changed.add(r)
            if isinstance(r.value, np.ndarray) and not any(
                    shares(r, x.value) for x in r.inputs if isinstance(x, Record) and x not in changed):
                roots[id(root(r.value))] = r
            for leak in r.leaks:
                if leak.serial > since and (leak.serial > first or leak.constant) and leak.serial < last:
                    site = locate(leak.code, leak.lasti)
                    raise ReplayError(
                        f"{leak.record or r.name or 'a value'} left the tape at {site} by {leak.how}:\n"
                        f"    {site.text}\n  What was recorded after it may depend on that number, so a replay on "
                        "other values could be wrong. Keep it on the tape (np.where for a choice), or pass "
                        "strict=False if it was only looked at.")
    for r in tape:
        for x in (r.value,) if r.op is None and r not in changed else r.inputs:
            if isinstance(x, np.ndarray) and (source := roots.get(id(root(x)))) is not None \
                    and np.may_share_memory(x, source.value):
                raise ReplayError(
                    f"the values of {source.name or 'a tensor'} were taken off the tape (.numpy(), .data or .detach()) "
                    f"and used again at {r.where}.\n  A replay would change the one and not the other; use the tensor "
                    "itself, or pass strict=False if a constant was meant.")


def shares(r: Record, a: Any) -> bool:
    """Whether a record's value is a view of an array."""
    return isinstance(a, np.ndarray) and root(r.value) is root(a)


def root(a: np.ndarray[Any, Any]) -> Any:
    """The array that owns the memory of a view."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a
