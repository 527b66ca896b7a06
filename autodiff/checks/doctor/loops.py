"""The loops of a tape: which records one line made time after time, and what passes from one time round to the next.

A record belongs to a line, the place in the code where it was made, and to a time, its number among those of the line.
What was read or made at each time is a sequence. The mistakes of a loop are made every time round, so they are told of
lines and sequences, not of records.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from autodiff.checks.doctor.backprop import Backprop, Edge
from autodiff.checks.doctor.suspects import Suspect, said
from autodiff.program.passes import value_of
from autodiff.record import Record
from autodiff.sites import locate

ROUND = "every time round"


class Series(NamedTuple):
    """What one line made, or read as one of its operands, at each time."""

    name: str
    items: tuple[Any, ...]

    @property
    def values(self) -> list[Any]:
        """The arrays."""
        return [value_of(x) for x in self.items]


class Loops:
    """The loop of a tape that most lines belong to.

    Parameters
    ----------
    bp : Backprop
        The right backward pass.

    Attributes
    ----------
    lines : list of list of Record
        The records of each line, in order.
    time : dict of Record to int
        At which time each was made.
    times : int
        How often the loop was run; 0 where there is none.
    """

    def __init__(self, bp: Backprop) -> None:
        self.bp = bp
        records = sorted((r for r in bp.twin.values() if r.op is not None), key=lambda r: r.serial)
        groups = grouped(records, lambda r: (r.code, r.lasti, r.op))
        if all(len(group) < 2 for group in groups):
            groups = grouped(records, lambda r: (r.op, stem(r)))
        often = Counter(len(group) for group in groups if len(group) > 1)
        self.times = max(often, key=lambda n: (often[n], n), default=0)
        self.lines: list[list[Record]] = []
        self.time: dict[Record, int] = {}
        for group in groups:
            n, rest = divmod(len(group), self.times or 1)                  # a helper is called several times a round
            whole = self.times > 0 and rest == 0
            lines = [group[k::n] for k in range(n)] if whole else [group] if n == 0 and rest == self.times - 1 else []
            self.lines += lines
            self.time |= {r: t + (not whole) for line in lines for t, r in enumerate(line)}     # the first is constant
        self.line = {r: n for n, line in enumerate(self.lines) for r in line}

    @cached_property
    def groups(self) -> list[list[Edge]]:
        """The edges of each line and operand, in order."""
        found = []
        for line in self.lines:
            for i in range(len(line[0].inputs)):
                edges = [Edge(r, i, r.inputs[i]) for r in line
                         if i < len(r.inputs) and isinstance(r.inputs[i], Record)]
                edges = [e for e in edges if e in self.bp.fitted]
                if len(edges) > 1 and len(edges) >= self.times - 1:
                    found.append(edges)
        return found

    @cached_property
    def series(self) -> list[Series]:
        """What is made or read at each time, each once."""
        found: dict[tuple[int, ...], Series] = {}
        for line in self.lines:
            if len(line) < self.times:
                continue
            n = min(len(r.inputs) for r in line)
            for items in (tuple(line), *(tuple(r.inputs[k] for r in line) for k in range(n))):
                ids = tuple(map(id, items))
                if len(set(ids)) == len(ids) > 1 and all(isinstance(x, Record) and not isinstance(x.value, tuple)
                                                         for x in items):
                    found.setdefault(ids, Series(name_of(items), items))
        return list(found.values())

    @cached_property
    def carrying(self) -> list[Edge]:
        """The edges by which a gradient passes to the time before, or to what stood there before the first."""
        starts = {s.items[0] for s in self.series if self.starts_with(s)}
        return [e for e in self.bp.edges if e.r in self.time and np.ndim(e.r.value) and (
            self.time.get(e.x, self.times) < self.time[e.r] or (e.x in starts and not self.time[e.r]))]

    @cached_property
    def states(self) -> list[Record]:
        """What passes from one time to the next, of each time."""
        return list(dict.fromkeys(e.x for e in self.carrying if e.x in self.time))

    def starts_with(self, series: Series) -> bool:
        """Whether a sequence is what is carried, with what stood there before the first time."""
        return series.items[0] not in self.time and series.items[1] in self.time

    def starts(self, edge: Edge) -> bool:
        """Whether an edge leads to what stood before the first time."""
        return edge.x not in self.time

    def but_the_first(self, edges: list[Edge]) -> list[list[Edge]]:
        """Edges, and without those to what stood before the first time: their gradient is no longer carried."""
        inner = [e for e in edges if not self.starts(e)]
        return [edges, inner] if inner and len(inner) < len(edges) else [edges]


def every_time(kinds: Sequence[str], cost: float, rules: dict[Edge, Any], told: str, tag: str) -> Iterator[Suspect]:
    """One change of the rules of a loop, made every time round, by each name that it may have."""
    first = next(iter(rules))
    for n, kind in enumerate(kinds):
        yield Suspect(kind, cost + 0.02 * n, first, rules, told=told, tag=tag, everywhere=ROUND, guess=len(kinds) > 1,
                      rule=rules[first])


def grouped(records: list[Record], key: Any) -> list[list[Record]]:
    """Records with the same key, in order."""
    found: dict[Any, list[Record]] = {}
    for r in records:
        found.setdefault(key(r), []).append(r)
    return list(found.values())


def name_of(items: tuple[Any, ...]) -> str:
    """What a sequence is called: as what it is after the first time, without its number."""
    return re.sub(r"_?\d+$", "", said(items[-1]))


def stem(r: Record) -> str:
    """What a record's name and line are but for numbers: the same for the steps of an unrolled loop."""
    return re.sub(r"\d+", "", f"{r.name or ''} {locate(r.code, r.lasti).text}")
