"""A report in a notebook: the same table, sentence and formulas, self-contained, in the notebook's own colours."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from autodiff.checks.report_text import COLUMNS, row_of, told

if TYPE_CHECKING:
    from autodiff.checks.report import Report

# Colours that can be read on white and on dark ground: at least 4.5 to 1 against both #fff and #111.
STYLE = {"agrees": "color:#178241", "differs": "color:#d73a34;font-weight:600", "undecided": "color:#96700c"}
CELL = "padding:2px 10px;text-align:left"
CODE = "margin:4px 0 8px;padding:6px 10px;border-left:3px solid #888;background:none;white-space:pre-wrap"


def report_html(report: Report) -> str:
    """The report as a fragment of HTML."""
    parts = [f"<p><b>{escape(report.summary)}</b></p>", "<table>", head()]
    for entry in report.entries:
        cells = [f'<td style="{CELL};{STYLE.get(cell, "")}">{escape(cell)}</td>' for cell in row_of(entry)]
        parts.append(f"<tr>{''.join(cells)}</tr>")
        if entry.note:
            note = "<br>".join(escape(line) for line in entry.note.splitlines())
            parts.append(f'<tr><td></td><td colspan="{len(COLUMNS) - 1}" style="{CELL}"><i>{note}</i></td></tr>')
    parts.append("</table>")
    if report.not_given:
        parts.append(f"<p>not given: {escape(', '.join(report.not_given))}</p>")
    parts += [f"<p>{escape(note)}</p>" for note in report.notes]
    if report.reading is not None and report.reading.sentence:
        first, *rest = report.reading.sentence.splitlines()
        parts.append(f"<p><b>{escape(first)}</b></p>{code(rest)}")
    if report.explanations:
        first, *rest = told(report.explanations[0], report.verdicts)
        parts.append(f"<p><b>{escape(first)}</b></p>{code(rest)}")
        parts += [f"<p>less likely: {escape(other.sentence)}</p>" for other in report.explanations[1:]]
    parts += [f"<p>{escape(line)}</p>" for line in report.diagnosis.splitlines()]
    return f"<div>{''.join(parts)}</div>"


def head() -> str:
    """The first row."""
    return f"<tr>{''.join(f'<th style={chr(34)}{CELL}{chr(34)}>{escape(name)}</th>' for name in COLUMNS)}</tr>"


def code(lines: list[str]) -> str:
    """Lines as they are."""
    text = "\n".join(escape(line.strip()) for line in lines)
    return f'<pre style="{CODE}">{text}</pre>' if text else ""
