"""A program laid out as a function a person would have written: which values get a line, what they are called.

Named values, values used several times and results have lines of their own; the rest stands where it is used, as long
as the line stays short.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from autodiff.kinds import Op, select
from autodiff.naming import free
from autodiff.ops import indexing
from autodiff.ops import shapes as s
from autodiff.ops.indexing import holes
from autodiff.program.embedding import Embedding
from autodiff.program.helpers import HELPERS, ROUNDED
from autodiff.program.literals import array_text, filled_text, number_text
from autodiff.program.passes import LARGEST, Program, dtype_of, full, value_of
from autodiff.program.placing import as_object, index_text
from autodiff.program.text import expression, numpy_name
from autodiff.program.writing import ANY, ATOM, PRODUCT, SIGN, Text
from autodiff.record import Record

WIDTH, INLINE, INDENT = 88, 56, "    "
VIEWS = (s.transpose, s.swapaxes, indexing.item)           # cost nothing, so they may be written twice


@dataclass(frozen=True)
class Line:
    """A line of a printed program: its text, the name it defines, and the record behind it (None: a part of one)."""

    text: str
    name: str = ""
    record: Record | None = None
    forward: bool = False


class Layout:
    """The lines of a program; also the `Writer` that its texts ask.

    Attributes
    ----------
    lines : list of Line
        In order, forward first.
    inputs : dict of Record to str
        What the function takes: the parameters that are read, and arrays too long to write out.
    names : dict of Record to str
        What each value that has a line, or is an input, is called.
    """

    def __init__(self, program: Program, parameters: dict[Record, str], used: dict[str, int], exact: bool) -> None:
        self.program, self.exact, self.used = program, exact, used
        self.embedding = Embedding(lambda wish: free(wish, used), numpy_name)
        self.functions: dict[Op, tuple[str, str]] = {}
        self.names: dict[Record, str] = {}
        self.texts: dict[Record, Text] = {}
        self.lines: list[Line] = []
        self.counters: Counter[str] = Counter()
        records = program.records
        live = set(records)
        self.forward = {r for r in records if r in program.forward}
        for r in reversed(records):
            if r in self.forward:
                self.forward.update(x for x in r.inputs if isinstance(x, Record))
        self.inputs = {r: name for r, name in parameters.items() if r in live}
        self.names.update(self.inputs)
        self.defined = set(self.inputs.values())
        self.results = {r: key for key, r in program.outputs.items() if isinstance(r, Record) and r.op is not None}
        self.outputs_of: dict[Record, dict[int, Record]] = {}
        for r in records:
            if r.op is select:
                self.outputs_of.setdefault(r.inputs[0], {})[r.options["output"]] = r
        for r in records:
            self.lay(r)
        self.lines.sort(key=lambda line: not line.forward)

    # ---- laying out

    def lay(self, r: Record) -> None:
        """Give a record its line, or keep its text for where it is used."""
        if r in self.names:
            return
        if r.op is None:
            self.constant(r)
        elif isinstance(r.value, tuple):
            self.several(r)
        elif r.op in (indexing.scatter, indexing.put):
            self.define(r, self.placed if r.op is indexing.scatter else self.replaced)
        elif self.has_line(r):
            self.define(r)
        else:
            self.texts[r] = self.fitting(r, INLINE)

    def has_line(self, r: Record) -> bool:
        """Whether a value has a line of its own."""
        if r in self.program.names or r in self.results:
            return True
        if self.program.uses[r] < 2:
            return False
        x = r.inputs[0]
        return not (r.op in VIEWS and x in self.names and len(expression(r, self).text) < 20)

    def constant(self, r: Record) -> None:
        """An array that no variable of the user's holds: written out, or one more input."""
        text = array_text(r.value)
        if text is None:
            self.names[r] = self.inputs[r] = self.counted("c")
        elif self.program.uses[r] > 1 and len(text) > 20:
            self.names[r] = self.counted("c")
            self.lines.append(Line(f"{self.names[r]} = {text}", self.names[r], r, r in self.forward))
        else:
            level = SIGN if text.startswith("-") else ATOM
            self.texts[r] = Text(text, level)

    def several(self, r: Record) -> None:
        """``a, b = np.split(x, 2)``."""
        parts = self.outputs_of.get(r, {})
        for part in parts.values():
            self.names[part] = self.called(part)
        targets = ", ".join(self.names[parts[i]] if i in parts else "_" for i in range(len(r.value)))
        targets += "," if len(r.value) == 1 else ""
        self.names[r] = targets
        text = self.fitting(r, WIDTH - len(targets) - 7).text
        self.lines.append(Line(f"{targets} = {text}", targets, r, r in self.forward))

    def define(self, r: Record, statements: Any = None) -> None:
        """A line, or several, that give a record its name."""
        name = self.called(r)
        forward = r in self.forward
        if statements is None:
            text = self.fitting(r, WIDTH - len(INDENT) - len(name) - 3).text
            self.lines.append(Line(f"{name} = {text}", name, r, forward))
        else:
            first, *rest = statements(r, name)
            self.lines.append(Line(first, name, r, forward))
            self.lines += [Line(text, "", None, forward) for text in rest]
        self.names[r] = name

    def called(self, r: Record) -> str:
        """The name a value has, or a new one."""
        if r in self.program.names:
            name = self.program.names[r]
            if name in self.defined:
                return free(name, self.used)
            self.defined.add(name)
            return name
        if r in self.results:
            return free(f"d{identifier_part(self.results[r])}" if self.results[r] else "loss", self.used)
        return self.counted("v" if r in self.forward else "g")

    def counted(self, letter: str) -> str:
        """The next free name of a letter and a number."""
        self.counters[letter] += 1
        while f"{letter}{self.counters[letter]}" in self.used:
            self.counters[letter] += 1
        return free(f"{letter}{self.counters[letter]}", self.used)

    def fitting(self, r: Record, width: int) -> Text:
        """The text of a record; what makes it too long gets lines of its own, the longest first."""
        text = expression(r, self)
        while len(text.text) > width:
            inner = [x for x in r.inputs if isinstance(x, Record) and x in self.texts and x.op is not None
                     and len(self.texts[x].text) > 12]
            if not inner:
                break
            longest = max(inner, key=lambda x: len(self.texts[x].text))
            name = self.called(longest)
            self.lines.append(Line(f"{name} = {self.texts.pop(longest).text}", name, longest,
                                   longest in self.forward))
            self.names[longest] = name
            text = expression(r, self)
        return text

    # ---- what texts ask

    def arg(self, x: Any, level: int = ANY, r: Record | None = None) -> str:
        """The text of an operand, in parentheses if it binds less than `level`."""
        if isinstance(x, Record):
            if x in self.names:
                return self.names[x]
            found = self.texts[x]
        else:
            found = self.number(x, r)
        return found.text if found.level >= level else f"({found.text})"

    def number(self, x: Any, r: Record | None) -> Text:
        """A number; with its dtype where the bare one would give another."""
        x = x[()] if isinstance(x, np.ndarray) else x
        if x is None or isinstance(x, bool | str):
            return Text(repr(x))
        others = [y.value for y in r.inputs if isinstance(y, Record) and not isinstance(y.value, tuple)] if r else []
        if r is not None and not self.exact and others and not isinstance(x, complex) and r.value.dtype.kind == "f" \
                and dtype_of(r.inputs) != r.value.dtype:
            text = self.number(x, None).text if isinstance(x, Fraction) else number_text(float(x))
            return Text(text, PRODUCT) if r.value.dtype == np.float64 else Text(f"np.{r.value.dtype.name}({text})")
        if isinstance(x, Fraction):
            return Text(f"{x.numerator} / {x.denominator}", PRODUCT)
        if isinstance(x, np.generic) and others and not isinstance(x, np.bool_) \
                and np.result_type(*others, x.item()) != np.result_type(*others, x):
            return Text(f"np.{x.dtype.name}({number_text(x)})")
        if not self.exact and isinstance(x, float) and x.is_integer() and abs(x) < LARGEST and others \
                and np.result_type(*others).kind in "fc":
            x = int(x)
        text = number_text(x)
        return Text(text, SIGN if text.startswith("-") else ATOM)

    def helper(self, op: Op) -> str:
        """The name of the function that computes an operation, defined above."""
        if op not in HELPERS or (self.exact and op in ROUNDED):
            return self.embedding.op(op)
        if op not in self.functions:
            name, source = HELPERS[op]
            called = free(name, self.used)
            self.functions[op] = (called, source.strip().replace(f"def {name}(", f"def {called}("))
        return self.functions[op][0]

    # ---- what takes several statements

    def placed(self, r: Record, name: str) -> list[str]:
        """``dE = np.zeros_like(E)`` and ``np.add.at(dE, i, g)``."""
        indices, shape = r.options["indices"], r.options["shape"]
        n = len(indices)
        statements = [f"{name} = {self.zeros(r, name, shape)}"]
        for k, (value, (index, start)) in enumerate(zip(r.inputs[:n], indices)):
            arrays = r.inputs[n + start:n + start + holes(index)]
            where = index_text(index, arrays, self)
            text = self.arg(value) if self.exact or full(value) is None else self.number(full(value), None).text
            if any(np.asarray(value_of(x)).dtype.kind != "b" for x in arrays):
                statements.append(f"np.add.at({name}, {as_object(index, where)}, {text})")
            else:
                statements.append(f"{name}[{where}] {'+=' if k or self.exact else '='} {text}")
        return statements

    def zeros(self, r: Record, name: str, shape: tuple[int, ...]) -> str:
        """Zeros like what the cotangent belongs to, where that has a name here."""
        for x, known in self.names.items():
            if f"d{known}" == name and np.shape(x.value) == shape and x.value.dtype == r.value.dtype:
                return f"np.zeros_like({known})"
        return filled_text(0, r.value.dtype, shape)

    def replaced(self, r: Record, name: str) -> list[str]:
        """``y = x.copy()`` and ``y[i] = value``."""
        x, value, *arrays = r.inputs
        where = index_text(r.options["index"], tuple(arrays), self)
        return [f"{name} = {self.arg(x, ATOM)}.copy()", f"{name}[{where}] = {self.arg(value)}"]


