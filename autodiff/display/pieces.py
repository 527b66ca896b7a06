"""The pieces that every display is made of: the style, the frame, text made safe, numbers, tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from html import escape
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
# The hues of the pictures, half-way between those on white and those on black.
HUES = {"forward": "#2b8cc2", "backward": "#d47125", "right": "#4d9f60", "alarm": "#d84050", "unsure": "#b58a2a"}
EDGES = {"parameter": "#e69f00", "input": "#56b4e9", "result": "#8a94a3"}
POSITIVE, NEGATIVE = "#4da462", "#9d5ab1"
INK = 45            # percent of the hue in coloured text; the rest is the notebook's own colour of text
QUIET = 74          # percent of it in what should not shout
STRONGEST = 0x66    # how opaque the largest entry's cell is, of 255
SHARE = 0x4d        # how opaque a bar behind a number is
LONGEST = 120       # characters of a name
STYLE = (
    ".wengert{display:inline-block;box-sizing:border-box;max-width:100%;overflow-x:auto;margin:.2em 0;"
    "padding:.55em .9em .6em;border:1px solid color-mix(in srgb,currentColor 22%,transparent);border-radius:8px;"
    "font-size:13px;line-height:1.45;text-align:left}"
    ".wengert p{margin:.1em 0 .35em!important}"
    ".wengert table{border-collapse:collapse;margin:.2em 0!important;border:none;background:none!important;"
    "font-size:inherit;width:auto}"
    ".wengert tr,.wengert tr:hover{background:none!important;border:none}"
    ".wengert th,.wengert td{padding:.12em .55em!important;border:none;text-align:left!important;"
    "vertical-align:baseline!important;white-space:nowrap;font-weight:inherit;max-width:none}"
    f".wengert thead th,.wengert .quiet{{color:color-mix(in srgb,currentColor {QUIET}%,transparent)}}"
    ".wengert .code,.wengert .n,.wengert pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;"
    "font-size:12px}"
    ".wengert .wrap{white-space:normal;overflow-wrap:anywhere}"
    ".wengert .name{font-weight:600;font-size:1.12em;margin-right:.5em}"
    ".wengert .fact{margin-right:.75em}"
    ".wengert td.n,.wengert th.n{text-align:right!important;font-variant-numeric:tabular-nums;"
    "padding:.12em .4em!important}"
    ".wengert .alarm{font-weight:600}"
    ".wengert .side{display:flex;flex-wrap:wrap;gap:.3em 1.6em}"
    ".wengert pre{margin:.25em 0 .5em!important;padding:.35em .7em!important;background:none!important;color:inherit;"
    "border:none;border-left:3px solid color-mix(in srgb,currentColor 30%,transparent);white-space:pre-wrap}"
    ".wengert td.gap{text-align:center!important;padding:.3em!important}"
    + "".join(f".wengert .{name}{{color:{hue};color:color-mix(in srgb,{hue} {INK}%,currentColor)}}"
              for name, hue in HUES.items())
    + "".join(f".wengert td.{name}{{box-shadow:inset 3px 0 {hue}}}" for name, hue in EDGES.items()))


def shown(display: Callable[[T], str]) -> Callable[[T], str | None]:
    """A display that never raises: where it cannot be made there is none, and a notebook shows the text."""
    @wraps(display)
    def show(x: T) -> str | None:
        try:
            with np.errstate(all="ignore"):
                return display(x)
        except Exception:
            return None

    return show


def framed(*parts: str, style: str = "") -> str:
    """A whole display: one element, with the style it needs."""
    return f'<div class="wengert"><style>{STYLE}{style}</style>{"".join(parts)}</div>'


def safe(text: Any, longest: int = LONGEST) -> str:
    r"""Text of the user's on one line, escaped, without what no page can hold or what would reorder its neighbours.

    >>> safe("a<b>\x00"), safe("abcdefghij", 7)
    ('a&lt;b&gt;\ufffd', 'abc…hij')
    """
    line = "".join(" " if c.isspace() else c if c.isprintable() or c == "\u200d" else "\ufffd" for c in str(text))
    if len(line) > longest:
        half = (longest - 1) // 2
        line = f"{line[:longest - 1 - half]}…{line[len(line) - half:]}"
    return escape(line)


def span(kind: str, text: Any, longest: int = LONGEST) -> str:
    """Text in one of the style's classes; within its own direction of writing.

    >>> span("quiet", "x < y")
    '<bdi class="quiet">x &lt; y</bdi>'
    """
    return f'<bdi class="{kind}">{safe(text, longest)}</bdi>'


def paragraph(*parts: str) -> str:
    """One below the other."""
    return f"<p>{''.join(parts)}</p>"


def table(head: Sequence[str], rows: Iterable[str]) -> str:
    """A table with a heading; the rows as `row` makes them.

    >>> table(["a"], [row([cell("1")])])
    '<table><thead><tr><th scope="col">a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>'
    """
    heading = "".join(f'<th scope="col">{safe(name)}</th>' for name in head)
    top = f"<thead><tr>{heading}</tr></thead>" if head else ""
    return f"<table>{top}<tbody>{''.join(rows)}</tbody></table>"


def row(cells: Iterable[str]) -> str:
    """A row of a table."""
    return f"<tr>{''.join(cells)}</tr>"


def cell(inner: str, kind: str = "", more: str = "") -> str:
    """A cell; what is inside is HTML already."""
    return f"<td{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}{more}>{inner}</td>"


def gap(words: str, columns: int) -> str:
    """A row that says what is not shown."""
    return row([cell(safe(words), "gap quiet", f' colspan="{columns}"')])


def code(lines: Iterable[str]) -> str:
    """Lines as they are."""
    text = "\n".join(safe(line, 400) for line in lines)
    return f"<pre>{text}</pre>" if text else ""


def picked(n: int, most: int) -> list[int | None]:
    """Which of n things are shown: all, or the first and the last with None for those between.

    >>> picked(3, 4), picked(9, 4)
    ([0, 1, 2], [0, 1, None, 7, 8])
    """
    return [*range(n)] if n <= most else [*range(most - most // 2), None, *range(n - most // 2, n)]


def shape_text(shape: Sequence[int]) -> str:
    """A shape as people write it.

    >>> shape_text((4, 3)), shape_text(())
    ('4×3', 'scalar')
    """
    return "×".join(map(str, shape)) or "scalar"


def counted(n: int, word: str) -> str:
    """So many of something.

    >>> counted(1, "parameter"), counted(1200, "parameter")
    ('1 parameter', '1,200 parameters')
    """
    return f"{n:,} {word}{'' if n == 1 else 's'}"
