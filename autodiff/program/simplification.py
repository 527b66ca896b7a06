"""Trivial algebra on a program: what a person would not write down.

Constants are multiplied out (``2 * (a - y) / 569``), broadcasts that the next operation does anyway are dropped, signs
are drawn out of sums, transposes and reshapes that undo each other vanish, and (x.T @ g).T is g.T @ x. Rules are keyed
by operation; each looks at one record and gives what stands for it, or None. Only what nobody else uses, and what
has no name, is taken apart, unless that costs nothing.

Every rule is exact but for rounding. Where a dtype or shape would change, none applies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from autodiff.kinds import Op
from autodiff.ops import arithmetic as a
from autodiff.ops import complex as c
from autodiff.ops import elementary as e
from autodiff.ops import indexing, linalg, products, reductions, shapes
from autodiff.ops.shapes import order_of
from autodiff.program.factors import product
from autodiff.program.passes import (
    Operand,
    Program,
    computed,
    dtype_of,
    fills,
    full,
    is_number,
    rewritten,
    shape_of,
    tidy,
)
from autodiff.record import Record

Found = Operand | None
Simpler = Callable[[Record, Program], Found]
TIMES = 12                        # passes at most; each takes apart one more level
PLACING = (shapes.reshape, shapes.transpose, shapes.expand_dims, shapes.squeeze, shapes.swapaxes,
           shapes.moveaxis, shapes.flip, shapes.roll, indexing.item, indexing.items, e.alias, e.copy)
PERMUTING = (shapes.transpose, shapes.swapaxes, shapes.moveaxis)
RESHAPING = (shapes.reshape, shapes.expand_dims, shapes.squeeze)


def simplified(program: Program) -> Program:
    """The program with all rules applied until none does."""
    for _ in range(TIMES):
        fired = False

        def rule(r: Record, state: Program) -> Operand:
            nonlocal fired
            for simpler in rules_for(r.op):
                y = simpler(r, state)
                if y is not None and y is not r:
                    fired = True
                    return y
            return r

        program = rewritten(program, rule)
        if not fired:
            break
    return program


def untwisted(program: Program) -> Program:
    """Transposes that undo each other taken out: no bit of a result changes."""
    def rule(r: Record, state: Program) -> Operand:
        y = transposed(r, state) if r.op in PERMUTING and is_permuted(r.inputs[0]) else None
        return r if y is None else y

    return rewritten(program, rule)


def rules_for(op: Op | None) -> tuple[Simpler, ...]:
    """The rules for an operation: those of its kind, and its own."""
    if op is None:
        return ()
    general: tuple[Simpler, ...] = (unbroadcast,) if op.kind == "elementwise" or op is a.where else ()
    return general + ((placed_constant,) if op in PLACING else ()) + RULES.get(op, ())


def like(x: Operand, r: Record) -> bool:
    """Whether an operand has a record's shape and dtype."""
    return isinstance(x, Record) and shape_of(x) == shape_of(r) and x.value.dtype == r.value.dtype


# ---- arrangement

def itself(r: Record, state: Program) -> Found:
    """A copy, a view of the whole, or a conversion to the dtype it has."""
    x = r.inputs[0]
    return x if like(x, r) else None


def placed_constant(r: Record, state: Program) -> Found:
    """A constant array in another arrangement: constant still."""
    number = full(r.inputs[0])
    return None if number is None else fills(number, r)


