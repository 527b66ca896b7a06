"""Parameters as parts of one array, so that an optimiser's update is one pass over memory."""

from __future__ import annotations

import sys
from collections.abc import Container
from dataclasses import dataclass
from math import prod
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

from autodiff import Tensor, as_tensor
from autodiff.compiler.planning import ALIGNED
from autodiff.record import Leaf, Record
from nn.optim import Optimizer

Array = np.ndarray[Any, Any]

ALONE = 2               # references to an array that only its leaf holds, while `getrefcount` looks: leaf, argument
GRADIENT = "gradient"

homes: WeakValueDictionary[int, Array] = WeakValueDictionary()           # arrays that parameters were moved into
stores: WeakKeyDictionary[Optimizer, list[Store]] = WeakKeyDictionary()


class Store:
    """Parameters that lie side by side, with as much room for their gradients and for what an optimiser keeps of them.

    Attributes
    ----------
    parts : dict of int to slice
        Where each of the optimiser's parameters lies, in order.
    p : array or None
        All their values; None if there is one parameter, in an array of its own.
    turned : set of int
        Which of them lie in memory column by column.
    """

    def __init__(self, optimizer: Optimizer, parts: dict[int, slice], p: Array | None) -> None:
        self.parts, self.p = parts, p
        leaves = {i: optimizer.params[i].record for i in parts}
        self.shapes = {i: np.shape(leaf.value) for i, leaf in leaves.items()}
        self.turned = {i for i, leaf in leaves.items() if by_columns(leaf.value)}
        self.dtype = next(iter(leaves.values())).value.dtype
        self.arrays: dict[str, Array] = {}
        self.views: dict[tuple[str, int], Array] = {}

    def array(self, name: str) -> Array:
        """Room for something of all parameters."""
        if name not in self.arrays:
            self.arrays[name] = aligned(room(max(part.stop for part in self.parts.values()), self.dtype), self.dtype)
        return self.arrays[name]

    def view(self, name: str, i: int) -> Array:
        """A parameter's part of it, in the parameter's shape."""
        if (name, i) not in self.views:
            self.views[name, i] = shaped(self.array(name)[self.parts[i]], self.shapes[i], i in self.turned)
        return self.views[name, i]

    def follows(self, i: int, j: int) -> bool:
        """Whether a part begins where another ends."""
        step = ALIGNED // self.dtype.itemsize
        end: int = self.parts[i].stop
        return bool(self.parts[j].start == -(-end // step) * step)


@dataclass(eq=False)
class Flat:
    """Parameters that are updated together.

    Attributes
    ----------
    store : Store
        Where they lie.
    members : list of int
        Which of the optimiser's parameters.
    p, g : Tensor
        All values, and all gradients, in one array each. What has no axis has one here.
    state : dict of str to Tensor
        What the optimiser keeps of them, likewise.
    """

    store: Store
    members: list[int]
    p: Tensor
    g: Tensor
    state: dict[str, Tensor]

    def gradients(self) -> list[Leaf]:
        """A leaf for each member's part of the gradients, transposed where the parameter lies so."""
        parts = [(i, self.own(GRADIENT, i)) for i in self.members]
        return [handle(part.T if i in self.store.turned else part) for i, part in parts]

    def own(self, name: str, i: int) -> Array:
        """A member's part, with at least one axis."""
        view = self.store.view(name, i)
        return view if view.ndim else view.reshape(1)

    def names_in(self, optimizer: Optimizer) -> list[str]:
        """Whose gradient is not finite."""
        return [optimizer.names[i] for i in self.members if not np.isfinite(self.store.view(GRADIENT, i)).all()]

    def together(self, optimizer: Optimizer) -> bool:
        """Whether all members have taken the same number of steps."""
        taken = [steps(optimizer, i) for i in self.members]
        return taken.count(taken[0]) == len(taken)

    def take_over(self, optimizer: Optimizer) -> None:
        """Copy what the optimiser keeps elsewhere, such as a state that was loaded."""
        for name in self.state:
            for i in self.members:
                view, kept = self.store.view(name, i), optimizer.state.get(i, {}).get(name)
                if kept is not view:
                    view[...] = 0 if kept is None else kept

    def hand_back(self, optimizer: Optimizer) -> None:
        """Let the optimiser keep what is here."""
        for name in self.state:
            for i in self.members:
                optimizer.state.setdefault(i, {})[name] = self.store.view(name, i)


def steps(optimizer: Optimizer, i: int) -> int:
    """How many steps a parameter has taken, where that is counted."""
    taken: int = optimizer.state.get(i, {}).get("step", 0) if optimizer.counting else 0
    return taken


def handle(array: Any) -> Any:
    """A leaf that holds this very array."""
    return as_tensor(array).record


def alone(optimizer: Optimizer) -> set[int]:
    """The parameters whose arrays nobody else holds."""
    return {i for i, p in enumerate(optimizer.params) if sys.getrefcount(p.record.value) <= ALONE}


def grouped(optimizer: Optimizer, members: Container[int], turned: Container[int],
            movable: Container[int]) -> list[Flat]:
    """These of an optimiser's parameters in groups: next to each other in one array, after equally many steps.

    Matrices among `turned` are laid out column by column, if they are moved.
    """
    if optimizer not in stores:
        stores[optimizer] = housed(optimizer, turned, movable)
    groups: list[Flat] = []
    for store in stores[optimizer]:
        run: list[int] = []
        for i in store.parts:
            if i not in members:
                continue
            if run and not (store.follows(run[-1], i) and steps(optimizer, run[-1]) == steps(optimizer, i)):
                groups.append(flat(optimizer, store, run))
                run = []
            run.append(i)
        if run:
            groups.append(flat(optimizer, store, run))
    return groups


def flat(optimizer: Optimizer, store: Store, members: list[int]) -> Flat:
    """One group."""
    def tensor(name: str) -> Tensor:
        """All members' parts of something."""
        return Tensor.of(handle(group.own(name, members[0]) if store.p is None else store.array(name)[span]))

    span = slice(store.parts[members[0]].start, store.parts[members[-1]].stop)
    p = optimizer.params[members[0]] if store.p is None else Tensor.of(handle(store.p[span]))
    group = Flat(store, members, as_tensor(p), p, {})
    group.g = tensor(GRADIENT)
    group.state.update((name, tensor(name)) for name in optimizer.kept)
    return group


def housed(optimizer: Optimizer, turned: Container[int], movable: Container[int]) -> list[Store]:
    """Where an optimiser's parameters lie: side by side by dtype, but for numbers and what somebody else holds too."""
    together: dict[Any, list[int]] = {}
    for i, p in enumerate(optimizer.params):
        together.setdefault(place(p.record, i, movable), []).append(i)
    return [store_of(optimizer, key, members, turned) for key, members in together.items()]


def place(leaf: Record, i: int, movable: Container[int]) -> Any:
    """What parameters that can lie together have in common: their array by its id, or their dtype."""
    if not isinstance(leaf.value, np.ndarray):
        return (i,)
    base = leaf.value.base
    if base is not None:
        return id(base) if homes.get(id(base)) is base else (i,)
    return leaf.value.dtype if i in movable else (i,)


def store_of(optimizer: Optimizer, key: Any, members: list[int], turned: Container[int]) -> Store:
    """A store of parameters that lie in one array, that are to be moved into one, or of one alone."""
    leaves: dict[int, Any] = {i: optimizer.params[i].record for i in members}
    sizes = {i: prod(np.shape(leaf.value)) for i, leaf in leaves.items()}
    if isinstance(key, int):
        p = aligned(homes[key], next(iter(leaves.values())).value.dtype)
        begin = {i: (leaf.value.ctypes.data - p.ctypes.data) // p.itemsize for i, leaf in leaves.items()}
        order = sorted(members, key=lambda i: begin[i])
        return Store(optimizer, {i: slice(begin[i], begin[i] + sizes[i]) for i in order}, p)
    if len(members) == 1:
        return Store(optimizer, {members[0]: slice(0, sizes[members[0]])}, None)
    step, at, parts = ALIGNED // key.itemsize, 0, {}
    for i, n in sizes.items():
        parts[i] = slice(at, at + n)
        at += -(-n // step) * step
    memory = room(at, key)
    p = aligned(memory, key)
    homes[id(memory)] = memory
    for i, leaf in leaves.items():
        view = shaped(p[parts[i]], np.shape(leaf.value), i in turned)
        view[...] = leaf.value
        leaf.value = view
    return Store(optimizer, parts, p)


def room(n: int, dtype: np.dtype[Any]) -> Array:
    """Memory for n numbers, all zero, wherever a cache line begins."""
    return np.zeros(n * dtype.itemsize + ALIGNED, np.uint8)


def aligned(memory: Array, dtype: np.dtype[Any]) -> Array:
    """As many numbers as it holds, from the beginning of a cache line on."""
    line = memory[-memory.ctypes.data % ALIGNED:]
    return line[:line.size // dtype.itemsize * dtype.itemsize].view(dtype)


def shaped(part: Array, shape: tuple[int, ...], turned: bool) -> Array:
    """A stretch of memory as a parameter; column by column, if that is what it is."""
    return part.reshape(shape[::-1]).T if turned else part.reshape(shape)


def by_columns(value: Any) -> bool:
    """Whether an array lies in memory column by column, and not row by row as well."""
    return bool(np.ndim(value) == 2 and value.flags.f_contiguous and not value.flags.c_contiguous)
