"""Time to spend: the processor's, so that what is found does not depend on what else the machine is doing."""

from __future__ import annotations

import time

import numpy as np

MORE = 4                   # times as many seconds may pass by the clock on the wall, for who sleeps or waits
PAUSE = 0.5                # seconds more, for a machine that halts now and then


class Budget:
    """Seconds of processor time of this thread.

    Parameters
    ----------
    seconds : float
        How many.
    within : Budget, optional
        Of which this one is a part: it ends no later.

    Examples
    --------
    >>> from autodiff.checks.budget import Budget
    >>> budget = Budget(60.0)
    >>> budget.late, 59 < budget.left < 60, Budget(0.0).late
    (False, True, True)
    """

    def __init__(self, seconds: float, within: Budget | None = None) -> None:
        now = time.perf_counter()
        self.seconds = seconds if within is None else min(seconds, within.left)
        self.started = time.thread_time()
        self.ends: float = min(now + MORE * self.seconds + PAUSE, np.inf if within is None else within.ends)
        self.next_look = now + self.seconds

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return min(self.seconds - (time.thread_time() - self.started), self.ends - time.perf_counter())

    @property
    def late(self) -> bool:
        """Whether they have passed. The processor's clock is slow to read, but never ahead of that on the wall."""
        now = time.perf_counter()
        if now < self.next_look:
            return False
        self.next_look = now + self.left
        return self.next_look <= now

    def part(self, seconds: float) -> Budget:
        """So many of the seconds that are left."""
        return Budget(seconds, self)
