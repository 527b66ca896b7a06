"""Forward mode: tangents pushed along a tape in the order it ran.

No dual numbers: the function is recorded first, and each record's kind says how a tangent passes
through it. An op that states only its vjp needs nothing more, since a rule is linear in g.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from autodiff.kinds import At, Op, select
from autodiff.ops.complex import fitted
from autodiff.ops.indexing import put_together
from autodiff.ops.shapes import un_broadcast
from autodiff.record import Record
from autodiff.state import grad_mode, watchers
from autodiff.tape import reading, walk_back
from autodiff.tensor import Tensor


def walk_forward(tape: Iterable[Record], tangents: Mapping[Record, Any], record: bool = False) -> dict[Record, Any]:
    """The tangent at each record of the tape, given those of some; records without one are missing."""
    found = dict(tangents)
    with grad_mode(record):
        for r in tape:
            ts = [found.get(x) if isinstance(x, Record) else None for x in r.inputs]
            if r not in found and any(t is not None for t in ts) and r.requires_grad:
                t = push(r, ts, record)
                if t is not None:
                    found[r] = t
    if watchers:
        watchers[-1].pushed(found)
    return found


def push(r: Record, ts: list[Any], record: bool) -> Any:
    """The tangent of a record, given those of its inputs (None where zero)."""
    op = r.op
    y, operands = reading(r) if record else (r.value, [x.value if isinstance(x, Record) else x for x in r.inputs])
    assert op is not None
    if op is select:
        return ts[0][r.options["output"]]
    if op.kind == "linear":
        return op(*[t if t is not None else zero_of(x) if linear_in(op, i, r.options) else x
                    for i, (t, x) in enumerate(zip(ts, operands, strict=True))], **r.options)
    if op.tangents is None:
        return transposed(r, ts, y, operands, record)
    total = None
    for i, t in enumerate(ts):
        if t is None or op.edges[i] is None:
            continue
        term = fitting(op.tangents[i](t, y, *operands, **r.options), r)    # type: ignore[misc]  # stated where edges are
        total = term if total is None else total + term
    return total


def fitting(term: Any, r: Record) -> Any:
    """A tangent in the shape and dtype of the result."""
    if np.shape(term) != np.shape(r.value):
        term = np.broadcast_to(term, np.shape(r.value))
    return term if term.dtype == r.value.dtype else fitted(term, r.value.dtype)


def transposed(r: Record, ts: list[Any], y: Any, operands: list[Any], record: bool) -> Any:
    """The tangent through an op that states only its vjp.

    A rule is linear in g. So run it on a g that records, and walk that little tape back with the
    tangents as seeds: the transpose of the transpose.
    """
    assert r.op is not None
    several = isinstance(r.value, tuple)
    gs = tuple(Tensor(np.zeros_like(part), requires_grad=part.dtype.kind not in "biu")
               for part in (r.value if several else (r.value,)))
    seeds: dict[Record, Any] = {}
    with grad_mode(True):
        for i, c in enumerate(contributions(r, gs if several else gs[0], y, operands, [t is not None for t in ts])):
            c = put_together([c], operands[i]) if isinstance(c, At) else c
            if isinstance(c, Tensor):
                c = un_broadcast(c, np.shape(operands[i])) if np.shape(c) != np.shape(operands[i]) else c
                seeds[c.record] = seeds[c.record] + ts[i] if c.record in seeds else ts[i]
    found = walk_back(seeds, [g.record for g in gs], record) if seeds else {}
    tangents = tuple(found.get(g.record, np.zeros_like(g.record.value)) for g in gs)
    return tangents if several else fitting(tangents[0], r)


def contributions(r: Record, g: Any, y: Any, operands: list[Any], wanted: list[bool]) -> list[Any]:
    """What the rule of a record contributes to its inputs; None where it is not wanted, or the derivative is zero."""
    op = r.op
    assert op is not None
    if op.together is not None:
        return [c if want else None for c, want in zip(op.together(g, y, *operands, **r.options), wanted)]
    return [contribution(op, i, g, y, operands, r.options) if want else None for i, want in enumerate(wanted)]


def contribution(op: Op, i: int, g: Any, y: Any, operands: Sequence[Any], options: dict[str, Any]) -> Any:
    """What the rule of an op contributes to input `i`; None where the derivative is zero."""
    if op.together is not None:
        parts = op.together(g, y, *operands, **options)
        return parts[i] if i < len(parts) else None
    edge = op.edges[i] if i < len(op.edges) else None
    return None if edge is None else edge(g, y, *operands, **options)


def linear_in(op: Op, i: int, options: dict[str, Any]) -> bool:
    """Whether a linear op is linear in input `i`, or takes it as a setting."""
    if op.together is None:
        return op.edges[i] is not None
    return op.leading is None or i < op.leading(options)


def zero_of(x: Any) -> Any:
    """The tangent of a constant operand: a plain 0 of a number, so that it changes no dtype."""
    if isinstance(x, tuple):
        return tuple(zero_of(y) for y in x)
    if isinstance(x, int | float | complex):
        return 0 if isinstance(x, int) else type(x)(0)           # not 0 * x, which of an infinity is no number
    return np.zeros_like(x)
