"""Where everything stands on the page of the explorer: the rows of `viz.layout`, placed without any engine.

Each row is a grid: an operation stands one column after what it takes, what lies beside it in its own column. Within a
column, things keep their order and move as near to what they are connected with as their sizes let them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from viz.graph import Edge, Graph
from viz.layout import Layout
from viz.scopes import ancestry

GAP, BESIDE, BETWEEN, ROWS = 36.0, 24.0, 18.0, 18.0     # of columns; op and what is beside it; within a column; of rows
PAD, TITLE = 11.0, 25.0     # of a scope's box: around, and above, where its name stands
SWEEPS = 4                  # of ordering and of pulling straight
STRAIGHT = 8.0              # how much more the main lane pulls


@dataclass(slots=True)
class Box:
    """A node's place: its centre, its size, its row and column."""

    x: float
    y: float
    w: float
    h: float
    row: int
    column: int


@dataclass(slots=True)
class Segment:
    """The part of a scope's box that lies in one row; `card` is where its card stands when it is folded."""

    cluster: str
    row: int
    begins: bool
    left: float
    top: float
    right: float
    bottom: float
    members: list[str]
    card: Box


@dataclass(slots=True)
class Lane:
    """An edge as a line through points, to the side, or up or down to what stands beside."""

    edge: Edge
    upright: bool
    points: list[tuple[float, float]]


@dataclass(slots=True)
class Page:
    """Everything in its place.

    Attributes
    ----------
    boxes : dict of str to Box
        By the ids of nodes and chips.
    columns : list of list of tuple of float
        For each row the left and right ends of its columns.
    rows : list of tuple of float
        The top and bottom of each row.
    segments : list of Segment
        Outer scopes first.
    lanes : list of Lane
    width, height : float
    """

    boxes: dict[str, Box] = field(default_factory=dict)
    columns: list[list[tuple[float, float]]] = field(default_factory=list)
    rows: list[tuple[float, float]] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


def placed(graph: Graph, layout: Layout, sizes: Mapping[str, tuple[float, float]],
           cards: Mapping[str, tuple[float, float]]) -> Page:
    """A graph's page, given the sizes of its nodes and chips and of the cards of folded scopes."""
    page = Page()
    top = 0.0
    edges: list[list[Edge]] = [[] for _ in layout.rows]
    row_of = {node: i for i, row in enumerate(layout.rows) for node in row}
    for e in layout.edges:
        edges[row_of[e.target]].append(e)
    begun: set[str] = set()
    for i, nodes in enumerate(layout.rows):
        row = Row(i, nodes, edges[i], graph, layout, sizes)
        row.place(page)
        segments = row.segments(page, cards, begun)
        low = min([page.boxes[n].y - page.boxes[n].h / 2 for n in nodes] + [s.top for s in segments], default=0.0)
        high = max([page.boxes[n].y + page.boxes[n].h / 2 for n in nodes] + [s.bottom for s in segments], default=0.0)
        down = top - low
        for n in nodes:
            page.boxes[n].y += down
        for s in segments:
            s.top, s.bottom, s.card.y = s.top + down, s.bottom + down, s.card.y + down
        page.segments += segments
        page.rows.append((top, top + high - low))
        page.lanes += row.lanes(page, down)
        top += high - low + ROWS
    left = min([b.x - b.w / 2 for b in page.boxes.values()] + [s.left for s in page.segments], default=0.0)
    for thing in (*page.boxes.values(), *(s.card for s in page.segments)):
        thing.x -= left
    for s in page.segments:
        s.left, s.right = s.left - left, s.right - left
    for lane in page.lanes:
        lane.points = [(x - left, y) for x, y in lane.points]
    page.columns = [[(a - left, b - left) for a, b in row] for row in page.columns]
    page.width = max([b.x + b.w / 2 for b in page.boxes.values()] + [s.right for s in page.segments], default=0.0)
    page.height = max(top - ROWS, 0.0)
    return page


