"""Modules and histories in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING

from autodiff.display.pieces import (
    EDGES,
    SHARE,
    cell,
    counted,
    framed,
    gap,
    paragraph,
    picked,
    row,
    safe,
    shape_text,
    shown,
    span,
    table,
)
from nn import describe

if TYPE_CHECKING:
    from nn.describe import Parts
    from nn.history import History

MODULES, EPOCHS = 60, 10    # rows of a table
BAR = f"{EDGES['input']}{SHARE:02x}"
WIDE, TALL = 320, 110       # of a notebook's picture of the losses


@shown
def module_html(look: Callable[[], Parts]) -> str:
    """The tree of a module as a table, with a bar for each part's share of what is trained (see `describe.tree`)."""
    parts = look()
    _, whole, _ = parts[0]
    total = describe.trained(whole)
    lines = []
    for i in picked(len(parts), MODULES):
        if i is None:
            lines.append(gap(f"⋮ {len(parts) - MODULES:,} more modules; print(model) shows them all", 3))
            continue
        path, module, own = parts[i]
        depth = path.count(".") + 1 if path else 0
        step = span("code fact", path.rpartition(".")[2], 40) if path else ""
        options = f"({module.extra_repr()})" if module.extra_repr() else ""
        tensors = " ".join(span("code fact", f"{name} {shape_text(tensor.shape)}{describe.unusual(tensor)}", 80)
                           for name, tensor in own)
        count = describe.trained(module)
        share = 100 * count / total if total else 0
        bar = f' style="background:linear-gradient(to left,{BAR} {share:.3g}%,transparent 0)"' if share else ""
        head = f'<span style="padding-left:{1.4 * depth:.3g}em">{step}<b>{span("", type(module).__name__)}</b>'
        lines.append(row([cell(f"{head}{span('quiet', options)}</span>"), cell(tensors),
                          cell(f"{count:,}" if count else "", "n", bar)]))
    head = paragraph(span("name", type(whole).__name__), span("fact", counted(total, "parameter")),
                     span("quiet", counted(len(parts), "module")))
    return framed(head, table(["module", "tensors", "parameters"], lines))


@shown
def history_html(history: History) -> str:
    """The display of a history: the losses as curves, and the table."""
    columns = history.columns
    rows = []
    for i in picked(len(history), EPOCHS):
        values = ["⋮"] * (len(columns) + 1) if i is None else [f"{i + 1:,}", *(f"{v[i]:.4g}" for v in columns.values())]
        rows.append(row(cell(safe(value), "n") for value in values))
    head = paragraph(span("name", "History"), span("fact", counted(len(history), "epoch")),
                     span("alarm", f"interrupted in epoch {len(history) + 1}") if history.interrupted else "")
    return framed(head, f'<div class="side"><div>{curves(history)}</div>'
                        f"<div>{table(['epoch', *columns], rows)}</div></div>",
                  style=".wengert polyline,.wengert .rim{fill:none;stroke:currentColor;stroke-width:1.6}"
                        ".wengert .rim{stroke-width:1;opacity:.3}")


def curves(history: History) -> str:
    """The training and the validation loss as curves; what is not finite is left out."""
    drawn = {"training": ("forward", history.train_loss), "validation": ("backward", history.validation_loss)}
    sound = [v for _, values in drawn.values() for v in values if isfinite(v)]
    if len(history) < 2 or not sound:
        return ""
    low, high = min(sound), max(sound)
    extent = high - low or 1.0
    lines = []
    for kind, values in drawn.values():
        points = " ".join(f"{WIDE * i / (len(history) - 1):.1f},{TALL - 4 - (TALL - 8) * (v - low) / extent:.1f}"
                          for i, v in enumerate(values) if isfinite(v))
        lines += [f'<polyline class="{kind}" points="{points}"/>'] if points else []
    legend = [span(f"{kind} fact", name) for name, (kind, values) in drawn.items() if values]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDE}" height="{TALL}" role="img" aria-label="losses by '
            f'epoch"><path class="rim" d="M0 0V{TALL}H{WIDE}"/>{"".join(lines)}</svg>'
            + paragraph(*legend, span("quiet", f"{low:.4g} … {high:.4g}")))
