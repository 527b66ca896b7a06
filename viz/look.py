"""How a graph is to look, and what is said in it that its tape does not know: verdicts, a moment of backprop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from viz.cards import Mark
from viz.themes import THEMES, Theme

PARTS = ("shapes", "values", "gradients", "dtype", "bytes", "cost", "source")


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of the computation: what is known by then, and what runs.

    Attributes
    ----------
    values, gradients : frozenset of str
        The ids of the tensors whose value and whose gradient are known.
    ran, back : frozenset of str
        The ids of the operations that have run, and that have been walked back.
    running : str
        The id of the operation that runs; "" for none.
    title : str
        What happens, for the caption.
    """

    values: frozenset[str]
    gradients: frozenset[str]
    ran: frozenset[str]
    back: frozenset[str]
    running: str
    title: str


@dataclass(frozen=True, slots=True)
class Look:
    """What a writer is told besides the graph.

    Attributes
    ----------
    theme : Theme
        The colours.
    show : frozenset of str
        What of `PARTS` is told.
    rankdir : {"LR", "TB"}
        From left to right, or from top to bottom.
    label, colour : callable or None
        For a node its own words, and its own colour of fill; None to leave it as it is.
    marks : dict of str to Mark
        Verdicts, by the ids of nodes.
    suspects : frozenset of str
        The ids of operations that a diagnosis names.
    said : tuple of str
        More sentences for the caption, aloud.
    moment : Moment or None
        What is known so far; None for everything.
    """

    theme: Theme = THEMES["light"]
    show: frozenset[str] = frozenset(PARTS[:3])
    rankdir: str = "LR"
    label: Callable[[Any], str | None] | None = None
    colour: Callable[[Any], str | None] | None = None
    marks: Mapping[str, Mark] = field(default_factory=dict)
    suspects: frozenset[str] = frozenset()
    said: tuple[str, ...] = ()
    moment: Moment | None = None
