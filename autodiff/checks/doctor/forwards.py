"""Mistakes in their forward pass: the right backward pass, of another function than the recorded loss.

The values are other ones and the rules are right, so each derivative is taken at a wrong tensor: that is what such a
mistake may be called too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.checks.doctor.backprop import Backprop, Edge, data_name, data_of
from autodiff.checks.doctor.suspects import DOES_NOT_FIT, Problem, Suspect, said
from autodiff.kinds import Op
from autodiff.ops import arithmetic, elementary, products, reductions, stable
from autodiff.program.passes import value_of
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.checks.doctor.search import Search

Wrong = Callable[[list[Any]], Any]
COST = 1.7
MOST_SIZES = 12
NAMES = {
    "wrong-argument": ("wrong-argument", "wrong-operand"),
    "missing-term": ("wrong-argument", "missing-term", "wrong-operand"),
    "left out": ("wrong-argument", "scale"),
    "term left out": ("wrong-operand", "wrong-argument", "dropped-path", "missing-term"),
    "swapped": ("swapped", "wrong-operand", "wrong-argument"),
    "stale-value": ("stale-value", "scatter", "wrong-operand")}                      # what it may be called too
FORWARD = "in the forward pass: "
SUMS = (arithmetic.add, arithmetic.subtract)
FUNCTIONS = (stable.sigmoid, elementary.tanh, stable.relu)


def forward_mistakes(problem: Problem, search: Search) -> list[Suspect]:
    """Single changes of the forward pass, on one line or of one array of data, whose gradient is what was given."""
    found: list[Suspect] = []
    bp = problem.bp
    original = {twin: r for r, twin in bp.twin.items()}

    def tried(kind: str, told: str, edge: Edge | None, **changed: Any) -> None:
        search.tried += 1
        try:
            other = Backprop(bp.origin, bp.asked, **(dict(values=bp.values) | changed))
            rules = as_it_was(other, changed.get("instead", {}))
            passes = [other.g, other.walk(rules)] if rules else [other.g]
            ways = [[g.get(x, np.zeros_like(x.value)) for x in other.wanted] for g in passes]
        except DOES_NOT_FIT:
            return
        if any(all(np.shape(a) == np.shape(b) for a, b in zip(way, problem.yours)) and problem.matched_by(way)
               for way in ways):
            for n, each in enumerate(NAMES.get(kind, (kind, "wrong-argument"))):
                found.append(Suspect(each, COST + 0.05 * n, edge, told=FORWARD + told, tag=f"forward {told}",
                                     guess=True))

    plain = [np.shape(r.value) for r in bp.twin.values() if not isinstance(r.value, tuple)]
    lengths = sorted({float(n) for shape in plain for n in shape} - {1.0})[:MOST_SIZES]
    sizes = [*lengths, *(n ** 0.5 for n in lengths)]
    for shares in (both for line in lines_of(bp.tape) for both in complements(line, bp.tape)):
        tried("swapped", "a gate and one minus it exchanged", edge_at(next(iter(shares)), bp),
              instead={original[r]: wrong for r, wrong in shares.items()})
    for line in lines_of(bp.tape):
        for changes in zip(*(changes_of(r, sizes) for r in line)):
            kind, told, _ = changes[0]
            if len({(k, wrong is None) for k, _, wrong in changes}) == 1:
                tried(kind, told, edge_at(line[0], bp), instead={original[r]: w for r, (_, _, w) in
                                                                 zip(line, changes, strict=True)})
        if search.late:
            search.leave_out("some mistakes in the forward pass")
            return found
    for s in filter(search.loops.starts_with, search.loops.series):
        x, told = s.items[0], f"{said(s.items[-1])} as zeros at the start"
        zeros = np.zeros_like(x.value)
        changed_start = {"values": {**(bp.values or {}), original[x]: zeros}} if x.op is None else \
            {"instead": {original[x]: partial(constantly, value=zeros)}}
        tried("stale-value", told, next((e for e in bp.edges if e.x is x), None), **changed_start)
    series = of_one_line(data_of(bp))
    for uses_of in series.values():
        for step, told in ((1, "before"), (-1, "after")):
            if len(uses_of) > 1 and len({np.shape(value_of(x)) for x, _ in uses_of}) == 1 and not search.late:
                moved = [value_of(x) for x, _ in uses_of[-step:] + uses_of[:-step]]
                name = data_name(uses_of[0][0], uses_of[0][1][0])
                edge = next((edge for _, uses in uses_of for r, _ in uses if (edge := edge_at(r, bp))), None)
                pairs = list(zip(uses_of, moved, strict=True))
                tried("stale-value", f"{name} of the one {told}, every time round", edge,
                      values={**(bp.values or {}), **{original[x]: value for (x, _), value in pairs
                                                      if isinstance(x, Record)}},
                      plain={(original[r], i): value for (x, uses), value in pairs if not isinstance(x, Record)
                             for r, i in uses})
    alone = [(x, uses) for x, uses in data_of(bp) if all(len(same) == 1 for same in series.values()
                                                         if any(x is y for y, _ in same))]
    for x, uses in alone:
        for kind, told, value in mistaken(x, uses[0], [(y, at[0]) for y, at in alone]):
            if search.late:
                search.leave_out("some mistakes in the forward pass")
                return found
            edge = next((edge for r, _ in uses if (edge := edge_at(r, bp))), None)
            changed = {"values": {**(bp.values or {}), original[x]: value}} if isinstance(x, Record) else \
                {"plain": {(original[r], i): value for r, i in uses}}
            tried(kind, told, edge, **changed)
    return found


def as_it_was(other: Backprop, instead: dict[Record, Wrong]) -> dict[Edge, Any]:
    """The rules of records that were computed as one operand, derived as that; of those whose others are constants."""
    kept = {other.twin[r]: wrong.keywords["k"] for r, wrong in instead.items()
            if isinstance(wrong, partial) and wrong.func is operand}
    edges = [e for e in other.edges if e.r in kept]
    return {e: lambda g, y, *x, **o: g * 1.0 for e in edges} if all(e.i == kept[e.r] for e in edges) else {}


def complements(line: list[Record], tape: list[Record]) -> Iterator[dict[Record, Wrong]]:
    """A share z and the rest of it 1 - z, each in the other's place; every time round."""
    if line[0].op is not arithmetic.subtract or any(
            not is_constant(r.inputs[0]) or float(value_of(r.inputs[0])) != 1.0 for r in line):
        return
    found: dict[Record, Wrong] = {r: partial(operand, k=1) for r in line}
    shares = [r.inputs[1] for r in line]
    for r in tape:
        if r.op is arithmetic.multiply and any(x is z for x in r.inputs for z in shares):
            k = next(k for k, x in enumerate(r.inputs) if any(x is z for z in shares))
            found[r] = partial(of_the_rest, k=k)
    if len(found) > len(line):
        yield found


