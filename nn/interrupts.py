"""Ctrl-C after a step, never within one."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # without the wrappers, which make enumerations of numbers and back
from collections.abc import Callable
from threading import get_ident, main_thread
from typing import Any, TypeVar

T = TypeVar("T")


def uninterrupted(take: Callable[..., T], *args: Any) -> T:
    """Call this to its end: a Ctrl-C meanwhile interrupts after it.

    Outside the main thread, and where the program handles Ctrl-C in its own way, it does not interrupt, and this is a
    call like any other.

    Examples
    --------
    >>> from nn.interrupts import uninterrupted
    >>> uninterrupted(max, 1, 2)
    2
    """
    if get_ident() != main_thread().ident or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return take(*args)
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        result = take(*args)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt
    return result
