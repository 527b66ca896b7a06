"""What is put in the place of a line's values: a multiple, another shape, a sum; and what factor is wanted."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.checks.reading.hooks import Spot
from autodiff.checks.reading.quantities import CLOSE
from autodiff.checks.reading.status import COARSE
from autodiff.checks.reading.their_code import Change

Outputs = dict[Any, Any]


def plain(f: float) -> bool:
    """Whether this is a sign, a two or a half."""
    return any(abs(abs(f) - g) < CLOSE for g in (0.5, 1, 2))


def added(spot: Spot) -> Change | None:
    """What adds to what stood at the target before, in place of overwriting it; None if a line has no such target."""
    statement = spot.node
    if not isinstance(statement, ast.Assign) or isinstance(statement.targets[0], ast.Tuple | ast.List):
        return None
    try:
        target = compile(ast.unparse(statement.targets[0]), "<target>", "eval")
    except (SyntaxError, ValueError, RecursionError):
        return None

    def change(n: int, v: Any) -> Any:
        frame = sys._getframe(2)                      # of their function, which called the hook
        try:
            return eval(target, frame.f_globals, frame.f_locals) + v
        except Exception:
            return v

    return change


def changing(spot: Spot, times: int, change: Change) -> Change:
    """A change of a variable that is added to is one of its last value."""
    if spot.kind != "whole" or spot.fresh or times == 1:
        return change
    return lambda n, v: change(0, v) if n == times - 1 else v


SHAPINGS: dict[str, Callable[[Any], Any]] = {
    "transpose": lambda v: np.swapaxes(v, -1, -2) if np.ndim(v) > 1 else v,
    "sum": lambda v: np.sum(v, axis=0) if np.ndim(v) else v,
    "sum of the last axis": lambda v: np.sum(v, axis=-1) if np.ndim(v) > 1 else v,
}


def like(new: Any, old: Any) -> Any:
    """A value in the dtype of a mask, where that is what it replaces."""
    return np.asarray(new).astype(bool) if np.asarray(old).dtype.kind == "b" else np.array(new)[()]


def factor(nothing: Outputs, once: Outputs, targets: Outputs, keys: Any) -> float | None:
    """The f for which nothing + f (once - nothing) comes nearest to the targets; None if it comes not near."""
    over = under = 0.0
    parts = []
    for k in keys:
        if any(k not in x or np.shape(x[k]) != np.shape(targets[k]) for x in (nothing, once)):
            return None
        with np.errstate(all="ignore"):
            step = np.asarray(once[k], float) - nothing[k]
            wanted = np.asarray(targets[k], float) - nothing[k]
            over, under = over + float(np.sum(step * wanted)), under + float(np.sum(step * step))
        parts.append((step, wanted))
    if not (np.isfinite(over) and np.isfinite(under)) or under == 0:
        return None
    f = over / under
    with np.errstate(all="ignore"):
        near = all(np.max(np.abs(wanted - f * step), initial=0) <= COARSE * np.max(np.abs(targets[k]), initial=0)
                   for (step, wanted), k in zip(parts, keys, strict=True))
    return f if near else None
