"""Which gradients the values of a line reach: moved a little, they show where they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.checks.reading.hooks import OPAQUE, Spot
from autodiff.checks.reading.status import same
from autodiff.checks.reading.their_code import Change

if TYPE_CHECKING:
    from autodiff.checks.reading.repair import Repairs

MOVED = 1e-3               # by how much, relative to their size
PARTS = 32                 # up to this length, some elements of an array are moved by themselves


class Reach:
    """The gradients that each line of a function reaches, looked up when asked for.

    Parameters
    ----------
    repairs : Repairs
        The function, and what it gives.
    """

    def __init__(self, repairs: Repairs) -> None:
        self.repairs = repairs
        self.found: dict[Spot, frozenset[Any] | None] = {}
        self.harm: dict[Spot, bool] = {}
        self.rng = np.random.default_rng(0)

    def of(self, spot: Spot) -> frozenset[Any] | None:
        """The keys of the gradients that a spot's values reach; None if that cannot be told."""
        if spot not in self.found:
            self.found[spot] = self.of_lines(spot) if spot.kind in OPAQUE else self.by_moving(spot)
        return self.found[spot]

    def by_moving(self, spot: Spot) -> frozenset[Any] | None:
        """The same, by a run with the values moved."""
        repairs = self.repairs
        values = repairs.first.seen[spot].values
        if not values or np.asarray(values[0]).dtype.kind != "f":
            return None

        def moved(n: int, v: Any) -> Any:
            size = np.max(np.abs(v), initial=0) or 1.0
            return v + MOVED * size * self.rng.normal(size=np.shape(v))

        outputs = repairs.outputs_of({spot: moved})
        if outputs is None:
            return None
        return frozenset(k for k, old in repairs.outputs.items() if not same(outputs.get(k), old))

    def of_lines(self, spot: Spot) -> frozenset[Any] | None:
        """The same of what is no array: what the lines of its statement reach."""
        end: int = spot.node.end_lineno  # type: ignore[attr-defined]
        inner = [other for other in self.repairs.order if other.kind not in OPAQUE and other.file == spot.file
                 and spot.line <= other.line <= end]
        known = [part for part in map(self.of, inner) if part is not None]
        return frozenset().union(*known) if known else None

    def useless(self, spot: Spot) -> bool:
        """Whether a spot reaches nothing that is wrong."""
        reached = self.of(spot)
        return reached is not None and not reached & self.repairs.wrong

    def harmful(self, spot: Spot) -> bool:
        """Whether a spot reaches gradients that are right: then its values are right too, as a rule.

        Not where one array holds several gradients, and some of its elements reach none that is right.
        """
        if spot not in self.harm:
            self.harm[spot] = bool((self.of(spot) or frozenset()) - self.repairs.wrong) and not self.parted(spot)
        return self.harm[spot]

    def parted(self, spot: Spot) -> bool:
        """Whether some of the elements of a spot's values reach wrong gradients only."""
        values = self.repairs.first.seen[spot].values if spot.kind not in OPAQUE else []
        if not values or not values[0].ndim or not 1 < values[0].shape[0] <= PARTS:
            return False

        def moving(at: int) -> Change:
            def moved(n: int, v: Any) -> Any:
                v = np.array(v, np.float64)
                if at < len(v):
                    v[at] += MOVED * (np.max(np.abs(v), initial=0) or 1.0)
                return v
            return moved

        n = values[0].shape[0]
        for at in sorted({0, 1, n // 2, n - 1}):           # the parts of an array are its beginning, its end, or halves
            outputs = self.repairs.outputs_of({spot: moving(at)})
            if outputs is not None:
                reached = {k for k, old in self.repairs.outputs.items() if not same(outputs.get(k), old)}
                if reached and reached <= self.repairs.wrong:
                    return True
        return False
