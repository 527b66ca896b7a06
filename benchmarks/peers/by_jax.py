"""JAX: jax.jit of the whole step with its state donated, and jax.lax.scan where the loop itself can be compiled.

jit of w5's plain loop would unroll 100,000 operations; scan rolls it by hand: another program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import workloads
from benchmarks.workloads import (
    BETA1,
    BETA2,
    EPSILON,
    A,
    B,
    Workload,
    X,
    chain,
    checksum,
    elements,
    lenet,
    perceptron,
)

UNROLLED = 1000         # turns of a loop that jit would unroll; at 4,762 the compiler takes more than 16 GB


def build(work: Workload, variant: str) -> Callable[[int], float] | None:
    """The step of a workload."""
    if work.dtype == "f8":
        jax.config.update("jax_enable_x64", True)
    if variant == "scan":
        return LOOPS[work.kind](work) if work.kind in LOOPS else None
    return None if work.kind == "epoch" or work.turns > UNROLLED else BUILDERS[work.kind](work)


def cross_entropy(z: Any, y: Any) -> Any:
    """Of logits and class numbers."""
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))


def loss_of(work: Workload, parameters: Any, x: Any, y: Any) -> Any:
    """The perceptron's loss."""
    L = len(parameters) // 2
    a = x
    for i in range(L):
        z = a @ parameters[i] + parameters[L + i]
        a = jax.nn.sigmoid(z) if work.binary else jax.nn.relu(z) if i < L - 1 else z
    return -jnp.mean(y * jnp.log(a) + (1 - y) * jnp.log(1 - a)) if work.binary else cross_entropy(a, y)


def adam(state: Any, gradients: Any, lr: float) -> Any:
    """The state after an update."""
    parameters, m, v, t = state
    t = t + 1
    m = [BETA1 * a + (1 - BETA1) * g for a, g in zip(m, gradients)]
    v = [BETA2 * a + (1 - BETA2) * g * g for a, g in zip(v, gradients)]
    c1, c2 = 1 - BETA1**t, 1 - BETA2**t
    return [p - lr * (a / c1) / (jnp.sqrt(b / c2) + EPSILON) for p, a, b in zip(parameters, m, v)], m, v, t


def training(one: Callable[[Any, Any, Any], Any], state: Any, x: Any, y: Any) -> Callable[[int], float]:
    """Steps on one batch, from a function to (state, loss)."""
    one = functools.partial(jax.jit, donate_argnums=(0,))(one)

    def step(k: int) -> float:
        nonlocal state
        for _ in range(k):
            state, loss = one(state, x, y)
        jax.block_until_ready(state)
        return float(loss)
    return step


def train(work: Workload) -> Callable[[int], float]:
    """w1 to w4."""
    p = perceptron(work)
    parameters = [jnp.asarray(v) for v in p.W + p.b]
    x, y = jnp.asarray(p.x), jnp.asarray(p.y)

    def descend(parameters: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(functools.partial(loss_of, work))(parameters, x, y)
        return [v - work.lr * g for v, g in zip(parameters, gradients)], loss

    def one(state: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(functools.partial(loss_of, work))(state[0], x, y)
        return adam(state, gradients, work.lr), loss

    if work.binary:
        return training(descend, parameters, x, y)
    zeros = ([jnp.zeros_like(v) for v in parameters] for _ in "mv")
    return training(one, (parameters, *zeros, jnp.zeros((), work.dtype)), x, y)


def epoch(work: Workload) -> Callable[[int], float]:
    """w1epoch in one lax.scan."""
    p = perceptron(work)

    def one(parameters: Any, sample: Any) -> Any:
        x, y = sample
        loss, gradients = jax.value_and_grad(functools.partial(loss_of, work))(parameters, x[None], y[None])
        return [v - work.lr * g for v, g in zip(parameters, gradients)], loss

    def whole(parameters: Any, x: Any, y: Any) -> Any:
        parameters, losses = jax.lax.scan(one, parameters, (x, y))
        return parameters, losses.mean()

    return training(whole, [jnp.asarray(v) for v in p.W + p.b], jnp.asarray(p.x), jnp.asarray(p.y))


def scalars(work: Workload) -> Callable[[int], float]:
    """w5's loop as it is written, unrolled."""
    return chained(lambda t: workloads.scalars(*t, jnp.tanh, work.turns))


def rolled(work: Workload) -> Callable[[int], float]:
    """w5, its loop rolled by hand."""
    def f(t: Any) -> Any:
        x, a, b = t

        def body(x: Any, turn: Any) -> Any:
            x = x * a + b
            return jnp.where(turn % 10 == 9, jnp.tanh(x), x), None
        return jax.lax.scan(body, x, jnp.arange(work.turns))[0]
    return chained(f)


def chained(f: Callable[[Any], Any]) -> Callable[[int], float]:
    """Value and gradient of a function of (x, a, b)."""
    both = jax.jit(jax.value_and_grad(f))
    start = tuple(jnp.float64(v) for v in (X, A, B))

    def step(k: int) -> float:
        for _ in range(k):
            value, gradients = both(start)
        return checksum(value, gradients)
    return step


def elementwise(work: Workload) -> Callable[[int], float]:
    """w6."""
    x = jnp.asarray(elements())
    both = jax.jit(jax.value_and_grad(lambda x: chain(x, jnp.exp, jnp.tanh, jax.nn.sigmoid).sum()))

    def step(k: int) -> float:
        for _ in range(k):
            value, dx = both(x)
        dx.block_until_ready()
        return checksum(value, [dx]) if k == 1 else 0.0
    return step


def conv(work: Workload) -> Callable[[int], float]:
    """w7."""
    p = lenet()

    def pool(a: Any) -> Any:
        return jax.lax.reduce_window(a, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def loss(weights: Any, x: Any, y: Any) -> Any:
        k1, k2, f1, f2, f3 = weights
        h = pool(jax.nn.relu(jax.lax.conv_general_dilated(x, k1, (1, 1), [(2, 2), (2, 2)])))
        h = pool(jax.nn.relu(jax.lax.conv_general_dilated(h, k2, (1, 1), "VALID"))).reshape(len(x), -1)
        return cross_entropy(jax.nn.relu(jax.nn.relu(h @ f1.T) @ f2.T) @ f3.T, y)

    def one(weights: Any, x: Any, y: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(weights, x, y)
        return [w - work.lr * g for w, g in zip(weights, gradients)], value

    return training(one, [jnp.asarray(w) for w in p.weights], jnp.asarray(p.x), jnp.asarray(p.y))


def hvp(work: Workload) -> Callable[[int], float]:
    """w8, forward over reverse."""
    p = perceptron(work)
    parameters, direction = ([jnp.asarray(v) for v in arrays] for arrays in (p.W + p.b, p.vW + p.vb))
    x, y = jnp.asarray(p.x), jnp.asarray(p.y)
    product = jax.jit(lambda q, v, x, y: jax.jvp(
        lambda q: jax.grad(functools.partial(loss_of, work))(q, x, y), (q,), (v,))[1])

    def step(k: int) -> float:
        for _ in range(k):
            h = product(parameters, direction, x, y)
        jax.block_until_ready(h)
        return checksum(0.0, h) if k == 1 else 0.0
    return step


LOOPS = {"epoch": epoch, "scalars": rolled}
BUILDERS = {"train": train, "scalars": scalars, "elementwise": elementwise, "conv": conv, "hvp": hvp}
