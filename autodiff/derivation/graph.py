"""A tape as the steps a person would write: unnamed operations folded into the named ones that use them.

A step is one named tensor as a formula of others: ``z = x Wᵀ + b`` is one step, whatever it took. An unnamed result is
folded into its user as long as the Jacobian of the whole has a plain structure; else it gets a name of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from sys import _getframe
from typing import Any

import numpy as np

from autodiff.derivation.calls import primed
from autodiff.derivation.structure import (
    DENSE,
    DIAGONAL,
    GRADIENT,
    IDENTITY,
    PERMUTATION,
    PLAIN,
    SCALAR,
    SELECTION,
    composed,
    layout,
    shape_of,
    structure,
)
from autodiff.derivation.symbols import distinct, generated
from autodiff.derivation.written import is_primed
from autodiff.forward import contribution
from autodiff.kinds import At, Op, select
from autodiff.ops import arithmetic, elementary, shapes
from autodiff.ops.complex import fitted
from autodiff.ops.indexing import put_together
from autodiff.ops.shapes import un_broadcast
from autodiff.record import Leaf, Record
from autodiff.state import grad_mode
from autodiff.tape import behind, leading_to
from autodiff.tensor import Tensor
from autodiff.values import unnamed

FOLDED = 12                 # operations in a step, beyond which what is inside gets a name
FACTORS = (arithmetic.multiply, arithmetic.divide)          # whose constant operand stands in the derivative
VIEWS = {shapes.transpose, shapes.reshape, shapes.expand_dims, shapes.squeeze, shapes.swapaxes, shapes.broadcast_to,
         elementary.alias, elementary.cast, select}


@dataclass
class Graph:
    """The steps between some tensors and a loss.

    Attributes
    ----------
    loss : Record
    tape : list of Record
        All behind the loss, in order.
    path : set of Record
        What lies between the wanted tensors and the loss.
    heads : list of Record
        The named ones, in order: a step each, and what it starts from.
    names : dict of Record to str
        What they are called.
    inner : dict of Record to list of Record
        The operations of each step, in order.
    edges : dict of Record to dict of Record to str
        For each step what it depends on, and the structure of that Jacobian.
    layout : str
        "rows", "columns", "row", "column" or "".
    samples : dict of Record to int
        The axis of the samples.
    count : int or None
        How many samples there are.
    """

    loss: Record
    tape: list[Record]
    path: set[Record]
    layout: str
    samples: dict[Record, int]
    count: int | None
    heads: list[Record] = field(default_factory=list)
    names: dict[Record, str] = field(default_factory=dict)
    inner: dict[Record, list[Record]] = field(default_factory=dict)
    edges: dict[Record, dict[Record, str]] = field(default_factory=dict)
    used_by: dict[Record, list[Record]] = field(default_factory=dict)
    new_name: Callable[[], str] = lambda: "u"

    def users(self, r: Record) -> list[Record]:
        """The steps that depend on a head."""
        return self.used_by.get(r, [])


def graph_of(loss: Record, wanted: Iterable[Record], forced: Iterable[Record], given: Mapping[Record, str]) -> Graph:
    """The steps between the wanted records and the loss; `forced` ones are steps of their own."""
    tape = behind([loss])
    wanted = list(wanted)
    path = {r for r in leading_to(wanted, tape) if r.requires_grad or r in wanted} & set(tape)
    graph = Graph(loss, tape, path, *layout(tape))
    users: dict[Record, list[tuple[Record, int]]] = {}
    for r in tape:
        if r in path and r.op is not None:
            for i, x in enumerate(r.inputs):
                if isinstance(x, Record) and x in path and flows(r, i):
                    users.setdefault(x, []).append((r, i))
    own = {r: name for r in tape if (name := given.get(r) or r.name) is not None and not isinstance(r.value, tuple)}
    heads = {r for r in path if r.op is None or r in own or r is loss} | set(wanted) | (set(forced) & path)
    head_of: dict[Record, Record] = {h: h for h in heads}
    so_far: dict[Record, str] = dict.fromkeys(heads, IDENTITY)
    many: dict[Record, int] = {}
    for r in sorted(path - heads, key=lambda r: -r.serial):
        using = users.get(r, [])
        tuple_valued = isinstance(r.value, tuple)
        outer = so_far.get(using[0][0]) if using else None
        whole = composed(outer, structure(*using[0], graph.samples)) if using and outer is not None else None
        groups = {head_of[user] for user, _ in using}
        simple = whole is not None and (len(using) == 1 or r.op in VIEWS or tuple_valued) \
            and plain_below(graph, r, whole, heads)
        home = head_of[using[0][0]] if using else r
        many[home] = many.get(home, 1) + 1
        if (simple and many[home] <= FOLDED and len(groups) == 1) or tuple_valued or (r.op in VIEWS and len(using) > 1):
            head_of[r], so_far[r] = home, whole or DENSE
        else:
            heads.add(r)
            head_of[r], so_far[r] = r, IDENTITY
    graph.heads = sorted(heads, key=lambda r: r.serial)
    name_them(graph, own, given)
    for h in graph.heads:
        fill(graph, h, heads)
        for x in graph.edges.get(h, {}):
            graph.used_by.setdefault(x, []).append(h)
    return graph


def plain_below(graph: Graph, r: Record, whole: str, heads: set[Record], depth: int = 8) -> bool:
    """Whether an operation, folded into a step of this structure, leaves it plain, and what it only adds up does too.

    So tanh(x Wᵀ + b) is cut before the tanh, not within the sum.
    """
    for i, x in enumerate(r.inputs):
        if isinstance(x, Record) and x in graph.path and flows(r, i):
            kind = structure(r, i, graph.samples)
            below = composed(whole, kind)
            if below is None or (x not in heads and kind in PLAIN and depth
                                 and not plain_below(graph, x, below, heads, depth - 1)):
                return False
    return True


def flows(r: Record, i: int) -> bool:
    """Whether a gradient flows to an operand."""
    op: Any = r.op
    if op.together is not None:
        return op.leading is None or i < op.leading(r.options)
    return i < len(op.edges) and op.edges[i] is not None


def name_them(graph: Graph, own: Mapping[Record, str], given: Mapping[Record, str]) -> None:
    """Names for all that is written with a letter: the user's; those used again numbered; u1, u2, ... for the rest."""
    lettered = [r for r in graph.tape if r in own and (r.op is None or r in graph.heads or r not in graph.path)]
    names = distinct([(r, own[r]) for r in lettered])
    new = generated(set(names.values()))
    graph.new_name = generated(set(names.values()), "c")
    for r in graph.heads:
        if r not in names:
            names[r] = "loss" if r is graph.loss and "loss" not in names.values() else new()
    graph.names = names