def unbroadcast(r: Record, state: Program) -> Found:
    """An elementwise operation broadcasts its operands itself."""
    inputs = list(r.inputs)
    for i, x in enumerate(inputs):
        if not isinstance(x, Record) or x.op not in (shapes.broadcast_to, *RESHAPING):
            continue
        source = x.inputs[0]
        if x.op is not shapes.broadcast_to and (1,) * (len(shape_of(x)) - len(shape_of(source))) + shape_of(source) \
                != shape_of(x) and shape_of(source) != ():
            continue
        for instead in (source,) if isinstance(source, Record) else (tidy(source), float(source)):
            changed = [*inputs[:i], instead, *inputs[i + 1:]]
            if np.broadcast_shapes(*map(shape_of, changed)) == shape_of(r) and dtype_of(changed) == dtype_of(inputs):
                inputs = changed
                break
    if all(new is old for new, old in zip(inputs, r.inputs)):
        return None
    assert r.op is not None
    return computed(r.op, *inputs, value=r.value, **r.options)


def transposed(r: Record, state: Program) -> Found:
    """Two permutations of axes are one or none; (A.T @ B).T is B.T @ A."""
    x, axes = r.inputs[0], permutation(r)
    if axes == tuple(range(len(axes))):
        return x
    if not isinstance(x, Record):
        return None
    if x.op in PERMUTING:
        inner = permutation(x)
        both = tuple(inner[i] for i in axes)
        if both == tuple(range(len(both))):
            return x.inputs[0]
        return None if x in state.names else computed(shapes.transpose, x.inputs[0], value=r.value, axes=both)
    if r.op is shapes.transpose and x.op is products.matmul and state.single(x) \
            and all(len(shape_of(y)) == 2 for y in x.inputs) \
            and any(isinstance(y, Record) and y.op is shapes.transpose for y in x.inputs):
        left, right = (computed(shapes.transpose, y) for y in reversed(x.inputs))
        return computed(products.matmul, left, right, value=r.value)
    return None


def is_permuted(x: Operand) -> bool:
    """Whether an operand is another with its axes permuted."""
    return isinstance(x, Record) and x.op in PERMUTING


def permutation(r: Record) -> tuple[int, ...]:
    """Where each axis of a result was in the operand."""
    n = r.value.ndim
    if r.op is shapes.transpose:
        return order_of(r.options.get("axes"), n)
    if r.op is shapes.swapaxes:
        i, j = r.options["axis1"] % n, r.options["axis2"] % n
        return tuple(j if k == i else i if k == j else k for k in range(n))
    moved = np.moveaxis(np.empty(range(n)), r.options["source"], r.options["destination"])
    return moved.shape


def reshaped(r: Record, state: Program) -> Found:
    """A reshape to the shape it has is none; of two the first is idle."""
    x = r.inputs[0]
    if like(x, r):
        return x
    if isinstance(x, Record) and x.op in RESHAPING:
        source = x.inputs[0]
        return source if like(source, r) else computed(shapes.reshape, source, value=r.value, shape=shape_of(r))
    if r.op is shapes.squeeze and isinstance(x, Record) and x.op is products.matmul and state.single(x):
        return vector_product(r, x)
    return None


def vector_product(r: Record, x: Record) -> Found:
    """(A @ v[:, None])[:, 0] is A @ v, and (v[None] @ B)[0] is v @ B."""
    left, right = x.inputs
    if len(shape_of(r)) != 1 or len(shape_of(left)) != 2 or len(shape_of(right)) != 2:
        return None
    if isinstance(right, Record) and right.op is shapes.expand_dims and shape_of(right)[1] == 1:
        return computed(products.matmul, left, right.inputs[0], value=r.value)
    if isinstance(left, Record) and left.op is shapes.expand_dims and shape_of(left)[0] == 1:
        return computed(products.matmul, left.inputs[0], right, value=r.value)
    return None


def column_solved(r: Record, state: Program) -> Found:
    """solve(A, b[:, None])[..., 0] is solve(A, b)."""
    x = r.inputs[0]
    if r.options["index"] == (Ellipsis, 0) and isinstance(x, Record) and x.op is linalg.solve and state.single(x):
        A, b = x.inputs
        if isinstance(b, Record) and b.op is shapes.expand_dims and len(shape_of(b.inputs[0])) == 1 \
                and shape_of(b)[-1] == 1 and len(shape_of(A)) == 2:
            return computed(linalg.solve, A, b.inputs[0], value=r.value)
    return None


