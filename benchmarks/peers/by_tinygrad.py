"""tinygrad on its CPU device (which needs clang), TinyJit around the whole step. Not for w5 and w1epoch."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DEV", "CPU")

from tinygrad import Context, Device, Tensor, TinyJit
from tinygrad.nn.optim import SGD, Adam

from benchmarks.workloads import BETA1, BETA2, EPSILON, Workload, chain, checksum, elements, lenet, perceptron


def build(work: Workload, variant: str) -> Callable[[int], float] | None:
    """The step of a workload."""
    return BUILDERS[work.kind](work) if work.kind in BUILDERS else None


def tensor(array: Any) -> Tensor:
    """On the device; class numbers as int32."""
    return Tensor(array.astype("i4") if array.dtype.kind == "i" else array).realize()


def mlp(work: Workload) -> tuple[list[Tensor], Callable[[], Tensor]]:
    """Parameters and loss of the perceptron."""
    p = perceptron(work)
    x, y = tensor(p.x), tensor(p.y)
    W, b = [tensor(v) for v in p.W], [tensor(v) for v in p.b]
    for v in W + b:
        v.requires_grad = True

    def loss() -> Tensor:
        a = x
        for i in range(len(W)):
            z = a @ W[i] + b[i]
            a = z.sigmoid() if work.binary else z.relu() if i < len(W) - 1 else z
        if work.binary:
            return -(y * a.log() + (1 - y) * (1 - a).log()).mean()
        return a.sparse_categorical_crossentropy(y)
    return W + b, loss


def training(loss_of: Callable[[], Tensor], optimizer: Any) -> Callable[[int], float]:
    """Steps in which the loss and the update are one schedule."""
    @TinyJit
    def one() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of().backward()
        Tensor.realize(loss, *optimizer.schedule_step())
        return loss

    def step(k: int) -> float:
        with Context(TRAINING=1):
            for _ in range(k):
                loss = one()
        Device["CPU"].synchronize()
        return float(loss.item())
    return step


def train(work: Workload) -> Callable[[int], float]:
    """w1 to w4."""
    parameters, loss = mlp(work)
    return training(loss, SGD(parameters, lr=work.lr) if work.binary
                    else Adam(parameters, lr=work.lr, b1=BETA1, b2=BETA2, eps=EPSILON))


def elementwise(work: Workload) -> Callable[[int], float]:
    """w6."""
    x = tensor(elements())

    @TinyJit
    def one() -> tuple[Tensor, Tensor]:
        y = chain(x, Tensor.exp, Tensor.tanh, Tensor.sigmoid).sum()
        dx, = y.gradient(x)
        Tensor.realize(y, dx)
        return y, dx

    def step(k: int) -> float:
        for _ in range(k):
            y, dx = one()
        Device["CPU"].synchronize()
        return checksum(y.item(), [dx.numpy()]) if k == 1 else 0.0
    return step


def conv(work: Workload) -> Callable[[int], float]:
    """w7."""
    p = lenet()
    x, y = tensor(p.x), tensor(p.y)
    weights = [tensor(w) for w in p.weights]
    for w in weights:
        w.requires_grad = True
    k1, k2, f1, f2, f3 = weights

    def loss() -> Tensor:
        h = x.conv2d(k1, padding=2).relu().max_pool2d(2).conv2d(k2).relu().max_pool2d(2).flatten(1)
        return ((h @ f1.T).relu() @ f2.T).relu().matmul(f3.T).sparse_categorical_crossentropy(y)
    return training(loss, SGD(weights, lr=work.lr))


def hvp(work: Workload) -> Callable[[int], float]:
    """w8: the gradient of the gradient's product with the direction."""
    p = perceptron(work)
    parameters, loss = mlp(work)
    direction = [tensor(v) for v in p.vW + p.vb]

    @TinyJit
    def one() -> list[Tensor]:
        gradients = loss().gradient(*parameters)
        along = sum(((g * v).sum() for g, v in zip(gradients, direction)), Tensor(0.0))
        h = along.gradient(*parameters)
        Tensor.realize(*h)
        return h

    def step(k: int) -> float:
        for _ in range(k):
            h = one()
        Device["CPU"].synchronize()
        return checksum(0.0, [v.numpy() for v in h]) if k == 1 else 0.0
    return step


BUILDERS = {"train": train, "elementwise": elementwise, "conv": conv, "hvp": hvp}
