"""What stands on the explorer's cards, as SVG in classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite, log10

from viz.cards import COMMON_DTYPE, Mark
from viz.graph import Graph, LayerNode, OpNode, TensorNode
from viz.look import Look
from viz.scopes import ancestry
from viz.text import shown, width
from viz.values import Summary, number

CELL = 11                           # the side of a heatmap's cell
TALL, BAR, MANY = 40, 9, 40         # of a run's bars: the highest, the width, how many at most
LEVELS = 12                         # strengths of a heatmap's cells


@dataclass(slots=True)
class Piece:
    """A card's contents: SVG whose upper left corner is the origin."""

    w: float
    h: float
    svg: str


def words(text: str, size: float, kind: str, y: float, x: float = 0.0, longest: int = 28) -> Piece:
    """A line of text, its base at y."""
    line = shown(text, longest)
    return Piece(width(line, size), size + 3, f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(line)}</text>')


def stacked(pieces: Sequence[Piece], gap: float = 2.0, middle: bool = False) -> Piece:
    """Pieces under each other."""
    w = max((p.w for p in pieces), default=0.0)
    out, y = [], 0.0
    for p in pieces:
        x = (w - p.w) / 2 if middle else 0.0
        out.append(f'<g transform="translate({x:.4g} {y:.4g})">{p.svg}</g>' if x or y else p.svg)
        y += p.h + gap
    return Piece(w, max(y - gap, 0.0), "".join(out))


def beside(pieces: Sequence[Piece], gap: float = 12.0) -> Piece:
    """Pieces side by side."""
    out, x = [], 0.0
    for p in pieces:
        out.append(f'<g transform="translate({x:.4g} 0)">{p.svg}</g>' if x else p.svg)
        x += p.w + gap
    return Piece(max(x - gap, 0.0), max((p.h for p in pieces), default=0.0), "".join(out))


# ---- what stands on a card

def array(heading: str, kind: str, summary: Summary) -> Piece:
    """A value or a gradient: its heading, its numbers or its heatmap, its norm."""
    parts = [words(heading, 9.5, f"t-{kind} small strong", 9)]
    if summary.numbers:
        parts.append(stacked([beside([words(n, 11, "ink mid" if good(n) else "alarm mid strong", 11) for n in row], 6)
                              for row in summary.numbers], 1))
    elif summary.heat:
        parts.append(heatmap(summary.heat))
        trouble = summary.trouble
        parts.append(words(trouble, 10, "alarm small strong", 10) if trouble else
                     words(f"norm {number(summary.norm)}", 8.5, "subtle tiny", 9))
    else:
        parts.append(words("empty", 9, "subtle tiny", 9))
    return of(kind, stacked(parts, 3, middle=True))


def of(kind: str, piece: Piece) -> Piece:
    """What is seen once the value, or the gradient, is known."""
    return Piece(piece.w, piece.h, f'<g class="of-{kind}">{piece.svg}</g>')


def norm_line(text: str, finite: bool) -> Piece:
    """The norm of a gradient."""
    kind = "t-gradient small" if finite else "alarm small strong"
    return of("gradient", words(f"gradient norm {text}", 9.5, kind, 10))


def good(text: str) -> bool:
    """Whether a number is one."""
    return "NaN" not in text and "inf" not in text


def heatmap(heat: Sequence[Sequence[float]]) -> Piece:
    """Cells: sign by hue, size by strength; crossed out where a block holds NaN or infinity."""
    step = CELL + 1
    cells: dict[tuple[str, int], list[str]] = {}
    for i, row in enumerate(heat):
        for k, part in enumerate(row):
            kind, level = ("bad", LEVELS) if not isfinite(part) else \
                ("pos" if part > 0 else "neg", round(abs(part) * LEVELS))
            at = f"M{k * step} {i * step}"
            cells.setdefault(("zero", LEVELS), []).append(f"{at}h{CELL}v{CELL}h-{CELL}z")
            if level:
                cells.setdefault((kind, level), []).append(f"{at}h{CELL}v{CELL}h-{CELL}z")
            if kind == "bad":
                cells.setdefault(("cross", LEVELS), []).append(f"{at}l{CELL} {CELL}m0 -{CELL}l-{CELL} {CELL}")
    svg = "".join(f'<path class="{kind}" fill-opacity="{level / LEVELS:.2g}" d="{"".join(d)}"/>'
                  for (kind, level), d in cells.items())
    return Piece(len(heat[0]) * step - 1, len(heat) * step - 1, svg)


def heading(name: str, facts: Sequence[str], named: bool = True, longest: int = 28) -> Piece:
    """A name, and small facts behind it."""
    line, more = shown(name, longest), shown("  ".join(facts), 64)
    w = width(line, 13.5) + (width(more, 9.5) + 7 if more else 0)
    tail = f'<tspan class="subtle small" dx="7">{escape(more)}</tspan>' if more else ""
    kind = "name" if named else "name subtle plain"
    return Piece(w, 16, f'<text class="{kind}" y="13">{escape(line)}{tail}</text>')


