"""One step of a loop as a program, and the loop over it as one operation.

A step takes a carry, what this step is given of some stacks (x), and constants; it gives the next carry, what is to be
stacked (y), and what is to be summed over the steps (z). Turned round, each takes the place of another: the pullback of a
loop goes through the steps the other way, carries the cotangents of the carry, stacks those of the x, is given those of
the y, and sums those of the constants, while the cotangent of a sum is a constant. So the rule of a loop is a loop.

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

from autodiff.compiler.recorded import dependent, run_again
from autodiff.compiler.schedule import VIEWS
from autodiff.compiler.specialised import Specialised
from autodiff.compiler.tracing import Output, Trace, is_array, traced
from autodiff.kinds import Op, select
from autodiff.ops.random import Key, Keys
from autodiff.program.passes import Operand, Program, computed, fills, substituted, value_of
from autodiff.record import Leaf, Record, Variable
from autodiff.state import recording
from autodiff.tape import walk_back
from autodiff.tensor import Tensor

NAME = "ad.scan"
KEPT = 64                   # loops remembered, each for one program of its step
loops: dict[Any, Loop] = {}


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
        return Program({str(i): y for i, y in enumerate(self.outputs)})

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


@dataclass
class Pullback:
    """The loop that pulls cotangents back, and where its operands come from and its results go.

    Attributes
    ----------
    sources : list of (str, int or array)
        For each of its operands: ("g", i) the cotangent of output i, ("y", i) output i, ("x", i) operand i of the
        loop that it belongs to, ("value", array).
    targets : list of int or None
        For each of its results the operand whose cotangent it is.
    """

    loop: Loop
    sources: list[tuple[str, Any]]
    targets: list[int | None]


class Loop(Op):
    """A loop over a step as an operation: the carry to start from, stacks and constants in; the last carry, stacks and sums out.

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
        self.idle: list[Any] = []                                     # workspaces that nobody is using

    # ---- forward

    @cached_property
    def step(self) -> Specialised:
        """The step as a fast function."""
        body = self.body
        captured: dict[Record, Record] = {r: Leaf(r.value, False, _getframe(), r.label) for r in body.constants}
        trace = Trace(body.program, [*body.carry, *body.xs], captured, None, body.keys, [])
        return Specialised(trace, self.native)

    def run(self, *values: Any, length: int, reverse: bool = False, keys: Sequence[Any] = ()) -> tuple[Any, ...]:
        """All steps, one after the other, each at once on its memory."""
        body, step = self.body, self.step
        k, m = len(body.carry), len(body.xs)
        if not length or any(value.dtype != r.value.dtype for value, r in zip(values, body.leaves)):
            return self.replayed(*values, length=length, reverse=reverse, keys=keys, analytic=False)
        values = tuple(x if not np.ndim(x) or x.flags.c_contiguous else np.ascontiguousarray(x) for x in values)
        held = {id(step.trace.captured[r]): x for r, x in zip(body.constants, values[k + m:])}
        workspace = self.idle.pop() if self.idle else np.empty(step.memory.size, np.uint8)
        bound = step.bind(workspace, *[held[id(r)] for r in step.arrays])[0]
        scalars, sources = [held[id(r)] for r in step.scalars], step.key_sources
        carry, xs = values[:k], values[k:k + m]
        stacks = self.stacks(length)
        totals: list[Any] = []
        for i in range(length - 1, -1, -1) if reverse else range(length):
            row = [keys[i][j] for j in sources] if sources else ()
            ys = bound(*carry, *[x[i] for x in xs], *scalars, *row)
            carry = ys[:k]
            for stack, y in zip(stacks, ys[k:]):
                stack[i] = y
            totals = summed(totals, ys[body.sums:])
        self.idle.append(workspace)
        return *carry, *stacks, *totals

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
        contributions: list[Any] = [None] * len(inputs)
        for target, c in zip(back.targets, back.loop(*operands, **given)):
            if target is not None:
                contributions[target] = c
        return contributions

    def pulled_back(self, present: frozenset[int], keep: bool) -> Pullback:
        """The pullback, where cotangents arrive at these outputs; with `keep` it can be pulled back itself."""
        body, k, m = self.body, len(self.body.carry), len(self.body.xs)
        pull = Pull(body, present, self.wanted)
        instead = pull.given_instead()
        outputs = list(substituted(Program({str(i): c for i, c in enumerate(pull.cotangents)}), instead).outputs.values())
        live = set(Program({str(i): c for i, c in enumerate(outputs)}).records)
        stacks = [(leaf, source) for leaf, source in (
            *[(leaf, ("x", k + i)) for i, leaf in enumerate(pull.leaves[k:k + m])],
            *[(leaf, ("y", i)) for i, leaf in pull.given.items()],
            *[(leaf, ("g", i)) for i, leaf in pull.gs.items() if k <= i < body.sums]) if leaf in live]
        constants = [(leaf, source) for leaf, source in (
            *[(leaf, ("x", k + m + i)) for i, leaf in enumerate(pull.leaves[k + m:])],
            *[(leaf, ("g", i)) for i, leaf in pull.gs.items() if i >= body.sums],
            *[(leaf, ("value", leaf.value)) for leaf in pull.captured]) if leaf in live]
        carried = [i for i in pull.gs if i < k]
        back = Body(outputs, [pull.gs[i] for i in carried], [leaf for leaf, _ in stacks],
                    [leaf for leaf, _ in constants], sum(k <= t < k + m for t in pull.targets), pull.like, body.keys)
        drawn = {id(v) for r in back.program.records for v in r.options.values()}
        back.keys = body.keys if any(id(key) in drawn for key in body.keys) else []
        loop = loop_of(back, (True,) * len(back.leaves), self.native, "carry" if keep else "")
        sources = [*[("g", i) for i in carried], *[s for _, s in stacks], *[s for _, s in constants]]
        kept = [None] * (len(loop.body.outputs) - len(outputs))              # stacked for its own pullback
        return Pullback(loop, sources, [*pull.targets[:back.sums], *kept, *pull.targets[back.sums:]])

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


