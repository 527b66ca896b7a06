"""How scalars are drawn: capsules of operation, name, value and gradient, one box per unit of a layer."""

from __future__ import annotations

from collections.abc import Iterator

from viz.cards import table, text
from viz.dot import BORDERS, FONT, attributes, lane_width
from viz.graph import Edge, Graph, ScalarNode
from viz.look import Look
from viz.text import quoted, shown, tooltip, width


def scalar_lines(graph: Graph, look: Look) -> list[str]:
    """The DOT statements of a graph of scalars; each ends in a newline."""
    return [f"\t{line}\n" for line in ScalarWriter(graph, look).statements()]


class ScalarWriter:
    """A graph of scalars on the way to becoming text."""

    def __init__(self, graph: Graph, look: Look) -> None:
        self.graph, self.look, self.theme = graph, look, look.theme
        self.largest = graph.largest

    def statements(self) -> Iterator[str]:
        """Settings, the units with their capsules, the lanes, the caption."""
        theme = self.theme
        yield "graph " + attributes(rankdir=self.look.rankdir, newrank="true", bgcolor=theme.background, pad=0.25,
                                    nodesep=0.14, ranksep=0.5, fontname=FONT, fontcolor=theme.ink)
        yield "node " + attributes(fontname=FONT, fontsize=11, fontcolor=theme.ink, shape="box", height=0.28,
                                   margin="0.06,0.02")
        yield "edge " + attributes(fontname=FONT, fontsize=8, color=theme.forward, penwidth=1, arrowsize=0.45,
                                   fontcolor=theme.backward)
        for scope in dict.fromkeys(node.scope for node in self.graph.scalars.values()):
            if scope:
                cluster = self.graph.clusters[scope]
                call = f", call {cluster.call}" if cluster.call > 1 else ""
                title = text(cluster.path, 10, theme.ink, bold=True) + text(f"  {cluster.kind}{call}", 10, theme.subtle)
                yield f"subgraph {quoted('cluster_' + scope)} {{"
                yield "graph " + attributes(label=f"<{title}>", labeljust="l", style="rounded,filled", margin=9,
                                            fillcolor=theme.scope_fill, color=theme.scope_border,
                                            tooltip=tooltip(cluster.path))
            for node in self.graph.scalars.values():
                if node.scope == scope:
                    yield self.capsule(node)
            if scope:
                yield "}"
        yield from map(self.edge, self.graph.edges)
        notes = [*self.graph.notes]
        if "gradients" in self.look.show:
            notes.append("Each capsule: operation, name, value, gradient. On the way back a gradient is multiplied by "
                         "what stands at the lane.")
        lines = "".join(text(note, 9, theme.subtle, longest=140) + '<br align="left"/>' for note in notes)
        if lines:
            yield f"label=<{lines}>; labelloc=b; labeljust=l"

    def capsule(self, node: ScalarNode) -> str:
        """One scalar."""
        theme, show = self.theme, self.look.show
        cells = []
        if node.op:
            cells.append((node.op, 11, theme.subtle, False))
        if node.name:
            cells.append((node.name, 11, theme.ink, True))
        if "values" in show:
            wrong = node.value.strip("-") in ("NaN", "inf")
            cells.append((node.value, 10, theme.alarm if wrong else theme.forward, wrong))
        if node.gradient is not None and "gradients" in show:
            wrong = node.gradient.strip("-") in ("NaN", "inf")
            cells.append((node.gradient, 10, theme.alarm if wrong else theme.backward, wrong))
        row = "".join(f'<td width="{width(shown(words), size)}">{text(words, size, colour, bold)}</td>'
                      for words, size, colour, bold in cells)
        label = table(f"<tr>{row or '<td></td>'}</tr>", padding=2)
        return f"{quoted(node.id)} " + attributes(
            id=node.id, label=f"<{label}>", **BORDERS[node.role], fillcolor=theme.fill[node.role],
            color=theme.border[node.role], tooltip=tooltip(f"{node.name or node.op}: {node.role}"))

    def edge(self, e: Edge) -> str:
        """A lane forward, and one back with the local derivative beside it."""
        theme = self.theme
        if not e.flows or "gradients" not in self.look.show:
            return f"{quoted(e.source)} -> {quoted(e.target)} " + attributes(id=e.id, color=theme.subtle)
        words = {"label": f'<{text(e.label, 8, theme.backward)}<br/><font point-size="7"> </font>>'} if e.label else {}
        return f"{quoted(e.source)} -> {quoted(e.target)} " + attributes(
            id=e.id, dir="both", color=f"{theme.forward}:{theme.backward}",
            penwidth=lane_width(e.norm, self.largest), **words)
