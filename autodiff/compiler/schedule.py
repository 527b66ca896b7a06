"""What runs, in which order: a program of records as nodes, each one call.

Without the native executor a node is one record. With it, elementwise operations and the reductions around them are
gathered into loops over rows of one length. No cycles can arise: a node has a *level*, higher than that of all it
reads from other nodes, and a record joins a loop only if all else it reads comes from lower levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.kinds import Op, select
from autodiff.ops import elementary as e
from autodiff.ops import indexing, reductions, shapes
from autodiff.program.passes import Program, full, shape_of
from autodiff.record import Record
from autodiff.tape import behind

SCALAR, ROW, COLUMN, FULL = "scalar", "row", "column", "full"
LATE = 1 << 30                    # the level from which on nodes wait for what must come first
LONGEST = 100                     # records in one loop: compilers take more than linear time
VIEWS: frozenset[Op] = frozenset((e.alias, shapes.reshape, shapes.transpose, shapes.expand_dims, shapes.squeeze,
                                  shapes.swapaxes, shapes.moveaxis, shapes.broadcast_to, shapes.flip, indexing.item))
RESHAPES: frozenset[Op] = frozenset((e.alias, shapes.reshape, shapes.expand_dims, shapes.squeeze))
REDUCTIONS: frozenset[Op] = frozenset((reductions.sum_, reductions.max_, reductions.min_))


@dataclass(eq=False)
class Loop:
    """A loop over `rows` rows of `columns` elements; flat where there is one row.

    Attributes
    ----------
    rows, columns : int
        How often the two loops run.
    roles : dict of Record to str
        What each record of it is: "full" (an element per row and column), "column" (one per row), "row" (one per
        column: a sum over rows), "scalar" (a total).
    reads : dict of Record to str
        The same of what it reads from elsewhere.
    """

    rows: int
    columns: int
    roles: dict[Record, str] = field(default_factory=dict)
    reads: dict[Record, str] = field(default_factory=dict)


@dataclass(eq=False)
class Node:
    """One call: the records it computes, and those of them that others read."""

    records: list[Record]
    level: int
    loop: Loop | None = None
    results: list[Record] = field(default_factory=list)


@dataclass
class Schedule:
    """Nodes in an order in which they can run, and the records that are only views of others."""

    nodes: list[Node]
    views: dict[Record, Record]
    outputs: list[Record]
    lending: set[Record] = field(default_factory=set)

    def root(self, r: Record) -> Record:
        """The record whose memory a view shares."""
        while r in self.views:
            r = self.views[r]
        return r

    def roots(self, r: Record) -> set[Record]:
        """All whose memory a result may share: an operation of no known kind may hand out its operands' own."""
        found: set[Record] = set()
        pending = [r]
        while pending:
            root = self.root(pending.pop())
            if root not in found:
                found.add(root)
                if root in self.lending:
                    pending += operands(root)
        return found

    def in_order(self, r: Record) -> bool:
        """Whether a view goes through its memory from the first element to the last."""
        while r in self.views:
            if r.op not in RESHAPES:
                return False
            r = self.views[r]
        return True


def scheduled(program: Program, fits: Any = None, first: Iterable[Record] | None = None) -> Schedule:
    """The nodes of a program.

    Parameters
    ----------
    program : Program
        What to run.
    fits : callable, optional
        Whether a record can stand in a native loop; without it nothing is gathered.
    first : iterable of Record, optional
        Outputs that must be there before anything runs that they do not need.
    """
    records = program.records
    early = set(records) if first is None else set(behind(first))
    builder = Builder(fits, early)
    for r in records:
        builder.place(r)
    outputs = [r for r in program.outputs.values() if isinstance(r, Record)]
    wanted = set(outputs)
    node_of = builder.node_of
    for r in records:
        for x in operands(r):
            x = builder.seen(x)
            if x in node_of and node_of[x] is not node_of.get(r):
                wanted.add(x)
    wanted |= {builder.seen(r) for r in wanted}
    for node in builder.nodes:
        node.results = [r for r in node.records if r in wanted]
    nodes = [node for node in builder.nodes if node.results]
    order = (lambda node: node.level) if fits is not None else (lambda node: node.level >= LATE)
    return Schedule(sorted(nodes, key=order), builder.views, outputs)


