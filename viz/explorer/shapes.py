"""The picture of the explorer as SVG, in classes: its colours, and what is hidden by when, are the page's business."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

from viz.dot import lane_width
from viz.explorer.cards import Piece, layer_card, scope_card, tensor_card
from viz.explorer.placing import Box, Lane, Page, Segment, placed
from viz.graph import Graph, LayerNode, OpNode, TensorNode
from viz.layout import Chip, arranged
from viz.look import Look
from viz.symbols import symbol
from viz.text import shown, width
from viz.themes import readable_on

PAD, MARGIN = 9, 16                 # within a card; around the picture


@dataclass(slots=True)
class Picture:
    """The SVG, and where everything stands in it."""

    svg: str
    page: Page
    chips: dict[str, Chip]


def picture(graph: Graph, look: Look) -> Picture:
    """A graph laid out and drawn."""
    return Painter(graph, look).picture()


class Painter:
    """A graph on the way to becoming SVG."""

    def __init__(self, graph: Graph, look: Look) -> None:
        self.graph, self.look = graph, look
        self.layout = arranged(graph)
        self.pieces: dict[str, Piece] = {}
        self.sizes: dict[str, tuple[float, float]] = {}
        self.labels: dict[str, str] = {}
        for t in graph.tensors.values():
            self.keep(t.id, tensor_card(t, look))
        for op in graph.ops.values():
            if isinstance(op, LayerNode):
                self.keep(op.id, layer_card(op, look))
            else:
                own = look.label(op) if look.label is not None else None
                self.labels[op.id] = label = shown(str(own) if own is not None
                                                   else symbol(op.op, op.constants, op.options))
                side = 22.0 if op.aside else 28.0
                self.sizes[op.id] = (side if len(label) < 3 else width(label, 12) + 14.0, side)
        for chip in self.layout.chips.values():
            self.sizes[chip.id] = (width(shown(chip.name), 11) + 16.0, 24.0)
        self.cards = {c: scope_card(c, graph) for c in graph.clusters}
        self.largest = graph.largest
        self.is_two_way = "gradients" in look.show and any(e.norm is not None for e in graph.edges)

    def keep(self, id: str, piece: Piece) -> None:
        """Remember a card's contents and size."""
        self.pieces[id] = piece
        self.sizes[id] = (round(piece.w) + 2 * PAD, round(piece.h) + 2 * PAD - 2)

    def picture(self) -> Picture:
        """Scopes below, then lanes, then nodes in the order of the tape."""
        sizes = {c: (round(p.w) + 2.0 * PAD, round(p.h) + 2.0 * PAD) for c, p in self.cards.items()}
        page = placed(self.graph, self.layout, self.sizes, sizes)
        body = [*map(self.scope, page.segments)]
        body += [self.lane(lane) for lane in page.lanes]
        body += [self.card(s) for s in page.segments]
        order = [n for row in self.layout.rows for n in row]
        body += [self.node(n, page.boxes[n], first=i == 0) for i, n in enumerate(order)]
        w, h = page.width + 2 * MARGIN, page.height + 2 * MARGIN
        title = escape(shown(self.graph.title, 80), quote=True)
        svg = (f'<svg id="picture" xmlns="http://www.w3.org/2000/svg" viewBox="{-MARGIN} {-MARGIN} {w:g} {h:g}" '
               f'role="group" aria-label="Computation graph of {title}">{HEADS}{"".join(body)}</svg>')
        return Picture(svg, page, self.layout.chips)

    def scope(self, s: Segment) -> str:
        """The box of a scope, with its name, which folds it."""
        scope = self.graph.clusters[s.cluster]
        outer = self.graph.clusters[scope.parent].path + "." if scope.parent else ""
        step = scope.path.removeprefix(outer)
        more = [scope.kind] if scope.kind not in ("", step) else []
        more += [f"call {scope.call}"] if scope.call > 1 else []
        more += ["continued"] if not s.begins else []
        facts = f'<tspan class="subtle plain" dx="7">{escape(shown(", ".join(more), 40))}</tspan>' if more else ""
        button = (f' class="fold" role="button" tabindex="-1" aria-expanded="true" '
                  f'aria-label="Fold {escape(shown(scope.path, 60), quote=True)}"')
        return (f'<g class="scope" data-scope="{s.cluster}" data-row="{s.row}">'
                f'<rect x="{s.left:.1f}" y="{s.top:.1f}" width="{s.right - s.left:.1f}" '
                f'height="{s.bottom - s.top:.1f}" rx="12"/>'
                f'<g{button} transform="translate({s.left + 11:.1f} {s.top + 16:.1f})"><text class="ink small">'
                f'<tspan class="sign">▾</tspan><tspan class="strong" dx="4">{escape(shown(step, 40))}</tspan>{facts}'
                f'</text></g></g>')

    def card(self, s: Segment) -> str:
        """The card of a folded scope, hidden until it is."""
        piece, b = self.cards[s.cluster], s.card
        name = escape(shown(self.graph.clusters[s.cluster].path, 60), quote=True)
        return (f'<g class="node folded" hidden="" data-card="{s.cluster}" data-row="{s.row}" role="button" '
                f'tabindex="-1" aria-label="Unfold {name}" transform="translate({b.x:.1f} {b.y:.1f})">'
                f'{frame(b.w, b.h, 10)}{frame(b.w, b.h, 10, 4)}{inset(piece, b)}</g>')

    def node(self, id: str, box: Box, first: bool) -> str:
        """A card, a disc or a chip at its place."""
        graph = self.graph
        at = f'transform="translate({box.x:.1f} {box.y:.1f})"'
        if chip := self.layout.chips.get(id):
            hint = f"{shown(chip.name, 60)}, {'not drawn' if chip.hidden else 'drawn elsewhere'}"
            return (f'<g class="chip{" gone" if chip.hidden else ""}" data-chip="{escape(id, quote=True)}" {at} '
                    f'role="button" tabindex="-1" aria-label="{escape(hint, quote=True)}">{frame(box.w, box.h, 12)}'
                    f'<text class="ink small centre" y="4">{escape(shown(chip.name))}</text></g>')
        node: TensorNode | OpNode | LayerNode = graph.tensors[id] if id in graph.tensors else graph.ops[id]
        fill = self.look.colour(node) if self.look.colour is not None else None
        if isinstance(node, OpNode):
            body, kind = self.disc(node, box, fill), "op" + (" aside" if node.aside else "")
            said = f"{node.op}, gives {node.result}"
        elif isinstance(node, LayerNode):
            body, kind = frame(box.w, box.h, 10, 0, fill) + inset(self.pieces[id], box), "layer"
            body = (frame(box.w, box.h, 10, 4) if node.count > 1 else "") + body
            said = f"layer {node.name}, {node.kind}"
        else:
            double = frame(box.w, box.h, 12, 3.5) if node.role == "loss" else ""
            body = frame(box.w, box.h, 1 if node.role == "input" else 10, 0, fill) + inset(self.pieces[id], box)
            body = double + body
            kind, said = f"tensor {node.role}", f"{node.name}, {node.role}, {node.value.shape_text}"
            kind += " bad" if node.value.trouble else ""
        mark = self.look.marks.get(id)
        kind += " wrong" if mark is not None and not mark.good else ""
        kind += " suspect" if id in self.look.suspects else ""
        return (f'<g class="node {kind}" data-id="{id}" {at} role="button" tabindex="{0 if first else -1}" '
                f'aria-pressed="false" aria-label="{escape(shown(said, 120), quote=True)}">{body}</g>')

    def disc(self, node: OpNode, box: Box, fill: str | None) -> str:
        """An operation."""
        label = self.labels[node.id]
        small = "centre sign" if len(label) < 3 and not node.aside else "centre small"
        ink = f' fill="{readable_on(fill)}"' if fill else ""
        return (frame(box.w, box.h, box.h / 2, 0, fill) +
                f'<text class="{"own" if fill else "on-disc"} {small}"{ink} y="{4.5 if "sign" in small else 4}">'
                f'{escape(label)}</text>')

    def lane(self, lane: Lane) -> str:
        """An edge: values one way, and beside it gradients the other way where they flow."""
        e = lane.edge
        both = e.flows and self.is_two_way
        thick = lane_width(e.norm, self.largest)
        bad = e.norm is not None and not isfinite(e.norm)
        there = path(lane.points, lane.upright, 1.7 if both else 0)
        out = f'<path class="fwd" d="{there}" stroke-width="{thick if both else 1.3:g}"/>'
        if both:
            back = path(lane.points[::-1], lane.upright, 1.7)
            out += f'<path class="bwd{" bad" if bad else ""}" d="{back}" stroke-width="{thick:g}"/>'
        return f'<g class="edge{"" if e.flows else " still"}" data-edge="{escape(e.id, quote=True)}">{out}</g>'


