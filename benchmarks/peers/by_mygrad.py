"""MyGrad, its guarding of memory switched off, as its makers advise for speed. It has no second order: no w8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mygrad
from mygrad.nnet.activations import relu, sigmoid
from mygrad.nnet.layers import conv_nd, max_pool
from mygrad.nnet.losses import softmax_crossentropy

from benchmarks import workloads
from benchmarks.peers.naive import updating
from benchmarks.workloads import A, B, Workload, X, chain, checksum, elements, lenet, perceptron


def build(work: Workload, variant: str) -> Callable[[int], float] | None:
    """The step of a workload."""
    mygrad.turn_memory_guarding_off()
    return BUILDERS[work.kind](work) if work.kind in BUILDERS else None


def descending(work: Workload, tensors: list[Any]) -> Callable[[Any], float]:
    """Given the loss: backward, update, the number."""
    update = updating(work, [t.data for t in tensors])

    def descend(loss: Any) -> float:
        loss.backward()
        update([t.grad for t in tensors])
        return float(loss)
    return descend


def learning(work: Workload) -> tuple[Any, Any, Callable[[Any, Any], float]]:
    """The data, and a training step on a batch."""
    p = perceptron(work)
    W, b = ([mygrad.tensor(v, copy=False) for v in arrays] for arrays in (p.W, p.b))
    descend = descending(work, W + b)

    def learn(x: Any, y: Any) -> float:
        a = x
        for i in range(len(W)):
            z = mygrad.matmul(a, W[i]) + b[i]
            a = sigmoid(z) if work.binary else relu(z) if i < len(W) - 1 else z
        if work.binary:
            return descend(-mygrad.mean(y * mygrad.log(a) + (1 - y) * mygrad.log(1 - a)))
        return descend(softmax_crossentropy(a, y))
    return p.x, p.y, learn


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
    def step(k: int) -> float:
        for _ in range(k):
            x, a, b = mygrad.tensor(X), mygrad.tensor(A), mygrad.tensor(B)
            y = workloads.scalars(x, a, b, mygrad.tanh, work.turns)
            y.backward()
        return checksum(y, (x.grad, a.grad, b.grad))
    return step


def elementwise(work: Workload) -> Callable[[int], float]:
    """w6."""
    array = elements()

    def step(k: int) -> float:
        for _ in range(k):
            x = mygrad.tensor(array, copy=False)
            y = chain(x, mygrad.exp, mygrad.tanh, sigmoid).sum()
            y.backward()
        return checksum(y, [x.grad]) if k == 1 else 0.0
    return step


def conv(work: Workload) -> Callable[[int], float]:
    """w7."""
    p = lenet()
    weights = [mygrad.tensor(w, copy=False) for w in p.weights]
    k1, k2, f1, f2, f3 = weights
    descend = descending(work, weights)

    def step(k: int) -> float:
        for _ in range(k):
            h = max_pool(relu(conv_nd(p.x, k1, stride=1, padding=2)), (2, 2), 2)
            h = max_pool(relu(conv_nd(h, k2, stride=1)), (2, 2), 2)
            h = relu(mygrad.matmul(h.reshape(len(p.x), -1), f1.T))
            h = relu(mygrad.matmul(h, f2.T))
            loss = descend(softmax_crossentropy(mygrad.matmul(h, f3.T), p.y))
        return loss
    return step


BUILDERS = {"train": train, "epoch": epoch, "scalars": scalars, "elementwise": elementwise, "conv": conv}
