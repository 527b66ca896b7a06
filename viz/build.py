"""A tape made into a graph: which card stands for what, and what is told on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from autodiff import Tape
from autodiff.naming import free, names_of
from autodiff.record import Record
from autodiff.sites import Site, is_ours, locate
from viz.choice import Choice, Wish, is_array
from viz.costs import multiply_adds
from viz.folding import Group, learned
from viz.gradients import gradients_at, norm
from viz.graph import Edge, Graph, LayerNode, OpNode, Role, TensorNode
from viz.text import slug
from viz.values import number, summarized

MOST_NAMES = 1000           # of a folded layer's results that are kept


def graph_of(tape: Tape, wish: Wish | None = None, arrays: Mapping[str, Any] | None = None) -> Graph:
    """The graph of a tape's first output.

    Parameters
    ----------
    tape : Tape
        What is drawn.
    wish : Wish, optional
        How much of it.
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
    return Builder(tape, wish or Wish(), arrays or {}).graph()


class Builder:
    """What is known about a tape while its graph is made."""

    def __init__(self, tape: Tape, wish: Wish, arrays: Mapping[str, Any]) -> None:
        self.tape, self.wish = tape, wish
        self.output = tape.outputs[0]
        self.names = names_of(tape.all, tape.given)
        self.arrays = {id(a): name for name, a in arrays.items() if isinstance(a, np.ndarray)}
        self.choice = Choice(tape, self.names, wish)
        self.ids: dict[Any, str] = {}            # of what stands on the tape; arrays by id()
        self.held: dict[str, Any] = {}           # the other way round: what stands behind each node
        self.used_ids: dict[str, int] = {}
        self.used_names = dict.fromkeys(self.names.values(), 1)
        self.counted: set[Record] = set()        # parameters that a layer's card has counted
        self.found: dict[Record, Any] = {}       # gradients
        self.norms: dict[Record, float] = {}
        self.layer_ids: set[str] = set()
        self.lanes: set[tuple[str, str]] = set()
        self.made = Graph()

    def graph(self) -> Graph:
        """The graph, made record by record in the order they ran."""
        made, choice = self.made, self.choice
        drawn = choice.records
        made.notes = choice.notes
        if self.wish.gradients:
            self.found, reason = gradients_at(self.output, self.names[self.output], self.looked_at(drawn))
            made.notes += [reason] if reason else []
        made.clusters = choice.clusters
        done: set[Group] = set()
        for r in drawn:
            group = choice.groups.get(r)
            if group is not None:
                if group not in done:
                    done.add(group)
                    self.layer(group)
                if r is self.output:
                    self.edge(self.ids[r], self.tensor(r, group.scope), r.requires_grad, r)
            elif r.op is None:
                if not choice.is_inside(r):
                    self.tensor(r, self.place_of_leaf(r))
            elif choice.follows(r):
                self.selection(r, choice.places.get(r, ""))
            else:
                self.operation(r, choice.places.get(r, ""))
        made.output, made.title = self.ids.get(self.output, ""), self.names[self.output]
        made.convention = convention(drawn)
        inhabited = {node.scope for nodes in (made.tensors, made.ops) for node in nodes.values()}
        for cluster in reversed(list(made.clusters)):
            if cluster in inhabited:
                inhabited.add(made.clusters[cluster].parent)
        made.clusters = {key: cluster for key, cluster in made.clusters.items() if key in inhabited}
        return made

    def place_of_leaf(self, r: Record) -> str:
        """A parameter is drawn in the layer that uses it first."""
        user = next((u for u in self.choice.users.get(r, []) if u not in self.choice.groups), None)
        return self.choice.places.get(user, "") if user is not None and r.requires_grad else ""

    def looked_at(self, drawn: Iterable[Record]) -> Iterable[Record]:
        """The records whose gradients the picture tells: not those inside of folded layers."""
        groups = self.choice.groups
        for r in drawn:
            if r not in groups:
                yield r
                yield from (x for x in r.inputs if isinstance(x, Record))
        for group in dict.fromkeys(groups[r] for r in drawn if r in groups):
            for member in group.members:
                yield from (x for r in member for x in r.inputs
                            if isinstance(x, Record) and (x.op is None or groups.get(x) is not group))
                yield member[-1]

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

    def tensor(self, r: Record, scope: str) -> str:
        """Add the card of a record's value."""
        name = self.names[r]
        place = r.options.get("output") if r.op is not None and r.op.name == "select" else None
        named = bool(r.name or r in self.tape.given)
        held = r.value if not isinstance(r.value, tuple) else None
        node = TensorNode(self.new_id(name), name, named, self.role(r), place, scope, summarized(held),
                          summarized(self.found[r]) if r in self.found else None,
                          int(getattr(held, "nbytes", 0)), multiply_adds(r), line_of(r))
        self.made.tensors[node.id] = node
        self.ids[r] = node.id
        self.held[node.id] = r
        return node.id

    def operation(self, r: Record, scope: str) -> None:
        """Add a record's disc, the edges into it, and the card of its result."""
        assert r.op is not None
        op = self.new_id(f"op_{self.names[r]}")
        constants = tuple(None if isinstance(x, Record) or is_array(x) else constant(x) for x in r.inputs)
        for i, x in enumerate(r.inputs):
            self.operand(x, r, i, op)
        self.held[op] = r
        aside = self.choice.is_bypassed(r)
        self.made.ops[op] = OpNode(op, r.op.name, constants, r.options, scope, self.names[r], aside,
                                   multiply_adds(r), line_of(r))
        if (isinstance(r.value, tuple) and r is not self.output) or self.choice.is_bare(r):
            self.ids[r] = op
        else:
            self.edge(op, self.tensor(r, scope), r.requires_grad, r)

    def operand(self, x: Any, r: Record, i: int, target: str) -> None:
        """Add the edge from a record's operand i."""
        assert r.op is not None
        if isinstance(x, Record):
            edge = r.op.edges[i] if i < len(r.op.edges) else r.op.together
            source = self.ids.get(x) or self.hidden(x)
            self.edge(source, target, x.requires_grad and r.requires_grad and edge is not None, x)
        elif is_array(x):
            self.edge(self.array(x, r, i), target, False)

    def selection(self, r: Record, scope: str) -> None:
        """Add the card of one of several outputs, straight behind the operation that made them all."""
        made_by = r.inputs[0]
        source = self.ids.get(made_by) or self.hidden(made_by)
        if self.choice.is_bare(r):
            self.ids[r] = source
        else:
            self.edge(source, self.tensor(r, scope), r.requires_grad, r)

    def edge(self, source: str, target: str, flows: bool, along: Record | None = None) -> None:
        """Add an edge; of several operands that come from one folded card, one."""
        if source == target:
            return
        if source in self.layer_ids or target in self.layer_ids:
            if (source, target) in self.lanes:
                return
            self.lanes.add((source, target))
        if along in self.found and along not in self.norms:
            self.norms[along] = norm([self.found[along]])
        self.made.edges.append(Edge(self.new_id(f"{source}__{target}"), source, target, flows,
                                    self.norms.get(along) if along is not None and flows else None))

    def hidden(self, r: Record) -> str:
        """The id of a tensor beyond the edge of the picture."""
        new = self.ids[r] = self.new_id(f"beyond_{self.names[r]}")
        self.made.beyond[new] = self.names[r]
        return new

    def array(self, a: Any, r: Record, i: int) -> str:
        """The card of an array that was operand i as it was; one card however often it is used."""
        if id(a) in self.ids:
            return self.ids[id(a)]
        name, named = self.array_name(a, r, i)
        node = TensorNode(self.new_id(name), name, named, "input", None, "", summarized(a), None, int(a.nbytes))
        self.made.tensors[node.id] = node
        self.ids[id(a)] = node.id
        self.held[node.id] = a
        return node.id

    def array_name(self, a: Any, r: Record, i: int) -> tuple[str, bool]:
        """What to call an array, and whether the user calls it so."""
        text = r.written[i]
        # The name of another operand would mean that they do not stand in the order they are written in.
        taken = {x.name for x in r.inputs if isinstance(x, Record)}
        own = self.arrays.get(id(a)) or (text if text.isidentifier() and text not in taken else None)
        return free(own or "array", self.used_names), own is not None

    # ---- layers

    def layer(self, group: Group) -> None:
        """Add the card of a folded layer, and the edges into it."""
        members, choice = group.members, self.choice
        records = [r for member in members for r in member]
        inside = set(records)
        title = group.name or group.kind
        new = self.new_id(f"layer_{title}")
        self.ids.update(dict.fromkeys(records, new))
        self.layer_ids.add(new)
        self.held[new] = records
        arrays: dict[Any, str] = {}                  # the names of what comes in without a card of its own
        for r in records:
            for i, x in enumerate(r.inputs):
                key = x if isinstance(x, Record) else id(x) if is_array(x) else None
                if key is None or key in inside:
                    continue
                if not choice.is_inside(key):
                    self.operand(x, r, i, new)
                elif key not in arrays and not (isinstance(x, Record) and x.requires_grad):
                    arrays[key] = self.names[x] if isinstance(x, Record) else self.array_name(x, r, i)[0]
        each = [parameters(member) for member in members]
        everything = dict.fromkeys(p for some in each for p in some)
        own = [p for p in everything if p not in self.counted]
        shared = [p for p in everything if p in self.counted]
        self.counted.update(own)
        of_output = not all(each) or any(set(a) == set(b) for a, b in zip(each, each[1:], strict=False))
        bars = [self.norm_of([member[-1]] if of_output else some)
                for member, some in zip(members, each, strict=True)] if len(members) > 1 else []
        self.made.ops[new] = LayerNode(
            id=new, name=title, kind=group.kind, count=len(members), sizes=self.sizes(members[0]),
            parameters=size_of(own), names=tuple(self.names[p] for p in own),
            results=tuple(self.names[r] for r in records[-MOST_NAMES:]), shared=size_of(shared),
            inputs=tuple(arrays.values()), norm=self.norm_of(list(everything) or [records[-1]]),
            bars=tuple(b for b in bars if b is not None) if None not in bars else (), of_output=of_output,
            hidden=choice.hidden(group), scope=group.scope, cost=sum(map(multiply_adds, records)),
            where=line_of(records[0]))

    def norm_of(self, records: list[Record]) -> float | None:
        """The norm of the gradients of some records together; None if there is none."""
        found = [self.found[r] for r in records if r in self.found]
        return norm(found) if found else None

    def sizes(self, records: list[Record]) -> str:
        """What goes into a layer and what comes out: the extents of the features, or the whole shapes."""
        inside, out = set(records), np.shape(records[-1].value)
        ins = [np.shape(x.value if isinstance(x, Record) else x) for r in records for x in r.inputs
               if (is_array(x) or (isinstance(x, Record) and x not in inside and not isinstance(x.value, tuple)))
               and not (isinstance(x, Record) and x.op is None and x.requires_grad)]
        if not ins:
            return "×".join(map(str, out))
        if len(out) > 1 and ins[0][:-1] == out[:-1]:
            return f"{ins[0][-1]} → {out[-1]}"
        return " → ".join("×".join(map(str, shape)) or "scalar" for shape in (ins[0], out))


