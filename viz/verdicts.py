"""What `ad.compare` found, as marks in a picture."""

from __future__ import annotations

from typing import Any

from viz.cards import Mark
from viz.graph import Graph
from viz.values import number

SIGNS = {"agrees": "✓", "differs": "✗"}


def verdicts(graph: Graph, report: Any) -> tuple[dict[str, Mark], frozenset[str], tuple[str, ...]]:
    """The marks of a graph's nodes by their ids, the ids of suspected operations, and sentences for the caption.

    Parameters
    ----------
    graph : Graph
        Of the loss that was compared.
    report : Report
        From `ad.compare`.
    """
    entries = {entry.name: entry for entry in report}
    marks = {node.id: Mark(verdict_text(entries[node.name]), entries[node.name].verdict == "agrees")
             for node in graph.tensors.values() if node.name in entries}
    for layer in graph.layers:
        inside = [entries[name] for name in layer.names if name in entries]
        wrong = [entry.name for entry in inside if entry.verdict == "differs"]
        if inside:
            undecided = [entry.name for entry in inside if entry.verdict not in SIGNS]
            words = f"{SIGNS['differs']} wrong: {', '.join(wrong)}" if wrong else \
                f"undecided: {', '.join(undecided)}" if undecided else f"{SIGNS['agrees']} right: {len(inside)} of them"
            marks[layer.id] = Mark(words, not wrong and not undecided)
    suspects: set[str] = set()
    said: tuple[str, ...] = ()
    if report.explanations:
        first = report.explanations[0]
        equals = "equals" if first.confidence == "is" else "may equal"
        said = (f"{report.verdicts}. What was given {equals} what comes from {first.sentence}.",
                *(f"Correct: {line}" for line in first.correct.splitlines()),
                *(f"Yours equals: {line}" for line in first.yours.splitlines()))
        for place in first.places:
            made = {node.id for node in graph.tensors.values() if node.name == place.tensor}
            suspects.update(e.source for e in graph.edges if e.target in made and e.source in graph.ops)
            suspects.update(layer.id for layer in graph.layers if place.tensor in layer.results)
    elif report.entries:
        said = (f"Gradients given by hand: {report.verdicts}.",)
    return marks, frozenset(suspects), said


def verdict_text(entry: Any) -> str:
    """The verdict in a few characters, with the size of the error."""
    if entry.verdict == "agrees":
        return f"{SIGNS['agrees']} off by {number(float(entry.max_error))}"
    if entry.verdict == "differs":
        wrong_shape = entry.worst is None
        return f"{SIGNS['differs']} " + ("wrong shape" if wrong_shape else f"off by {number(float(entry.max_error))}")
    return "undecided"


