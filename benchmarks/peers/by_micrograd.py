"""micrograd: scalars, so w5 alone. Its topological sort recurses, hence the recursion limit."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

from micrograd.engine import Value

from benchmarks import workloads
from benchmarks.workloads import A, B, Workload, X, checksum


def build(work: Workload, variant: str) -> Callable[[int], float] | None:
    """w5."""
    if work.kind != "scalars":
        return None
    sys.setrecursionlimit(1_000_000)

    def step(k: int) -> float:
        for _ in range(k):
            x, a, b = Value(X), Value(A), Value(B)
            y = workloads.scalars(x, a, b, tanh, work.turns)
            y.backward()
        return checksum(y.data, (x.grad, a.grad, b.grad))
    return step


def tanh(x: Value) -> Value:
    """The node that its author's lecture adds; the package has none."""
    t = math.tanh(x.data)
    y = Value(t, (x,), "tanh")

    def backward() -> None:
        x.grad += (1 - t * t) * y.grad

    y._backward = backward
    return y
