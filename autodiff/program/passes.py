"""A program of records, and the passes over it: what is live, what is the same, what may be replaced.

A pass never changes a record; it makes others in its place. All are written with `rewritten`, which takes the live
records in order, gives each its new inputs and asks a rule for what to put there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from sys import _getframe
from typing import Any

import numpy as np

from autodiff.kinds import Op
from autodiff.ops.shapes import broadcast_to
from autodiff.record import NO_OPTIONS, Leaf, Record

Operand = Any                            # a record, or a number
Rule = Callable[[Record, "Program"], Operand]


@dataclass
class Program:
    """Some results, and all they are computed from.

    Attributes
    ----------
    outputs : dict of str to Record or number
        The results.
    names : dict of Record to str
        What has a name that a reader knows.
    order : dict of Record to int
        Where in the program it belongs, for readers; what has no place of its own stands before what needs it.
    forward : set of Record
        What belongs to the forward part.
    uses : Counter
        How often each record is used, outputs included.
    """

    outputs: dict[str, Operand]
    names: dict[Record, str] = field(default_factory=dict)
    order: dict[Record, int] = field(default_factory=dict)
    forward: set[Record] = field(default_factory=set)
    uses: Counter[Record] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.uses = counted(self.outputs.values())

    @property
    def records(self) -> list[Record]:
        """The live records in reading order, each after what it is computed from; what is dead is not among them."""
        return self.replacing({}, counted(self.outputs.values()))

    def replacing(self, instead: Mapping[Record, Operand], live: Iterable[Record]) -> list[Record]:
        """The records that are live where some are replaced by others, in reading order."""
        found: dict[Record, None] = {}
        for root in [*sorted((r for r in live if r in self.order), key=self.order.__getitem__), *live]:
            stack = [root]
            while stack:
                r = stack[-1]
                inputs = [] if r in found else [instead.get(x, x) for x in r.inputs if isinstance(x, Record)]
                waiting = [x for x in inputs if isinstance(x, Record) and x not in found]
                if waiting:
                    stack.extend(reversed(waiting))
                else:
                    found.setdefault(stack.pop())
        return list(found)

    def single(self, x: Operand) -> bool:
        """Whether it is an operation without a name that is used once: free to be taken apart."""
        return isinstance(x, Record) and x.op is not None and x not in self.names and self.uses[x] <= 1


def counted(outputs: Iterable[Operand], instead: Mapping[Record, Operand] | None = None) -> Counter[Record]:
    """How often each record that the outputs need is used, were some of them replaced."""
    instead = instead or {}
    uses: Counter[Record] = Counter()
    pending = [instead.get(r, r) for r in outputs if isinstance(r, Record)]
    while pending:
        r = pending.pop()
        if isinstance(r, Record):
            uses[r] += 1
            if uses[r] == 1:
                pending.extend(instead.get(x, x) for x in r.inputs if isinstance(x, Record))
    return uses


def rewritten(program: Program, rule: Rule, instead: Mapping[Record, Operand] | None = None) -> Program:
    """The program with each live record replaced by what the rule says: itself, another record or a number.

    What stands in `instead` is replaced by that first, wherever it is used.
    """
    instead = instead or {}
    new: dict[Record, Operand] = {}
    names, order, forward = dict(program.names), dict(program.order), set(program.forward)
    state = replace(program, names=names, order=order, forward=forward)
    for old, y in instead.items():
        if isinstance(y, Record):
            inherit(state, old, y)
            names.pop(old, None)
    uses = counted(program.outputs.values(), instead) if instead else Counter(state.uses)

    def replaced(x: Operand) -> Operand:
        x = instead.get(x, x) if isinstance(x, Record) else x
        return new[x] if isinstance(x, Record) else x

    for r in state.replacing(instead, uses):
        inputs = tuple(map(replaced, r.inputs))
        candidate = r if all(a is b for a, b in zip(inputs, r.inputs)) else copy_of(r, inputs)
        state.uses[candidate] = uses[r]
        inherit(state, r, candidate)
        y = new[r] = rule(candidate, state)
        if isinstance(y, Record):
            inherit(state, candidate, y)
    outputs = {key: typed(replaced(r), r) for key, r in program.outputs.items()}
    return Program(outputs, names, order, forward)


def typed(y: Operand, r: Operand) -> Operand:
    """A result that came out as a number, in the dtype it had where that is not Python's own."""
    if isinstance(y, Record) or not isinstance(r, Record) or r.value.dtype == np.float64:
        return y
    return r.value.dtype.type(float(y))


