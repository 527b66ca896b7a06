"""What recording costs, looked at closely: w1 with all sides in this one process, a profile of it, and long tapes.

`make bench` gives each side a process of its own, and two processes differ by a few percent. Where that matters,
because a change of ours is to be judged, the sides take turns here in one (A B C A B C ...), losses checked equal
first; ratios are to hand-written NumPy in the same run, medians of the rounds.

    python -m benchmarks.eager                       # or: python -m benchmarks.eager --rounds 5 --profile
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import io
import os
import pstats
import statistics
import time

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np

import autodiff as ad
from benchmarks import machine
from benchmarks.peers import by_autograd, by_mygrad, naive, ours
from benchmarks.rounds import distance
from benchmarks.table import label
from benchmarks.worker import seconds
from benchmarks.workloads import WORKLOADS

SIDES = {"naive": naive, "ours": ours, "ours_nn": ours, "autograd": by_autograd, "mygrad": by_mygrad}


def compare(name: str, rounds: int) -> None:
    """Check that all sides compute the same losses, then time them in turn."""
    work = WORKLOADS[name]
    steps = {side: module.build(work, "nn" if side == "ours_nn" else "") for side, module in SIDES.items()}
    losses = {side: [float(step(1)) for _ in range(10)] for side, step in steps.items()}
    for side, values in losses.items():
        assert distance(values, losses["naive"]) < 1e-10, side
    counts = {side: max(20, int(5 / seconds(step, 50))) for side, step in steps.items()}      # a tenth of a second
    times: dict[str, list[float]] = {side: [] for side in steps}
    for _ in range(rounds):
        for side, step in steps.items():
            times[side].append(seconds(step, counts[side]) / counts[side])
    print(f"\n{name}: {work.says}")
    for side, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(values, times["naive"]))
        print(f"  {label(side):<28} {statistics.median(values) * 1e6:9.1f} us   {ratio:5.2f}x of hand-written NumPy")


def profile(name: str, lines: int = 14) -> None:
    """Where a recorded step's time goes (the profiler itself costs about three times the step)."""
    step = ours.build(WORKLOADS[name], "")
    assert step is not None
    step(100)
    profiler = cProfile.Profile()
    profiler.runcall(step, 2000)
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(lines)
    print(f"\nprofile of 2000 recorded steps of {name}")
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
    """Compare, build long tapes, and profile if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="also print where a recorded step's time goes")
    options = parser.parse_args()

    block = np.empty(4_000_000)                     # glibc keeps freed memory from now on: see docs/performance.md
    del block
    print(machine.in_words(machine.described()))
    for name in ("w1b1", "w1b569"):
        compare(name, options.rounds)
    print("\nlong tapes")
    for n in (10_000, 100_000, 1_000_000):
        chain(n)
    if options.profile:
        profile("w1b1")


if __name__ == "__main__":
    main()
