"""A report as text: a table, then where and why."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.checks.doctor.explanation import IS, Explanation
from autodiff.checks.mistakes import KINDS

if TYPE_CHECKING:
    from autodiff.checks.report import Entry, Report

COLUMNS = ("", "shape", "verdict", "max error", "relative", "tolerance", "at", "yours", "correct")
COLOURS = {"agrees": "32", "differs": "31", "undecided": "33", "heading": "1", "line": "36"}
NUMBERS = {3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten"}
OTHERS = 4                   # how many explanations that cannot be told apart are spelled out

Paint = Callable[[str, str], str]


def in_colour() -> bool:
    """Whether what is printed goes to a terminal that shows colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str) -> str:
    """A text in a colour of the terminal."""
    return f"\033[{COLOURS[colour]}m{text}\033[0m"


def report_text(report: Report, colour: bool = False) -> str:
    """The report as a person reads it."""
    paint: Paint = painted if colour else lambda text, _: text
    lines = [paint(report.summary, "heading"), "", *table(report, paint)]
    if report.not_given:
        lines.append(f"not given: {', '.join(report.not_given)}")
    return "\n".join([*lines, *report.notes, *where(report, paint), *why(report, paint)])


def table(report: Report, paint: Paint) -> list[str]:
    """The verdicts, a line each, with what else there is to say below it."""
    rows: list[tuple[str, ...]] = [COLUMNS, *(row_of(entry) for entry in report.entries)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines = [texts[0]]
    for entry, text in zip(report.entries, texts[1:], strict=True):
        lines.append(text.replace(f"  {entry.verdict}", f"  {paint(entry.verdict, entry.verdict)}", 1))
        lines += [f"    {line}" for line in entry.note.splitlines()]
    return lines


def where(report: Report, paint: Paint) -> list[str]:
    """The first wrong line of the function that was given."""
    reading = report.reading
    if reading is None or not reading.sentence:
        return []
    head, *rest = reading.sentence.splitlines()
    return ["", paint(head, "heading"), *(f"    {paint(line, 'line')}" for line in rest)]


def why(report: Report, paint: Paint) -> list[str]:
    """What the differences come from."""
    lines: list[str] = []
    if report.explanations:
        head, *rest = told(report.explanations[0], report.verdicts)
        lines += ["", paint(head, "heading"), *rest]
        lines += [f"less likely: {other.sentence}" for other in report.explanations[1:]]
    if report.diagnosis:
        lines += report.diagnosis.splitlines() if lines else ["", *report.diagnosis.splitlines()]
    return lines


def told(found: Explanation, verdicts: str) -> list[str]:
    """An explanation as lines: the sentence, the right step beside the wrong one, what cannot be told apart."""
    n, sure = len(found.params), found.confidence == IS
    who = "It" if n == 1 else "Both" if n == 2 else f"All {NUMBERS.get(n, n)}"
    equal = ("equals" if n == 1 else "equal") if sure else "may equal"
    lines = [f"{verdicts}. {who} {equal} what you get by {found.sentence}."]
    for name, formulas in (("correct", found.correct), ("yours equals", found.yours)):
        lines += [f"    {name + ':':<13} {line}" for line in formulas.splitlines()]
    lines.append(f"    ({found.confidence}: {found.evidence})")
    words = [m.sentence for m in found.members if m.sentence in KINDS.values()]
    others = [*dict.fromkeys(m.sentence for m in found.members if m.sentence not in words)]
    if words:
        lines.append(f"The line may also be called: {'; '.join(words)}.")
    if others:
        more = len(others) - OTHERS
        lines.append("Cannot be told apart here from: " + "; ".join(others[:OTHERS])
                     + (f"; and {more} more" if more > 0 else "") + ".")
    return lines


def row_of(entry: Entry) -> tuple[str, ...]:
    """An entry as cells."""
    at = entry.worst
    return (entry.name, str(entry.shape), entry.verdict, number(entry.max_error), number(entry.relative_error),
            number(entry.tolerance), "" if not at else str(list(at)),
            value_at(entry.yours, at), value_at(entry.correct, at))


def number(x: float) -> str:
    """A size, short; nothing where there is none."""
    return "" if np.isnan(x) else "0" if x == 0 else f"{x:.1e}"


def value_at(array: Any, at: Sequence[int] | None) -> str:
    """An element, to a few digits."""
    return "" if at is None else f"{float(array[tuple(at)]):.6g}"
