"""What stands on a card, as a Graphviz HTML-like label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, log10

from viz.graph import LayerNode, TensorNode
from viz.text import LONGEST, label, shown, width
from viz.themes import Theme, blend
from viz.values import Summary, number

CELL = 11                   # the side of a heatmap's cell, in points
COMMON_DTYPE = "float64"    # not worth saying
TALL, BAR, GAP = 44, 10, 4  # of a run's bars, in points: the highest, the width, the space between
MANY = 40                   # bars at most; of a longer run those are drawn that are evenly spread


@dataclass(frozen=True, slots=True)
class Mark:
    """A verdict on a card.

    Attributes
    ----------
    text : str
        Such as "✓ 2e-17".
    good : bool
        Whether it is one to be glad of.
    """

    text: str
    good: bool


def card(node: TensorNode, theme: Theme, show: frozenset[str], mark: Mark | None = None,
         parts: frozenset[str] = frozenset(("values", "gradients"))) -> str:
    """The label of a tensor: name and shape; below them value and gradient, side by side.

    What is not in `parts` is there, but in the colour of the card: so that it can be told step by step.
    """
    facts = []
    if "shapes" in show:
        facts.append(node.value.shape_text)
    if "dtype" in show or node.value.dtype != COMMON_DTYPE:
        facts.append(node.value.dtype)
    if node.place is not None:
        facts.append(f"output {node.place}")
    heading = text(node.name, 13, theme.ink if node.named else theme.subtle, bold=node.named)
    if facts:
        heading += text("  " + " ".join(facts), 9, theme.subtle)
    rows = [heading]
    more = [bytes_text(node.bytes)] if "bytes" in show else []
    more += [f"{node.cost:,} multiply-adds"] if "cost" in show and node.cost else []
    if more:
        rows.append(text(", ".join(more), 8, theme.subtle, longest=48))
    if "source" in show and node.where:
        rows.append(text(node.where, 8, theme.subtle, longest=48))
    room = 1 if node.name.isascii() else width(shown(node.name), 13) + width("".join(facts), 9)
    rows = [f'<tr><td align="left" width="{room}">{row}</td></tr>' for row in rows]
    columns = []
    blank = blanked(theme, theme.fill[node.role])
    of_value, of_gradient = (theme if part in parts else blank for part in ("values", "gradients"))
    if "values" in show:
        columns.append(("value", of_value.forward, node.value, of_value))
    if node.gradient is not None:
        columns.append(("gradient", of_gradient.backward, node.gradient, of_gradient))
    if columns:
        rows.append(f"<tr><td>{contents(columns)}</td></tr>")
    if mark is not None:
        rows.append(verdict_row(mark, of_gradient))
    return table("".join(rows))


def verdict_row(mark: Mark, theme: Theme) -> str:
    """A verdict at the foot of a card, a little below what is above it."""
    said = text(mark.text, 10, theme.right if mark.good else theme.alarm, bold=True, longest=48)
    room = width(shown(mark.text, 48), 10)
    return f'<tr><td align="left" valign="bottom" height="17" width="{room}">{said}</td></tr>'


def blanked(theme: Theme, fill: str) -> Theme:
    """A theme in which everything has the colour of the card."""
    return replace(theme, ink=fill, subtle=fill, forward=fill, backward=fill, alarm=fill, right=fill, positive=fill,
                   zero=fill, negative=fill)


def bytes_text(n: int) -> str:
    """A number of bytes.

    >>> bytes_text(96), bytes_text(3_000_000)
    ('96 B', '3 MB')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n} B"


def contents(parts: list[tuple[str, str, Summary, Theme]]) -> str:
    """Value and gradient under their headings."""
    cells = [(text(word, 8, colour), picture(summary, theme), caption(summary, theme))
             for word, colour, summary, theme in parts]
    return table("".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
                         for row in zip(*cells, strict=True) if any(row)), padding=2)


def picture(summary: Summary, theme: Theme) -> str:
    """The entries: as numbers if they are few, else as a heatmap."""
    if summary.numbers:
        return table("".join(f"<tr>{''.join(f'<td>{figure(n, theme)}</td>' for n in row)}</tr>"
                             for row in summary.numbers), padding=2)
    if summary.heat:
        down, across = (n * (CELL + 1) + 1 for n in (len(summary.heat), len(summary.heat[0])))
        # Of a fixed size, or a long name would stretch it; the ground shows as lines around cells of zero.
        fixed = f' width="{across}" height="{down}" fixedsize="true" bgcolor="{blend(theme.zero, theme.subtle, 0.3)}"'
        return table("".join(f"<tr>{''.join(cell(part, theme) for part in row)}</tr>"
                             for row in summary.heat), spacing=1, more=fixed)
    return text("empty", 9, theme.subtle)


def figure(number: str, theme: Theme) -> str:
    """A number; red if it is none."""
    wrong = "NaN" in number or "inf" in number
    return text(number, 11, theme.alarm if wrong else theme.ink, bold=wrong)


