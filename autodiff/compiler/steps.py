"""One step of a loop as a program: from a carry, slices of stacks and constants to the next carry and more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.ops.random import Key, Keys
from autodiff.program.passes import Operand, Program
from autodiff.record import Record


@dataclass
class Body:
    """One step, as a program.

    Attributes
    ----------
    outputs : list of Record or number
        The next carry, what is stacked, what is summed.
    carry, xs, constants : list of Record
        The leaves it starts from.
    stacked : int
        How many outputs are stacked.
    like : list of array
        For each output an array of its shape and dtype.
    keys : list of Key or Keys
        The random draws of a step, in order.
    """

    outputs: list[Operand]
    carry: list[Record]
    xs: list[Record]
    constants: list[Record]
    stacked: int
    like: list[Any]
    keys: list[Any]

    @property
    def leaves(self) -> list[Record]:
        """What it starts from, in the order of the loop's operands."""
        return [*self.carry, *self.xs, *self.constants]

    @property
    def program(self) -> Program:
        """Its outputs, and all they are computed from."""
        return numbered(self.outputs)

    @property
    def sums(self) -> int:
        """The number of the first output that is summed."""
        return len(self.carry) + self.stacked

    def with_stacked(self, more: list[Record]) -> Body:
        """The same with further results stacked, behind those it has."""
        at = self.sums
        return Body([*self.outputs[:at], *more, *self.outputs[at:]], self.carry, self.xs, self.constants,
                    self.stacked + len(more), [*self.like[:at], *[r.value for r in more], *self.like[at:]], self.keys)

    def only(self, used: Iterable[int]) -> tuple[Body, list[int], list[int]]:
        """The same with the carry and these outputs alone, the old numbers of these, and of the operands it needs."""
        kept = sorted({*range(len(self.carry)), *used})
        stacked = sum(len(self.carry) <= i < self.sums for i in kept)
        body = Body([self.outputs[i] for i in kept], self.carry, self.xs, self.constants, stacked,
                    [self.like[i] for i in kept], self.keys)
        live = set(body.program.records)
        body.xs, body.constants = ([r for r in rs if r in live] for rs in (self.xs, self.constants))
        leaves = set(body.leaves)
        return body, kept, [i for i, r in enumerate(self.leaves) if r in leaves]

    def identity(self) -> Any:
        """What two steps share that are the same program."""
        numbers = {r: i for i, r in enumerate(self.leaves)}
        drawn = {id(key): i for i, key in enumerate(self.keys)}

        def operand(x: Any) -> Any:
            return numbers[x] if isinstance(x, Record) else (type(x), repr(x))

        def option(x: Any) -> Any:
            if isinstance(x, Key | Keys):
                return "key", drawn.get(id(x)), repr(x) if id(x) not in drawn else ""
            return (x.shape, x.dtype.str, x.tobytes()) if isinstance(x, np.ndarray) else repr(x)

        lines: list[Any] = [(np.shape(r.value), r.value.dtype) for r in numbers]
        for r in self.program.records:
            if r not in numbers:
                lines.append((r.op, *map(operand, r.inputs),
                              *[(key, option(value)) for key, value in sorted(r.options.items())]))
                numbers[r] = len(numbers)
        sizes = len(self.carry), len(self.xs), len(self.constants), self.stacked, len(self.keys)
        return sizes, tuple(lines), tuple(map(operand, self.outputs))


def numbered(outputs: Iterable[Operand]) -> Program:
    """The program of some results, by their numbers."""
    return Program({str(i): y for i, y in enumerate(outputs)})
