"""The explorer: a picture as one page that plays backprop and tells what is behind each node.

`placing` says where everything stands, `cards` and `shapes` draw it as SVG, `details` writes the panel of each node,
`payload` puts together what the page is given, and `page` the page. The rest is `page.css`, and in the browser
`grid.js` (folding, pan and zoom), `panel.js` and `page.js` (steps, search, keys).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from autodiff import AutodiffError, Tape
from viz.build import Builder
from viz.choice import Wish
from viz.explorer.details import Behind, Budget, Teller
from viz.explorer.page import document
from viz.explorer.payload import payload_of
from viz.explorer.shapes import picture
from viz.graph import Graph
from viz.look import Look
from viz.verdicts import verdicts

LARGEST = 1_900_000         # bytes of a page
# What is told of arrays and derivations, the most first; the first that fits is taken.
BUDGETS = (Budget(64, 400_000), Budget(16, 100_000), Budget(4, 0))


@dataclass(frozen=True, slots=True)
class Origin:
    """What a picture was made from: all that it takes to make its page.

    Attributes
    ----------
    tape : Tape
    wish : Wish
        How much of it; the page shows operations, in layers that fold.
    arrays : dict of str to Any
        Names for arrays that are no tensors.
    report : Report or None
        From `ad.compare`.
    """

    tape: Tape
    wish: Wish
    arrays: Mapping[str, Any]
    report: Any = None


def explorer(origin: Origin, look: Look, drawn: Graph) -> str:
    """The page as HTML; the colours are those of both themes, whatever the picture's.

    Raises
    ------
    AutodiffError
        If a value was changed in place since it was drawn.
    """
    wish, folds = origin.wish, False
    builder = Builder(origin.tape, wish, origin.arrays)
    if wish.level == "layer":
        opened = Builder(origin.tape, replace(wish, level="op", fold=wish.fold if callable(wish.fold) else False),
                         origin.arrays)
        if opened.choice.total() <= wish.max_nodes:
            builder, folds = opened, True
    graph = builder.graph()
    for id, node in drawn.tensors.items():
        if id in graph.tensors and repr(graph.tensors[id].value) != repr(node.value):       # NaN is NaN
            raise AutodiffError(f"{node.name} was changed in place since it was drawn, so the picture and its page "
                                "would differ; draw again")
    if origin.report is not None:
        marks, suspects, said = verdicts(graph, origin.report)
        look = replace(look, marks=marks, suspects=suspects, said=said)
    behind = Behind(origin.tape, builder.names, builder.held, builder.found, origin.report)
    seen = picture(graph, look)
    folded = [c.id for c in graph.clusters.values() if folds and not c.parent]
    teller = Teller(graph, behind)
    text = ""
    for budget in BUDGETS:
        text = document(seen.svg, payload_of(graph, look, teller.details(budget), seen, folded))
        if len(text.encode()) <= LARGEST:
            break
    return text
