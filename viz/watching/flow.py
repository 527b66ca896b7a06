"""Where units go on the page: in the order they run, in lines like text; what does not come from next door is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from viz.text import width
from viz.watching.looking import Unit

CARD, CARD_TALL = 176, 118
PILL_TALL = 62
GAP, BETWEEN = 34, 30           # between neighbours, and between lines
EDGE = 14


@dataclass(frozen=True, slots=True)
class Place:
    """The box of a unit, in pixels, and the line it stands in."""

    x: float
    y: float
    width: float
    height: float
    line: int


@dataclass(frozen=True, slots=True)
class Flow:
    """Where everything goes.

    Attributes
    ----------
    places : dict of str to Place
        Of each unit.
    lanes : list of tuple of str
        Which are joined by a lane: neighbours, and the last of a line with the first of the next.
    named : dict of str to list of str
        For a unit the ids of what comes to it from elsewhere.
    width, height : float
        Of it all.
    """

    places: dict[str, Place]
    lanes: list[tuple[str, str]]
    named: dict[str, list[str]]
    width: float
    height: float


def flow_of(units: Sequence[Unit], room: float) -> Flow:
    """The units in lines of at most so many pixels."""
    places: dict[str, Place] = {}
    x, line, rightmost = float(EDGE), 0, 0.0
    for unit in units:
        wide = wide_of(unit)
        if x > EDGE and x + wide > room - EDGE:
            x, line = float(EDGE), line + 1
        tall = CARD_TALL if unit.is_layer else PILL_TALL
        top = EDGE + line * (CARD_TALL + BETWEEN) + (CARD_TALL - tall) / 2
        places[unit.id] = Place(x, top, wide, tall, line)
        rightmost = max(rightmost, x + wide)
        x += wide + GAP
    lanes, named = [], {}
    for before, unit in zip([None, *units], units, strict=False):
        if before is not None and before.id in unit.sources:
            lanes.append((before.id, unit.id))
        named[unit.id] = [source for source in unit.sources if before is None or source != before.id]
    return Flow(places, lanes, named, rightmost + EDGE, 2 * EDGE + line * (CARD_TALL + BETWEEN) + CARD_TALL)


def wide_of(unit: Unit) -> float:
    """How wide a unit's box is: operations as wide as their sign."""
    return CARD if unit.is_layer else max(64, min(CARD, width(unit.name, 13) + 24))
