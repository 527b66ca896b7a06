"""What a step cannot go below: its matrix products alone, operands warm, and one fused pass of Adam.

It takes no notice of relu, biases and softmax: a measured reference, not a proof. The pass runs on one thread, as ours
does; NumPy's matrix products on all that are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from benchmarks.workloads import BETA1, BETA2, EPSILON, Workload, perceptron


def build(work: Workload, variant: str) -> Callable[[int], float] | None:
    """w2 to w4. On nets as small as w1's it is the calls that cost, not the products."""
    if work.kind != "train" or work.binary:
        return None
    size = sum(v.size for v in perceptron(work).W + perceptron(work).b)
    P, G, M, V = (np.full(size, 1e-3, "f4") for _ in "PGMV")
    calls = products(work, G)
    dot, t = np.dot, 0

    def step(k: int) -> float:
        nonlocal t
        for _ in range(k):
            for a, b, out in calls:
                dot(a, b, out=out)
            t += 1
            adam(P, G, M, V, np.float32(work.lr / (1 - BETA1**t)), np.float32((1 - BETA2**t) ** -0.5))
        return float("nan")         # it learns nothing
    return step


def products(work: Workload, G: Any) -> list[tuple[Any, Any, Any]]:
    """Left, right and result of every matrix product of a step; the weights' gradients go where the update reads."""
    rng = np.random.default_rng(0)

    def matrix(m: int, n: int) -> Any:
        return rng.standard_normal((m, n)).astype(work.dtype)

    n, at, calls = work.batch, 0, []
    for layer, (i, o) in enumerate(zip(work.sizes, work.sizes[1:])):
        a, w, delta = matrix(n, i), matrix(i, o), matrix(n, o)
        calls += [(a, w, np.empty((n, o), "f4")), (a.T, delta, G[at:at + i * o].reshape(i, o))]
        at += i * o
        if layer:               # the input needs no gradient
            calls.append((delta, w.T, np.empty((n, i), "f4")))
    return calls


b1, b2, c1, c2, epsilon = (np.float32(v) for v in (BETA1, BETA2, 1 - BETA1, 1 - BETA2, EPSILON))


@numba.njit(fastmath=True, error_model="numpy")
def adam(P: Any, G: Any, M: Any, V: Any, rate: Any, scale: Any) -> None:
    """Every parameter once."""
    for i in range(P.size):
        M[i] = b1 * M[i] + c1 * G[i]
        V[i] = b2 * V[i] + c2 * G[i] * G[i]
        P[i] -= rate * M[i] / (np.sqrt(V[i]) * scale + epsilon)
