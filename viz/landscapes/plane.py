"""Planes through the space of all parameters: where they lie, what of a path they hold, and lines between its ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from viz.landscapes.space import Space
from viz.models import Array

LINE = 41           # points of a line between two ends
ROUNDING = 1e-9     # of the loss: a smaller bump proves nothing


@dataclass(frozen=True)
class Plane:
    """A point and two directions.

    Attributes
    ----------
    centre : ndarray
        The point (0, 0).
    u, v : ndarray
        The directions of the two axes.
    """

    centre: Array
    u: Array
    v: Array

    def at(self, a: float, b: float) -> Array:
        """The point with these coordinates."""
        point: Array = self.centre + a * self.u + b * self.v
        return point

    def coordinates(self, points: Array) -> Array:
        """Of the nearest points of the plane, one row each (least squares)."""
        basis = np.stack([self.u, self.v])
        found: Array = (points - self.centre) @ basis.T @ np.linalg.pinv(basis @ basis.T)
        return found

    def held(self, points: Array) -> float:
        """The part of the points' squared distances from their mean that lies in the plane; 1 if they do not differ."""
        apart = points - points.mean(axis=0)
        q, _ = np.linalg.qr(np.stack([self.u, self.v], axis=1))
        whole = float(np.sum(apart * apart))
        return float(np.sum((apart @ q) ** 2)) / whole if whole else 1.0


def through(points: Array, rng: np.random.Generator) -> Plane:
    """The plane with the smallest squared distances from some points (principal components); through three, exactly."""
    centre = points.mean(axis=0)
    _, sizes, directions = np.linalg.svd(points - centre, full_matrices=False)
    found = [d for d, size in zip(directions[:2], sizes[:2], strict=True) if size > 1e-12 * max(sizes[0], 1e-300)]
    while len(found) < 2:                       # the points lie on a line, or are one
        d = rng.normal(size=centre.shape)
        for other in found:
            d -= (d @ other) * other
        found.append(d / np.linalg.norm(d))
    u, v = found
    return Plane(centre, u, v)


@dataclass(frozen=True)
class Bump:
    """The loss on the straight line between two ends.

    Attributes
    ----------
    ends : tuple of int
        Which starts they belong to, counted from 1.
    losses : ndarray
        At equal steps, both ends included.
    """

    ends: tuple[int, int]
    losses: Array

    @property
    def top(self) -> float:
        """The largest loss in between; NaN if one of them is none."""
        return float(np.max(self.losses))

    @property
    def proves(self) -> bool:
        """Whether the loss rises above the chord somewhere, as that of a convex function cannot."""
        t = np.linspace(0, 1, len(self.losses))
        chord = (1 - t) * self.losses[0] + t * self.losses[-1]
        return bool(np.any(self.losses > chord + ROUNDING * (1 + np.abs(chord))))


def bumps(space: Space, ends: Sequence[Array]) -> list[Bump]:
    """The loss on the lines between the ends, each with each of the first few."""
    few = ends[:4]
    return [Bump((i + 1, j + 1), np.array([space.loss_at((1 - t) * few[i] + t * few[j])
                                           for t in np.linspace(0, 1, LINE)]))
            for i in range(len(few)) for j in range(i + 1, len(few))]
