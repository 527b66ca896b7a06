"""One step of a loop as a program, and the loop over it as one operation.

A step takes a carry, its slices of some stacks (x), and constants; it gives the next carry, what is to be stacked (y),
and what is to be summed over the steps (z). Turned round, each takes the place of another: the pullback of a loop goes
through the steps the other way, carries the cotangents of the carry, stacks those of the x, is given those of the y,
and sums those of the constants, while the cotangent of a sum is a constant. So the rule of a loop is a loop.

What the pullback reads of a step is stacked by the loop itself, as further y, and found by a trial: the carry, and
of the results the ones that meet a cotangent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from sys import _getframe
from typing import Any

import numpy as np

from autodiff.compiler.deferring import Deferred, deferred
from autodiff.compiler.native_loop import NativeLoop, native_loop
from autodiff.compiler.planning import workspace
from autodiff.compiler.pulling import Pull, reached
from autodiff.compiler.recorded import dependent
from autodiff.compiler.specialised import Specialised, optimised
from autodiff.compiler.step_text import step_text
from autodiff.compiler.steps import Body, numbered
from autodiff.compiler.tracing import Trace
from autodiff.errors import SourceError
from autodiff.kinds import Op, select
from autodiff.program.embedding import Embedding
from autodiff.program.passes import substituted
from autodiff.record import Leaf, Record
from autodiff.state import recording, tracing
from autodiff.tensor import Tensor

KEPT = 64                   # loops remembered, each for one program of its step
loops: dict[Any, Loop] = {}


@dataclass
class Pullback:
    """The loop that pulls cotangents back, and where its operands come from and its results go.

    Attributes
    ----------
    sources : list of (str, int or array)
        For each of its operands: ("g", i) the cotangent of output i, ("y", i) output i, ("x", i) operand i of the
        loop that it belongs to, ("value", array).
    results : dict of int to int
        For an operand the result of the loop that is its cotangent.
    waiting : dict of int to Deferred
        For an operand the sum that is its cotangent, taken when the loop is over.
    stacks : dict of Record to (str, int or array)
        Where what these read is stacked: as `sources`, or ("r", i), a result.
    """

    loop: Loop
    sources: list[tuple[str, Any]]
    results: dict[int, int]
    waiting: dict[int, Deferred]
    stacks: dict[Record, tuple[str, Any]]


class Loop(Op):
    """A loop as an operation: first carry, stacks and constants in; last carry, stacks and sums out.

    Parameters
    ----------
    body : Body
        The step.
    wanted : tuple of bool
        Of which operands a gradient may be wanted.
    native : bool
        Whether the step is compiled to machine code.
    """

    def __init__(self, body: Body, wanted: tuple[bool, ...], native: bool) -> None:
        super().__init__(self.run, "scan", self.replayed)
        self.body, self.wanted, self.native = body, wanted, native
        sources = [r for r in body.leaves if r.value.dtype.kind == "f"]
        linked = {*range(len(body.carry)), *dependent(body.program, sources)}
        self.linked = {i for i in linked if body.like[i].dtype.kind in "fc"}
        self.kind, self.differentiable = "general", bool(self.linked)
        self.together = self.rule
        self.edges = (self.rule,) * len(body.leaves)                  # for forward mode: there may be one
        self.pullbacks: dict[tuple[frozenset[int], bool], Pullback] = {}
        self.spare: dict[int, list[Any]] = {}                         # workspaces that nobody is using, by their size

    # ---- forward

    @cached_property
    def step(self) -> Specialised:
        """The step as a fast function."""
        return self.specialised(self.native)

    @cached_property
    def plain_step(self) -> Specialised:
        """The same in NumPy's calls, for the once that a loop runs while it is recorded."""
        return self.specialised(False)

    def specialised(self, native: bool) -> Specialised:
        """The step, specialised."""
        body = self.body
        captured: dict[Record, Record] = {r: Leaf(r.value, False, _getframe(), r.label) for r in body.constants}
        trace = Trace(body.program, [*body.carry, *body.xs], captured, None, body.keys, [])
        return Specialised(trace, native)

    def run(self, *values: Any, length: int, reverse: bool = False, keys: Sequence[Any] = ()) -> tuple[Any, ...]:
        """All steps, one after the other, each at once on its memory."""
        body = self.body
        k, m = len(body.carry), len(body.xs)
        if not length or any(value.dtype != r.value.dtype for value, r in zip(values, body.leaves)):
            return self.replayed(*values, length=length, reverse=reverse, keys=keys, analytic=False)
        values = tuple(x if not np.ndim(x) or x.flags.c_contiguous else np.ascontiguousarray(x) for x in values)
        if self.native and not tracing.get() and self.whole is not None:
            return self.at_once(values, length, reverse)
        step = self.plain_step if tracing.get() or not self.native else self.step
        held = {id(step.trace.captured[r]): x for r, x in zip(body.constants, values[k + m:])}
        idle = self.spare.setdefault(step.memory.size, [])
        memory = idle.pop() if idle else workspace(step.memory.size)
        bound = step.bind(memory, *[held[id(r)] for r in step.arrays])[0]
        scalars, sources = [held[id(r)] for r in step.scalars], step.key_sources
        carry, xs = values[:k], values[k:k + m]
        stacks = self.stacks(length)
        totals: list[Any] = []
        order = range(length - 1, -1, -1) if reverse else range(length)
        for i in order[:1] if tracing.get() else order:             # recorded, values tell nothing: one step will do
            row = [keys[i][j] for j in sources] if sources else ()
            ys = bound(*carry, *[x[i] for x in xs], *scalars, *row)
            carry = ys[:k]
            for stack, y in zip(stacks, ys[k:]):
                stack[i] = y
            totals = summed(totals, ys[body.sums:])
        if tracing.get():
            for stack in stacks:
                stack[...] = stack[order[0]].copy()
        idle.append(memory)
        return *carry, *stacks, *totals

    @cached_property
    def listed(self) -> NativeLoop | None:
        """The loop as one native function, where its step is small enough."""
        return native_loop(self.body, optimised(self.body.program, native=True)) if self.native else None

    @cached_property
    def whole(self) -> Any:
        """That function, compiled."""
        return self.listed and self.listed.built()

    def at_once(self, values: Sequence[Any], length: int, reverse: bool) -> tuple[Any, ...]:
        """All steps in one native call."""
        body, k = self.body, len(self.body.carry)
        carry = [np.array(c) for c in values[:k]]
        results = [*carry, *self.stacks(length), *[np.zeros(np.shape(z), z.dtype) for z in body.like[body.sums:]]]
        flat = [np.reshape(x, -1) for x in (*carry, *values[k:], *results[k:])]
        self.whole(length, reverse, *flat)
        return tuple(y if np.ndim(y) else y[()] for y in results)

    def stacks(self, length: int) -> list[Any]:
        """Room for what is stacked."""
        like = self.body.like[len(self.body.carry):self.body.sums]
        return [np.empty((length, *np.shape(y)), y.dtype) for y in like]

    def replayed(self, *values: Any, length: int, reverse: bool = False, keys: Sequence[Any] = (),
                 analytic: bool = True) -> tuple[Any, ...]:
        """The same in whatever dtype the operands have, operation by operation."""
        body, records = self.body, self.body.program.records
        k, m = len(body.carry), len(body.xs)
        carry, xs, constants = values[:k], values[k:k + m], values[k + m:]
        rows: list[Any] = []
        totals: list[Any] = []
        drawn = {id(key): j for j, key in enumerate(body.keys)}
        for i in range(length - 1, -1, -1) if reverse else range(length):
            held = dict(zip(body.leaves, (*carry, *[x[i] for x in xs], *constants)))
            for r in records:
                if r.op is not None and r not in held:
                    options = {key: keys[i][drawn[id(v)]] if id(v) in drawn else v for key, v in r.options.items()}
                    forward = r.op.analytic if analytic else r.op.forward
                    held[r] = forward(*[held[x] if isinstance(x, Record) else x for x in r.inputs], **options)
            ys = [held[y] if isinstance(y, Record) else y for y in body.outputs]
            carry = tuple(ys[:k])
            rows.append(ys[k:body.sums])
            totals = [a + b for a, b in zip(totals, ys[body.sums:])] if totals else ys[body.sums:]
        own = [c.copy() for c in carry]
        if not rows:
            return *own, *self.stacks(0), *[np.zeros_like(y) for y in body.like[body.sums:]]
        return *own, *[np.stack(column[::-1] if reverse else column) for column in zip(*rows)], *totals

    # ---- the rule

    def rule(self, g: Any, y: Any, *inputs: Any, length: int, reverse: bool = False, keys: Any = None) -> list[Any]:
        """The contributions to all operands: a loop the other way."""
        k = len(self.body.carry)
        present = frozenset(i for i in self.linked if i < k or not known_zero(g[i]))
        kind = present, recording.get()
        back = self.pullbacks.get(kind)
        if back is None:
            back = self.pullbacks[kind] = self.pulled_back(*kind)
        outputs = (lambda i: select(y, output=i)) if isinstance(y, Tensor) else y.__getitem__
        found = {"g": g.__getitem__, "y": outputs, "x": inputs.__getitem__, "value": lambda array: array}
        operands = [found[kind](at) for kind, at in back.sources]
        given = called(length, not reverse, keys if back.loop.body.keys else None)
        results = back.loop(*operands, **given)

        def stack_of(r: Record) -> Any:
            kind, at = back.stacks[r]
            return results[at] if kind == "r" else found[kind](at)

        contributions: list[Any] = [None] * len(inputs)
        for target, at in back.results.items():
            contributions[target] = results[at]
        for target, total in back.waiting.items():
            contributions[target] = total.total(stack_of)
        return contributions

    def pulled_back(self, present: frozenset[int], keep: bool) -> Pullback:
        """The pullback, where cotangents arrive at these outputs; with `keep` it can be pulled back itself."""
        body, k, m = self.body, len(self.body.carry), len(self.body.xs)
        pull = Pull(body, present, self.wanted)
        instead = pull.given_instead()
        outputs = list(substituted(numbered(pull.cotangents), instead).outputs.values())
        sources: dict[Record, tuple[str, Any]] = {leaf: ("x", i) for i, leaf in enumerate(pull.leaves) if i >= k}
        sources |= {leaf: ("y", i) for i, leaf in pull.given.items()}
        sources |= {leaf: ("g", i) for i, leaf in pull.gs.items()}
        sources |= {leaf: ("value", leaf.value) for leaf in pull.captured}
        carried = [leaf for i, leaf in pull.gs.items() if i < k]
        stacks = [*pull.leaves[k:k + m], *pull.given.values(), *[g for i, g in pull.gs.items() if k <= i < body.sums]]
        first = sum(t < k + m for t in pull.targets)
        records = numbered(outputs).records
        waiting = deferred(outputs[first:], reached(records, [*carried, *stacks]), set(stacks))
        more = dict.fromkeys(r for d in waiting if d for r in (d.left, d.right) if r is not None and r not in stacks)
        kept = [i for i, d in enumerate(waiting, first) if d is None]
        back = Body([*outputs[:first], *more, *[outputs[i] for i in kept]], carried, stacks, [
            leaf for leaf in sources if leaf not in carried and leaf not in stacks], first - len(carried) + len(more),
            [*pull.like[:first], *[r.value for r in more], *[pull.like[i] for i in kept]], body.keys)
        back, _, _ = back.only(range(len(back.outputs)))
        drawn = {id(v) for r in back.program.records for v in r.options.values()}
        back.keys = body.keys if any(id(key) in drawn for key in body.keys) else []
        loop = loop_of(back, (True,) * len(back.leaves), self.native, "carry" if keep else "")
        results = dict(zip(pull.targets[:first], range(first)))
        results |= {pull.targets[i]: len(loop.body.outputs) - len(kept) + n for n, i in enumerate(kept)}
        places = {r: ("r", first + n) for n, r in enumerate(more)}
        return Pullback(loop, [sources[leaf] for leaf in back.leaves], results,
                        {pull.targets[first + n]: d for n, d in enumerate(waiting) if d is not None}, sources | places)

    def printed(self, name: str, embedding: Embedding) -> str:
        """The loop as the text of a function, for printed programs."""
        if self.body.keys:
            raise SourceError("a loop with random draws in its step cannot be printed: each step draws its own. Leave "
                              "the draws out, or draw before the loop and give them as xs.")
        return step_text(self.body, name, embedding)

    @property
    def step_source(self) -> str:
        """What runs for each step, readable."""
        return self.step.source if self.listed is None else self.listed.text

    def fewer(self, used: Iterable[int]) -> tuple[Loop, list[int], list[int]] | None:
        """The same with no more outputs than these and the carry; the numbers of those it has, and of its operands."""
        body, outputs, operands = self.body.only(used)
        if len(outputs) == len(self.body.outputs):
            return None
        wanted = tuple(self.wanted[i] for i in operands)
        return loop_of(body, wanted, self.native), outputs, operands


