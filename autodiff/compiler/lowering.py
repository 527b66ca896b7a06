"""Composite operations taken apart: an operation's forward, run on Tensors, records what it is made of.

So a sigmoid becomes a negation, an exponential, a sum and a reciprocal, and a dense layer a product and a sum, without
a second statement of either. It holds only where the parts give the operation's value to the last bit; an operation
that cannot run on Tensors, or is its own only part, stays whole. `REWRITTEN` names forms for the native executor, equal
but for rounding.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.compiler.lazy import numbers
from autodiff.kinds import Op, constant, select
from autodiff.ops import elementary as e
from autodiff.ops import losses, reductions, shapes, stable
from autodiff.ops.arithmetic import subtract, where
from autodiff.ops.shapes import broadcast_to
from autodiff.program.lifting import same
from autodiff.program.passes import Operand, Program, computed, full, rewritten, shape_of
from autodiff.record import Record
from autodiff.state import Setting, grad_mode, tracing, transform_now
from autodiff.tape import behind
from autodiff.tensor import Tensor

DEPTH = 5                                    # of operations made of operations
ATOMIC = frozenset(f for f in vars(operator).values() if callable(f))
Forward = Callable[..., Any]


def labelled(z: Any, labels: Any) -> Any:
    """Cross entropy with class numbers, the class picked by a comparison: -Σⱼ [j = label] log softmax(z)ⱼ."""
    chosen = where(losses.one_hot(labels, z) == 1, stable.log_softmax(z), 0)
    return -np.sum(chosen, -1)


def picked(z: Any, labels: Any) -> Any:
    """Cross entropy with class numbers, for labels that are in range (see `emission.guarded`)."""
    return -pick(stable.log_softmax(z), labels)


def of_one_row(x: Any, shape: tuple[int, ...]) -> Any:
    """x summed over axes of length one: x in that shape."""
    if np.size(x) != math.prod(shape):
        raise ValueError("there is something to sum")
    return np.reshape(x, shape)


# Made here only: the element of each row that a class number names, and rows without their one.
pick = constant("pick", lambda x, labels: np.take_along_axis(x, labels[..., None], -1)[..., 0])
less_one_hot = constant("less_one_hot", lambda x, labels: x - losses.unit_rows(labels, x))

KEPT = frozenset((e.alias, e.copy, pick, less_one_hot, where, broadcast_to, losses.one_hot, reductions.sum_,
                  reductions.max_, reductions.min_))          # atoms, though their forwards are functions of ours
EXACT: dict[Op, Forward] = {losses.cross_entropy_of_labels: picked, shapes.sum_to: of_one_row}
REWRITTEN: dict[Op, Forward] = {
    reductions.var: reductions.variance,
    reductions.std: reductions.std.analytic,
    reductions.norm: reductions.norm.analytic,
    losses.cross_entropy_of_labels: labelled,
    shapes.sum_to: lambda x, shape: summed(x, shape),
}
NATIVE = frozenset((stable.sigmoid, stable.softplus))          # functions of the native executor's own


def summed(x: Any, shape: tuple[int, ...]) -> Any:
    """x summed over the axes along which `shape` would be broadcast to x's."""
    if np.size(x) == math.prod(shape):
        return e.copy(np.reshape(x, shape))
    lead = np.ndim(x) - len(shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 != np.shape(x)[lead + i])
    y = np.sum(x, axis=axes, keepdims=len(axes) > lead)
    return y if np.shape(y) == shape else np.reshape(y, shape)


def lowered(program: Program, native: bool = False) -> Program:
    """The program with composite operations taken apart.

    Parameters
    ----------
    program : Program
        Every leaf that requires no grad is seen through an alias, so that what is done to it is recorded.
    native : bool
        Take apart further, into forms that round differently.
    """
    whole: set[Record] = set()

    def rule(r: Record, state: Program) -> Operand:
        if r in whole or not composite(r) or (native and r.op in NATIVE):
            return r
        parts = taken_apart(r, (REWRITTEN if native else EXACT).get(r.op), exact=not native)      # type: ignore[arg-type]
        if parts is None:
            whole.add(r)
            return r
        return parts

    for _ in range(DEPTH):
        before = program.outputs
        program = rewritten(program, rule)
        if all(a is b for a, b in zip(before.values(), program.outputs.values())):
            break
    return program


