"""Clusters: one for each time a scope was open, nested as the scopes were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autodiff.naming import free
from autodiff.record import Record
from autodiff.state import Scope
from viz.text import slug


@dataclass(frozen=True, slots=True)
class Cluster:
    """The box around what was made in one scope.

    Attributes
    ----------
    id : str
        Made of the path.
    path : str
        The scope's path, such as "layers.0".
    kind : str
        What the scope is, such as "Linear".
    call : int
        1 for the first time that scope was open, 2 for the second, ...
    parent : str
        The id of the cluster around it; "" for none.
    """

    id: str
    path: str
    kind: str
    call: int
    parent: str


def clusters_of(records: Iterable[Record]) -> tuple[dict[str, Cluster], dict[Record, str]]:
    """The clusters of these records, outer ones first, and the id of each operation's own.

    A scope that is opened again (a layer that is called twice) is a cluster of its own, also from the same line of a
    loop if something else ran in between.
    """
    clusters: dict[str, Cluster] = {}
    places: dict[Record, str] = {}
    calls: dict[str, int] = {}
    used: dict[str, int] = {}
    opened: list[tuple[Scope, str]] = []     # the scopes around the last operation, with their clusters
    for r in records:
        if r.op is None:
            continue
        scopes = lineage(r.scope)
        same = 0
        while same < min(len(opened), len(scopes)) and opened[same][0] is scopes[same]:
            same += 1
        del opened[same:]
        for scope in scopes[same:]:
            calls[scope.path] = calls.get(scope.path, 0) + 1
            new = free(slug(scope.path), used)
            clusters[new] = Cluster(new, scope.path, scope.kind, calls[scope.path], opened[-1][1] if opened else "")
            opened.append((scope, new))
        if opened:
            places[r] = opened[-1][1]
    return clusters, places


def lineage(scope: Scope | None) -> list[Scope]:
    """A scope after those around it, outermost first."""
    found = []
    while scope is not None:
        if scope.path:
            found.append(scope)
        scope = scope.outer
    return found[::-1]


def ancestry(cluster: str, clusters: Mapping[str, Cluster]) -> list[str]:
    """A cluster's id after those of the clusters around it, outermost first; [] for no cluster."""
    chain: list[str] = []
    while cluster:
        chain.append(cluster)
        cluster = clusters[cluster].parent
    return chain[::-1]
