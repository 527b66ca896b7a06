"""Random draws. A draw is a record too: its key is an option, so that a replay draws the same again."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import numpy as np

from autodiff.kinds import constant

generator_now: ContextVar[np.random.Generator | None] = ContextVar("autodiff.generator", default=None)


def seed(value: int | None = None) -> np.random.Generator:
    """Start the random numbers of this context (thread, task) anew; returns their generator.

    Examples
    --------
    >>> first = ad.seed(0).normal()
    >>> bool(first == ad.seed(0).normal())
    True
    """
    generator = np.random.default_rng(value)
    generator_now.set(generator)
    return generator


def generator(given: np.random.Generator | int | None = None) -> np.random.Generator:
    """The generator that is given (or started from a given number), or the one of this context.

    Examples
    --------
    >>> rng = ad.seed(0)
    >>> ad.generator() is rng
    True
    """
    if isinstance(given, np.random.Generator):
        return given
    return np.random.default_rng(given) if given is not None else generator_now.get() or seed()


def keep_mask(x: Any, rate: float, key: int) -> Any:
    """0 with probability `rate`, else 1 / (1 - rate), shaped as x."""
    kept = np.random.Generator(np.random.Philox(key=key)).random(np.shape(x)) >= rate
    return np.asarray(kept, dtype=x.dtype, like=x) / (1 - rate)


dropout_mask = constant("dropout_mask", keep_mask)


def dropout(x: Any, rate: float = 0.5, rng: np.random.Generator | int | None = None) -> Any:
    """Each element zeroed with probability `rate`, the others scaled so that the mean stays.

    Srivastava et al., "Dropout", JMLR 15 (2014).

    Examples
    --------
    >>> ad.dropout(np.ones(4), 0.5, rng=0)
    array([0., 0., 2., 0.])
    """
    if not 0 <= rate < 1:
        raise ValueError(f"the rate of dropout must lie in [0, 1), not {rate}")
    key = int(generator(rng).integers(2**63))
    return x * dropout_mask(x, rate=rate, key=key)