def fill(graph: Graph, h: Record, heads: set[Record]) -> None:
    """The operations of a step, what it depends on, and with which structure."""
    if h.op is None:
        return
    inner, pending = {h}, [h]
    reached: dict[Record, str] = {}
    so_far = {h: IDENTITY}
    order: list[Record] = []
    while pending:
        r = max(pending, key=lambda r: r.serial)
        pending.remove(r)
        order.append(r)
        for i, x in enumerate(r.inputs):
            if not isinstance(x, Record) or x not in graph.path or not flows(r, i):
                continue
            whole = composed(so_far[r], structure(r, i, graph.samples)) or DENSE
            if x in heads:
                reached[x] = whole if x not in reached else union(reached[x], whole)
            elif x not in inner:
                inner.add(x)
                pending.append(x)
                so_far[x] = whole
            else:
                so_far[x] = union(so_far[x], whole)
    graph.inner[h] = order[::-1]
    graph.edges[h] = {x: of_scalar(h, x, kind) for x, kind in reached.items()}


def union(a: str, b: str) -> str:
    """The structure of a sum of Jacobians.

    >>> union("identity", "diagonal"), union("identity", "identity"), union("diagonal", "dense")
    ('diagonal', 'scalar', 'dense')
    """
    if {a, b} <= {IDENTITY, SCALAR}:
        return SCALAR
    if {a, b} <= {IDENTITY, SCALAR, DIAGONAL}:
        return DIAGONAL
    return a if a == b and a not in (PERMUTATION, SELECTION) else DENSE


