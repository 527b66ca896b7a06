"""`backward` and `gradients`: the walk back, for a recorded result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autodiff.errors import GradientError, OperandError, ShapeError, TracedValueError
from autodiff.explain import not_a_tensor
from autodiff.record import Leaf, Record, Variable
from autodiff.sites import locate
from autodiff.state import recording, tracing
from autodiff.tape import behind, walk_back
from autodiff.tensor import Tensor
from autodiff.values import plain_value


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
    if tracing.get():
        raise TracedValueError("backward() inside ad.compile writes to .grad, which the compiled function would not do "
                            "again.\n  Return the gradients instead: ad.compile(ad.value_and_grad(loss)), or "
                            "nn.train_step(model, loss_fn, optimizer).")
    found = walk_back({self.record: seed_of(self, gradient)})
    for r in found:
        if type(r) is Leaf:
            break
    else:
        refuse_ended(self, found)
    for r, g in found.items():
        if isinstance(r, Leaf):
            r.grad = g if r.grad is None else r.grad + g


def refuse_ended(output: Tensor, found: Mapping[Record, Any]) -> None:
    """Raise if gradients would reach nothing but the variables of transforms that have ended."""
    ended = [r for r in found if isinstance(r, Variable) and r.ended]
    if ended and len(ended) == len(found):
        variables = ", ".join(f"{r.name}, a variable of {r.ended} at {locate(r.code, r.lasti)}" for r in ended[:4])
        raise GradientError(
            f"{output.name or 'this tensor'} depends on nothing that requires grad but {variables}, which has ended: "
            "its gradient would reach nobody.\n  Compute with it inside the function, hand it out by has_aux=True, or "
            "use a tensor of your own, ad.Tensor(x, requires_grad=True).")


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
    for t in (loss, *wrt):
        if not isinstance(t, Tensor):
            raise not_a_tensor("ad.gradients(loss, [t, ...])", t, "Gradients are known of what was computed from "
                               "tensors made with requires_grad=True; for a function of arrays there is ad.grad(f)(x).")
    record = record or tracing.get()
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
    if gradient is None and value.dtype.kind == "c":
        raise GradientError(f"{output.name or 'this tensor'} is complex, and a loss is a real number; take "
                            "np.abs(z), z.real or z.imag of it")
    if output.requires_grad and gradient is None and value.size == 1:
        return ones(value)
    called = output.name or "this tensor"
    if not output.requires_grad:
        raise GradientError(f"{called} does not depend on anything that requires grad (from {output.record.where})"
                            + cut_off(output.record))
    if gradient is None:
        raise GradientError(f"{called} has shape {output.shape}; the gradient of a non-scalar needs "
                            f"∂loss/∂{output.name or 'it'} as an argument. Did you mean its .mean() or .sum()?")
    gradient = plain_value(gradient, output.dtype)
    if np.shape(gradient) != output.shape:
        raise ShapeError(f"{called} has shape {output.shape}, the gradient given {np.shape(gradient)}")
    return gradient


def cut_off(r: Record) -> str:
    """Why no gradient flows to a result, as far as its tape tells, and what to do."""
    ends = [x for x in behind([r]) if x.op is not None and not x.op.differentiable
            and any(isinstance(i, Record) and i.requires_grad for i in x.inputs)]
    if ends:
        op: Any = ends[0].op
        advice = f"State a rule where it is defined: {op.name}.derivative(lambda y, x: ...)." if op.user else \
            "It is constant between its jumps; if its steps were not meant, leave it out."
        return f".\n  It is cut off by {op.name}, which has no derivative, at {ends[0].where}\n  {advice}"
    text = locate(r.code, r.lasti).text
    line = f": {text}" if text else ""
    if not recording.get():
        return f"{line}\n  Nothing is recorded here: leave `with ad.no_grad():` first."
    return (f"{line}\n  Either no parameter was made with ad.Tensor(..., requires_grad=True), or it was computed under "
            "ad.no_grad(), or .detach(), .numpy(), float() or .item() cut it off on the way.")


setattr(Tensor, "backward", backward)       # noqa: B010  # declared in operators.py
