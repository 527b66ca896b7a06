"""HIPS autograd: the naive formulas' forward half."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd
import autograd.numpy as np
from autograd.scipy.signal import convolve

from benchmarks import workloads
from benchmarks.peers.naive import updating
from benchmarks.workloads import A, B, Workload, X, chain, checksum, elements, lenet, perceptron


def build(work: Workload, variant: str) -> Callable[[int], float]:
    """The step of a workload."""
    return BUILDERS[work.kind](work)


def sigmoid(z: Any) -> Any:
    """With an exponential that autograd records."""
    return 1.0 / (1.0 + np.exp(-z))


def cross_entropy(z: Any, onehot: Any) -> Any:
    """Of logits."""
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - np.sum(z * onehot, axis=1))


def loss_of(work: Workload, parameters: Any, x: Any, y: Any) -> Any:
    """The perceptron's loss; `y` as rows."""
    W, b = parameters[:len(parameters) // 2], parameters[len(parameters) // 2:]
    a = x
    for i in range(len(W)):
        z = np.dot(a, W[i]) + b[i]
        a = sigmoid(z) if work.binary else np.maximum(z, 0) if i < len(W) - 1 else z
    return -np.mean(y * np.log(a) + (1 - y) * np.log(1 - a)) if work.binary else cross_entropy(a, y)


def learning(work: Workload) -> tuple[Any, Any, Callable[[Any, Any], float]]:
    """The data, and a training step on a batch."""
    p = perceptron(work)
    parameters = p.W + p.b
    both = autograd.value_and_grad(lambda parameters, x, y: loss_of(work, parameters, x, y))
    update = updating(work, parameters)

    def learn(x: Any, y: Any) -> float:
        loss, gradients = both(parameters, x, y)
        update(gradients)
        return loss
    return p.x, p.y if work.binary else p.onehot, learn


def train(work: Workload) -> Callable[[int], float]:
    """w1 to w4."""
    x, y, learn = learning(work)

    def step(k: int) -> float:
        for _ in range(k):
            loss = learn(x, y)
        return loss
    return step


def epoch(work: Workload) -> Callable[[int], float]:
    """w1epoch."""
    x, y, learn = learning(work)

    def step(k: int) -> float:
        for _ in range(k):
            total = sum(learn(x[i:i + 1], y[i:i + 1]) for i in range(len(x)))
        return total / len(x)
    return step


def scalars(work: Workload) -> Callable[[int], float]:
    """w5."""
    both = autograd.value_and_grad(lambda t: workloads.scalars(*t, np.tanh, work.turns))

    def step(k: int) -> float:
        for _ in range(k):
            value, gradients = both((X, A, B))
        return checksum(value, gradients)
    return step


def elementwise(work: Workload) -> Callable[[int], float]:
    """w6."""
    x = elements()
    both = autograd.value_and_grad(lambda x: np.sum(chain(x, np.exp, np.tanh, sigmoid)))

    def step(k: int) -> float:
        for _ in range(k):
            value, dx = both(x)
        return checksum(value, [dx]) if k == 1 else 0.0
    return step


def pool(a: Any) -> Any:
    """The maxima of 2 x 2 squares; a gradient is shared among equal ones."""
    n, c, h, w = a.shape
    return np.max(np.reshape(a, (n, c, h // 2, 2, w // 2, 2)), axis=(3, 5))


def conv(work: Workload) -> Callable[[int], float]:
    """w7, with autograd's convolution (which flips the kernel, as mathematics has it)."""
    p = lenet()
    x, onehot = np.pad(p.x, ((0, 0), (0, 0), (2, 2), (2, 2))), np.eye(10, dtype="f4")[p.y]

    def layer(a: Any, weight: Any) -> Any:
        z = convolve(a, weight[:, :, ::-1, ::-1], axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid")
        return pool(np.maximum(z, 0))

    def loss(weights: Any) -> Any:
        k1, k2, f1, f2, f3 = weights
        h = layer(layer(x, k1), k2)
        h = np.maximum(np.dot(np.reshape(h, (len(h), -1)), f1.T), 0)
        return cross_entropy(np.dot(np.maximum(np.dot(h, f2.T), 0), f3.T), onehot)

    both, update = autograd.value_and_grad(loss), updating(work, p.weights)

    def step(k: int) -> float:
        for _ in range(k):
            value, gradients = both(p.weights)
            update(gradients)
        return value
    return step


def hvp(work: Workload) -> Callable[[int], float]:
    """w8."""
    p = perceptron(work)
    product = autograd.make_hvp(lambda parameters: loss_of(work, parameters, p.x, p.onehot))

    def step(k: int) -> float:
        for _ in range(k):
            h = product(p.W + p.b)[0](p.vW + p.vb)
        return checksum(0.0, h) if k == 1 else 0.0
    return step


BUILDERS = {"train": train, "epoch": epoch, "scalars": scalars, "elementwise": elementwise, "conv": conv, "hvp": hvp}