def composite(r: Record) -> bool:
    """Whether an operation may be made of others."""
    op = r.op
    return not (op is None or op is select or op in KEPT or isinstance(op.forward, np.ufunc) or op.forward in ATOMIC
                or isinstance(r.value, tuple))


def taken_apart(r: Record, forward: Forward | None, exact: bool) -> Record | None:
    """The result of an operation from its parts; None where it has none, or they give something else."""
    op = r.op
    assert op is not None
    given = [Tensor.of(x) if isinstance(x, Record) else x for x in r.inputs]
    try:
        with Setting(transform_now, "ad.compile"), grad_mode(True), Setting(tracing, True), np.errstate(all="ignore"):
            y = (forward or op.forward)(*given, **r.options)
    except Exception:                        # whatever a forward does that no Tensor can
        return None
    if not isinstance(y, Tensor) or y.record.op is None or any(y.record is x for x in r.inputs):
        return None
    made = y.record
    parts = behind([made], min(r.serial + 1, made.serial))
    if any(x.op is op and x.serial > r.serial for x in parts):
        return None
    fits = made.value.dtype == r.value.dtype and np.shape(made.value) == np.shape(r.value)
    if not fits or ((exact or forward is None) and not same_value(made.value, r.value)):
        return None
    if getattr(made.value, "strides", None) == getattr(r.value, "strides", None):
        made.value = r.value                 # so that what is computed from it can be seen to be the same
    return made


def same_value(a: Any, b: Any) -> bool:
    """Whether two results hold the same, to the last bit."""
    return a is b or same(np.asarray(a), np.asarray(b))


def folded(program: Program) -> Program:
    """What is computed from numbers alone, such as a loss's seed over the number of samples, as a number."""
    def rule(r: Record, state: Program) -> Operand:
        op = r.op
        if op is None or op is broadcast_to or not r.inputs or isinstance(r.value, tuple) or not np.size(r.value):
            return r
        if op.kind != "elementwise" and op not in PLACING:
            return r
        if any(full(x) is None if isinstance(x, Record) else np.ndim(x) > 0 for x in r.inputs):
            return r
        number = numbers(r.value)[(0,) * np.ndim(r.value)]
        return computed(broadcast_to, number, value=r.value, shape=np.shape(r.value)) if np.ndim(r.value) else number

    return rewritten(program, rule)


PLACING = frozenset((shapes.reshape, shapes.transpose, shapes.expand_dims, shapes.squeeze, shapes.swapaxes, e.alias,
                     e.copy))


def without_rows(program: Program) -> Program:
    """``p - one_hot(labels)`` without the rows of zeros and a one."""
    def rule(r: Record, state: Program) -> Operand:
        x, hot = r.inputs if r.op is subtract else (None, None)
        if not isinstance(hot, Record) or hot.op is not losses.one_hot or shape_of(x) != np.shape(r.value) \
                or np.ndim(r.value) != 2 or not state.single(hot):
            return r
        return computed(less_one_hot, x, hot.inputs[0], value=r.value)

    return rewritten(program, rule)


def unspread(program: Program) -> Program:
    """Elementwise operations on what was broadcast, without that: they broadcast themselves."""
    def rule(r: Record, state: Program) -> Operand:
        if r.op is None or r.op.kind != "elementwise" or isinstance(r.value, tuple) or not np.ndim(r.value):
            return r
        inputs = list(r.inputs)
        for i, x in enumerate(r.inputs):
            if isinstance(x, Record) and x.op is broadcast_to and full(x) is None:
                shapes_now = [shape_of(y) for y in (*inputs[:i], x.inputs[0], *inputs[i + 1:])]
                if np.broadcast_shapes(*shapes_now) == np.shape(r.value):
                    inputs[i] = x.inputs[0]
        if all(x is y for x, y in zip(inputs, r.inputs)):
            return r
        return computed(r.op, *inputs, value=r.value, **r.options)

    return rewritten(program, rule)

