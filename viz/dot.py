"""How it is drawn: a graph as DOT text, the same text every time."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from viz.cards import card, text
from viz.graph import Edge, Graph, OpNode, TensorNode
from viz.layout import Chip, arranged
from viz.scopes import Cluster, ancestry
from viz.symbols import symbol
from viz.text import quoted, shown, tooltip, width
from viz.themes import Theme
from viz.values import CELLS

FONT = "Helvetica"          # the one name whose widths engines without fonts of their own know
HEAD, TAIL = "digraph tape {\n", "}\n"
STRAIGHT = 1000             # the weight of the main lane: more than the pull of nested boxes (128 each)
# More than colour tells the roles apart: the corners and the line of the card's border.
BORDERS = {
    "parameter": dict(style="rounded,filled", penwidth=2),
    "input": dict(style="filled", penwidth=1.2),
    "intermediate": dict(style="rounded,filled", penwidth=1.2),
    "output": dict(style="rounded,filled", penwidth=2.5),
    "loss": dict(style="rounded,filled", penwidth=1.5, peripheries=2),
}


def lines_of(graph: Graph, theme: Theme, show: frozenset[str], rankdir: str = "LR") -> list[str]:
    """The DOT statements of a graph, without the braces around them; each ends in a newline.

    Parameters
    ----------
    graph : Graph
        What to draw.
    theme : Theme
        In which colours.
    show : frozenset of str
        What of "shapes", "values" and "gradients" the cards hold.
    rankdir : {"LR", "TB"}
        From left to right, or from top to bottom.
    """
    return [f"\t{line}\n" for line in Writer(graph, theme, show, rankdir).statements()]


def attributes(**values: object) -> str:
    """A list of attributes; labels are HTML-like and keep their brackets.

    >>> attributes(id="z", label="<<b>z</b>>", penwidth=2)
    '[id="z", label=<<b>z</b>>, penwidth="2"]'
    """
    return "[" + ", ".join(f"{name}={value}" if name == "label" else f"{name}={quoted(str(value))}"
                           for name, value in values.items()) + "]"


class Writer:
    """A graph, its layout and its colours on the way to becoming text."""

    def __init__(self, graph: Graph, theme: Theme, show: frozenset[str], rankdir: str) -> None:
        self.graph = graph
        self.layout = arranged(graph)
        self.theme = theme
        self.show = show
        self.rankdir = rankdir
        self.begins: dict[str, int] = {}        # in which row a cluster has its first box
        for i, row in enumerate(self.layout.rows):
            for node in row:
                for cluster in self.around(node):
                    self.begins.setdefault(cluster, i)

    def around(self, node: str) -> list[str]:
        """The clusters around a node, outermost first."""
        return ancestry(self.layout.scope[node], self.graph.clusters)

    def statements(self) -> Iterator[str]:
        """Settings, the rows with their clusters, the edges, the caption."""
        theme = self.theme
        yield "graph " + attributes(rankdir=self.rankdir, newrank="true", bgcolor=theme.background, pad=0.25,
                                    nodesep=0.22, ranksep=0.27, fontname=FONT, fontcolor=theme.ink)
        yield "node " + attributes(fontname=FONT, fontsize=11, fontcolor=theme.ink, shape="box",
                                   margin="0.1,0.06")
        yield "edge " + attributes(fontname=FONT, fontsize=9, color=theme.forward, penwidth=1.3,
                                   arrowsize=0.65)
        rows = list(enumerate(self.layout.rows))
        if self.rankdir == "LR":                # engines stack what goes from left to right from the bottom
            rows = [(i, row[::-1]) for i, row in reversed(rows)]
        for i, row in rows:
            yield f'subgraph "cluster:row{i}" {{ peripheries=0'
            yield from self.row(i, row)
            yield "}"
        for op, chains in self.layout.beside.items():
            if chains:
                column = [op, *(node for chain in chains for node in chain)]
                yield f"{{ rank=same; {'; '.join(map(quoted, column))} }}"
        yield from self.edges()
        if caption := self.caption():
            yield f"label=<{caption}>; labelloc=b; labeljust=l"

    # ---- nodes and clusters

    def row(self, number: int, row: list[str]) -> Iterator[str]:
        """A row's nodes, each within its clusters."""
        first = {c: i for i, node in reversed(list(enumerate(row))) for c in self.around(node)}
        opened: list[str] = []
        for node in sorted(row, key=lambda node: [first[c] for c in self.around(node)]):
            chain = self.around(node)
            while opened and opened != chain[:len(opened)]:
                opened.pop()
                yield "}"
            for c in chain[len(opened):]:
                opened.append(c)
                yield from self.cluster(self.graph.clusters[c], number)
            yield self.node(node)
        yield from ("}" for _ in opened)

    def cluster(self, cluster: Cluster, row: int) -> Iterator[str]:
        """The head of a cluster's box; a layer that goes on in another row has a box in each."""
        theme = self.theme
        outer = self.graph.clusters[cluster.parent].path + "." if cluster.parent else ""
        step = cluster.path.removeprefix(outer)
        begins = self.begins[cluster.id]
        more = [cluster.kind] if cluster.kind not in ("", step) else []
        more += [f"call {cluster.call}"] if cluster.call > 1 else []
        more += ["continued"] if begins < row else []
        title = text(step, 10, theme.ink, bold=True)
        title += text("  " + ", ".join(more), 10, theme.subtle) if more else ""
        name = f"cluster_{cluster.id}" if begins == row else f"cluster_{cluster.id}:{row}"
        yield f"subgraph {quoted(name)} {{"
        yield "graph " + attributes(label=f"<{title}>", labeljust="l", style="rounded,filled", peripheries=1,
                                    margin=9, fillcolor=theme.scope_fill, color=theme.scope_border,
                                    tooltip=tooltip(f"{cluster.path} {cluster.kind}"))

    def node(self, node: str) -> str:
        """The statement of a tensor, an operation or a chip."""
        if node in self.graph.tensors:
            return self.tensor(self.graph.tensors[node])
        if node in self.graph.ops:
            return self.disc(self.graph.ops[node])
        return self.chip(self.layout.chips[node])

    def tensor(self, node: TensorNode) -> str:
        """A card."""
        theme = self.theme
        hint = f"{node.name}: {node.role}, shape {node.value.shape}, {node.value.dtype}"
        return f"{quoted(node.id)} " + attributes(
            id=node.id, label=f"<{card(node, theme, self.show)}>", **BORDERS[node.role],
            fillcolor=theme.fill[node.role], color=theme.border[node.role], tooltip=tooltip(hint))

    def disc(self, node: OpNode) -> str:
        """An operation: a circle for a sign, a pill for a word."""
        theme = self.theme
        words = shown(symbol(node.op, node.constants, node.options))
        if len(words) < 3:
            size, form = 13, dict(shape="circle", style="filled", width=0.36, height=0.36)
        else:
            room = round(width(words, 11) / 72 + 0.12, 2)
            size, form = 11, dict(style="rounded,filled", width=room, height=0.3)
        hint = node.op + "".join(f", {key}={value!r}" for key, value in node.options.items())
        return f"{quoted(node.id)} " + attributes(
            id=node.id, label=f"<{text(words, size, theme.on_disc)}>", **form, fixedsize="true",
            fillcolor=theme.disc, color=theme.disc, tooltip=tooltip(hint))

    def chip(self, chip: Chip) -> str:
        """A reference to a tensor elsewhere."""
        theme = self.theme
        words = text(chip.name, 10, theme.subtle if chip.hidden else theme.ink)
        words += text(" …", 10, theme.subtle) if chip.hidden else ""
        hint = f"{chip.name}: {'not drawn' if chip.hidden else 'drawn elsewhere'}"
        room = max(width(shown(chip.name), 10) / 72 + 0.1, 0.3)
        return f"{quoted(chip.id)} " + attributes(
            id=chip.id, label=f"<{words}>", style="rounded,dashed", penwidth=1, margin="0.08,0.03",
            height=0.25, width=round(room, 2), color=theme.subtle, tooltip=tooltip(hint))

    # ---- edges

    def edges(self) -> Iterator[str]:
        """Every edge. One from what stands above an operation is stated backwards, which puts it there."""
        above = {(node, op) for op, chains in self.layout.beside.items() for chain in chains[1:]
                 for node, op in zip(chain, [op, *chain], strict=False)}
        for e in reversed(self.layout.edges) if self.rankdir == "LR" else self.layout.edges:
            yield self.edge(e, (e.source, e.target) in above)

    def edge(self, e: Edge, flipped: bool) -> str:
        """An edge: in the colour of values where a gradient comes back along it, grey where none does."""
        options: dict[str, object] = dict(id=e.id)
        if flipped:
            options["dir"] = "back"
        if e.id in self.layout.main:
            options["weight"] = STRAIGHT
        if not e.flows:
            options |= dict(color=self.theme.subtle, penwidth=1)
        ends = (e.target, e.source) if flipped else (e.source, e.target)
        return f"{quoted(ends[0])} -> {quoted(ends[1])} {attributes(**options)}"

    # ---- the caption

    def caption(self) -> str:
        """What the picture does not say by itself: what is hidden, and how to read a heatmap."""
        sentences = list(self.graph.notes)
        maps = [t.value for t in self.graph.tensors.values() if t.value.heat]
        if "values" in self.show and maps:
            sentences.append("Heatmaps: green is positive, purple negative, full colour the largest entry.")
            if any(summary.is_averaged for summary in maps):
                sentences.append(f"Beyond {CELLS}×{CELLS} entries a cell is the mean of a block of entries.")
        lines = [line for sentence in sentences for line in wrap(sentence, 90)]
        return "".join(text(line, 9, self.theme.subtle, longest=90) + '<br align="left"/>' for line in lines)
