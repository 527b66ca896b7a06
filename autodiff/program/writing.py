"""What writing an operation needs: a text and how tightly it binds, and who knows what operands are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from autodiff.kinds import Op
from autodiff.record import Record

# How tightly Python binds, from loose to tight.
ANY, COMPARED, OR, XOR, AND, SUM, PRODUCT, SIGN, POWER, ATOM = range(10)


class Text(NamedTuple):
    """An expression, and how tightly its outermost operator binds."""

    text: str
    level: int = ATOM


class Writer(Protocol):
    """Who writes a program: knows what operands are called."""

    exact: bool

    def arg(self, x: Any, level: int = ANY, r: Record | None = None) -> str:
        """The text of an operand, in parentheses if it binds less than `level`."""

    def helper(self, op: Op) -> str:
        """The name of the function that computes an operation, which is defined above."""


Writing = Callable[[Record, Writer], Text]
