"""What recording costs: one training step of the notes' network beside plain NumPy, autograd and mygrad.

The model is 30-16-8-1 with sigmoids, binary cross entropy and gradient descent, float64. All sides run in this one
process and take turns (A B C A B C ...), after one large block was freed: glibc then keeps freed memory
instead of handing it back to the kernel at every step, which would slow every side more than twice. Losses are
checked equal first. Ratios are to hand-written NumPy in the same run; medians of the rounds.

    make bench                       # or: make bench ARGS="--rounds 5 --profile"
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import io
import os
import platform
import pstats
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import autograd
import autograd.numpy as anp
import mygrad
import numpy as np
from mygrad.nnet.activations import sigmoid as mygrad_sigmoid
from threadpoolctl import threadpool_info

import autodiff as ad
import nn

SIZES = (30, 16, 8, 1)
RATE = 0.1
Step = Callable[[], float]


def data(batch: int):
    """The same arrays for every side."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, np.sqrt(2 / (i + o)), (o, i)) for i, o in zip(SIZES, SIZES[1:])]
    biases = [np.zeros(o) for o in SIZES[1:]]
    x = rng.normal(size=(batch, SIZES[0]))
    y = rng.integers(0, 2, (batch, 1)).astype(float)
    return x, y, weights, biases


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def hand_written(batch: int) -> Step:
    """The formulas of the notes, as a student writes them."""
    x, y, W, b = data(batch)

    def step() -> float:
        a = [x]
        for Wl, bl in zip(W, b):
            a.append(sigmoid(a[-1] @ Wl.T + bl))
        yhat = a[-1]
        loss = -np.mean(y * np.log(yhat) + (1 - y) * np.log(1 - yhat))
        delta = (yhat - y) / batch
        for layer in (2, 1, 0):
            dW, db = delta.T @ a[layer], delta.sum(axis=0)
            if layer:
                delta = delta @ W[layer]
                delta = delta * a[layer] * (1 - a[layer])
            W[layer] -= RATE * dW
            b[layer] -= RATE * db
        return loss

    return step


def recorded(batch: int) -> Step:
    """The engine alone: ops, backward(), and the update as the notes write it."""
    x, y, weights, biases = data(batch)
    W = [ad.Tensor(w, requires_grad=True) for w in weights]
    b = [ad.Tensor(v, requires_grad=True) for v in biases]
    optimizer = nn.optim.SGD([*W, *b], lr=RATE)

    def step() -> float:
        a = x
        for Wl, bl in zip(W[:-1], b[:-1]):
            a = ad.sigmoid(ad.linear(a, Wl, bl))
        z = ad.linear(a, W[-1], b[-1])
        loss = ad.binary_cross_entropy_with_logits(z, y).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def layered(batch: int) -> Step:
    """The layer library: nn.MLP, its loss on ŷ, SGD."""
    x, y, weights, biases = data(batch)
    model = nn.MLP(SIZES, activation="sigmoid", output="binary")
    for parameter, value in zip(model.parameters(), (v for pair in zip(weights, biases) for v in pair)):
        parameter.data = value
    optimizer = nn.optim.SGD(model.parameters(), lr=RATE)

    def step() -> float:
        loss = model.loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def by_autograd(batch: int) -> Step:
    """HIPS autograd."""
    x, y, weights, biases = data(batch)
    parameters = [(w, v) for w, v in zip(weights, biases)]

    def loss_of(parameters):
        a = x
        for w, v in parameters:
            a = 1.0 / (1.0 + anp.exp(-(anp.dot(a, w.T) + v)))
        return -anp.mean(y * anp.log(a) + (1 - y) * anp.log(1 - a))

    both = autograd.value_and_grad(loss_of)

    def step() -> float:
        loss, gradients = both(parameters)
        for (w, v), (dw, dv) in zip(parameters, gradients):
            w -= RATE * dw
            v -= RATE * dv
        return loss

    return step


def by_mygrad(batch: int) -> Step:
    """MyGrad."""
    x, y, weights, biases = data(batch)
    parameters = [(mygrad.tensor(w), mygrad.tensor(v)) for w, v in zip(weights, biases)]

    def step() -> float:
        a = x
        for w, v in parameters:
            a = mygrad_sigmoid(mygrad.matmul(a, w.T) + v)
        loss = -mygrad.mean(y * mygrad.log(a) + (1 - y) * mygrad.log(1 - a))
        loss.backward()
        for pair in parameters:
            for p in pair:
                p.data -= RATE * p.grad
        return float(loss.data)

    return step


SIDES = {"hand-written NumPy": hand_written, "autodiff": recorded, "autodiff + nn.MLP": layered,
         "autograd": by_autograd, "mygrad": by_mygrad}


def seconds(step: Step, count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - begin) / count


def compare(batch: int, rounds: int) -> None:
    """Check that all sides compute the same losses, then time them in turn."""
    steps = {name: build(batch) for name, build in SIDES.items()}
    losses = {name: [float(step()) for _ in range(10)] for name, step in steps.items()}
    for name, values in losses.items():
        np.testing.assert_allclose(values, losses["hand-written NumPy"], rtol=1e-10, err_msg=name)
    counts = {name: max(20, int(0.1 / seconds(step, 50))) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(seconds(step, counts[name]))
    base = statistics.median(times["hand-written NumPy"])
    print(f"\nbatch {batch}: one step (forward, backward, update)")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"  {name:<20} {median * 1e6:9.1f} us   {median / base:5.2f}x of hand-written NumPy")


def profile(batch: int, lines: int = 14) -> None:
    """Where a recorded step's time goes (the profiler itself costs about three times the step)."""
    step = recorded(batch)
    for _ in range(100):
        step()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(2000):
        step()
    profiler.disable()
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(lines)
    print(f"\nprofile of 2000 recorded steps, batch {batch}")
    print("\n".join(line for line in text.getvalue().splitlines()[6:] if line.strip()))


def chain(n: int) -> None:
    """n recorded scalar operations: built, walked back, freed, with the cyclic collector off and on."""
    for on in (False, True):
        (gc.enable if on else gc.disable)()
        x, a = ad.Tensor(0.5, requires_grad=True), ad.Tensor(0.999, requires_grad=True)
        marks = [time.perf_counter()]
        y = x
        for _ in range(n // 2):
            y = y * a + 0.001
        marks.append(time.perf_counter())
        y.backward()
        marks.append(time.perf_counter())
        del y
        marks.append(time.perf_counter())
        built, walked, freed = (1e9 * (b - a) / n for a, b in zip(marks, marks[1:]))
        print(f"  {n:>9,} scalar records, collector {'on ' if on else 'off'}: "
              f"{built:5.0f} ns built, {walked:5.0f} ns walked back, {freed:4.0f} ns freed, each")
    gc.enable()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="also print where a recorded step's time goes")
    options = parser.parse_args()

    block = np.empty(4_000_000)                     # see the docstring
    del block
    blas = ", ".join(f"{p['internal_api']} {p.get('version')} {p.get('architecture', '')}, {p['num_threads']} thread"
                     for p in threadpool_info())
    print(f"Python {platform.python_version()}, NumPy {np.__version__} ({blas}), "
          f"autograd {version('autograd')}, mygrad {version('mygrad')}")
    for batch in (1, 569):
        compare(batch, options.rounds)
    print("\nlong tapes")
    for n in (10_000, 100_000, 1_000_000):
        chain(n)
    if options.profile:
        profile(1)


if __name__ == "__main__":
    main()
