"""A report in a notebook: the same table, sentence and formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autodiff.checks.report_text import COLUMNS, row_of, told
from autodiff.display.pieces import cell, code, framed, paragraph, row, safe, shown, span, table

if TYPE_CHECKING:
    from autodiff.checks.report import Report

KINDS = {"agrees": "right", "differs": "alarm", "undecided": "unsure"}
SENTENCE = 2000         # characters


@shown
def report_html(report: Report) -> str:
    """The display of a report."""
    parts = [paragraph(f"<b>{safe(report.summary, SENTENCE)}</b>")]
    rows = []
    for entry in report.entries:
        rows.append(row(cell(span(KINDS[text], text) if text in KINDS else safe(text)) for text in row_of(entry)))
        if entry.note:
            note = "<br/>".join(safe(line, SENTENCE) for line in entry.note.splitlines())
            rows.append(row([cell(""), cell(f"<i>{note}</i>", "wrap", f' colspan="{len(COLUMNS) - 1}"')]))
    parts.append(table(COLUMNS, rows))
    if report.not_given:
        parts.append(said(f"not given: {', '.join(report.not_given)}"))
    parts += map(said, report.notes)
    if report.reading is not None and report.reading.sentence:
        first, *rest = report.reading.sentence.splitlines()
        parts += [paragraph(f"<b>{safe(first, SENTENCE)}</b>"), code(line.strip() for line in rest)]
    if report.explanations:
        first, *rest = told(report.explanations[0], report.verdicts)
        parts += [paragraph(f"<b>{safe(first, SENTENCE)}</b>"), code(line.strip() for line in rest)]
        parts += [said(f"less likely: {other.sentence}") for other in report.explanations[1:]]
    parts += map(said, report.diagnosis.splitlines())
    return framed(*parts)


def said(sentence: str) -> str:
    """A sentence as a paragraph."""
    return paragraph(safe(sentence, SENTENCE))
