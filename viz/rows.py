"""Rows of local Jacobians: what an entry of a result depends on, read off its operation's own rule."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from autodiff.kinds import At
from autodiff.ops.indexing import put_together
from autodiff.ops.shapes import un_broadcast
from autodiff.record import Record
from viz.choice import is_array


class Element(NamedTuple):
    """An entry of a record, or of an array (as `Same`), by its place in memory order."""

    holder: Any
    at: int


class Same:
    """An array as a key: equal to itself only."""

    __slots__ = ("array",)

    def __init__(self, array: Any) -> None:
        self.array = array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.array is self.array

    def __hash__(self) -> int:
        return id(self.array)


def contributions(r: Record, y: Any, values: list[Any], at: int) -> list[Any]:
    """What each input's gradient would be, were the result's one at this entry and zero elsewhere; None for none."""
    assert r.op is not None
    g = np.zeros_like(y)
    if g.ndim:
        g.flat[at] = 1
    else:
        g = np.ones_like(y)
    with np.errstate(all="ignore"):
        edges = r.op.edges if r.op.together is None else r.op.together(g, y, *values, **r.options)
        found: list[Any] = []
        for x, v, edge in zip(r.inputs, values, [*edges, *[None] * len(values)], strict=False):
            if edge is None or not (isinstance(x, Record) or is_array(x)) or np.asarray(v).dtype.kind not in "fc":
                found.append(None)
                continue
            c = edge if r.op.together is not None else edge(g, y, *values, **r.options)
            c = put_together([c], v, None) if isinstance(c, At) else c
            found.append(un_broadcast(c, np.shape(v)) if np.shape(c) != np.shape(v) else c)
    return found
