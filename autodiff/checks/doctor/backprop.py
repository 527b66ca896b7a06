"""The walk back in slow motion: every contribution of every rule, so that any one can be changed and seen through.

In float64 whatever the tape's dtype, on a tape of its own: the same records, with other values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from autodiff.checks.program import remade
from autodiff.forward import contribution, push
from autodiff.kinds import At
from autodiff.ops.indexing import put_together
from autodiff.ops.shapes import un_broadcast
from autodiff.program.passes import value_of
from autodiff.record import Record
from autodiff.tape import Tape, behind, leading_to, walk_back

Rule = Callable[..., Any]              # (g, y, *inputs, **options), as in `kinds`


class Edge(NamedTuple):
    """Where one contribution goes: from record `r` to its input `x`, the i-th."""

    r: Record
    i: int
    x: Record


class Borrowed(NamedTuple):
    """A wrong rule that reads the gradient of another record too, as it has arrived: ``(g, y, *inputs, h=...)``."""

    other: Record
    rule: Rule


class Backprop:
    """The gradients of a loss, contribution by contribution.

    Parameters
    ----------
    tape : Tape
        What stands behind the loss.
    wanted : sequence of Record
        Of the tape: where gradients are wanted.
    values : dict of Record to array, optional
        Other values for some leaves.
    held : dict of Record to array, optional
        Gradients at intermediates with which to go on from there, whatever has arrived.
    instead : dict of Record to callable, optional
        What some records compute from their operands in place of what is right.
    plain : dict of (Record, int) to array, optional
        Other arrays for operands that are plain arrays, by position.

    Attributes
    ----------
    twin : dict of Record to Record
        From the records of the tape to those worked with here.
    tape, edges : list
        The operations between what is wanted and the loss, and their edges, in the order of the walk back.
    g, raw, fitted : dict
        The gradient that arrives at each record; each edge's contribution as its rule gives it, and as it is added up.
    reach : dict of Record to int
        Which of the wanted each record depends on, a bit each.
    """

    def __init__(self, tape: Tape, wanted: Sequence[Record], values: Mapping[Record, Any] | None = None,
                 held: Mapping[Record, Any] | None = None,
                 instead: Mapping[Record, Callable[[list[Any]], Any]] | None = None,
                 plain: Mapping[tuple[Record, int], Any] | None = None) -> None:
        self.origin, self.asked, self.values = tape, wanted, values
        self.twin = remade(tape, np.float64, values or {}, instead=instead, plain=plain)
        self.held = {self.twin[r]: np.asarray(g, np.float64)[()] for r, g in (held or {}).items()}
        self.loss = self.twin[tape.outputs[0]]
        self.wanted = [self.twin[r] for r in wanted]
        everything = behind([self.loss], min((r.serial for r in self.wanted), default=0), differentiable=True)
        path = leading_to(self.wanted, everything)
        self.tape = [r for r in everything if r.op is not None and r in path and r.op.differentiable]
        self.edges = [Edge(r, i, x) for r in reversed(self.tape) for i, x in enumerate(r.inputs)
                      if isinstance(x, Record) and x in path and not is_setting(r, i)]
        self.into: dict[Record, list[Edge]] = {}
        for edge in self.edges:
            self.into.setdefault(edge.x, []).append(edge)
        self.slopes = {edge: d for edge in self.edges if (d := slope(edge)) is not None}
        self.raw: dict[Edge, Any] = {}
        self.fitted: dict[Edge, Any] = {}
        self.g = self.walk({}, self.raw, self.fitted)
        self.edges = [edge for edge in self.edges if edge in self.fitted]
        self.into = {x: [edge for edge in edges if edge in self.fitted] for x, edges in self.into.items()}
        self.reach: dict[Record, int] = {r: 1 << k for k, r in enumerate(self.wanted)}
        for r in self.tape:
            for x in r.inputs:
                if isinstance(x, Record):
                    self.reach[r] = self.reach.get(r, 0) | self.reach.get(x, 0)

    def walk(self, changed: Mapping[Edge, Rule | Borrowed], raw: dict[Edge, Any] | None = None,
             fitted: dict[Edge, Any] | None = None, loose: Mapping[Edge, Rule] | None = None,
             along: Sequence[Edge] | None = None) -> dict[Record, Any]:
        """The gradient at each record, with the rules of some edges changed; `along` some of the edges only.

        At a loose edge the contribution is not summed to the shape of the input but passed on as it says,
        broader than it may be, until it meets an input as broad.
        """
        loose = loose or {}
        broad: set[Record] = set()
        total: dict[Record, Any] = {self.loss: np.ones_like(self.loss.value)[()]}
        parts: Any = ()
        last = None
        for edge in self.edges if along is None else along:
            r, i, x = edge
            if r not in total:
                continue
            op, g = r.op, self.held.get(r, total[r])
            assert op is not None
            if edge in changed:
                rule = changed[edge]
                if isinstance(rule, Borrowed):
                    rule = partial(rule.rule, h=self.held.get(rule.other, total.get(rule.other, 0.0)))
                c = applied(rule, edge, g)
            elif edge in self.slopes:
                c = g * self.slopes[edge]
            elif op.together is not None:
                if r is not last:
                    parts, last = applied(op.together, edge, g), r
                c = parts[i]
            else:
                c = contribution(op, i, g, r.value, operands(r), r.options)
            if c is None:
                continue
            c = put_together([c], x.value) if isinstance(c, At) else c
            if edge in loose or r in broad:
                part = loose[edge](c) if edge in loose else c
                if np.shape(part) != np.shape(x.value):
                    broad.add(x)
            else:
                part = fit(c, x)
            if raw is not None and fitted is not None:
                raw[edge], fitted[edge] = c, part
            total[x] = added(total[x], part) if x in total else part
        return total

    def seen_through(self, x: Record, change: Any) -> list[Any]:
        """What a change of the gradient at a record changes of the wanted gradients: the walk back is linear in it."""
        found = walk_back({x: change}, self.wanted)
        return [found.get(r, 0.0) for r in self.wanted]

    def tangents(self, seeds: Mapping[Record, Any]) -> dict[Record, Any]:
        """How each record moves when the wanted ones move along `seeds`."""
        found: dict[Record, Any] = dict(seeds)
        for r in self.tape:
            ts = [found.get(x) if isinstance(x, Record) else None for x in r.inputs]
            if any(t is not None for t in ts):
                t = push(r, ts, False)
                if t is not None:
                    found[r] = t if r not in seeds else t + seeds[r]
        return found


def slope(edge: Edge) -> Any:
    """∂r/∂x, by which an elementwise operation multiplies; None for any other."""
    op = edge.r.op
    assert op is not None
    d = op.partials[edge.i] if edge.i < len(op.partials) else None
    return d(edge.r.value, *operands(edge.r), **edge.r.options) if callable(d) else d


def is_setting(r: Record, i: int) -> bool:
    """Whether the i-th input has no derivative."""
    assert r.op is not None
    if r.op.together is not None:
        return r.op.leading is not None and i >= r.op.leading(r.options)
    return i >= len(r.op.edges) or r.op.edges[i] is None


def reads(r: Record, x: Record) -> bool:
    """Whether a record is an input of another."""
    return any(z is x for z in r.inputs)


def operands(r: Record) -> list[Any]:
    """The values of a record's inputs."""
    return [x.value if isinstance(x, Record) else x for x in r.inputs]


