"""Run the benchmarks: ``python -m benchmarks`` from the project's root, or ``make bench``.

    make bench                                            # everything, one thread and two: a quarter of an hour
    make bench ARGS="-w w2,w3 -t 1 ours_jit jax torch"    # these workloads and peers; naive NumPy always, as reference
    make bench ARGS="--first -w w2"                       # first use: compiled afresh, from the cache, by records

Tables go to standard output, and with the machine and every round to benchmarks/results/, with a picture.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks import first, machine, picture, rounds, table
from benchmarks.peers import PEERS
from benchmarks.workloads import WORKLOADS

RESULTS = Path(__file__).parent / "results"


def numbers(text: str) -> list[int]:
    """The numbers between commas."""
    return [int(part) for part in text.split(",")]


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; unknown names of peers and workloads are refused with the list of known ones."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", metavar="peer", help=", ".join(PEERS))
    parser.add_argument("-w", "--workloads", default=",".join(WORKLOADS), help="default: all")
    parser.add_argument("-t", "--threads", type=numbers, default=[1, 2], help="default: 1,2")
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("--slice", type=float, default=0.25, metavar="S", help="seconds a peer runs in each round")
    parser.add_argument("--realtime", action="store_true", help="real-time priority, where allowed: others wait")
    parser.add_argument("--first", action="store_true", help="measure first use instead")
    options = parser.parse_args(arguments)
    options.workloads = options.workloads.split(",")
    options.peers = options.peers or list(PEERS)
    for what, given, known in (("peer", options.peers, PEERS), ("workload", options.workloads, WORKLOADS)):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"no {what} is called {unknown[0]!r}; there are {', '.join(known)}")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, keep."""
    options = parsed(arguments)
    described = machine.described()
    print(machine.in_words(described), flush=True)
    if options.first:
        print(first.report(options.workloads, options.peers))
        return
    rows: list[rounds.Row] = []
    for workload in options.workloads:
        for threads in options.threads:
            print(f"measuring {workload}, {threads} threads ...", file=sys.stderr, flush=True)
            rows += rounds.measure(workload, options.peers, threads, options.rounds, options.slice, options.realtime)
    print("\n" + table.report(rows))
    RESULTS.mkdir(exist_ok=True)
    stem = time.strftime("%Y-%m-%d-%H%M%S")
    settings = dict(rounds=options.rounds, slice_s=options.slice, realtime=options.realtime)
    (RESULTS / f"{stem}.json").write_text(json.dumps(dict(machine=described, settings=settings, rows=rows), indent=1))
    for threads in options.threads:
        (RESULTS / f"{stem}-{threads}.svg").write_text(picture.draw(rows, threads))
    print(f"\nkept in {RESULTS}/{stem}.json, drawn in {stem}-{options.threads[0]}.svg")


if __name__ == "__main__":
    main()
