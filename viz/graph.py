"""What is drawn: a tape as nodes, edges and clusters, knowing nothing of how any of them looks.

A graph holds summaries, not records, so keeping a picture does not keep the tape alive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from autodiff import Tape
from autodiff.naming import free, names_of
from autodiff.record import Record
from autodiff.tape import walk_back
from viz.scopes import Cluster, clusters_of
from viz.text import slug
from viz.values import Summary, number, summarized

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
    """

    id: str
    name: str
    named: bool
    role: Role
    place: int | None
    scope: str
    value: Summary
    gradient: Summary | None


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
    """

    id: str
    op: str
    constants: tuple[str | None, ...]
    options: Mapping[str, Any]
    scope: str


@dataclass(frozen=True, slots=True)
class Edge:
    """From a tensor to an operation, or from an operation to its result.

    Attributes
    ----------
    id, source, target : str
        Its own id and those of its ends.
    flows : bool
        Whether a gradient flows back along it.
    """

    id: str
    source: str
    target: str
    flows: bool


@dataclass(slots=True)
class Graph:
    """A tape as it is to be drawn.

    Attributes
    ----------
    output : str
        The id of the node everything leads to.
    tensors, ops : dict of str to TensorNode or OpNode
        By id, in the order they ran.
    edges : list of Edge
        In the order they were used.
    clusters : dict of str to Cluster
        By id, outer ones first.
    beyond : dict of str to str
        Names of tensors that are not drawn, by the ids that edges know them by.
    notes : list of str
        What the picture does not show, in sentences.
    """

    output: str = ""
    tensors: dict[str, TensorNode] = field(default_factory=dict)
    ops: dict[str, OpNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    clusters: dict[str, Cluster] = field(default_factory=dict)
    beyond: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many nodes it has."""
        return len(self.tensors) + len(self.ops)


def graph_of(tape: Tape, gradients: bool = True, max_nodes: int = 400,
             arrays: Mapping[str, Any] | None = None) -> Graph:
    """The graph of a tape's first output.

    Parameters
    ----------
    tape : Tape
        What is drawn.
    gradients : bool
        Whether to compute gradients: a walk back of its own, which neither reads nor touches any `.grad`.
    max_nodes : int
        Of a larger graph, only what lies nearest to the output is drawn, and a note says so.
    arrays : mapping of str to ndarray, optional
        Names for arrays that are no tensors.

    Examples
    --------
    >>> W = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> loss = (2 * W).sum()
    >>> graph = graph_of(ad.Tape(loss))
    >>> list(graph.tensors), [op.op for op in graph.ops.values()], graph.tensors["W"].gradient.numbers
    (['W', 'v1', 'loss'], ['multiply', 'sum'], (('2', '2'),))
    """
    return Builder(tape, arrays or {}).graph(gradients, max_nodes)


