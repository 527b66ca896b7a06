"""Rows as tables for a terminal and for a page: microseconds by peer and workload, and what ours are to others."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.workloads import WORKLOADS

Row = dict[str, Any]

# Which quotients are printed: (ours, over). "best" is the fastest peer that is neither ours nor the limit.
QUOTIENTS = (
    ("ours_jit", "best"), ("ours_jit", "limit"), ("ours_jit", "tuned"),
    ("ours_numpy", "tuned"), ("ours_numpy", "tuned_blocks"),
    ("ours_numpy", "best"),
    ("ours_scan", "jax_scan"), ("ours", "naive"), ("ours", "torch"), ("ours", "autograd"), ("ours", "mygrad"),
    ("ours_nn", "naive"), ("ours_nn", "torch"),
)


def timed(rows: Iterable[Row], threads: int) -> dict[str, dict[str, Row]]:
    """The rows that have a time, by peer and workload."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["threads"] == threads and "us" in row:
            found.setdefault(row["peer"], {})[row["workload"]] = row
    return found


def quotient(mine: Row, other: Row) -> float:
    """The median of the rounds' quotients: what slows a whole round slows both sides."""
    return statistics.median(a / b for a, b in zip(mine["rounds"], other["rounds"], strict=True))


def best(found: dict[str, dict[str, Row]], workload: str) -> str | None:
    """The fastest that is neither ours nor the limit."""
    others = {name: of[workload]["us"] for name, of in found.items()
              if workload in of and not PEERS[name].ours and name != "limit"}
    return min(others, key=lambda name: others[name]) if others else None


def lines(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, aligned."""
    cells = [list(head), *map(list, body)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    padded = [[f"{text:{'<' if i == 0 else '>'}{width}}" for i, (text, width) in enumerate(zip(row, widths))]
              for row in cells]
    rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return ["| " + " | ".join(row) + " |" for row in [padded[0], rule, *padded[1:]]]


def figure(number: float) -> str:
    """Three digits."""
    return f"{number:,.0f}" if number >= 100 else f"{number:#.3g}"


def times(rows: list[Row], threads: int) -> list[str]:
    """Microseconds a step; the fastest peer in each column is bold, losses that differ are marked."""
    found = timed(rows, threads)
    names = [name for name in WORKLOADS if any(row["workload"] == name for row in rows)]
    fastest = {name: best(found, name) for name in names}

    def cell(peer: str, name: str) -> str:
        row = found[peer].get(name)
        if row is None:
            return ""
        text = figure(row["us"]) + ("" if row["agrees"] else " !")
        return f"**{text}**" if peer == fastest[name] else text

    return lines(["µs a step", *names], ([label(peer), *(cell(peer, name) for name in names)]
                                         for peer in PEERS if peer in found))


def label(peer: str) -> str:
    """The peer as the reader knows it."""
    return ("autodiff: " if PEERS[peer].ours else "") + PEERS[peer].says


def quotients(rows: list[Row], threads: int) -> list[str]:
    """Ours over others in the same rounds; under 1 ours are faster."""
    found = timed(rows, threads)
    names = [name for name in WORKLOADS if any(row["workload"] == name for row in rows)]

    def cell(mine: str, over: str, name: str) -> str:
        other = best(found, name) if over == "best" else over
        a, b = found.get(mine, {}).get(name), found.get(other or "", {}).get(name)
        return "" if a is None or b is None else f"{quotient(a, b):.2f}" + (f" {other}" if over == "best" else "")

    body = [[f"{mine} / {over}", *(cell(mine, over, name) for name in names)] for mine, over in QUOTIENTS]
    return lines(["time over time", *names], [row for row in body if any(row[1:])])


def first_use(rows: list[Row], threads: int) -> list[str]:
    """Seconds to the end of the first step, import apart, and the peak of memory."""
    found = timed(rows, threads)
    names = [name for name in WORKLOADS if any(row["workload"] == name for row in rows)]

    def cells(peer: str, show: Any) -> list[str]:
        return [show(found[peer][name]) if name in found[peer] else "" for name in names]

    peers = [peer for peer in PEERS if peer in found]
    seconds = lines(["s to the first step's end", *names],
                    ([label(peer), *cells(peer, lambda row: f"{row['first_s']:.2f}")] for peer in peers))
    memory = lines(["peak MB", *names],
                   ([label(peer), *cells(peer, lambda row: f"{row['rss_mb']:.0f}")] for peer in peers))
    return [*seconds, "", *memory]


def remarks(rows: list[Row]) -> list[str]:
    """What has no time, and why; what has one but other losses."""
    missing: dict[str, list[str]] = {row["peer"]: row["missing"] for row in rows if "missing" in row}
    said = [f"{peer}: not installed ({', '.join(needs)})" for peer, needs in missing.items()]
    said += [f"{row['peer']} on {row['workload']}, {row['threads']} threads: {row['error']}"
             for row in rows if "error" in row]
    said += [f"{row['peer']} on {row['workload']}, {row['threads']} threads (!): losses differ from naive NumPy's by "
             f"{row['off']:.1e}, more than {WORKLOADS[row['workload']].rtol:.0e}"
             for row in rows if "us" in row and not row["agrees"]]
    return said


def report(rows: list[Row]) -> str:
    """Everything, for a terminal; valid Markdown."""
    parts = []
    for threads in sorted({row["threads"] for row in rows}):
        parts += ["", f"{threads} thread{'s' if threads > 1 else ''}", "", *times(rows, threads), "",
                  *quotients(rows, threads), "", *first_use(rows, threads)]
    return "\n".join([*parts, "", *(f"- {text}" for text in remarks(rows))]).strip()
