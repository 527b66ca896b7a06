"""Sums over the steps of a loop that can wait until it is over: Σᵢ Aᵢᵀ Bᵢ is one product of the stacked A and B.

The gradient of a weight is such a sum. One product of long matrices takes the place of a small product and an addition
for each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.ops import arithmetic, indexing, products, reductions, shapes
from autodiff.ops import elementary as e
from autodiff.program.passes import Operand
from autodiff.record import Record

TURNING = frozenset((shapes.transpose, shapes.swapaxes))
LINEAR = TURNING | {e.alias, shapes.reshape, shapes.expand_dims, shapes.squeeze, shapes.sum_to, reductions.sum_,
                    indexing.item}


@dataclass(frozen=True)
class Deferred:
    """A sum over steps as something of what is stacked.

    Attributes
    ----------
    left, right : Record
        What is to be stacked: the sum is Σᵢ leftᵢᵀ rightᵢ; without `right`, Σᵢ leftᵢ.
    after : tuple of Record
        What is done to the sum, first to last: each a linear operation.
    """

    left: Record
    right: Record | None
    after: tuple[Record, ...]

    def total(self, stack_of: Callable[[Record], Any]) -> Any:
        """The sum, given the stacks."""
        if self.right is None:
            y = np.sum(stack_of(self.left), axis=0)
        else:
            left, right = (rows(stack_of(r), np.shape(r.value)) for r in (self.left, self.right))
            y = left.T @ right
        for r in self.after:
            y = r.op(y, **r.options)                                          # type: ignore[misc]  # an operation
        return y


def rows(stack: Any, shape: tuple[int, ...]) -> Any:
    """The rows of all steps, one below the other."""
    return np.reshape(stack, (len(stack) * (shape[0] if len(shape) > 1 else 1), shape[-1]))


def deferred(sums: Sequence[Operand], varying: set[Record], at_hand: set[Record]) -> list[Deferred | None]:
    """For each sum over steps how it can wait; None where it cannot.

    Parameters
    ----------
    sums : sequence of Record or number
        What is summed.
    varying : set of Record
        What differs from step to step.
    at_hand : set of Record
        What is stacked already.
    """
    found: list[Deferred | None] = []
    stacked = set(at_hand)
    for z in sums:
        base, after = peeled(z)
        pair = factors(base) if isinstance(base, Record) else None
        if pair is not None and varying.issuperset(pair):
            found.append(Deferred(*pair, after))
            stacked.update(pair)
        else:
            found.append(None)
    for i, z in enumerate(sums):
        base, after = peeled(z)
        if found[i] is None and base in stacked:
            found[i] = Deferred(base, None, after)
    return found


def peeled(r: Operand) -> tuple[Operand, tuple[Record, ...]]:
    """What stands under linear operations, and these, the innermost first."""
    after: list[Record] = []
    while isinstance(r, Record) and r.op in LINEAR and isinstance(r.inputs[0], Record):
        after.append(r)
        r = r.inputs[0]
    return r, tuple(reversed(after))


def factors(r: Record) -> tuple[Record, Record] | None:
    """A and B where a record is AᵀB, of matrices or, as a column times a row, of vectors."""
    if not all(isinstance(x, Record) for x in r.inputs) or np.ndim(r.value) != 2:
        return None
    if r.op is products.matmul:
        left, right = r.inputs
        matrices = np.ndim(left.value) == np.ndim(right.value) == 2
        if matrices and left.op in TURNING and isinstance(left.inputs[0], Record):
            return left.inputs[0], right
    if r.op is arithmetic.multiply:
        column, row = r.inputs
        if column.op is shapes.expand_dims and np.ndim(column.inputs[0].value) == np.ndim(row.value) == 1 \
                and np.shape(column.value)[1] == 1:
            return column.inputs[0], row
    return None


__all__ = ["Deferred", "deferred"]