def tensor_card(node: TensorNode, look: Look) -> Piece:
    """A tensor: name and shape; value and gradient side by side; a verdict."""
    facts = [node.value.shape_text] if "shapes" in look.show else []
    facts += [node.value.dtype] if "dtype" in look.show or node.value.dtype != COMMON_DTYPE else []
    facts += [f"output {node.place}"] if node.place is not None else []
    parts = [heading(node.name, facts, node.named)]
    arrays = [array("value", "value", node.value)] if "values" in look.show else []
    arrays += [array("gradient", "gradient", node.gradient)] if node.gradient is not None else []
    parts += [beside(arrays)] if arrays else []
    return with_more(parts, node, look)


def with_more(parts: list[Piece], node: TensorNode | LayerNode, look: Look) -> Piece:
    """A card, with the verdict on it and the reader's own words."""
    mark = look.marks.get(node.id)
    parts += [verdict(mark)] if mark is not None else []
    own = look.label(node) if look.label is not None else None
    parts += [words(line, 9.5, "ink small", 10, longest=48) for line in str(own).split("\n")] if own is not None else []
    return stacked(parts, 4)


def verdict(mark: Mark) -> Piece:
    """Right or wrong; known when the gradient is."""
    return of("gradient", words(mark.text, 10.5, f"{'right' if mark.good else 'alarm'} small strong", 10, longest=48))


def layer_card(node: LayerNode, look: Look) -> Piece:
    """A folded layer, or a run of them with a bar each."""
    title = node.name + (f"  × {node.count:,}" if node.count > 1 else "")
    facts = [node.kind] if node.kind and node.kind != node.name else []
    parts = [heading(title, [], longest=44)]
    line = "  ".join([*facts, *([node.sizes] if node.sizes else [])])
    parts += [words(line, 9.5, "subtle small", 9, longest=64)] if line else []
    if node.parameters or node.shared:
        said = [f"{n:,} {word}" for n, word in ((node.parameters, "parameters"), (node.shared, "shared")) if n]
        parts.append(words(", ".join(said), 9.5, "subtle small", 9))
    if node.norm is not None and "gradients" in look.show:
        if node.bars:
            parts.append(of("gradient", bars(node.bars)))
        span = f"{number(node.bars[0])} … {number(node.bars[-1])}" if node.bars else number(node.norm)
        parts.append(norm_line(span, isfinite(node.norm)))
    return with_more(parts, node, look)


def sampled(values: Sequence[float]) -> Sequence[float]:
    """All of them, or of a long run those that are evenly spread."""
    n = len(values)
    return values if n <= MANY else [values[i * (n - 1) // (MANY - 1)] for i in range(MANY)]


def bars(values: Sequence[float]) -> Piece:
    """One bar per layer, as high as the logarithm of its gradient's norm says."""
    values = sampled(values)
    sound = [v for v in values if isfinite(v) and v > 0]
    low, high = (log10(min(sound)), log10(max(sound))) if sound else (0.0, 0.0)
    span = max(high - low, 1.0)
    out = []
    for i, v in enumerate(values):
        part = (log10(v) - high + span) / span if isfinite(v) and v > 0 else 0.0 if v == 0 else 1.0
        tall = 4 + (TALL - 4) * part if v else 1
        out.append(f'<rect class="{"bar" if isfinite(v) else "bad"}" x="{i * (BAR + 4)}" y="{TALL - tall:.3g}" '
                   f'width="{BAR}" height="{tall:.3g}" rx="1.5"/>')
    return Piece(len(values) * (BAR + 4) - 4, TALL, "".join(out))


def scope_card(cluster: str, graph: Graph) -> Piece:
    """What a scope looks like when the reader folds it: its name, what is in it, its gradient."""
    scope = graph.clusters[cluster]
    inside = [n for n in (*graph.tensors.values(), *graph.ops.values()) if cluster in ancestry(n.scope, graph.clusters)]
    ops = sum(isinstance(n, OpNode) for n in inside)
    learned = [n for n in inside if isinstance(n, TensorNode) and n.role == "parameter"]
    parts = [heading(scope.path, [scope.kind] if scope.kind != scope.path else [], longest=36)]
    count = sum(n.value.size for n in learned)
    said = [f"{count:,} parameters"] * bool(count) + [f"{ops} operation{'s' if ops != 1 else ''}"] * bool(ops)
    parts.append(words(", ".join(said), 9.5, "subtle small", 9, longest=64))
    norms = [n.gradient.norm for n in learned if n.gradient is not None]
    if norms:
        largest = max(norms)
        norm = largest * sum((n / largest) ** 2 for n in norms) ** 0.5 if isfinite(largest) and largest else largest
        parts.append(norm_line(number(norm), isfinite(norm)))
    return stacked(parts, 3)
