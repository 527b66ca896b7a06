"""A tape in a notebook: its lines as a table; of a long one the first and the last."""

from __future__ import annotations

from autodiff.display.pieces import cell, counted, framed, gap, paragraph, picked, row, shown, span, table
from autodiff.naming import line_of, names_of
from autodiff.record import Record
from autodiff.tape import Tape

LINES = 40


@shown
def tape_html(tape: Tape) -> str:
    """The display of a tape."""
    names = names_of(tape.all, tape.given)
    outputs = ", ".join(names[r] for r in tape.outputs)
    head = paragraph(span("code name", outputs), span("quiet fact", "Tape"),
                     span("fact", counted(len(tape), "operation")),
                     span("quiet", f"from {counted(len(tape.leaves), 'tensor')}"))
    lines = []
    layers = any(r.scope is not None for r in tape.all)
    columns = ["name", "operation", "shape and dtype", *(["layer"] if layers else []), "line"]
    for i in picked(len(tape.all), LINES):
        if i is None:
            lines.append(gap(f"⋮ {len(tape.all) - LINES:,} more lines; print(tape) shows them all", len(columns)))
            continue
        r = tape.all[i]
        name, expression, kind, line = line_of(r, names)
        cells = [cell(span("code", name, 40), role(r)), cell(span("code wrap", expression, 160), "wrap"),
                 cell(span("code", kind))]
        if layers:
            cells.append(cell(span("quiet", "" if r.scope is None else r.scope.path, 60)))
        lines.append(row([*cells, cell(span("quiet code", line, 80))]))
    return framed(head, table(columns, lines))


def role(r: Record) -> str:
    """The colour at the edge of a line; the words say it too."""
    return "result" if r.op is not None else "parameter" if r.requires_grad else "input"
