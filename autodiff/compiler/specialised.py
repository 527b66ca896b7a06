"""One trace made ready to run: its passes, its text, and functions bound to memory, one for each thread at work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from sys import _getframe
from typing import Any

import numpy as np

from autodiff.compiler import blocks
from autodiff.compiler.emission import Emission
from autodiff.compiler.factors import LARGE, arranged
from autodiff.compiler.lazy import settled
from autodiff.compiler.loop_text import fits as can_be_native
from autodiff.compiler.loops import Native
from autodiff.compiler.lowering import folded, lowered, unspread, without_rows
from autodiff.compiler.parts import defined
from autodiff.compiler.planning import workspace
from autodiff.compiler.schedule import scheduled
from autodiff.compiler.tracing import Trace
from autodiff.program.passes import Program, copy_of, rewritten, shared, value_of
from autodiff.program.trimming import trimmed
from autodiff.record import Leaf, Record
from autodiff.tape import Tape
from autodiff.tensor import Tensor


class Specialised:
    """A trace as a fast function of the same shapes and dtypes.

    Parameters
    ----------
    trace : Trace
        What a function computed.
    jit : bool
        Whether to gather loops into native code.
    donated : dict of int to Record
        Outputs, by number, that are written into the array of something captured.
    first : iterable of int, optional
        Outputs that must be there before anything runs that they do not need.
    verified : (callable, list of Record), optional
        What is called before that, with the first output and the arrays of something captured; it may raise.
    epochs : bool
        Whether to make a loop over batches too, where the whole is one native function.
    """

    def __init__(self, trace: Trace, jit: bool, donated: Mapping[int, Record] | None = None,
                 first: Iterable[int] | None = None,
                 verified: tuple[Callable[..., None], list[Record]] | None = None, epochs: bool = False) -> None:
        self.trace = trace
        donated = {i: held for i, held in (donated or {}).items() if np.ndim(held.value)}
        checked = verified[1] if verified else []
        known = set(trace.captured.values())
        for held in dict.fromkeys([*donated.values(), *checked]):          # in order: the same program, the same text
            if held not in known:
                trace.captured[Leaf(held.value, False, _getframe(), held.label)] = held
        program = optimised(trace.program, jit)
        settled((*trace.inputs, *trace.program.records))
        if trace.sketch:
            trace.sketch.over = True
        outputs = list(program.outputs.values())
        leaves = {held: leaf for leaf, held in trace.captured.items()}
        giving: dict[Record, list[Record]] = {}
        for i, held in donated.items():
            giving.setdefault(outputs[i], []).append(leaves[held])
        native = Native()
        fits, kernels = (can_be_native, native) if jit else (blocks.fits, blocks.call)
        early = None if first is None else [outputs[i] for i in first]
        self.schedule = scheduled(program, fits if jit or any(map(fits, program.records)) else None, early)
        if not jit:
            blocks.whole_again(self.schedule)
        self.emission = Emission(self.schedule, trace.inputs, list(trace.captured), names_of(trace), giving,
                                 verified and (verified[0], outputs[0], [leaves[held] for held in checked]), kernels)
        self.epochs = jit and native.joined(self.emission, epochs) and bool(self.emission.epoch)
        self.one_call = native.whole is not None          # all of it is one native function
        given: set[Record] = set()
        results = [self.emission.result(r, given) if isinstance(r, Record) else self.emission.number(r)
                   for r in outputs if r not in giving]
        self.listed = python = self.emission.text(results)
        self.memory = self.emission.memory
        self.arrays = [trace.captured[r] for r in self.emission.arrays]
        self.scalars = [trace.captured[r] for r in self.emission.scalars]
        self.key_sources = self.ordered_keys()
        if jit:
            self.listed = native.text(python)
            self.emission.namespace.update(native.built())
        self.bind = self.made(python)
        self.more = bool(self.scalars or self.key_sources)
        self.own: set[Record] = set()                 # captured, and nobody else can give them another array
        self.idle: list[tuple[list[tuple[Record, Any]], Callable[..., Any], Any]] = []

    @property
    def source(self) -> str:
        """What runs, readable; the steps of loops first."""
        loops = {r.op: None for node in self.schedule.nodes for r in node.records if hasattr(r.op, "step_source")}
        steps = [f"# ---- a step of {self.emission.helper(op)}\n\n{op.step_source}" for op in loops]   # type: ignore[arg-type, union-attr]
        return "\n\n".join([*steps, "# ---- the whole\n", self.listed] if steps else [self.listed])

    @property
    def tape(self) -> Tape:
        """The program as a tape: what is drawn and listed."""
        program = optimised(with_numbers(self.trace.program), native=False)
        outputs = [r for r in program.outputs.values() if isinstance(r, Record)]
        return Tape(*[Tensor.of(r) for r in outputs if np.ndim(r.value) == 0 or len(outputs) == 1] or
                    [Tensor.of(r) for r in outputs])

    def __str__(self) -> str:
        trace = self.trace
        takes = ", ".join(f"{r.label or 'x'} {np.shape(r.value)}" for r in trace.inputs)
        calls = len(self.schedule.nodes)
        operations = sum(r.op is not None for r in trace.program.records)
        return f"  ({takes}): {operations} operations recorded, {calls} calls, {self.memory}"

    def ordered_keys(self) -> list[int]:
        """Which of the draws each key argument is."""
        keys = {id(key): i for i, key in enumerate(self.trace.keys)}
        options = [value for node in self.schedule.nodes for r in node.records for value in r.options.values()]
        return [keys[id(value)] for value in options if id(value) in keys]

    def made(self, python: str) -> Callable[..., Any]:
        """The function ``bind`` of the text."""
        namespace = dict(self.emission.namespace)
        defined(python, namespace)
        found: Callable[..., Any] = namespace["bind"]
        return found

    def run(self, args: list[Any], keys: list[int]) -> Any:
        """The outputs for these arrays, in order."""
        try:
            bound = self.idle.pop()
        except IndexError:
            bound = self.fresh()
        for held, array in bound[0]:
            if held.value is not array:
                bound = self.fresh()
                break
        try:
            if self.more:
                args = [*args, *[r.value for r in self.scalars], *[keys[i] for i in self.key_sources]]
            return bound[1](*args)
        finally:
            self.idle.append(bound)

    def run_epoch(self, samples: tuple[Any, Any], order: Any, numbers: Any, losses: Any) -> int:
        """Run for one batch after the other, taken from the samples in this order; how many were run to the end.

        Parameters
        ----------
        samples : pair of array
            What the first two inputs are batches of.
        order : array of int64
            Which samples, batch by batch.
        numbers : array of shape (1 or batches, n)
            The other inputs, for all batches or each.
        losses : array
            Where the first output goes.
        """
        held, _, epoch = bound = self.idle.pop() if self.idle else self.fresh()
        if any(r.value is not array for r, array in held):
            held, _, epoch = bound = self.fresh()
        try:
            done: int = epoch(*samples, order, numbers, losses)
            return done
        finally:
            self.idle.append(bound)

    def fresh(self) -> tuple[list[tuple[Record, Any]], Callable[..., Any], Callable[..., Any]]:
        """What is captured now, and a function with a workspace of its own that works on it."""
        held = [(r, r.value) for r in self.arrays if r not in self.own]
        return held, *self.bind(workspace(self.memory.size), *[r.value for r in self.arrays])


def optimised(program: Program, native: bool) -> Program:
    """The passes, in order: no unused outputs, composites taken apart, constants folded, the same computed once."""
    program = unspread(folded(lowered(trimmed(program), native)))
    settled(program.records)
    return shared(arranged(program)) if native else without_rows(shared(arranged(program, LARGE)))


def with_numbers(program: Program) -> Program:
    """The program with the values that its leaves give now."""
    def rule(r: Record, state: Program) -> Record:
        if r.op is None:
            return r
        made = copy_of(r, r.inputs)
        made.value = r.op.forward(*map(value_of, r.inputs), **r.options)
        return made

    return rewritten(program, rule)


def names_of(trace: Trace) -> dict[Record, str]:
    """What the user calls the records of a trace."""
    return {r: name for r in trace.program.records if (name := r.name)}
