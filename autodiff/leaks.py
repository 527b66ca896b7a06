"""Leaks: places where a value left the tape as a Python number (`item()`, `bool(t)`, an `if`).

What the program did with the number the tape cannot know, so a replay on other values past such a
place could be wrong; `Tape.replay` asks here first.
"""

from __future__ import annotations

from types import CodeType
from typing import NamedTuple

from autodiff.record import Record, next_serial

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
