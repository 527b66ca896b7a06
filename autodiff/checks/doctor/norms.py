"""Standardising, (x - mean x) / s along an axis, as one step: what layer and batch normalisation are made of.

Its derivative is short, (g - mean g - y mean(g y)) / s, and each of its parts is forgotten by somebody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from autodiff.checks.mistakes import Mistake
from autodiff.record import Record


class Norm(NamedTuple):
    """y is x, standardised along an axis with the deviation s."""

    x: Record
    y: Record
    axis: int
    s: Any
    unit: bool = False            # divided by its length only


def norm_between(x: Record, y: Record) -> Norm | None:
    """Whether y is x standardised along one of its axes."""
    a, b = x.value, y.value
    line = (slice(None),) + (0,) * (np.ndim(a) - 1), (0,) * (np.ndim(a) - 1) + (slice(None),)
    if not any(abs(np.mean(b[at])) <= 1e-10 for at in line) and np.ndim(a) < 3:
        return None                                                      # nothing here has mean zero
    for axis in range(np.ndim(a)):
        if np.shape(a)[axis] < 3:
            continue
        c = a - np.mean(a, axis=axis, keepdims=True)
        below = np.sum(b * b, axis=axis, keepdims=True)
        if np.any(below == 0) or np.max(np.abs(np.mean(b, axis=axis))) > 1e-10:
            continue
        s = np.sum(c * b, axis=axis, keepdims=True) / below
        if np.all(np.isfinite(s)) and np.ptp(s) > 0 and np.allclose(b * s, c, rtol=1e-9, atol=1e-12):
            return Norm(x, y, axis, s)
    return None


def unit_between(x: Record, y: Record) -> Norm | None:
    """Whether y is x divided by its length along one of its axes, a small number in the root or not."""
    a, b = x.value, y.value
    first = (0,) * np.ndim(a)
    if np.ndim(a) > 3 or not a[first] or not b[first] or b[first] / a[first] <= 0:
        return None
    for axis in range(np.ndim(a)):
        below = np.sum(a * b, axis=axis, keepdims=True)
        if np.shape(a)[axis] < 2 or np.any(below <= 0):
            continue
        s = np.sum(a * a, axis=axis, keepdims=True) / below
        small = s * s - np.sum(a * a, axis=axis, keepdims=True)
        if np.allclose(b * s, a, rtol=1e-9, atol=1e-12) and np.ptp(small) <= 1e-9 * np.max(s * s) and (
                np.ptp(s) > 0 or np.size(s) == 1):
            return Norm(x, y, axis, s, True)
    return None


def mistakes_of_unit(norm: Norm) -> Iterator[Mistake]:
    """What goes wrong in the derivative of a vector of length one, (g - y Σ g y) / s."""
    axis, s = norm.axis, norm.s

    def total(v: Any, along: Any = axis) -> Any:
        return np.sum(v, axis=along, keepdims=True)

    forms: list[tuple[str, float, str, Any]] = [
        ("treated-as-constant", 1.0, "the length", lambda g, y, x: g / s),
        ("sign", 1.1, "projection", lambda g, y, x: (g + y * total(g * y)) / s),
        ("missing-local-derivative", 1.1, "1 / s", lambda g, y, x: g - y * total(g * y)),
        ("wrong-local-rule", 1.2, "times s", lambda g, y, x: (g - y * total(g * y)) * s),
        ("double-derivative", 1.2, "1 / s", lambda g, y, x: (g - y * total(g * y)) / (s * s)),
        ("scale", 1.2, "a mean for the sum", lambda g, y, x: (g - y * np.mean(g * y, axis=axis, keepdims=True)) / s),
        ("wrong-operand", 1.2, "x", lambda g, y, x: (g - y * total(g * x)) / s),
        ("wrong-operand", 1.2, "x", lambda g, y, x: (g - x * total(g * y)) / s),
        ("wrong-operand", 1.2, "x", lambda g, y, x: (g - x * total(g * x)) / s),
        ("missing-local-derivative", 1.2, "y", lambda g, y, x: (g - total(g * y)) / s),
        ("missing-broadcast-reduction", 1.2, "g y", lambda g, y, x: (g - y * (g * y)) / s),
        ("dropped-path", 1.3, "g", lambda g, y, x: -y * total(g * y) / s)]
    forms += [("wrong-axis", 1.2, f"over axis {k}", lambda g, y, x, k=k: (g - y * total(g * y, k)) / s)
              for k in (*range(np.ndim(norm.x.value)), None) if k != axis]
    for i, (kind, cost, told, rule) in enumerate(forms):
        yield Mistake(kind, rule, f"unit {i}", cost + 0.1, told)


def mistakes_of_norm(norm: Norm) -> Iterator[Mistake]:
    """What goes wrong in its derivative."""
    axis, s, n = norm.axis, norm.s, np.shape(norm.x.value)[norm.axis]
    others = [k for k in range(np.ndim(norm.x.value)) if k != axis and np.shape(norm.x.value)[k] > 1]

    def mean(v: Any, along: Any = axis) -> Any:
        return np.mean(v, axis=along, keepdims=True)

    def total(v: Any, along: Any = axis) -> Any:
        return np.sum(v, axis=along, keepdims=True)

    def long(g: Any, y: Any, x: Any, over: Any = axis, other: Any = None, size: int = n, two: float = 2.0) -> Any:
        """By way of the variance and the mean, as it is derived step by step."""
        c = y * s
        dvar = total(-0.5 * g * (c if other is None else other) / s ** 3, over)
        return g / s + dvar * two * c / size - total(g / s) / size

    forms: list[tuple[str, float, str, Any]] = [
        ("treated-as-constant", 1.0, "mean and deviation", lambda g, y, x: g / s),
        ("treated-as-constant", 1.0, "deviation", lambda g, y, x: (g - mean(g)) / s),
        ("treated-as-constant", 1.0, "mean", lambda g, y, x: (g - y * mean(g * y)) / s),
        ("missing-local-derivative", 1.1, "1 / s", lambda g, y, x: g - mean(g) - y * mean(g * y)),
        ("wrong-local-rule", 1.2, "times s", lambda g, y, x: (g - mean(g) - y * mean(g * y)) * s),
        ("double-derivative", 1.2, "1 / s", lambda g, y, x: (g - mean(g) - y * mean(g * y)) / (s * s)),
        ("sign", 1.1, "projection", lambda g, y, x: (g - mean(g) + y * mean(g * y)) / s),
        ("sign", 1.1, "mean", lambda g, y, x: (g + mean(g) - y * mean(g * y)) / s),
        ("scale", 1.2, "sums for means", lambda g, y, x: (g - total(g) - y * total(g * y)) / s),
        ("scale", 1.2, "sum for the mean", lambda g, y, x: (g - total(g) - y * mean(g * y)) / s),
        ("scale", 1.2, "sum for the mean", lambda g, y, x: (g - mean(g) - y * total(g * y)) / s),
        ("scale", 1.2, "n before g", lambda g, y, x: (g / n - mean(g) - y * mean(g * y)) / s),
        ("missing-local-derivative", 1.2, "y", lambda g, y, x: (g - mean(g) - mean(g * y)) / s),
        ("wrong-operand", 1.2, "g", lambda g, y, x: (g - mean(g) - y * mean(g)) / s),
        ("wrong-operand", 1.2, "x", lambda g, y, x: (g - mean(g) - x * mean(g * x)) / s),
        ("wrong-operand", 1.2, "x", lambda g, y, x: (g - mean(g) - y * mean(g * x)) / s),
        ("wrong-operand", 1.2, "x", lambda g, y, x: (g - mean(g) - x * mean(g * y)) / s),
        ("wrong-operand", 1.2, "the centred x", lambda g, y, x: (g - mean(g) - y * s * mean(g * y)) / s),
        ("wrong-operand", 1.2, "the centred x", lambda g, y, x: (g - mean(g) - y * s * mean(g * y * s)) / s),
        ("missing-broadcast-reduction", 1.2, "g y", lambda g, y, x: (g - mean(g) - y * (g * y)) / s),
        ("treated-as-constant", 1.3, "the others of the axis", lambda g, y, x: g * (1 - 1 / n - y * y / n) / s),
        ("wrong-operand", 1.2, "x in the variance's part", lambda g, y, x: long(g, y, x, other=x)),
        ("scale", 1.1, "1/2 in the variance's part", lambda g, y, x: long(g, y, x, two=1.0)),
        ("scale", 1.3, f"{n - 1} for {n}", lambda g, y, x: (g - mean(g) - y * mean(g * y) * n / (n - 1)) / s),
    ]
    for k in others:
        forms += [
            ("wrong-axis", 1.2, f"over axis {k}", lambda g, y, x, k=k: long(g, y, x, k)),
            ("scale", 1.2, f"{n}/{np.shape(norm.x.value)[k]} in some of its terms",
             lambda g, y, x, k=k: long(g, y, x, size=np.shape(x)[k])),
            ("wrong-axis", 1.2, f"over axis {k}", lambda g, y, x, k=k: (g - mean(g, k) - y * mean(g * y, k)) / s),
            ("wrong-axis", 1.2, f"over axis {k}", lambda g, y, x, k=k: (g - mean(g, k) - y * mean(g * y)) / s),
            ("wrong-axis", 1.2, f"over axis {k}", lambda g, y, x, k=k: (g - mean(g) - y * mean(g * y, k)) / s)]
    if others:
        forms += [
            ("wrong-axis", 1.2, "over everything", lambda g, y, x: (g - np.mean(g) - y * np.mean(g * y)) / s),
            ("wrong-axis", 1.2, "over everything", lambda g, y, x: (g - np.mean(g) - y * mean(g * y)) / s),
            ("wrong-axis", 1.2, "over everything", lambda g, y, x: (g - mean(g) - y * np.mean(g * y)) / s)]
    for i, (kind, cost, told, rule) in enumerate(forms):
        yield Mistake(kind, rule, f"norm {i}", cost + 0.1, told)