def applied(rule: Rule, edge: Edge, g: Any) -> Any:
    """A rule at an edge."""
    return rule(g, edge.r.value, *operands(edge.r), **edge.r.options)


def fit(c: Any, x: Record) -> Any:
    """A contribution as it is added to the gradient of x: summed where x was broadcast."""
    if isinstance(c, tuple) or (type(c) is np.ndarray and c.shape == np.shape(x.value) and c.dtype == np.float64):
        return c
    c = un_broadcast(c, np.shape(x.value)) if np.shape(c) != np.shape(x.value) else c
    return np.asarray(c, np.asarray(x.value).dtype)[()]


def added(a: Any, b: Any) -> Any:
    """The sum of two contributions."""
    return tuple(p + q for p, q in zip(a, b, strict=True)) if isinstance(a, tuple) else a + b


def data_of(bp: Backprop) -> list[tuple[Any, list[tuple[Record, int]]]]:
    """The arrays of data, constant leaves or plain operands, each with the places where it is read."""
    found: dict[int, tuple[Any, list[tuple[Record, int]]]] = {}
    for r in bp.twin.values():
        for i, x in enumerate(r.inputs):
            data = isinstance(x, np.ndarray) or (isinstance(x, Record) and x.op is None and not x.requires_grad)
            if data and np.ndim(value_of(x)):
                found.setdefault(id(x), (x, []))[1].append((r, i))
    return list(found.values())


def data_name(x: Any, use: tuple[Record, int]) -> str:
    """What an array of data is called, or how it is written where it is read."""
    r, i = use
    return x.name or "an array" if isinstance(x, Record) else r.written[i] or "an array"


def inner(a: Any, b: Any) -> float:
    """⟨a, b⟩ of two arrays."""
    return float(np.vdot(a, b))


def every(edges: Iterable[Edge], key: Callable[[Edge], Any]) -> dict[Any, list[Edge]]:
    """The edges, grouped."""
    groups: dict[Any, list[Edge]] = {}
    for edge in edges:
        groups.setdefault(key(edge), []).append(edge)
    return groups
