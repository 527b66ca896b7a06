"""What reading a function found, told: each line with what its value is, and the finding in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autodiff.checks.reading.constants import NOTHING
from autodiff.checks.reading.findings import RIGHT, SCALED, UNKNOWN, WRONG, Other, ReadLine
from autodiff.checks.reading.hooks import OPAQUE, Spot
from autodiff.checks.reading.quantities import CLOSE, COTANGENT, VALUE, Match
from autodiff.checks.reading.repair import Fix, Repairs
from autodiff.checks.reading.status import same
from autodiff.record import Record


class Teller:
    """Tells of the lines of somebody's function.

    Parameters
    ----------
    repairs : Repairs
        The function, and what is known of its lines.
    keys : dict
        Which gradient each key of the result is.
    """

    def __init__(self, repairs: Repairs, keys: Mapping[Any, Record]) -> None:
        self.repairs, self.keys = repairs, keys

    def lines(self, wrong: Spot | None) -> tuple[ReadLine, ...]:
        """Their lines in the order they first ran, one for each value."""
        return tuple(self.line(spot, WRONG if spot is wrong else None) for spot in self.repairs.order
                     if spot.kind not in ("increment", "factor", *OPAQUE) or spot is wrong)

    def line(self, spot: Spot, verdict: str | None = None) -> ReadLine:
        """A line, with what its value is."""
        status = self.repairs.statuses[spot]
        if verdict is None:
            verdict = RIGHT if status.sure or self.agrees(spot) else SCALED if status.named or (
                status.told and not status.claimed and status.told.known.kind in (COTANGENT, VALUE)) else UNKNOWN
        return self.read_line(spot, verdict, equals(status.told))

    def agrees(self, spot: Spot) -> bool:
        """Whether this is a gradient that is returned, and agrees."""
        repairs = self.repairs
        values, claimed = repairs.first.seen[spot].values, {k.record for k in repairs.statuses[spot].claimed}
        return bool(values) and any(same(values[-1], repairs.outputs.get(key)) for key, r in self.keys.items()
                                    if key not in repairs.wrong and (key == spot.name or r in claimed))

    @staticmethod
    def read_line(spot: Spot, verdict: str, equals: str) -> ReadLine:
        """A line as data."""
        return ReadLine(spot.file, spot.line, spot.text, spot.where, spot.name, verdict, equals)

    def other(self, spot: Spot, expected: str) -> Other:
        """A line that may be wrong in another's place."""
        return Other(**{**vars(self.line(spot)), "expected": expected})

    def last_right(self, wrong: Spot, tick: int) -> ReadLine | None:
        """The last line before this moment that is right."""
        before = [spot for spot in self.repairs.order if spot is not wrong and self.repairs.statuses[spot].sure
                  and self.repairs.first.seen[spot].ticks[0] < tick and spot.line != wrong.line]
        return self.line(before[-1]) if before else None

    def sentence(self, spot: Spot, fix: Fix | None, expected: str, last: ReadLine | None,
                 names: tuple[str, ...], others: Sequence[Other] = ()) -> str:
        """The finding in words."""
        said = f"The first wrong line {'may be' if others else 'is'} {spot.where}: {spot.text}" if fix else \
            f"The first line that nothing on the tape explains is {spot.where}: {spot.text}"
        now = equals(self.repairs.statuses[spot].told)
        parts = [said]
        if expected:
            parts.append(f"It should read: {expected}")
        elif fix and fix.known is not None and fix.known.called:
            parts.append(f"What belongs there is {fix.known.called}"
                         + ("" if abs(fix.factor - 1) < CLOSE else f" times {fix.factor:.6g}") + ".")
        elif fix and fix.how == "moment":
            parts.append("Its values are those of another moment: of a step before or after, or in reverse order.")
        elif fix and fix.how == "scale" and abs(fix.factor) < NOTHING:
            parts.append("It is right without this.")
        elif fix and fix.how == "scale":
            parts.append(f"Its value must be multiplied by {fix.factor:.6g}.")
        if now and fix:
            parts.append(f"As it stands it is {now}.")
        if names:
            agree = "agrees" if len(names) == 1 else "agree"
            parts.append(f"With this line alone put right, {', '.join(names)} {agree}.")
        for other in others:
            parts.append(f"It may as well be {other.where}: {other.text}")
            parts += [f"which should then read: {other.expected}"] if other.expected else []
        if last is not None:
            parts.append(f"The last right line before it is {last.where}: {last.text}")
        return "\n".join(parts)


def equals(match: Match | None) -> str:
    """What a value is, in words; "" if it is nothing that has a name."""
    if match is None:
        return ""
    factor = "" if abs(match.factor - 1) < CLOSE else "-" if abs(match.factor + 1) < CLOSE else f"{match.factor:.6g} · "
    return f"{factor}{match.known.called}{', transposed' if match.turned else ''}"


def join(*texts: str) -> str:
    """Texts, one below the other."""
    return "\n".join(text for text in texts if text)