def broadcast(r: Record, state: Program) -> Found:
    """A broadcast to the shape it has is none; two are one."""
    x = r.inputs[0]
    if like(x, r):
        return x
    if isinstance(x, Record) and (x.op is shapes.broadcast_to or (x.op in RESHAPING and shape_of(x.inputs[0]) == ())):
        return computed(shapes.broadcast_to, x.inputs[0], value=r.value, shape=shape_of(r))
    return None


def added_up(r: Record, state: Program) -> Found:
    """The sum over axes that were broadcast: a multiple."""
    x = r.inputs[0]
    if like(x, r):
        return x
    number = full(x)
    if is_number(number):
        times = Fraction(math.prod(shape_of(x)), max(math.prod(shape_of(r)), 1))
        return fills(tidy(number * (times if isinstance(number, int | Fraction) else float(times))), r)
    return sum_of_negative(r, state)


def sum_of_negative(r: Record, state: Program) -> Found:
    """The sum of -x is the negative of that of x."""
    x = r.inputs[0]
    if not is_negative(x) or not state.single(x):
        return None
    assert r.op is not None
    return computed(a.negative, computed(r.op, *x.inputs, **r.options), value=r.value)


# ---- arithmetic

def sums(r: Record, state: Program) -> Found:
    """Additions and subtractions without double signs, zeros and repetitions."""
    x, y = r.inputs
    plus = r.op is a.add
    if is_number(x) and is_number(y):
        return tidy(x + y if plus else x - y)
    if is_number(y) and y == 0 and like(x, r):
        return x
    if is_number(x) and x == 0 and like(y, r):
        return y if plus else computed(a.negative, y, value=r.value)
    if plus and x is y and isinstance(x, Record):
        return computed(a.multiply, 2, x, value=r.value)
    if is_number(y) and y < 0 and isinstance(x, Record):
        return computed(a.subtract if plus else a.add, x, tidy(-y), value=r.value)
    if is_negative(y) and state.single(y):
        return computed(a.subtract if plus else a.add, x, y.inputs[0], value=r.value)
    if plus and is_negative(x) and state.single(x):
        return computed(a.subtract, y, x.inputs[0], value=r.value)
    return None


def is_negative(x: Operand) -> bool:
    """Whether an operand is the negative of something."""
    return isinstance(x, Record) and x.op is a.negative


def difference(r: Record, state: Program) -> Found:
    """-(x - y) is y - x."""
    x = r.inputs[0]
    if isinstance(x, Record) and x.op is a.subtract and state.single(x):
        return computed(a.subtract, *reversed(x.inputs), value=r.value)
    return None


def powers(r: Record, state: Program) -> Found:
    """x to the power 1 or 2."""
    x = r.inputs[0]
    n = r.options["n"] if r.op is a.integer_power else r.inputs[1]
    if is_number(n) and n == 1 and like(x, r):
        return x
    if is_number(n) and n == 2 and like(x, r):
        return computed(a.square, x, value=r.value)
    return None


RULES: dict[Op, tuple[Simpler, ...]] = {
    a.multiply: (product,), a.divide: (product,), a.negative: (difference, product),
    a.add: (sums,), a.subtract: (sums,), a.integer_power: (powers,), a.power: (powers,),
    shapes.transpose: (transposed,), shapes.swapaxes: (transposed,), shapes.moveaxis: (transposed,),
    shapes.reshape: (reshaped,), shapes.expand_dims: (reshaped,), shapes.squeeze: (reshaped,),
    shapes.broadcast_to: (broadcast,), shapes.sum_to: (added_up,), reductions.sum_: (sum_of_negative,),
    indexing.item: (column_solved,),
    e.alias: (itself,), e.copy: (itself,), e.cast: (itself,), c.real: (itself,),
}
