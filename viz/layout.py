"""Where things go, as far as an engine needs telling: rows, chips, and what stands beside an operation.

A long computation is a page, not a ribbon: it is cut into rows, whole layers at a time, and a tensor that
comes from another row is drawn again as a small chip. A parameter stands beside the operation that uses it,
so that the main lane stays straight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import ceil, sqrt

from viz.graph import Edge, Graph, OpNode
from viz.scopes import ancestry

UNBROKEN = 5                # a computation of at most this many operations in a line is one row
SHORT, LONG = 4, 6          # in a longer one, how many a row holds, at least and at most


@dataclass(frozen=True, slots=True)
class Chip:
    """A reference to a tensor that is drawn in another row, or not at all.

    Attributes
    ----------
    id : str
        Its own.
    source : str
        The id of what it stands for.
    name : str
        What that is called.
    hidden : bool
        Whether that is not drawn at all.
    """

    id: str
    source: str
    name: str
    hidden: bool


@dataclass(slots=True)
class Layout:
    """Rows of nodes, and the edges between them.

    Attributes
    ----------
    rows : list of list of str
        The ids of each row's tensors, operations and chips.
    chips : dict of str to Chip
        By id.
    edges : list of Edge
        With chips for sources where those lie in another row.
    main : set of str
        The ids of the edges of the main lane.
    beside : dict of str to list of list of str
        For an operation the chains of nodes below it (first) and above it (second), the nearest node first.
    scope : dict of str to str
        For each node the cluster it is drawn in; "" for none.
    """

    rows: list[list[str]] = field(default_factory=list)
    chips: dict[str, Chip] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    main: set[str] = field(default_factory=set)
    beside: dict[str, list[list[str]]] = field(default_factory=dict)
    scope: dict[str, str] = field(default_factory=dict)


def arranged(graph: Graph) -> Layout:
    """The layout of a graph.

    Examples
    --------
    >>> W = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> loss = (2 * W).sum()
    >>> arranged(viz.draw(loss).graph).rows
    [['W', 'op_v1', 'v1', 'op_loss', 'loss']]
    """
    return Arranger(graph).layout()


class Arranger:
    """What is known about a graph while it is laid out."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.into: dict[str, list[Edge]] = {}
        self.out_of: dict[str, list[Edge]] = {}
        for e in graph.edges:
            self.into.setdefault(e.target, []).append(e)
            self.out_of.setdefault(e.source, []).append(e)
        # An operation that is only a step on the way (a transpose) goes wherever its user goes.
        self.lane = [op for op in graph.ops if not self.is_aside(op)]
        self.before = {op: self.ops_before(op) for op in self.lane}
        self.row: dict[str, int] = {}
        self.depth: dict[str, int] = {}

    def is_aside(self, op: str) -> bool:
        """Whether an operation is only a step on the way to another that is drawn."""
        node = self.graph.ops[op]
        return isinstance(node, OpNode) and node.aside and op in self.out_of

    def ops_before(self, op: str) -> list[str]:
        """The operations that made this one's operands."""
        sources = [e.source for e in self.into.get(op, [])]
        return [source for source in sources if source in self.graph.ops] + \
            [made.source for source in sources if source in self.graph.tensors
             for made in self.into.get(source, []) if made.source in self.graph.ops]

    def layout(self) -> Layout:
        """The rows, then chips where edges cross from one to another, then what stands beside."""
        rows = list(self.rows())
        self.row = {op: i for i, row in enumerate(rows) for op in row}
        for op in reversed(self.graph.ops):
            if op not in self.row:
                self.row[op] = next(self.row[e.target] for e in self.out_of[op] if e.target in self.row)
        for tensor in self.graph.tensors:
            made = [e.source for e in self.into.get(tensor, [])]
            near = made if made and made[0] in self.row else [e.target for e in self.out_of.get(tensor, [])]
            self.row[tensor] = self.row[near[0]] if near else 0

        layout = Layout(scope={node.id: node.scope
                               for nodes in (self.graph.tensors, self.graph.ops) for node in nodes.values()})
        self.depth = {op: n for row in rows for op, n in self.depths(row).items()}
        for op in self.graph.ops:
            if op not in self.depth:
                self.depth[op] = max(self.depth.get(e.target, 0) for e in self.out_of[op])
        layout.edges = [self.referred(e, layout) for e in self.graph.edges]
        layout.rows = [[] for _ in range(max(self.row.values(), default=0) + 1)]
        for node in self.reading_order(layout):
            layout.rows[self.row[node]].append(node)
        into: dict[str, list[Edge]] = {}
        for e in layout.edges:
            into.setdefault(e.target, []).append(e)
        for row in rows:
            self.stand_beside(row, into, layout)
        return layout

    # ---- rows

    def depths(self, ops: Sequence[str]) -> dict[str, int]:
        """How many of these operations stand in a line up to each of them, itself included."""
        found: dict[str, int] = {}
        for op in ops:
            found[op] = 1 + max((found.get(x, 0) for x in self.before[op]), default=0)
        return found

    def length(self, ops: Sequence[str]) -> int:
        """The longest line among these operations."""
        return max(self.depths(ops).values(), default=0)

    def rows(self) -> Iterator[list[str]]:
        """The operations, row by row: as many whole layers as fit."""
        total = self.length(self.lane)
        limit = total
        if total > UNBROKEN:
            most = min(max(round(sqrt(1.3 * total)), SHORT), LONG)
            limit = ceil(total / ceil(total / most))            # no last row that is almost empty
        row: list[str] = []
        for unit in self.units(self.lane, limit):
            if row and self.length(row + unit) > limit:
                yield row
                row = []
            row = row + unit
        if row:
            yield row

    def units(self, ops: Sequence[str], limit: int, level: int = 0) -> Iterator[list[str]]:
        """What a row break does not tear apart: the outermost layer that fits, else one operation."""
        def layer(op: str) -> list[str]:
            return ancestry(self.graph.ops[op].scope, self.graph.clusters)[:level + 1]

        for chain, members in groupby(ops, layer):
            unit = list(members)
            if self.length(unit) <= limit:
                yield unit
            elif len(chain) > level:
                yield from self.units(unit, limit, level + 1)
            else:
                yield from ([op] for op in unit)

    # ---- chips

    def referred(self, e: Edge, layout: Layout) -> Edge:
        """The edge as it is, or from a chip if its source is in another row, far away, or not drawn."""
        hidden = e.source in self.graph.beyond
        if not hidden and self.row[e.source] == self.row[e.target] and not self.is_far(e):
            return e
        chip = f"{e.source}:{e.target}"
        if chip not in layout.chips:
            layout.chips[chip] = Chip(chip, e.source, self.graph.name(e.source), hidden)
            layout.scope[chip] = self.scope_of_chip(e, layout)
            self.row[chip] = self.row[e.target]
        return replace(e, source=chip)

    def scope_of_chip(self, e: Edge, layout: Layout) -> str:
        """The box of a chip: where a row begins, outside of what it goes into; elsewhere that of its operation."""
        if self.depth.get(e.target, 2) > 1 or e.source not in layout.scope:
            return layout.scope[e.target]
        clusters = self.graph.clusters
        around = ancestry(layout.scope[e.source], clusters)
        common = [c for c, d in zip(ancestry(layout.scope[e.target], clusters), around, strict=False) if c == d]
        return common[-1] if common else ""

    def is_far(self, e: Edge) -> bool:
        """Whether an edge within a row passes over other nodes, while its source has a use nearby too."""
        tensor = self.graph.tensors.get(e.source)
        if tensor is None or e.target not in self.graph.ops:
            return False
        uses = [use for use in self.out_of[e.source] if self.row[use.target] == self.row[e.target]]
        nearest = min(uses, key=lambda use: self.depth[use.target])
        passed = self.depth[e.target] - self.depth[nearest.target]
        if self.into.get(e.source):
            return passed >= 2
        # A leaf that stands beside an operation stands there only; data at the begin of a row branch.
        beside = len(self.into[e.target]) > 1 and (tensor.role == "parameter" or self.depth[e.target] > 1)
        return passed >= 1 or (beside and e.target != nearest.target)

    def reading_order(self, layout: Layout) -> list[str]:
        """All nodes: before each operation its operands, behind it its results."""
        order: dict[str, None] = {}
        for e in layout.edges:
            order[e.source] = order[e.target] = None
        return list(order) or list(self.graph.tensors)

    # ---- lanes

    def stand_beside(self, row: Sequence[str], into: dict[str, list[Edge]], layout: Layout) -> None:
        """Choose each operation's main operand, and put parameters and chips below and above it."""
        placed: set[str] = set()
        for op in row:
            chains = {e.id: self.chain(e.source, into, layout) for e in into.get(op, [])}
            if not chains:
                continue
            main = max(into[op], key=lambda e: self.importance(e, chains[e.id], into, layout))
            if len(into[op]) < 3 or any(chains.values()):     # of many branches none is the main one
                layout.main.add(main.id)
            layout.main.update(e.id for e in self.out_of.get(op, []))
            placed.update(chains[main.id])
            others = [chain for e in into[op] if e is not main and (chain := chains[e.id])]
            sides = layout.beside[op] = []
            if len(others) < 4:
                for chain in others:
                    if len(sides) < 2 and placed.isdisjoint(chain):
                        sides.append(chain)
                        placed.update(chain)
                        layout.scope.update(dict.fromkeys(chain, layout.scope[op]))

    def chain(self, node: str, into: dict[str, list[Edge]], layout: Layout) -> list[str]:
        """A leaf or chip, behind the transpose that may stand before the operation; [] for a result."""
        if node in self.graph.ops:
            before = [e.source for e in into.get(node, [])]
            return [node, *before] if self.is_aside(node) and not any(map(into.get, before)) else []
        return [] if into.get(node) else [node]

    def importance(self, e: Edge, chain: list[str], into: dict[str, list[Edge]],
                   layout: Layout) -> tuple[int, int]:
        """Where the main lane comes from: the longest way behind an operand, else data before parameters."""
        if not chain:
            made = [made.source for made in into[e.source]] if e.source in self.graph.tensors else [e.source]
            return 4, max((self.depth.get(op, 0) for op in made), default=0)
        leaf = self.graph.tensors.get(chain[-1])
        if leaf is None:
            source = layout.chips[chain[-1]].source
            return (1 if source in self.graph.tensors and not self.into.get(source) else 3), 0
        return (2 if leaf.role == "input" else 1), 0
