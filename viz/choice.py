"""What of a tape is drawn: which layers are folded, and which part is left out because it is too far away."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff import Tape
from autodiff.record import Record
from viz.folding import Group, folded
from viz.scopes import Cluster, clusters_of

Unit = Record | Group


@dataclass(frozen=True, slots=True)
class Wish:
    """What the reader asked for (see `viz.draw`)."""

    level: str = "op"
    gradients: bool = True
    fold: bool | Callable[[Cluster], bool] = True
    expand: tuple[str, ...] = ()
    max_nodes: int = 400
    around: Record | None = None
    radius: int = 2


def is_array(x: Any) -> bool:
    """Whether an operand is an array with a card of its own, rather than a number on the disc."""
    return not isinstance(x, Record) and hasattr(x, "shape") and np.ndim(x) > 0


class Choice:
    """The part of a tape that is drawn.

    Attributes
    ----------
    records : list of Record
        In the order they ran.
    groups : dict of Record to Group
        The operations that are folded.
    clusters, places : dict
        The layers, and each operation's own.
    users : dict
        The operations that use a record, or an array (by its id()).
    notes : list of str
        What is not drawn, in sentences.
    """

    def __init__(self, tape: Tape, names: Mapping[Record, str], wish: Wish) -> None:
        self.all, self.output, self.given = tape.all, tape.outputs[0], tape.given
        self.names, self.wish = names, wish
        self.users: dict[Any, list[Record]] = {}
        for r in tape.all:
            for x in r.inputs:
                if isinstance(x, Record) or is_array(x):
                    self.users.setdefault(x if isinstance(x, Record) else id(x), []).append(r)
        self.clusters, self.places = clusters_of(tape.all)
        self.groups: dict[Record, Group] = {}
        self.notes: list[str] = []
        self.fold()
        self.records = self.near()

    # ---- folding

    def fold(self) -> None:
        """Fold what was asked for, or as much as is needed."""
        wish = self.wish
        paths = {c.path for c in self.clusters.values()}
        if unknown := [path for path in wish.expand if path not in paths]:
            known = ", ".join(sorted(paths)[:20]) or "none: nothing here was computed in a scope"
            raise ValueError(f"expand={unknown[0]!r} is no layer here; the layers are {known}")
        if callable(wish.fold):
            self.groups = self.folded(layers=True, runs=False)
        elif wish.level == "layer":
            self.groups = self.folded(layers=True, runs=wish.fold)
        elif wish.fold and wish.around is None:
            for layers in (False, True):
                if self.total() > wish.max_nodes:
                    self.groups = self.folded(layers=layers, runs=True)
        groups = list(dict.fromkeys(self.groups.values()))
        runs = [g for g in groups if len(g.members) > 1]
        if runs:
            hidden = sum(map(self.hidden, runs))
            names = listed([f"{g.name or g.kind} (× {len(g.members):,})" for g in runs])
            self.notes.append(f"Folded: {names}; {hidden:,} tensors and operations in {len(runs)} "
                              f"card{'s' if len(runs) > 1 else ''}. fold=False or expand=[...] opens them.")
        if wish.level == "op" and len(groups) > len(runs):
            self.notes.append(f"{len(groups) - len(runs)} more layers are folded to a card each.")
        if wish.level == "layer" and not groups:
            self.notes.append("No layers: nothing here was computed in a scope (nn.Module, ad.scope), "
                              "so each operation is drawn.")

    def folded(self, layers: bool, runs: bool) -> dict[Record, Group]:
        """The groups, if these are folded."""
        expand, fold = self.wish.expand, self.wish.fold

        def is_open(cluster: Cluster) -> bool:
            if any((path + ".").startswith(cluster.path + ".") for path in expand):
                return True
            return callable(fold) and not fold(cluster)

        return folded(self.all, self.clusters, self.places, is_open, layers, runs)

    # ---- counting

    def follows(self, r: Record) -> bool:
        """Whether this selects one of several outputs."""
        return (r.op is not None and r.op.name == "select" and isinstance(r.inputs[0], Record)
                and isinstance(r.inputs[0].value, tuple))

    def is_bypassed(self, r: Record) -> bool:
        """Whether a result is only a step on the way: the W.T of `x @ W.T`, which says nothing that W does not."""
        return (r.op is not None and r.op.name == "transpose" and isinstance(r.inputs[0], Record)
                and len(self.users.get(r, ())) == 1 and r is not self.output
                and not r.name and r not in self.given)

    def is_bare(self, r: Record) -> bool:
        """Whether a result has no card."""
        return self.is_bypassed(r) or (self.wish.level == "layer" and r.op is not None and r is not self.output)

    def cost(self, r: Record) -> int:
        """How many nodes a record is drawn as."""
        if self.follows(r):
            return 0 if self.is_bare(r) else 1
        return 1 if r.op is None or isinstance(r.value, tuple) or self.is_bare(r) else 2

    def hidden(self, group: Group) -> int:
        """How many operations, results, parameters and data a folded card stands for."""
        records = [r for member in group.members for r in member]
        leaves = {x if isinstance(x, Record) else id(x) for r in records for x in r.inputs
                  if isinstance(x, Record) or is_array(x)} - set(records)
        return sum(1 if isinstance(r.value, tuple) else 2 for r in records) + sum(map(self.is_inside, leaves))

    def unit(self, r: Record) -> Unit:
        """The card that stands for a record."""
        return self.groups.get(r, r)

    def is_inside(self, key: Any) -> bool:
        """Whether a leaf or an array has no card: a folded layer's parameters, and what a run takes in later."""
        if isinstance(key, Record) and (key.op is not None or key is self.output):
            return False
        groups = [self.groups.get(user) for user in self.users.get(key, [])]
        if not groups or None in groups:
            return False
        return (isinstance(key, Record) and key.requires_grad) or any(
            user not in group.members[0] for user, group in zip(self.users[key], groups, strict=True) if group)

    def weight(self, unit: Unit) -> int:
        """How many nodes a card counts as."""
        if isinstance(unit, Group):
            return 1
        if unit.op is None:
            return 0 if self.is_inside(unit) else 1
        return self.cost(unit)

    def total(self) -> int:
        """How many nodes the whole tape is drawn as."""
        units = dict.fromkeys(map(self.unit, self.all))
        arrays = sum(isinstance(key, int) and not self.is_inside(key) for key in self.users)
        return sum(map(self.weight, units)) + arrays

    def inputs(self, unit: Unit) -> list[Any]:
        """What a card's operations work on: records and arrays."""
        records = [unit] if isinstance(unit, Record) else [r for member in unit.members for r in member]
        return [x for r in records for x in r.inputs if isinstance(x, Record) or is_array(x)]

    # ---- leaving out

    def near(self) -> list[Record]:
        """The records to draw, in the order they ran."""
        wish, around = self.wish, self.wish.around
        total = self.total()
        if around is None and total <= wish.max_nodes:
            return self.all
        centre = self.output if around is None else around
        chosen: set[Unit] = set()
        arrays: set[int] = set()
        room = wish.max_nodes
        pending = deque([(self.unit(centre), 0)])
        seen = {pending[0][0]}
        full = False
        while pending and not full:
            unit, steps = pending.popleft()
            new = {id(x) for x in self.inputs(unit) if is_array(x) and not self.is_inside(id(x))} - arrays
            room -= self.weight(unit) + len(new)
            full = room < 0 and bool(chosen)
            if full:
                break
            chosen.add(unit)
            arrays |= new
            for x, far in self.neighbours(unit, steps, around is not None):
                if x not in seen and (around is None or far <= wish.radius):
                    seen.add(x)
                    pending.append((x, far))
        shown = sum(map(self.weight, chosen)) + len(arrays)
        if around is not None:
            limit = f" and of these the nearest (max_nodes={wish.max_nodes})" if full else ""
            self.notes.append(f"Only what is within {wish.radius} operations of {self.names[around]} is drawn"
                              f"{limit}; {total - shown:,} of {total:,} nodes are hidden.")
        else:
            self.notes.append(f"The {shown:,} nodes nearest to {self.names[self.output]} are drawn; "
                              f"{total - shown:,} more are hidden (max_nodes={wish.max_nodes}).")
        return [r for r in self.all if self.unit(r) in chosen]

    def neighbours(self, unit: Unit, steps: int, both: bool) -> Iterable[tuple[Unit, int]]:
        """The cards next to one and how far they are: an operation counts one step, its operands belong to it."""
        made_of = [x for x in self.inputs(unit) if isinstance(x, Record)]
        for x in made_of:
            yield self.unit(x), steps if x.op is None or self.is_bypassed(x) else steps + 1
        if both:
            records = [unit] if isinstance(unit, Record) else [r for member in unit.members for r in member]
            for r in records:
                for user in self.users.get(r, []):
                    yield self.unit(user), steps if self.is_bypassed(user) else steps + 1


def listed(names: list[str], most: int = 4) -> str:
    """Names in a sentence."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