class Builder:
    """What is known about a tape while its graph is made."""

    def __init__(self, tape: Tape, arrays: Mapping[str, Any]) -> None:
        self.tape = tape
        self.output = tape.outputs[0]
        self.names = names_of(tape.all, tape.given)
        self.arrays = {id(a): name for name, a in arrays.items() if isinstance(a, np.ndarray)}
        self.uses: dict[Any, int] = {}           # of records, and of arrays by id()
        for r in tape.all:
            for x in r.inputs:
                key = x if isinstance(x, Record) else id(x) if is_array(x) else None
                if key is not None:
                    self.uses[key] = self.uses.get(key, 0) + 1
        self.ids: dict[Any, str] = {}            # of what stands on the tape; arrays by id()
        self.used_ids: dict[str, int] = {}
        self.used_names = dict.fromkeys(self.names.values(), 1)
        self.made = Graph()

    def graph(self, gradients: bool, max_nodes: int) -> Graph:
        """The graph, made record by record in the order they ran."""
        made = self.made
        drawn = self.nearest(max_nodes)
        found = self.gradients(drawn) if gradients else {}
        made.clusters, scopes = clusters_of(drawn)
        self.users = self.first_users(drawn)
        for r in drawn:
            scope = scopes.get(r, "")
            if r.op is None:
                user = self.users.get(r)
                self.tensor(r, scopes.get(user, "") if user and r.requires_grad else scope, found)
            elif r.op.name != "select" or not self.follows(r):
                self.operation(r, scope, found)
            else:
                self.selection(r, scope, found)
        made.output = self.ids[self.output]
        return made

    # ---- which records

    def is_bypassed(self, r: Record) -> bool:
        """Whether a result has no card: the W.T of `x @ W.T`, which says nothing that W does not."""
        return (r.op is not None and r.op.name == "transpose" and isinstance(r.inputs[0], Record)
                and r.inputs[0].op is None and self.uses.get(r) == 1 and r is not self.output
                and not r.name and r not in self.tape.given)

    def follows(self, r: Record) -> bool:
        """Whether this selects one of several outputs."""
        return isinstance(r.inputs[0], Record) and isinstance(r.inputs[0].value, tuple)

    def cost(self, r: Record) -> int:
        """How many nodes a record is drawn as."""
        alone = r.op is None or isinstance(r.value, tuple) or (r.op.name == "select" and self.follows(r))
        return 1 if alone or self.is_bypassed(r) else 2

    def nearest(self, max_nodes: int) -> list[Record]:
        """The records to draw, in the order they ran: those nearest to the output, if there are too many."""
        total = sum(map(self.cost, self.tape.all)) + sum(isinstance(key, int) for key in self.uses)
        if total <= max_nodes:
            return self.tape.all
        chosen: set[Record] = set()
        arrays: set[int] = set()
        room = max_nodes
        pending, seen = deque([self.output]), {self.output}
        while pending:
            r = pending.popleft()
            new = {id(x) for x in r.inputs if is_array(x)} - arrays
            room -= self.cost(r) + len(new)
            if room < 0 and chosen:
                break
            chosen.add(r)
            arrays |= new
            for x in r.inputs:
                if isinstance(x, Record) and x not in seen:
                    seen.add(x)
                    pending.append(x)
        shown = sum(map(self.cost, chosen)) + len(arrays)
        self.made.notes.append(f"The {shown:,} nodes nearest to {self.names[self.output]} are drawn; "
                               f"{total - shown:,} more are hidden (max_nodes={max_nodes}).")
        return [r for r in self.tape.all if r in chosen]

    def first_users(self, drawn: Iterable[Record]) -> dict[Record, Record]:
        """For each leaf the first drawn record that uses it."""
        users: dict[Record, Record] = {}
        for r in drawn:
            for x in r.inputs:
                if isinstance(x, Record) and x.op is None:
                    users.setdefault(x, r)
        return users

    # ---- gradients

    def gradients(self, drawn: Iterable[Record]) -> dict[Record, Any]:
        """∂output/∂record for each drawn record, as `ad.gradients` has it; {} and a note if there is none."""
        output, name = self.output, self.names[self.output]
        reason = ""
        if not output.requires_grad:
            reason = f"{name} does not depend on anything that requires grad"
        elif np.size(output.value) != 1:
            reason = f"{name} is no scalar"
        elif output.value.dtype.kind != "f":
            reason = f"{name} is of dtype {output.value.dtype}"
        if reason:
            self.made.notes.append(f"Without gradients: {reason}.")
            return {}
        wanted = [r for r in drawn if r.requires_grad and not isinstance(r.value, tuple)]
        try:
            with np.errstate(all="ignore"):      # what overflows is drawn, loudly
                found = walk_back({output: np.ones_like(output.value)[()]}, wanted)
        except Exception as error:               # a picture is what one looks at when something is wrong
            reason = str(error).partition("\n")[0] or repr(error)
            self.made.notes.append(f"Without gradients: {reason}")
            return {}
        return {r: found[r] if r in found else np.zeros_like(r.value) for r in wanted}

    # ---- nodes and edges

    def role(self, r: Record) -> Role:
        """What a record is to the reader."""
        if r is self.output and r.op is not None:
            return "loss" if r.requires_grad and np.size(r.value) == 1 else "output"
        if r.op is not None:
            return "intermediate"
        return "parameter" if r.requires_grad else "input"

    def new_id(self, wish: str) -> str:
        """An id that is not taken yet."""
        return free(slug(wish), self.used_ids)

    def tensor(self, r: Record, scope: str, found: Mapping[Record, Any]) -> str:
        """Add the card of a record's value."""
        name = self.names[r]
        place = r.options.get("output") if r.op is not None and r.op.name == "select" else None
        named = bool(r.name or r in self.tape.given)
        node = TensorNode(self.new_id(name), name, named, self.role(r), place, scope,
                          summarized(r.value if not isinstance(r.value, tuple) else None),
                          summarized(found[r]) if r in found else None)
        self.made.tensors[node.id] = node
        self.ids[r] = node.id
        return node.id

    def operation(self, r: Record, scope: str, found: Mapping[Record, Any]) -> None:
        """Add a record's disc, the edges into it, and the card of its result."""
        assert r.op is not None
        op = self.new_id(f"op_{self.names[r]}")
        constants = tuple(None if isinstance(x, Record) or is_array(x) else constant(x) for x in r.inputs)
        for i, x in enumerate(r.inputs):
            if isinstance(x, Record):
                edge = r.op.edges[i] if i < len(r.op.edges) else r.op.together
                source = self.ids.get(x) or self.hidden(x)
                self.edge(source, op, x.requires_grad and r.requires_grad and edge is not None)
            elif is_array(x):
                self.edge(self.array(x, r, i), op, False)
        self.made.ops[op] = OpNode(op, r.op.name, constants, r.options, scope)
        if (isinstance(r.value, tuple) and r is not self.output) or self.is_bypassed(r):
            self.ids[r] = op
        else:
            self.edge(op, self.tensor(r, scope, found), r.requires_grad)

    def selection(self, r: Record, scope: str, found: Mapping[Record, Any]) -> None:
        """Add the card of one of several outputs, straight behind the operation that made them all."""
        made_by = r.inputs[0]
        source = self.ids.get(made_by) or self.hidden(made_by)
        self.edge(source, self.tensor(r, scope, found), r.requires_grad)

    def edge(self, source: str, target: str, flows: bool) -> None:
        """Add an edge."""
        self.made.edges.append(Edge(self.new_id(f"{source}__{target}"), source, target, flows))

    def hidden(self, r: Record) -> str:
        """The id of a tensor beyond the edge of the picture."""
        new = self.ids[r] = self.new_id(f"beyond_{self.names[r]}")
        self.made.beyond[new] = self.names[r]
        return new

    def array(self, a: Any, r: Record, i: int) -> str:
        """The card of an array that was operand i as it was; one card however often it is used."""
        if id(a) in self.ids:
            return self.ids[id(a)]
        text = r.written[i]
        # The name of another operand would mean that they do not stand in the order they are written in.
        taken = {x.name for x in r.inputs if isinstance(x, Record)}
        own = self.arrays.get(id(a)) or (text if text.isidentifier() and text not in taken else None)
        name = free(own or "array", self.used_names)
        node = TensorNode(self.new_id(name), name, own is not None, "input", None, "", summarized(a), None)
        self.made.tensors[node.id] = node
        self.ids[id(a)] = node.id
        return node.id


def is_array(x: Any) -> bool:
    """Whether an operand is an array with a card of its own, rather than a number on the disc."""
    return not isinstance(x, Record) and hasattr(x, "shape") and np.ndim(x) > 0


def constant(x: Any) -> str:
    """An operand that is a number (or None, or a setting) as the disc shows it."""
    x = x.item() if hasattr(x, "item") and np.size(x) == 1 else x
    return number(x) if isinstance(x, bool | int | float | complex) else str(x)
