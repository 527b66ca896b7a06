"""Backprop as a sequence of moments: each operation forward, then each backward."""

from __future__ import annotations

from collections.abc import Iterator

from viz.graph import Graph, OpNode
from viz.look import Moment


def moments(graph: Graph) -> Iterator[Moment]:
    """What is known after each step: first the leaves, then an operation at a time, then the gradients back.

    A gradient is known when every operation that uses its tensor has been walked back.

    Examples
    --------
    >>> W = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> [moment.title for moment in moments(viz.draw((W * W).sum().named("loss")).graph)]
    ['before: W is given', 'forward 1/2: multiply gives v1', 'forward 2/2: sum gives loss',
     'backward: d loss / d loss = 1', 'backward 1/2: sum gives the gradient of v1',
     'backward 2/2: multiply gives the gradient of W']
    """
    made_by = {e.target: e.source for e in graph.edges if e.source in graph.ops and e.target in graph.tensors}
    users: dict[str, set[str]] = {}
    for e in graph.edges:
        if e.source in graph.tensors and e.flows:
            users.setdefault(e.source, set()).add(e.target)
    leaves = [t for t in graph.tensors if t not in made_by]
    known, ran = set(leaves), list[str]()
    none: frozenset[str] = frozenset()
    yield Moment(frozenset(known), none, none, none, "", f"before: {listed(graph, leaves)} given")
    for i, op in enumerate(graph.ops, start=1):
        results = [t for t, maker in made_by.items() if maker == op]
        known.update(results)
        ran.append(op)
        gives = f" gives {names(graph, results)}" if results else ""
        yield Moment(frozenset(known), none, frozenset(ran), none, op,
                     f"forward {i}/{len(graph.ops)}: {called(graph, op)}{gives}")
    output = graph.tensors.get(graph.output)
    if output is None or output.gradient is None:
        return
    back = set[str]()
    found = {graph.output}
    every, all_ran = frozenset(known), frozenset(ran)
    yield Moment(every, frozenset(found), all_ran, none, "", f"backward: d {output.name} / d {output.name} = 1")
    carrying = {e.source for e in graph.edges if e.flows} | {e.target for e in graph.edges if e.flows}
    steps = [op for op in reversed(graph.ops) if op in carrying]
    for i, op in enumerate(steps, start=1):
        back.add(op)
        new = [t for t in graph.tensors if t not in found and t in users and users[t] <= back]
        found.update(new)
        gives = f" gives the gradient of {names(graph, new)}" if new else " gives its part of a gradient"
        yield Moment(every, frozenset(found), all_ran, frozenset(back), op,
                     f"backward {i}/{len(steps)}: {called(graph, op)}{gives}")


def called(graph: Graph, id: str) -> str:
    """What an operation or a layer is called."""
    node = graph.ops[id]
    return node.op if isinstance(node, OpNode) else node.name


def names(graph: Graph, ids: list[str]) -> str:
    """The names of some tensors in a sentence."""
    called = [graph.tensors[t].name for t in ids]
    return ", ".join(called[:4]) + (f" and {len(called) - 4} more" if len(called) > 4 else "")


def listed(graph: Graph, ids: list[str]) -> str:
    """The names of some tensors, with the verb."""
    return f"{names(graph, ids)} {'is' if len(ids) == 1 else 'are'}"
