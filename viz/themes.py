"""Colours: Okabe and Ito's hues, made darker or lighter until text reads on every card (contrast 4.5)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a picture; six hexadecimal digits each, which every engine knows.

    Attributes
    ----------
    background, ink, subtle : str
        The page, the text on it, and the text that should not shout.
    forward, backward : str
        Values and gradients, edges and headings alike.
    alarm : str
        NaN and infinity.
    positive, zero, negative : str
        Of a heatmap.
    fill, border : dict of str to str
        Of a card, by the tensor's role.
    right : str
        A gradient that agrees.
    disc, on_disc : str
        An operation and its symbol.
    scope_fill, scope_border : str
        The box of a scope.
    signed : bool
        Whether negative cells of a heatmap carry a sign, since colours may be lost.
    """

    background: str
    ink: str
    subtle: str
    forward: str
    backward: str
    alarm: str
    positive: str
    zero: str
    negative: str
    fill: dict[str, str]
    border: dict[str, str]
    right: str
    disc: str
    on_disc: str
    scope_fill: str
    scope_border: str
    signed: bool = False


THEMES = {
    "light": Theme(
        background="#ffffff", ink="#1e293b", subtle="#5b6472", forward="#00639b", backward="#a84300",
        alarm="#b00020", positive="#1b7837", zero="#f0f2f5", negative="#762a83",
        fill={"parameter": "#fff4dc", "input": "#e4f2fb", "intermediate": "#ffffff", "output": "#ffffff",
              "loss": "#fbe9f3"},
        border={"parameter": "#e69f00", "input": "#56b4e9", "intermediate": "#a3aec0", "output": "#334155",
                "loss": "#cc79a7"},
        right="#1b6e33", disc="#334155", on_disc="#ffffff", scope_fill="#f4f6fa", scope_border="#d3dae5"),
    "dark": Theme(
        background="#0f172a", ink="#e8edf5", subtle="#9fabbd", forward="#56b4e9", backward="#ff9e4a",
        alarm="#ff8080", positive="#7fd08d", zero="#2a3750", negative="#c58ae0",
        fill={"parameter": "#382d10", "input": "#12304a", "intermediate": "#1e293b", "output": "#1e293b",
              "loss": "#43223a"},
        border={"parameter": "#e69f00", "input": "#56b4e9", "intermediate": "#64748b", "output": "#e2e8f0",
                "loss": "#cc79a7"},
        right="#7fd08d", disc="#cbd5e1", on_disc="#0f172a", scope_fill="#162038", scope_border="#2f3c56"),
    "print": Theme(
        background="#ffffff", ink="#000000", subtle="#4a4a4a", forward="#6a6a6a", backward="#000000",
        alarm="#000000", positive="#2b2b2b", zero="#ffffff", negative="#8a8a8a",
        fill=dict.fromkeys(("parameter", "input", "intermediate", "output", "loss"), "#ffffff"),
        border={"parameter": "#000000", "input": "#4a4a4a", "intermediate": "#8a8a8a", "output": "#000000",
                "loss": "#000000"},
        right="#000000", disc="#000000", on_disc="#ffffff", scope_fill="#ffffff", scope_border="#8a8a8a", signed=True),
}


def blend(low: str, high: str, part: float) -> str:
    """The colour that lies this part of the way from one to the other.

    >>> blend("#000000", "#ffffff", 0.5)
    '#808080'
    """
    ends = zip(bytes.fromhex(low[1:]), bytes.fromhex(high[1:]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in ends)


def readable_on(fill: str) -> str:
    """Black or white, whichever reads better on a colour.

    >>> readable_on("#ffcc00"), readable_on("#7c2d12")
    ('#000000', '#ffffff')
    """
    red, green, blue = bytes.fromhex(fill[1:])
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"
