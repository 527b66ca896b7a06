"""A tiny step as one native function, and an epoch of such steps as another.

Where every array is small, most of a step is the calls. Here all its loops and products stand one after the other in
one function, matrices are multiplied by loops, and the numbers in between are native too. Around it, `epoch` goes
through batches, so that Python is asked once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.compiler.factors import SMALL, turned
from autodiff.compiler.loop_text import SCALARS
from autodiff.compiler.schedule import LATE, Node, several
from autodiff.naming import free
from autodiff.ops import products
from autodiff.program.passes import shape_of
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.compiler.emission import Emission, Verified
    from autodiff.compiler.loop_text import Writer
    from autodiff.compiler.loops import Native

NODES = 32                    # loops and products in one function: LLVM takes more than linear time
ROW = 2_000                   # elements of a loop, likewise
TAKEN = frozenset(("np", "math", "i", "j", "k", "b", "q", "x", "y", "samples", "targets", "order", "numbers", "losses",
                   "done", "stopped"))
LOCALS = re.compile(r"\b([xyasvkntp]|[nkb]x|by)(\d+)\b|\b(rows|columns|start|n)\b")


@dataclass
class Item:
    """A node as it was emitted: its lines of Python and, where it is a loop, its writer and arguments."""

    node: Node
    lines: list[str]
    writer: Writer | None = None
    arguments: Sequence[str] = ()


@dataclass
class Parameter:
    """What the native function takes: the text that gives it, its name within, its type."""

    text: str
    name: str
    type: str


class Whole:
    """The text of a program as one native function.

    Attributes
    ----------
    fits : bool
        Whether it can be one: tiny, all of it loops, products and numbers.
    """

    def __init__(self, emission: Emission, native: Native) -> None:
        self.emission, self.native = emission, native
        self.parameters: dict[str, Parameter] = {}
        self.numbers: dict[Record, str] = {}               # 0-d results, by their native names
        self.lines: list[str] = []
        self.stops = False                                 # whether it may end before the update
        self.fits = self.small() and all(self.add(i, item) for i, item in enumerate(emission.items)) \
            and not emission.mixed

    def small(self) -> bool:
        """Whether calls would cost more than what they do."""
        if any(several(r) for item in self.emission.items for r in item.node.records):
            return False
        if len(self.emission.items) > NODES:
            return False
        work = sum(prod(shape_of(r)) * shape_of(r.inputs[0])[-1] for item in self.emission.items
                   for r in item.node.records if r.op is products.matmul and np.ndim(r.value) == 2)
        largest = max((prod(np.shape(r.value)) for item in self.emission.items for r in item.node.records), default=0)
        return work <= SMALL and largest <= ROW

    def add(self, i: int, item: Item) -> bool:
        """Write one node; False if it has no native form."""
        verified = self.emission.verified
        if item.node.level >= LATE and verified is not None and not self.stops and not self.add_check(verified):
            return False
        if self.stops:
            before, self.lines = self.lines, []
            added = self.add_node(i, item)
            self.lines = [*before, *(f"    {line}" for line in self.lines)]
            return added
        return self.add_node(i, item)

    def add_check(self, verified: Verified) -> bool:
        """What waits for all else goes on only if the loss and the gradients are finite: x * 0 is 0 only then."""
        _, loss, leaves = verified
        if loss not in self.numbers:
            return False
        self.lines.append(f"q = np.float64({self.numbers[loss]}) * 0.0")
        for leaf in leaves:
            name = self.emission.arg(leaf)
            if np.ndim(leaf.value) != 1:
                return False
            g = self.parameter(name, f"{leaf.value.dtype.name}[::1]")
            self.lines += [f"for i in range({g}.shape[0]):", f"    q = accumulate(q, np.float64({g}[i] * 0))"]
        self.stops = True
        self.lines += ["stopped[0] = q != 0.0", "if q == 0.0:"]
        return True

    def add_node(self, i: int, item: Item) -> bool:
        """Write one node, whatever comes before."""
        names = dict.fromkeys(r.op.name for r in item.node.records if r.op is not None)
        self.lines.append(f"# {', '.join(names)}")
        if item.writer is not None:
            return self.add_loop(i, item, item.writer)
        r = item.node.records[0]
        if r.op is products.matmul:
            return self.add_product(i, r)
        return self.add_number(i, r)

    def parameter(self, text: str, kind: str) -> str:
        """The name within of something that is given."""
        if text not in self.parameters:
            plain = text.isidentifier() and text not in TAKEN and not LOCALS.fullmatch(text)
            self.parameters[text] = Parameter(text, text if plain else f"g__{len(self.parameters)}", kind)
        return self.parameters[text].name

    def add_loop(self, i: int, item: Item, writer: Writer) -> bool:
        """A loop, its local names its own."""
        known, lines = {}, writer.lines
        for name, kind, (text, x) in zip(writer.parameters, writer.types, zip(item.arguments, writer.given)):
            number = self.numbers.get(x) if x is not None else None
            row = self.row_of(text)
            if row is not None:                            # the matrix itself: each parameter costs a call its time
                text, kind = row, kind.replace("[::1]", "[:, ::1]")
                lines = [within_row(name, line) for line in lines]
            known[name] = number or self.parameter(text, kind)
        for line in lines:
            self.lines.append(LOCALS.sub(lambda m: known.get(m[0]) or f"{m[0]}__{i}", line))
        for r in item.node.results:
            if not np.ndim(r.value):
                self.numbers[r] = f"{known[writer.names[r]]}[0]"
        return True

    def row_of(self, text: str) -> str | None:
        """The matrix of one row that an array is, laid flat."""
        made = next((source for source, name in self.emission.rows.items() if name == text), "")
        found = re.fullmatch(r"(\w+)\.reshape\(\((\d+),\)\)", made)
        if found is None:
            return None
        shapes = [np.shape(r.value) for r, name in self.emission.names.items() if name == found[1]]
        return found[1] if all(shape == (1, int(found[2])) for shape in shapes) else None

    def add_number(self, i: int, r: Record) -> bool:
        """A number from numbers."""
        if np.ndim(r.value) or r.op is None or r.op.forward not in SCALARS or r.value.dtype.kind != "f" or r.options:
            return False
        texts = []
        for x in r.inputs:
            if not isinstance(x, Record):
                texts.append(self.native.constant(x, r.value.dtype))
            elif x in self.numbers:
                texts.append(self.numbers[x])
            elif x.value.dtype == r.value.dtype and x.op is None:
                texts.append(self.parameter(self.emission.arg(x), "float64"))
            else:
                return False
        name = f"z__{i}"
        self.lines.append(f"{name} = {SCALARS[r.op.forward].format(*texts)}")
        self.numbers[r] = name
        return True

    def add_product(self, i: int, r: Record) -> bool:
        """A product of matrices, in the order of loops that reads rows."""
        if r.value.dtype.char not in "fd" or any(
                x.value.dtype != r.value.dtype for x in r.inputs if isinstance(x, Record)):
            return False
        (left, over), (right, turned) = map(self.matrix, r.inputs)
        out = self.emission.place(r)
        if left is None or right is None or out is None or (over and turned) or np.ndim(r.value) != 2:
            return False
        kind = f"{r.value.dtype.name}[:, ::1]"
        a, b, o = self.parameter(left, kind), self.parameter(right, kind), self.parameter(out, kind)
        zero = self.native.constant(0.0, r.value.dtype)
        inner = shape_of(r.inputs[0])[-1]
        if turned or (np.shape(r.value)[1] == 1 and not over):
            at = f"{b}[j, k]" if turned else f"{b}[k, j]"
            self.lines += [f"for i in range({o}.shape[0]):", f"    for j in range({o}.shape[1]):",
                           f"        s__{i} = {zero}", f"        for k in range({a}.shape[1]):",
                           f"            s__{i} = accumulate(s__{i}, {a}[i, k] * {at})", f"        {o}[i, j] = s__{i}"]
            return True
        element = f"{a}[k, i]" if over else f"{a}[i, k]"
        if inner == 1:
            element = element.replace("k", "0")
            self.lines += [f"for i in range({o}.shape[0]):", f"    e__{i} = {element}",
                           f"    for j in range({o}.shape[1]):", f"        {o}[i, j] = e__{i} * {b}[0, j]"]
            return True
        self.lines += [f"for i in range({o}.shape[0]):", f"    for j in range({o}.shape[1]):",
                       f"        {o}[i, j] = {zero}",
                       f"for k in range({b}.shape[0]):", f"    for i in range({o}.shape[0]):",
                       f"        e__{i} = {element}", f"        for j in range({o}.shape[1]):",
                       f"            {o}[i, j] += e__{i} * {b}[k, j]"]
        return True

    def matrix(self, x: Any) -> tuple[str | None, bool]:
        """The text of a matrix that lies in memory row by row, and whether the operand is its transpose."""
        if not isinstance(x, Record) or np.ndim(x.value) != 2:
            return None, False
        source = turned(x) or x
        name = self.emission.arg(source)
        if source not in self.emission.stable or not self.emission.row_major(source):
            name = self.emission.contiguous(name)
        return name, source is not x

    def handed_out(self) -> list[str]:
        """Lines that give the numbers which the program returns."""
        w = self.emission
        lines: list[str] = []
        for r in w.schedule.outputs:
            if r in self.numbers and not np.ndim(r.value):
                place = f"result_{len(lines)}"
                w.bound.append(f"{place} = empty(1, {w.dtype(r)})")
                self.lines.append(f"{self.parameter(place, f'{r.value.dtype.name}[::1]')}[0] = {self.numbers[r]}")
                lines.append(f"{w.named(r)} = {place}[0]")
        return lines

    # ---- text

    def text(self, name: str = "whole") -> str:
        """The function."""
        names = [*["stopped"] * self.stops, *(p.name for p in self.parameters.values())]
        head = f"def {name}({', '.join(names)}):"
        return "\n".join([head, *(f"    {line}" for line in self.lines)])

    @property
    def types(self) -> list[str]:
        """The numba types of its parameters."""
        return [*["float64[::1]"] * self.stops, *(p.type for p in self.parameters.values())]

    # ---- epochs

    def epoch_text(self) -> tuple[str, list[str]]:
        """The function that goes through batches, and the types of its parameters."""
        x, y, *numbers = self.emission.inputs
        inputs = [r for r in self.emission.arguments if self.emission.names.get(r) in (x, y) and r.op is None]
        (dx,), (dy,) = ({r.value.dtype.name for r in inputs if self.emission.names[r] == name} for name in (x, y))
        table = {p.name: numbers.index(p.text) for p in self.parameters.values() if p.text in numbers}
        given = [p for p in self.parameters.values() if p.text not in numbers and not p.text.startswith("result_")]
        places = {p.name for p in self.parameters.values() if p.text.startswith("result_")}
        head = ["samples", "targets", "order", "numbers", "losses", "x", "y", "done", *(p.name for p in given)]
        types = [f"{dx}[:, ::1]", f"{dy}[:, ::1]", "int64[::1]", "float64[:, ::1]", "float64[::1]", f"{dx}[:, ::1]",
                 f"{dy}[:, ::1]", "int64[::1]", *(p.type for p in given)]
        body = ["k = order[b * x.shape[0] + i]", "for j in range(x.shape[1]):", "    x[i, j] = samples[k, j]",
                "for j in range(y.shape[1]):", "    y[i, j] = targets[k, j]"]
        at = "b if numbers.shape[0] > 1 else 0"
        lines = ["for b in range(losses.shape[0]):", "    for i in range(x.shape[0]):",
                 *(f"        {line}" for line in body),
                 *(f"    {name} = numbers[{at}, {i}]" for name, i in table.items())]
        late = False
        stores = [line for line in self.lines if line.split("[")[0] in places]
        losses = [f"    losses[b] ={line.partition('=')[2]}" for line in stores]
        for line in self.lines:
            if line.startswith("stopped[0]"):
                lines += [*losses, "    if q != 0.0:", "        return"]
                late = True
            elif line not in stores and not line.startswith("if q =="):
                lines.append(f"    {line.removeprefix('    ') if late else line}")
        lines += [*losses * (not late), "    done[0] = b + 1"]
        start = [f"def epochs({', '.join(head)}):", "    done[0] = 0"]
        return "\n".join([*start, *(f"    {line}" for line in lines)]), types

    def epoch_lines(self) -> list[str]:
        """The Python around it."""
        x, y, *numbers = self.emission.inputs
        shapes = {self.emission.names[r]: np.shape(r.value) for r in self.emission.arguments if r.op is None}
        dtypes = {self.emission.names[r]: self.emission.dtype(r) for r in self.emission.arguments if r.op is None}
        given = [p.text for p in self.parameters.values() if p.text not in numbers and not p.text.startswith("result_")]
        n = {name: prod(shapes[name]) // shapes[name][0] for name in (x, y)}
        checks = [line for line in self.emission.prelude if line.startswith("check_")]
        return [f"{x}, {y} = empty({shapes[x]}, {dtypes[x]}), empty({shapes[y]}, {dtypes[y]})",
                "done = empty(1, np.int64)",
                *(line for line in self.emission.prelude if not line.startswith("check_")), "",
                "def epoch(samples, targets, order, numbers, losses):",
                *(f"    {line.replace(f'({y},', '(targets,')}" for line in checks),
                f"    epochs(samples.reshape(-1, {n[x]}), targets.reshape(-1, {n[y]}), order, numbers, losses, "
                f"{x}.reshape(-1, {n[x]}), {y}.reshape(-1, {n[y]}), done, {', '.join(given)})",
                "    return int(done[0])", ""]

    def one_batch(self) -> list[str]:
        """Lines that run an epoch of one batch: a step by itself."""
        w = self.emission
        x, y, *numbers = w.inputs
        size = next(np.shape(r.value)[0] for r in w.arguments if w.names.get(r) == x and r.op is None)
        first, row, place, ended = (free(name, w.used) for name in ("first", "row", "loss", "ended"))
        w.bound += [f"{first} = np.arange({size})", f"{row} = empty((1, {len(numbers)}))", f"{place} = empty(1)"]
        w.prelude = []
        contiguous = w.function(np.ascontiguousarray, "contiguous")
        loss = next(r for r in w.schedule.outputs if r in self.numbers)
        lines = [f"{row}[0] = {', '.join(numbers)}"] * bool(numbers)
        lines += [f"{ended} = epoch({contiguous}({x}), {contiguous}({y}), {first}, {row}, {place})",
                  f"{w.named(loss)} = {w.dtype(loss)}({place}[0])"]
        return [*lines, f"if not {ended}:", f"    {w.verdict}"] if self.stops else lines


def within_row(name: str, line: str) -> str:
    """A line that reads a flat array, for the matrix of one row that it is."""
    return re.sub(rf"\b{name}\[", f"{name}[0, ", re.sub(rf"\b{name}\.shape\[0", f"{name}.shape[1", line))
