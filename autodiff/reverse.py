"""`backward` and `gradients`: the walk back, for a recorded result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.errors import GradientError, OperandError, ShapeError
from autodiff.record import Leaf, Record
from autodiff.state import recording
from autodiff.tape import behind, walk_back
from autodiff.tensor import Tensor, plain_value


def backward(self: Tensor, gradient: Any = None) -> None:
    """Add ∂self/∂leaf into the `.grad` of every leaf behind this tensor that requires grad.

    Parameters
    ----------
    gradient : array_like, optional
        ∂loss/∂self; needed unless this tensor is a scalar.

    Raises
    ------
    GradientError
        If nothing behind this tensor requires grad, or it is no scalar and `gradient` is missing.
    MutationError
        If a value the gradient needs was changed in place. No `.grad` is touched then.

    Examples
    --------
    >>> x = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4.])
    """
    for r, g in walk_back({self.record: seed_of(self, gradient)}).items():
        if isinstance(r, Leaf):
            r.grad = g if r.grad is None else r.grad + g


def gradients(loss: Tensor, wrt: Sequence[Tensor], record: bool = False) -> list[Any]:
    """∂loss/∂t for each tensor t that the loss depends on, leaves or intermediates.

    Parameters
    ----------
    loss : Tensor
        A scalar.
    wrt : sequence of Tensor
        Where the gradients are wanted.
    record : bool
        Return Tensors that are on a tape themselves, for derivatives of higher order.

    Returns
    -------
    list of ndarray, or of Tensor with `record`
        Each of its tensor's shape and dtype, owned and writable. No `.grad` is touched.

    Raises
    ------
    GradientError
        If a tensor is not behind the loss.

    Examples
    --------
    >>> x = ad.Tensor(2.0, requires_grad=True)
    >>> y = x ** 3
    >>> [first] = ad.gradients(y, [x], record=True)
    >>> [second] = ad.gradients(first, [x])
    >>> float(first), float(second)
    (12.0, 12.0)
    """
    if isinstance(wrt, Tensor):
        raise OperandError("ad.gradients takes a list of tensors: ad.gradients(loss, [t])")
    wanted = [t.record for t in wrt]
    seeds = {loss.record: seed_of(loss, None)}
    found = walk_back(seeds, wanted, record)
    if any(r not in found for r in wanted):
        tape = set(behind([loss.record]))
        for t in wrt:
            if t.record not in tape:
                raise GradientError(f"{t.name or 'a tensor'} (from {t.record.where}) is not on the tape of "
                                    f"{loss.name or 'this loss'}: it was not computed from it")
    return [found.get(r, zeros(r, record)) for r in wanted]


def zeros(r: Record, record: bool) -> Any:
    """The gradient where none arrives."""
    return Tensor(np.zeros_like(r.value)) if record else np.zeros_like(r.value)


def ones(value: Any) -> Any:
    """The seed 1 of a scalar, of the value's own dtype and kind of array."""
    return type(value)(1) if isinstance(value, np.generic) else np.ones_like(value)[()]


def seed_of(output: Tensor, gradient: Any) -> Any:
    """∂loss/∂output to start from: 1 for a scalar."""
    value = output.record.value
    if output.requires_grad and gradient is None and value.size == 1:
        return ones(value)
    called = output.name or "this tensor"
    if not output.requires_grad:
        raise GradientError(f"{called} does not depend on anything that requires grad "
                            f"(from {output.record.where}); make its parameters with ad.Tensor(..., requires_grad=True)"
                            + ("" if recording.get() else ", and leave ad.no_grad()"))
    if gradient is None:
        raise GradientError(f"{called} has shape {output.shape}; the gradient of a non-scalar needs "
                            f"∂loss/∂{output.name or 'it'} as an argument. Did you mean its .mean() or .sum()?")
    gradient = plain_value(gradient, output.dtype)
    if np.shape(gradient) != output.shape:
        raise ShapeError(f"{called} has shape {output.shape}, the gradient given {np.shape(gradient)}")
    return gradient


setattr(Tensor, "backward", backward)       # noqa: B010  # declared in operators.py
