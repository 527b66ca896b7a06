"""A schedule as the text of a Python function: what runs, line by line, each result with its shape.

The text has two parts. ``bind`` makes the workspace and all views of what does not change from call to call; the
function in it, ``step``, is what a call runs. The last argument of a NumPy call is where its result goes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from autodiff.compiler import parts
from autodiff.compiler.lowering import pick
from autodiff.compiler.numpy_calls import TOTALS, UFUNCS, WRITERS, check_labels, picked, product
from autodiff.compiler.operands import Operands
from autodiff.compiler.planning import Memory, planned, read_by
from autodiff.compiler.schedule import LATE, RESHAPES, VIEWS, Node, Schedule, row_by_row
from autodiff.compiler.whole import Item
from autodiff.naming import free
from autodiff.ops import products, random
from autodiff.ops.losses import one_hot
from autodiff.program.passes import full, shape_of
from autodiff.program.text import expression
from autodiff.record import Record

INDENT = "    "
Verified = tuple[Callable[..., None], Record, list[Record]]


class Emission(Operands):
    """Writes a schedule.

    Parameters
    ----------
    schedule : Schedule
        What runs.
    inputs : list of Record
        The leaves that stand for arguments, in order.
    captured : list of Record
        The leaves that stand for what is read by reference.
    names : dict of Record to str
        What the user calls some of them.
    donated : dict of Record to list of Record
        Results that are written into the arrays of something captured, and its leaves.
    verified : (callable, record, list of record), optional
        What is called, with an output and the values of some captured leaves, before anything that waits for the rest.
    kernels : callable, optional
        Writes the call of a loop: ``kernels(node, emission)`` gives lines.
    """

    def __init__(self, schedule: Schedule, inputs: list[Record], captured: list[Record], names: dict[Record, str],
                 donated: dict[Record, list[Record]], verified: Verified | None = None,
                 kernels: Callable[[Node, Emission], list[str]] | None = None) -> None:
        super().__init__(schedule, inputs, captured, names, steady=kernels is not None)
        self.kernels, self.donated = kernels, donated
        self.items: list[Item] = []
        self.epoch: list[str] = []                    # the function `epoch`, if there is one
        self.keys: list[str] = []
        fresh = {schedule.root(r) for r in schedule.outputs if r not in donated}
        schedule.lending |= {r for node in schedule.nodes for r in node.records
                             if not self.writable(node, r)}
        own = {r for node in schedule.nodes for r in node.results
               if type(r.value) is not tuple and np.ndim(r.value) and self.writable(node, r)}
        self.fresh = {r for r in fresh if r in own}
        made = {r: i for i, node in enumerate(schedule.nodes) for r in node.results}
        read = {schedule.root(x): i for i, node in enumerate(schedule.nodes) for x in read_by(node)}     # last
        # Written where it belongs, unless something reads later what is there.
        self.direct: dict[Record, Record] = {}
        self.given: set[Record] = set()
        planned_for = own - self.fresh
        for r, leaves in donated.items():
            root = self.under(r)
            if root in planned_for and root not in self.direct and read.get(leaves[0], -1) <= made[root]:
                self.direct[root] = leaves[0]
                self.given.add(r)
        late = {schedule.root(r) for r in donated if r not in self.given}
        self.memory: Memory = planned(schedule, fresh | late, planned_for - self.direct.keys())
        self.verified, self.verdict = verified, ""
        waiting, start = True, 0
        for node in schedule.nodes:
            if waiting and node.level >= LATE:
                waiting = False
                self.hand_over(early=True)
                if verified is not None:
                    verify, loss, leaves = verified
                    self.verdict = f"{self.function(verify, 'verify')}({', '.join(map(self.arg, [loss, *leaves]))})"
                    self.lines.append(self.verdict)
                start = len(self.lines)
            self.emit(node)
        self.hand_over(early=waiting)
        if waiting:
            self.hand_over(early=False)
        else:
            self.lines[start:] = self.whole_or_not_at_all(self.lines[start:])

    def hand_over(self, early: bool) -> None:
        """Copies of what could not be written where it belongs at once."""
        late = {r for node in self.schedule.nodes if node.level >= LATE for r in node.records}
        for r, leaves in self.donated.items():
            if (self.schedule.root(r) in late) != early:
                for leaf in leaves[r in self.given:]:
                    self.between(f"copyto({self.arg(leaf)}, {self.arg(r)})")

    def whole_or_not_at_all(self, lines: list[str]) -> list[str]:
        """What changes parameters and state, where NumPy would raise errors if told so: without."""
        late = [node for node in self.schedule.nodes if node.level >= LATE]
        stored = sum(self.schedule.root(r) in node.records for node in late for r in self.donated)
        in_blocks = any(line.startswith("for ") for line in lines)
        if not in_blocks and (stored < 2 or all(node.loop is not None for node in late)):
            return lines
        return ["with errstate(all='ignore'):", *(INDENT + line for line in lines)]

    def under(self, r: Record) -> Record:
        """What computes a record; of a view that leaves out leading axes of length one, what it shows."""
        view = self.schedule.views.get(r)
        if view is None or r.op not in RESHAPES:
            return r
        missing = np.ndim(view.value) - np.ndim(r.value)
        return view if shape_of(view) == (1,) * missing + shape_of(r) else r

    def over(self, r: Record, x: Any) -> bool:
        """Whether a result is written over this operand."""
        offset = self.memory.offsets.get(r)
        return offset is not None and self.memory.offsets.get(x) == offset

    # ---- lines

    def writable(self, node: Node, r: Record) -> bool:
        """Whether a node can write a result into memory that is given."""
        return node.loop is not None or r.op in WRITERS or (self.ufunc(r) is not None and row_by_row(r))

    def emit(self, node: Node) -> None:
        """The lines of one node."""
        if node.loop is not None:
            assert self.kernels is not None
            self.lines += self.kernels(node, self)
            return
        r = node.records[0]
        if full(r) is not None:
            return
        self.guarded(r)
        out = self.place(r)
        if out is None and r in self.fresh and r.op in WRITERS and r.op is not products.matmul and row_by_row(r):
            out = self.named(r)
            self.lines.append(f"{out} = empty({np.shape(r.value)!r}, {self.dtype(r)})")
        if out is None:
            text = f"{self.named(r)} = {self.call(r)}"
        else:
            text = WRITERS[r.op](r, self, out) if r.op in WRITERS else self.ufunc_call(r, out)
        self.lines.append(self.commented(text, r))
        self.items.append(Item(node, [text]))

    def guarded(self, r: Record) -> None:
        """Before class numbers are spread into rows, a look at whether they are any."""
        if r.op is one_hot:
            self.check(r.inputs[0], shape_of(r.inputs[1])[-1])

    def check(self, labels: Any, classes: int) -> None:
        """Have class numbers looked at before they are used."""
        if isinstance(labels, Record) and labels.value.dtype.kind in "iu":
            text = f"{self.function(check_labels, 'check_labels')}({self.arg(labels)}, {classes})"
            if text not in self.rows:
                self.rows[text] = text
                self.ahead(text, labels)

    def place(self, r: Record) -> str | None:
        """The name of the memory a result is written into; None if it has none."""
        if r in self.direct:
            if r not in self.stable:
                self.names[r] = self.spread(self.direct[r], np.ndim(r.value))
                self.stable.add(r)
            return self.names[r]
        if r not in self.memory.offsets:
            return None
        name = self.named(r)
        if r not in self.stable:
            self.stable.add(r)
            offset = self.memory.offsets[r]
            strides = "" if self.kernels is not None or in_rows(r.value) else f", {r.value.strides!r}"
            text = f"ndarray({np.shape(r.value)!r}, {self.dtype(r)}, memory, {offset}{strides})"
            self.bound.append(f"{name} = {self.rows.get(text, text)}")       # one array: NumPy sees it is in place
            self.rows.setdefault(text, name)
        return name

    def call(self, r: Record) -> str:
        """What computes a result in memory of its own."""
        assert r.op is not None
        if r.op.forward in UFUNCS and not r.options and not np.ndim(r.value):
            return expression(r, self).text
        f = self.ufunc(r)
        if f is not None:
            return self.ufunc_call(r)
        if r.op in TOTALS and not np.ndim(r.value):
            reduce, name = TOTALS[r.op]
            return f"{self.function(reduce, name)}({self.arg(r.inputs[0])}, None)"
        if r.op is products.matmul or r.op is pick:
            return product(r, self) if r.op is products.matmul else picked(r, self)
        args = [self.arg(x) for x in r.inputs]
        for key, value in r.options.items():
            if isinstance(value, random.Key | random.Keys):
                self.keys.append(free("key", self.used))
                args.append(f"{key}={self.keys[-1]}")
            else:
                args.append(f"{key}={self.option(value)}")
        return f"{self.function(r.op.forward, r.op.name)}({', '.join(args)})"

    def ufunc_call(self, r: Record, out: str = "") -> str:
        """``add(a, b, out)``."""
        f = self.ufunc(r)
        assert f is not None
        keyword = "out=" if f in (np.maximum, np.minimum) else ""          # deprecated there by position
        args = [self.operand(x, r) for x in r.inputs] + ([f"{keyword}{out}"] if out else [])
        return f"{self.function(f, f.__name__)}({', '.join(args)})"

    def commented(self, text: str, r: Record) -> str:
        """A line with the shape of what it gives."""
        if isinstance(r.value, tuple):
            return text
        dtype = "" if r.value.dtype == np.float64 else f" {r.value.dtype}"
        return f"{text:<56}  # {np.shape(r.value)}{dtype}"

    # ---- the whole

    def text(self, results: list[str]) -> str:
        """The text of ``bind``."""
        arguments, ran = [*self.inputs, *self.scalar_names, *self.keys], [*self.prelude, *self.lines]
        if len(ran) > parts.LONG and not self.epoch:
            return parts.in_parts(self.captured, arguments, self.bound, ran, results, self.used)
        args = ", ".join(arguments)
        lines = [f"def bind({', '.join(['memory', *self.captured])}):"]
        lines += [INDENT + line for line in self.bound]
        lines += ["", f"{INDENT}def step({args}):"]
        lines += [2 * INDENT + line for line in ran]
        lines += [f"{2 * INDENT}return {', '.join(results)}{',' if len(results) == 1 else ''}" if results else
                  f"{2 * INDENT}return ()"]
        lines += ["", *(INDENT + line for line in self.epoch)]
        lines += [f"{INDENT}return step, {'epoch' if self.epoch else None}"]
        return "\n".join(lines) + "\n"

    def result(self, r: Record, given: set[Record]) -> str:
        """The text of an output: memory that is the caller's own."""
        name = self.arg(r)
        root = self.schedule.root(r)
        if not np.ndim(r.value):
            return name
        own = r is root and (root in self.fresh or root in self.unplanned) and root not in given
        given.add(root)
        return name if own else f"array({name})"

    @cached_property
    def unplanned(self) -> set[Record]:
        """Results that operations put into memory of their own."""
        return {r for node in self.schedule.nodes for r in node.results
                if r not in self.memory.offsets and node.loop is None and not may_alias(r)}


def in_rows(a: Any) -> bool:
    """Whether NumPy is to lay a result out row by row: as eager did, unless that was no dense memory.

    NumPy's functions may round otherwise along columns.
    """
    order = sorted(range(a.ndim), key=lambda i: -a.strides[i])
    return bool(a.flags.c_contiguous or not a.transpose(order).flags.c_contiguous)


def may_alias(r: Record) -> bool:
    """Whether an operation may hand out its operand's own memory."""
    if r.op is None or r.op in VIEWS or r.op.user:
        return True
    return any(isinstance(x, Record) and isinstance(x.value, np.ndarray) and isinstance(r.value, np.ndarray)
               and np.may_share_memory(x.value, r.value) for x in r.inputs)
