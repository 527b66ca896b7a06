"""The losses over the epochs, as SVG."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite, log10
from typing import TYPE_CHECKING

from viz.values import number

if TYPE_CHECKING:
    from viz.watching.watch import Watch

WIDE, TALL = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 24
FAR = 30            # the axis is logarithmic if the largest loss is so many times the smallest


class Axis:
    """From losses to pixels."""

    def __init__(self, values: Sequence[float]) -> None:
        sound = [v for v in values if isfinite(v)] or [0.0, 1.0]
        self.low, self.high = min(sound), max(sound)
        self.log = self.low > 0 and self.high / self.low > FAR
        self.ends = (log10(self.low), log10(self.high)) if self.log else (self.low, self.high)

    def y(self, v: float) -> float:
        """Where a loss stands."""
        low, high = self.ends
        at = log10(v) if self.log else v
        part = (at / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5      # halves: high - low may overflow
        return round(TOP + (TALL - TOP - BOTTOM) * (1 - part), 1)

    def ticks(self) -> list[float]:
        """Losses to write at the axis."""
        low, high = self.ends
        steps = [low + (high / 4 - low / 4) * k for k in range(5)] if high > low else [low]
        return [10.0 ** v for v in steps] if self.log else steps


def chart(watch: Watch) -> str:
    """The curves with their legend: the loss on the sample, and what the history has."""
    epochs = watch.epochs
    curves = {"sample": ("loss on the sample", dict(zip(epochs, (look.loss for look in watch.looks), strict=True)))}
    for side, attribute, words in (("forward", "train_loss", "training, mean over the epoch"),
                                   ("backward", "validation_loss", "validation")):
        if values := list(getattr(watch.history, attribute, None) or []):
            curves[side] = (words, {epoch: float(v) for epoch, v in enumerate(values, start=1) if epoch <= epochs[-1]})
    axis = Axis([v for _, curve in curves.values() for v in curve.values()])
    span = max(epochs[-1] - epochs[0], 1)
    wide = WIDE - LEFT - RIGHT

    def x(epoch: float) -> float:
        return round(LEFT + wide * (epoch - epochs[0]) / span, 1)

    parts = [f'<path class="axis" d="M{LEFT} {TOP}V{TALL - BOTTOM}H{WIDE - RIGHT}"/>']
    for v in axis.ticks():
        parts.append(f'<text class="small quiet" text-anchor="end" x="{LEFT - 6}" y="{axis.y(v) + 3.5:g}">{number(v)}'
                     "</text>")
    for epoch, anchor in ((epochs[0], "start"), (epochs[-1], "end")):
        parts.append(f'<text class="small quiet" text-anchor="{anchor}" x="{x(epoch):g}" y="{TALL - 8}">'
                     f"epoch {epoch:,}</text>")
    parts.append(f'<line id="cursor" class="cursor" y1="{TOP}" y2="{TALL - BOTTOM}" x1="{x(epochs[-1]):g}" '
                 f'x2="{x(epochs[-1]):g}" data-left="{LEFT}" data-width="{wide}"/>')
    for side, (_, curve) in reversed(curves.items()):
        points = " ".join(f"{x(epoch):g},{axis.y(v):g}" for epoch, v in thinned(curve) if isfinite(v))
        at = [axis.y(curve[epoch]) if epoch in curve and isfinite(curve[epoch]) else None for epoch in epochs]
        parts.append(f'<polyline class="curve {side}" points="{points}"/>'
                     f'<circle class="dot {side}" r="0" data-points="{json.dumps(at)}"/>')
    legend = "".join(f'<span class="key {side}">● {words}</span>' for side, (words, _) in curves.items())
    broken = [epoch for epoch, v in curves["sample"][1].items() if not isfinite(v)]
    said = f'<p class="note">At epoch {broken[0]:,} the loss on the sample is NaN or infinite.</p>' if broken else ""
    scale = '<p class="quiet note">logarithmic axis</p>' if axis.log else ""
    return (f'<svg id="chart" viewBox="0 0 {WIDE} {TALL}" width="{WIDE}" height="{TALL}" role="img" '
            f'aria-label="loss by epoch; drag to choose an epoch">{"".join(parts)}</svg><p>{legend}</p>{scale}{said}')


def thinned(curve: dict[int, float], most: int = 1000) -> list[tuple[int, float]]:
    """A curve with at most so many points."""
    points = list(curve.items())
    return points if len(points) <= most else [points[i * (len(points) - 1) // (most - 1)] for i in range(most)]
