"""What `ad.compare` found, as marks in a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from viz.cards import Mark
from viz.choice import listed
from viz.graph import Graph, ScalarNode
from viz.values import number

SIGNS = {"agrees": "✓", "differs": "✗"}
ALIKE = 3                   # the tolerances of a gradient's entries differ by less than this (see `checks.noise`)


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
    marks |= {node.id: scalar_mark(node, entries[node.tensor]) for node in graph.scalars.values()
              if node.tensor in entries}
    for layer in graph.layers:
        inside = [entries[name] for name in layer.names if name in entries]
        wrong = [entry.name for entry in inside if entry.verdict == "differs"]
        if inside:
            undecided = [entry.name for entry in inside if entry.verdict not in SIGNS]
            words = f"{SIGNS['differs']} wrong: {listed(wrong)}" if wrong else \
                f"undecided: {listed(undecided)}" if undecided else \
                f"{SIGNS['agrees']} right: {listed([entry.name for entry in inside])}"
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
            suspects.update(node.id for node in graph.scalars.values() if node.tensor == place.tensor and node.op)
    elif report.entries:
        said = (f"Gradients given by hand: {report.verdicts}.",)
    return marks, frozenset(suspects), said


def verdict_text(entry: Any) -> str:
    """The verdict in a few characters, with the size of the error."""
    if entry.verdict not in SIGNS:
        return "undecided"
    if entry.verdict == "differs" and entry.worst is None:
        return f"{SIGNS['differs']} wrong shape"
    return f"{SIGNS[entry.verdict]} off by {number(float(entry.max_error))}"


def scalar_mark(node: ScalarNode, entry: Any) -> Mark:
    """The verdict on one entry of a gradient: in one that differs, some entries may agree."""
    if entry.verdict not in SIGNS or entry.worst is None:
        return Mark(verdict_text(entry), entry.verdict == "agrees")
    error = float(abs(np.asarray(entry.yours)[node.at] - np.asarray(entry.correct)[node.at]))
    if error > entry.max_error + entry.tolerance:   # one that depends on a choice at a kink, and was not compared
        return Mark("undecided", False)
    wrong = entry.verdict == "differs" and (node.at == entry.worst or not error <= ALIKE * entry.tolerance)
    return Mark(f"{SIGNS['differs' if wrong else 'agrees']} off by {number(error)}", not wrong)


