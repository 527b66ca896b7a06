"""Where scalars go: a row of units for each layer, and in each unit everything that it works on.

What a unit takes from elsewhere (another row, or a leaf that stands in another unit already) is a chip, so that no
lane crosses another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from viz.graph import Edge, Graph
from viz.layout import Chip, Layout

LONGEST = 4                 # of a row, in operations


def scalars_arranged(graph: Graph) -> Layout:
    """The layout of a graph of scalars.

    Examples
    --------
    >>> w = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> scalars_arranged(viz.draw((w * w).sum(), level="scalar").graph).rows
    [['w_0_', 'v1_0_', 'w_1_', 'v1_1_', 'v2']]
    """
    into: dict[str, list[Edge]] = {}
    for e in graph.edges:
        into.setdefault(e.target, []).append(e)
    row = {node: i for i, nodes in enumerate(rows(graph, into)) for node in nodes}
    layout = Layout(scope={node.id: node.scope for node in graph.scalars.values()},
                    main={e.id for edges in into.values() if len(edges) == 1 for e in edges})
    for e in graph.edges:
        is_leaf = e.source not in into
        if is_leaf and e.source not in row:             # a leaf stands where it is used first
            row[e.source] = row[e.target]
            layout.scope[e.source] = layout.scope[e.target]
        elsewhere = is_leaf and layout.scope[e.source] != layout.scope[e.target]
        if elsewhere or row[e.source] != row[e.target]:
            chip = f"{e.source}:{e.target}"
            layout.chips[chip] = Chip(chip, e.source, name_of(graph, e.source), hidden=False)
            row[chip], layout.scope[chip] = row[e.target], layout.scope[e.target]
            e = replace(e, source=chip)
        layout.edges.append(e)
    uses = Counter(e.source for e in graph.edges)
    for node, edges in into.items():                    # beside the main lane, what is given to it alone
        given = [e.source for e in edges if e.source not in into and uses[e.source] == 1]
        if not layout.scope[node] and len(given) == 1 < len(edges):
            layout.beside[node] = [given]
    layout.rows = [[] for _ in range(max(row.values(), default=0) + 1)]
    order = dict.fromkeys(end for e in layout.edges for end in (e.source, e.target)) or dict.fromkeys(graph.scalars)
    for node in order:
        layout.rows[row.get(node, 0)].append(node)
    return layout


def rows(graph: Graph, into: dict[str, list[Edge]]) -> Iterator[list[str]]:
    """What is computed, row by row: the units of as many layers as fit."""
    computed = [node for node in graph.scalars if node in into]
    depth: dict[str, int] = {}

    def length(nodes: list[str]) -> int:
        """The longest line among these."""
        depth.clear()
        for node in nodes:
            depth[node] = 1 + max((depth.get(e.source, 0) for e in into[node]), default=0)
        return max(depth.values(), default=0)

    def layer(node: str) -> tuple[str, int]:
        """The layer that a node is in, and its call."""
        scope = graph.scalars[node].scope
        return (graph.clusters[scope].path, graph.clusters[scope].call) if scope else ("", 0)

    units = [list(nodes) for _, nodes in groupby(computed, layer)]
    units = [part for unit in units for part in ([unit] if length(unit) <= LONGEST else [[node] for node in unit])]
    row: list[str] = []
    for unit in units:
        if row and length(row + unit) > LONGEST:
            yield row
            row = []
        row = row + unit
    if row:
        yield row


def name_of(graph: Graph, node: str) -> str:
    """What a chip calls a scalar: its name, or else its operation and value."""
    scalar = graph.scalars[node]
    return scalar.name or f"{scalar.op} {scalar.value}"
