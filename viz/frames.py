"""Backprop as a sequence of moments: each operation forward, then each backward."""

from __future__ import annotations

from collections.abc import Iterator

from viz.graph import Graph, LayerNode
from viz.look import Moment


def moments(graph: Graph) -> Iterator[Moment]:
    """What is known after each step: first the leaves, then an operation at a time, then the gradients back.

    A gradient is known when every operation that uses its tensor has been walked back. A scalar is its own operation.

    Examples
    --------
    >>> W = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> loss = (W * W).sum()
    >>> [moment.title for moment in moments(viz.draw(loss).graph)]
    ['before: W is given', 'forward 1/2: multiply gives v1', 'forward 2/2: sum gives loss',
     'backward: d loss / d loss = 1', 'backward 1/2: sum gives the gradient of v1',
     'backward 2/2: multiply gives the gradient of W']
    >>> [moment.title for moment in moments(viz.draw(loss, level="scalar").graph)][1:3]
    ['forward 1/3: × gives v1', 'forward 2/3: × gives v1']
    """
    values = graph.tensors or graph.scalars
    results: dict[str, list[str]] = {step: [step] if step in values else [] for step in graph.steps}
    users: dict[str, set[str]] = {}
    for e in graph.edges:
        if e.target in graph.tensors:
            results.get(e.source, []).append(e.target)
        elif e.source in values and e.flows:
            users.setdefault(e.source, set()).add(e.target)
    made = {value for step in results.values() for value in step}
    leaves = [value for value in values if value not in made]
    known, ran = set(leaves), list[str]()
    none: frozenset[str] = frozenset()
    yield Moment(frozenset(known), none, none, none, "", f"before: {listed(graph, leaves)} given")
    for i, step in enumerate(results, start=1):
        known.update(results[step])
        ran.append(step)
        gives = f" gives {names(graph, results[step])}" if results[step] else ""
        yield Moment(frozenset(known), none, frozenset(ran), none, step,
                     f"forward {i}/{len(results)}: {called(graph, step)}{gives}")
    output = values.get(graph.output)
    if output is None or output.gradient is None:
        return
    back = set[str]()
    found = {graph.output}
    every, all_ran = frozenset(known), frozenset(ran)
    name = names(graph, [graph.output])
    begins = f"the gradient of {name} is given" if output.role == "intermediate" else f"d {name} / d {name} = 1"
    yield Moment(every, frozenset(found), all_ran, none, "", f"backward: {begins}")
    carrying = {end for e in graph.edges if e.flows for end in (e.source, e.target)}
    steps = [step for step in reversed(results) if step in carrying]
    for i, step in enumerate(steps, start=1):
        back.add(step)
        new = [value for value in values if value not in found and value in users and users[value] <= back]
        found.update(new)
        gives = f" gives the gradient of {names(graph, new)}" if new else " gives its part of a gradient"
        yield Moment(every, frozenset(found), all_ran, frozenset(back), step,
                     f"backward {i}/{len(steps)}: {called(graph, step)}{gives}")


def called(graph: Graph, id: str) -> str:
    """What an operation or a layer is called."""
    node = graph.ops.get(id)
    return graph.scalars[id].op if node is None else node.name if isinstance(node, LayerNode) else node.op


def names(graph: Graph, ids: list[str]) -> str:
    """The names of some tensors or scalars in a sentence; a product that is one of many has none."""
    told = list(dict.fromkeys(graph.name(id) or graph.scalars[id].tensor or "a product" for id in ids))
    return ", ".join(told[:4]) + (f" and {len(told) - 4} more" if len(told) > 4 else "")


def listed(graph: Graph, ids: list[str]) -> str:
    """The names of some tensors, with the verb."""
    return f"{names(graph, ids)} {'is' if len(ids) == 1 else 'are'}"
