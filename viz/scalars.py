"""A tape expanded into its scalars: one capsule each, with the local derivative on every lane back.

What an entry of a result depends on is read off its operation's own rule: the contribution to each input of a
gradient that is one at this entry and zero elsewhere is a row of the local Jacobian.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff import Tape
from autodiff.naming import free, names_of
from autodiff.record import Record
from viz.choice import is_array
from viz.gradients import gradients_at
from viz.graph import Edge, Graph, Role, ScalarNode
from viz.rows import Element, Same, contributions
from viz.scopes import Cluster, clusters_of
from viz.symbols import symbol
from viz.text import slug
from viz.values import number

MOST = 150                  # capsules that can be read in one picture
PRODUCTS = ("matmul", "linear", "dot", "inner", "vecdot", "vdot")       # sums of products of two operands' entries


@dataclass(frozen=True, slots=True)
class Term:
    """What an entry was computed from: an entry, or the product of two; and ∂entry/∂term (None where none flows)."""

    parts: tuple[Element, ...]
    derivative: float | None


def scalars_of(tape: Tape, zoom: tuple[str, Any] | None = None, arrays: Mapping[str, Any] | None = None,
               gradients: bool = True) -> Graph:
    """The graph of the scalars behind a tape's first output.

    Parameters
    ----------
    tape : Tape
        What is drawn.
    zoom : tuple of str and int or tuple, optional
        One neuron instead: a layer's path or a tensor's name, and which unit of its output (of the first sample), or
        which entry.
    arrays : mapping of str to ndarray, optional
        Names for arrays that are no tensors.
    gradients : bool
        Whether to tell gradients.

    Raises
    ------
    ValueError
        If there are too many to read, or `zoom` names nothing here.

    Examples
    --------
    >>> w, x = ad.Tensor(2.0, requires_grad=True), ad.Tensor(3.0)
    >>> y = np.tanh(w * x)
    >>> graph = scalars_of(ad.Tape(y))
    >>> [(node.op, node.name, node.value) for node in graph.scalars.values()]
    [('', 'w', '2'), ('', 'x', '3'), ('×', '', '6'), ('tanh', 'y', '1')]
    """
    return Expansion(tape, arrays or {}).graph(zoom, gradients)


class Expansion:
    """What is known about a tape while it is expanded."""

    def __init__(self, tape: Tape, arrays: Mapping[str, Any]) -> None:
        self.tape, self.output = tape, tape.outputs[0]
        self.names = names_of(tape.all, tape.given)
        self.clusters, self.places = clusters_of(tape.all)
        self.array_names = {id(a): name for name, a in arrays.items() if isinstance(a, np.ndarray)}
        self.users: dict[Record, int] = {}
        for r in tape.all:
            for i, x in enumerate(r.inputs):
                if isinstance(x, Record):
                    self.users[x] = self.users.get(x, 0) + 1
                elif is_array(x) and r.written[i].isidentifier():
                    self.array_names.setdefault(id(x), r.written[i])
        self.inside: set[Record] | None = None           # what a zoom expands; None for everything
        self.terms: dict[Element, list[Term]] = {}
        self.rows: dict[tuple[Record, int], list[Any]] = {}

    def graph(self, zoom: tuple[str, Any] | None, gradients: bool) -> Graph:
        """The capsules in the order they were computed, and their lanes."""
        if any(np.iscomplexobj(r.value) for r in self.tape.all):
            raise ValueError("level='scalar' draws real numbers, and some here are complex; level='op' draws them")
        start = [Element(self.output, k) for k in range(np.size(self.output.value))] if zoom is None \
            else [self.zoomed(*zoom)]
        order = self.expanded(start)
        made = Graph()
        found: dict[Record, Any] = {}
        if gradients:
            holders = [e.holder for e in order if isinstance(e.holder, Record)]
            found, reason = gradients_at(self.output, self.names[self.output], holders)
            made.notes += [reason] if reason else []
        if zoom is not None:
            made.notes.append(f"Only {self.label(start[0])} and what it is computed from within {zoom[0]} is drawn.")
            if np.size(start[0].holder.value) > (np.shape(start[0].holder.value) or (1,))[-1]:
                made.notes.append("The gradient of what other samples use too, such as a parameter, is that of all.")
        drawer = Drawer(self, made, found)
        drawer.draw(order)
        made.output = drawer.ids[start[0]] if len(start) == 1 else ""
        made.title = self.label(start[0]) if zoom is not None else self.names[self.output]
        return made

    # ---- where to begin, and where to end

    def zoomed(self, where: str, index: Any) -> Element:
        """The entry that a zoom means."""
        paths: dict[str, str] = {}
        for key, cluster in self.clusters.items():
            paths.setdefault(cluster.path, key)
        if where in paths:
            inside = [r for r, place in self.places.items() if self.is_within(place, paths[where])]
            r, self.inside = inside[-1], set(inside)
        else:
            named = {name: r for r, name in self.names.items() if r.op is not None}
            if where not in named:
                known = ", ".join([*paths, *(name for name, r in named.items() if r.name)][:20])
                raise ValueError(f"zoom={where!r} is no layer and no result here; there are {known or 'none'}")
            r = named[where]
            self.inside = {x for x in self.tape.all if x is r or not x.name}
        shape = np.shape(r.value)
        at = index if isinstance(index, tuple) else (*(0,) * (len(shape) - 1), index)[:len(shape)]
        try:
            return Element(r, int(np.ravel_multi_index(at, shape)) if shape else 0)
        except (ValueError, TypeError):
            raise ValueError(f"zoom=({where!r}, {index!r}): {self.names[r]} has shape {shape}, so there is no such "
                             "entry") from None

    def is_within(self, place: str, cluster: str) -> bool:
        """Whether a cluster is this one, or lies in it."""
        while place and place != cluster:
            place = self.clusters[place].parent
        return place == cluster

    def expanded(self, start: list[Element]) -> list[Element]:
        """All entries that the first ones are computed from, in the order they were computed."""
        pending, seen = list(start), dict.fromkeys(start)
        count = len(seen)
        while pending:
            element = pending.pop()
            self.terms[element] = self.terms_of(element)
            for term in self.terms[element]:
                count += len(term.parts) > 1
                for part in term.parts:
                    if part not in seen:
                        seen[part] = None
                        count += 1
                        pending.append(part)
            if count > MOST:
                raise ValueError(self.too_many())
        return sorted(seen, key=lambda e: (e.holder.serial if isinstance(e.holder, Record) else 0, e.at))

    def too_many(self) -> str:
        """Why not, and what else."""
        outer = {c.parent for c in self.clusters.values()}
        layer = next((c.path for key, c in self.clusters.items() if key not in outer), None)
        result = next((self.names[r] for r in self.tape.all if r.op is not None and r.name), None)
        total = sum(int(np.size(r.value)) for r in self.tape.all if not isinstance(r.value, tuple))
        neuron = f"zoom=({layer or result!r}, 0), or " if layer or result else ""
        return (f"level='scalar' draws each number, and at most {MOST} can be read; the tensors here hold {total:,}, "
                f"and their products come on top. Draw one neuron with {neuron}the operations with level='op'.")

    # ---- what an entry was computed from

    def terms_of(self, element: Element) -> list[Term]:
        """The terms of an entry; none of a leaf, and none beyond what a zoom expands."""
        r = element.holder
        if not isinstance(r, Record) or r.op is None or (self.inside is not None and r not in self.inside):
            return []
        row = self.row(r, element.at)
        if r.op.name in PRODUCTS:
            pairs = list(zip(row[0], row[1], strict=True))
            terms = [Term((self.origin(a[0]), self.origin(b[0])), 1.0) for a, b in pairs]
            return terms + [Term((self.origin(e),), d) for entries in row[2:] for e, d in entries]
        terms = []
        for entries in row:
            for e, d in entries:
                if r.op.name == "add" and d == 1 and self.is_passing(e) and self.sums(e):
                    terms += self.terms_of(e)
                else:
                    terms.append(Term((self.origin(e),), d))
        return terms

    def sums(self, e: Element) -> bool:
        """Whether an entry is a sum, so that adding to it makes a longer one."""
        return isinstance(e.holder, Record) and e.holder.op is not None and \
            (e.holder.op.name in PRODUCTS or e.holder.op.name == "add")

    def is_passing(self, e: Element) -> bool:
        """Whether an entry is used once and has no name of its own."""
        r = e.holder
        return (isinstance(r, Record) and r.op is not None and r is not self.output and not r.name
                and r not in self.tape.given and self.users.get(r, 0) == 1
                and (self.inside is None or r in self.inside))

    def origin(self, e: Element) -> Element:
        """The entry itself, or the one that a nameless result only moved to another place."""
        while isinstance(e.holder, Record) and e.holder.op is not None and e.holder.op.kind == "linear" \
                and not e.holder.name and e.holder is not self.output \
                and (self.inside is None or e.holder in self.inside):
            entries = [pair for part in self.row(e.holder, e.at) for pair in part]
            if len(entries) != 1 or entries[0][1] != 1:
                break
            e = entries[0][0]
        return e

    def row(self, r: Record, at: int) -> list[list[tuple[Element, float | None]]]:
        """Per operand the entries that an entry of the result depends on, each with the local derivative."""
        if (r, at) in self.rows:
            return self.rows[r, at]
        assert r.op is not None
        values = [x.value if isinstance(x, Record) else x for x in r.inputs]
        if r.op.name in PRODUCTS:                # whole numbers too have a place in the sum
            values = [v.astype(r.value.dtype) if hasattr(v, "astype") and v.dtype.kind in "biu" else v for v in values]
        actual = contributions(r, r.value, values, at)
        structure = actual
        if r.op.name in PRODUCTS:                # a product with a zero is one too
            ones = [np.ones_like(v) if hasattr(v, "shape") else v for v in values]
            structure = contributions(r, r.op.forward(*ones, **r.options), ones, at)
        found: list[list[tuple[Element, float | None]]] = []
        for x, v, d, s in zip(r.inputs, values, actual, structure, strict=True):
            if not (isinstance(x, Record) or is_array(x)) or isinstance(v, tuple):
                found.append([])
            elif r.op.kind == "elementwise" and np.size(v):
                k = int(np.broadcast_to(np.arange(np.size(v)).reshape(np.shape(v)), np.shape(r.value)).flat[at])
                found.append([(Element(x if isinstance(x, Record) else Same(x), k),
                               None if d is None else float(np.ravel(d)[k]))])
            elif s is None:
                found.append([])
            else:
                holder = x if isinstance(x, Record) else Same(x)
                found.append([(Element(holder, int(k)), float(np.ravel(d)[k])) for k in np.flatnonzero(s)])
        self.rows[r, at] = found
        return found

    def name(self, e: Element) -> str:
        """What the tensor or array is called that holds an entry."""
        if isinstance(e.holder, Record):
            return self.names[e.holder]
        return self.array_names.get(id(e.holder.array), "array")

    def place(self, e: Element) -> tuple[int, ...]:
        """Where in it the entry stands."""
        shape = np.shape(e.holder.value if isinstance(e.holder, Record) else e.holder.array)
        return tuple(map(int, np.unravel_index(e.at, shape))) if shape else ()

    def label(self, e: Element) -> str:
        """What an entry is called: "W1[0,1]"."""
        size = np.size(e.holder.value if isinstance(e.holder, Record) else e.holder.array)
        return self.name(e) if size == 1 else f"{self.name(e)}[{','.join(map(str, self.place(e)))}]"


class Drawer:
    """Makes the nodes and edges of an expansion."""

    def __init__(self, expansion: Expansion, made: Graph, found: Mapping[Record, Any]) -> None:
        self.of, self.made, self.found = expansion, made, found
        self.used: dict[str, int] = {}
        self.ids: dict[Element, str] = {}

    def draw(self, order: list[Element]) -> None:
        """Add all capsules: first the leaves, then each entry behind its products."""
        terms = self.of.terms
        first_user: dict[Element, Element] = {}
        for e in order:
            for term in terms[e]:
                for part in term.parts:
                    first_user.setdefault(part, e)
        for e in order:
            r = e.holder
            leaf = not isinstance(r, Record) or r.op is None
            beyond = self.of.inside is not None and not leaf and r not in self.of.inside
            near = beyond or (leaf and isinstance(r, Record) and r.requires_grad)
            owner = first_user.get(e, e) if near else e
            self.capsule(e, self.neuron(owner))

    def neuron(self, e: Element) -> str:
        """The cluster of the unit of a layer that an entry belongs to; "" for none."""
        r = e.holder
        place = self.of.places.get(r, "") if isinstance(r, Record) else ""
        if not place or (self.of.inside is not None and r not in self.of.inside):
            return ""
        shape = np.shape(r.value)
        at = self.of.place(e)
        layer = self.of.clusters[place]
        key = f"{place}.{'.'.join(map(str, at))}"
        if key not in self.made.clusters:
            samples = int(np.prod(shape[:-1])) > 1
            unit = f"unit {at[-1]}" if at else ""
            unit += f", sample {', '.join(map(str, at[:-1]))}" if samples else ""
            self.made.clusters[key] = Cluster(key, layer.path, unit, layer.call, "")
        return key

    def capsule(self, e: Element, scope: str) -> None:
        """Add an entry, its products before it, and the lanes into it."""
        r, of = e.holder, self.of
        terms = of.terms[e]
        lanes: list[tuple[str, float | None, bool]] = []
        gradient = self.gradient(e)
        single = len(terms) == 1 and len(terms[0].parts) == 2
        for term in terms:
            if len(term.parts) == 2 and not single:
                a, b = term.parts
                product = free(slug(f"{of.label(e)}_x"), self.used)
                value = self.value(a) * self.value(b)
                self.made.scalars[product] = ScalarNode(product, "×", "", "intermediate", number(value),
                                                        None if gradient is None else number(gradient), scope)
                self.lane(a, product, self.value(b), gradient)
                self.lane(b, product, self.value(a), gradient)
                lanes.append((product, 1.0, gradient is not None))
            elif single:
                a, b = term.parts
                lanes += [(self.ids[a], self.value(b), self.flows(a)), (self.ids[b], self.value(a), self.flows(b))]
            else:
                [part] = term.parts
                lanes.append((self.ids[part], term.derivative, self.flows(part) and term.derivative is not None))
        new = self.ids[e] = free(slug(of.label(e)), self.used)
        named = not terms or not isinstance(r, Record) or bool(r.name) or r in of.tape.given
        self.made.scalars[new] = ScalarNode(
            new, self.sign(e, single), of.label(e) if named else "", self.role(r), number(self.value(e)),
            None if gradient is None else number(gradient), scope, of.name(e), of.place(e))
        for source, d, flows in lanes:
            self.made.edges.append(self.edge(source, new, d, flows, gradient))

    def lane(self, part: Element, target: str, d: float, gradient: float | None) -> None:
        """Add the lane from an entry to a product."""
        self.made.edges.append(self.edge(self.ids[part], target, d, self.flows(part), gradient))

    def edge(self, source: str, target: str, d: float | None, flows: bool, gradient: float | None) -> Edge:
        """A lane: as wide as the gradient that comes back along it, with the local derivative unless that is one."""
        flows = flows and gradient is not None
        label = f"× {number(d)}" if flows and d is not None and d != 1 else ""
        size = abs(gradient * d) if flows and gradient is not None and d is not None else None
        return Edge(free(f"{source}__{target}", self.used), source, target, flows, size, label)

    def flows(self, e: Element) -> bool:
        """Whether a gradient comes back to an entry."""
        return isinstance(e.holder, Record) and e.holder.requires_grad

    def sign(self, e: Element, single: bool) -> str:
        """What stands before an entry's name: its operation."""
        r = e.holder
        if not isinstance(r, Record) or r.op is None or not self.of.terms[e]:
            return ""
        if r.op.name in PRODUCTS or (r.op.name == "add" and len(self.of.terms[e]) > 2):
            return "×" if single else "Σ"
        constants = [None if isinstance(x, Record) or is_array(x) else number(np.asarray(x).item())
                     if np.asarray(x).dtype.kind in "biufc" else str(x) for x in r.inputs]
        return symbol(r.op.name, constants, {k: v for k, v in r.options.items() if k != "axis"})

    def value(self, e: Element) -> float:
        """The number itself."""
        held = e.holder.value if isinstance(e.holder, Record) else e.holder.array
        return float(np.ravel(held)[e.at]) if np.asarray(held).dtype.kind != "c" else complex(np.ravel(held)[e.at]).real

    def gradient(self, e: Element) -> float | None:
        """∂loss/∂entry."""
        found = self.found.get(e.holder) if isinstance(e.holder, Record) else None
        return None if found is None else float(np.ravel(found)[e.at])

    def role(self, r: Any) -> Role:
        """What it is to the reader."""
        if r is self.of.output:
            return "loss" if r.requires_grad and np.size(r.value) == 1 else "output"
        if isinstance(r, Record) and r.op is not None:
            return "intermediate"
        return "parameter" if isinstance(r, Record) and r.requires_grad else "input"
