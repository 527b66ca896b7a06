"""One look at a model in training: its layers, what comes out of each, and which gradients reach it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff import Tape
from autodiff.record import Record
from autodiff.state import grad_mode
from viz.build import Builder, parameters
from viz.choice import Wish
from viz.gradients import gradients_at, norm
from viz.graph import Graph, LayerNode
from viz.models import Array, Loss, loss_of, number, untouched
from viz.symbols import symbol

EVERYTHING = 10**9


@dataclass(frozen=True, slots=True)
class Unit:
    """A layer, or an operation outside of any.

    Attributes
    ----------
    id, name, kind, sizes : str
        Its own, its path, what it is, and what goes in and comes out.
    learned : int
        How many numbers are learned in it.
    sources : tuple of str
        The ids of the units whose results it takes.
    given : tuple of str
        The names of the data it takes.
    is_layer : bool
        Whether it is a layer.
    """

    id: str
    name: str
    kind: str
    sizes: str
    learned: int
    sources: tuple[str, ...]
    given: tuple[str, ...]
    is_layer: bool


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a look finds at a unit; None where there is no such thing.

    Attributes
    ----------
    gradient : float or None
        ‖∂loss/∂parameters‖.
    output : float or None
        The root mean square of what comes out.
    arriving : float or None
        ‖∂loss/∂output‖.
    """

    gradient: float | None
    output: float | None
    arriving: float | None


@dataclass(frozen=True, slots=True)
class Glance:
    """The loss, and the numbers of each unit by its id."""

    loss: float
    numbers: dict[str, Numbers]


def look_at(model: Any, loss_fn: Loss, x: Array, y: Array) -> tuple[list[Unit], Glance]:
    """The units of a model, in the order they ran, and their numbers on these samples."""
    with untouched(model), np.errstate(all="ignore"), grad_mode(True):
        loss = loss_of(model, loss_fn, x, y)
        builder = Builder(Tape(loss), Wish("layer", gradients=False, fold=False, max_nodes=EVERYTHING),
                          {"samples": x, "targets": y})
        graph = builder.graph()
        inside: dict[str, list[Record]] = {id: [] for id in graph.ops}
        maker = {e.target: e.source for e in graph.edges if e.source in graph.ops and e.target in graph.tensors}
        for r, id in builder.ids.items():
            if isinstance(r, Record) and r.op is not None and maker.get(id, id) in inside:
                inside[maker.get(id, id)].append(r)
        inside = {id: sorted(records, key=lambda r: r.serial) for id, records in inside.items()}
        wanted = [r for records in inside.values() for r in [*parameters(records), *records[-1:]]]
        found, _ = gradients_at(loss.record, "loss", wanted)
        numbers = {id: numbers_of(records, found) for id, records in inside.items() if records}
    return units_of(graph, maker, f"{type(model).__name__}."), Glance(number(loss), numbers)


def numbers_of(records: list[Record], found: dict[Record, Any]) -> Numbers:
    """The numbers of a unit, from its operations and the gradients."""
    own = [found[p] for p in parameters(records) if p in found]
    out = records[-1]
    value = None if isinstance(out.value, tuple) or not np.size(out.value) else out.value
    return Numbers(norm(own) if own else None,
                   norm([value]) / float(np.sqrt(np.size(value))) if value is not None else None,
                   norm([found[out]]) if out in found else None)


def units_of(graph: Graph, maker: dict[str, str], prefix: str) -> list[Unit]:
    """The layers and operations of a graph, with where what they take comes from; names without the model's own."""
    found = []
    for node in graph.ops.values():
        into = [e.source for e in graph.edges if e.target == node.id]
        sources = [maker.get(source, source) for source in into]
        given = tuple(graph.name(source) for source in into if maker.get(source, source) not in graph.ops)
        sources = [source for source in dict.fromkeys(sources) if source in graph.ops]
        if isinstance(node, LayerNode):
            name = node.name.removeprefix(prefix) or node.kind
            found.append(Unit(node.id, name, node.kind if node.kind != name else "", node.sizes, node.parameters,
                              tuple(sources), given + node.inputs, True))
        else:
            found.append(Unit(node.id, symbol(node.op, node.constants, node.options), "", "", 0, tuple(sources), given,
                              False))
    return found
