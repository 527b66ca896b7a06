"""Quantities found again by their numbers: what is known of one, its direction, how it fits the values of a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from autodiff.record import Record

CLOSE = 1e-7              # how far apart two directions may be and still be one
FLAT = 1e-9                # up to which spread, relative to its norm, an array is all one number

# What a quantity is, the surest first.
COTANGENT, VALUE, LOCAL, STEP, INNER = "cotangent", "value", "local derivative", "step", "inner product"
RANK = {COTANGENT: 0, VALUE: 1, LOCAL: 2, STEP: 3, INNER: 4}


@dataclass(frozen=True, eq=False)
class Known:
    """A quantity that the tape knows.

    Attributes
    ----------
    value : ndarray
        Its numbers; those of a sequence (the steps of a loop) stand one after the other along a first axis.
    kind : str
        "cotangent" of a record, its "value", its "local derivative", or a "step" of the recorded gradient.
    record : Record
        Which, of the forward pass; of a step the record of the gradient's own tape.
    called : str
        What to call it.
    made : tuple of Record
        The records, of the forward or the gradient, that have this value; () if none has.
    names : frozenset of str
        The records' own names.
    parts : tuple of ndarray
        Of the steps of a loop or the layers of a net, which may differ in shape, each one's; `value` is the first then.
    """

    value: Any
    kind: str
    record: Record
    called: str
    made: tuple[Record, ...] = ()
    names: frozenset[str] = frozenset()
    parts: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Match:
    """A known quantity that an array equals: ``array = factor * quantity``."""

    known: Known
    factor: float
    turned: bool = False


@lru_cache(maxsize=64)
def probes(n: int) -> Any:
    """Two random vectors of n elements, always the same."""
    return np.random.default_rng(n).normal(size=(2, n))


def direction(value: Any) -> tuple[float, float, float] | None:
    """An array's products with the probes, over its norm (with the sign of the first); None if it has none."""
    flat = np.ravel(np.asarray(value, np.float64))
    if flat.size < 2:
        return None
    with np.errstate(all="ignore"):
        norm = float(np.sqrt(flat @ flat))
        if not np.isfinite(norm) or norm == 0 or np.ptp(flat) <= FLAT * norm:
            return None
        a, b = probes(flat.size) @ flat / norm
    return (float(a), float(b), norm) if a > 0 else (-float(a), -float(b), -norm)


def directions(rows: Any) -> tuple[Any, Any, Any, Any]:
    """The directions of many arrays of one size, flat: which of them have one, and the three numbers of these."""
    rows = np.asarray(rows, np.float64)
    with np.errstate(all="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        kept = np.isfinite(norms) & (norms > 0) & (np.ptp(rows, axis=1) > FLAT * norms) & (rows.shape[1] > 1)
        first, second = probes(rows.shape[1]) @ rows[kept].T / norms[kept]
    signs = np.where(first > 0, 1.0, -1.0)
    return kept, signs * first, signs * second, signs * norms[kept]


def close(a: Any, b: Any) -> bool:
    """Whether two arrays of one size hold the same numbers, to rounding."""
    with np.errstate(all="ignore"):
        return bool(np.allclose(np.ravel(a), np.ravel(b), rtol=CLOSE, atol=0))


def shaped_like(known: Known, values: Sequence[Any]) -> Iterator[list[Any]]:
    """A quantity as the values one spot made, one after the other: rows, columns or steps of it."""
    n, shape, value = len(values), np.shape(values[0]), known.value
    if known.parts:
        shapes = [np.shape(v) for v in values]
        for size in (n, n - 1) if n > 2 else (n,):                           # the last one may go unused
            windows = [list(parts[start:start + size]) for parts in (known.parts[::-1], known.parts)
                       for start in range(len(parts) - size + 1) if n > 1]
            fitting = [window for window in windows if [part.shape for part in window] == shapes[:size]]
            yield from fitting
            if fitting:
                break
        return
    if any(np.shape(a) != np.shape(b) for a, b in pairwise(values)):         # each longer than the one before
        if value.ndim == len(shape) + 1 and len(value) == n and all(
                np.ndim(v) == len(shape) and np.all(np.shape(v) <= np.asarray(value.shape[1:])) for v in values):
            yield [row[tuple(slice(k) for k in np.shape(v))] for row, v in zip(value, values, strict=True)]
        return
    for turned in (value, np.moveaxis(value, -1, 0)) if value.ndim > 1 else (value,):
        if n == 1 and turned.shape == shape:
            yield [turned]
            return
        if n > 1:
            sizes = np.cumprod(turned.shape).tolist()
            at = sizes.index(n) + 1 if n in sizes else 0
            if at and longer(turned.shape[at:]) == longer(shape):
                rows = list(np.reshape(turned, (n, *shape)))
                yield from (rows, rows[::-1])
            elif n > 2 and turned.shape == (n - 1, *shape):                  # the last one goes unused
                yield list(turned)
    if n == 1 and value.size == np.size(values[0]) and known.kind not in (STEP, INNER):
        yield [np.reshape(value, shape)]


def longer(shape: tuple[int, ...]) -> list[int]:
    """A shape without its axes of length one."""
    return [n for n in shape if n > 1]
