"""How it is drawn: a graph as DOT text, the same text every time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from math import isfinite, log10
from textwrap import wrap

from viz.cards import card, layer_card, table, text
from viz.graph import Edge, Graph, LayerNode, OpNode, ScalarNode, TensorNode
from viz.layout import Chip, Layout, arranged
from viz.look import Look
from viz.scopes import Cluster, ancestry
from viz.symbols import symbol
from viz.text import quoted, shown, tooltip, width
from viz.themes import readable_on
from viz.values import CELLS, number

FONT = "Helvetica"          # the one name whose widths engines without fonts of their own know
HEAD, TAIL = "digraph tape {\n", "}\n"
THIN, THICK = 0.9, 2.8      # of a lane, in points,
DECADES = 3                 # from a thousandth of the largest gradient, or less, to the largest
COLOUR = re.compile("#[0-9a-fA-F]{6}")
STRAIGHT = 1000             # the weight of the main lane: more than the pull of nested boxes (128 each)
# More than colour tells the roles apart: the corners and the line of the card's border.
BORDERS = {
    "parameter": dict(style="rounded,filled", penwidth=2),
    "input": dict(style="filled", penwidth=1.2),
    "intermediate": dict(style="rounded,filled", penwidth=1.2),
    "output": dict(style="rounded,filled", penwidth=2.5),
    "loss": dict(style="rounded,filled", penwidth=1.5, peripheries=2),
}


def lines_of(graph: Graph, look: Look) -> list[str]:
    """The DOT statements of a graph, without the braces around them; each ends in a newline."""
    return [f"\t{line}\n" for line in Writer(graph, look).statements()]


def attributes(**values: object) -> str:
    """A list of attributes; labels are HTML-like and keep their brackets.

    >>> attributes(id="z", label="<<b>z</b>>", penwidth=2)
    '[id="z", label=<<b>z</b>>, penwidth="2"]'
    """
    return "[" + ", ".join(f"{name}={value}" if name == "label" else f"{name}={quoted(str(value))}"
                           for name, value in values.items()) + "]"


def lane_width(norm: float | None, largest: float) -> float:
    """How wide lanes are: by the logarithm of the gradient, the largest of the picture the widest.

    >>> lane_width(1.0, 1.0), lane_width(0.0, 1.0), lane_width(None, 1.0)
    (2.8, 0.9, 0.9)
    """
    if norm is None or largest == 0 or norm == 0:
        return THIN
    if not isfinite(norm):
        return THICK
    return round(THIN + (THICK - THIN) * max(1 + log10(norm / largest) / DECADES, 0.0), 2)


class Writer:
    """A graph, its layout and its colours on the way to becoming text."""

    nodesep, ranksep = 0.3, 0.36            # between the nodes, in inches,
    margin = "0.1,0.06"                     # and within them
    arrows = 0.6

    def __init__(self, graph: Graph, look: Look, layout: Layout | None = None) -> None:
        self.graph = graph
        self.layout = layout or arranged(graph)
        self.look = look
        self.theme, self.show, self.rankdir = look.theme, look.show, look.rankdir
        self.largest = graph.largest
        self.is_two_way = "gradients" in look.show and any(e.norm is not None for e in graph.edges)
        self.referred = {chip.source for chip in self.layout.chips.values()}
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
        yield "graph " + attributes(rankdir=self.rankdir, newrank="true", bgcolor=theme.background, pad=0.15,
                                    nodesep=self.nodesep, ranksep=0.5 if self.graph.layers else self.ranksep,
                                    fontname=FONT, fontcolor=theme.ink)
        yield "node " + attributes(fontname=FONT, fontsize=11, fontcolor=theme.ink, shape="box",
                                   margin=self.margin)
        yield "edge " + attributes(fontname=FONT, fontsize=9, color=theme.forward, penwidth=1.3,
                                   arrowsize=self.arrows)
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
        """The statement of a tensor, an operation, a layer or a chip."""
        if node in self.graph.tensors:
            return self.tensor(self.graph.tensors[node])
        if node in self.graph.ops:
            op = self.graph.ops[node]
            return self.layer(op) if isinstance(op, LayerNode) else self.disc(op)
        return self.chip(self.layout.chips[node])

    def asked(self, node: TensorNode | OpNode | LayerNode | ScalarNode, fill: str) -> tuple[str, str]:
        """The words and the colour of fill that the reader's own functions give a node; "" for none."""
        look = self.look
        words = look.label(node) if look.label is not None else None
        colour = look.colour(node) if look.colour is not None else None
        if colour is not None and not COLOUR.fullmatch(colour):
            raise ValueError(f"colour= must give a colour as six hexadecimal digits, '#ffcc00', not {colour!r}")
        return "" if words is None else str(words), colour or fill

    def known(self, id: str) -> frozenset[str]:
        """What of a card can be seen by now."""
        moment = self.look.moment
        return frozenset(("values", "gradients")) if moment is None else frozenset(
            part for part, ids in (("values", moment.values), ("gradients", moment.gradients)) if id in ids)

    def ring(self, id: str, plain: str) -> str:
        """The colour of the line around an operation that is suspected or runs, else the plain one."""
        theme, look = self.theme, self.look
        if look.moment is not None and id == look.moment.running:
            return theme.backward if id in look.moment.back else theme.forward
        return theme.alarm if id in look.suspects else plain

    def tensor(self, node: TensorNode) -> str:
        """A card."""
        theme = self.theme
        words, fill = self.asked(node, theme.fill[node.role])
        hint = f"{node.name}: {node.role}, shape {node.value.shape}, {node.value.dtype}"
        known = self.known(node.id)
        if fill != theme.fill[node.role]:
            theme = replace(theme, fill={**theme.fill, node.role: fill})
        label = card(node, theme, self.show, self.look.marks.get(node.id), known)
        label = self.with_words(label, words)
        return f"{quoted(node.id)} " + attributes(
            id=node.id, label=f"<{label}>", **BORDERS[node.role],
            fillcolor=fill, color=theme.border[node.role], tooltip=tooltip(hint))

    def with_words(self, label: str, words: str) -> str:
        """A card's label, with the reader's own words beneath it."""
        if not words:
            return label
        lines = "".join(f'<tr><td align="left" width="{width(shown(line, 48), 9)}">'
                        f'{text(line, 9, self.theme.ink, longest=48)}</td></tr>' for line in words.split("\n"))
        return table(f'<tr><td align="left">{label}</td></tr>{lines}')

    def layer(self, node: LayerNode) -> str:
        """A folded layer; a run of them casts a second outline."""
        theme = self.theme
        words, fill = self.asked(node, theme.scope_fill)
        mark = self.look.marks.get(node.id)
        label = self.with_words(layer_card(node, theme, self.show, mark), words)
        ring = self.ring(node.id, theme.border["intermediate"])
        return f"{quoted(node.id)} " + attributes(
            id=node.id, label=f"<{label}>", style="rounded,filled",
            penwidth=1.6 if ring == theme.border["intermediate"] else 2.5,
            peripheries=2 if node.count > 1 else 1, fillcolor=fill, color=ring,
            tooltip=tooltip(f"{node.name} {node.kind}: {', '.join(node.names) or 'nothing'} learned in it"))

    def disc(self, node: OpNode) -> str:
        """An operation: a circle for a sign, a pill for a word; a ring around it if it is suspected or runs."""
        theme = self.theme
        own, fill = self.asked(node, theme.disc)
        words = shown(own or symbol(node.op, node.constants, node.options))
        if node.id in self.referred and not own:            # it has no card that could say so
            words = shown(f"{words} → {node.result}")
        small = node.aside
        if len(words) < 3 and width(words, 13) < 25:
            side = 0.26 if small else 0.36
            size, form = 9 if small else 13, dict(shape="circle", style="filled", width=side, height=side,
                                                  fixedsize="true")
        else:                                               # at least as wide as this: fonts differ
            room = round(width(words, 11) / 72 + 0.12, 2)
            size, form = 11, dict(style="rounded,filled", width=room, height=0.3, margin="0.04,0.01")
        ring = self.ring(node.id, fill)
        if ring != fill:
            form["penwidth"] = 4
        hint = node.op + "".join(f", {key}={value!r}" for key, value in node.options.items())
        hint += f"\n{node.cost:,} multiply-adds" if node.cost else ""
        hint += f"\n{node.where}" if node.where else ""
        return f"{quoted(node.id)} " + attributes(
            id=node.id, label=f"<{text(words, size, readable_on(fill) if fill != theme.disc else theme.on_disc)}>",
            **form, fillcolor=fill, color=ring, tooltip=tooltip(hint))

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
        """An edge: a lane of values, and beside it a lane of gradients where one comes back, as wide as it is large."""
        options: dict[str, object] = dict(id=e.id)
        forward, backward = self.lanes(e)
        if flipped:
            options["dir"] = "back"
        if e.id in self.layout.main:
            options["weight"] = STRAIGHT
        if not e.flows or not self.is_two_way:
            options |= dict(color=forward if e.flows else self.theme.subtle, penwidth=1.3 if e.flows else 1)
        else:
            options |= dict(dir="both", color=":".join((backward, forward) if flipped else (forward, backward)),
                            penwidth=lane_width(e.norm, self.largest))
        if e.norm is not None and self.is_two_way:
            options["tooltip"] = tooltip(f"gradient norm {number(e.norm)}")
        ends = (e.target, e.source) if flipped else (e.source, e.target)
        return f"{quoted(ends[0])} -> {quoted(ends[1])} {attributes(**options)}"

    def lanes(self, e: Edge) -> tuple[str, str]:
        """The colours of both lanes; a gradient that is no number is loud, what has not run yet is faint."""
        theme, moment = self.theme, self.look.moment
        forward, backward = theme.forward, theme.backward
        if e.norm is not None and not isfinite(e.norm):
            backward = theme.alarm
        if moment is not None:
            op = e.source if e.target in self.graph.tensors else e.target
            forward = forward if op in moment.ran else theme.scope_border
            backward = backward if op in moment.back else theme.scope_border
        return forward, backward

    # ---- the caption

    def caption(self) -> str:
        """What happens or was found, aloud; then what the picture does not say by itself."""
        sentences = self.sentences()
        aloud = [*self.look.said] + ([self.look.moment.title] if self.look.moment else [])
        lines = [(line, 12, self.theme.ink) for sentence in aloud for line in wrap(sentence, 90)]
        lines += [(" ", 5, self.theme.subtle)] if aloud and sentences else []
        lines += [(line, 9, self.theme.subtle) for sentence in sentences for line in wrap(sentence, 100)]
        return "".join(text(line, size, colour, longest=100) + '<br align="left"/>' for line, size, colour in lines)

    def sentences(self) -> list[str]:
        """What is hidden, and how to read lanes and heatmaps."""
        sentences = list(self.graph.notes)
        if self.graph.convention and "shapes" in self.show:
            sentences.append(self.graph.convention)
        if "gradients" in self.show and self.largest:
            sentences.append("Lanes: forward and backward, as wide as the logarithm of the gradient's norm "
                             f"(widest {number(self.largest)}).")
        maps = [t.value for t in self.graph.tensors.values() if t.value.heat]
        if "values" in self.show and maps:
            hues = "dark is positive, grey with a sign negative" if self.theme.signed else \
                "green is positive, purple negative"
            sentences.append(f"Heatmaps: {hues}, full colour the largest entry.")
            if any(summary.is_averaged for summary in maps):
                sentences.append(f"Beyond {CELLS}×{CELLS} entries a cell is the mean of a block of entries.")
        return sentences