HEADS = "".join(f'<marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
                f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 .6L8 4L0 7.4z"/></marker>'
                for kind in ("to", "back", "alarm-back", "faint"))
HEADS = f"<defs>{HEADS}</defs>"


def frame(w: float, h: float, round_: float, out: float = 0.0, fill: str | None = None) -> str:
    """The outline of a card around its middle; `out` of it for a second one."""
    kind = "outline" if out else "own-fill" if fill else "card"
    colour = f' fill="{escape(fill, quote=True)}"' if fill else ""
    return (f'<rect class="{kind}"{colour} x="{-w / 2 - out:g}" y="{-h / 2 - out:g}" width="{w + 2 * out:g}" '
            f'height="{h + 2 * out:g}" rx="{round_ + out:g}"/>')


def inset(piece: Piece, box: Box) -> str:
    """A card's contents within its outline."""
    return f'<g transform="translate({PAD - box.w / 2:g} {PAD - 2 - box.h / 2:g})">{piece.svg}</g>'


def path(points: Sequence[tuple[float, float]], upright: bool, aside: float = 0.0) -> str:
    """A line through points, each piece leaving and arriving straight, `aside` to the right of its direction.

    >>> path([(0, 0), (10, 0)], False, 1.5), path([(0, 0), (10, 4)], False, 1.5)
    ('M0 1.5L10 1.5', 'M0 1.5C3.5 1.5 3.5 5.5 10 5.5')
    """
    return "".join(pieces(points, upright, aside))


def pieces(points: Sequence[tuple[float, float]], upright: bool, aside: float) -> Iterator[str]:
    """The commands of that line."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    dx, dy = (-aside * (1 if y1 > y0 else -1), 0.0) if upright else (0.0, aside * (1 if x1 > x0 else -1))
    moved = [(x + dx, y + dy) for x, y in points]
    yield f"M{short(moved[0][0])} {short(moved[0][1])}"
    for (x0, y0), (x1, y1) in zip(moved, moved[1:], strict=False):
        if upright or abs(y0 - y1) < 0.05:
            yield f"L{short(x1)} {short(y1)}"
        else:
            middle = short((x0 + x1) / 2 - aside * (1 if y1 > y0 else -1))
            yield f"C{middle} {short(y0)} {middle} {short(y1)} {short(x1)} {short(y1)}"


def short(x: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{round(x, 1):g}" if abs(x) < 1e5 else f"{x:.1f}"
