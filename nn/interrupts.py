"""Ctrl-C between two steps, never within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self


class HeldBack:
    """While in use, a Ctrl-C during `step` waits for its end; at any other time it interrupts at once, as always.

    Does nothing outside the main thread, or where the program handles Ctrl-C in its own way.
    """

    def __init__(self) -> None:
        self.stepping = False
        self.pending = False
        self.installed = False

    def __enter__(self) -> Self:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self.installed = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self.installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.stepping:
            raise KeyboardInterrupt
        self.pending = True

    def step(self, take: Callable[..., Any], *args: Any) -> Any:
        """One step, such as the optimiser's, whole."""
        self.stepping = True
        try:
            result = take(*args)
        finally:
            self.stepping = False
        if self.pending:
            raise KeyboardInterrupt
        return result