class Row:
    """A row while it is laid out. A knot is a node with what stands beside it, or a bend of a long edge."""

    def __init__(self, number: int, nodes: Sequence[str], edges: list[Edge], graph: Graph, layout: Layout,
                 sizes: Mapping[str, tuple[float, float]]) -> None:
        self.number, self.nodes, self.edges, self.layout, self.sizes = number, nodes, edges, layout, sizes
        self.clusters = graph.clusters
        here = set(nodes)
        self.beside = {op: sides for op, sides in layout.beside.items() if op in here and sides}
        self.attached = {node for sides in self.beside.values() for chain in sides for node in chain}
        self.upright = {(node, to) for op, sides in self.beside.items() for chain in sides
                        for node, to in zip(chain, [op, *chain], strict=False)}
        self.knots = [n for n in nodes if n not in self.attached]
        self.flows = [e for e in edges if e.source not in self.attached and e.target not in self.attached]
        self.rank = self.ranks()
        self.bends: dict[str, list[str]] = {}           # of an edge that passes over columns
        self.links: list[tuple[str, str, float]] = []
        for e in self.flows:
            passed = range(self.rank[e.source] + 1, self.rank[e.target])
            self.bends[e.id] = [f"{e.id}|{k}" for k in passed]
            self.rank.update(zip(self.bends[e.id], passed, strict=True))
            chain = [e.source, *self.bends[e.id], e.target]
            weight = STRAIGHT if e.id in layout.main else 1.0
            self.links += [(a, b, weight if a in sizes and b in sizes else 2 * STRAIGHT)
                           for a, b in zip(chain, chain[1:], strict=False)]
        self.order = self.ordered()

    def ranks(self) -> dict[str, int]:
        """The column of each knot: one after the last of what it takes; leaves right before what takes them."""
        takes: dict[str, list[str]] = {n: [] for n in self.knots}
        users: dict[str, list[str]] = {n: [] for n in self.knots}
        for e in self.flows:
            takes[e.target].append(e.source)
            users[e.source].append(e.target)
        waiting = {n: len(takes[n]) for n in self.knots}
        ready = [n for n in self.knots if not waiting[n]]
        rank: dict[str, int] = {}
        for n in ready:
            rank[n] = max((rank[x] + 1 for x in takes[n]), default=0)
            for user in users[n]:
                waiting[user] -= 1
                if not waiting[user]:
                    ready.append(user)
        for n in self.knots:
            if not takes[n] and users[n]:
                rank[n] = min(rank[u] for u in users[n]) - 1
        return rank

    def ordered(self) -> list[list[str]]:
        """The knots of each column from top to bottom: by the mean place of what they are connected with."""
        order: list[list[str]] = [[] for _ in range(max(self.rank.values(), default=0) + 1)]
        near: dict[str, list[list[str]]] = {n: [[], []] for n in self.rank}
        for a, b, _ in self.links:
            near[b][0].append(a)
            near[a][1].append(b)
        for n in [*self.knots, *(b for bends in self.bends.values() for b in bends)]:
            order[self.rank[n]].append(n)
        for sweep in range(SWEEPS):
            side = sweep % 2
            for column in order if side == 0 else reversed(order):
                at = {n: i / len(c) for c in order for i, n in enumerate(c)}
                column.sort(key=lambda n: sum(at[x] for x in near[n][side]) / len(near[n][side])
                            if near[n][side] else at[n])
        return order

    # ---- places

    def extent(self, knot: str) -> tuple[float, float]:
        """How far a knot reaches up and down from its middle, with the boxes around it."""
        if knot not in self.sizes:
            return 3.0, 3.0
        half = self.sizes[knot][1] / 2
        sides = [sum(self.sizes[n][1] + BESIDE for n in chain) for chain in self.beside.get(knot, [])]
        deep = len(self.around(knot))
        below, above = ([*sides, 0.0, 0.0])[:2]
        return half + above + deep * TITLE / 2, half + below + deep * PAD / 2

    def around(self, node: str) -> list[str]:
        """The scopes around a node, outermost first."""
        return ancestry(self.layout.scope.get(node, ""), self.clusters)

    def place(self, page: Page) -> None:
        """Give every node its box, the middle of the row's first column at height 0."""
        y: dict[str, float] = {}
        reach = {n: self.extent(n) for n in self.rank}
        for column in self.order:
            at = 0.0
            for n in column:
                y[n] = at + reach[n][0]
                at = y[n] + reach[n][1] + BETWEEN
            middle = at / 2
            y.update({n: y[n] - middle for n in column})
        pulls: dict[str, tuple[list[tuple[str, float]], list[tuple[str, float]]]] = {n: ([], []) for n in self.rank}
        for a, b, weight in self.links:
            pulls[b][0].append((a, weight))
            pulls[a][1].append((b, weight))
        for sweep in range(2 * SWEEPS + 1):         # each column is pulled from the left, then from the right
            side = sweep % 2
            for column in self.order if side == 0 else reversed(self.order):
                pull = {n: pulls[n][side] for n in column}
                wish = [sum(y[x] * w for x, w in pull[n]) / sum(w for _, w in pull[n]) if pull[n] else y[n]
                        for n in column]
                force = [sum(w for _, w in pull[n]) or 0.1 for n in column]
                apart = [reach[a][1] + BETWEEN + reach[b][0] for a, b in zip(column, column[1:], strict=False)]
                y.update(zip(column, spread_out(wish, force, apart), strict=True))
        x = self.columns(page)
        for n in self.knots:
            k = self.rank[n]
            page.boxes[n] = Box(x[k], y[n], *self.sizes[n], self.number, k)
            for side, chain in enumerate(self.beside.get(n, [])):
                sign = 1 if side == 0 else -1
                at = self.sizes[n][1] / 2
                for m in chain:
                    w, h = self.sizes[m]
                    at += BESIDE + h / 2
                    page.boxes[m] = Box(x[k], y[n] + sign * at, w, h, self.number, k)
                    at += h / 2
        self.y, self.x = y, x

    def columns(self, page: Page) -> list[float]:
        """The middles of the columns; their ends go to the page."""
        widths = [max([2.0] + [self.sizes[m][0] for n in column if n in self.sizes
                               for m in (n, *(m for chain in self.beside.get(n, []) for m in chain))])
                  for column in self.order]
        scopes = [{tuple(self.around(n)) for n in column if n in self.sizes} for column in self.order]
        ends: list[tuple[float, float]] = []
        left = 0.0
        for k, width in enumerate(widths):
            if k:
                walls = max((len(set(a) ^ set(b)) for a in scopes[k - 1] for b in scopes[k]), default=0)
                left += GAP + PAD * max(walls - 1, 0)
            ends.append((left, left + width))
            left += width
        page.columns.append(ends)
        return [(a + b) / 2 for a, b in ends]

    def segments(self, page: Page, cards: Mapping[str, tuple[float, float]], begun: set[str]) -> list[Segment]:
        """The boxes of the scopes in this row, inner ones within outer ones."""
        members: dict[str, list[str]] = {}
        for n in self.nodes:
            for c in self.around(n):
                members.setdefault(c, []).append(n)
        found: dict[str, Segment] = {}
        for c in sorted(members, key=lambda c: -len(ancestry(c, self.clusters))):
            boxes = [page.boxes[n] for n in members[c]]
            inner = [s for s in found.values() if self.clusters[s.cluster].parent == c]
            left = min([b.x - b.w / 2 for b in boxes] + [s.left for s in inner]) - PAD
            right = max([b.x + b.w / 2 for b in boxes] + [s.right for s in inner]) + PAD
            top = min([b.y - b.h / 2 for b in boxes] + [s.top for s in inner]) - TITLE
            bottom = max([b.y + b.h / 2 for b in boxes] + [s.bottom for s in inner]) + PAD
            lane = [page.boxes[n] for n in members[c] if n not in self.attached] or boxes
            w, h = cards[c]
            column = min(b.column for b in boxes)
            a, b = page.columns[self.number][column]
            card = Box((a + b) / 2, sum(b.y for b in lane) / len(lane), w, h, self.number, column)
            found[c] = Segment(c, self.number, c not in begun, left, top, max(right, left + w / 2), bottom,
                               members[c], card)
        begun.update(found)
        return [found[c] for c in self.clusters if c in found]

    def lanes(self, page: Page, down: float) -> Iterable[Lane]:
        """The edges of this row through their points."""
        for e in self.edges:
            bends = [(self.x[self.rank[n]], self.y[n] + down) for n in self.bends.get(e.id, [])]
            a, b = page.boxes[e.source], page.boxes[e.target]
            upright = (e.source, e.target) in self.upright
            yield Lane(e, upright, ends(a, b, upright, bends))