def of_the_rest(x: list[Any], k: int) -> Any:
    """A product with the rest of a share in place of the share."""
    return (1 - x[k]) * x[1 - k]


def of_one_line(data: list[tuple[Any, list[tuple[Record, int]]]]) -> dict[Any, list[Any]]:
    """Arrays of data by the line that reads them, those of a loop in order."""
    found: dict[Any, list[Any]] = {}
    for x, uses in data:
        r, i = uses[0]
        found.setdefault((r.code, r.lasti, r.op, i), []).append((x, uses))
    return found


def lines_of(tape: list[Record]) -> list[list[Record]]:
    """The records of a tape by where they were made: those of a loop together."""
    lines: dict[Any, list[Record]] = {}
    for r in tape:
        lines.setdefault((r.code, r.lasti, r.op), []).append(r)
    return list(lines.values())


def edge_at(r: Record, bp: Backprop) -> Edge | None:
    """An edge of a record, as a place."""
    return next((e for e in bp.edges if e.r is r), None)


def mistaken(x: Any, use: tuple[Record, int], others: list[tuple[Any, Any]]) -> Iterator[tuple[str, str, Any]]:
    """What an array of data may be taken for: that of the sample before or after, another; a mask, one of its kind."""
    value, name = np.asarray(value_of(x)), data_name(x, use)
    kind = "wrong-operand" if value.dtype.kind == "f" else "scatter"
    if value.dtype.kind == "b":
        for told, mask in masks(value):
            yield "wrong-operand", f"{name} {told}", mask
        yield "missing-term", f"{name} left out", np.ones_like(value)
    for axis in sorted({0, value.ndim - 1}) if value.dtype.kind != "b" else ():
        if value.shape[axis] > 1:
            for step, told in ((1, "before"), (-1, "after")):
                yield kind, f"{name} of the one {told}", np.roll(value, step, axis)
            yield kind, f"{name} in the other order", np.flip(value, axis).copy()
    if value.dtype.kind == "f" and np.all((value == 0) | (value == 1)):
        yield kind, f"{name} turned round", 1 - value
    for other, at in others:
        another = np.asarray(value_of(other))
        if other is not x and another.shape == value.shape and another.dtype == value.dtype:
            yield kind, f"{data_name(other, at)} for {name}", another