def inherit(program: Program, r: Record, y: Record) -> None:
    """What stands in the place of a record takes its name and place, if it has none of its own."""
    if y is r:
        return
    if r in program.names and y.op is not None:
        program.names.setdefault(y, program.names[r])
    if r in program.order:
        program.order.setdefault(y, program.order[r])
    if r in program.forward:
        program.forward.add(y)


def copy_of(r: Record, inputs: tuple[Operand, ...]) -> Record:
    """The same operation on other operands of equal value."""
    copy = Record(r.op, inputs, r.options, r.value, r.requires_grad, _getframe(), r.scope, None)
    copy.code, copy.lasti, copy.label = r.code, r.lasti, r.label
    return copy


def computed(op: Op, *inputs: Operand, value: Any = None, **options: Any) -> Record:
    """A new record; without a value given, what the operation gives."""
    if value is None:
        with np.errstate(all="ignore"):
            value = op.forward(*map(value_of, inputs), **options)
        value = value if hasattr(value, "dtype") or isinstance(value, tuple) else np.asarray(value)[()]
    return Record(op, inputs, options or NO_OPTIONS, value, False, _getframe(), None, None)


# ---- passes

def substituted(program: Program, found: Mapping[Record, Operand]) -> Program:
    """Each of these records replaced by another, or a number, wherever it is used."""
    return rewritten(program, lambda r, state: r, found)


def without_arrays(program: Program) -> Program:
    """Plain arrays, which rules may make, as leaves; plain arrays of no axis as numbers."""
    made: dict[int, Leaf] = {}

    def rule(r: Record, state: Program) -> Operand:
        if not any(isinstance(x, np.ndarray) for x in r.inputs):
            return r
        inputs = tuple(x if not isinstance(x, np.ndarray) else x[()] if not x.ndim else
                       made.setdefault(id(x), Leaf(x, False, _getframe())) for x in r.inputs)
        return copy_of(r, inputs)

    return rewritten(program, rule)


def shared(program: Program) -> Program:
    """One record for all that do the same to the same."""
    first: dict[Any, Record] = {}

    def rule(r: Record, state: Program) -> Operand:
        if r.op is None:
            return r
        y = first.setdefault(identity(r), r)
        if r in state.forward:
            state.forward.add(y)
        return y

    return rewritten(program, rule)


def identity(r: Record) -> Any:
    """What two records must share to be the same computation."""
    inputs = tuple(x if isinstance(x, Record) else (type(x), repr(x)) for x in r.inputs)
    options = tuple((key, repr(value)) for key, value in sorted(r.options.items()))
    return r.op, inputs, options


# ---- what an operand is

LARGEST = 2**53                   # up to here a float that is a whole number is one


def is_number(x: Operand) -> bool:
    """Whether an operand is a real number."""
    return isinstance(x, int | float | Fraction | np.floating | np.integer) and not isinstance(x, bool | np.bool_)


def full(x: Operand) -> Operand:
    """The number that fills an array by its making, None if there is none."""
    if isinstance(x, Record) and x.op is broadcast_to and not isinstance(x.inputs[0], Record):
        return x.inputs[0]
    return None


def fills(number: Operand, r: Record) -> Operand:
    """A number in the place of a record."""
    return number if shape_of(r) == () else computed(broadcast_to, number, value=r.value, shape=shape_of(r))


def value_of(x: Operand) -> Any:
    """What an operand is in NumPy."""
    return x.value if isinstance(x, Record) else float(x) if isinstance(x, Fraction) else x


def shape_of(x: Operand) -> tuple[int, ...]:
    """The shape of an operand."""
    return np.shape(value_of(x))


def dtype_of(inputs: Iterable[Operand]) -> Any:
    """The dtype that arithmetic on these gives, numbers counting as NumPy counts them."""
    return np.result_type(*map(value_of, inputs))


def tidy(x: Any) -> Any:
    """A number as a person writes it: whole numbers without a point."""
    x = x.item() if isinstance(x, np.generic) else x
    if isinstance(x, Fraction):
        return x.numerator if x.denominator == 1 else x
    return int(x) if isinstance(x, float) and x.is_integer() and abs(x) < LARGEST else x
