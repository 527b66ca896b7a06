"""Running sums and products.

A running product is the recurrence yᵢ = xᵢ yᵢ₋₁, and so is its gradient, backwards: no rule divides, so zeros are as good
as any other value, to every order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.kinds import Op, linear_op
from autodiff.ops.reductions import before, lined_up, put_back


def solved(b: Any, a: Any) -> Any:
    """y with yᵢ = bᵢ + aᵢ yᵢ₋₁ along the last axis, starting from y₋₁ = 0, in log n steps.

    Each step composes every map y ↦ b + a y with the one `step` places before it.
    """
    step = 1
    while step < np.shape(b)[-1]:
        b = np.concatenate([b[..., :step], b[..., step:] + a[..., step:] * b[..., :-step]], -1)
        a = np.concatenate([a[..., :step], a[..., step:] * a[..., :-step]], -1)
        step *= 2
    return b * 1 if step == 1 else b


def earlier(y: Any) -> Any:
    """yᵢ₋₁ along the last axis, starting with 0."""
    return np.concatenate([np.zeros_like(y[..., :1]), y[..., :-1]], -1)


def later(g: Any, a: Any) -> Any:
    """λ with λᵢ = gᵢ + aᵢ₊₁ λᵢ₊₁ along the last axis."""
    return recurrence(g[..., ::-1], earlier(a[..., ::-1]))[..., ::-1]


def backwards(g: Any, axis: int) -> Any:
    """g the other way round along an axis."""
    return g[(*(slice(None),) * (axis % np.ndim(g)), slice(None, None, -1))]


def summed_from_the_end(g: Any, axis: int) -> Any:
    """Σ gₖ over k ≥ i."""
    return backwards(np.cumsum(backwards(g, axis), axis), axis)


# --------------- name      forward                                                              rule
cumsum  = linear_op("cumsum", lambda x, axis=None: np.cumsum(x, axis),                           lambda g, y, x, axis=None: np.reshape(summed_from_the_end(g, axis or 0), np.shape(x)))
cumprod = Op(lambda x, axis=None: np.cumprod(x, axis), "cumprod").vjp(
    lambda g, y, x, axis=None: put_back(before(lined_up(x, axis)) * later(lined_up(g, axis), lined_up(x, axis)), x, axis))
recurrence: Op = Op(solved, "recurrence").vjp(
    lambda g, y, b, a: later(g, a),
    lambda g, y, b, a: later(g, a) * earlier(y))
