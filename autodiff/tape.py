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

from autodiff.errors import GradientError, ReplayError
from autodiff.kinds import At
from autodiff.naming import find, listing
from autodiff.ops.elementary import cast
from autodiff.ops.indexing import scatter
from autodiff.ops.shapes import sum_to, summed_to
from autodiff.record import Array, Leaf, Record
from autodiff.seals import check
from autodiff.sites import locate
from autodiff.state import grad_mode
from autodiff.tensor import Tensor


def behind(outputs: Iterable[Record], since: int = 0, differentiable: bool = False) -> list[Record]:
    """The records that the outputs depend on, in the order they ran.

    Nothing with a serial below `since` is visited; with `differentiable`, only records that
    gradients flow through are.
    """
    seen = {r for r in outputs if r.serial >= since}
    pending = list(seen)
    while pending:
        for x in pending.pop().inputs:
            if isinstance(x, Record) and x not in seen and x.serial >= since and (x.requires_grad or not differentiable):
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
    path = set(tape) if wanted is None else leading_to(wanted, tape)
    kept = {r for r in tape if r.op is None} if wanted is None else set(wanted)

    total: dict[Record, Any] = dict(seeds)         # the gradient that has arrived at each record so far
    pieces: dict[Record, list[At]] = {}            # what has arrived at some of its elements only
    owned: set[Record] = set()                     # where that is an array of the walk's own
    with grad_mode(record):
        for r in reversed(tape):
            if r in pieces:
                total[r] = put_together(pieces.pop(r), r.value, total.get(r))
            op = r.op
            if op is None or r not in total:
                continue
            g = total[r] if r in kept else total.pop(r)
            if r.seals is not None:
                check(r)
            y, operands = reading(r, record)
            options = r.options
            for x, edge in zip(r.inputs, op.edges, strict=False):
                if edge is None or not isinstance(x, Record) or x not in path:
                    continue
                try:
                    c = edge(g, y, *operands, **options) if options else edge(g, y, *operands)
                    if c is None:
                        continue
                    if type(c) is At:
                        pieces.setdefault(x, []).append(c)
                        continue
                    value = x.value
                    if c.shape != value.shape:
                        c = un_broadcast(c, value.shape)
                    if c.dtype is not value.dtype and c.dtype != value.dtype:
                        c = cast(c, dtype=value.dtype)
                    if x not in total:
                        total[x] = c
                        if x in kept and c is not g and isinstance(c, np.ndarray) and c.base is None:
                            owned.add(x)
                    elif x in owned:
                        np.add(total[x], c, out=total[x])
                    else:
                        total[x] = c = total[x] + c
                        if isinstance(c, np.ndarray):
                            owned.add(x)
                except Exception as error:
                    error.add_note(f"in the gradient of {op.name} with respect to {x.name or 'an input'}, recorded at "
                                   f"{r.where}\n    {locate(r.code, r.lasti).text}")
                    raise
    return {r: handed_out(total[r], r in owned, record) for r in kept if r in total}


def reading(r: Record, record: bool) -> tuple[Any, list[Any]]:
    """The output and the operands as a rule is to see them: arrays, or Tensors that record."""
    if record:
        return Tensor.of(r), [Tensor.of(x) if isinstance(x, Record) else x for x in r.inputs]
    return r.value, [x.value if isinstance(x, Record) else x for x in r.inputs]


def handed_out(g: Any, owned: bool, record: bool) -> Any:
    """A gradient as its receiver gets it."""
    if record:
        return g if isinstance(g, Tensor) else Tensor(g)
    return g if owned and isinstance(g, np.ndarray) and g.flags.c_contiguous else np.copy(g, order="C")


def un_broadcast(c: Any, shape: tuple[int, ...]) -> Any:
    """The contribution summed over the axes along which the input was broadcast."""
    try:
        return sum_to(c, shape=shape) if isinstance(c, Tensor) else summed_to(c, shape)
    except (ValueError, IndexError):
        raise GradientError(f"the rule gave a contribution of shape {c.shape} to an input of shape {shape}") from None


def put_together(parts: list[At], like: Any, arrived: Any = None) -> Any:
    """Contributions to single elements as one array, with what has arrived for the whole.

    For an op with several outputs: as one cotangent per output.
    """
    if isinstance(like, tuple):
        return tuple(sum_of([part.value for part in parts if part.index == i], y) for i, y in enumerate(like))
    indices, arrays = [], []
    for part in parts:
        indices.append((part.index, len(arrays)))
        arrays += part.parts
    whole = scatter(*(part.value for part in parts), *arrays, indices=tuple(indices), shape=np.shape(like))
    return whole if arrived is None else arrived + whole


def sum_of(terms: list[Any], like: Any) -> Any:
    """Their sum; zeros if there are none."""
    return sum(terms[1:], start=terms[0]) if terms else np.zeros_like(like)


def walk_forward(tape: Iterable[Record], tangents: Mapping[Record, Any], record: bool = False) -> dict[Record, Any]:
    """The tangent at each record of the tape, given those of some; records without one are missing."""
    found = dict(tangents)
    with grad_mode(record):
        for r in tape:
            ts = [found.get(x) if isinstance(x, Record) else None for x in r.inputs]
            if r not in found and any(t is not None for t in ts) and r.requires_grad:
                t = push(r, ts, record)
                if t is not None:
                    found[r] = t
    return found


