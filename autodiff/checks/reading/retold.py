"""The wrong line by what the mistake gives: the first whose value is one that only this mistake makes.

Where nothing that was tried in a line puts the gradients right, or only late in their function, the search over the
tape may still know the mistake. It is made on the tape, and their values are compared with what comes out there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from autodiff.checks.reading.blame import stored_in, unpacked
from autodiff.checks.reading.hooks import OPAQUE, Spot
from autodiff.checks.reading.quantities import COTANGENT, Known
from autodiff.checks.reading.repair import Repairs
from autodiff.checks.reading.samples import Samples
from autodiff.checks.reading.status import is_new, same

TIMES = 40                 # values of a line that are looked at
LARGE = 1e5                # elements of a quantity that is not looked for
FEW = 1000                 # elements of one in which a single number is looked for


class Event(NamedTuple):
    """A value that a line made, and when."""

    tick: int
    spot: Spot
    value: Any


class Made:
    """What a mistake makes, looked for among the values of their lines.

    Parameters
    ----------
    repairs : Repairs
        Their function.
    quantities : sequence of array
        What the mistake gives in place of right ones.
    """

    def __init__(self, repairs: Repairs, quantities: Sequence[Any]) -> None:
        self.repairs, self.knowledge = repairs, repairs.knowledge
        self.events = sorted(values_of(repairs), key=lambda event: event.tick)
        known = [Known(value, COTANGENT, self.knowledge.loss, "") for value in quantities if value.size <= LARGE]
        self.samples = Samples(known)
        self.short = Samples([k for k in known if k.value.size <= FEW])     # for single numbers, which many may equal
        self.nothing = {np.shape(value) for value in quantities if not np.any(value)}

    def first(self) -> Event | None:
        """The first of their lines that is wrong by this mistake; None if no value shows it."""
        found = next((event for event in self.events if self.shows(event)), None)
        return self.inside(self.origin(found)) if found and self.samples.known else found

    def shows(self, event: Event) -> bool:
        """Whether a value is one that only this mistake makes."""
        spot, value = event.spot, event.value
        if spot.kind == "key" and spot.main and spot.name in self.repairs.wrong:
            return same(value, self.repairs.outputs[spot.name])
        if not np.any(value):
            return np.shape(value) in self.nothing and not self.repairs.statuses[spot].sure \
                and not is_new(spot) and not unpacked(spot)
        return self.holds(value) and not self.knowledge.recognised(value)

    def holds(self, value: Any) -> bool:
        """Whether a value is one that this mistake makes, or a part of it."""
        return bool(np.any(value)) and (self.samples if value.size > 1 else self.short).holder(value) is not None

    def origin(self, found: Event) -> Event:
        """The line before, where this one only uses a value that is not what its name says, or that nobody knows."""
        latest: dict[str, Event] = {}
        for event in self.events:
            if event.tick >= found.tick:
                break
            latest[stored_in(event.spot)] = event
        read = [event for name, event in latest.items() if name in found.spot.reads and event.spot is not found.spot]
        statuses = self.repairs.statuses
        taken = [event for event in read if self.strange(event) or (
            statuses[event.spot].claimed and not statuses[event.spot].sure and self.holds(event.value))]
        return min(taken, key=lambda event: event.tick, default=found)

    def inside(self, found: Event) -> Event:
        """Where a function of theirs returns what a line only takes from it, there."""
        returned = [event for event in self.events if event.tick < found.tick and same(event.value, found.value)
                    and event.spot.kind in ("return", "element")] if unpacked(found.spot) else []
        return returned[-1] if returned else found

    def strange(self, event: Event) -> bool:
        """Whether nobody knows what a step of the way back made of what is right."""
        blame = self.repairs.blame
        return event.spot.kind == "value" and event.spot in blame.unknown and blame.levels[event.spot] == 1 \
            and blame.goes_back(event.spot) and not self.knowledge.recognised(event.value)


def values_of(repairs: Repairs) -> Iterator[Event]:
    """The values of their lines; of what is added up, the first and the sum."""
    for spot, seen in repairs.first.seen.items():
        if spot.kind in (*OPAQUE, "factor") or seen.first is None or seen.first.dtype.kind != "f":
            continue
        if len(seen.values) == seen.times:
            yield from (Event(tick, spot, value) for tick, value in zip(seen.ticks[:TIMES], seen.values, strict=False))
        else:
            yield Event(seen.ticks[0], spot, seen.first)
            if seen.values and not same(seen.first, seen.values[-1]):
                yield Event(seen.ticks[-1], spot, seen.values[-1])
