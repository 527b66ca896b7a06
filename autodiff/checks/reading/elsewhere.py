"""Their function at other values of the parameters, where what is right by coincidence is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autodiff.checks.manual import value_named, wanted_by
from autodiff.checks.reading.hooks import Spot
from autodiff.checks.reading.known import Knowledge
from autodiff.checks.reading.status import right
from autodiff.checks.reading.their_code import Change, Program, UnreadableError
from autodiff.errors import ReplayError
from autodiff.leaks import refuse_leaks
from autodiff.record import Record
from autodiff.tape import Tape


class Elsewhere:
    """Gradients at other values of the leaves.

    Parameters
    ----------
    program : Program
        Their function.
    knowledge : Knowledge
        What the tape knows.
    arguments : callable
        From the values of the records to what the function is called with.
    read : callable
        From what it returns to the gradients by key.
    keys : dict
        The records of these gradients; the loss stands for itself.
    """

    def __init__(self, program: Program, knowledge: Knowledge, arguments: Callable[[Mapping[Record, Any]], Any],
                 read: Callable[[Any], dict[Any, Any]], keys: Mapping[Any, Record]) -> None:
        self.program, self.knowledge, self.read, self.keys = program, knowledge, read, keys
        self.arguments_of = arguments
        self.arguments: Any = None
        self.targets: dict[Any, Any] | None = None

    def prepare(self, agreeing: frozenset[Any], seconds: float) -> bool:
        """Compute the gradients there; whether they can be relied on: those that agree here agree there too."""
        try:
            given = other_values(self.knowledge.tape)
            values = self.knowledge.at(given)
            refuse_leaks(self.knowledge.tape.all, set(given))
            self.arguments = self.arguments_of(values)
        except ReplayError:
            return False
        roots = self.knowledge.roots
        loss = self.knowledge.loss
        if any(r not in roots for r in self.keys.values()):
            return False
        self.targets = {key: values[r if r is loss else roots[r]] for key, r in self.keys.items()}
        return all(np.all(np.isfinite(g)) for g in self.targets.values()) and agreeing <= self.right({}, seconds)

    def right(self, changes: Mapping[Spot, Change], seconds: float) -> frozenset[Any]:
        """The gradients that are right there, with changes of their function."""
        run = self.program.run(self.arguments, changes, seconds=seconds)
        if run.error is not None:
            return frozenset()
        outputs = self.read(run.returned)
        return frozenset(key for key, target in (self.targets or {}).items() if right(outputs.get(key), target))


def other_values(tape: Tape) -> dict[Record, Any]:
    """Random values of the same size for the parameters, positive where all of them were; numbers get a little smaller.

    What requires no grad stays: the recorded gradient may hold it as a number of its own.
    """
    rng = np.random.default_rng(1)
    values: dict[Record, Any] = {}
    for r in tape.leaves:
        x = np.asarray(r.value)
        if x.dtype.kind != "f" or not x.size or not r.requires_grad:
            continue
        if x.ndim == 0 and x != np.round(x):
            values[r] = x * rng.uniform(0.6, 0.95)
        else:
            size = float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) or 0.5
            new = rng.normal(size=x.shape) * size
            values[r] = (np.abs(new) + size / 10 if np.all(x > 0) else new)[()]
    return values


def arguments_of(function: Callable[..., Any], tape: Tape, values: Mapping[Record, Any],
                 more: Mapping[str, Any]) -> dict[str, Any]:
    """What the function asks for, in float64."""
    arguments = {}
    for name, parameter in wanted_by(function).items():
        value = value_named(tape, name, values)
        value = more.get(name) if value is None else value
        if value is not None:
            value = np.asarray(value)
            arguments[name] = value.astype(np.float64) if value.dtype.kind == "f" else value
        elif parameter.default is parameter.empty:
            raise UnreadableError(f"it asks for {name!r}, which is not on this tape")
    return arguments


def generic(tape: Tape) -> dict[Record, Any]:
    """Other values for the parameters that are all one number, as biases are at first: they would hide what is what."""
    rng = np.random.default_rng(0)
    flat = {r for r in tape.leaves if r.requires_grad and np.size(r.value) > 1 and np.ptp(r.value) == 0}
    try:
        refuse_leaks(tape.all, set(flat))
    except ReplayError:
        return {}
    return {r: np.asarray(r.value, np.float64) + 0.3 * rng.normal(size=np.shape(r.value)) for r in flat}
