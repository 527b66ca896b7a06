"""What the Jacobian of an operation looks like: a table keyed by the op, with a default by kind.

Jacobians are those of one sample: the axis of the samples is followed through the tape, and where an operation leaves
samples apart its Jacobian is that of one of them. A structure says where the non-zeros may be, and with it what a
product with the Jacobian costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from autodiff.kinds import Op, select
from autodiff.ops import (
    arithmetic,
    convolution,
    cumulative,
    elementary,
    indexing,
    losses,
    pooling,
    products,
    reductions,
    selecting,
    shapes,
    stable,
)
from autodiff.ops import complex as complex_
from autodiff.record import Record

IDENTITY, SCALAR, DIAGONAL = "identity", "scalar", "diagonal"
PERMUTATION, SELECTION, PLACEMENT = "permutation", "selection", "placement"
BROADCAST, REDUCTION = "broadcast", "reduction"
DENSE, OUTER, RANK_ONE, TRIANGULAR = "dense", "one-hot outer", "diagonal plus rank one", "triangular"
GRADIENT = "gradient"                   # of a scalar: one row

MEANING = {
    IDENTITY: "the identity", SCALAR: "a multiple of the identity", DIAGONAL: "diagonal: each element on its own",
    PERMUTATION: "a permutation: elements change places", SELECTION: "a selection: rows of the identity",
    PLACEMENT: "a placement: columns of the identity", BROADCAST: "a broadcast: one element goes to many",
    REDUCTION: "a reduction: many elements go to one", DENSE: "dense", OUTER: "one-hot outer: one row is not zero",
    RANK_ONE: "diagonal plus rank one", TRIANGULAR: "triangular", GRADIENT: "a gradient: one row",
}
PLAIN = {IDENTITY, SCALAR, PERMUTATION}


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a record's value or of a plain operand; () for a tuple of outputs."""
    value = x.value if isinstance(x, Record) else x
    return () if isinstance(value, tuple) or value is None else np.shape(value)


# ---- the axis of the samples

def carried(r: Record, i: int, axis: int) -> int | None:
    """Which axis of the result an axis of input i becomes, element by element; None if its elements are mixed."""
    x, y, op = shape_of(r.inputs[i]), shape_of(r), r.op
    assert op is not None
    if op.kind == "elementwise" or op is arithmetic.where or op in ALONE:
        out = axis + len(y) - len(x)
        return out if out >= 0 and x[axis] == y[out] else None
    if op is products.linear:
        return axis if i == 0 and axis < len(x) - 1 else None
    if op is products.matmul:
        a, b = (len(shape_of(z)) for z in r.inputs)
        if i == 0:
            return axis + max(0, b - a) if axis < a - 1 else None
        if b == 1 or axis == b - 2:
            return None
        return len(y) - 1 if axis == b - 1 else axis + max(0, a - b)
    if op in PER_ROW:
        return axis if axis < len(x) - 1 or i else None
    if op in ALONG:
        return axis if axis not in options_axes(r, len(x)) else None
    if op in REDUCING:
        gone = options_axes(r, len(x))
        kept = r.options.get("keepdims")
        return None if axis in gone else axis if kept else axis - len([a for a in gone if a < axis])
    if op is shapes.transpose:
        axes = r.options.get("axes")
        order = range(len(x))[::-1] if axes is None else [a % len(x) for a in axes]
        return [int(k) for k in order].index(axis)
    if op is shapes.swapaxes:
        one, two = int(r.options["axis1"]) % len(x), int(r.options["axis2"]) % len(x)
        return {one: two, two: one}.get(axis, axis)
    if op in (shapes.reshape, shapes.expand_dims, shapes.squeeze):
        for k, n in enumerate(y):
            if n == x[axis] and np.prod(y[:k], dtype=int) == np.prod(x[:axis], dtype=int):
                return k
        return None
    if op is shapes.concatenate:
        return None if axis == (r.options.get("axis") or 0) % len(x) or r.options.get("axis", 0) is None else axis
    if op is shapes.stack:
        return axis + int(axis >= r.options.get("axis", 0) % len(y))
    if op is shapes.broadcast_to:
        out = axis + len(y) - len(x)
        return out if x[axis] == y[out] else None
    if op in (indexing.item, indexing.items) and i == 0:
        return through_index(r, axis)
    return None


def options_axes(r: Record, ndim: int) -> tuple[int, ...]:
    """The axes that an operation goes along; all without one."""
    axis = r.options.get("axis", -1 if r.op in (stable.softmax, stable.log_softmax) else None)
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(a % ndim for a in axes)


