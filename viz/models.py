"""What pictures of training need of a model: its parameters, a look at it, and that nothing is changed by looking.

A model is whatever is called with samples and has `named_parameters`; no class is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from autodiff import OperandError, ShapeError, Tensor, generator
from autodiff.record import Leaf

Array = np.ndarray[Any, Any]
Loss = Callable[[Any, Any], Any]


def trained(model: Any) -> list[tuple[str, Tensor]]:
    """The parameters that are trained, with their paths."""
    if not callable(getattr(model, "named_parameters", None)):
        raise OperandError("the model must have named_parameters(), as an nn.Module has, and be called with samples; "
                           f"given was a {type(model).__name__}")
    found = [(path, p) for path, p in model.named_parameters() if p.requires_grad]
    if not found:
        raise OperandError(f"{type(model).__name__} has no parameters that require grad")
    return found


def pair(data: Any) -> tuple[Array, Array]:
    """Samples and targets as arrays."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise OperandError(f"the data are a pair (samples, targets), not {type(data).__name__}")
    x, y = (item.numpy() if isinstance(item, Tensor) else np.asarray(item) for item in data)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or len(x) == 0:
        raise ShapeError(f"samples of shape {x.shape} and targets of shape {y.shape} must be equally many, and at "
                         "least one, along axis 0")
    return x, y


def loss_of(model: Any, loss_fn: Loss, x: Array, y: Array) -> Tensor:
    """The loss on these samples."""
    loss = loss_fn(model(x), y)
    if not isinstance(loss, Tensor) or loss.size != 1:
        got = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ShapeError(f"loss_fn must return a scalar Tensor, and returned {got}; did you mean reduction='mean'?")
    return loss


def number(loss: Tensor) -> float:
    """The loss as a number; unlike float(loss) it does not tell the tape."""
    return float(np.reshape(loss.record.value, ()))


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Within this block the model is as in use (no dropout); afterwards everything is as it was, bit for bit.

    That is the attributes of each module, its mode among them; the values of its tensors, with what their records know
    of themselves, so that a graph which stands on them stays valid; and the generator of `autodiff.seed`, so that
    looking changes no training.
    """
    modules = [module for _, module in model.named_modules()] if hasattr(model, "named_modules") else [model]
    modules = [module for module in modules if hasattr(module, "__dict__")]
    attributes = [dict(vars(module)) for module in modules]
    tensors = [p for _, p in model.named_parameters()]
    tensors += [value for held in attributes for value in held.values() if isinstance(value, Tensor)]
    records = [(tensor, tensor.record) for tensor in tensors]
    leaves = dict.fromkeys(record for _, record in records if isinstance(record, Leaf))
    values = [(leaf, np.array(leaf.value), leaf.value, leaf.version, leaf.leaks, leaf.exposed) for leaf in leaves]
    draws = generator().bit_generator
    state = draws.state
    try:
        for module in modules:
            if hasattr(module, "training"):
                object.__setattr__(module, "training", False)
        yield
    finally:
        for module, held in zip(modules, attributes, strict=True):
            vars(module).clear()
            vars(module).update(held)
        for tensor, record in records:
            tensor.record = record
        for leaf, copy, value, version, leaks, exposed in values:
            if isinstance(value, np.ndarray):
                value[...] = copy
            leaf.value, leaf.version, leaf.leaks, leaf.exposed = value, version, leaks, exposed
        draws.state = state