def masks(mask: Any) -> Iterator[tuple[str, Any]]:
    """What a mask may be mistaken for."""
    yield "inverted", ~mask
    if mask.ndim == 2 and mask.shape[0] == mask.shape[1]:
        yield "transposed", mask.T
        n = len(mask)
        for k in (-1, 0, 1):
            for told, triangle in (("below", np.tril(np.ones((n, n), bool), k)),
                                   ("above", np.triu(np.ones((n, n), bool), k))):
                if not np.array_equal(triangle, mask):
                    yield f"as the triangle {told} diagonal {k}", triangle


def changes_of(r: Record, sizes: Iterable[float] = ()) -> Iterator[tuple[str, str, Wrong]]:
    """What may be computed wrongly in place of a record."""
    op = r.op
    assert op is not None
    shapes = [np.shape(value_of(x)) for x in r.inputs]
    name = said(r)
    if op is products.linear and len(r.inputs) == 3:
        yield "missing-term", f"{name} without its bias", lambda x: op.forward(x[0], x[1])
    if op in (arithmetic.add, arithmetic.subtract, arithmetic.multiply, arithmetic.divide):
        for k, x in enumerate(r.inputs):
            if shapes[1 - k] == np.shape(r.value) and (k or op in (arithmetic.add, arithmetic.multiply)):
                what = said(x) if isinstance(x, Record) else str(x) if np.ndim(x) == 0 else "its other operand"
                kind = "scale"
                if np.ndim(value_of(x)) or isinstance(x, Record):
                    kind = "term left out" if op in SUMS else "left out"
                elif op in SUMS:
                    kind = "missing-term"
                yield kind, f"{name} without {what}", partial(operand, k=1 - k)
    if op in (arithmetic.add, arithmetic.subtract, arithmetic.multiply, arithmetic.divide):
        for k, x in enumerate(r.inputs):
            if is_constant(x):
                c = float(value_of(x))
                for value in dict.fromkeys((c * c, abs(c) ** 0.5, *sizes)):
                    if value not in (c, 0.0, 1.0):
                        yield ("wrong-argument" if op in SUMS else "scale", f"{name} with {value:.6g} for {c:.6g}",
                               partial(with_value, k=k, value=value, op=op))
    if op is elementary.sqrt and isinstance(r.inputs[0], Record) and r.inputs[0].op is arithmetic.add:
        for small in r.inputs[0].inputs:
            if is_constant(small):
                yield "missing-term", f"{name} plus {float(value_of(small)):.6g} outside of the root", partial(
                    outside, small=float(value_of(small)))
    if op is arithmetic.add and not any(is_constant(x) for x in r.inputs):
        yield "sign", f"{name} as a difference", lambda x: x[0] - x[1]
    if op is arithmetic.subtract:
        yield "sign", f"{name} as a sum", lambda x: x[0] + x[1]
        yield "sign", f"{name} the other way round", lambda x: x[1] - x[0]
    if op in (stable.softmax, stable.log_softmax) and np.ndim(r.value) > 1:
        axis = r.options.get("axis", -1)
        other = 0 if axis in (-1, np.ndim(r.value) - 1) else -1
        yield "wrong-axis", f"{name} along axis {other}", lambda x: op.forward(x[0], axis=other)
    if op in (reductions.mean_, reductions.sum_, reductions.var, reductions.std) and np.size(r.value):
        n = int(np.prod(shapes[0])) // int(np.size(r.value))
        if n > 1:
            root = 0.5 if op is reductions.std else 1.0
            yield "scale", f"{name} divided by {n - 1}", times_count(r, (n / (n - 1)) ** root)
            if op in (reductions.mean_, reductions.sum_):
                mean = op is reductions.mean_
                yield "scale", f"{name} {'summed' if mean else 'averaged'}", times_count(r, float(n) if mean else 1 / n)
    if op in (reductions.sum_, reductions.mean_, reductions.max_, stable.logsumexp):
        yield from parts_of(r)
    if op.kind == "elementwise" and len(r.inputs) == 1 and op is not arithmetic.negative:
        yield "missing-local-derivative", f"{name} without {op.name}", partial(operand, k=0)
        if op in FUNCTIONS:
            for function in FUNCTIONS:
                if function is not op:
                    yield "wrong-local-rule", f"{name} by {function.name}", partial(computed, function=function)


