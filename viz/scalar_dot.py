"""How scalars are drawn: capsules of operation, name, value and gradient, one box per unit of a layer."""

from __future__ import annotations

from viz.cards import blanked, table, text
from viz.dot import BORDERS, Writer, attributes
from viz.graph import Edge, Graph, ScalarNode
from viz.look import Look
from viz.scalar_layout import scalars_arranged
from viz.text import quoted, shown, tooltip, width


def scalar_lines(graph: Graph, look: Look) -> list[str]:
    """The DOT statements of a graph of scalars; each ends in a newline."""
    return [f"\t{line}\n" for line in ScalarWriter(graph, look, scalars_arranged(graph)).statements()]


class ScalarWriter(Writer):
    """A graph of scalars on the way to becoming text."""

    nodesep, ranksep = 0.25, 0.45
    margin = "0.06,0.02"
    arrows = 0.45

    def node(self, node: str) -> str:
        """The statement of a capsule or a chip."""
        scalar = self.graph.scalars.get(node)
        return self.chip(self.layout.chips[node]) if scalar is None else self.capsule(scalar)

    def capsule(self, node: ScalarNode) -> str:
        """One scalar, with a ring around it if its operation is suspected or runs."""
        theme, show = self.theme, self.show
        words, fill = self.asked(node, theme.fill[node.role])
        known, blank = self.known(node.id), blanked(theme, fill)
        cells = [(node.op, 11, theme.subtle, False)] if node.op else []
        cells += [(node.name, 11, theme.ink, True)] if node.name else []
        for part, said in (("values", node.value), ("gradients", node.gradient)):
            if said is not None and part in show:
                seen = theme if part in known else blank
                wrong = said.strip("-") in ("NaN", "inf")
                plain = seen.forward if part == "values" else seen.backward
                cells.append((said, 10, seen.alarm if wrong else plain, wrong))
        if mark := self.look.marks.get(node.id):
            seen = theme if "gradients" in known else blank
            cells.append((mark.text, 9, seen.right if mark.good else seen.alarm, True))
        # In one cell, so that all of it stands on one line of type.
        room = sum(width(shown(said), size) + 3 for said, size, *_ in cells)
        row = text("   ", 8, theme.ink).join(text(said, size, colour, bold) for said, size, colour, bold in cells)
        label = self.with_words(table(f'<tr><td width="{room}">{row}</td></tr>', padding=2), words)
        border = dict(BORDERS[node.role])
        ring = self.ring(node.id, theme.border[node.role])
        if ring != theme.border[node.role]:
            border["penwidth"] = 3
        return f"{quoted(node.id)} " + attributes(
            id=node.id, label=f"<{label}>", height=0.28, **border, fillcolor=fill, color=ring,
            tooltip=tooltip(f"{node.name or node.op}: {node.role}"))

    def edge(self, e: Edge, flipped: bool) -> str:
        """An edge with the local derivative beside its lane back, once that has been used."""
        line = super().edge(e, flipped)
        if not (e.label and e.flows and self.is_two_way):
            return line
        moment, theme = self.look.moment, self.theme
        ground = theme.scope_fill if self.layout.scope[e.target] else theme.background
        colour = theme.backward if moment is None or e.target in moment.back else ground
        words = attributes(label=f'<{text(e.label, 8, colour)}<br/><font point-size="5"> </font>>')
        return f"{line[:-1]}, {words[1:]}"

    def sentences(self) -> list[str]:
        """What is hidden, and how to read the lanes."""
        how = ("Each capsule: operation, name, value, gradient. On the way back a gradient is multiplied by what "
               "stands at the lane.")
        return [*self.graph.notes, how] if self.is_two_way else self.graph.notes
