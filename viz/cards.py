"""What stands on a tensor's card, as a Graphviz HTML-like label."""

from __future__ import annotations

from math import isfinite

from viz.graph import TensorNode
from viz.text import LONGEST, label, shown, width
from viz.themes import Theme, blend
from viz.values import Summary, number

CELL = 9                    # the side of a heatmap's cell, in points
COMMON_DTYPE = "float64"    # not worth saying


def card(node: TensorNode, theme: Theme, show: frozenset[str]) -> str:
    """The label of a tensor: name and shape; below them value and gradient, side by side."""
    facts = []
    if "shapes" in show:
        facts.append(node.value.shape_text)
    if node.value.dtype != COMMON_DTYPE:
        facts.append(node.value.dtype)
    if node.place is not None:
        facts.append(f"output {node.place}")
    heading = text(node.name, 13, theme.ink if node.named else theme.subtle, bold=node.named)
    if facts:
        heading += text("  " + " ".join(facts), 9, theme.subtle)
    room = 1 if node.name.isascii() else width(shown(node.name), 13) + width("".join(facts), 9)
    rows = [f'<tr><td align="left" width="{room}">{heading}</td></tr>']
    parts = []
    if "values" in show:
        parts.append(("value", theme.forward, node.value))
    if node.gradient is not None:
        parts.append(("gradient", theme.backward, node.gradient))
    if parts:
        rows.append(f"<tr><td>{contents(parts, theme)}</td></tr>")
    return table("".join(rows))


def contents(parts: list[tuple[str, str, Summary]], theme: Theme) -> str:
    """Value and gradient under their headings; one above the other if they are wide."""
    cells = [(text(word, 8, colour), picture(summary, theme), caption(summary, theme))
             for word, colour, summary in parts]
    if any(len(row) > 1 for _, _, summary in parts for row in summary.numbers):
        return table("".join(f'<tr><td align="left">{"".join(cell)}</td></tr>'
                             for column in cells for cell in ([column[0]], column[1:]) if any(cell)))
    return table("".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
                         for row in zip(*cells, strict=True) if any(row)), padding=2)


def picture(summary: Summary, theme: Theme) -> str:
    """The entries: as numbers if they are few, else as a heatmap."""
    if summary.numbers:
        return table("".join(f"<tr>{''.join(f'<td>{figure(n, theme)}</td>' for n in row)}</tr>"
                             for row in summary.numbers), padding=3)
    if summary.heat:
        down, across = (n * (CELL + 1) + 1 for n in (len(summary.heat), len(summary.heat[0])))
        fixed = f' width="{across}" height="{down}" fixedsize="true"'       # or a long name would stretch it
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
    return f'<td width="{CELL}" height="{CELL}" fixedsize="true" bgcolor="{colour}"></td>'


def caption(summary: Summary, theme: Theme) -> str:
    """Under a heatmap: the norm, or what is wrong."""
    if summary.numbers or not summary.heat:
        return ""
    if summary.trouble:
        return text(summary.trouble, 10, theme.alarm, bold=True)
    return text(f"norm {number(summary.norm)}", 8, theme.subtle)


def text(words: str, size: int, colour: str, bold: bool = False, longest: int = LONGEST) -> str:
    """Words in a colour and size."""
    inner = label(words, longest)
    inner = f"<b>{inner}</b>" if bold else inner
    return f'<font point-size="{size}" color="{colour}">{inner}</font>'


def table(rows: str, spacing: int = 0, padding: int = 0, more: str = "") -> str:
    """A table without lines."""
    lines = 'border="0" cellborder="0"'
    return f'<table {lines} cellspacing="{spacing}" cellpadding="{padding}"{more}>{rows}</table>'
