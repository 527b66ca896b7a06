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


class Key(int):
    """The key of one draw, and the generator that it came from; None for that of the context."""

    source: np.random.Generator | int | None
    drawn_from: np.random.Generator
    before: Any

    def undo(self) -> None:
        """Bring the generator back to where it was before this draw."""
        self.drawn_from.bit_generator.state = self.before

    def again(self) -> Key:
        """A new draw from where this one came."""
        return draw_key(self.source)


class Keys(tuple[tuple[Any, ...], ...]):
    """The draws of a loop: for each place the keys of its step, which are `Key`s or, of a loop within, `Keys`."""

    backwards: bool = False                              # whether the last place came first

    @classmethod
    def of(cls, rows: list[tuple[Any, ...]], backwards: bool) -> Keys:
        """Those of the steps, in the order they ran."""
        keys = cls(reversed(rows) if backwards else rows)
        keys.backwards = backwards
        return keys

    @property
    def in_order(self) -> list[tuple[Any, ...]]:
        """The keys of each step, in the order they ran."""
        return list(reversed(self) if self.backwards else self)

    def undo(self) -> None:
        """Bring the generators back to where they were before."""
        for row in reversed(self.in_order):
            for key in reversed(row):
                key.undo()

    def again(self) -> Keys:
        """New draws from where these came, in the same order."""
        return Keys.of([tuple(key.again() for key in row) for row in self.in_order], self.backwards)

    def __repr__(self) -> str:
        return f"<{sum(map(len, self))} draws, {hash(self):x}>"


# What was drawn, for who repeats a program with draws of its own (`compiler.tracing`).
keys_drawn: ContextVar[list[Any] | None] = ContextVar("autodiff.keys_drawn", default=None)


def draw_key(rng: np.random.Generator | int | None = None) -> Key:
    """The key of a new draw, from the generator given or that of the context."""
    draws, drawn = generator(rng), keys_drawn.get()
    before = None if drawn is None else draws.bit_generator.state
    key = Key(draws.integers(2**63))
    key.source = rng
    if drawn is not None:
        key.drawn_from, key.before = draws, before
        drawn.append(key)
    return key


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
    return x * dropout_mask(x, rate=rate, key=draw_key(rng))