def called(length: int, reverse: bool, keys: Any) -> dict[str, Any]:
    """The options of a loop."""
    options: dict[str, Any] = {"length": length}
    if reverse:
        options["reverse"] = True
    if keys is not None:
        options["keys"] = keys
    return options


def summed(totals: list[Any], terms: Sequence[Any]) -> list[Any]:
    """What has been summed, and what one more step adds; the first terms are kept, and added to in place."""
    if not totals:
        return list(terms)
    return [np.add(total, z, total) if isinstance(total, np.ndarray) else total + z for total, z in zip(totals, terms)]


def known_zero(g: Any) -> bool:
    """Whether an array is a single zero throughout: what stands for the gradient of an output that has none."""
    return isinstance(g, np.ndarray) and g.size > 1 and not any(g.strides) and not g.flat[0]


def loop_of(body: Body, wanted: tuple[bool, ...], native: bool, keep: str = "") -> Loop:
    """The loop over a step, made once for all that are the same program.

    Parameters
    ----------
    body : Body
        The step.
    wanted : tuple of bool
        Of which operands a gradient may be wanted.
    native : bool
        Whether the step is compiled to machine code.
    keep : str
        What to stack for its pullback: "" nothing, "carry" the carry alone, from which the rest of the step is
        computed again, "all" what meets a cotangent, too.
    """
    key = body.identity(), wanted, native, keep
    loop = loops.get(key)
    if loop is None:
        if keep:
            body = body.with_stacked([r for r in body.carry if r not in body.outputs[len(body.carry):body.sums]])
        if keep == "all":
            trial = Loop(body, wanted, native)
            body = body.with_stacked(Pull(body, frozenset(trial.linked), wanted).met())
        while len(loops) >= KEPT:
            del loops[next(iter(loops))]
        loop = loops[key] = Loop(body, wanted, native)
    return loop
