"""What records, numbers and functions are called in the text of a program, and the lines that views of them take."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.compiler.numpy_calls import UFUNCS
from autodiff.compiler.schedule import Schedule
from autodiff.kinds import Op
from autodiff.naming import free, identifier
from autodiff.ops import elementary as e
from autodiff.ops import products, shapes
from autodiff.program.literals import number_text
from autodiff.program.passes import full, shape_of
from autodiff.program.text import expression
from autodiff.program.writing import ANY
from autodiff.record import Record

RESERVED = ("epoch", "done", "np", "memory", "bind", "step", "empty", "ndarray", "copyto", "errstate", "array", "part")
WORD = re.compile(r"\w+")
EXACT = 2**24                    # up to here integers are exact in float32, and so in any dtype that a number becomes
WORDS = {0.0: "zero", 1.0: "one", 2.0: "two", 0.5: "half", -1.0: "minus_one"}


class Operands:
    """The names in a text; also the `Writer` that texts of views ask.

    Parameters
    ----------
    schedule : Schedule
        What runs.
    inputs, captured : list of Record
        The leaves that are there when a call begins: arguments, and what is read by reference.
    names : dict of Record to str
        What the user calls some of them.
    steady : bool
        Whether what is planned lies in memory row by row.
    """

    exact = True

    def __init__(self, schedule: Schedule, inputs: list[Record], captured: list[Record], names: dict[Record, str],
                 steady: bool) -> None:
        self.schedule, self.wishes, self.steady = schedule, names, steady
        self.used: dict[str, int] = dict.fromkeys(RESERVED, 1)
        self.namespace: dict[str, Any] = {"np": np, "empty": np.empty, "ndarray": np.ndarray, "copyto": np.copyto,
                                          "errstate": np.errstate, "array": np.array}
        self.bound: list[str] = []                    # lines of `bind`
        self.lines: list[str] = []                    # lines of `step`
        self.prelude: list[str] = []                  # those of them that see to its arguments
        self.mixed = False                            # whether other lines stand between those of nodes
        self.names: dict[Record, str] = {}
        self.numbers: dict[Any, str] = {}
        self.functions: dict[Any, str] = {}
        self.rows: dict[str, str] = {}                # names of other views, by their text
        self.inputs = [self.named(r) for r in inputs]
        self.arguments = set(inputs)                  # and what shows them
        self.early = set(inputs) | set(captured)      # what is there when a call begins
        self.arrays = [r for r in captured if np.ndim(r.value)]
        self.scalars = [r for r in captured if not np.ndim(r.value)]
        self.captured = [self.named(r) for r in self.arrays]
        self.scalar_names = [self.named(r) for r in self.scalars]
        self.stable = set(self.arrays)                # what is there before a call

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
        number = full(x) if isinstance(x, Record) else x
        if number is not None:
            others = [shape_of(y) for y in r.inputs if y is not x]
            if np.broadcast_shapes(*others, ()) == np.shape(r.value):
                return self.constant(number, r)
            return self.arg(x)
        self.arg(x)
        if x in self.stable and np.ndim(x.value) and np.size(x.value) == np.size(r.value):
            return self.spread(x, np.ndim(r.value))                      # of one shape: NumPy's short way
        return self.arg(x)

    def spread(self, x: Record, ndim: int) -> str:
        """The name of an array that is there before a call, or of a view of it with leading axes of length one."""
        missing = ["None"] * (ndim - np.ndim(x.value))
        return self.view(f"{self.arg(x)}[{', '.join(missing)}]", "row") if missing else self.arg(x)

    def view(self, text: str, ending: str) -> str:
        """The name of a view that is made once."""
        if text not in self.rows:
            self.rows[text] = free(f"{WORD.match(text)[0]}_{ending}", self.used)         # type: ignore[index]  # a name
            self.bound.append(f"{self.rows[text]} = {text}")
        return self.rows[text]

    def constant(self, x: Any, r: Record) -> str:
        """A number as an operand of a ufunc: an array of no axis, which NumPy need not convert at every call."""
        dtypes = {y.value.dtype for y in r.inputs if isinstance(y, Record) and full(y) is None}
        dtype = dtypes.pop() if len(dtypes) == 1 else None
        if dtype is None or not np.ndim(r.value) or not converted_to(x, dtype, self.ufunc(r)):
            return self.number(x)
        number = float(x)
        key = (dtype, repr(number))
        if key not in self.numbers:
            self.numbers[key] = free(WORDS.get(number, "number"), self.used)
            text = number_text(number) if np.isfinite(number) else f"float({str(number)!r})"
            kind = "" if dtype == np.float64 else f", np.{dtype.name}"
            self.bound.append(f"{self.numbers[key]} = array({text}{kind})")
        return self.numbers[key]

    def held(self, x: Record) -> str:
        """The name of a number that a call is given, as an array of no axis: for what reads it often."""
        name = self.arg(x)
        key = f"{name}[...]"
        if key not in self.rows:
            self.rows[key] = free(f"{name}_0", self.used)
            self.bound.append(f"{self.rows[key]} = empty((), {self.dtype(x)})")
            self.prelude.append(f"{self.rows[key]}[...] = {name}")
        return self.rows[key]

    def flat(self, x: Record) -> str:
        """The name of a view of all elements in a row; "" if there is none that can be made once."""
        name = self.arg(x)
        return self.view(f"{name}.reshape(-1)", "flat") if x in self.stable and self.row_major(x) else ""

    def ahead(self, line: str, x: Record) -> None:
        """A line that must come before the one that is being written, and after an operand is there."""
        self.prelude.append(line) if x in self.early else self.between(line)

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

    def made(self, wish: str, value: Callable[[], Any]) -> str:
        """The name of an array that does not depend on anything."""
        key = f"{wish}()"
        if key not in self.rows:
            self.rows[key] = free(wish, self.used)
            self.namespace[self.rows[key]] = value()
        return self.rows[key]

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
            (self.steady and root not in self.arrays) or bool(root.value.flags.c_contiguous))

    def reshaped(self, r: Record, source: str) -> str:
        """``x.reshape(shape)``."""
        return f"{source}.reshape({np.shape(r.value)!r})"

    def option(self, value: Any) -> str:
        """The text of an option's value."""
        plain = isinstance(value, bool | int | str | None.__class__) or (
            isinstance(value, tuple) and all(isinstance(v, int) for v in value))
        if plain and not isinstance(value, np.generic):
            return repr(value)
        name = free("option", self.used)
        self.namespace[name] = value
        return name

    def dtype(self, r: Record) -> str:
        """The text of a record's dtype."""
        dtype = r.value.dtype
        return f"np.{dtype.name}" if dtype.isnative and dtype.name in np.__dict__ else self.number(dtype)

    def ufunc(self, r: Record) -> np.ufunc | None:
        """NumPy's ufunc that a record is a call of."""
        assert r.op is not None
        f = UFUNCS.get(r.op.forward, r.op.forward)
        plain = isinstance(f, np.ufunc) and f.nout == 1 and f.signature is None and not r.options \
            and r.op is not products.matmul
        return f if plain and isinstance(f, np.ufunc) else None

    def contiguous(self, text: str) -> str:
        """The name of an array whose rows lie one after the other: that of the text, or a copy."""
        if text not in self.rows:
            name = self.rows[text] = free(f"{re.split('[^A-Za-z_0-9]', text)[0]}_rows", self.used)
            flat = text.endswith(".ravel()")                 # that is in rows already
            line = f"{name} = {text if flat else self.function(np.ascontiguousarray, 'contiguous') + f'({text})'}"
            if re.split(r"[^A-Za-z_0-9]", text)[0] in {self.names.get(r) for r in self.early}:
                self.prelude.append(line)
            else:
                self.between(line)
        return self.rows[text]

    def between(self, line: str) -> None:
        """A line that is no node's."""
        self.mixed = True
        self.lines.append(line)


def converted_to(x: Any, dtype: np.dtype[Any], f: np.ufunc | None) -> bool:
    """Whether a ufunc of arrays of a dtype takes a number as one of that dtype too, and says nothing about it."""
    if f is None or dtype not in (np.float32, np.float64):
        return False
    if type(x) is int:
        alike = abs(x) <= EXACT
    elif type(x) is float:                             # one that is too large is one that NumPy warns of
        with np.errstate(over="ignore"):
            alike = bool(np.isfinite(x) == np.isfinite(dtype.type(x)))
    else:
        alike = isinstance(x, np.generic) and x.dtype == dtype
    return alike and any(loop.startswith(dtype.char * f.nin + "->") for loop in f.types)
