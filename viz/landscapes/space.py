"""All parameters of a model as one point; the loss there, and the way down from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff import AutodiffError, OperandError, Tensor, gradients, no_grad
from viz.models import Array, Loss, loss_of, number

KEPT = 40           # points of a path


@dataclass(frozen=True)
class Descent:
    """The way from one start.

    Attributes
    ----------
    points : ndarray of shape (n, parameters)
        At most some forty of the points it passed, the start and the end among them.
    losses : ndarray of shape (n,)
        The loss there.
    diverged : bool
        Whether it ended early because the loss became infinite or NaN; the points are those before.
    """

    points: Array
    losses: Array
    diverged: bool

    @property
    def end(self) -> Array:
        """Where it ended."""
        point: Array = self.points[-1]
        return point


class Space:
    """The parameters of a model, its loss as a function of them."""

    def __init__(self, model: Any, parameters: Sequence[Tensor], loss_fn: Loss, x: Array, y: Array) -> None:
        self.model, self.parameters, self.loss_fn, self.x, self.y = model, parameters, loss_fn, x, y
        self.shapes = [p.shape for p in parameters]
        self.cuts = np.cumsum([p.size for p in parameters])[:-1]

    def here(self) -> Array:
        """The point at which the model is."""
        return self.joined([p.record.value for p in self.parameters])

    @staticmethod
    def joined(arrays: Sequence[Any]) -> Array:
        """One array for each parameter as a vector."""
        return np.concatenate([np.asarray(a, dtype=np.float64).ravel() for a in arrays])

    def parts(self, vector: Array) -> list[Array]:
        """A vector as one array for each parameter."""
        return [part.reshape(shape) for part, shape in zip(np.split(vector, self.cuts), self.shapes, strict=True)]

    def move(self, point: Array) -> None:
        """Set the model's parameters."""
        for p, part in zip(self.parameters, self.parts(point), strict=True):
            p.data = part

    def loss_of_here(self) -> float:
        """The loss where the model is; raises what there is to raise."""
        return number(loss_of(self.model, self.loss_fn, self.x, self.y))

    def loss_at(self, point: Array) -> float:
        """The loss at a point; NaN where it refuses the numbers that come out there."""
        self.move(point)
        try:
            with no_grad():
                return self.loss_of_here()
        except (AutodiffError, ArithmeticError, ValueError):
            return float("nan")

    def descend(self, start: Array, steps: int, lr: float, momentum: float) -> Descent:
        """Gradient descent on all samples at once; it ends early where the loss is no number."""
        every = max(1, steps // KEPT)
        point, velocity = start, np.zeros_like(start)
        points, losses = [], []
        for step in range(steps + 1):
            self.move(point)
            loss = loss_of(self.model, self.loss_fn, self.x, self.y)
            value = number(loss)
            if not np.isfinite(value):
                break
            if step % every == 0 or step == steps:
                points.append(point)
                losses.append(value)
            if step < steps:
                velocity = momentum * velocity - lr * self.joined(gradients(loss, list(self.parameters)))
                point = point + velocity
        if not points:
            raise OperandError(f"the loss of a start is {value} before any step")
        return Descent(np.stack(points), np.array(losses), not np.isfinite(value))

    def drawn(self, rng: np.random.Generator) -> Array:
        """A start as in the notes: weights N(0, sqrt(2 / (fan in + fan out))), biases 0 (Glorot and Bengio 2010)."""
        return self.joined([glorot(shape, rng) if len(shape) > 1 else np.zeros(shape) for shape in self.shapes])

    def random_direction(self, rng: np.random.Generator, centre: Array) -> Array:
        """A direction with each filter as long as the filter at the centre (Li et al. 2018); biases stay."""
        parts = []
        for part in self.parts(centre):
            d: Array = np.zeros(part.shape)
            if part.ndim > 1:
                d[...] = rng.normal(size=part.shape)
                axes = tuple(range(1, part.ndim))
                lengths = np.sqrt(np.sum(d * d, axis=axes, keepdims=True))
                d *= np.sqrt(np.sum(part * part, axis=axes, keepdims=True)) / np.where(lengths, lengths, 1)
            parts.append(d)
        return self.joined(parts)


def glorot(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Glorot normal; the axes after the first two are a kernel's."""
    kernel = int(np.prod(shape[2:]))
    drawn: Array = rng.normal(size=shape) * np.sqrt(2 / (kernel * (shape[0] + shape[1])))
    return drawn
