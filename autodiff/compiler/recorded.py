"""A compiled function as one operation on a tape, where its result is to have a gradient.

Its rule is the pullback of the program it was made from, itself a compiled function: so the gradient is as fast, and
can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import numpy as np

from autodiff.compiler.specialised import Specialised
from autodiff.compiler.tracing import seen
from autodiff.kinds import Op, select
from autodiff.ops.elementary import alias
from autodiff.program.passes import Program
from autodiff.record import Record
from autodiff.tape import walk_back
from autodiff.tensor import Tensor

requires_grad = attrgetter("requires_grad")


def dependent(program: Program, sources: Iterable[Record], any_op: bool = False) -> set[int]:
    """The numbers of the outputs that depend on some leaves, by gradients or at all."""
    reached = set(sources)
    for r in program.records:
        if r.op is not None and (any_op or r.requires_grad or r.op in (select, alias)) and not reached.isdisjoint(
                x for x in r.inputs if isinstance(x, Record)):
            reached.add(r)
    return {i for i, r in enumerate(program.outputs.values()) if r in reached}


def run_again(program: Program, held: dict[Any, Any]) -> None:
    """Run a program on Tensors, given those in place of its leaves, so that it is recorded anew."""
    for r in program.records:
        if r.op is not None:
            operands = [held[x] if isinstance(x, Record) else x for x in r.inputs]
            several = r.op is select and type(operands[0]) is tuple
            held[r] = operands[0][r.options["output"]] if several else r.op(*operands, **r.options)


class Recorded:
    """The operation of a compiled function: arrays in, all outputs out.

    Parameters
    ----------
    name : str
        What pictures and messages call it.
    program : Specialised
        What runs.
    needing : list of bool
        Which of its arguments require grad.
    compiled : callable
        Compiles the pullback.
    """

    def __init__(self, name: str, program: Specialised, needing: list[bool],
                 compiled: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self.program = program
        self.trace = trace = program.trace
        self.leaves = {held: leaf for leaf, held in trace.captured.items() if held.requires_grad}
        self.captured = [Tensor.of(held) for held in self.leaves]
        self.frozen = [held for held in trace.captured.values() if not held.requires_grad]
        inputs = [r for r, needs in zip(trace.inputs, needing) if needs]
        self.linked = dependent(trace.program, [*inputs, *self.leaves.values()])
        self.possible = bool(self.linked)
        self.op = Op(self.forward, name)
        self.op.kind, self.op.differentiable, self.op.together = "general", True, self.rule
        self.op.edges = (self.rule,) * (len(trace.inputs) + len(self.captured))    # for forward mode: there may be one
        self.pullback = compiled(self.pull)

    def current(self) -> bool:
        """Whether what is captured requires grad where it did."""
        return all(map(requires_grad, self.leaves)) and not any(map(requires_grad, self.frozen))

    def wanted(self, given: list[Any]) -> bool:
        """Whether something in these arguments, or captured, is to have a gradient."""
        return self.possible and (any(t.record.requires_grad for t in self.captured) or any(
            isinstance(x, Tensor) and x.record.requires_grad for x in given))

    def __call__(self, given: list[Any], frame: Any) -> list[Any]:
        """The outputs: those that have gradients recorded, the others plain."""
        outputs = self.op(*given, *self.captured, _frame=frame)
        outputs = outputs if type(outputs) is tuple else (outputs,)
        return [y if i in self.linked else y.record.value for i, y in enumerate(outputs)]

    def forward(self, *values: Any) -> Any:
        """Run the program."""
        outputs = self.program.run(list(values[:len(self.trace.inputs)]), [])
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def rule(self, g: Any, y: Any, *inputs: Any) -> list[Any]:
        """The contributions to all inputs."""
        return list(self.pullback(g if type(g) is tuple else (g,), inputs))

    def pull(self, gs: tuple[Any, ...], inputs: tuple[Any, ...]) -> list[Any]:
        """The rule, recorded: the program run again on what is given, and walked back."""
        program, trace = self.trace.program, self.trace
        leaves = [*trace.inputs, *self.leaves.values()]
        held: dict[Any, Any] = dict(zip(leaves, inputs))
        for leaf, source in trace.captured.items():
            held.setdefault(leaf, Tensor.of(seen(source)))
        run_again(program, held)
        seeds: dict[Record, Any] = {}
        for r, g in zip(program.outputs.values(), gs):
            y = held.get(r)
            if isinstance(y, Tensor) and y.record.requires_grad:
                seeds[y.record] = seeds[y.record] + g if y.record in seeds else g
        wanted = [held[leaf] for leaf in leaves]
        records = [t.record for t in wanted if isinstance(t, Tensor) and t.record.requires_grad]
        found = walk_back(seeds, records, record=True) if seeds else {}
        return [found.get(t.record, np.zeros_like(t.record.value)) if isinstance(t, Tensor) else None for t in wanted]
