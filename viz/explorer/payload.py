"""What the page is given besides the picture: panels, the steps of backprop, and the grid that folding moves."""

from __future__ import annotations

from typing import Any

from viz.explorer.details import Details
from viz.explorer.placing import GAP, PAD, ROWS, TITLE, Box
from viz.explorer.shapes import MARGIN, Picture
from viz.frames import moments
from viz.graph import Graph
from viz.look import Look, Moment
from viz.text import shown


def payload_of(graph: Graph, look: Look, details: Details, picture: Picture, folded: list[str]) -> dict[str, Any]:
    """Everything, as what JSON has."""
    return {
        "title": shown(graph.title, 80), "output": graph.output,
        "about": about(graph), "notes": [shown(note, 600) for note in (*graph.notes, *details.notes)],
        "said": [shown(line, 600) for line in look.said], "convention": graph.convention,
        "nodes": details.panels, "names": {id: shown(graph.name(id), 60) for id in (*graph.tensors, *graph.ops)},
        "parameters": [t.id for t in graph.tensors.values() if t.role == "parameter"],
        "marks": {id: {"text": mark.text, "good": mark.good} for id, mark in look.marks.items()},
        "steps": steps(graph), "grid": grid(picture),
        "scopes": {c.id: {"parent": c.parent, "path": shown(c.path, 60)} for c in graph.clusters.values()},
        "within": {n.id: n.scope for nodes in (graph.tensors, graph.ops) for n in nodes.values()},
        "folded": folded,
    }


def about(graph: Graph) -> str:
    """What is drawn, in numbers."""
    layers = len(graph.layers)
    parts = ((len(graph.tensors), "tensor"), (layers, "folded layer"), (len(graph.ops) - layers, "operation"))
    return ", ".join(f"{n:,} {word}{'s' if n != 1 else ''}" for n, word in parts if n)


def steps(graph: Graph) -> list[dict[str, Any]]:
    """What happens at each step, and what becomes known by it; forward, then backward."""
    found: list[dict[str, Any]] = []
    none: frozenset[str] = frozenset()
    before = Moment(none, none, none, none, "", "")
    for moment in moments(graph):
        phase = "backward" if moment.gradients else "forward"
        found.append({"title": shown(moment.title, 200), "phase": phase, "op": moment.running,
                      "values": [id for id in graph.tensors if id in moment.values and id not in before.values],
                      "gradients": [id for id in graph.tensors
                                    if id in moment.gradients and id not in before.gradients]})
        before = moment
    return found


def grid(picture: Picture) -> dict[str, Any]:
    """Where everything stands, so that the page can close the gaps that folding leaves."""
    page = picture.page
    return {
        "pad": PAD, "head": TITLE, "gap": GAP, "rows": ROWS, "margin": MARGIN,
        "boxes": {id: numbers(box) for id, box in page.boxes.items()},
        "columns": [[[round(a, 1), round(b, 1)] for a, b in row] for row in page.columns],
        "chips": {chip.id: "" if chip.hidden else chip.source for chip in picture.chips.values()},
        "segments": [{"scope": s.cluster, "row": s.row, "members": s.members, "card": numbers(s.card)}
                     for s in page.segments],
        "lanes": [{"id": lane.edge.id, "from": lane.edge.source, "to": lane.edge.target, "upright": lane.upright,
                   "bends": [[round(x, 1), round(y, 1)] for x, y in lane.points[1:-1]]} for lane in page.lanes],
    }


def numbers(box: Box) -> list[float]:
    """A box in short."""
    return [round(box.x, 1), round(box.y, 1), box.w, box.h, box.row, box.column]
