"""Kinks: points without a derivative, where one of several right values had to be chosen.

Which one the operations choose is decided in `autodiff.ops`; here stands how to tell that a program is at one.
At a kink differences and complex steps may rightly give another value than the tape, and so may a
derivation by hand, so what depends on the choice is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from autodiff.kinds import Op
from autodiff.ops import activations, convolution, pooling, reductions, selecting, shapes, stable, trigonometric
from autodiff.ops import arithmetic as a
from autodiff.record import Record
from autodiff.sites import locate

WIDTHS = 10          # how many noise widths from a kink count as being at it


class Kink(NamedTuple):
    """Elements of an operand that stand at a kink of the operation `record`."""

    record: Record
    operand: Record
    mask: Any               # which elements of the operand
    width: Any              # how far from it they may stand

    def __str__(self) -> str:
        assert self.record.op is not None
        text = locate(self.record.code, self.record.lasti).text
        n = int(np.sum(self.mask))
        return (f"{self.record.op.name} at {self.record.where}{f' ({text})' if text else ''}: "
                f"{n} element{'s' if n > 1 else ''} of {self.operand.name or 'its operand'}")


# ---- how far the operands are from the kink, per op; the second value is how far rounding moves that

def from_zero(x: Any, dx: Any, **_: Any) -> Any:
    """|x|, sign x and relu at 0."""
    return np.abs(x), dx


def apart(x: Any, z: Any, dx: Any, dz: Any, **_: Any) -> Any:
    """A choice between two, or a comparison of them, where they are equal."""
    return np.abs(x - z), dx + dz


def from_whole(x: Any, dx: Any, **_: Any) -> Any:
    """Floor at whole numbers."""
    return np.abs(x - np.round(x)), dx


def from_half(x: Any, dx: Any, decimals: int = 0) -> Any:
    """Rounding halfway between its results."""
    scaled = x * 10.0 ** decimals
    return np.abs(scaled - np.floor(scaled) - 0.5), dx * 10.0 ** decimals


def from_jump(x: Any, z: Any, dx: Any, dz: Any, **_: Any) -> Any:
    """A remainder where the quotient is whole."""
    q = x / z
    return np.abs(q - np.round(q)), dx / np.abs(z) + np.abs(q / z) * dz


def from_origin(x: Any, z: Any, dx: Any, dz: Any, **_: Any) -> Any:
    """A length or an angle at the origin."""
    return np.hypot(x, z), dx + dz


def from_null(x: Any, dx: Any, axis: Any = None, **_: Any) -> Any:
    """A norm at 0."""
    return np.broadcast_to(np.sqrt(np.sum(x * x, axis=axis, keepdims=True)), np.shape(x)), dx


def from_constant(x: Any, dx: Any, axis: Any = None, **_: Any) -> Any:
    """A standard deviation of what is all the same."""
    return np.broadcast_to(np.std(x, axis=axis, keepdims=True), np.shape(x)), dx


def from_edges(x: Any, dx: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """Hardtanh at its edges."""
    return np.minimum(np.abs(x - min_val), np.abs(x - max_val)), dx


def from_middle(x: Any, dx: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """A median where another element is as large."""
    z = reductions.lined_up(x, axis)
    s, n = np.sort(z, -1), np.shape(z)[-1]
    width = WIDTHS * 2 * np.max(dx)
    gap = np.full(np.shape(z), np.inf)
    for i in {(n - 1) // 2, n // 2}:
        away = np.abs(z - s[..., i:i + 1])
        tied = np.sum(away <= width, -1, keepdims=True) > 1
        gap = np.where(tied, np.minimum(gap, away), gap)
    return reductions.put_back(gap, x, axis), 2 * np.max(dx)


def from_bounds(x: Any, low: Any, high: Any, dx: Any, dlow: Any, dhigh: Any, **_: Any) -> Any:
    """Clip at its bounds."""
    gaps = [np.abs(x - bound) for bound in (low, high) if bound is not None]
    return np.min(np.broadcast_arrays(*gaps), axis=0) if gaps else np.inf, dx


def from_top(sign: int) -> Callable[..., Any]:
    """The largest along some axes (with -1 the smallest) where another is as large."""

    def gap(x: Any, dx: Any, axis: Any = None, keepdims: bool = False) -> Any:
        below = np.max(sign * x, axis=axis, keepdims=True) - sign * x
        width = np.broadcast_to(WIDTHS * 2 * np.max(dx), np.shape(x))
        tied = np.sum(below <= width, axis=axis, keepdims=True) > 1
        return np.where(tied, below, np.inf), 2 * np.max(dx)

    return gap


def from_neighbour(x: Any, dx: Any, axis: Any = -1, **_: Any) -> Any:
    """A sort where two elements are equal: how far each is from the nearest."""
    x, along = (np.reshape(x, -1), 0) if axis is None else (np.asarray(x), axis)
    if x.ndim == 0 or x.shape[along] < 2:
        return np.full(np.shape(x), np.inf), 2 * np.max(dx, initial=0)
    order = np.argsort(x, axis=along, kind="stable")
    gaps = np.diff(np.take_along_axis(x, order, along), axis=along)
    edge = [(0, 0)] * x.ndim
    edge[along] = (1, 1)
    gaps = np.pad(gaps, edge, constant_values=np.inf)
    n = x.shape[along]
    nearest = np.minimum(np.take(gaps, np.arange(n), along), np.take(gaps, np.arange(1, n + 1), along))
    distance = np.empty(x.shape)
    np.put_along_axis(distance, order, nearest, along)
    return distance, 2 * np.max(dx, initial=0)


def from_window(x: Any, dx: Any, **options: Any) -> Any:
    """The largest of a window where another element of it is as large."""
    top = convolution.samples_last(pooling.highest(x, **options))
    width = WIDTHS * 2 * np.max(dx, initial=0)
    pads, seen = pooling.windows(np.shape(x)[2:], **options)
    padded = convolution.framed(convolution.samples_last(x), pads, -np.inf)
    gaps = [top - padded[place] for place in seen]
    tied = sum(gap <= width for gap in gaps) > 1
    distance = np.full_like(padded, np.inf)
    for place, gap in zip(seen, gaps):
        distance[place] = np.minimum(distance[place], np.where(tied, gap, np.inf))
    return pooling.cropped(distance, np.shape(x)[2:], pads), 2 * np.max(dx, initial=0)


KINKS: dict[Op, Callable[..., Any]] = {
    a.absolute: from_zero, a.sign: from_zero, stable.relu: from_zero, a.floor: from_whole,
    a.fabs: from_zero, a.signbit: from_zero, activations.elu: from_zero, activations.leaky_relu: from_zero,
    a.copysign: lambda x, z, dx, dz: (np.abs(x), dx), a.heaviside: lambda x, z, dx, dz: (np.abs(x), dx),
    a.ceil: from_whole, a.trunc: from_whole, a.rint: from_half, a.round_: from_half, activations.hardtanh: from_edges,
    a.fmax: apart, a.fmin: apart, a.remainder: from_jump, a.fmod: from_jump, a.floor_divide: from_jump,
    a.hypot: from_origin, trigonometric.arctan2: from_origin, reductions.norm: from_null,
    reductions.std: from_constant, reductions.median: from_middle,
    reductions.nanmax: from_top(1), reductions.nanmin: from_top(-1),
    reductions.argmax: from_top(1), reductions.argmin: from_top(-1),
    a.maximum: apart, a.minimum: apart, a.clip: from_bounds,
    a.greater: apart, a.greater_equal: apart, a.less: apart, a.less_equal: apart, a.equal: apart, a.not_equal: apart,
    reductions.max_: from_top(1), reductions.min_: from_top(-1), selecting.argsort: from_neighbour,
    pooling.max_pool: from_window,
}


def with_kinks(tape: Iterable[Record]) -> list[Record]:
    """The records of a tape that have kinks where something differentiable goes in."""
    return [r for r in tape if r.op in KINKS and operand_of(r) is not None]


def operand_of(r: Record) -> Record | None:
    """The operand that decides: the first that gradients flow to."""
    return next((x for x in r.inputs if isinstance(x, Record) and x.requires_grad), None)


def kinks_of(tape: Iterable[Record], value: Callable[[Any], Any], noise: Callable[[Any], Any]) -> list[Kink]:
    """Where a program stands at a kink.

    Parameters
    ----------
    tape : iterable of Record
        The program.
    value, noise : callable
        Give for an operand its value, and how far rounding moves it.
    """
    found = []
    for r in with_kinks(tape):
        operand = operand_of(r)
        assert r.op is not None and operand is not None
        with np.errstate(all="ignore"):
            operands, options = parted(r)
            distance, moved = KINKS[r.op](*map(value, operands), *map(noise, operands), **options)
            mask = np.asarray(distance <= WIDTHS * moved)
        if mask.any():
            shape = np.shape(operand.value)
            width = np.broadcast_to(WIDTHS * moved, mask.shape)
            found.append(Kink(r, operand, onto(mask, shape), onto(width * mask, shape)))
    return found


def parted(r: Record) -> tuple[Sequence[Any], dict[str, Any]]:
    """The operands whose values matter to a kink, and the settings, also those that were given by position."""
    assert r.op is not None
    n, names = parameters(r.op)
    return r.inputs[:n], {**dict(zip(names[n:], r.inputs[n:])), **r.options}


@cache
def parameters(op: Op) -> tuple[int, list[str]]:
    """Of how many operands a kink asks the value, and the noise; and what the operation calls what it is given."""
    asked = [p for p in signature(KINKS[op]).parameters.values()
             if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return len(asked) // 2, [*signature(op.forward).parameters]


def onto(mask: Any, shape: tuple[int, ...]) -> Any:
    """A mask (or widths) over what an operand was broadcast to, on the operand itself."""
    mask = np.broadcast_to(mask, np.broadcast_shapes(np.shape(mask), shape))
    summed = shapes.summed_to(mask.astype(float), shape)
    return summed > 0 if mask.dtype == bool else summed
