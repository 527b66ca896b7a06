"""Where an infinite or undefined number came from: `detect_anomaly` while it happens, `find_anomaly` afterwards.

A record is at fault when it makes a non-finite value of finite ones, or a NaN of numbers (inf - inf); an
infinity that was given, such as -inf in a mask, is none of its doing. On the way back an edge is at
fault when a finite gradient arrives and a non-finite contribution leaves.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from autodiff.anomaly_text import (
    Edge,
    gives_nan,
    holds_nan,
    is_nonfinite,
    makes_nonfinite,
    told,
    told_edge,
    told_tangent,
)
from autodiff.errors import AnomalyError
from autodiff.explain import not_a_tensor, value
from autodiff.forward import contribution, walk_forward
from autodiff.kinds import At
from autodiff.ops.indexing import put_together
from autodiff.ops.shapes import un_broadcast
from autodiff.record import Record
from autodiff.reverse import ones
from autodiff.state import Setting, grad_mode, watchers
from autodiff.tape import behind, leading_to, walk_back
from autodiff.tensor import Tensor
from autodiff.values import plain_value

# NumPy's error state as it was outside, while this is on.
watching: ContextVar[Any] = ContextVar("autodiff.watching", default=None)


# ---- while it happens

class Watching(Setting):
    """The setting, and with it the watch of all new records and gradients."""

    __slots__ = ()

    def __enter__(self) -> None:
        before = np.seterr(divide="ignore", over="ignore", invalid="ignore")
        self.tokens.append(self.variable.set(before))
        watchers.append(WATCH)

    def __exit__(self, *error: object) -> None:
        before = self.variable.get()
        watchers.pop()
        super().__exit__(*error)
        np.seterr(**before)

    def _recreate_cm(self) -> Watching:
        return Watching(self.variable, self.value)


def detect_anomaly() -> Setting:
    """Within this block the first operation that makes an infinite or undefined number raises, and says how.

    Named are the operation, its operands, the user's line, the element and its values, and what usually
    helps. In `backward` and the transforms it is the step where a finite gradient became infinite or
    NaN; the classical trap, 0 · inf in a branch that `np.where` did not take, is recognised, with the
    rewrite that cures it. Values are the same as without; NumPy's own floating-point warnings are
    off, since the error takes their place. Serves as a decorator too. Without the block nothing is looked
    at, and nothing is paid.

    Raises
    ------
    AnomalyError
        In place of the result, or of the gradients; `.grad` is not touched then.

    Examples
    --------
    >>> x = ad.Tensor([0.0, 4.0], requires_grad=True)
    >>> with ad.detect_anomaly():
    ...     np.where(x > 0, np.sqrt(x), 0.0).sum().backward()
    Traceback (most recent call last):
      ...
    autodiff.errors.AnomalyError: the gradient of sqrt with respect to x is nan at [0]...
    """
    return Watching(watching, None)


class Watch:
    """Looks at records and gradients where the setting is on."""

    def recorded(self, record: Record) -> None:
        """Raise if this record is at fault, or shows that a NaN was there already."""
        if not watching.get() or not is_nonfinite(record.value) or in_a_walk():
            return
        culprit = record if makes_nonfinite(record) or holds_nan(record) else None
        if culprit is not None:
            raise AnomalyError(told(first_made(behind([culprit])) or culprit))

    def walked(self, seeds: Mapping[Record, Any], wanted: Sequence[Record] | None, found: Mapping[Record, Any]) -> None:
        """Raise if a gradient that is about to be handed out is not finite."""
        if not watching.get() or not any(is_nonfinite(plain_value(g)) for g in found.values()) or in_a_walk(2):
            return
        if message := cause(seeds, wanted):
            raise AnomalyError(message)

    def pushed(self, tangents: Mapping[Record, Any]) -> None:
        """Raise if a tangent, in forward mode, became non-finite."""
        if not watching.get() or in_a_walk(2):
            return
        for r, t in sorted(tangents.items(), key=lambda item: item[0].serial):
            if is_nonfinite(plain_value(t)) and not any(
                    is_nonfinite(plain_value(tangents[x])) for x in r.inputs if x in tangents):
                raise AnomalyError(told_tangent(r, plain_value(t)))


WATCH = Watch()
WALKS = (walk_back.__code__, walk_forward.__code__)


def in_a_walk(outside_of: int = 1) -> bool:
    """Whether a walk is under way: what its rules record is judged at its end, by the gradients."""
    frame, found = sys._getframe(2), 0
    while frame is not None:
        found += frame.f_code in WALKS
        if found >= outside_of:
            return True
        frame = frame.f_back                                                      # type: ignore[assignment]
    return False


# ---- afterwards

def find_anomaly(loss: Tensor) -> AnomalyError | None:
    """Why a loss, or its gradient, is infinite or NaN: the error that `detect_anomaly` would have raised.

    Parameters
    ----------
    loss : Tensor
        A result whose graph is still held.

    Returns
    -------
    AnomalyError or None
        Not raised, to be printed; None when the loss and every gradient that its backward pass meets
        are finite.

    Examples
    --------
    >>> x = ad.Tensor([0.0, 4.0], requires_grad=True)
    >>> loss = np.where(x > 0, np.sqrt(x), 0.0).sum()
    >>> with np.errstate(all="ignore"):
    ...     loss.backward()
    >>> x.grad
    array([ nan, 0.25])
    >>> print(ad.find_anomaly(loss))  # doctest: +ELLIPSIS
    the gradient of sqrt with respect to x is nan at [0], where a finite gradient arrived
      x            (2,) float64, 0.0 at [0]
    ...
    """
    if not isinstance(loss, Tensor):
        raise not_a_tensor("ad.find_anomaly(loss)", loss, "The graph behind a tensor is searched.")
    seed = ones(loss.record.value) if np.size(loss.record.value) == 1 else np.ones_like(loss.record.value)
    message = cause({loss.record: seed}, None)
    return AnomalyError(message) if message else None


def cause(seeds: Mapping[Record, Any], wanted: Sequence[Record] | None) -> str | None:
    """What made the outputs or their gradients non-finite, in words."""
    if any(is_nonfinite(r.value) for r in seeds):
        tape = behind(seeds)
        culprit = first_made(tape) or next((r for r in tape if is_nonfinite(r.value)), None)
        return told(culprit) if culprit is not None else None
    if any(is_nonfinite(plain_value(g)) for g in seeds.values()):
        return "the gradient given to start from is not finite"
    found = first_edge(seeds, wanted)
    return None if found is None else told_edge(found, behind(seeds))


# ---- who is at fault

def first_made(tape: Iterable[Record]) -> Record | None:
    """The first record at fault, or the first that was given a NaN and passed it on."""
    return next((r for r in tape if r.op is not None and is_nonfinite(r.value)
                 and (makes_nonfinite(r) or gives_nan(r))), None)


def first_edge(seeds: Mapping[Record, Any], wanted: Sequence[Record] | None) -> Edge | None:
    """The first step back at which a finite gradient turned into something else.

    The walk of `tape.walk_back` again, slowly, on arrays, and looking at every step.
    """
    since = min((r.serial for r in wanted), default=0) if wanted is not None else 0
    tape = behind(seeds, since, differentiable=True)
    path = None if wanted is None else leading_to(wanted, tape)
    total = {r: plain_value(g) for r, g in seeds.items()}
    with np.errstate(all="ignore"), grad_mode(False):
        for r in reversed(tape):
            if r.op is None or r not in total:
                continue
            g, operands = total.pop(r), [value(x) for x in r.inputs]
            for i, x in enumerate(r.inputs):
                if not isinstance(x, Record) or not (x.requires_grad if path is None else x in path):
                    continue
                c = contribution(r.op, i, g, r.value, operands, r.options)
                if c is None:
                    continue
                c = put_together([c], x.value) if isinstance(c, At) else c
                if np.shape(c) != np.shape(x.value) and not isinstance(c, tuple):
                    c = un_broadcast(c, np.shape(x.value))
                if not isinstance(c, tuple) and c.dtype != x.value.dtype:
                    c = c.astype(x.value.dtype)
                if is_nonfinite(c):
                    return Edge(r, i, g, c)
                before = total.get(x)
                total[x] = c if before is None else \
                    tuple(a + b for a, b in zip(before, c)) if isinstance(c, tuple) else before + c
                if is_nonfinite(total[x]):
                    return Edge(r, i, g, total[x], added=True)
    return None
