"""Which operations are folded to one card: layers, and runs of equal layers.

A run is at least three equal stretches of the program, each of which works on the result of the one before: the
same layers with the same operations and shapes, such as twelve blocks, or the steps of an unrolled loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from autodiff.record import Record
from viz.scopes import Cluster, ancestry
from viz.symbols import symbol

LEAST = 3                   # a run repeats at least this often,
ALONE = 8                   # and is at least this many operations if no layer is in it
LONGEST = 12                # the most layers and operations that repeat together


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """A layer, as one of its clusters, or an operation that is in none."""

    records: list[Record]
    cluster: str


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """What is folded to one card.

    Attributes
    ----------
    members : list of list of Record
        The operations of each repetition; one of a single layer.
    name, kind : str
        As on the card.
    clusters : tuple of str
        The clusters in it.
    scope : str
        The cluster around it.
    """

    members: list[list[Record]]
    name: str
    kind: str
    clusters: tuple[str, ...]
    scope: str


def folded(records: Sequence[Record], clusters: Mapping[str, Cluster], places: Mapping[Record, str],
           is_open: Callable[[Cluster], bool], layers: bool, runs: bool) -> dict[Record, Group]:
    """The group of each operation that is folded.

    Parameters
    ----------
    records : sequence of Record
        A tape, in order.
    clusters, places : dict
        As `viz.scopes.clusters_of` gives them.
    is_open : callable
        Whether a layer is to stay open.
    layers, runs : bool
        Whether to fold every layer, and whether to fold runs of equal ones.
    """
    chains = {cluster: ancestry(cluster, clusters) for cluster in clusters}
    opened = {cluster for cluster in clusters if is_open(clusters[cluster])}
    parents = {cluster.parent for cluster in clusters.values()}
    groups: dict[Record, Group] = {}
    pending: list[tuple[list[Record], int, str]] = [([r for r in records if r.op is not None], 0, "")]
    while pending:
        inside, depth, scope = pending.pop()
        at = {r: (chains.get(places.get(r, ""), [])[depth:depth + 1] or [""])[0] for r in inside}
        units = [Unit(list(part), cluster) for cluster, part in groupby(inside, at.__getitem__)]
        units = [part for unit in units for part in ([unit] if unit.cluster else [Unit([r], "") for r in unit.records])]
        # What holds all that is learned, and layers of its own, is the model: its layers are the cards.
        learning = {unit.cluster for unit in units if unit.cluster and any(map(learned, unit.records))}
        around = learning if len(learning) == 1 and learning & parents else set()
        free = [unit.cluster not in opened | around for unit in units]
        start = 0
        for first, period, times in runs_of(units, free) if runs else []:
            for unit in units[start:first]:
                alone(unit, clusters, scope, depth, layers and unit.cluster not in opened | around, groups, pending)
            start = first + period * times
            run = units[first:start]
            members = [[r for unit in run[i:i + period] for r in unit.records] for i in range(0, len(run), period)]
            group = Group(members, run_name(run, clusters, clusters[scope].path if scope else ""),
                          kind_of(run[:period], clusters),
                          tuple(unit.cluster for unit in run if unit.cluster), scope)
            groups.update((r, group) for unit in run for r in unit.records)
        for unit in units[start:]:
            alone(unit, clusters, scope, depth, layers and unit.cluster not in opened | around, groups, pending)
    return groups


def alone(unit: Unit, clusters: Mapping[str, Cluster], scope: str, depth: int, fold: bool,
          groups: dict[Record, Group], pending: list[tuple[list[Record], int, str]]) -> None:
    """Fold a layer that is in no run, or look for more inside it."""
    if unit.cluster and fold:
        name = inner_path(clusters[unit.cluster].path, clusters[scope].path if scope else "")
        call = clusters[unit.cluster].call
        group = Group([unit.records], name + (f", call {call}" if call > 1 else ""), kind_of([unit], clusters),
                      (unit.cluster,), scope)
        groups.update((r, group) for r in unit.records)
    elif unit.cluster:
        pending.append((unit.records, depth + 1, unit.cluster))


# ---- runs

def runs_of(units: Sequence[Unit], free: Sequence[bool]) -> list[tuple[int, int, int]]:
    """The runs among these units: where each begins, how many units repeat, and how often."""
    known: dict[Any, int] = {}
    marks = [known.setdefault(signature(unit), len(known)) if ok else -1 - i
             for i, (unit, ok) in enumerate(zip(units, free, strict=True))]
    found = []
    i = 0
    while i < len(marks):
        best = (0, 0, 0)
        for period in range(1, min(LONGEST, (len(marks) - i) // LEAST) + 1):
            times = 1
            while marks[i + times * period:i + (times + 1) * period] == marks[i:i + period]:
                times += 1
            if times >= LEAST and times * period > best[0]:
                best = (times * period, period, times)
        length, period, times = best
        i += begin(units, marks, i, length, period)
        run = units[i:i + length]
        if length and (any(unit.cluster for unit in run) or length >= ALONE) and in_line(run, period):
            found.append((i, period, times))
            i += length
        else:
            i += 1
    return found


def begin(units: Sequence[Unit], marks: Sequence[int], start: int, length: int, period: int) -> int:
    """How much later a run had better begin: with what is learned, if it is as long then."""
    for late in range(period):
        first = start + late
        same = marks[first:first + length - period] == marks[first + period:first + length]
        if same and first + length <= len(marks) and any(map(learned, units[first].records)):
            return late
    return 0


def signature(unit: Unit) -> Any:
    """What must be equal for units to be a run: operations, shapes, and what is learned."""
    return bool(unit.cluster), tuple(
        (r.op.name if r.op else "", shapes(r.value), tuple(np.shape(p.value) for p in learned(r)))
        for r in unit.records)


def learned(r: Record) -> list[Record]:
    """The parameters that an operation works on."""
    return [x for x in r.inputs if isinstance(x, Record) and x.op is None and x.requires_grad]


def shapes(value: Any) -> Any:
    """The shape of a value, or those of several."""
    return tuple(map(np.shape, value)) if isinstance(value, tuple) else np.shape(value)


def in_line(run: Sequence[Unit], period: int) -> bool:
    """Whether each repetition works on the result of the one before."""
    before: set[Record] = set()
    for i in range(0, len(run), period):
        records = [r for unit in run[i:i + period] for r in unit.records]
        if before and not any(x in before for r in records for x in r.inputs if isinstance(x, Record)):
            return False
        before = set(records)
    return True


# ---- what they are called

def inner_path(path: str, around: str) -> str:
    """A path within the layer around it, but "Sequential.0" rather than "0".

    >>> inner_path("net.layers.0", "net"), inner_path("net.0", "net")
    ('layers.0', 'net.0')
    """
    inner = path.removeprefix(around + ".") if around else path
    return path if inner[:1].isdigit() else inner


def run_name(run: Sequence[Unit], clusters: Mapping[str, Cluster], scope: str) -> str:
    """The first and the last layer of a run: "layers.1–11"; of a loop the layer itself."""
    paths = [inner_path(clusters[unit.cluster].path, scope) for unit in run if unit.cluster]
    if not paths:
        return ""
    first, last = paths[0], paths[-1]
    if len(set(paths)) == 1:
        return first
    around, _, step = first.rpartition(".")
    if last.rpartition(".")[0] == around and around:
        return f"{around}.{step}–{last.rpartition('.')[2]}"
    words, last_words = first.rsplit(" ", 1), last.rsplit(" ", 1)              # "layer 2", "layer 12"
    if len(words) == len(last_words) == 2 and words[0] == last_words[0] and words[1].isdigit():
        return f"{first}–{last_words[1]}"
    return f"{first} – {last}"


def kind_of(units: Sequence[Unit], clusters: Mapping[str, Cluster]) -> str:
    """What these units are: the kinds of layers, the signs of operations."""
    kinds = []
    for unit in units:
        kind = clusters[unit.cluster].kind if unit.cluster else ""
        kinds.append(kind or ", ".join(dict.fromkeys(
            symbol(r.op.name, [], r.options) for r in unit.records if r.op and r.op.name != "transpose")))
    return " + ".join(filter(None, kinds))
