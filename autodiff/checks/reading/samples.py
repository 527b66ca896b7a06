"""Single samples and steps of what a tape knows: a loop over samples makes these, and no tape records them alone."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import permutations, product
from typing import Any

import numpy as np

from autodiff.checks.reading.quantities import CLOSE, INNER, Known, probes

LARGEST = 2e6              # numbers in one table
AXES = 4                   # of the arrays that are taken apart


class Samples:
    """Known quantities, and the samples, steps, units and elements of these, found by their numbers.

    Parameters
    ----------
    known : sequence of Known
        The quantities.
    """

    def __init__(self, known: Sequence[Known]) -> None:
        self.known = [k for k in known if not k.parts and k.kind != INNER and np.ndim(k.value) <= AXES]
        self.tables: dict[int, tuple[list[float], list[float], list[Known]]] = {}

    def holder(self, value: Any, among: Collection[Known] | None = None) -> Known | None:
        """The quantity, one of these or any, that an array is, or is a part of; None if there is none."""
        flat = np.ravel(value).astype(np.float64)
        size = flat.size
        if not size:
            return None
        norm = math.sqrt(flat @ flat)
        if not 0 < norm < math.inf:
            return None
        if size not in self.tables:
            self.tables[size] = self.table(size)
        first, second, owners = self.tables[size]
        one, two = (probes(size) @ flat).tolist()
        near = CLOSE * norm
        for i in range(bisect_left(first, one - near), bisect_right(first, one + near)):
            if abs(second[i] - two) <= near and (among is None or any(owners[i] is k for k in among)):
                return owners[i]
        return None

    def table(self, size: int) -> tuple[list[float], list[float], list[Known]]:
        """The products with the probes of all pieces of this size, in order of the first, and whose pieces they are."""
        found: list[Any] = []
        owners: list[Known] = []
        room = LARGEST
        alike: dict[tuple[int, ...], list[Known]] = {}     # those of one shape are taken apart together
        for k in self.known:
            if orders := pieces(k.value.shape, size):
                alike.setdefault(k.value.shape, []).append(k)
                room -= len(orders) * k.value.size
            if room < 0:
                break
        for shape, some in alike.items():
            values = np.stack([k.value for k in some]).astype(np.float64)
            for axes in pieces(shape, size):
                rows = np.reshape(values.transpose([0, *(axis + 1 for axis in axes)]), (-1, size))
                found.append(rows @ probes(size).T)
                owners += [k for k in some for _ in range(len(rows) // len(some))]
        if not found:
            return [], [], []
        both = np.concatenate(found)
        order = np.argsort(both[:, 0])
        return both[order, 0].tolist(), both[order, 1].tolist(), [owners[i] for i in order]


@lru_cache(maxsize=1024)
def pieces(shape: tuple[int, ...], size: int) -> list[list[int]]:
    """The orders of the axes after which all that is left of this size, if some axes are held, stands last."""
    found = []
    for held in product((False, True), repeat=len(shape)):
        free = [axis for axis, h in enumerate(held) if not h]
        if math.prod(shape[axis] for axis in free) != size:
            continue
        first = [axis for axis, h in enumerate(held) if h]
        wide = [axis for axis in free if shape[axis] > 1]
        for order in permutations(wide) if len(wide) < AXES else [tuple(wide), tuple(wide[::-1])]:
            found.append([*first, *order, *(axis for axis in free if axis not in order)])
    return found
