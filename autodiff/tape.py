"""A tape: the records behind some outputs, in the order they ran; walked back, walked forward, replayed.

Walking back is the chain rule. Each record, the last first, takes the gradient that has arrived at it and
hands every input its contribution: what the rule gives, summed over the axes along which the
input was broadcast, in the input's dtype, added to what is there already. Run on arrays, the rules
give the gradient; run on Tensors, they record it, and the gradient has a tape of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy import ndarray

from autodiff.errors import GradientError, ReplayError
from autodiff.explain import rule_failed
from autodiff.kinds import At
from autodiff.leaks import refuse_leaks
from autodiff.naming import find, listing
from autodiff.ops.complex import fitted, is_complex
from autodiff.ops.indexing import put_together
from autodiff.ops.shapes import sum_to, summed_to
from autodiff.record import Leaf, Record
from autodiff.seals import check, sealed
from autodiff.state import recording, watchers
from autodiff.tensor import Tensor
from autodiff.values import plain_value, unnamed


def behind(outputs: Iterable[Record], since: int = 0, differentiable: bool = False) -> list[Record]:
    """The records that the outputs depend on, in the order they ran.

    Nothing with a serial below `since` is visited; with `differentiable`, only operations that
    gradients flow through are.
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
        Arrays are the receiver's own: writable, contiguous, shared with nothing. Wanted records
        that no gradient reaches are missing.
    """
    since = min((r.serial for r in wanted), default=0) if wanted is not None else 0
    tape = behind(seeds, since, differentiable=True)
    path = None if wanted is None else leading_to(wanted, tape)
    kept = frozenset(wanted or ())

    total: dict[Record, Any] = dict(seeds)         # the gradient that has arrived at each record so far
    if record:
        total = {r: g if isinstance(g, Tensor) else unnamed(g) for r, g in seeds.items()}
    pieces: dict[Record, list[At]] = {}            # what has arrived at some of its elements only
    owned: set[Record] = set()                     # where that is an array of the walk's own
    recording_before = recording.set(record)
    try:
        for r in reversed(tape):
            op = r.op
            if r in pieces:
                total[r] = put_together(pieces.pop(r), r.value, total.get(r))
            if op is None or r not in total:
                continue
            g = total[r] if r in kept else total.pop(r)
            if op.together is not None or (r.seals is not None and r.seals != sealed(r.inputs, r.seals[0])):
                check(r)
            y, operands = reading(r) if record else \
                (r.value, [x.value if isinstance(x, Record) else x for x in r.inputs])
            options, together = r.options, op.together
            x = None
            try:
                edges = op.edges if together is None else together(g, y, *operands, **options)
                for x, edge in zip(r.inputs, edges):
                    if not isinstance(x, Record):
                        continue
                    if x.op is None:                   # is it still the value that was used?
                        leaf: Any = x
                        if leaf.version > r.serial or (leaf.exposed is not None and r.seals is None):
                            check(r)
                    if edge is None or not (x.requires_grad if path is None else x in path):
                        continue
                    if together is not None:
                        c = edge
                    else:
                        c = edge(g, y, *operands, **options) if options else edge(g, y, *operands)
                    if type(c) is At:
                        pieces.setdefault(x, []).append(c)
                        continue
                    value = x.value                    # fit it to the input: un-broadcast, cast
                    if c.shape != value.shape:
                        c = un_broadcast(c, value.shape)
                    if c.dtype is not value.dtype and c.dtype != value.dtype:
                        c = fitted(c, value.dtype)
                    if x not in total:                 # and add it up, in place once the sum is the walk's own
                        total[x] = c
                        if x.op is None and c is not g and isinstance(c, ndarray) and c.base is None and not record:
                            owned.add(x)
                    elif x in owned:
                        np.add(total[x], c, out=total[x])
                    else:
                        total[x] = c = total[x] + c
                        if isinstance(c, ndarray) and not record:
                            owned.add(x)
            except Exception as error:
                raise rule_failed(error, r, x) from error.__cause__
        for x, parts in pieces.items():                # leaves, which the tape of operations does not hold
            total[x] = put_together(parts, x.value, total.get(x))
    finally:
        recording.reset(recording_before)
    found = {x: handed_out(g, x in owned, record) for x, g in total.items()
             if (x in kept if wanted is not None else x.op is None)}
    if watchers:
        watchers[-1].walked(seeds, wanted, found)
    return found


def reading(r: Record) -> tuple[Any, list[Any]]:
    """The output and the operands as Tensors, so that what a rule does with them is recorded."""
    return Tensor.of(r), [Tensor.of(x) if isinstance(x, Record) else x for x in r.inputs]


def handed_out(g: Any, owned: bool, record: bool) -> Any:
    """A gradient as its receiver gets it."""
    if record:
        return g if isinstance(g, Tensor) else unnamed(g)
    return g if owned and isinstance(g, ndarray) and g.flags.c_contiguous else np.copy(g, order="C")


def un_broadcast(c: Any, shape: tuple[int, ...]) -> Any:
    """The contribution summed over the axes along which the input was broadcast."""
    try:
        return sum_to(c, shape=shape) if isinstance(c, Tensor) else summed_to(c, shape)
    except (ValueError, IndexError):
        raise GradientError(f"the rule gave a contribution of shape {c.shape} to an input of shape {shape}") from None


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


def converted(value: Any, dtype: Any, like: Any = None) -> Any:
    """An operand in the dtype of a replay; what is no floating-point array stays as it is.

    Whole numbers given in place of a floating-point value `like` are meant as such.
    """
    if like is not None and value.dtype.kind in "biu" and like.dtype.kind in "fc":
        value = value.astype(like.dtype)
    if dtype is None or not hasattr(value, "dtype") or value.dtype.kind not in "fc":
        return value
    return value.astype(np.result_type(dtype, np.complex64) if value.dtype.kind == "c" else dtype)
