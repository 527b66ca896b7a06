"""`fit`: mini-batches, validation, progress, history; and an end that leaves the model in one piece."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np

from autodiff import GradientError, OperandError, ShapeError, Tensor, generator, no_grad
from nn.errors import NonFiniteError
from nn.history import History
from nn.interrupts import uninterrupted
from nn.module import Module
from nn.optim import Optimizer
from nn.progress import Progress
from nn.reduction import value_of

Array = np.ndarray[Any, Any]
Pair = Sequence[Any]
Metric = Callable[[Array, Array], float]
ROWS = 4096         # samples that are evaluated at once


def fit(model: Module, loss_fn: Callable[[Any, Any], Any], data: Pair, optimizer: Optimizer, epochs: int,
        batch_size: int | None = None, validation: Pair | None = None, rng: np.random.Generator | int | None = None,
        metrics: Mapping[str, Metric] | None = None, progress: bool = True, shuffle: bool = True,
        callbacks: Iterable[Callable[[Module, History], object]] = (), compile: bool = False) -> History:
    """Train a model.

    The model is in training mode while it learns and in evaluation mode while it is evaluated; afterwards each
    part is in the mode it was in. Ctrl-C ends the training early and keeps what was learnt.

    Parameters
    ----------
    model : Module
        Called with a batch of samples.
    loss_fn : callable
        ``loss_fn(prediction, target)``, a scalar Tensor; a mean over samples, so that batches weigh by their size.
    data : pair of array or Tensor
        Samples and targets, along axis 0.
    optimizer : Optimizer
        Of the model's parameters.
    epochs : int
        How many times to go through the data.
    batch_size : int, optional
        Samples per step; the last batch may be smaller. By default all at once.
    validation : pair of array or Tensor, optional
        Samples and targets that the model does not learn from.
    rng : numpy.random.Generator or int, optional
        Where the order of the samples comes from; by default the generator of `autodiff.seed`.
    metrics : dict of str to callable, optional
        Each ``metric(prediction, target)`` on arrays, a number; taken after each epoch on the validation data if
        there are any, else on the training data.
    progress : bool
        Whether to show a bar (tqdm) or lines, on standard error.
    shuffle : bool
        Whether each epoch takes the samples in a new order.
    callbacks : iterable of callable
        Each ``callback(model, history)`` is called after each epoch, such as a `viz.Watch`.
    compile : bool
        Whether to run compiled steps (`nn.train_step`), and whole epochs in native code where the model is tiny and
        numba is installed. `.grad` is not set then.

    Returns
    -------
    History
        Losses, metrics and times by epoch; ``history.interrupted`` after Ctrl-C.

    Raises
    ------
    NonFiniteError
        If a loss or a gradient is infinite or NaN. The parameters are as before that update.
    ShapeError, OperandError, GradientError
        If samples and targets are not equally many, or the loss is no scalar with a gradient.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model = nn.Linear(1, 1, rng=0)
    >>> optimizer = nn.optim.SGD(model.parameters(), lr=0.5)
    >>> history = nn.fit(model, nn.MSELoss(), (x, 3 * x + 1), optimizer,
    ...                  epochs=20, batch_size=16, rng=0, progress=False)
    >>> model.weight.data.round(2), model.bias.data.round(2)
    (array([[3.]]), array([1.]))
    """
    x, y = pair("data", data)
    held_out = None if validation is None else pair("validation", validation)
    if epochs < 0 or (batch_size is not None and batch_size < 1):
        raise ValueError(f"epochs={epochs}, batch_size={batch_size}: epochs must not be negative, and a batch has at "
                         "least one sample")
    draws = generator(rng)
    told = list(callbacks)
    history = History(metrics={name: [] for name in metrics or {}})
    shown = Progress(epochs, progress)
    modes = [(module, module.training) for _, module in model.named_modules()]
    try:
        kind = import_module("nn.compiled").Learner if compile else Learner
        learner: Learner = kind(model, loss_fn, optimizer)
        model.train()
        for epoch in range(1, epochs + 1):
            started = perf_counter()
            numbers = {"train_loss": learner.epoch(x, y, batch_size, draws if shuffle else None, epoch) / len(x)}
            if held_out is not None or metrics:
                model.eval()
                numbers |= evaluate(model, loss_fn, held_out, held_out or (x, y), metrics or {})
                model.train()
            keep(history, numbers, perf_counter() - started)
            for callback in told:
                callback(model, history)
            shown.epoch(epoch, numbers)
    except KeyboardInterrupt:
        history.interrupted = True
        optimizer.zero_grad()               # a backward pass may have been cut short
    finally:
        shown.close()
        for module, mode in modes:
            object.__setattr__(module, "training", mode)
    if history.interrupted:
        print(f"interrupted in epoch {len(history) + 1} of {epochs}: the model keeps what it has learnt",
              file=sys.stderr)
    return history


def pair(what: str, data: Pair) -> tuple[Array, Array]:
    """Samples and targets as arrays of one length."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise OperandError(f"{what} is a pair (samples, targets), not {type(data).__name__}"
                           + (f" of {len(data)}" if isinstance(data, tuple | list) else ""))
    x, y = (item.numpy() if isinstance(item, Tensor) else np.asarray(item) for item in data)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ShapeError(f"{what}: samples of shape {x.shape} and targets of shape {y.shape} are not equally many "
                         "along axis 0")
    if len(x) == 0:
        raise ShapeError(f"{what} has no samples: shape {x.shape}")
    return x, y


