"""A matrix with its blocks mixed up, where what it makes is cut into parts: the gates of a cell."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import numpy as np

from autodiff.checks.doctor.backprop import Edge
from autodiff.checks.doctor.loops import Loops
from autodiff.checks.doctor.suspects import said
from autodiff.ops import indexing
from autodiff.program.passes import value_of
from autodiff.record import Record

HOPS = 4                 # records between a product and what it is cut into


def blocks(loops: Loops, edges: list[Edge], W: Any) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """What may be read for a matrix whose product is cut into parts, by its kinds if they are known, and in words."""
    W, parts = value_of(W), cuts(loops, edges[0].r)
    for axis in range(np.ndim(W)):
        before = (slice(None),) * axis
        places = [(said(r), (*before, cut)) for r, cut in parts]
        for (a, mine), (b, its) in permutations(places, 2):
            if np.shape(W[mine]) == np.shape(W[its]) and W[mine].size:
                yield (), f"the part of {b} for that of {a}", with_blocks(W, (mine, W[its]))
        for (_, mine), (_, its) in combinations(places, 2):
            if np.shape(W[mine]) == np.shape(W[its]) and W[mine].size:
                yield ("swapped",), "two of its parts exchanged", with_blocks(W, (mine, W[its]), (its, W[mine]))
        for name, mine in places:
            yield ("dropped-path",), f"it without the part of {name}", with_blocks(W, (mine, 0.0))
        turned = [(mine, W[mine].T) for _, mine in places if np.ndim(W) == 2 and len({*np.shape(W[mine])}) == 1]
        if turned:
            yield ("missing-transpose",), "its parts not transposed", with_blocks(W, *turned)


def cuts(loops: Loops, made: Record) -> list[tuple[Record, slice]]:
    """The parts into which what is made is cut, with their slices; [] if any is cut in another way."""
    for _ in range(HOPS):
        users = [e.r for e in loops.bp.into.get(made, ())]
        found = [(r, only_slice(r.options["index"])) for r in users if r.op is indexing.item]
        if found or len(users) != 1:
            return [(r, cut) for r, cut in found if cut is not None] if all(cut for _, cut in found) else []
        made = users[0]
    return []


def with_blocks(W: Any, *others: tuple[Any, Any]) -> Any:
    """A copy with other blocks in some places."""
    wrong = W.copy()
    for place, block in others:
        wrong[place] = block
    return wrong


def only_slice(index: Any) -> slice | None:
    """The slice by which an index cuts, where it is only that."""
    parts = index if isinstance(index, tuple) else (index,)
    cut = [part for part in parts if isinstance(part, slice) and part != slice(None)]
    whole = all(isinstance(part, slice) or part is Ellipsis for part in parts)
    return cut[0] if len(cut) == 1 and whole else None
