"""What is drawn: a tape as nodes, edges and clusters, knowing nothing of how any of them looks.

A graph holds summaries, not records, so keeping a graph does not keep the tape alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from viz.scopes import Cluster
from viz.values import Summary

Role = Literal["parameter", "input", "intermediate", "output", "loss"]


@dataclass(frozen=True, slots=True)
class TensorNode:
    """A tensor: a leaf, a result, or an array that was an operand as it was.

    Attributes
    ----------
    id : str
        Its own, made of its name.
    name : str
        What it is called.
    named : bool
        Whether the user called it so; otherwise the name is only a number (v1, c1).
    role : {"parameter", "input", "intermediate", "output", "loss"}
        A leaf that requires grad; any other leaf or array; a result; the result that is drawn; the same if it
        is a scalar that requires grad.
    place : int or None
        Which of its operation's outputs it is; None if that has one only.
    scope : str
        The id of the cluster it belongs to; "" for none.
    value : Summary
        The values at the time of drawing.
    gradient : Summary or None
        ∂loss/∂self; None where no gradient flows, or none was wanted.
    bytes : int
        What its array takes.
    cost : int
        The multiply-adds of the operation that made it (see `viz.costs`).
    where : str
        The user's line; "" of an array.
    """

    id: str
    name: str
    named: bool
    role: Role
    place: int | None
    scope: str
    value: Summary
    gradient: Summary | None
    bytes: int = 0
    cost: int = 0
    where: str = ""


@dataclass(frozen=True, slots=True)
class OpNode:
    """An operation.

    Attributes
    ----------
    id : str
        Made of the name of its result.
    op : str
        The operation's name.
    constants : tuple of str or None
        Per operand the number it is; None for a tensor.
    options : dict
        What else the operation was told.
    scope : str
        The id of the cluster it belongs to; "" for none.
    result : str
        What its result is called.
    aside : bool
        Whether it is only a step on the way to another operation, as the W.T of ``x @ W.T`` is.
    cost : int
        Its multiply-adds (see `viz.costs`).
    where : str
        The user's line.
    """

    id: str
    op: str
    constants: tuple[str | None, ...]
    options: Mapping[str, Any]
    scope: str
    result: str = ""
    aside: bool = False
    cost: int = 0
    where: str = ""


@dataclass(frozen=True, slots=True)
class LayerNode:
    """A layer, or a run of equal ones, folded to a card.

    Attributes
    ----------
    id : str
        Made of its path.
    name : str
        Its path; of a run those of the first and the last: "layers.1–11".
    kind : str
        What it is: "Linear", or "Linear + tanh" of several that repeat together.
    count : int
        How many it stands for; 1 if it is no run.
    sizes : str
        What goes in and what comes out: "16 → 16".
    parameters : int
        How many numbers are learned in it.
    names : tuple of str
        What the tensors are called that hold these.
    results : tuple of str
        What the results within it are called; of a long run only the last ones.
    shared : int
        How many more of them an earlier card has counted already.
    inputs : tuple of str
        The names of the arrays within a run, which have no cards.
    norm : float or None
        ‖∂loss/∂parameters‖, or of a layer without parameters that of its output; None where no gradient flows.
    bars : tuple of float
        The same for each of a run.
    of_output : bool
        Whether `norm` and `bars` are those of the outputs.
    hidden : int
        How many tensors and operations of the tape it stands for.
    scope : str
        The id of the cluster it belongs to; "" for none.
    cost : int
        The multiply-adds of the operations in it.
    where : str
        The user's line that called it.
    """

    id: str
    name: str
    kind: str
    count: int
    sizes: str
    parameters: int
    names: tuple[str, ...]
    results: tuple[str, ...]
    shared: int
    inputs: tuple[str, ...]
    norm: float | None
    bars: tuple[float, ...]
    of_output: bool
    hidden: int
    scope: str
    cost: int = 0
    where: str = ""


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """One entry of a tensor, or a product that is summed up in one.

    Attributes
    ----------
    id : str
        Its own.
    op : str
        The sign of the operation that made it; "" of a leaf.
    name : str
        Such as "W1[0,1]"; "" if it has none.
    role : {"parameter", "input", "intermediate", "output", "loss"}
        As of tensors.
    value : str
        As people read it.
    gradient : str or None
        ∂loss/∂self; None where none flows.
    scope : str
        The id of the cluster it belongs to; "" for none.
    tensor : str
        What the tensor is called that it is an entry of.
    at : tuple of int
        Which entry of it.
    """

    id: str
    op: str
    name: str
    role: Role
    value: str
    gradient: str | None
    scope: str
    tensor: str = ""
    at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """From a tensor to an operation, or from an operation to its result.

    Attributes
    ----------
    id, source, target : str
        Its own id and those of its ends.
    flows : bool
        Whether a gradient flows back along it.
    norm : float or None
        The Euclidean norm of the gradient of what lies at its ends; None if it was not computed.
    label : str
        What stands at its backward lane.
    """

    id: str
    source: str
    target: str
    flows: bool
    norm: float | None = None
    label: str = ""


@dataclass(slots=True)
class Graph:
    """A tape as it is to be drawn.

    Attributes
    ----------
    output : str
        The id of the node everything leads to; "" if it is not drawn.
    title : str
        What is drawn.
    tensors : dict of str to TensorNode
        By id, in the order they were made.
    ops : dict of str to OpNode or LayerNode
        By id, in the order they ran.
    scalars : dict of str to ScalarNode
        By id, in the order they were made, of a graph of scalars; it has no tensors and no operations.
    edges : list of Edge
        In the order they were used.
    clusters : dict of str to Cluster
        By id, outer ones first.
    beyond : dict of str to str
        Names of tensors that are not drawn, by the ids that edges know them by.
    notes : list of str
        What the picture does not show, in sentences.
    convention : str
        Whether samples are rows or columns, in a sentence; "" if that cannot be told.
    """

    output: str = ""
    title: str = ""
    tensors: dict[str, TensorNode] = field(default_factory=dict)
    ops: dict[str, OpNode | LayerNode] = field(default_factory=dict)
    scalars: dict[str, ScalarNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    clusters: dict[str, Cluster] = field(default_factory=dict)
    beyond: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    convention: str = ""

    @property
    def size(self) -> int:
        """How many nodes it has."""
        return len(self.tensors) + len(self.ops) + len(self.scalars)

    @property
    def steps(self) -> list[str]:
        """The ids of what runs: operations and layers, or the scalars that are computed."""
        computed = {e.target for e in self.edges}
        return list(self.ops) or [id for id in self.scalars if id in computed]

    @property
    def layers(self) -> list[LayerNode]:
        """The cards of folded layers."""
        return [node for node in self.ops.values() if isinstance(node, LayerNode)]

    @property
    def largest(self) -> float:
        """The largest finite norm of a gradient along its edges; 0 if there is none."""
        return max((e.norm for e in self.edges if e.norm is not None and e.norm < float("inf")), default=0.0)

    def name(self, id: str) -> str:
        """What a node is called: a tensor, scalar or layer by its name, an operation by that of its result."""
        if id in self.tensors:
            return self.tensors[id].name
        if id in self.scalars:
            return self.scalars[id].name
        node = self.ops.get(id)
        return self.beyond.get(id, "") if node is None else node.name if isinstance(node, LayerNode) else node.result