def ordered(n: int, draws: np.random.Generator | None) -> Array | None:
    """The order of the samples, drawn anew; None for the order they are in."""
    return draws.permutation(n) if draws is not None else None


def batches(x: Array, y: Array, size: int | None, order: Array | None) -> Iterator[tuple[Array, Array]]:
    """The data in pieces of `size`, the last maybe smaller, in this order."""
    n = len(x)
    if size is None or size >= n:           # all at once: the order is of no consequence
        yield x, y
        return
    for start in range(0, n, size):
        chosen = slice(start, start + size) if order is None else order[start:start + size]
        yield x[chosen], y[chosen]


class Learner:
    """Takes the steps of a training.

    Parameters
    ----------
    model, loss_fn, optimizer
        As in `fit`.
    """

    def __init__(self, model: Module, loss_fn: Callable[[Any, Any], Any], optimizer: Optimizer) -> None:
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer

    def epoch(self, x: Array, y: Array, size: int | None, draws: np.random.Generator | None, epoch: int) -> float:
        """Go through the data once; the sum of the samples' losses."""
        order = None if size is None or size >= len(x) else ordered(len(x), draws)
        return self.steps(batches(x, y, size, order), epoch, 1)

    def steps(self, pieces: Iterable[tuple[Array, Array]], epoch: int, first: int) -> float:
        """One step for each batch; the sum of the samples' losses."""
        total = 0.0
        for batch, (xb, yb) in enumerate(pieces, start=first):
            total += len(xb) * self.step(xb, yb, (epoch, batch))
        return total

    def step(self, x: Array, y: Array, where: tuple[int, int]) -> float:
        """One step; returns the loss before it."""
        optimizer = self.optimizer
        optimizer.zero_grad()
        loss = self.loss_fn(self.model(x), y)
        if not isinstance(loss, Tensor) or loss.size != 1:
            got = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
            raise GradientError(f"loss_fn must return a scalar Tensor, and returned {got}; did you mean "
                                "reduction='mean'?")
        value = number(loss)
        if not isfinite(value):
            raise NonFiniteError(report(f"the loss is {value}", where, optimizer))
        loss.backward()
        for p, name in zip(optimizer.params, optimizer.names, strict=True):
            g = p.grad
            if g is not None and not all_finite(g):
                what = f"the loss is {value:.6g}, but the gradient of {name} is not finite"
                raise NonFiniteError(report(what, where, optimizer))
        uninterrupted(optimizer.step)
        return value


def all_finite(g: Array) -> bool:
    """Whether no element is infinite or NaN.

    A sum of squares is the cheapest look at every element; it may overflow where they do not.
    """
    return bool(isfinite(np.vdot(g, g)) or np.isfinite(g).all())


def number(loss: Any) -> float:
    """The loss as a number; unlike float(loss) it does not tell the tape, which nobody will replay."""
    return float(np.reshape(value_of(loss), ()))


def report(what: str, where: tuple[int, int], optimizer: Optimizer) -> str:
    """What to say, and to do, about numbers that are not finite."""
    epoch, batch = where
    return (f"epoch {epoch}, batch {batch}: {what}, with learning rate {optimizer.lr:g}. The parameters are as before "
            "this update.\n  Usual causes: a learning rate that is too high (try a tenth), data that are not "
            "standardised or hold NaN (np.isfinite(X).all()), a logarithm or division at 0.")


def evaluate(model: Module, loss_fn: Callable[[Any, Any], Any], held_out: tuple[Array, Array] | None,
             data: tuple[Array, Array], metrics: Mapping[str, Metric]) -> dict[str, float]:
    """The validation loss, if there are such data, and the metrics."""
    x, y = data
    total, predictions = 0.0, []
    with no_grad():
        for xb, yb in batches(x, y, ROWS, None):
            prediction = model(xb)
            predictions.append(np.asarray(value_of(prediction)))
            if held_out is not None:
                total += len(xb) * number(loss_fn(prediction, yb))
        whole = np.concatenate(predictions) if len(predictions) > 1 else predictions[0]
        numbers = {} if held_out is None else {"validation_loss": total / len(x)}
        return numbers | {name: float(metric(whole, y)) for name, metric in metrics.items()}


def keep(history: History, numbers: dict[str, float], seconds: float) -> None:
    """Add an epoch to the history, all of it or nothing."""
    history.train_loss.append(numbers["train_loss"])
    if "validation_loss" in numbers:
        history.validation_loss.append(numbers["validation_loss"])
    for name, values in history.metrics.items():
        values.append(numbers[name])
    history.seconds.append(seconds)
