"""Mistakes in their forward pass: the right backward pass, of another function than the recorded loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.checks.doctor.backprop import Backprop, Edge
from autodiff.checks.doctor.suspects import DOES_NOT_FIT, Problem, Suspect, said
from autodiff.ops import arithmetic, products, reductions, stable
from autodiff.program.passes import value_of
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.checks.doctor.search import Search

Wrong = Callable[[list[Any]], Any]
COST = 1.7


def forward_mistakes(problem: Problem, search: Search) -> list[Suspect]:
    """Single changes of the forward pass whose gradient is exactly what was given."""
    found: list[Suspect] = []
    original = {twin: r for r, twin in problem.bp.twin.items()}
    for r in problem.bp.tape:
        for kind, told, wrong in changes_of(r):
            search.tried += 1
            if search.late:
                search.leave_out("some mistakes in the forward pass")
                return found
            try:
                bp = Backprop(problem.bp.origin, problem.bp.asked, problem.bp.values, instead={original[r]: wrong})
                gradients = [bp.g.get(x, np.zeros_like(x.value)) for x in bp.wanted]
            except DOES_NOT_FIT:
                continue
            if all(np.shape(a) == np.shape(b) for a, b in zip(gradients, problem.yours)) \
                    and problem.matched_by(gradients):
                found.append(Suspect(kind, COST, edge_at(r, problem.bp), told=f"in the forward pass: {told}",
                                     tag=f"forward {told}"))
    return found


def edge_at(r: Record, bp: Backprop) -> Edge | None:
    """An edge of a record, as a place."""
    return next((e for e in bp.edges if e.r is r), None)


def changes_of(r: Record) -> Iterator[tuple[str, str, Wrong]]:
    """What may be computed wrongly in place of a record."""
    op = r.op
    assert op is not None
    shapes = [np.shape(value_of(x)) for x in r.inputs]
    name = said(r)
    if op is products.linear and len(r.inputs) == 3:
        yield "missing-term", f"{name} without its bias", lambda x: op.forward(x[0], x[1])
    if op in (arithmetic.add, arithmetic.multiply, arithmetic.divide):
        for k, x in enumerate(r.inputs):
            constant = not isinstance(x, Record) or x.op is None or not x.requires_grad
            if shapes[1 - k] == np.shape(r.value) and constant and not (op is arithmetic.divide and k == 0):
                what = said(x) if isinstance(x, Record) else str(x) if np.ndim(x) == 0 else "its other operand"
                kind = "missing-term" if op is arithmetic.add else "scale"
                yield kind, f"{name} without {what}", partial(operand, k=1 - k)
    if op in (stable.softmax, stable.log_softmax) and np.ndim(r.value) > 1:
        axis = r.options.get("axis", -1)
        other = 0 if axis in (-1, np.ndim(r.value) - 1) else -1
        yield "wrong-axis", f"{name} along axis {other}", lambda x: op.forward(x[0], axis=other)
    if op in (reductions.mean_, reductions.var, reductions.std) and np.size(r.value):
        n = int(np.prod(shapes[0])) // int(np.size(r.value))
        if n > 1:
            root = 0.5 if op is reductions.std else 1.0
            yield "scale", f"{name} divided by {n - 1}", times_count(r, (n / (n - 1)) ** root)
    if op.kind == "elementwise" and len(r.inputs) == 1 and op is not arithmetic.negative:
        yield "missing-local-derivative", f"{name} without {op.name}", partial(operand, k=0)


def operand(x: list[Any], k: int) -> Any:
    """One of the operands, as it is."""
    return x[k] * 1.0


def times_count(r: Record, factor: float) -> Wrong:
    """What an operation gives, times a ratio of counts."""
    assert r.op is not None
    op = r.op
    return lambda x: op.forward(x[0], **r.options) * factor
