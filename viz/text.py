"""User's text made safe for a picture: names may hold anything, and a writer must survive it."""

from __future__ import annotations

import html
import re
import unicodedata

BROKEN = re.compile("[^\u0020-\u007E\u00A0-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")   # no picture can hold
DIRECTION = re.compile("[\u200E\u200F\u202A-\u202E\u2066-\u2069]")          # would reorder what follows
LONGEST = 28


def shown(text: str, longest: int = LONGEST) -> str:
    r"""The text on one line, without characters that no picture can hold, cut in the middle if it is long.

    >>> shown("a\nb\x00"), shown("abcdefghij", 7)
    ('a b\ufffd', 'abc…hij')
    """
    line = re.sub(r"\s", " ", text)
    line = DIRECTION.sub("", BROKEN.sub("\ufffd", line))
    if len(line) <= longest:
        return line
    half = (longest - 1) // 2
    return f"{line[:longest - 1 - half]}…{line[len(line) - half:]}"


def label(text: str, longest: int = LONGEST) -> str:
    r"""Text within an HTML-like label, where Graphviz would replace ``\N`` and the like."""
    return html.escape(shown(text, longest)).replace("\\", "\\\\")


def tooltip(text: str) -> str:
    """Text for a tooltip; lines are kept.

    Engines disagree on how often they read a backslash there, so a character that looks alike stands for it.
    """
    lines = [html.escape(shown(line, 200)).replace("\\", "\u2216") for line in text.split("\n")]
    return "&#10;".join(lines)


def quoted(text: str) -> str:
    """A DOT string of text that holds no backslash."""
    return '"' + text.replace('"', '\\"') + '"'


def slug(name: str) -> str:
    """A name as an id of plain letters, digits, ``.`` and ``_``: for DOT, SVG and CSS alike.

    >>> slug("ŷ"), slug('a "b"'), slug("σ")
    ('y', 'a__b_', '_')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.]", "_", plain)[:60] or "_"


def width(text: str, size: float) -> int:
    """About how wide the text is in points.

    Engines without fonts of their own take every byte of a character beyond ASCII for a space, so cells that
    hold one are told their width.
    """
    return round(sum(map(ems, text)) * size) + 4


def ems(c: str) -> float:
    """About how wide a character is, as a part of the type's size; not less than an engine thinks."""
    if c.isascii():
        return 0.34 if c in " .,:;'|!ijl()[]-" else 0.57 if c.isdigit() else 0.64
    wide = 1.0 if unicodedata.east_asian_width(c) in "WF" else 0.0 if unicodedata.combining(c) else 0.64
    return max(wide, 0.28 * len(c.encode(errors="replace")))
