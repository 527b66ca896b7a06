"""One peer on one workload, in a process of its own; `benchmarks.rounds` starts it and talks to it by lines of JSON.

``run K`` answers the seconds that K steps took, ``rss`` the peak of its memory.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers import PEERS
from benchmarks.workloads import named


def main(name: str, workload: str) -> None:
    """Build, make the first steps, then do as told."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)                       # what libraries print goes to standard error

    def answer(**what: Any) -> None:
        channel.write(json.dumps(what) + "\n")

    block = np.empty(4_000_000)
    del block                           # glibc keeps freed memory from now on, instead of fetching it at every step
    peer, work = PEERS[name], named(workload)
    marks = [time.perf_counter()]
    module = importlib.import_module(f"benchmarks.peers.{peer.module}")
    marks.append(time.perf_counter())
    step = module.build(work, peer.variant)
    if step is None:
        answer(unsupported=True)
        return
    losses = [float(step(1))]
    marks.append(time.perf_counter())
    losses += [float(step(1)) for _ in range(work.losses - 1)]
    answer(losses=losses, import_s=marks[1] - marks[0], first_s=marks[2] - marks[1])
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "run":
            answer(s=seconds(step, int(rest[0])))
        elif command == "rss":
            answer(mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    channel.flush()
    os._exit(0)                         # thread pools and compilers of the libraries are not waited for


def seconds(step: Callable[[int], float], k: int) -> float:
    """How long k steps take."""
    begin = time.perf_counter()
    step(k)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main(*sys.argv[1:])
