"""A schedule as the text of a Python function: what runs, line by line, each result with its shape.

The text has two parts. ``bind`` makes the workspace and all views of what does not change from call to call; the
function in it, ``step``, is what a call runs. The last argument of a NumPy call is where its result goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from autodiff.compiler.lowering import pick
from autodiff.compiler.numpy_calls import TOTALS, UFUNCS, WRITERS, check_labels, picked, product
from autodiff.compiler.planning import Memory, planned, read_by
from autodiff.compiler.schedule import LATE, VIEWS, Node, Schedule, row_by_row
from autodiff.compiler.whole import Item
from autodiff.kinds import Op
from autodiff.naming import free, identifier
from autodiff.ops import elementary as e
from autodiff.ops import products, random, shapes
from autodiff.program.literals import number_text
from autodiff.program.passes import full, shape_of
from autodiff.program.text import expression
from autodiff.program.writing import ANY
from autodiff.record import Record

INDENT = "    "
RESERVED = ("epoch", "done", "np", "memory", "bind", "step", "empty", "ndarray", "copyto", "errstate", "array")


Verified = tuple[Callable[..., None], Record, list[Record]]


class Emission:
    """Writes a schedule; also the `Writer` that texts of views ask.

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

    exact = True

    def __init__(self, schedule: Schedule, inputs: list[Record], captured: list[Record], names: dict[Record, str],
                 donated: dict[Record, list[Record]], verified: Verified | None = None,
                 kernels: Callable[[Node, Emission], list[str]] | None = None) -> None:
        self.schedule, self.kernels, self.wishes = schedule, kernels, names
        self.used: dict[str, int] = dict.fromkeys(RESERVED, 1)
        self.namespace: dict[str, Any] = {"np": np, "empty": np.empty, "ndarray": np.ndarray, "copyto": np.copyto,
                                          "errstate": np.errstate, "array": np.array}
        self.bound: list[str] = []                    # lines of `bind`
        self.lines: list[str] = []                    # lines of `step`
        self.prelude: list[str] = []                  # those of them that see to its arguments
        self.items: list[Item] = []
        self.epoch: list[str] = []                    # the function `epoch`, if there is one
        self.names: dict[Record, str] = {}
        self.stable: set[Record] = set()              # what is there before a call
        self.numbers: dict[Any, str] = {}
        self.functions: dict[Any, str] = {}
        self.keys: list[str] = []
        self.rows: dict[str, str] = {}
        self.donated = donated
        self.inputs = [self.named(r) for r in inputs]
        self.arguments = set(inputs)                  # and what shows them
        self.early = set(inputs) | set(captured)      # what is there when a call begins
        self.mixed = False                            # whether other lines stand between those of nodes
        self.arrays = [r for r in captured if np.ndim(r.value)]
        self.scalars = [r for r in captured if not np.ndim(r.value)]
        self.captured = [self.named(r) for r in self.arrays]
        self.scalar_names = [self.named(r) for r in self.scalars]
        self.stable.update(self.arrays)
        fresh = {schedule.root(r) for r in schedule.outputs if r not in donated}
        schedule.lending |= {r for node in schedule.nodes for r in node.records
                             if not self.writable(node, r)}
        own = {r for node in schedule.nodes for r in node.results
               if type(r.value) is not tuple and np.ndim(r.value) and self.writable(node, r)}
        self.fresh = {r for r in fresh if r in own}
        made = {r: i for i, node in enumerate(schedule.nodes) for r in node.results}
        read = {schedule.root(x): i for i, node in enumerate(schedule.nodes) for x in read_by(node)}     # last
        # Written where it belongs, unless something reads later what is there.
        self.direct = {r: leaves[0] for r, leaves in donated.items() if r in own and read.get(leaves[0], -1) <= made[r]}
        late = {schedule.root(r) for r in donated if r not in self.direct}
        self.memory: Memory = planned(schedule, fresh | late, own - self.fresh - self.direct.keys())
        self.verified, self.verdict = verified, ""
        waiting = True
        for node in schedule.nodes:
            if waiting and node.level >= LATE:
                waiting = False
                self.hand_over(early=True)
                if verified is not None:
                    verify, loss, leaves = verified
                    self.verdict = f"{self.function(verify, 'verify')}({', '.join(map(self.arg, [loss, *leaves]))})"
                    self.lines.append(self.verdict)
            self.emit(node)
        self.hand_over(early=waiting)
        if waiting:
            self.hand_over(early=False)

    def hand_over(self, early: bool) -> None:
        """Copies of what could not be written where it belongs at once."""
        late = {r for node in self.schedule.nodes if node.level >= LATE for r in node.records}
        for r, leaves in self.donated.items():
            if (self.schedule.root(r) in late) != early:
                for leaf in leaves[r in self.direct:]:
                    self.between(f"copyto({self.arg(leaf)}, {self.arg(r)})")

    # ---- names

    def named(self, r: Record, wish: str = "") -> str:
        """A name for a record, near the one it has."""
        if r not in self.names:
            wish = wish or self.wishes.get(r) or r.label or (r.op.name[:1] if r.op else "c")
            self.names[r] = free(identifier(wish), self.used)
        return self.names[r]

    def arg(self, x: Any, level: int = ANY, r: Record | None = None) -> str:
        """The text of an operand: its name, or a number."""
        if not isinstance(x, Record):
            return self.number(x)
        if x not in self.names:
            self.define_view(x)
        return self.names[x]

    def operand(self, x: Any, r: Record) -> str:
        """The text of an operand that is broadcast: a number where it is one throughout."""
        number = full(x) if isinstance(x, Record) else None
        others = [shape_of(y) for y in r.inputs if y is not x]
        if number is not None and np.broadcast_shapes(*others, ()) == np.shape(r.value):
            return self.number(number)
        return self.arg(x)

    def number(self, x: Any) -> str:
        """A number as a literal if that is what it is, else by a name."""
        if isinstance(x, bool | int | str | None.__class__) or (type(x) is float and np.isfinite(x)):
            return number_text(x) if type(x) in (int, float) else repr(x)
        key = (type(x), repr(x))
        if key not in self.numbers:
            self.numbers[key] = name = free("c", self.used)
            self.namespace[name] = x
        return self.numbers[key]

    def function(self, f: Any, wish: str) -> str:
        """The name that a function is called by."""
        if f not in self.functions:
            self.functions[f] = name = free(identifier(wish), self.used)
            self.namespace[name] = f
        return self.functions[f]

    def helper(self, op: Op) -> str:
        """The name of an operation's forward."""
        return self.function(op.forward, op.name)

    def define_view(self, r: Record) -> None:
        """A name for a view, where what it shows is there; a constant keeps its array."""
        view = self.schedule.views.get(r)
        if full(r) is not None or view is None:
            name = self.named(r, "c")
            self.namespace[name] = r.value
            self.stable.add(r)
            return
        source = self.arg(view)
        if r.op is e.alias:
            self.names[r] = source
        else:
            wish = f"{source}_T" if r.op in (shapes.transpose, shapes.swapaxes) else f"{source}_v"
            text = self.reshaped(r, source) if r.op in (shapes.reshape, shapes.expand_dims, shapes.squeeze) \
                else expression(r, self).text
            line = f"{self.named(r, wish)} = {text}"
            if self.fixed(r, view):
                self.bound.append(line)
            elif view in self.early:
                self.prelude.append(line)
            else:
                self.between(line)
        if self.fixed(r, view):
            self.stable.add(r)
        if view in self.arguments:
            self.arguments.add(r)
        if view in self.early:
            self.early.add(r)

    def fixed(self, r: Record, view: Record) -> bool:
        """Whether a view of memory can be made once: what would be a copy is made at each call."""
        return view in self.stable and (r.op is not shapes.reshape or self.row_major(view))

    def row_major(self, x: Record) -> bool:
        """Whether an array is known to lie in memory row by row."""
        root = self.schedule.root(x)
        return self.schedule.in_order(x) and root not in self.arguments and (
            (self.kernels is not None and root not in self.arrays) or bool(root.value.flags.c_contiguous))

    def reshaped(self, r: Record, source: str) -> str:
        """``x.reshape(shape)``."""
        return f"{source}.reshape({np.shape(r.value)!r})"

    # ---- lines

    def writable(self, node: Node, r: Record) -> bool:
        """Whether a node can write a result into memory that is given."""
        return node.loop is not None or r.op in WRITERS or (self.ufunc(r) is not None and row_by_row(r))

    def ufunc(self, r: Record) -> np.ufunc | None:
        """NumPy's ufunc that a record is a call of."""
        assert r.op is not None
        f = UFUNCS.get(r.op.forward, r.op.forward)
        plain = isinstance(f, np.ufunc) and f.nout == 1 and f.signature is None and not r.options \
            and r.op is not products.matmul
        return f if plain and isinstance(f, np.ufunc) else None

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
        if out is None:
            text = f"{self.named(r)} = {self.call(r)}"
        else:
            text = WRITERS[r.op](r, self, out) if r.op in WRITERS else self.ufunc_call(r, out)
        self.lines.append(self.commented(text, r))
        self.items.append(Item(node, [text]))

    def between(self, line: str) -> None:
        """A line that is no node's."""
        self.mixed = True
        self.lines.append(line)

    def contiguous(self, text: str) -> str:
        """The name of an array whose rows lie one after the other: that of the text, or a copy."""
        if text not in self.rows:
            name = self.rows[text] = free(f"{re.split('[^A-Za-z_0-9]', text)[0]}_rows", self.used)
            line = f"{name} = {self.function(np.ascontiguousarray, 'contiguous')}({text})"
            if re.split(r"[^A-Za-z_0-9]", text)[0] in {self.names.get(r) for r in self.early}:
                self.prelude.append(line)
            else:
                self.between(line)
        return self.rows[text]

    def guarded(self, r: Record) -> None:
        """Before class numbers are used, a look at whether they are any."""
        place = {"one_hot": 0, "pick": 1, "less_one_hot": 1}.get(r.op.name if r.op is not None else "")
        if place is None:
            return
        x, labels = r.inputs[1 - place], r.inputs[place]
        if isinstance(labels, Record) and labels.value.dtype.kind in "iu":
            text = f"{self.function(check_labels, 'check_labels')}({self.arg(labels)}, {shape_of(x)[-1]})"
            early = labels in self.early
            if text not in self.lines and text not in self.prelude:
                self.prelude.append(text) if early else self.between(text)

    def place(self, r: Record) -> str | None:
        """The name of the memory a result is written into; None if it has none."""
        if r in self.direct:
            self.names[r] = self.arg(self.direct[r])
            self.stable.add(r)
            return self.names[r]
        if r not in self.memory.offsets:
            return None
        name = self.named(r)
        if r not in self.stable:
            self.stable.add(r)
            offset = self.memory.offsets[r]
            strides = "" if self.kernels is not None or in_rows(r.value) else f", {r.value.strides!r}"
            self.bound.append(f"{name} = ndarray({np.shape(r.value)!r}, {self.dtype(r)}, memory, {offset}{strides})")
        return name

    def dtype(self, r: Record) -> str:
        """The text of a record's dtype."""
        dtype = r.value.dtype
        return f"np.{dtype.name}" if dtype.isnative and dtype.name in np.__dict__ else self.number(dtype)

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

    def option(self, value: Any) -> str:
        """The text of an option's value."""
        plain = isinstance(value, bool | int | str | None.__class__) or (
            isinstance(value, tuple) and all(isinstance(v, int) for v in value))
        if plain and not isinstance(value, np.generic):
            return repr(value)
        name = free("option", self.used)
        self.namespace[name] = value
        return name

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
        args = ", ".join([*self.inputs, *self.scalar_names, *self.keys])
        lines = [f"def bind({', '.join(['memory', *self.captured])}):"]
        lines += [INDENT + line for line in self.bound]
        lines += ["", f"{INDENT}def step({args}):"]
        lines += [2 * INDENT + line for line in (*self.prelude, *self.lines)]
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
        own = r is root and root in (self.fresh | self.unplanned) and root not in given
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
