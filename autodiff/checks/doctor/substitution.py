"""Wrong tensors: the right rule, reading something else of the same shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from autodiff.checks.doctor.backprop import Backprop, Edge, data_name, data_of, reads
from autodiff.checks.doctor.suspects import DOES_NOT_FIT, State, said, with_operand, with_output
from autodiff.checks.mistakes import EXACTLY_ONE, PRODUCTS, Mistake, right
from autodiff.ops import indexing
from autodiff.program.passes import value_of
from autodiff.record import Record

Shaped = Mapping[tuple[int, ...], list[Record]]
MANY = 200               # tensors of one shape that are tried
DEEP = 4                 # operations between an operand and the tensor it was made from


def same_shapes(bp: Backprop) -> dict[tuple[int, ...], list[Record]]:
    """The floating-point records by shape."""
    found: dict[tuple[int, ...], list[Record]] = {}
    for r in bp.twin.values():
        if not isinstance(r.value, tuple) and np.ndim(r.value) and np.asarray(r.value).dtype.kind == "f":
            found.setdefault(np.shape(r.value), []).append(r)
    return found


def substitutes(edge: Edge, state: State, shaped: Shaped, bp: Backprop) -> Iterator[Mistake]:
    """Another tensor for an operand, for the output, or for the gradient that arrives."""
    r, op = edge.r, edge.r.op
    assert op is not None
    if isinstance(r.value, tuple):
        return
    rule = right(op, edge.i)
    alike = shaped.get(np.shape(r.value), ())[:MANY]
    readable = op.together is None and op not in EXACTLY_ONE and not (op.kind == "linear" and len(op.edges) == 1)
    if readable:
        yield from for_operands(edge, shaped)
        if op.kind != "linear" and op not in PRODUCTS:
            for other in alike:
                if other is not r:
                    yield Mistake("wrong-argument", with_output(rule, other.value), f"y: {other.serial}", 1.4,
                                  said(other))
    if op is indexing.items and not edge.i:
        yield from at_other_places(edge, bp)
    if np.ndim(r.value):
        consumers = {e.r for e in bp.into.get(r, ())}
        for other in alike:
            if other in state.g and other is not r:
                near = other in consumers or reads(r, other)
                missing = other in consumers and other.op is not None and other.op.kind != "linear"
                yield Mistake("missing-local-derivative" if missing else "wrong-operand",
                              lambda _, y, *x, g=state.g[other], **o: rule(g, y, *x, **o), f"g: {other.serial}",
                              1.3 if near else 1.6, f"d{said(other)}")
        if op in PRODUCTS or edge.x.op is None:
            for other in alike:
                yield Mistake("wrong-operand", lambda _, y, *x, v=other.value, **o: rule(v, y, *x, **o),
                              f"value for g: {other.serial}", 1.8, said(other))


def at_other_places(edge: Edge, bp: Backprop) -> Iterator[Mistake]:
    """Another array of indices for one of those by which elements were chosen."""
    r = edge.r
    rule = right(indexing.items, 0)
    for k, x in enumerate(r.inputs[1:], 1):
        value = np.asarray(value_of(x))
        for other, uses in data_of(bp):
            index = np.asarray(value_of(other))
            if index.dtype.kind in "iu" and other is not x and not np.array_equal(index, value):
                for told, part in ((data_name(other, uses[0]), index), *columns(other, uses[0], index)):
                    if part.shape == value.shape:
                        yield Mistake("scatter", with_operand(rule, k, part), f"places of {told}", 1.35,
                                      f"those of {told}")


def columns(x: Any, use: tuple[Record, int], value: Any) -> Iterator[tuple[str, Any]]:
    """The first and the last column of a table of indices."""
    if value.ndim == 2:
        yield from ((f"{data_name(x, use)}[:, {i}]", value[:, i]) for i in (0, -1))


def for_operands(edge: Edge, shaped: Shaped) -> Iterator[Mistake]:
    """Another tensor of the same shape, or a transposed leaf, for one of the operands."""
    r, op = edge.r, edge.r.op
    assert op is not None
    rule = right(op, edge.i)
    kind = "wrong-operand" if op in PRODUCTS or op.kind != "elementwise" else "wrong-argument"
    for k, x in enumerate(r.inputs):
        shape = np.shape(value_of(x))
        if not shape or (op in PRODUCTS and k == edge.i):
            continue
        for other in shaped.get(shape, ())[:MANY]:
            if other is not x:
                for more, name in enumerate(dict.fromkeys((kind, "wrong-operand"))):
                    yield Mistake(name, with_operand(rule, k, other.value), f"operand {k}: {other.serial}",
                                  1.4 + 0.05 * more, said(other))
        value = value_of(x)
        if np.asarray(value).dtype.kind in "fb" and shape[0] > 2:
            for told, moved in (("that of the one before", np.roll(value, 1, 0)),
                                ("that of the one after", np.roll(value, -1, 0)),
                                ("that of the last for all", np.broadcast_to(value[-1:], shape)),
                                ("that of the first for all", np.broadcast_to(value[:1], shape))):
                yield Mistake(kind, with_operand(rule, k, moved), f"operand {k}: {told}", 1.5, told)
        if len(shape) == 3 and op in PRODUCTS:
            for axis in (1, 2):
                for told, at in (("last", -1), ("first", 0)):
                    part = np.broadcast_to(np.take(value, [at], axis), shape)
                    told = f"that of the {told} along axis {axis} for all"
                    yield Mistake(kind, with_operand(rule, k, part), f"operand {k}: {told}", 1.5, told)
        if len(shape) > 1 and shape[-1] == shape[-2] and op in PRODUCTS:
            for more, name in enumerate(("dropped-path", kind)):
                yield Mistake(name, with_operand(rule, k, value * np.eye(shape[-1])), f"operand {k}: diagonal",
                              1.5 + 0.02 * more, "its diagonal only")
        if len(shape) == 2:
            for other in shaped.get(shape[::-1], ())[:MANY]:
                if other is not x:
                    yield Mistake(kind, with_operand(rule, k, other.value.T), f"operand {k}ᵀ: {other.serial}", 1.7,
                                  f"{said(other)}.T")


def derived(edge: Edge, shaped: Shaped) -> Iterator[Mistake]:
    """An operand such as ``K.T``, ``x[1:]`` or ``z > 0``, made from another tensor than the right one."""
    r, op = edge.r, edge.r.op
    assert op is not None
    if op.together is not None:
        return
    rule = right(op, edge.i)
    kind = "wrong-operand" if op in PRODUCTS or op.kind != "elementwise" else "wrong-argument"
    for k, x in enumerate(r.inputs):
        chain: list[Record] = []
        while isinstance(x, Record) and x.op is not None and not x.label and len(chain) < DEEP \
                and len(from_ := [z for z in x.inputs if isinstance(z, Record)]) == 1:
            chain.append(x)
            x = from_[0]
            for other in shaped.get(np.shape(x.value), ())[:MANY] if not isinstance(x.value, tuple) else ():
                if other is not x and other not in chain:
                    try:
                        value = again(chain, other.value)
                    except DOES_NOT_FIT:
                        continue
                    yield Mistake(kind, with_operand(rule, k, value), f"made operand {k}: {other.serial}", 1.45,
                                  said(other))


def again(chain: list[Record], value: Any) -> Any:
    """What a chain of operations, the last first, makes of another value."""
    for r in reversed(chain):
        assert r.op is not None
        value = r.op.forward(*[value if isinstance(z, Record) else z for z in r.inputs], **r.options)
    return value
