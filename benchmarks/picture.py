"""The table as a picture: a panel a workload, a line a peer, a dot at how many times faster it is than naive NumPy."""

from __future__ import annotations

from math import ceil, floor, log10
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.table import figure, label, timed
from benchmarks.workloads import WORKLOADS

Row = dict[str, Any]

NAMES, PANEL, LINE, TOP, GAP = 250, 190, 19, 46, 14       # widths and heights
OURS, OTHERS, LIMIT = "#b8321f", "#5b6770", "#1f7a4d"
STYLE = ("text{font:12px system-ui,sans-serif;fill:#222}.small{font-size:10px;fill:#666}.head{font-weight:600}"
         ".mine{fill:" + OURS + "}line{stroke:#ddd}.one{stroke:#888}")


def draw(rows: list[Row], threads: int) -> str:
    """An SVG; ours in red, the limit in green, a logarithmic scale under each panel."""
    found = timed(rows, threads)
    names = [name for name in WORKLOADS if any(name in of for of in found.values())]
    peers = [peer for peer in PEERS if peer in found]
    width, height = NAMES + (PANEL + GAP) * len(names), TOP + LINE * len(peers) + 30
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
             f'height="{height}"><style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
             text(8, 18, f"times faster than naive NumPy, {threads} thread{'s' if threads > 1 else ''}", "head"),
             text(8, 34, "numbers are µs a step", "small")]
    parts += [text(8, line(i) + 4, label(peer), "mine" if PEERS[peer].ours else "") for i, peer in enumerate(peers)]
    for i, name in enumerate(names):
        parts += panel(NAMES + i * (PANEL + GAP), name, {peer: found[peer].get(name) for peer in peers})
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(left: int, name: str, rows: dict[str, Row | None]) -> list[str]:
    """One workload."""
    base = next(row["us"] for row in rows.values() if row)
    if naive := rows.get("naive"):
        base = naive["us"]
    factors = {peer: base / row["us"] for peer, row in rows.items() if row}
    low, high = floor(min(map(log10, factors.values()), default=0)), ceil(max(map(log10, factors.values()), default=1))
    high += high == low
    bottom = line(len(rows)) - 6

    def at(factor: float) -> float:
        return left + 6 + (PANEL - 62) * (log10(factor) - low) / (high - low)

    parts = [text(left + 6, 34, name, "head")]
    for power in range(low, high + 1):
        x = at(10.0**power)
        kind = "one" if power == 0 else ""
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}"/>')
        parts.append(text(x, bottom + 13, f"{10.0**power:g}", "small", "middle"))
    for i, (peer, row) in enumerate(rows.items()):
        if row:
            x, y = at(factors[peer]), line(i)
            colour = OURS if PEERS[peer].ours else LIMIT if peer == "limit" else OTHERS
            fill = colour if row["agrees"] else "#fff"
            parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="4.5" fill="{fill}" stroke="{colour}"/>')
            parts.append(text(x + 9, y + 4, figure(row["us"]), "small"))
    return parts


def line(i: int) -> int:
    """Where the i-th peer is."""
    return TOP + LINE * i + LINE // 2


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """A piece of text."""
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y}" class="{kind}" text-anchor="{anchor}">{words}</text>'