def cell(part: float, theme: Theme) -> str:
    """One cell of a heatmap: sign by hue, size by strength; red where a block holds NaN or infinity."""
    if not isfinite(part):
        colour = theme.alarm
    else:
        colour = blend(theme.zero, theme.positive if part > 0 else theme.negative, abs(part))
    sign = text("−", 8, theme.ink) if theme.signed and part < 0 else ""
    return f'<td width="{CELL}" height="{CELL}" fixedsize="true" bgcolor="{colour}">{sign}</td>'


def caption(summary: Summary, theme: Theme) -> str:
    """Under a heatmap: the norm, or what is wrong."""
    if summary.numbers or not summary.heat:
        return ""
    if summary.trouble:
        return text(summary.trouble, 10, theme.alarm, bold=True)
    return text(f"norm {number(summary.norm)}", 8, theme.subtle)


# ---- layers

def layer_card(node: LayerNode, theme: Theme, show: frozenset[str], mark: Mark | None = None) -> str:
    """The label of a folded layer: its name, what it is, its sizes and parameters, its gradient; a run's bars."""
    heading = text(node.name, 13, theme.ink, bold=True, longest=40)
    if node.count > 1:
        heading += text(f"   × {node.count:,}", 13, theme.ink, bold=True)
    rows = [heading]
    facts = [node.kind] if node.kind and node.kind != node.name else []
    facts += [node.sizes] if "shapes" in show and node.sizes else []
    words = [text("  ".join(facts), 9, theme.subtle, longest=64)] if facts else []
    rows += words
    learned = f"{node.parameters:,} parameter{'s' if node.parameters != 1 else ''}" if node.parameters else ""
    more = f"{node.shared:,} shared" if node.shared else ""
    if learned or more:
        rows.append(text(", ".join(filter(None, (learned, more))), 9, theme.subtle))
    if node.inputs:
        said = ", ".join(node.inputs[:3]) + (", ..." if len(node.inputs) > 3 else "")
        rows.append(text(f"with {said}", 9, theme.subtle, longest=48))
    if "cost" in show and node.cost:
        rows.append(text(f"{node.cost:,} multiply-adds", 8, theme.subtle))
    if "source" in show and node.where:
        rows.append(text(node.where, 8, theme.subtle, longest=48))
    if node.count > 1:
        rows.append(text(f"{node.hidden:,} tensors and operations folded", 8, theme.subtle, longest=48))
    if node.norm is not None and "gradients" in show:
        what = "outputs" if node.of_output else "parameters"
        if node.bars:
            rows.append(bars(node.bars, theme))
            said = f"{number(node.bars[0])} … {number(node.bars[-1])}"
            rows.append(text(f"gradient norm of the {what}, log scale: {said}", 9, theme.backward, longest=80))
        else:
            wrong = not isfinite(node.norm)
            rows.append(text(f"gradient norm {number(node.norm)}", 9, theme.alarm if wrong else theme.backward, wrong))
    room = max(width(shown(node.name, 40), 13) + (width(f"   × {node.count:,}", 13) if node.count > 1 else 0),
               width("  ".join(facts), 9) if facts else 0)
    first = f'<tr><td align="left" width="{room}">{rows[0]}</td></tr>'
    last = verdict_row(mark, theme) if mark is not None else ""
    return table(first + "".join(f'<tr><td align="left">{row}</td></tr>' for row in rows[1:]) + last, padding=1)


def bars(values: Sequence[float], theme: Theme) -> str:
    """One bar per layer, as high as the logarithm of its gradient says; red where that is no number."""
    if len(values) > MANY:
        values = [values[i * (len(values) - 1) // (MANY - 1)] for i in range(MANY)]
    sound = [v for v in values if isfinite(v) and v > 0]
    low, high = (log10(min(sound)), log10(max(sound))) if sound else (0.0, 0.0)
    span = max(high - low, 1.0)                 # what differs by less than a factor of ten looks alike
    cells = []
    for v in values:
        part = (log10(v) - high + span) / span if isfinite(v) and v > 0 else 0.0 if v == 0 else 1.0
        tall = round(4 + (TALL - 4) * part) if v else 1
        colour = theme.backward if isfinite(v) else theme.alarm
        pad = f'<td height="{TALL - tall}" width="{BAR}" fixedsize="true"></td>' if tall < TALL else ""
        bar = f'<td height="{tall}" width="{BAR}" fixedsize="true" bgcolor="{colour}"></td>'
        rows = (f"<tr>{pad}</tr>" if pad else "") + f"<tr>{bar}</tr>"
        cells.append(f'<td width="{BAR + GAP}" height="{TALL}" fixedsize="true">{table(rows)}</td>')
    return table(f"<tr>{''.join(cells)}</tr>")


def text(words: str, size: int, colour: str, bold: bool = False, longest: int = LONGEST) -> str:
    """Words in a colour and size."""
    inner = label(words, longest) or " "
    inner = f"<b>{inner}</b>" if bold else inner
    return f'<font point-size="{size}" color="{colour}">{inner}</font>'


def table(rows: str, spacing: int = 0, padding: int = 0, more: str = "") -> str:
    """A table without lines."""
    lines = 'border="0" cellborder="0"'
    return f'<table {lines} cellspacing="{spacing}" cellpadding="{padding}"{more}>{rows}</table>'