def push(r: Record, ts: list[Any], record: bool) -> Any:
    """The tangent of a record, given those of its inputs (None where zero)."""
    op, (y, operands) = r.op, reading(r, record)
    assert op is not None
    if op.kind == "linear":
        return op(*[t if t is not None else x if op.edges[i] is None or not floating(x) else np.zeros_like(x)
                    for i, (t, x) in enumerate(zip(ts, operands, strict=True))], **r.options)
    total = None
    for i, t in enumerate(ts):
        if t is None or op.edges[i] is None:
            continue
        if op.tangents is not None:
            term = op.tangents[i](t, y, *operands, **r.options)    # type: ignore[misc]  # stated where edges are
        else:
            term = transposed(r, i, t, y, operands, record)
        if np.shape(term) != np.shape(r.value):
            term = np.broadcast_to(term, np.shape(r.value))
        total = term if total is None else total + term
    return total


def transposed(r: Record, i: int, t: Any, y: Any, operands: list[Any], record: bool) -> Any:
    """The tangent from input `i` through an op that states only its vjp.

    A rule is linear in g. So run it on a g that records, and walk that little tape back with the
    tangent as seed: the transpose of the transpose.
    """
    assert r.op is not None
    edge = r.op.edges[i]
    assert edge is not None
    g = Tensor(np.zeros_like(r.value), requires_grad=True)
    with grad_mode(True):
        c = edge(g, y, *operands, **r.options)
        c = put_together([c], operands[i]) if isinstance(c, At) else c
        c = un_broadcast(c, np.shape(operands[i])) if np.shape(c) != np.shape(operands[i]) else c
    found = walk_back({c.record: t}, [g.record], record) if isinstance(c, Tensor) else {}
    return found.get(g.record, np.zeros_like(r.value))


def floating(x: Any) -> bool:
    """Whether derivatives with respect to an operand make sense."""
    return isinstance(x, float | complex | tuple) or (hasattr(x, "dtype") and x.dtype.kind in "fc")


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
            Raise where a value left the tape as a Python number and this replay would change it.

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
        changed = {self.find(key): np.asarray(getattr(value, "data", value) if isinstance(value, Tensor) else value)[()]
                   for key, value in (values or {}).items()}
        for r, value in changed.items():
            if np.shape(value) != np.shape(r.value):
                raise ReplayError(f"{r.name or 'a tensor'} has shape {np.shape(r.value)} on this tape, "
                                  f"not {np.shape(value)}; record the program again for other shapes")
        if strict and changed:
            refuse_leaks(self.all, set(changed))
        held: dict[Record, Any] = {}
        for r in self.all:
            if r in changed:
                held[r] = converted(changed[r], dtype)
            elif r.op is None:
                held[r] = converted(r.value, dtype)
            else:
                forward = r.op.forward if dtype is None else r.op.analytic
                y = forward(*[held[x] if isinstance(x, Record) else converted(x, dtype) for x in r.inputs], **r.options)
                held[r] = y if each is None else each(r, y)
        outputs = [held[r] for r in self.outputs]
        return outputs[0] if len(outputs) == 1 else outputs


def converted(value: Any, dtype: Any) -> Any:
    """An operand in the dtype of a replay; what is no floating-point array stays as it is."""
    if dtype is None or not hasattr(value, "dtype") or value.dtype.kind not in "fc":
        return value
    return value.astype(dtype)


def refuse_leaks(tape: list[Record], changed: set[Record]) -> None:
    """Raise if a value that this replay changes was used where the tape cannot follow."""
    first = next((r.serial for r in tape if r.op is not None), 0)
    last = tape[-1].serial
    roots: dict[int, Record] = {}
    for r in tape:
        if r in changed or any(x in changed for x in r.inputs if isinstance(x, Record)):
            changed.add(r)
            if isinstance(r.value, np.ndarray):
                roots[id(root(r.value))] = r
            for leak in r.leaks:
                if (leak.serial > first or leak.constant) and leak.serial < last:
                    raise ReplayError(
                        f"{leak.record or r.name or 'a value'} left the tape at {locate(leak.code, leak.lasti)} by "
                        f"{leak.how}:\n    {locate(leak.code, leak.lasti).text}\n  What was recorded after it may depend on "
                        "that number, so a replay on other values could be wrong. Keep it on the tape "
                        "(np.where for a choice), or pass strict=False if it was only looked at.")
    for r in tape:
        for x in (r.value,) if r.op is None and r not in changed else r.inputs:
            if isinstance(x, np.ndarray) and (source := roots.get(id(root(x)))) is not None \
                    and np.may_share_memory(x, source.value):
                raise ReplayError(
                    f"the values of {source.name or 'a tensor'} were taken off the tape (.numpy(), .data or .detach()) and used "
                    f"again at {r.where}.\n  A replay would change the one and not the other; use the tensor itself, "
                    "or pass strict=False if a constant was meant.")


def root(a: np.ndarray[Any, Any]) -> Any:
    """The array that owns the memory of a view."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a
