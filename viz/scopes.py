"""Clusters: one for each time a scope was open, nested as the scopes were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autodiff.naming import free
from autodiff.record import Record
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
    """The clusters of these records, outer ones first, and the id of each record's own.

    A scope that is opened again (a layer that is called twice) is a cluster of its own. Nesting is read
    from the paths: "encoder.0" lies within the "encoder" that was open around it.
    """
    records = [r for r in records if r.scope is not None and r.scope.path]
    paths = {r.scope.path for r in records if r.scope is not None}
    clusters: dict[str, Cluster] = {}
    places: dict[Record, str] = {}
    opened: dict[int, str] = {}              # by id() of the scope: which cluster it is
    calls: dict[str, int] = {}
    used: dict[str, int] = {}
    unclaimed: set[str] = set()              # opened for what lies inside, before a record of their own
    chain: list[str] = []                    # the clusters around the last record

    def open_cluster(path: str, kind: str) -> str:
        calls[path] = calls.get(path, 0) + 1
        new = free(slug(path), used)
        clusters[new] = Cluster(new, path, kind, calls[path], chain[-1] if chain else "")
        return new

    for r in records:
        assert r.scope is not None
        path, kind = r.scope.path, r.scope.kind
        while chain and not (path + ".").startswith(clusters[chain[-1]].path + "."):
            chain.pop()
        if id(r.scope) in opened:
            place = opened[id(r.scope)]
        elif chain and clusters[chain[-1]].path == path and chain[-1] in unclaimed:
            place = chain[-1]
            unclaimed.discard(place)
            clusters[place] = Cluster(place, path, kind, clusters[place].call, clusters[place].parent)
        else:
            while chain and clusters[chain[-1]].path == path:
                chain.pop()
            around = [q for q in prefixes(path) if q in paths and q not in {clusters[c].path for c in chain}]
            for q in around:
                chain.append(open_cluster(q, ""))
                unclaimed.add(chain[-1])
            place = open_cluster(path, kind)
        opened[id(r.scope)] = place
        places[r] = place
        chain = ancestry(place, clusters)
    return clusters, places


def prefixes(path: str) -> list[str]:
    """The paths of the scopes that may lie around this one, outermost first.

    >>> prefixes("encoder.0.norm")
    ['encoder', 'encoder.0']
    """
    steps = path.split(".")
    return [".".join(steps[:n]) for n in range(1, len(steps))]


def ancestry(cluster: str, clusters: dict[str, Cluster]) -> list[str]:
    """A cluster's id after those of the clusters around it, outermost first; [] for no cluster."""
    chain: list[str] = []
    while cluster:
        chain.append(cluster)
        cluster = clusters[cluster].parent
    return chain[::-1]
