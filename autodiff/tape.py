"""A tape: the records behind some outputs, in the order they ran; walked back, walked forward, replayed.

Walking back is the chain rule. Each record, the last first, takes the gradient that has arrived at it and
hands every input its contribution: what the rule gives, summed over the axes along which the
input was broadcast, in the input's dtype, added to what is there already. Run on arrays, the rules
give the gradient; run on Tensors, they record it, and the gradient has a tape of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

import numpy as np
from numpy import float64, ndarray

from autodiff.errors import ReplayError
from autodiff.explain import rule_failed
from autodiff.kinds import At, same
from autodiff.leaks import refuse_leaks
from autodiff.naming import find, listing
from autodiff.ops.complex import fitted, is_complex
from autodiff.ops.indexing import put_together
from autodiff.ops.shapes import un_broadcast
from autodiff.record import Leaf, Record
from autodiff.seals import check, sealed
from autodiff.state import recording, watchers
from autodiff.tensor import Tensor
from autodiff.values import converted, plain_value, unnamed


def behind(outputs: Iterable[Record], since: int = 0, differentiable: bool = False) -> list[Record]:
    """The records that the outputs depend on, in the order they ran, none with a serial below `since`.

    With `differentiable`, only operations that gradients flow through.
    """
    seen = {r for r in outputs if r.serial >= since}
    pending = list(seen)
    while pending:
        for x in pending.pop().inputs:
            if isinstance(x, Record) and (not differentiable or (x.op is not None and x.requires_grad)) \
                    and x not in seen and x.serial >= since:
                seen.add(x)
                pending.append(x)
    return sorted(seen, key=attrgetter("serial"))


def leading_to(wanted: Iterable[Record], tape: Iterable[Record]) -> set[Record]:
    """The wanted records and those of the tape that depend on them."""
    path = set(wanted)
    for r in tape:
        if not path.isdisjoint(x for x in r.inputs if isinstance(x, Record)):
            path.add(r)
    return path


def walk_back(seeds: Mapping[Record, Any], wanted: Sequence[Record] | None = None,
              record: bool = False) -> dict[Record, Any]:
    """The gradient at each wanted record, given the cotangents of the outputs.

    Parameters
    ----------
    seeds : dict of Record to array or Tensor
        ∂(what is differentiated)/∂output.
    wanted : sequence of Record, optional
        Where gradients are wanted; by default at every leaf that requires grad. Records older than
        all of these are not visited.
    record : bool
        Run the rules on Tensors, so that the gradient is itself on a tape.

    Returns
    -------
    dict of Record to array or Tensor
        Arrays are the receiver's own, writable, contiguous, unshared. Records that no gradient reaches are missing.
    """
    kept, path = frozenset(wanted or ()), None
    if wanted is not None:
        since = min((r.serial for r in kept), default=0)
        path = leading_to(kept, behind(seeds, since, differentiable=True))
    total: dict[Record, Any] = {r: unnamed(g) if record and not isinstance(g, Tensor) else g for r, g in seeds.items()}
    at = {-r.serial: r for r in seeds if r.op is not None}         # the operations a gradient has arrived at,
    waiting = sorted(at)                           # a heap, the last operation first; of numbers: no work for gc
    pieces: dict[Record, list[At]] = {}            # what has arrived at some of a record's elements only
    owned: set[Record] = set()                     # where the total is an array of the walk's own
    recording_before = recording.set(record)
    try:
        while waiting:
            r: Any = at.pop(heappop(waiting))
            g = total.pop(r, None)                 # complete, since all that uses r came after it
            if pieces and r in pieces:
                g = put_together(pieces.pop(r), r.value, g)
            if kept and r in kept:
                total[r] = g
            op, inputs, options, seals = r.op, r.inputs, r.options, r.seals
            together = op.together
            if together is not None or (seals is not None and seals != sealed(inputs, seals[0])):
                check(r)
            args = x = None
            try:
                edges = op.edges if together is None else together(*arguments(g, r, inputs, record), **options)
                i, n = 0, len(edges)
                for x in inputs:                       # not by zip, which costs as much as a rule on numbers
                    if i == n:
                        break
                    kind, edge, i = type(x), edges[i], i + 1
                    if kind is not Record:
                        if not isinstance(x, Leaf):
                            continue
                        if x.version > r.serial or (x.exposed is not None and seals is None):
                            check(r)                   # is it still the value that was used?
                    if edge is None or not (x.requires_grad if path is None else x in path):
                        continue
                    if edge is same:
                        c = g
                    elif together is not None:
                        c = edge
                    else:
                        args = args or arguments(g, r, inputs, record)
                        c = edge(*args, **options) if options else edge(*args)
                    value, before = x.value, total.get(x)
                    if before is None and kind is Record and not (pieces and x in pieces):
                        at[order := -x.serial] = x
                        heappush(waiting, order)
                    if type(c) is not float64 or type(value) is not float64:       # fit it: un-broadcast, cast
                        if type(c) is At:
                            pieces.setdefault(x, []).append(c)
                            continue
                        if c.shape != value.shape:
                            c = un_broadcast(c, value.shape)
                        if c.dtype is not value.dtype and c.dtype != value.dtype:
                            c = fitted(c, value.dtype)
                    if before is None:                 # and add it up, in place once the sum is the walk's own
                        total[x] = c
                        if kind is not Record and c is not g and type(c) is ndarray and c.base is None and not record:
                            owned.add(x)
                    elif x in owned:
                        np.add(before, c, out=before)
                    else:
                        total[x] = c = before + c
                        if type(c) is ndarray and not record:
                            owned.add(x)
            except Exception as error:
                raise rule_failed(error, r, x) from error.__cause__
        for x, parts in pieces.items():                # leaves, which are not waited for
            total[x] = put_together(parts, x.value, total.get(x))
    finally:
        recording.reset(recording_before)
    found = {x: handed_out(g, x in owned, record) for x, g in total.items()
             if (x in kept if wanted is not None else x.op is None)}
    if watchers:
        watchers[-1].walked(seeds, wanted, found)
    return found


def arguments(g: Any, r: Record, inputs: tuple[Any, ...], record: bool) -> tuple[Any, ...]:
    """What the rules of a record are called with: g, y and the operands."""
    if record:
        y, operands = reading(r)
        return g, y, *operands
    if len(inputs) == 2:                               # spelled out; a comprehension would be a call of its own
        a, b = inputs
        return g, r.value, a.value if isinstance(a, Record) else a, b.value if isinstance(b, Record) else b
    values = [g, r.value]
    for x in inputs:
        values.append(x.value if isinstance(x, Record) else x)
    return tuple(values)


def reading(r: Record) -> tuple[Any, list[Any]]:
    """The output and the operands as Tensors, so that what a rule does with them is recorded."""
    return Tensor.of(r), [Tensor.of(x) if isinstance(x, Record) else x for x in r.inputs]


def handed_out(g: Any, owned: bool, record: bool) -> Any:
    """A gradient as its receiver gets it."""
    if record:
        return g if isinstance(g, Tensor) else unnamed(g)
    return g if owned and g.flags.c_contiguous else np.copy(g, order="C")


class Tape:
    """What stands behind some outputs, in the order it ran: a Wengert list.

    Parameters
    ----------
    *outputs : Tensor
        The results of interest.
    names : dict of str to Tensor, optional
        Names for tensors that have none.

    Examples
    --------
    >>> x = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> loss = (x * x).sum()
    >>> tape = ad.Tape(loss)
    >>> len(tape), tape[0].op.name
    (2, 'multiply')
    >>> float(tape.replay({x: [3.0, 4.0]}))
    25.0
    """

    def __init__(self, *outputs: Tensor, names: Mapping[str, Tensor] | None = None) -> None:
        self.outputs = [output.record for output in outputs]
        self.all = behind(self.outputs)
        self.given = {tensor.record: name for name, tensor in (names or {}).items()}

    @property
    def records(self) -> list[Record]:
        """The operations, in order."""
        return [r for r in self.all if r.op is not None]

    @property
    def leaves(self) -> list[Leaf]:
        """What they start from, oldest first."""
        return [r for r in self.all if isinstance(r, Leaf)]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, i: int) -> Record:
        return self.records[i]

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __repr__(self) -> str:
        return f"<Tape of {len(self)} records from {len(self.leaves)} leaves>"

    def __str__(self) -> str:
        return listing(self.all, self.given)

    def find(self, key: Tensor | str) -> Record:
        """The record of a tensor, or of a name.

        Raises
        ------
        GradientError
            If it is not on this tape, or if several records have that name.
        """
        return find(self.all, key.record if isinstance(key, Tensor) else key, self.given)

    def replay(self, values: Mapping[Tensor | str, Any] | None = None, dtype: Any = None, *,
               each: Callable[[Record, Any], Any] | None = None, strict: bool = True) -> Any:
        """Run the same program on other values.

        Parameters
        ----------
        values : dict of Tensor or str to array, optional
            New values for leaves or intermediates; everything else is as it is now.
        dtype : dtype, optional
            Run in this dtype: float32, float64, longdouble, complex.
        each : callable, optional
            ``each(record, value)`` may replace each result as it is made.
        strict : bool
            Raise where a value left the tape as a Python number, after its first operation, and this replay
            would change it.

        Returns
        -------
        array or list of array
            The outputs.

        Raises
        ------
        ReplayError
            If a changed value left the tape (``float(t)``, ``if t > 0``, ``t.numpy()`` used again)
            and what came after may depend on it.
        """
        changed = {self.find(key): plain_value(value) for key, value in (values or {}).items()}
        for r, value in changed.items():
            if np.shape(value) != np.shape(r.value):
                raise ReplayError(f"{r.name or 'a tensor'} has shape {np.shape(r.value)} on this tape, "
                                  f"not {np.shape(value)}; record the program again for other shapes")
        if strict and changed:
            refuse_leaks(self.all, set(changed))
        held: dict[Record, Any] = {}
        for r in self.all:
            if r in changed:
                held[r] = converted(changed[r], dtype, like=r.value)
            elif r.op is None:
                held[r] = converted(r.value, dtype)
            else:
                forward = r.op.forward if dtype is None or is_complex(*r.inputs) else r.op.analytic
                y = forward(*[held[x] if isinstance(x, Record) else converted(x, dtype) for x in r.inputs], **r.options)
                held[r] = y if each is None else each(r, y)
        outputs = [held[r] for r in self.outputs]
        return outputs[0] if len(outputs) == 1 else outputs