def of_scalar(h: Record, x: Record, kind: str) -> str:
    """The Jacobian of a number is a gradient."""
    return GRADIENT if shape_of(h) == () and shape_of(x) != () else kind


def tracked(value: Any) -> Tensor:
    """A leaf that stands for a value, tracked so that all that is done with it is recorded."""
    return Tensor.of(Leaf(value, True, _getframe()))


Operand = tuple[Record, int]            # a record's input of that number


def contributions(graph: Graph, h: Record, g: Tensor) -> tuple[dict[Record, Tensor], dict[Record, Operand]]:
    """What a step contributes to the cotangent of each head it depends on, recorded by running its rules on Tensors.

    The derivative of a function with a sign of its own is recorded as f′ (see `formulas.primed`). Constant operands,
    factors that have a name (λ) among them, are replaced by leaves that are tracked; returned with them is what each
    stands for.
    """
    stand_ins: dict[Record, Operand] = {}

    def stand_in(r: Record, i: int) -> Any:
        x = r.inputs[i]
        if isinstance(x, Record) and x.tracked:
            return Tensor.of(x)
        value = x.value if isinstance(x, Record) else x
        named = r.op in FACTORS and isinstance(x, int | float | np.floating) and r.written[i].isidentifier()
        if not isinstance(x, Record) and not named and not (isinstance(x, np.ndarray) and x.ndim):
            return x
        tensor = tracked(r.value.dtype.type(x) if named else value)
        stand_ins[tensor.record] = (r, i)
        return tensor

    arrived: dict[Record, Any] = {h: g}
    inner = set(graph.inner[h])
    with grad_mode(True), np.errstate(all="ignore"):
        for r in reversed(graph.inner[h]):
            if r not in arrived:
                continue
            incoming = arrived.pop(r)
            op: Any = r.op
            y, operands = Tensor.of(r), [stand_in(r, i) for i in range(len(r.inputs))]
            for i, x in enumerate(r.inputs):
                if not isinstance(x, Record) or not (x in inner or x in graph.edges[h]) or not flows(r, i):
                    continue
                c: Any
                if is_primed(op):
                    c = incoming * primed(op)(operands[0], **r.options)
                else:
                    c = ruled(r, i, incoming, y, operands)
                c = put_together([c], x.value) if isinstance(c, At) else c
                if not isinstance(c, tuple):
                    c = c if isinstance(c, Tensor) else unnamed(c)
                    c = un_broadcast(c, np.shape(x.value)) if np.shape(c) != np.shape(x.value) else c
                    c = fitted(c, x.value.dtype) if c.dtype != x.value.dtype else c
                arrived[x] = c if x not in arrived else summed(arrived[x], c)
    return {x: arrived[x] for x in graph.edges[h] if x in arrived}, stand_ins


def ruled(r: Record, i: int, g: Any, y: Any, operands: list[Any]) -> Any:
    """What a rule contributes; one that works on arrays only is one operation of its own."""
    op: Any = r.op
    try:
        return contribution(op, i, g, y, operands, r.options)
    except Exception:               # a user's rule may do whatever works on arrays
        whole = Op(lambda g, y, *xs: contribution(op, i, g, y, xs, r.options), f"vjp of {op.name}")
        return whole(g, y, *operands)


def summed(a: Any, b: Any) -> Any:
    """Two contributions added up, also of several outputs each."""
    return tuple(p + q for p, q in zip(a, b, strict=True)) if isinstance(a, tuple) else a + b