def ends(a: Box, b: Box, upright: bool, bends: Sequence[tuple[float, float]] = ()) -> list[tuple[float, float]]:
    """The points of a line from one box to another: at their facing sides, and the bends between."""
    if upright:
        sign = 1 if b.y > a.y else -1
        return [(a.x, a.y + sign * a.h / 2), (b.x, b.y - sign * b.h / 2)]
    return [(a.x + a.w / 2, a.y), *bends, (b.x - b.w / 2, b.y)]


def spread_out(wish: Sequence[float], force: Sequence[float], apart: Sequence[float]) -> list[float]:
    """Places in order and at least so far apart, as near to those wished for as can be, in the sense of squares.

    Those that would be too near become a block that moves as one (the pool of adjacent violators).

    >>> spread_out([0.0, 0.0, 9.0], [1, 1, 1], [4, 4])
    [-2.0, 2.0, 9.0]
    """
    shift, total = [0.0], 0.0
    for gap in apart:
        total += gap
        shift.append(total)
    blocks: list[list[float]] = []             # [mean, force, how many]
    for place, weight, s in zip(wish, force, shift, strict=False):
        blocks.append([place - s, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, weight, n = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + mean * weight) / (last[1] + weight)
            last[1] += weight
            last[2] += n
    flat = [block[0] for block in blocks for _ in range(int(block[2]))]
    return [place + s for place, s in zip(flat, shift, strict=False)]