class Pull:
    """The rule of one step, recorded: the step run again, and walked back.

    Attributes
    ----------
    leaves : list of Record
        Those that stand for the step's own.
    gs : dict of int to Record
        Those that stand for the cotangents of outputs.
    cotangents, targets, like : list
        What is found, of which leaf of the step, and its shape and dtype.
    captured : list of Record
        Arrays that rules made.
    images : dict of Record to Record
        For each result of the step the one that stands for it here.
    """

    def __init__(self, body: Body, present: frozenset[int], wanted: tuple[bool, ...]) -> None:
        self.body = body
        k = len(body.carry)
        own = body.leaves
        numbers = sorted(present)
        targets = [i for i, r in enumerate(own) if r.value.dtype.kind == "f" and (i < k or wanted[i])]
        targets = [i for i in targets if i >= k or i in present]
        self.images: dict[Record, Record] = {}

        def pull(inputs: list[Any], gs: list[Any]) -> list[Any]:
            held: dict[Any, Any] = dict(zip(own, inputs))
            run_again(body.program, held)
            self.images = {r: t.record for r, t in held.items() if isinstance(t, Tensor)}
            for r, t in held.items():
                if type(t) is tuple and isinstance(t[0], Tensor):
                    self.images[r] = t[0].record.inputs[0]            # what the selections select from
            seeds: dict[Record, Any] = {}
            for i, g in zip(numbers, gs):
                y = held.get(body.outputs[i]) if isinstance(body.outputs[i], Record) else None
                if isinstance(y, Tensor) and y.record.requires_grad:
                    seeds[y.record] = seeds[y.record] + g if y.record in seeds else g
            records = [inputs[i].record for i in targets]
            found = walk_back(seeds, records, record=True) if seeds else {}
            return [found.get(r) for r in records]

        trace = traced(pull, ([r.value for r in own], [body.like[i] for i in numbers]), {}, is_array, NAME)
        self.leaves = trace.inputs[:len(own)]
        self.gs = dict(zip(numbers, trace.inputs[len(own):]))
        found = list(trace.program.outputs.values())
        self.cotangents: list[Operand] = []
        self.targets: list[int] = []
        for i, c in zip(targets, trace.result):
            if isinstance(c, Output) or i < k:
                self.cotangents.append(found[c.number] if isinstance(c, Output) else fills(own[i].value.dtype.type(0), own[i]))
                self.targets.append(i)
        self.like = [own[i].value for i in self.targets]
        self.captured = list(trace.captured)
        self.given: dict[int, Record] = {}              # what the loop stacked, by its output's number

    def given_instead(self) -> dict[Record, Operand]:
        """What need not be computed again, because the loop stacked it."""
        body, instead = self.body, {}
        places = dict(zip(body.leaves, self.leaves))
        selections = [r for r in Program({str(i): c for i, c in enumerate(self.cotangents)}).records if r.op is select]
        for i in range(len(body.carry), body.sums):
            r = body.outputs[i]
            if not isinstance(r, Record) or r in body.xs or r in body.constants:
                continue
            image = places.get(r) or self.images.get(r)
            leaf = Variable(r.value, r.value.dtype.kind == "f", _getframe(), r.name)
            found = [image] if image is not None else []
            if r.op is select:
                whole = self.images.get(r.inputs[0])
                found += [s for s in selections if s.inputs[0] is whole and s.options == r.options]
            for x in found:
                if x not in instead:
                    instead[x] = leaf
                    self.given[i] = leaf
        return instead

    def met(self) -> list[Record]:
        """The results of the step that meet a cotangent: what to keep, so that nothing is computed twice."""
        body, found = self.body, {}
        records = Program({str(i): c for i, c in enumerate(self.cotangents)}).records
        varying = reached(records, self.leaves[:len(body.carry) + len(body.xs)])
        pulled = reached(records, self.gs.values())
        own = {image: r for r, image in self.images.items() if r.op is not None}
        pending = [x for r in records if r in pulled for x in r.inputs]
        pending += [c for c in self.cotangents if c not in pulled]
        seen = set(pulled)
        while pending:
            x = pending.pop()
            if not isinstance(x, Record) or x in seen or x.op is None or x not in varying:
                continue
            seen.add(x)
            if x.op is select and x.inputs[0] in own and x not in own:
                found[computed(select, own[x.inputs[0]], value=x.value, **x.options)] = None
            elif x in own and x.op not in VIEWS and not isinstance(x.value, tuple):
                found[own[x]] = None
            else:
                pending.extend(x.inputs)
        return [r for r in found if r not in body.outputs[len(body.carry):body.sums]]


def reached(records: Iterable[Record], sources: Iterable[Record]) -> set[Record]:
    """The sources, and what depends on them."""
    found = set(sources)
    for r in records:
        if not found.isdisjoint(x for x in r.inputs if isinstance(x, Record)):
            found.add(r)
    return found


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
