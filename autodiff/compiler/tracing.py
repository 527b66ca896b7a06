"""A function called once, on arguments that record: what it computes, as a program of records.

Arguments become leaves that are tracked; what the function reads beside them (parameters, buffers, arrays of its
closure) is captured by reference, so that a later call sees what they hold then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from sys import _getframe
from typing import Any

import numpy as np

from autodiff.compiler.lazy import Sketch, lazy
from autodiff.errors import ReplayError, TracedValueError
from autodiff.leaks import refuse_leaks
from autodiff.ops.elementary import alias
from autodiff.ops.random import Key, keys_drawn
from autodiff.program.passes import Program, copy_of, rewritten, substituted, without_arrays
from autodiff.record import NO_OPTIONS, Leaf, Record, Variable, next_serial
from autodiff.sites import is_ours
from autodiff.state import Setting, grad_mode, tracing, transform_now
from autodiff.tape import behind
from autodiff.tensor import Tensor
from autodiff.transforms import argument_name
from autodiff.tree import leaves_of, names_in, rebuilt

NAME = "ad.compile"
DATA = (Tensor, np.ndarray, np.generic)
native: ContextVar[bool] = ContextVar("autodiff.native", default=False)   # whether what is recorded will run natively
sketching: ContextVar[Sketch | None] = ContextVar("autodiff.sketching", default=None)


@dataclass
class Trace:
    """What a function computed.

    Attributes
    ----------
    program : Program
        Its outputs are those of the function that are computed, by position.
    inputs : list of Record
        The leaves that stand for the arguments' arrays, in order.
    captured : dict of Record to Record
        What the function reads beside its arguments: the leaf of the program that stands for it, and the record
        whose value it has at each call.
    result : nested structure
        What the function returned, each leaf the position of an output, wrapped in `Output`, or a constant.
    keys : list of Key
        The random draws, in order.
    differentiable : list of Record
        Captured records that require grad and that an output depends on.
    sketch : Sketch, optional
        Where it was recorded without numbers.
    """

    program: Program
    inputs: list[Record]
    captured: dict[Record, Record]
    result: Any
    keys: list[Key]
    differentiable: list[Record]
    sketch: Sketch | None = None


@dataclass(frozen=True)
class Output:
    """Stands, in the structure of a result, for the output of this number."""

    number: int


def sketched(f: Callable[..., Any], args: Sequence[Any], keywords: dict[str, Any], dynamic: Callable[[Any], bool],
             name: str = NAME) -> Trace:
    """As `traced`, on arrays that are computed only where the function needs their numbers.

    A function that writes to such an array, as some operations do inside, is traced again on numbers.
    """
    sketch = Sketch()
    try:
        with Setting(sketching, sketch):
            return traced(f, args, keywords, dynamic, name)
    except TracedValueError:
        raise
    except Exception:                        # what is wrong with the function shows again
        sketch.over = True
        return traced(f, args, keywords, dynamic, name)


def traced(f: Callable[..., Any], args: Sequence[Any], keywords: dict[str, Any], dynamic: Callable[[Any], bool],
           name: str = NAME) -> Trace:
    """Call a function once, and keep what it computed.

    Parameters
    ----------
    f : callable
        Of arrays and nested structures of arrays.
    args, keywords
        What to call it with.
    dynamic : callable
        Whether a leaf of the arguments is data (an array), rather than a setting that holds for this trace.
    name : str
        Who asks, for messages.

    Raises
    ------
    TracedValueError
        If a value left the tape as a Python number or a plain array: what depends on it would be frozen. If the
        function writes to a tensor, which a later call would not do again.
    """
    start, sketch = next_serial(), sketching.get()
    inputs: list[Record] = []

    def argument(x: Any, name: str) -> Any:
        """The Tensor that stands for an array: tracked, whether it can have a gradient or not."""
        if not dynamic(x):
            return x
        value = x.record.value if isinstance(x, Tensor) else x[()] if x.ndim == 0 else x
        leaf = Variable(lazy(value, sketch) if sketch else value, value.dtype.kind == "f", _getframe(), name)
        inputs.append(leaf)
        return Tensor.of(leaf if leaf.requires_grad else seen(leaf))

    called = [argument(x, name) for n, arg in enumerate(args)
              for x, name in zip(leaves_of(arg), names_in(arg, argument_name(f, n)))]
    called += [argument(x, name) for key, arg in keywords.items()
               for x, name in zip(leaves_of(arg), names_in(arg, key))]
    everything = rebuilt((tuple(args), keywords), called, as_argument=True)
    keys: list[Key] = []
    try:
        with Setting(transform_now, name), grad_mode(True), Setting(tracing, True), Setting(keys_drawn, keys):
            result = f(*everything[0], **everything[1])
    except BaseException:
        for key in reversed(keys):
            key.undo()
        raise
    outputs: list[Record] = []

    def output(y: Any) -> Any:
        """What stands for a leaf of the result."""
        if not isinstance(y, Tensor):
            return y
        outputs.append(y.record)
        return Output(len(outputs) - 1)

    structure = rebuilt(result, [output(y) for y in leaves_of(result)])
    recorded = behind(outputs, start)              # with what it reads; what stands behind that is not the function's
    read = {x for x in (*outputs, *[x for r in recorded for x in r.inputs]) if isinstance(x, Record)}
    tape = sorted(read.union(recorded), key=lambda r: r.serial)
    refuse_frozen(tape, inputs, start, name)
    program, captured = closed_over(Program({str(i): r for i, r in enumerate(outputs)}), tape, inputs, start)
    if sketch:                                     # what the function keeps for itself is not the program's
        program = rewritten(program, lambda r, state: r if r.op is None else copy_of(r, r.inputs))
    wanted = {held for held in captured.values() if held.requires_grad}
    return Trace(program, inputs, captured, structure, keys, sorted(wanted, key=lambda r: r.serial), sketch)


def stand_ins(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Aliases of leaves, of which numbers are computed only where they are needed, if that is how it is traced."""
    sketch = sketching.get()
    return [Tensor.of(seen(t.record, lazy(t.record.value, sketch))) if sketch else t for t in tensors]