def parts_of(r: Record) -> Iterator[tuple[str, str, Wrong]]:
    """What is taken together over an axis: only its last or first, or over another axis."""
    op, axis, ndim = r.op, r.options.get("axis"), np.ndim(value_of(r.inputs[0]))
    assert op is not None
    keep = r.options.get("keepdims", False)
    if not isinstance(axis, int):
        return
    for at, told in ((-1, "last"), (0, "first")):
        yield "dropped-path", f"{said(r)} of the {told} only", partial(taken, at=[at] if keep else at, axis=axis)
    for k in range(ndim):
        if k != axis % ndim:
            yield "wrong-axis", f"{said(r)} along axis {k}", partial(along, op=op, axis=k, keepdims=keep)


def taken(x: list[Any], at: Any, axis: int) -> Any:
    """A part of the operand."""
    return np.take(x[0], at, axis)


def along(x: list[Any], op: Op, axis: int, keepdims: bool) -> Any:
    """What an operation gives along another axis."""
    return op.forward(x[0], axis=axis, keepdims=keepdims)


def computed(x: list[Any], function: Op) -> Any:
    """What another function gives."""
    return function.forward(x[0])


def constantly(x: list[Any], value: Any) -> Any:
    """The same, whatever the operands."""
    return value


def is_constant(x: Any) -> bool:
    """Whether an operand is a plain number."""
    return np.ndim(value_of(x)) == 0 and not isinstance(value_of(x), str | bool) and \
        not (isinstance(x, Record) and (x.op is not None or x.requires_grad))


def with_value(x: list[Any], k: int, value: float, op: Op) -> Any:
    """What an operation gives with another number for its k-th operand."""
    return op.forward(*x[:k], value, *x[k + 1:])


def outside(x: list[Any], small: float) -> Any:
    """A root with the small number added after it."""
    return np.sqrt(x[0] - small) + small


def operand(x: list[Any], k: int) -> Any:
    """One of the operands, as it is."""
    return x[k] * 1.0


def times_count(r: Record, factor: float) -> Wrong:
    """What an operation gives, times a ratio of counts."""
    assert r.op is not None
    op = r.op
    return lambda x: op.forward(x[0], **r.options) * factor