def identifier_part(key: str) -> str:
    """A key as a part of a variable's name."""
    return "".join(ch if f"a{ch}".isidentifier() else "_" for ch in key)


# ---- the function as text

def shape_comment(line: Line, dtype: Any) -> str:
    """The shape of what a line gives; its dtype too where that is not the loss's."""
    if line.record is None:
        return ""
    values = line.record.value if isinstance(line.record.value, tuple) else (line.record.value,)
    return "# " + ", ".join(str(np.shape(y)) + ("" if y.dtype == dtype else f" {y.dtype}") for y in values)


def commented(lines: Iterable[Line], dtype: Any) -> list[str]:
    """Lines with their shapes in a column."""
    lines = list(lines)
    widths = [len(line.text) for line in lines if len(line.text) <= WIDTH - len(INDENT)]
    column = min(max(widths, default=0), 64)
    return [f"{INDENT}{line.text:<{column}}  {shape_comment(line, dtype)}".rstrip() for line in lines]


def wrapped(head: str, items: list[str], tail: str) -> list[str]:
    """Items separated by commas, broken so that lines stay short, aligned after the head."""
    lines, now = [], head
    for i, item in enumerate(items):
        piece = item + (", " if i + 1 < len(items) else tail)
        if len(now) + len(piece.rstrip()) > WIDTH and now.strip() and i:
            lines.append(now.rstrip())
            now = " " * len(head)
        now += piece
    return [*lines, now if items else head + tail]
