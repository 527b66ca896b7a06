"""This project, eager: with operations and a transform (variant ""), and through the layers of nn ("nn")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import autodiff as ad
import nn
from benchmarks import workloads
from benchmarks.workloads import A, B, Workload, X, chain, checksum, elements, lenet, perceptron


def build(work: Workload, variant: str) -> Callable[[int], float] | None:
    """The step of a workload; layers have nothing to say where there are none."""
    builders = LAYERED if variant == "nn" else BUILDERS
    return builders[work.kind](work) if work.kind in builders else None


def optimizer_of(work: Workload, parameters: Any) -> nn.optim.Optimizer:
    """Gradient descent or Adam."""
    return nn.optim.SGD(parameters, lr=work.lr) if work.kind == "conv" or work.binary else \
        nn.optim.Adam(parameters, lr=work.lr)


def flat(p: Any, arrays: str = "") -> list[Any]:
    """W1, b1, W2, b2 ..., each W (out, in) as the notes have it; with "v" the direction."""
    W, b = (p.vW, p.vb) if arrays else (p.W, p.b)
    return [v for w, c in zip(W, b) for v in (np.ascontiguousarray(w.T), c)]


def loss_of(work: Workload, parameters: Any, x: Any, y: Any) -> Any:
    """The perceptron's loss."""
    a, last = x, len(parameters) - 2
    for i in range(0, last, 2):
        z = ad.linear(a, parameters[i], parameters[i + 1])
        a = ad.sigmoid(z) if work.binary else ad.relu(z)
    z = ad.linear(a, parameters[last], parameters[last + 1])
    if work.binary:
        return ad.binary_cross_entropy_with_logits(z, y).mean()
    return ad.cross_entropy_of_labels(z, y).mean()


def learning(loss: Callable[[Any, Any], Any], optimizer: nn.optim.Optimizer) -> Callable[[Any, Any], Any]:
    """A training step on a batch."""
    def learn(x: Any, y: Any) -> Any:
        value = loss(x, y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.data                   # the tape goes before the next one is made, as PyTorch's does
    return learn


def training(learn: Callable[[Any, Any], Any], x: Any, y: Any) -> Callable[[int], float]:
    """Steps on one batch."""
    def step(k: int) -> float:
        for _ in range(k):
            loss = learn(x, y)
        return float(loss)
    return step


def epochs(learn: Callable[[Any, Any], Any], x: Any, y: Any) -> Callable[[int], float]:
    """Sample by sample; the mean loss."""
    def step(k: int) -> float:
        for _ in range(k):
            total = sum(float(learn(x[i:i + 1], y[i:i + 1])) for i in range(len(x)))
        return total / len(x)
    return step


def train(work: Workload) -> Callable[[int], float]:
    """w1 to w4, w1epoch."""
    p = perceptron(work)
    parameters = [ad.Tensor(v, requires_grad=True) for v in flat(p)]
    learn = learning(lambda x, y: loss_of(work, parameters, x, y), optimizer_of(work, parameters))
    return (epochs if work.kind == "epoch" else training)(learn, p.x, p.y)


def scalars(work: Workload) -> Callable[[int], float]:
    """w5."""
    def once() -> tuple[Any, list[Any]]:
        x, a, b = (ad.Tensor(v, requires_grad=True) for v in (X, A, B))
        y = workloads.scalars(x, a, b, np.tanh, work.turns)
        y.backward()
        return y.data, [x.grad, a.grad, b.grad]

    def step(k: int) -> float:
        for _ in range(k):
            found = once()                  # nothing holds the tape any more: two would be alive at a time
        return checksum(*found)
    return step


def elementwise(work: Workload) -> Callable[[int], float]:
    """w6."""
    x = elements()
    both = ad.value_and_grad(lambda x: chain(x, np.exp, np.tanh, ad.sigmoid).sum())

    def step(k: int) -> float:
        for _ in range(k):
            value, dx = both(x)
        return checksum(value, [dx]) if k == 1 else 0.0
    return step


def hessian_product(work: Workload) -> tuple[Callable[..., Any], list[Any], list[Any]]:
    """w8's function of parameters and direction, and these."""
    p = perceptron(work)

    def product(parameters: list[Any], direction: list[Any]) -> Any:
        return ad.hvp(lambda q: loss_of(work, q, p.x, p.y), (parameters,), (direction,))[0]
    return product, flat(p), flat(p, "v")


def hvp(work: Workload) -> Callable[[int], float]:
    """w8."""
    return products(*hessian_product(work))


def products(product: Callable[..., Any], parameters: list[Any], direction: list[Any]) -> Callable[[int], float]:
    """Steps of w8."""
    def step(k: int) -> float:
        for _ in range(k):
            h = product(parameters, direction)
        return checksum(0.0, h) if k == 1 else 0.0
    return step


def model_of(work: Workload) -> tuple[nn.Module, Callable[[Any, Any], Any], Any, Any]:
    """A model with the workload's parameters, its loss, and the batch."""
    if work.kind == "conv":
        p: Any = lenet()
        plain: Any = dict(bias=False, dtype=work.dtype)
        model: nn.Module = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2, **plain), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5, **plain), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(400, 120, **plain), nn.ReLU(), nn.Linear(120, 84, **plain), nn.ReLU(),
            nn.Linear(84, 10, **plain))
        values, loss = p.weights, nn.CrossEntropyLoss()
    else:
        p = perceptron(work)
        if work.binary:
            model = nn.MLP(work.sizes, activation="sigmoid", output="binary", dtype=work.dtype)
            loss = model.loss_fn
        else:
            first, *rest = (nn.Linear(i, o, dtype=work.dtype) for i, o in zip(work.sizes, work.sizes[1:]))
            model = nn.Sequential(first, *(m for layer in rest for m in (nn.ReLU(), layer)))
            loss = nn.CrossEntropyLoss()
        values = flat(p)
    for parameter, value in zip(model.parameters(), values, strict=True):
        parameter.data = value
    return model, loss, p.x, p.y


def layered(work: Workload) -> Callable[[int], float]:
    """w1 to w4, w7, w1epoch."""
    model, loss, x, y = model_of(work)
    learn = learning(lambda x, y: loss(model(x), y), optimizer_of(work, model.parameters()))
    return (epochs if work.kind == "epoch" else training)(learn, x, y)


BUILDERS = {"train": train, "epoch": train, "scalars": scalars, "elementwise": elementwise, "hvp": hvp}
LAYERED = {"train": layered, "epoch": layered, "conv": layered}
