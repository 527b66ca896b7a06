"""What is put in the place of a line's values: a multiple, another shape, a sum; and what factor is wanted."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
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


def factors(node: ast.expr) -> Iterator[ast.expr]:
    """What a product, a quotient or a sum over axes multiplies and divides by; an expression of its own otherwise."""
    match node:
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() | ast.MatMult(), right=right):
            yield from factors(left)
            yield from factors(right)
        case ast.UnaryOp(operand=operand):
            yield from factors(operand)
        case ast.Call(func=ast.Attribute(value=value, attr="sum" | "mean" | "reshape" | "ravel")) \
                if not isinstance(value, ast.Name):
            yield from factors(value)
        case _:
            yield node


def added(spot: Spot) -> Change | None:
    """What adds to what stood at the target before, in place of overwriting it; None if a line has no such target.

    At an index that stands there more than once, all of its parts are added.
    """
    match spot.node:
        case ast.Assign(targets=[ast.Tuple() | ast.List(), *_]):
            return None
        case ast.Assign(targets=[target, *_]) | ast.AugAssign(target=ast.Subscript() as target, op=ast.Add()):
            where = target.value if isinstance(target, ast.Subscript) else target
            index = target.slice if isinstance(target, ast.Subscript) else ast.Tuple([], ast.Load())
        case _:
            return None
    try:
        at, place = (compile(ast.unparse(node), "<target>", "eval") for node in (where, index_of(index)))
    except (SyntaxError, ValueError, RecursionError):
        return None
    again = isinstance(spot.node, ast.AugAssign)

    def change(n: int, v: Any) -> Any:
        frame = sys._getframe(2)                      # of their function, which called the hook
        try:
            old, i = (eval(code, frame.f_globals, frame.f_locals) for code in (at, place))
            if not isinstance(old, np.ndarray):
                return v if again else (old[i] if isinstance(target, ast.Subscript) else old) + v
            new = np.array(old)
            np.add.at(new, i, v)
            return new[i] - old[i] if again else new[i]
        except Exception:
            return v

    return change


def index_of(node: ast.expr) -> ast.expr:
    """An index as an expression of its own: slices are written out."""
    match node:
        case ast.Slice(lower=lower, upper=upper, step=step):
            parts = [part or ast.Constant(None) for part in (lower, upper, step)]
            return ast.Call(ast.Name("slice", ast.Load()), parts, [])
        case ast.Tuple(elts=elements):
            return ast.Tuple(list(map(index_of, elements)), ast.Load())
    return node


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
