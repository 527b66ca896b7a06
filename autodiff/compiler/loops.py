"""Native loops as functions for numba: each different one once, how it is called, and where its results go."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from autodiff.compiler.emission import Emission
from autodiff.compiler.factors import in_rows, turned
from autodiff.compiler.loop_text import BLOCK, Writer
from autodiff.compiler.numpy_calls import WRITERS, converted
from autodiff.compiler.schedule import Node
from autodiff.compiler.whole import Item, Whole
from autodiff.naming import free
from autodiff.record import Record

LINE = 64                       # bytes of the widest vector
TRANSPOSED = """def {name}(x, y):
    rows, columns = x.shape
    for i in range(0, rows - {n} + 1, {n}):
        for j in range(0, columns - {n} + 1, {n}):
            turn(x, i, j, y)
    for i in range(rows):
        for j in range(columns - columns % {n} if i < rows - rows % {n} else 0, columns):
            y[j, i] = x[i, j]"""


@dataclass
class Kernel:
    """The text of one native function, and how it is called."""

    name: str
    text: str
    types: list[str]


@dataclass
class Native:
    """Writes loops as native functions, each different one once."""

    kernels: dict[str, Kernel] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    constants: dict[Any, str] = field(default_factory=dict)
    whole: Whole | None = None

    def __call__(self, node: Node, emission: Emission) -> list[str]:
        """The lines that run a loop."""
        for r in node.records:
            emission.guarded(r)
        writer = Writer(node, self.constant, emission.direct)
        arguments: list[str] = []
        writer.given = [*writer.reads]
        lines: list[str] = []
        for x, role in writer.reads.items():
            arguments.append(argument(x, writer.shape(role), emission))
        after: list[str] = []
        for r in node.results:
            if r in writer.over:
                emission.place(r)
                continue
            arguments.append(result(r, writer.shape(writer.roles[r]), emission, lines, after))
        for dtype in writer.scratch:
            name = free("row", emission.used)
            n = min(writer.loop.columns, BLOCK) if writer.flat else writer.loop.columns
            emission.bound.append(f"{name} = empty({n}, np.{dtype})")
            arguments.append(name)
        kernel = self.kernel(writer)
        writer.given += [None] * (len(arguments) - len(writer.given))
        emission.items.append(Item(node, [], writer, arguments))
        comment = f"  # {', '.join(dict.fromkeys(r.op.name for r in node.records if r.op is not None))}"
        text = f"{kernel.name}({', '.join(arguments)})"
        emission.prelude += lines
        return [f"{text:<56}{comment}", *after]

    def transposed(self, dtype: Any) -> str:
        """The name of the function that writes a transpose."""
        if dtype.name not in self.kernels:
            name, n = free("transposed", self.used), LINE // dtype.itemsize
            self.kernels[dtype.name] = Kernel(name, TRANSPOSED.format(name=name, n=n), [f"{dtype.name}[:, ::1]"] * 2)
        return self.kernels[dtype.name].name

    def kernel(self, writer: Writer) -> Kernel:
        """The function of a loop: one for all that do the same."""
        body = writer.text()
        known = self.kernels.get(body)
        if known is None:
            name = free("loop", self.used)
            known = self.kernels[body] = Kernel(name, body.replace("def loop(", f"def {name}("), writer.types)
        return known

    def joined(self, emission: Emission, epochs: bool = False) -> bool:
        """Make one function of a tiny program, in place of its lines; False if it is none.

        With `epochs` it goes through batches, if it can.
        """
        whole = Whole(emission, self)
        if not whole.fits or not whole.lines:
            return False
        self.whole = whole
        results = whole.handed_out()
        self.kernels = {}
        if epochs and len(results) == 1 and not emission.scalars:      # one function for both: compiling takes a second
            self.kernels["epochs"] = Kernel("epochs", *whole.epoch_text())
            emission.epoch = whole.epoch_lines()
            emission.lines = whole.one_batch()
            return True
        parameters = [p.text for p in whole.parameters.values()]
        if whole.stops:
            parameters.insert(0, free("stopped", emission.used))
            emission.bound.append(f"{parameters[0]} = empty(1)")
            results += [f"if {parameters[0]}[0]:", f"    {emission.verdict}"]
        emission.lines = [f"whole({', '.join(parameters)})", *results]
        self.kernels["whole"] = Kernel("whole", whole.text(), whole.types)
        return True

    def text(self, python: str) -> str:
        """The whole source: constants, native functions, and the Python that calls them."""
        constants = [f"{name} = {text}" for text, name in self.constants.items()]
        native = [kernel.text for kernel in self.kernels.values()]
        return "\n\n".join(["\n".join(constants), *native, python])

    def built(self) -> dict[str, Any]:
        """The compiled functions, by name."""
        cache = import_module("autodiff.compiler.cache")           # late: it needs llvmlite
        constants = "\n".join(f"{name} = {text}" for text, name in self.constants.items())
        source = "\n\n".join([f"import math\n\nimport numpy as np\n{cache.PRELUDE}", constants,
                              *(kernel.text for kernel in self.kernels.values())]) + "\n"
        signatures = tuple((kernel.name, f"void({', '.join(kernel.types)})") for kernel in self.kernels.values())
        return dict(cache.remembered(source, signatures, self.whole is None)) if signatures else {}

    def constant(self, x: Any, dtype: Any) -> str:
        """A number of a dtype, by a name."""
        number = float(x) if dtype.kind == "f" else x
        plain = repr(number) if not isinstance(number, float) or np.isfinite(number) else f"float({str(number)!r})"
        text = plain if dtype.kind == "b" else f"np.{dtype.name}({plain})"
        if text not in self.constants:
            self.constants[text] = f"c{len(self.constants)}"
        return self.constants[text]


def laid_in_rows(r: Record, w: Any, out: str) -> str:
    """A matrix copied into rows: a transpose by a function of its own."""
    source = turned(r.inputs[0])
    if not isinstance(w.kernels, Native) or source is None or r.value.dtype.char not in "fd":
        return converted(r, w, out)
    name = w.arg(source)
    if source not in w.stable or not w.row_major(source):
        name = w.contiguous(name)
    return f"{w.kernels.transposed(r.value.dtype)}({name}, {out})"


WRITERS[in_rows] = laid_in_rows


def argument(x: Record, shape: tuple[int, ...], w: Emission) -> str:
    """The text of what a loop reads: contiguous, of the loop's own shape; a number as it is."""
    name = w.arg(x)
    if not np.ndim(x.value):
        return name
    same = np.shape(x.value) == shape
    if x in w.stable and w.row_major(x):
        return name if same else regrouped(name, shape, w)
    if not same:
        name += ".ravel()" if len(shape) == 1 else f".reshape({shape!r})"
    return w.contiguous(name)


def result(r: Record, shape: tuple[int, ...], w: Emission, before: list[str], after: list[str]) -> str:
    """The text of where a loop puts a result, and the lines that this takes."""
    if not np.ndim(r.value):
        place = free(f"{w.named(r)}_at", w.used)
        w.bound.append(f"{place} = empty(1, {w.dtype(r)})")
        after.append(f"{w.named(r)} = {place}[0]")
        return place
    name = w.place(r)
    if name is None:
        name = w.named(r)
        before.append(f"{name} = empty({np.shape(r.value)!r}, {w.dtype(r)})")
        return name if np.shape(r.value) == shape else f"{name}.reshape({shape!r})"
    if np.shape(r.value) == shape:
        return name
    return regrouped(name, shape, w)


def regrouped(name: str, shape: tuple[int, ...], w: Emission) -> str:
    """The name of a steady array in another shape."""
    text = f"{name}.reshape({shape!r})"
    if text not in w.rows:
        w.rows[text] = free(f"{name}_r", w.used)
        w.bound.append(f"{w.rows[text]} = {text}")
    return w.rows[text]