def through_index(r: Record, axis: int) -> int | None:
    """Where the leading axis goes in an index that takes all of it, or as many array positions in their order."""
    index = r.options["index"]
    parts = index if isinstance(index, tuple) else (index,)
    if parts and parts[0] is Ellipsis:
        return axis if axis < len(shape_of(r)) and axis + len(parts) - 1 < len(shape_of(r.inputs[0])) else None
    if axis < len(parts) and parts[axis] is indexing.HOLE and axis == 0:
        positions = r.inputs[1].value if isinstance(r.inputs[1], Record) else r.inputs[1]
        every = np.ndim(positions) == 1 and np.array_equal(positions, np.arange(shape_of(r.inputs[0])[0]))
        return 0 if every else None
    if all(isinstance(part, slice) and part == slice(None) for part in parts[:axis + 1]) and axis < len(parts):
        return axis
    return axis if not parts[axis:] and all(part == slice(None) for part in parts if isinstance(part, slice)) else None


def is_weight(x: Any) -> bool:
    """Whether an operand is a parameter of at most two axes, perhaps transposed."""
    while isinstance(x, Record) and x.op in (shapes.transpose, shapes.swapaxes):
        x = x.inputs[0]
    return isinstance(x, Record) and x.op is None and x.requires_grad and np.ndim(x.value) <= 2


def layout(tape: Iterable[Record]) -> tuple[str, dict[Record, int], int | None]:
    """How samples are laid out, the axis they are along in each record, and how many there are.

    "rows" if parameters stand on the right of their products, "columns" if on the left, "row" and "column" for a
    single sample as a vector, "" if there is no product with a parameter. Taken from the recorded operands.
    """
    known: dict[Record, int] = {}
    kind, count = "", None
    for r in tape:
        axis: int | None = None
        at = weight_at(r)
        if at is not None:
            data = r.inputs[1 - at]
            shape = shape_of(data)
            if not kind:
                kind = ("rows", "columns")[1 - at] if len(shape) > 1 else ("row", "column")[1 - at]
                count = None if len(shape) < 2 else shape[0] if at else shape[-1]
            if len(shape) > 1 and kind in ("rows", "columns"):
                axis = known.get(data, 0 if at else len(shape) - 1) if isinstance(data, Record) else \
                    0 if at else len(shape) - 1
                if shape[axis] != count:
                    axis = None
                elif isinstance(data, Record):
                    known.setdefault(data, axis)
                axis = None if axis is None else carried(r, 1 - at, axis)
        else:
            found = {carried(r, i, known[x]) for i, x in enumerate(r.inputs) if isinstance(x, Record) and x in known} \
                if r.op is not None else set()
            axis = found.pop() if len(found) == 1 else None
        if axis is not None and shape_of(r)[axis] == count:
            known[r] = axis
    return kind, known, count


def weight_at(r: Record) -> int | None:
    """Which operand of a product is the parameter."""
    if r.op is products.linear:
        return 1
    if r.op is not products.matmul:
        return None
    weights = [is_weight(x) for x in r.inputs]
    if all(weights):
        first = r.inputs[0]
        return 0 if (first.name or "").startswith(("W", "w")) else 1
    return weights.index(True) if any(weights) else None


# ---- one operation

def structure(r: Record, i: int, samples: dict[Record, int]) -> str:
    """The structure of ∂(one operation)/∂(its input i), for one sample."""
    op = r.op
    assert op is not None
    said = STRUCTURE.get(op)
    if said is not None:
        return said(r, i, samples) if callable(said) else said
    if op.kind == "elementwise":
        return of_elementwise(r, i, samples)
    return DENSE


def alone(x: Any, samples: dict[Record, int]) -> tuple[int, ...]:
    """The shape of one sample's part."""
    shape = shape_of(x)
    axis = samples.get(x) if isinstance(x, Record) else None
    return shape if axis is None else shape[:axis] + shape[axis + 1:]


def count(shape: tuple[int, ...]) -> int:
    """How many elements."""
    return int(np.prod(shape, dtype=int))


def of_elementwise(r: Record, i: int, samples: dict[Record, int]) -> str:
    """Diagonal, unless the operand is broadcast within a sample; ±1 and constant numbers are told."""
    op: Any = r.op
    x, y = alone(r.inputs[i], samples), alone(r, samples)
    if count(x) != count(y):
        return BROADCAST
    d = op.partials[i]
    if isinstance(d, int):
        return IDENTITY if d == 1 else SCALAR
    scaling = op is arithmetic.multiply or (op is arithmetic.divide and i == 0)
    if scaling and count(alone(r.inputs[1 - i], samples)) == 1:
        return SCALAR
    return DIAGONAL


def of_matmul(r: Record, i: int, samples: dict[Record, int]) -> str:
    """Of the operand that holds samples (or is a vector) the other matrix; of the parameter a_j e_i."""
    x, other = r.inputs[i], r.inputs[1 - i]
    if not shape_of(r):
        return GRADIENT
    if is_weight(x) and not is_weight(other):
        return OUTER if len(shape_of(x)) > 1 else DENSE
    return DENSE


def of_linear(r: Record, i: int, samples: dict[Record, int]) -> str:
    """x Wᵀ + b: W, a_j e_i, the identity."""
    whole = count(alone(r.inputs[i], samples)) == count(alone(r, samples))
    return (DENSE, OUTER, IDENTITY if whole else BROADCAST)[i]


