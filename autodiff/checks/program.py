"""The gradient of a loss as a program that can be run again: on other values, in another dtype, with noise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from autodiff.record import Leaf, Record
from autodiff.reverse import gradients
from autodiff.tape import Tape, walk_back
from autodiff.tensor import Tensor
from autodiff.values import converted

Each = Callable[[Record, Any], Any]          # may replace each result as it is made


class Gradient:
    """The gradient of a loss as a program.

    Parameters
    ----------
    loss : Tensor
        A scalar.
    wanted : sequence of Record
        What to differentiate with respect to: leaves and intermediates.

    Attributes
    ----------
    plain : list of ndarray
        The gradients as the walk back gives them to users.
    forward : Tape
        What stands behind the loss.
    recorded : Tape or None
        The loss and its gradients as one tape; None if some rule takes nothing but arrays.

    Raises
    ------
    GradientError
        If the loss is no scalar, or does not depend on what is wanted.
    MutationError
        If a value that the gradient needs was changed in place.
    """

    def __init__(self, loss: Tensor, wanted: Sequence[Record]) -> None:
        self.loss = loss
        self.wanted = list(wanted)
        self.forward = Tape(loss)
        self.recorded: Tape | None = None
        tensors = [Tensor.of(r) for r in wanted]
        with np.errstate(all="ignore"):
            self.plain = gradients(loss, tensors)
            try:
                self.recorded = Tape(loss, *gradients(loss, tensors, record=True))
            except Exception:            # a user's rule may do whatever works on arrays
                self.recorded = None

    def run(self, dtype: Any, values: Mapping[Record, Any], each: Each) -> list[Any]:
        """The gradients in this dtype, with other values for some leaves; each result passes through `each`."""
        with np.errstate(all="ignore"):
            if self.recorded is None:
                return self.walked(dtype, values, each)
            new: dict[Tensor | str, Any] = {Tensor.of(r): value for r, value in values.items()}
            found: list[Any] = self.recorded.replay(new, dtype=dtype, each=each, strict=False)
            return found[1:]

    def walked(self, dtype: Any, values: Mapping[Record, Any], each: Each) -> list[Any]:
        """The same where the gradient could not be recorded: the forward is made anew, and walked back on arrays."""
        made = remade(self.forward, dtype, values, each)
        end = made[self.loss.record]
        found = walk_back({end: np.ones_like(end.value)[()]}, [made[r] for r in self.wanted])
        return [found.get(made[r], np.zeros_like(made[r].value)) for r in self.wanted]


def remade(tape: Tape, dtype: Any, values: Mapping[Record, Any], each: Each | None = None,
           instead: Mapping[Record, Callable[[list[Any]], Any]] | None = None,
           plain: Mapping[tuple[Record, int], Any] | None = None) -> dict[Record, Record]:
    """For each record of a tape the same one in another dtype, or from other leaves; names and lines are kept.

    What stands in `instead` gives a record's value in place of its operation; in `plain`, by its position, an operand
    in place of one that is a plain array.
    """
    made: dict[Record, Record] = {}
    frame = sys._getframe()
    for r in tape.all:
        if r.op is None or r in values:
            new: Record = Leaf(converted(values.get(r, r.value), dtype), r.requires_grad, frame)
        else:
            given = [plain.get((r, i), x) for i, x in enumerate(r.inputs)] if plain else r.inputs
            inputs = tuple(made[x] if isinstance(x, Record) else converted(x, dtype) for x in given)
            operands = [x.value if isinstance(x, Record) else x for x in inputs]
            y = instead[r](operands) if instead and r in instead else r.op.analytic(*operands, **r.options)
            new = Record(r.op, inputs, r.options, y if each is None else each(r, y), r.requires_grad, frame,
                         r.scope, None)
        new.code, new.lasti, new.label = r.code, r.lasti, r.label
        made[r] = new
    return made
