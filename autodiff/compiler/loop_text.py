"""The text of one native loop, from the records in it.

What needs a reduction of its own row waits for it: the columns are gone through in *phases*, and what a later phase
needs of an earlier one is kept in a row of scratch memory. A long chain of functions is cut into phases as well: within
one, the processor works at several elements at a time, which it cannot where each takes hundreds of operations one
after the other. Loads come first, and sums over rows in a loop of their own: both keep the compiler's vectors whole.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from autodiff.compiler.schedule import COLUMN, FULL, REDUCTIONS, ROW, SCALAR, Node, readable
from autodiff.ops import arithmetic as a
from autodiff.ops import elementary as e
from autodiff.ops import losses, reductions, shapes, stable
from autodiff.program.passes import full
from autodiff.record import Record

BLOCK = 1024                     # elements in one go: summed in their own precision; what phases keep fits the cache
LONG = 128                       # elements in a row, from which on functions have phases of their own

# How a forward is written for one element. Arguments and result are of one dtype; comparisons give truth values.
SCALARS: dict[Any, str] = {
    operator.add: "{} + {}", operator.sub: "{} - {}", operator.mul: "{} * {}", operator.truediv: "{} / {}",
    operator.neg: "-{}", np.square: "{0} * {0}", np.reciprocal: "one / {}", np.sqrt: "math.sqrt({})",
    np.absolute: "abs({})", np.fabs: "abs({})", np.maximum: "maximum({}, {})", np.minimum: "minimum({}, {})",
    np.exp: "exp({})", np.log: "log({})", np.log1p: "log1p({})", np.expm1: "expm1({})", np.tanh: "tanh({})",
    np.sin: "math.sin({})", np.cos: "math.cos({})", np.tan: "math.tan({})", np.arctan: "math.atan({})",
    np.floor: "np.floor({})", np.ceil: "np.ceil({})", np.sign: "np.sign({})",
    stable.sigmoid.forward: "sigmoid({})", stable.softplus.forward: "softplus({})",
    a.where.forward: "{1} if {0} else {2}",
    operator.gt: "{} > {}", operator.ge: "{} >= {}", operator.lt: "{} < {}", operator.le: "{} <= {}",
    operator.eq: "{} == {}", operator.ne: "{} != {}", np.logical_and: "{} & {}", np.logical_or: "{} | {}",
    operator.and_: "{} & {}", operator.or_: "{} | {}", np.logical_not: "not {}", operator.invert: "not {}",
    np.isnan: "{0} != {0}", np.isfinite: "{0} - {0} == 0", losses.one_hot.forward: "j == {0}",
    e.cast.forward: "{}", e.truncate.forward: "{}", e.copy.forward: "{}",
}
LOGICAL = (np.logical_and, np.logical_or, np.logical_not, operator.and_, operator.or_, operator.invert)
FLOATS = {"f": "float32", "d": "float64"}
CALLS = frozenset(f for f, text in SCALARS.items() if "(" in text and "sqrt" not in text) - {
    np.absolute, np.fabs, np.maximum, np.minimum, np.floor, np.ceil, np.sign}         # what takes tens of instructions


VIEWED = (e.alias, shapes.reshape, shapes.expand_dims, shapes.squeeze)


def fits(r: Record) -> bool:
    """Whether a record can stand in a native loop."""
    op = r.op
    if op is None or isinstance(r.value, tuple) or not np.ndim(r.value) + any(np.ndim(x.value) for x in records(r)):
        return False
    if op in REDUCTIONS:
        return r.value.dtype.char in FLOATS and r.inputs[0].value.dtype == r.value.dtype
    if op.forward not in SCALARS or not set(r.options) <= {"dtype"}:
        return False
    if r.value.dtype.char not in "fd?" or not all(map(readable, (r, *records(r)))):
        return False
    kinds = {x.value.dtype.kind for x in records(r)}
    if op.forward in LOGICAL:
        return kinds == {"b"}
    return op.forward is losses.one_hot.forward or "f" in kinds or op.forward is e.cast.forward \
        or (r.value.dtype.kind == "b" and "b" not in kinds)


def records(r: Record) -> Iterable[Record]:
    """The records among the inputs."""
    return (x for x in r.inputs if isinstance(x, Record))


class Writer:
    """The text of one loop."""

    def __init__(self, node: Node, constant: Callable[[Any, Any], str], donated: dict[Record, Record]) -> None:
        assert node.loop is not None
        self.node, self.loop, self.constant = node, node.loop, constant
        self.roles = self.loop.roles
        self.results = set(node.results)
        self.mine = set(node.records)
        self.reads = dict(self.loop.reads)
        self.sources = {x: self.seen(x) for r in node.records for x in records(r)}
        self.names: dict[Record, str] = {}
        self.types: list[str] = []
        self.parameters: list[str] = []
        self.lines: list[str] = []
        self.given: list[Record | None] = []
        self.flat = self.loop.rows == 1
        # What is written over an array that the loop reads has that array's name: arrays of two names share no memory.
        behind = {root(x): x for x, role in self.reads.items() if role == FULL}
        self.over = {r: behind[donated[r]] for r in node.results if donated.get(r) in behind}
        self.cut = self.loop.columns >= LONG and not self.over         # what is read may be written over: once only
        self.phase: dict[Record, int] = {}
        self.depth: dict[Record, int] = {}
        for r in node.records:
            self.phase[r] = self.phase_of(r)
        if not self.over:
            self.postpone()
        self.scratch: list[str] = []                   # the dtypes of the rows that phases share
        self.kept = self.crossing()

    def shape(self, role: str) -> tuple[int, ...]:
        """The shape of an array as the loop sees it."""
        if role == FULL:
            return (self.loop.columns,) if self.flat else (self.loop.rows, self.loop.columns)
        return {COLUMN: (self.loop.rows,), ROW: (self.loop.columns,), SCALAR: (1,)}[role]

    def seen(self, x: Record) -> Record:
        """The record of this loop that an operand is a view of, or itself."""
        y = x
        while y not in self.mine and y.op is not None and y.op in VIEWED and isinstance(y.inputs[0], Record):
            y = y.inputs[0]
        return y if y in self.mine and x not in self.reads else x

    def phase_of(self, r: Record) -> int:
        """In which go through the columns a record is computed; a column, before which it is there."""
        reduced = r.op in REDUCTIONS and self.roles[r] == COLUMN
        calls = self.cut and r.op is not None and r.op.forward in CALLS
        inputs = [self.sources[x] for x in records(r)]
        inputs = [x for x in inputs if x in self.phase and self.roles[x] in (FULL, COLUMN)]
        phase = max((self.phase[x] for x in inputs), default=0)
        last = max((self.depth[x] for x in inputs if self.phase[x] == phase), default=0)
        if reduced or (calls and last):
            phase, last = phase + 1, 0
        self.depth[r] = last + calls
        return phase

    def postpone(self) -> None:
        """Compute what is easily had in the first phase that reads it: results of functions are all that is kept."""
        used: dict[Record, int] = {}
        for r in reversed(self.node.records):
            own = self.roles[r] == FULL and r not in self.results and r.op is not None and r.op.forward not in CALLS
            if own and r in used:
                self.phase[r] = used[r]
            for x in records(r):
                x = self.sources[x]
                used[x] = min(used.get(x, self.reading(r)), self.reading(r))

    def reading(self, r: Record) -> int:
        """The phase in which what a record is computed from is read."""
        return self.phase[r] - (r.op in REDUCTIONS and self.roles[r] == COLUMN)

    def crossing(self) -> dict[Record, int]:
        """What a later phase reads of an earlier one, and no result holds: its row of scratch memory."""
        until: dict[Record, int] = {}
        for r in self.node.records:
            if self.roles[r] == COLUMN and r.op not in REDUCTIONS:
                continue
            for x in records(r):
                x = self.sources[x]
                mine = x in self.phase and self.roles[x] == FULL and x not in self.results
                if mine and self.phase[x] < self.reading(r):
                    until[x] = max(until.get(x, 0), self.reading(r))
        rows: dict[Record, int] = {}
        taken: list[int] = []                          # the last phase that reads each row
        for x in sorted(until, key=lambda x: self.phase[x]):
            dtype = x.value.dtype.name
            free = [k for k, phase in enumerate(taken) if phase < self.phase[x] and self.scratch[k] == dtype]
            if not free:
                free = [len(taken)]
                taken.append(0)
                self.scratch.append(dtype)
            rows[x] = free[0]
            taken[free[0]] = until[x]
        return rows

    # ---- text

    def text(self) -> str:
        """The function."""
        parameters: list[str] = []
        for x, role in self.reads.items():
            self.names[x] = name = f"x{len(parameters)}"
            parameters.append(name)
            self.types.append(self.type_of(x, role))
        for r in self.node.results:
            if r in self.over:
                self.names[r] = self.names[self.over[r]]
                continue
            parameters.append(f"y{len(parameters)}")
            self.names[r] = parameters[-1]
            self.types.append(self.type_of(r, self.roles[r], scalar_array=True))
        for number, dtype in enumerate(self.scratch):
            parameters.append(f"s{number}")
            self.types.append(f"{'boolean' if dtype == 'bool' else dtype}[::1]")
        body = self.flat_body() if self.flat else self.row_body()
        self.parameters, self.lines = parameters, body
        return f"def loop({', '.join(parameters)}):\n" + "\n".join(f"    {line}" for line in body)

    def type_of(self, x: Record, role: str, scalar_array: bool = False) -> str:
        """The numba type of an array of the loop, or of a number."""
        name = x.value.dtype.name
        if role == SCALAR and not np.ndim(x.value) and not scalar_array:
            return {"f": "float64", "b": "boolean"}.get(x.value.dtype.kind, "int64")
        name = "boolean" if name == "bool" else name
        return f"{name}[:, ::1]" if role == FULL and not self.flat else f"{name}[::1]"

    def head(self) -> list[str]:
        """What stands before the loops: numbers, and the beginnings of sums."""
        lines = []
        for x, role in self.reads.items():
            if role == SCALAR:
                name = f"n{self.names[x]}"
                convert = f"np.{x.value.dtype.name}" if x.value.dtype.kind == "f" else ""
                at = self.names[x] if not np.ndim(x.value) else f"{self.names[x]}[0]"
                lines.append(f"{name} = {convert}({at})" if convert else f"{name} = {at}")
        for r in self.node.records:
            if self.roles[r] == SCALAR:
                lines.append(f"t{self.index(r)} = {self.start(r, 'float64' if r.op is reductions.sum_ else '')}")
        return lines

    def tail(self) -> list[str]:
        """What stands after the loops: totals."""
        return [f"{self.names[r]}[0] = t{self.index(r)}" for r in self.node.records
                if self.roles[r] == SCALAR and r in self.results]

    def index(self, r: Record) -> int:
        """The number of a record in the loop."""
        return self.node.records.index(r)

    def start(self, r: Record, precision: str = "") -> str:
        """Where a reduction begins."""
        dtype = np.dtype(precision) if precision else r.value.dtype
        return self.constant({reductions.sum_: 0.0, reductions.max_: -np.inf}.get(r.op, np.inf), dtype)  # type: ignore[arg-type]

    def gathered(self, r: Record, so_far: str, x: str) -> str:
        """One more element of a reduction."""
        f = {reductions.sum_: "accumulate", reductions.max_: "maximum"}.get(r.op, "minimum")    # type: ignore[arg-type]
        return f"{so_far} = {f}({so_far}, {x})"

    def flat_body(self) -> list[str]:
        """A loop over all elements for each phase; of many elements in blocks, where there are phases or totals."""
        full = [self.names[x] for x, role in (*self.reads.items(), *self.written()) if role == FULL]
        totals = [r for r in self.node.records if self.roles[r] == SCALAR]
        phases = range(max(self.phase.values()) + 1)
        blocks = full and self.loop.columns > BLOCK and (totals or len(phases) > 1)
        if blocks:
            self.names = {x: f"b{name}" if name in full else name for x, name in self.names.items()}
        count = f"{'b' * bool(blocks)}{full[0]}.shape[0]" if full else str(self.loop.columns)
        lines = [f"p{self.index(r)} = {self.start(r)}" for r in totals]
        for phase in phases:
            lines += [f"for i in range({count}):", *indented(self.columns(phase, "i"))]
        lines += [self.total(r, f"p{self.index(r)}") for r in totals]
        if blocks:
            cut = [f"b{name} = {name}[start:start + {BLOCK}]" for name in dict.fromkeys(full)]
            lines = [f"for start in range(0, {full[0]}.shape[0], {BLOCK}):", *indented([*cut, *lines])]
        return [*self.head(), *lines, *self.tail()]

    def written(self) -> Iterable[tuple[Record, str]]:
        """The results and their roles."""
        return ((r, self.roles[r]) for r in self.node.results)

    def total(self, r: Record, part: str) -> str:
        """A part of a total added to it."""
        t = f"t{self.index(r)}"
        return f"{t} += np.float64({part})" if r.op is reductions.sum_ else self.gathered(r, t, part)

    def row_body(self) -> list[str]:
        """A loop over rows, the columns of each in phases."""
        some = next((self.names[x] for x, role in (*self.reads.items(), *self.written()) if role == FULL), None)
        size = f"{some}.shape" if some else f"{self.loop.rows}, {self.loop.columns}"
        lines = [*self.head(), f"rows, columns = {size}"]
        sums = [r for r in self.node.records if self.roles[r] == ROW]
        for r in sums:
            lines += ["for j in range(columns):", f"    {self.names[r]}[j] = {self.start(r)}"]
        inner = [f"k{self.names[x]} = {self.names[x]}[i]" for x, role in self.reads.items() if role == COLUMN]
        for phase in range(max(self.phase.values(), default=0) + 1):
            inner += self.column_lines(phase)
            inner += self.phase_lines(phase)
        lines += ["for i in range(rows):", *indented(inner)]
        return [*lines, *self.tail()]

    def column_lines(self, phase: int) -> list[str]:
        """What is computed once a row, before a phase."""
        lines: list[str] = []
        for r in self.node.records:
            if self.roles[r] == COLUMN and self.phase[r] == phase:
                if r.op not in REDUCTIONS:
                    lines.append(f"v{self.index(r)} = {self.formula(r, phase)}")
                if r in self.results:
                    lines.append(f"{self.names[r]}[i] = v{self.index(r)}")
            elif self.roles[r] == SCALAR and self.phase[r] == phase:
                x = self.sources[r.inputs[0]]
                if self.role_of(x) == COLUMN:
                    lines.append(self.total(r, self.value(x, phase)))
        return lines

    def phase_lines(self, phase: int) -> list[str]:
        """One go through the columns, and the sums over rows behind it."""
        reducing = [r for r in self.node.records if r.op in REDUCTIONS and self.roles[r] in (COLUMN, SCALAR)
                    and self.role_of(self.sources[r.inputs[0]]) == FULL
                    and self.phase[r] - (self.roles[r] == COLUMN) == phase]
        inner = self.columns(phase, "i, j")
        if not inner:
            return []
        lines = [f"{self.part(r)} = {self.start(r)}" for r in reducing]
        lines += ["for j in range(columns):", *indented(inner)]
        lines += [self.total(r, self.part(r)) for r in reducing if self.roles[r] == SCALAR]
        for r in self.node.records:
            x = self.sources[r.inputs[0]] if r.op in REDUCTIONS else r
            if self.roles[r] == ROW and self.phase[r] == phase and x in self.results:
                lines += ["for j in range(columns):", f"    {self.names[r]}[j] += {self.names[x]}[i, j]"]
        return lines

    def part(self, r: Record) -> str:
        """The name of a reduction of one row."""
        return f"v{self.index(r)}" if self.roles[r] == COLUMN else f"p{self.index(r)}"

    def role_of(self, x: Record) -> str:
        """The role of an operand."""
        return self.roles[x] if x in self.mine else self.reads[x]

    def columns(self, phase: int, at: str) -> list[str]:
        """What is done to each element of a row in a phase: loads, then formulas, then what they leave."""
        formulas: list[str] = []
        stores: list[str] = []
        self.loaded: dict[Record, str] = {}
        self.loads: list[str] = []
        self.at = at
        for r in self.node.records:
            role, x = self.roles[r], (self.sources[r.inputs[0]] if r.op in REDUCTIONS else r)
            if role == FULL and self.phase[r] == phase:
                formulas.append(f"v{self.index(r)} = {self.formula(r, phase)}")
                if r in self.results:
                    stores.append(f"{self.names[r]}[{at}] = v{self.index(r)}")
                if r in self.kept:
                    stores.append(f"s{self.kept[r]}[{at[-1]}] = v{self.index(r)}")
            elif r.op in REDUCTIONS and self.role_of(x) == FULL:
                if role == COLUMN and self.phase[r] - 1 == phase:
                    formulas.append(self.gathered(r, f"v{self.index(r)}", self.value(x, phase)))
                elif role == SCALAR and self.phase[r] == phase:
                    formulas.append(self.gathered(r, f"p{self.index(r)}", self.value(x, phase)))
                elif role == ROW and self.phase[r] == phase and x not in self.results:
                    formulas.append(f"{self.names[r]}[j] += {self.value(x, phase)}")
        return [*self.loads, *formulas, *stores]

    def value(self, x: Record, phase: int) -> str:
        """The text of an operand in the middle of a row; what is in memory is loaded first."""
        if x in self.mine:
            here = self.roles[x] != FULL or self.phase[x] == phase
            if here:
                return f"v{self.index(x)}"
            if x not in self.kept:
                return self.load(x, f"{self.names[x]}[{self.at}]")
            return self.load(x, f"s{self.kept[x]}[{self.at[-1]}]")
        role = self.reads[x]
        if role == SCALAR:
            return f"n{self.names[x]}"
        if role == COLUMN:
            return f"k{self.names[x]}"
        return self.load(x, f"{self.names[x]}[{self.at if role == FULL else 'j'}]")

    def load(self, x: Record, text: str) -> str:
        """A name for an element in memory."""
        if x not in self.loaded:
            self.loaded[x] = f"a{len(self.loaded)}"
            self.loads.append(f"{self.loaded[x]} = {text}")
        return self.loaded[x]

    def formula(self, r: Record, phase: int) -> str:
        """One operation on one element, in the dtype NumPy would use."""
        op = r.op
        assert op is not None
        f = op.forward
        if f is losses.one_hot.forward:
            labels = r.inputs[0]
            label = self.value(self.sources[labels], phase) if isinstance(labels, Record) else repr(int(labels))
            at = "j" if not self.flat else "i" if np.shape(r.value)[-1] == self.loop.columns else "0"
            return f"np.{r.value.dtype.name}({at} == {label})"
        common = r.value.dtype
        if common.kind != "f":
            common = np.result_type(*(x.value if isinstance(x, Record) else x for x in r.inputs))
        args = []
        for i, x in enumerate(r.inputs):
            condition = f is a.where.forward and i == 0
            number = full(x) if isinstance(x, Record) else x
            if not isinstance(x, Record) or number is not None:
                args.append(self.constant(number, np.dtype(bool) if condition else common))
                continue
            text = self.value(self.sources[x], phase)
            wanted = np.dtype(bool) if condition or f in LOGICAL else common
            args.append(text if x.value.dtype == wanted else f"np.{wanted.name}({text})" if wanted.kind != "b" else
                        f"({text} != 0)")
        if f is operator.truediv and self.roles[r] == FULL and over_root(r.inputs[1]):
            return f"divided({args[0]}, {args[1]})"
        text = SCALARS[f].format(*args)
        return text.replace("one", self.constant(1.0, common), 1) if f is np.reciprocal else text


def root(x: Record) -> Record:
    """The leaf behind aliases and reshapes."""
    while x.op in VIEWED and isinstance(x.inputs[0], Record):
        x = x.inputs[0]
    return x


def over_root(x: Any) -> bool:
    """Whether a divisor is √v + ε, as in an optimiser's update: neither tiny nor negative."""
    if not isinstance(x, Record) or x.op is None:
        return False
    return x.op.forward is np.sqrt or (x.op.forward in (operator.add, operator.mul) and any(map(over_root, x.inputs)))


def indented(lines: Iterable[str]) -> list[str]:
    """Lines one level deeper."""
    return [f"    {line}" for line in lines]
