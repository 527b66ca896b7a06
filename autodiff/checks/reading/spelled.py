"""Composite operations written out, as people do who derive by hand: their steps have values and cotangents too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autodiff.kinds import Op
from autodiff.ops import arithmetic, losses, reductions, stable
from autodiff.record import Record
from autodiff.state import grad_mode
from autodiff.tape import Tape
from autodiff.tensor import Tensor

LONGEST = 400              # records of a tape that is written out


def squares(x: Any, axis: Any = None, keepdims: bool = False, ddof: float = 0) -> Any:
    """The variance by the squares of what is left without the mean."""
    centred = x - x.mean(axis=axis, keepdims=True)
    total = (centred * centred).sum(axis=axis, keepdims=keepdims)
    return total / (x.size / max(np.size(total.data), 1) - ddof)


def shares(x: Any, axis: Any = -1) -> Any:
    """Softmax by exponentials."""
    e = np.exp(x - np.max(x.data, axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def picked(z: Any, labels: Any) -> Any:
    """The cross entropy of class numbers by the softmax."""
    rows = np.zeros(z.shape)
    np.put_along_axis(rows, np.expand_dims(plain(labels), -1), 1, -1)
    return -(rows * np.log(stable.softmax(z))).sum(axis=-1)


def of_logits(z: Any, t: Any) -> Any:
    """The binary cross entropy of logits by the sigmoid."""
    p = stable.sigmoid(z)
    return -(t * np.log(p) + (1 - t) * np.log(1 - p))


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), whose derivative is the sigmoid."""
    return np.log(1 + np.exp(x))


def plain(x: Any) -> Any:
    """The array of a Tensor."""
    return x.data if isinstance(x, Tensor) else x


WRITTEN: dict[Op, Callable[..., Any]] = {
    reductions.var: squares,
    reductions.std: lambda x, **options: np.sqrt(squares(x, **options)),
    reductions.norm: lambda x, axis=None, keepdims=False: np.sqrt((x * x).sum(axis=axis, keepdims=keepdims)),
    stable.log_softmax: lambda x, axis=-1: np.log(stable.softmax(x, axis=axis)),
    stable.softmax: shares,
    stable.logsumexp: lambda x, axis=None, keepdims=False: np.log(np.exp(x).sum(axis=axis, keepdims=keepdims)),
    stable.softplus: softplus,
    losses.binary_cross_entropy_with_logits: of_logits,
    losses.cross_entropy_of_labels: picked,
    losses.cross_entropy_of_probabilities: lambda z, t: -(t * np.log(stable.softmax(z))).sum(axis=-1),
    losses.squared_error: lambda a, b: (a - b) ** 2,
    arithmetic.divide: lambda a, b: a * (1 / b),
}


def written_out(tape: Tape, values: Mapping[Record, Any]) -> Tensor | None:
    """The loss once more with composite operations written out; None if there are none, or too much of all.

    Parameters
    ----------
    tape : Tape
        What stands behind the loss.
    values : dict of Record to array
        The values of its leaves.
    """
    if len(tape) > LONGEST or not any(r.op in WRITTEN and r.requires_grad for r in tape):
        return None
    made: dict[Record, Any] = {}
    with grad_mode(True), np.errstate(all="ignore"):
        for r in tape.all:
            if r.op is None:
                made[r] = Tensor(np.array(values[r]), requires_grad=r.requires_grad, name=r.name)
                continue
            inputs = [made[x] if isinstance(x, Record) else x for x in r.inputs]
            form = WRITTEN.get(r.op) if r.requires_grad and isinstance(inputs[0], Tensor) else None
            made[r] = form(*inputs, **r.options) if form else r.op(*inputs, **r.options)
    loss: Tensor = made[tape.outputs[0]]
    return loss