def seen(leaf: Record, value: Any = None) -> Record:
    """An alias of a leaf that requires no grad: a result, so that what is computed from it is recorded."""
    value = leaf.value if value is None else value
    made = Record(alias, (leaf,), NO_OPTIONS, value, False, _getframe(), None, None)
    made.label = leaf.label
    return made


def refuse_frozen(tape: list[Record], inputs: list[Record], start: int, name: str) -> None:
    """Raise if the function did what a later call could not do again."""
    if not tape:
        return
    for r in tape:
        if isinstance(r, Leaf) and r.version > start:
            raise TracedValueError(
                f"{r.name or 'a tensor'} was written to inside {name}: the compiled function would not do it again.\n"
                "  Return the new value instead, or leave the update to nn.train_step(model, loss_fn, optimizer).")
    changed = {r for r in tape if isinstance(r, Leaf)} | set(inputs)
    try:
        refuse_leaks([r for r in tape if r.op is None or r.serial > start], changed, start)
    except ReplayError as error:
        said = str(error).replace("so a replay on other values could be wrong", "and would be frozen at this call's")
        said = said.replace("A replay would change the one and not the other", "A later call would change one only")
        said, _, _ = said.partition(", or pass strict=False")
        raise TracedValueError(f"{name}: {said}. Or leave this function eager.") from None


def closed_over(program: Program, tape: list[Record], inputs: list[Record],
                start: int) -> tuple[Program, dict[Record, Record]]:
    """The program with all that it reads beside its arguments as leaves, each seen through an alias."""
    captured: dict[Record, Record] = {}

    def held(r: Record) -> Record:
        """What operations see of something captured."""
        leaf = Leaf(r.value, False, _getframe(), r.name)
        captured[leaf] = r
        return seen(leaf)

    def stand_in(r: Record) -> Any:
        """A number that the engine made, such as a loss's seed, is one; anything else is what it holds at a call."""
        made = isinstance(r, Leaf) and r.serial > start and is_ours(r.code) and not np.ndim(r.value)
        return r.value if made else held(r)

    program = without_arrays(substituted(program, {
        r: stand_in(r) for r in tape if r not in inputs and (r.op is None or r.serial < start)}))
    arrays = [r for r in program.records if r.op is None and r not in captured and r not in inputs]
    return substituted(program, {r: held(r) for r in arrays}), captured


def is_array(x: Any) -> bool:
    """Whether a leaf of the arguments is data: an array, a NumPy scalar or a Tensor."""
    return isinstance(x, DATA)