def convention(records: Iterable[Record]) -> str:
    """Whether samples are rows or columns, by the side on which parameters multiply; "" if that differs."""
    sides = set()
    for r in records:
        if r.op is not None and r.op.name == "linear":
            sides.add("rows")
        elif r.op is not None and r.op.name == "matmul" and all(np.ndim(getattr(x, "value", x)) == 2 for x in r.inputs):
            learned = [is_learned(x) for x in r.inputs]
            if learned[0] != learned[1]:
                sides.add("columns" if learned[0] else "rows")
    return f"Samples are {sides.pop()}." if len(sides) == 1 else ""


def is_learned(x: Any) -> bool:
    """Whether an operand is a parameter, or its transpose."""
    if isinstance(x, Record) and x.op is not None and x.op.name == "transpose":
        x = x.inputs[0]
    return isinstance(x, Record) and x.op is None and x.requires_grad


def size_of(records: Iterable[Record]) -> int:
    """How many numbers these hold."""
    return sum(int(np.size(r.value)) for r in records)


def parameters(records: Iterable[Record]) -> list[Record]:
    """The leaves that require grad which these records use."""
    return list(dict.fromkeys(p for r in records for p in learned(r)))


def site_of(r: Record) -> Site | None:
    """The user's line that made a record: its own, or the call of the layer it was made in."""
    code, lasti, scope = r.code, r.lasti, r.scope
    while is_ours(code) and scope is not None:
        code, lasti, scope = scope.code, scope.lasti, scope.outer
    return None if is_ours(code) else locate(code, lasti)


def line_of(r: Record) -> str:
    """That line as text; "" if there is none."""
    site = site_of(r)
    return "" if site is None else str(site)


def constant(x: Any) -> str:
    """An operand that is a number (or None, or a setting) as the disc shows it."""
    x = x.item() if hasattr(x, "item") and np.size(x) == 1 else x
    return number(x) if isinstance(x, bool | int | float | complex) else str(x)
