"""The workloads: shapes, arrays, initial parameters. Every peer gets the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8        # Adam
SAMPLES = 5000                                  # w1epoch
X, A, B = 0.5, 0.9, 0.1                         # w5
ELEMENTS = 1_000_000                            # w6


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    `kind` is what a step is: "train" or "epoch" of a multilayer perceptron, "scalars", "elementwise", "conv",
    "hvp". `rtol` is how far a loss may be from naive NumPy's; `losses` how many are compared; `unit` how many
    steps one call makes; `turns` how long the loop of "scalars" is, at 2.1 nodes a turn.
    """

    says: str
    kind: str
    rtol: float
    losses: int = 10
    unit: int = 1
    sizes: tuple[int, ...] = ()
    batch: int = 1
    dtype: str = "f4"
    lr: float = 3e-4
    turns: int = 0

    @property
    def binary(self) -> bool:
        """Sigmoids, binary cross entropy and gradient descent, or else relu, softmax cross entropy and Adam."""
        return self.sizes[-1] == 1


SMALL = dict(sizes=(30, 16, 8, 1), dtype="f8", lr=0.1, rtol=1e-6)
CHAIN = dict(rtol=1e-9, losses=1, dtype="f8")
MNIST = dict(sizes=(784, 128, 64, 10), batch=64, rtol=1e-4)

# float32 losses drift apart: Adam divides small gradients by their own size, which amplifies rounding; on w4 most.
WORKLOADS = {
    "w1b1": Workload("30-16-8-1, sigmoid, SGD, batch 1", "train", **SMALL),
    "w1b569": Workload("30-16-8-1, sigmoid, SGD, batch 569", "train", batch=569, **SMALL),
    "w1epoch": Workload("w1b1 over 5,000 samples in one call, by step", "epoch", losses=2, unit=SAMPLES, **SMALL),
    "w2": Workload("784-128-64-10, relu, Adam, batch 64", "train", **MNIST),
    "w3": Workload("784-512-256-10, relu, Adam, batch 256", "train", sizes=(784, 512, 256, 10), batch=256, rtol=1e-4),
    "w4": Workload("1024-2048-2048-10, relu, Adam, batch 512", "train", sizes=(1024, 2048, 2048, 10), batch=512,
                   rtol=5e-3),
    "w5": Workload("100,000 scalar nodes, forward and backward", "scalars", turns=47619, **CHAIN),
    "w6": Workload("20 elementwise operations on 1,000,000 elements", "elementwise", rtol=1e-4, losses=1),
    "w7": Workload("LeNet on 32 x 1 x 28 x 28, SGD", "conv", rtol=1e-4, batch=32, lr=0.01),
    "w8": Workload("Hessian-vector product of w2's loss", "hvp", losses=1, **MNIST),
}

# What compiling costs by the number of records: w5, shorter. Nobody times their steps.
RECORDS = {f"records{n}": Workload(f"{n} scalar nodes", "scalars", turns=round(n / 2.1), **CHAIN)
           for n in (100, 1000, 10_000)}


def named(name: str) -> Workload:
    """The workload of that name."""
    return (WORKLOADS | RECORDS)[name]


def perceptron(work: Workload) -> SimpleNamespace:
    """Weights W (in, out), biases b, a batch x, y, the targets as rows `onehot`; for w8 a direction vW, vb."""
    rng = np.random.default_rng(0)
    sizes, dtype = work.sizes, work.dtype
    gain = 1.0 if work.binary else 2.0
    p = SimpleNamespace()
    p.W = [(rng.standard_normal((i, o)) * (gain / i) ** 0.5).astype(dtype) for i, o in zip(sizes, sizes[1:])]
    p.b = [np.zeros(o, dtype) for o in sizes[1:]]
    rows = SAMPLES if work.kind == "epoch" else work.batch
    p.x = rng.standard_normal((rows, sizes[0])).astype(dtype)
    if work.binary:
        p.y = rng.integers(0, 2, (rows, 1)).astype(dtype)
    else:
        p.y = rng.integers(0, sizes[-1], rows)
        p.onehot = np.eye(sizes[-1], dtype=dtype)[p.y]
    if work.kind == "hvp":
        p.vW, p.vb = ([rng.standard_normal(v.shape).astype(dtype) for v in arrays] for arrays in (p.W, p.b))
    return p


def scalars(x: Any, a: Any, b: Any, tanh: Any, turns: int) -> Any:
    """w5, for any library: x ← x a + b, and tanh at every tenth turn."""
    for turn in range(turns):
        x = x * a + b
        if turn % 10 == 9:
            x = tanh(x)
    return x


def elements() -> Array:
    """w6's argument."""
    return np.random.default_rng(1).standard_normal(ELEMENTS).astype("f4")


def chain(x: Any, exp: Any, tanh: Any, sigmoid: Any) -> Any:
    """w6, for any library: 20 elementwise operations."""
    t = tanh(x * 0.5 + 0.1)
    t = exp(sigmoid(t * x))
    t = tanh(t * 0.3 - x)
    t = sigmoid(t + x)
    t = tanh(exp(t * t) * 0.5)
    t = sigmoid((t + x) * 0.7)
    return exp(t) * x


def lenet() -> SimpleNamespace:
    """w7: 5 x 5 convolutions of 6 (padded by 2) and 16 channels, each with relu and 2 x 2 max pooling; 120-84-10."""
    rng = np.random.default_rng(2)
    p = SimpleNamespace()
    p.x = rng.standard_normal((32, 1, 28, 28)).astype("f4")
    p.y = rng.integers(0, 10, 32)
    p.weights = [(rng.standard_normal(s) * (2 / np.prod(s[1:])) ** 0.5).astype("f4")
                 for s in [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]]
    return p


def checksum(value: Any, gradients: Any) -> float:
    """What stands for a loss where there is none: the value and the sum of all absolute gradients."""
    return float(value) + sum(float(np.abs(np.asarray(g)).sum(dtype="f8")) for g in gradients)
