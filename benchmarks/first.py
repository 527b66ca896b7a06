"""First use: seconds to the end of the first step with empty caches and again with what that left on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable

from benchmarks.peers import PEERS
from benchmarks.rounds import Died, Row, Worker
from benchmarks.table import label, lines
from benchmarks.workloads import RECORDS

COMPILED = ("torch_compile", "jax", "jax_scan", "tinygrad", "ours_numpy", "ours_jit", "ours_scan")
CACHES = ("TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR", "WENGERT_CACHE", "XDG_CACHE_HOME",
          "CACHEDB")


def starts(workload: str, peer: str) -> tuple[Row, Row] | None:
    """A peer's first step twice, each in a new process: cold, then with the cache. None if it does not do this."""
    with tempfile.TemporaryDirectory() as folder:
        caches = {name: f"{folder}/{name.lower()}" for name in CACHES}
        answers = []
        for _ in range(2):
            with Worker(peer, workload, 1, **caches) as worker:
                hello = worker.answer()
                if hello.get("unsupported"):
                    return None
                answers.append(hello | worker.ask("rss"))
    return answers[0], answers[1]


def report(workloads: Iterable[str], peers: Iterable[str]) -> str:
    """A table: import, cold, from cache, peak memory; then the same by the number of records."""
    body, said = [], []
    chosen = [name for name in COMPILED if name in peers and not PEERS[name].missing()]
    for workload in [*workloads, *RECORDS]:
        for peer in chosen:
            try:
                both = starts(workload, peer)
            except Died as problem:
                said.append(f"- {peer} on {workload}: {problem}")
                continue
            if both:
                cold, warm = both
                body.append([workload, label(peer), *(f"{row:.2f}" for row in (
                    cold["import_s"], cold["first_s"], warm["first_s"])), f"{cold['mb']:.0f}"])
    return "\n".join([*lines(["", "", "import s", "first step s", "from cache s", "peak MB"], body), "", *said])
