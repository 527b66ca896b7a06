"""This project, compiled: to NumPy ("numpy"), with numba ("jit"), and with it w5's loop rolled by ad.scan ("scan")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import autodiff as ad
import nn
from benchmarks import workloads
from benchmarks.peers import ours
from benchmarks.workloads import A, B, Workload, X, chain, checksum, elements

UNROLLED = 30_000       # turns of a loop that would be compiled as it is written


def build(work: Workload, variant: str) -> Callable[[int], float] | None:
    """The step of a workload."""
    if variant == "scan":
        return rolled(work) if work.kind == "scalars" else None
    return None if work.turns > UNROLLED else BUILDERS[work.kind](work, variant == "numpy")


def jit(numpy: bool) -> dict[str, bool]:
    """The setting that keeps to NumPy, or none."""
    return {"jit": False} if numpy else {}


def train(work: Workload, numpy: bool) -> Callable[[int], float]:
    """w1 to w4, w7."""
    model, loss, x, y = ours.model_of(work)
    optimizer = ours.optimizer_of(work, model.parameters())
    return ours.training(nn.train_step(model, loss, optimizer, compile=True, **jit(numpy)), x, y)


def epoch(work: Workload, numpy: bool) -> Callable[[int], float] | None:
    """w1epoch inside nn.fit."""
    if numpy:
        return None
    model, loss, x, y = ours.model_of(work)
    optimizer = ours.optimizer_of(work, model.parameters())

    def step(k: int) -> float:
        history = nn.fit(model, loss, (x, y), optimizer, epochs=k, batch_size=1, shuffle=False, progress=False,
                         compile=True)
        return history.train_loss[-1]
    return step


def scalars(work: Workload, numpy: bool) -> Callable[[int], float]:
    """w5's loop as it is written, record by record."""
    return chained(lambda x, a, b: workloads.scalars(x, a, b, np.tanh, work.turns), numpy)


def rolled(work: Workload) -> Callable[[int], float]:
    """w5, its loop rolled by hand: another program, as with jax.lax.scan."""
    tenth = np.arange(work.turns) % 10 == 9

    def f(x: Any, a: Any, b: Any) -> Any:
        def body(x: Any, turn: Any) -> Any:
            x = x * a + b
            return np.where(turn, np.tanh(x), x), None
        return ad.scan(body, x, tenth)[0]
    return chained(f, False)


def chained(f: Callable[..., Any], numpy: bool) -> Callable[[int], float]:
    """Value and gradients of a function of x, a, b."""
    both = ad.compile(ad.value_and_grad(f, (0, 1, 2)), **jit(numpy))
    start = tuple(np.float64(v) for v in (X, A, B))

    def step(k: int) -> float:
        for _ in range(k):
            value, gradients = both(*start)
        return checksum(value, gradients)
    return step


def elementwise(work: Workload, numpy: bool) -> Callable[[int], float]:
    """w6."""
    x = elements()
    both = ad.compile(ad.value_and_grad(lambda x: chain(x, np.exp, np.tanh, ad.sigmoid).sum()), **jit(numpy))

    def step(k: int) -> float:
        for _ in range(k):
            value, dx = both(x)
        return checksum(value, [dx]) if k == 1 else 0.0
    return step


def hvp(work: Workload, numpy: bool) -> Callable[[int], float]:
    """w8."""
    product, parameters, direction = ours.hessian_product(work)
    return ours.products(ad.compile(product, **jit(numpy)), parameters, direction)


BUILDERS = {"train": train, "conv": train, "epoch": epoch, "scalars": scalars, "elementwise": elementwise, "hvp": hvp}
