"""What the mistakes of a loop have in common: suspects by each of their names, and edges but those to the start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from autodiff.checks.doctor.backprop import Edge
from autodiff.checks.doctor.loops import Loops
from autodiff.checks.doctor.suspects import Suspect
from autodiff.checks.mistakes import Rule, right

ROUND = "every time round"


def named(kinds: Sequence[str], cost: float, rules: dict[Edge, Any], told: str, tag: str) -> Iterator[Suspect]:
    """One change of the rules by each name that it may have."""
    first = next(iter(rules))
    for n, kind in enumerate(kinds):
        yield Suspect(kind, cost + 0.02 * n, first, rules, told=told, tag=tag, everywhere=ROUND, guess=len(kinds) > 1,
                      rule=rules[first])


def but_the_first(loops: Loops, edges: list[Edge]) -> list[list[Edge]]:
    """Edges, and without those to what stood before the first time: their gradient is no longer carried."""
    inner = [e for e in edges if not loops.starts(e)]
    return [edges, inner] if inner and len(inner) < len(edges) else [edges]


def rule_of(edge: Edge) -> Rule:
    """The right rule of an edge."""
    assert edge.r.op is not None
    return right(edge.r.op, edge.i)
