"""Elementwise operations on large arrays, in blocks that stay in the cache: NumPy's calls, piece after piece.

Each call on whole arrays goes through memory once; in blocks only the first and the last do. Every element is computed
as before, so results are the same to the last bit; sums stay outside, where their order is NumPy's own.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from autodiff.compiler.numpy_calls import UFUNCS
from autodiff.compiler.planning import scratch
from autodiff.compiler.schedule import Node, Schedule
from autodiff.naming import free
from autodiff.ops import products
from autodiff.program.passes import full, shape_of
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.compiler.emission import Emission

BLOCK = 32_768                  # elements at a time: all that a chain keeps fits the second-level cache
LARGE = 2 * BLOCK               # elements, below which whole arrays fit as well
SHORT = 3                       # calls that gain nothing


def fits(r: Record) -> bool:
    """Whether a record can be computed in blocks: a ufunc of large arrays of one shape, and of numbers."""
    if r.op is None or r.op is products.matmul or r.options or not isinstance(r.value, np.ndarray):
        return False
    f = UFUNCS.get(r.op.forward, r.op.forward)
    shape = r.value.shape
    if not isinstance(f, np.ufunc) or f.nout != 1 or f.signature is not None or prod(shape) < LARGE \
            or prod(shape[1:]) > BLOCK:
        return False
    return all(not isinstance(x, Record) or full(x) is not None or shape_of(x) in (shape, ()) for x in r.inputs)


def whole_again(schedule: Schedule) -> None:
    """Take apart the loops that are too short to gain."""
    nodes: list[Node] = []
    for node in schedule.nodes:
        if node.loop is None or len(node.records) > SHORT:
            nodes.append(node)
            continue
        wanted = {x for r in node.records for x in r.inputs if isinstance(x, Record)} | set(node.results)
        nodes += [Node([r], node.level, None, [r]) for r in node.records if r in wanted]
    schedule.nodes[:] = nodes


def call(node: Node, w: Emission) -> list[str]:
    """The lines that go through the blocks."""
    assert node.loop is not None
    shape = node.records[0].value.shape
    rows = max(1, BLOCK // prod(shape[1:]))
    lines: list[str] = []
    cuts: list[str] = []
    cut: dict[str, str] = {}                             # the name of an array's piece, by the array's

    def piece(name: str) -> str:
        """The name of the piece of an array."""
        if name not in cut:
            cut[name] = free(f"{name}_b", w.used)
            cuts.append(f"{cut[name]} = {name}[start:start + {rows}]")
        return cut[name]

    numbers = [x for x in node.loop.reads if x in w.early and not np.ndim(x.value)] if shape[0] > rows else []
    pieces = {x: w.held(x) for x in numbers}
    for x in node.loop.reads:
        if shape_of(x) == shape and full(x) is None:
            pieces[x] = piece(w.arg(x))
    places: dict[Record, str] = {}
    after: list[str] = []
    for r in node.results:
        name = w.place(r) or w.named(r)
        if w.place(r) is None:
            lines.append(f"{name} = empty({shape!r}, {w.dtype(r)})")
        places[r] = pieces[r] = piece(name)
    made = {r: i for i, r in enumerate(node.records)}
    last = {x: i for i, r in enumerate(node.records) for x in r.inputs if isinstance(x, Record)}
    until = {pieces[r]: made[r] for r in node.results}   # when the place of a result is written
    read = {pieces[x]: i for i, r in enumerate(node.records) for x in r.inputs if x in pieces.keys() - made.keys()}
    spare: list[tuple[str, np.dtype]] = []
    own: dict[Record, tuple[str, np.dtype]] = {}
    whole = dict(w.names)
    calls: list[str] = []
    for i, r in enumerate(node.records):
        w.names.update(pieces)
        leaf = w.direct.get(r)
        waits = leaf is not None and any(last[x] > i for x in last if w.schedule.root(x) is leaf)
        for x in dict.fromkeys(x for x in r.inputs if isinstance(x, Record)):
            if last[x] == i and x in own:
                spare.append(own.pop(x))
            elif x not in made and read.get(pieces.get(x, "")) == i < until.get(pieces[x], i):     # free until then
                spare.append((pieces[x], x.value.dtype))
        if r not in places or waits:
            end = len(made) if waits else last.get(r, i)
            slot = next((s for s in reversed(spare)              # the newest: over what it reads
                         if s[1] == r.value.dtype and end <= until.get(s[0], len(made))), None)
            if slot is None:
                slot = free("piece", w.used), r.value.dtype
                whole_piece = free(f"{slot[0]}_all", w.used)
                shown = (rows, *shape[1:])
                w.bound.append(f"{whole_piece} = {w.function(scratch, 'scratch')}({shown!r}, {w.dtype(r)})")
                cuts.append(f"{slot[0]} = {whole_piece}[:{shape[0]} - start]")
            else:
                spare.remove(slot)
            pieces[r] = slot[0]
            if waits:
                after.append(f"copyto({places[r]}, {slot[0]})")
            else:
                own[r] = slot
        calls.append(w.ufunc_call(r, pieces[r]))
    w.names.clear()
    w.names.update(whole)
    return [*lines, f"for start in range(0, {shape[0]}, {rows}):", *(f"    {line}" for line in (*cuts, *calls, *after))]
