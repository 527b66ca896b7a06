"""Peers take turns (A B C A B C ...), each in its own live process; losses are compared before anything is timed."""

from __future__ import annotations

import json
import math
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.workloads import named

ROOT = Path(__file__).parents[1]
PATIENCE = 300          # seconds for an answer
PAUSE = 0.03            # seconds for the spinning threads of the peer before to fall asleep
REFERENCE = "naive"
STEPS, SECONDS = 10, 1.0        # a slice has so many steps, unless they take so long

Row = dict[str, Any]


class Died(Exception):
    """A worker that failed, with the last line it wrote."""


def environment(threads: int, **more: str) -> dict[str, str]:
    """The same number of threads for all; OpenBLAS chooses its kernels for the processor."""
    env = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "CPU_COUNT"):
        env[name] = str(threads)
    if threads == 1:
        env["THREADS"] = "0"            # tinygrad
    return env | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)} | more


class Worker:
    """A live process; one thread means one core. At `realtime` priority other jobs wait; it needs the right to that."""

    def __init__(self, peer: str, workload: str, threads: int, realtime: bool = False, **env: str) -> None:
        def settle() -> None:
            if threads == 1:
                os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
            if realtime and not PEERS[peer].spins:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))

        self.errors = tempfile.TemporaryFile("w+")      # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", peer, workload], cwd=ROOT, text=True, preexec_fn=settle,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=environment(threads, **env))
        self.times: list[float] = []
        self.count = 1

    def answer(self) -> Row:
        """The next line; Died if there is none."""
        out: Any = self.process.stdout
        if not select.select([out], [], [], PATIENCE)[0]:
            raise Died(f"no answer in {PATIENCE} s")
        line = out.readline()
        if not line.strip():
            self.errors.seek(0)
            said = [text for text in self.errors.read().splitlines() if text.strip()]
            raise Died(said[-1][:200] if said else "died")
        return dict(json.loads(line))

    def ask(self, command: str) -> Row:
        """The answer to a command."""
        pipe: Any = self.process.stdin
        pipe.write(command + "\n")
        pipe.flush()
        return self.answer()

    def seconds(self, steps: int) -> float:
        """For one step, taken over so many."""
        return float(self.ask(f"run {steps}")["s"]) / steps

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def distance(losses: Iterable[float], reference: Iterable[float]) -> float:
    """The largest relative difference; NaN where there are no losses."""
    gaps = [abs(a - b) / max(abs(b), 1e-3) for a, b in zip(losses, reference, strict=True)]
    return math.nan if any(map(math.isnan, gaps)) else max(gaps)


def settled(worker: Worker, slice_s: float) -> int:
    """How many steps fill a slice; found by a short look and a longer one.

    Not too few: at the end of a slice a side lets go of all it holds, and where that is much, glibc returns it to the
    kernel, page by page, and the next slice fetches it again.
    """
    for part in (1e-9, slice_s / 4):
        worker.count = max(1, int(part / max(worker.seconds(worker.count), 1e-7)))
    step = worker.seconds(worker.count)
    return max(1, int(slice_s / step), min(STEPS, int(SECONDS / step)))


def measure(workload: str, peers: Iterable[str], threads: int, rounds: int = 5, slice_s: float = 0.25,
            realtime: bool = False) -> list[Row]:
    """A row for each peer: microseconds a step with all its rounds, or `missing`, `error`, or losses that differ."""
    work, rows, live = named(workload), [], {}
    chosen = [name for name in PEERS if name in peers or name == REFERENCE]
    reference: list[float] = []
    for name in chosen:
        row: Row = dict(workload=workload, threads=threads, peer=name)
        if absent := PEERS[name].missing():
            rows.append(row | dict(missing=absent))
            continue
        worker = Worker(name, workload, threads, realtime)
        try:
            hello = worker.answer()
            if hello.get("unsupported"):
                worker.close()
                continue
            reference = reference or hello["losses"]
            row |= dict(off=distance(hello["losses"], reference), import_s=hello["import_s"], first_s=hello["first_s"])
            worker.count = settled(worker, slice_s)
            live[name] = worker
        except Died as problem:
            worker.close()
            row |= dict(error=str(problem))
        rows.append(row)
    for _ in range(rounds):
        for worker in live.values():
            time.sleep(PAUSE)
            if warm := worker.count // 20:
                worker.seconds(warm)
            worker.times.append(worker.seconds(worker.count) / work.unit * 1e6)
    for row in rows:
        if worker := live.get(row["peer"]):
            row |= dict(us=statistics.median(worker.times), rounds=worker.times, rss_mb=worker.ask("rss")["mb"])
            row["agrees"] = not row["off"] > work.rtol          # no losses, no disagreement: the limit
            worker.close()
    return rows
