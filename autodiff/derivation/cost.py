"""What the order of multiplication costs: multiply-adds of a chain of Jacobians.

The vector-Jacobian order starts at the loss with one row and uses each Jacobian's structure: diag(·) is a Hadamard
product, a_j e_i an outer product. The other two multiply the same blocks as dense matrices: from the left (the loss's
side; the diagonals cost their zeros), and from the right (the input's side). A product with an identity is not
counted, nor is adding up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autodiff.derivation.graph import Graph
from autodiff.derivation.jacobians import Jacobian
from autodiff.derivation.mathml import MathML
from autodiff.derivation.structure import IDENTITY, count, shape_of
from autodiff.derivation.text import columns
from autodiff.derivation.writer import Grid
from autodiff.record import Record


@dataclass(frozen=True)
class Block:
    """One Jacobian of a chain."""

    jacobian: Jacobian
    of: Record
    wrt: Record
    rows: int
    columns: int
    multiply_adds: int
    formula: str


@dataclass(frozen=True)
class Row:
    """The multiply-adds for one gradient.

    Attributes
    ----------
    name : str
    vjp, left_to_right, right_to_left : int
        In the vector-Jacobian order, and with the blocks as dense matrices from either side.
    formula : str
        How the first comes about.
    """

    name: str
    vjp: int
    left_to_right: int
    right_to_left: int
    formula: str = ""


@dataclass(frozen=True)
class Cost:
    """The cost table; printed, a table.

    Attributes
    ----------
    rows : tuple of Row
        One per gradient.
    total : Row
        Of all parameters together. In the first two orders what their chains share counts once.
    per_sample : bool
        Whether the numbers are for one sample.
    """

    rows: tuple[Row, ...]
    total: Row
    per_sample: bool

    def __getitem__(self, name: str) -> Row:
        """The row of a tensor, by its name."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name!r} has no row; there are {', '.join(row.name for row in self.rows)}")

    @property
    def grid(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """The table as cells."""
        head = ("multiply-adds" + (", one sample" if self.per_sample else ""), "vector-Jacobian",
                "blocks, from the left", "blocks, from the right")
        rows = [(f"∂loss/∂{row.name}" if row is not self.total else row.name, *(f"{n:,}" for n in (
            row.vjp, row.left_to_right, row.right_to_left))) for row in (*self.rows, self.total)]
        return head, rows

    def __str__(self) -> str:
        head, rows = self.grid
        lines = columns([head, *rows])
        lines += ["", "  vector-Jacobian order:"]
        lines += [f"    ∂loss/∂{row.name}: {row.formula}" for row in self.rows if row.formula]
        lines += ["", "  blocks as dense matrices, diag(·) and ∂z/∂W included; products with an identity are not",
                  "  counted, nor biases, whose gradient is a δ"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, rows = self.grid
        return MathML().page([Grid(head, tuple(rows))])


def blocks_of(graph: Graph, jacobian: Any, active: set[Record], closed: set[Record], wrt: Record) -> list[Block]:
    """The Jacobians between a tensor and the loss; where there is a closed form the chain starts there."""
    alone = per_sample(graph, active - {graph.loss, wrt})
    found = []
    for h in (h for h in graph.heads if h in active):
        for x in graph.edges.get(h, {}):
            if (x in active or x is wrt) and x not in closed:
                j = jacobian(h, x)
                rows, cols = (size(graph, z, alone) for z in (h, x))
                times = (1 if alone else graph.count or 1) if j.per == "sample" else \
                    max(1, rows // max(j.shape[0], 1)) if j.per else 1
                adds = j.multiply_adds * times
                found.append(Block(j, h, x, rows, cols, adds, said(j, adds, times)))
    for t in closed & (active | {wrt}):
        n = size(graph, t, alone)
        j = Jacobian("loss", graph.names[t], (1, n), "gradient", "", None, 0)
        found.append(Block(j, graph.loss, t, 1, n, 0, ""))
    return found


def said(j: Jacobian, adds: int, times: int) -> str:
    """How the multiply-adds of a block come about."""
    by = f"{times}·" if times > 1 else ""
    if j.structure == "dense":
        return f"{by}{j.shape[0]}·{j.shape[1]}"
    if j.structure == "one-hot outer":
        return f"{by}{j.shape[0]}·{j.shape[1] // max(j.shape[0], 1)}"
    return str(adds)


def size(graph: Graph, r: Record, alone: bool) -> int:
    """How many elements, of one sample or of all."""
    axis = graph.samples.get(r) if alone else None
    shape = shape_of(r)
    return count(shape) if axis is None else count(shape) // max(shape[axis], 1)


def per_sample(graph: Graph, between: set[Record]) -> bool:
    """Whether samples stay apart all the way."""
    return bool(graph.count) and all(r in graph.samples or not shape_of(r) or r.op is None for r in between)


def row_of(name: str, blocks: list[Block], wrt: Record, loss: Record) -> Row:
    """The three counts of one chain."""
    n = next((b.columns for b in blocks if b.wrt is wrt), 1)
    onward = [b for b in blocks if b.of is not loss]
    left = sum(b.rows * b.columns for b in onward if b.jacobian.structure != IDENTITY)
    right = sum(b.rows * b.columns * n for b in blocks if b.wrt is not wrt and b.jacobian.structure != IDENTITY)
    parts = [b.formula for b in reversed(onward) if b.multiply_adds]
    vjp = sum(b.multiply_adds for b in onward)
    return Row(name, vjp, left, right, f"{' + '.join(parts)} = {vjp:,}" if len(parts) < 16 and parts else "")


def is_delta(r: Record, chains: Mapping[Record, list[Block]]) -> bool:
    """Whether a gradient is no more than the δ that another parameter's needs: that of a bias."""
    last = [b for b in chains[r] if b.wrt is r]
    others = {b.of for x, chain in chains.items() if x is not r and x.op is None for b in chain
              if b.wrt is x and b.jacobian.structure != IDENTITY}
    return bool(last) and all(b.jacobian.structure == IDENTITY and b.of in others for b in last)


def cost_of(graph: Graph, chains: Mapping[Record, list[Block]], parameters: list[Record]) -> Cost:
    """The table. All together: in the first two orders what chains share counts once, in the last nothing is shared."""
    rows = {r: Row(graph.names[r], 0, 0, 0, "δ") if is_delta(r, chains) else
            row_of(graph.names[r], chain, r, graph.loss) for r, chain in chains.items()}
    shared = {(b.of, b.wrt): b for r in parameters for b in chains[r] if b.of is not graph.loss}.values()
    total = Row("all parameters", sum(b.multiply_adds for b in shared),
                sum(b.rows * b.columns for b in shared if b.jacobian.structure != IDENTITY),
                sum(rows[r].right_to_left for r in parameters))
    between = {b.of for chain in chains.values() for b in chain} - {graph.loss}
    one = graph.layout in ("row", "column") or per_sample(graph, between)
    return Cost(tuple(rows.values()), total, one)