def row_by_row(r: Record) -> bool:
    """Whether NumPy laid an array out row by row; where it did not, it goes on by itself."""
    return not isinstance(r.value, np.ndarray) or bool(r.value.flags.c_contiguous)


def several(r: Record) -> bool:
    """Whether a record holds several outputs, or selects one."""
    return r.op is select or type(r.value) is tuple


def operands(r: Record) -> Iterable[Record]:
    """The records among the inputs."""
    return (x for x in r.inputs if isinstance(x, Record))


class Builder:
    """Places records one by one, in an order in which they can run."""

    def __init__(self, fits: Any, early: set[Record]) -> None:
        self.fits, self.early = fits, early
        self.nodes: list[Node] = []
        self.node_of: dict[Record, Node] = {}
        self.views: dict[Record, Record] = {}
        self.inside: dict[Record, Record] = {}         # views that a loop sees through: reshapes by axes of length one
        self.open: dict[Any, list[Node]] = {}

    def seen(self, r: Record) -> Record:
        """The record that computes what a view shows."""
        while r in self.views:
            r = self.views[r]
        return r

    def through(self, r: Record) -> Record:
        """The same, for views that only add or drop axes of length one, or regroup elements in order."""
        while r in self.views and r.op in RESHAPES:
            r = self.views[r]
        return r

    def place(self, r: Record) -> None:
        """Give a record its node."""
        if r.op is None:
            return
        if r.op in VIEWS and is_view(r):
            self.views[r] = r.inputs[0]
            return
        if self.fits is not None and not several(r) and np.ndim(r.value) + any(shape_of(x) for x in r.inputs) \
                and self.joined(r):
            return
        node = Node([r], self.need(r, None))
        self.nodes.append(node)
        self.node_of[r] = node

    def need(self, r: Record, within: Node | None) -> int:
        """The least level for a record, were it in this node."""
        level = 0 if r in self.early else LATE
        for x in operands(r):
            node = self.node_of.get(self.seen(x)) if full(x) is None else None
            if node is not None and (node is not within or not self.at_hand(x, node)):
                level = max(level, node.level + 1)
        return level

    def at_hand(self, x: Record, node: Node) -> bool:
        """Whether a record is available within the loop that computes it, while it runs."""
        assert node.loop is not None
        if x in self.views and x not in self.inside:
            return False
        role = node.loop.roles[self.seen(x)]
        return role in (FULL, COLUMN)

    # ---- loops

    def joined(self, r: Record) -> bool:
        """Place a record in a loop, an open one if it can be; False if it fits in none."""
        if not self.fits(r) or not row_by_row(r) or not all(row_by_row(x) for x in operands(r) if full(x) is None):
            return False
        shape = shape_of(r.inputs[0]) if r.op in REDUCTIONS else np.shape(r.value)
        if not math.prod(shape):
            return False
        for node in self.candidates(r, shape):
            roles = self.roles(r, node.loop, node)
            fitting = roles is not None and len(node.records) < LONGEST
            if fitting and (r in self.early) == (node.level < LATE) and self.need(r, node) <= node.level:
                self.add(r, node, roles)                # type: ignore[arg-type]  # fitting
                return True
        loop = Loop(*sizes(shape))
        roles = self.roles(r, loop, None)
        if roles is None:
            return False
        node = Node([], self.need(r, None), loop)
        self.nodes.append(node)
        self.open.setdefault(sizes(shape), []).append(node)
        self.add(r, node, roles)
        return True

    def candidates(self, r: Record, shape: tuple[int, ...]) -> list[Node]:
        """Loops that might take a record: those of what it reads, then the newest of its size."""
        found: dict[Node, None] = {}
        for x in operands(r):
            node = self.node_of.get(self.seen(x))
            if node is not None and node.loop is not None:
                found[node] = None
        for node in reversed(self.open.get(sizes(shape), ())[-3:]):
            found[node] = None
        return list(found)

    def roles(self, r: Record, loop: Loop | None, node: Node | None) -> tuple[str, dict[Record, str]] | None:
        """What a record and its operands would be in a loop; None if they do not fit."""
        assert loop is not None
        result = self.result_role(r, loop, node)
        if result is None:
            return None
        shape = shape_of(r.inputs[0]) if r.op in REDUCTIONS else np.shape(r.value)
        found: dict[Record, str] = {}
        for i, x in enumerate(r.inputs):
            if not isinstance(x, Record) or full(x) is not None:
                continue
            mine = node is not None and self.node_of.get(self.through(x)) is node
            if r.op in REDUCTIONS:
                role: str | None = FULL
            else:
                role = aligned(np.shape(x.value) + ((1,) if is_labels(r, i) else ()), shape, loop)
                if result == COLUMN and role == FULL:
                    role = COLUMN
            if mine:
                own = loop.roles[self.through(x)]
                if own in (SCALAR, ROW):
                    mine = False
                elif own == COLUMN and result == SCALAR:
                    role = COLUMN
                elif own != role:
                    return None
                if mine and x in self.views:
                    self.inside[x] = self.through(x)
            if role is None or (not mine and not readable(x)):
                return None
            if not mine:
                found[x] = role
        return result, found

    def result_role(self, r: Record, loop: Loop, node: Node | None) -> str | None:
        """What a record would be in a loop of these sizes."""
        if r.op in REDUCTIONS:
            return reduced_role(r, loop)
        shape = np.shape(r.value)
        if math.prod(shape) == loop.rows * loop.columns and (loop.rows == 1 or shape[-1:] == (loop.columns,)):
            return FULL
        column = loop.rows > 1 and math.prod(shape) == loop.rows and (shape[-1:] == (1,) or np.ndim(r.value) <= 1)
        fed = node is not None and any(self.node_of.get(self.through(x)) is node and
                                       loop.roles.get(self.through(x)) == COLUMN for x in operands(r))
        return COLUMN if column and fed else None

    def add(self, r: Record, node: Node, roles: tuple[str, dict[Record, str]]) -> None:
        """Put a record into a loop."""
        assert node.loop is not None
        node.records.append(r)
        node.loop.roles[r] = roles[0]
        node.loop.reads.update(roles[1])
        self.node_of[r] = node


