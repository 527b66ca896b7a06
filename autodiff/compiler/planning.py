"""Memory: where in one workspace each intermediate result lies, memory that nobody reads any more used again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from autodiff.compiler.lowering import less_one_hot
from autodiff.compiler.numpy_calls import UFUNCS
from autodiff.compiler.schedule import Node, Schedule
from autodiff.program.passes import shape_of
from autodiff.record import Record

ALIGNED = 64                     # bytes: a cache line, and the widest vector
FOREVER = 1 << 60


@dataclass
class Memory:
    """The plan of a workspace.

    Attributes
    ----------
    offsets : dict of Record to int
        Where each planned result begins, in bytes.
    size : int
        Bytes of the workspace.
    unshared : int
        Bytes that all results together would take.
    """

    offsets: dict[Record, int] = field(default_factory=dict)
    size: int = 0
    unshared: int = 0

    def __str__(self) -> str:
        return (f"workspace {self.size:,} bytes for {len(self.offsets)} results, which take {self.unshared:,} bytes "
                "without sharing")


def planned(schedule: Schedule, kept: Iterable[Record], own: set[Record]) -> Memory:
    """Give every result that a node may write into a place of its own while it is needed.

    Parameters
    ----------
    schedule : Schedule
        The nodes, in order.
    kept : iterable of Record
        Results that stay until the next call.
    own : set of Record
        Results that can be written into memory that is given.
    """
    last: dict[Record, int] = {}
    for i, node in enumerate(schedule.nodes):
        for x in read_by(node):
            for root in schedule.roots(x):
                last[root] = i
    for r in kept:
        for root in schedule.roots(r):
            last[root] = FOREVER
    memory = Memory()
    free: list[tuple[int, int]] = []               # (offset, size) of what nobody reads any more
    dying: dict[int, list[Record]] = {}
    for r, i in last.items():
        dying.setdefault(i, []).append(r)
    for i, node in enumerate(schedule.nodes):
        gone = [r for r in dying.get(i, ()) if r in memory.offsets]
        over = next((r for r in gone if in_place(node, r)), None)       # exactly: where parts overlap, NumPy copies
        for r in node.results:
            if r in own:
                memory.offsets[r] = taken(free, room(r), memory) if over is None else memory.offsets[over]
                memory.unshared += room(r)
        for r in gone:
            if r is not over or node.results[0] not in own:
                release(free, memory.offsets[r], room(r))
        for r in node.results:
            if r in own and r not in last:
                release(free, memory.offsets[r], room(r))
    return memory


def read_by(node: Node) -> list[Record]:
    """What a node reads from elsewhere."""
    if node.loop is not None:
        return list(node.loop.reads)
    return [x for x in node.records[0].inputs if isinstance(x, Record)]


def room(r: Record) -> int:
    """Bytes of a result, rounded up."""
    return -(-int(r.value.nbytes) // ALIGNED) * ALIGNED


def in_place(node: Node, r: Record) -> bool:
    """Whether a node may write over what it reads: it does so element by element, and looks once.

    Not where there is one element: NumPy then copies it first.
    """
    result = node.results[0]
    if node.loop is not None:
        return False
    op = node.records[0].op
    over = op is not None and (op is less_one_hot or (
        op.kind == "elementwise" and isinstance(UFUNCS.get(op.forward, op.forward), np.ufunc)))
    return over and shape_of(result) == shape_of(r) and result.value.dtype == r.value.dtype \
        and np.size(r.value) > 1 and node.records[0].inputs.count(r) >= 1


def release(free: list[tuple[int, int]], offset: int, size: int) -> None:
    """Give memory back, joined with its free neighbours."""
    free.append((offset, size))
    free.sort()
    joined: list[tuple[int, int]] = []
    for start, length in free:
        if joined and joined[-1][0] + joined[-1][1] == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        else:
            joined.append((start, length))
    free[:] = joined


def taken(free: list[tuple[int, int]], size: int, memory: Memory) -> int:
    """The smallest free place that is large enough, or a new one at the end."""
    fitting = [(length, start) for start, length in free if length >= size]
    if fitting:
        length, start = min(fitting)
        free.remove((start, length))
        if length > size:
            free.append((start + size, length - size))
        return start
    start = memory.size
    memory.size += size
    return start


def workspace(size: int) -> Any:
    """So many bytes that begin on a cache line: NumPy's loops take a fifth longer where vectors lie across two."""
    whole = np.empty(size + ALIGNED, np.uint8)
    start = -whole.ctypes.data % ALIGNED
    return whole[start:start + size]


def scratch(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array of its own that begins on a cache line."""
    return workspace(prod(shape) * np.dtype(dtype).itemsize).view(dtype).reshape(shape)