def of_reduction(r: Record, i: int, samples: dict[Record, int]) -> str:
    """A reduction, unless there is nothing to reduce."""
    return IDENTITY if shape_of(r.inputs[i]) == shape_of(r) else REDUCTION


def of_index(r: Record, i: int, samples: dict[Record, int]) -> str:
    """A selection."""
    return SELECTION


def of_shape(r: Record, i: int, samples: dict[Record, int]) -> str:
    """Elements keep their order: the identity."""
    return IDENTITY


def of_part(r: Record, i: int, samples: dict[Record, int]) -> str:
    """Some elements stay, others become 0; a vector is repeated first."""
    return DIAGONAL if count(shape_of(r.inputs[i])) == count(shape_of(r)) else BROADCAST


def of_broadcast(r: Record, i: int, samples: dict[Record, int]) -> str:
    """A broadcast, unless the shape stays."""
    return IDENTITY if count(shape_of(r.inputs[i])) == count(shape_of(r)) else BROADCAST


Saying = str | Callable[[Record, int, dict[Record, int]], str]
STRUCTURE: dict[Op, Saying] = {
    products.matmul: of_matmul, products.linear: of_linear,
    reductions.sum_: of_reduction, reductions.mean_: of_reduction, shapes.sum_to: of_reduction,
    reductions.max_: REDUCTION, reductions.min_: REDUCTION, reductions.var: REDUCTION, reductions.std: REDUCTION,
    reductions.norm: REDUCTION, reductions.prod: REDUCTION, reductions.median: REDUCTION,
    reductions.nanmax: REDUCTION, reductions.nanmin: REDUCTION, stable.logsumexp: REDUCTION,
    losses.cross_entropy_of_labels: REDUCTION, losses.cross_entropy_of_probabilities: REDUCTION,
    shapes.reshape: of_shape, shapes.expand_dims: of_shape, shapes.squeeze: of_shape, elementary.alias: IDENTITY,
    elementary.copy: IDENTITY, elementary.cast: IDENTITY, complex_.real: DENSE,
    shapes.transpose: PERMUTATION, shapes.swapaxes: PERMUTATION, shapes.moveaxis: PERMUTATION,
    shapes.flip: PERMUTATION, shapes.roll: PERMUTATION, shapes.rot90: PERMUTATION,
    shapes.broadcast_to: of_broadcast, shapes.tile: BROADCAST, selecting.repeat: BROADCAST,
    shapes.pad: PLACEMENT, shapes.concatenate: PLACEMENT, shapes.stack: PLACEMENT, shapes.diag: DENSE,
    shapes.tril: of_part, shapes.triu: of_part,
    indexing.item: of_index, indexing.items: of_index, shapes.split: IDENTITY, select: SELECTION,
    convolution.conv: lambda r, i, samples: BROADCAST if i == 2 else DENSE, pooling.max_pool: SELECTION,
    stable.softmax: RANK_ONE, stable.log_softmax: RANK_ONE,
    cumulative.cumsum: TRIANGULAR, cumulative.cumprod: TRIANGULAR,
    arithmetic.where: lambda r, i, samples: BROADCAST if count(alone(r.inputs[i], samples)) != count(alone(r, samples))
    else DIAGONAL,
}
ALONE: set[Op] = {elementary.alias, elementary.copy, elementary.cast, shapes.tril, shapes.triu}
ALONG: set[Op] = {stable.softmax, stable.log_softmax, cumulative.cumsum, cumulative.cumprod}
PER_ROW: set[Op] = {losses.cross_entropy_of_labels, losses.cross_entropy_of_probabilities}
REDUCING: set[Op] = {op for op, said in STRUCTURE.items() if said in (REDUCTION, of_reduction)} - {shapes.sum_to}


# ---- one after another

def composed(outer: str, inner: str) -> str | None:
    """The structure of a product of Jacobians; None where it has no name, so that what is between needs one.

    >>> composed("diagonal", "scalar"), composed("diagonal", "dense")
    ('diagonal', None)
    """
    for one, other in ((outer, inner), (inner, outer)):
        if one in (IDENTITY, SCALAR):
            return SCALAR if one == SCALAR and other == IDENTITY else other
        if one == PERMUTATION:
            return other if other in REARRANGED else None
    return TOGETHER.get((outer, inner))


REARRANGED = {PERMUTATION, SELECTION, PLACEMENT, BROADCAST, REDUCTION, GRADIENT, DENSE, OUTER}   # keep their structure
TOGETHER = {
    (DIAGONAL, DIAGONAL): DIAGONAL, (REDUCTION, DIAGONAL): REDUCTION, (REDUCTION, REDUCTION): REDUCTION,
    (REDUCTION, SELECTION): DENSE, (DIAGONAL, BROADCAST): BROADCAST, (BROADCAST, DIAGONAL): BROADCAST,
    (BROADCAST, BROADCAST): BROADCAST, (GRADIENT, DIAGONAL): GRADIENT, (GRADIENT, SELECTION): GRADIENT,
    (REDUCTION, BROADCAST): DENSE, (GRADIENT, BROADCAST): GRADIENT, (SELECTION, SELECTION): SELECTION,
}