def sizes(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a loop over a shape; one row where there is nothing to gain from more."""
    n = math.prod(shape)
    return (1, n) if len(shape) < 2 or shape[-1] in (1, n) else (n // shape[-1], shape[-1])


def aligned(shape: tuple[int, ...], whole: tuple[int, ...], loop: Loop) -> str | None:
    """The role of an operand of an elementwise operation whose result has the shape `whole`."""
    if shape == ():
        return SCALAR
    shape = (1,) * (len(whole) - len(shape)) + shape
    if shape == whole:
        return FULL
    if math.prod(shape) == 1:
        return SCALAR
    if loop.rows == 1:
        return None
    if shape == (*whole[:-1], 1):
        return COLUMN
    return ROW if math.prod(shape) == shape[-1] == whole[-1] else None


def reduced_role(r: Record, loop: Loop) -> str | None:
    """The role of a reduction's result: a column for each row's, a row for each column's, or a scalar."""
    shape = shape_of(r.inputs[0])
    axis = r.options.get("axis")
    given = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = {i % len(shape) for i in given}
    axes |= {i for i, n in enumerate(shape) if n == 1}
    rest = set(range(len(shape))) - axes
    if not rest:
        return SCALAR
    if loop.rows == 1 or sizes(shape) != (loop.rows, loop.columns):
        return None
    if rest == {i for i in range(len(shape) - 1) if shape[i] != 1}:
        return COLUMN
    return ROW if rest == {len(shape) - 1} and r.op is reductions.sum_ else None


def is_labels(r: Record, i: int) -> bool:
    """Whether an operand holds the class number of each row."""
    return r.op is not None and r.op.name == "one_hot" and i == 0


def readable(x: Record) -> bool:
    """Whether a native loop can read an array as rows of its own."""
    return x.value.dtype.char in "fd?bhilqBHILQ" and x.value.dtype.isnative


def is_view(r: Record) -> bool:
    """Whether an operation gives its operand's memory in another arrangement, for contiguous operands at least."""
    x = r.inputs[0]
    if not isinstance(x, Record) or isinstance(r.value, tuple) or isinstance(x.value, tuple):
        return False
    if r.op is e.alias:
        return True
    if not isinstance(r.value, np.ndarray) or not isinstance(x.value, np.ndarray) or (
            r.op is indexing.item and not r.value.ndim):                # a number
        return False
    return bool(r.op is shapes.reshape and x.value.flags.c_contiguous) or np.may_share_memory(r.value, x.value)
