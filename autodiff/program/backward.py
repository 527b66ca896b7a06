"""The gradient of a loss as a program: the forward it reads, every cotangent by name, the wanted ones as results."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import _getframe
from typing import Any

import numpy as np

from autodiff.errors import SourceError
from autodiff.forward import contribution
from autodiff.naming import free, identifier, names_by_use, names_of
from autodiff.program.lifting import Lifted, lifted
from autodiff.program.passes import Program, without_arrays
from autodiff.record import Leaf, Record
from autodiff.reverse import ones
from autodiff.sites import locate
from autodiff.state import grad_mode
from autodiff.tape import Tape, behind, reading, walk_back
from autodiff.tensor import Tensor

RESERVED = (*keyword.kwlist, *keyword.softkwlist, "np", "math", "gradients", "int", "float", "bool", "range", "len",
            "max", "min", "sum", "abs", "tuple", "sorted", "reversed", "zip", "isinstance", "slice", "enumerate")


@dataclass
class Backward:
    """A loss and its gradient as one program.

    Attributes
    ----------
    program : Program
        Its outputs are the gradients of what was wanted, by name.
    loss : Record
        The loss, and all behind it, with every array a leaf.
    lifted : Lifted
        Which record is the copy of which of the user's.
    cotangents : dict of Record to Tensor
        ∂loss/∂r of each record r of the lifted tape that gradients flow through.
    seed : Record
        The cotangent of the loss: 1.
    parameters : dict of Record to str
        The inputs: arrays and constants first, then what requires grad, each in order of use.
    bound : set of Record
        Inputs no tensor of the user's holds: plain arrays.
    """

    program: Program
    loss: Record
    lifted: Lifted
    cotangents: dict[Record, Tensor]
    seed: Record
    parameters: dict[Record, str]
    bound: set[Record]


def backward_program(tape: Tape, wanted: Sequence[Record]) -> Backward:
    """The program of the gradient of a tape's only output with respect to wanted records of it.

    Parameters
    ----------
    tape : Tape
        What stands behind the loss, and the names given.
    wanted : sequence of Record
        Leaves or intermediates that gradients flow to.

    Raises
    ------
    SourceError
        If a rule cannot be recorded: it takes nothing but arrays.
    """
    copy = lifted(tape)
    flows = [new for old, new in copy.copies.items()
             if old.requires_grad and not isinstance(old.value, tuple) and old.value.dtype.kind in "fc"]
    seed = Leaf(ones(copy.loss.value), True, _getframe())
    try:
        found = walk_back({copy.loss: Tensor.of(seed)}, flows, record=True)
    except Exception as error:                    # a user's rule may do whatever works on arrays
        why = not_recorded(copy.loss)
        if why is None:
            raise
        raise why from error
    called = names_of(tape.all, tape.given)
    own = names_by_use(tape.all, {r: name for r in tape.all if (name := tape.given.get(r) or r.name)})
    used: dict[str, int] = dict.fromkeys(RESERVED, 1)
    parameters = named_inputs(tape, copy, called, own, used)
    names: dict[Record, str] = {}
    for old, new in copy.copies.items():
        wish = tape.given.get(old) or old.name
        if old.op is not None and wish:
            names[new] = free(identifier(wish), used)
    for r, name in (names | parameters).items():              # what a reader of records, such as `closed`, calls them
        r.label = name
    for r, leaf in copy.aliases.items():
        r.label = leaf.label
    order = {r: i for i, r in enumerate(behind([copy.loss]))}
    forward = set(order)
    for new in reversed(copy.copies.values()):
        name = names.get(new) or parameters.get(new)
        g = found[new].record if new in found else None
        if g is not None and name and g.op is not None and g not in names and g not in forward:
            names[g] = free(f"d{name}", used)
    outputs = {called[r]: found[copy.copies[r]].record if copy.copies[r] in found else nothing(r) for r in wanted}
    order.update((r, i + len(order)) for i, r in enumerate(r for r in behind(outputs.values()) if r not in order))
    program = without_arrays(Program(dict(outputs), names, order, forward))
    return Backward(program, copy.loss, copy, found, seed, parameters, set(copy.arrays))


def not_recorded(loss: Record) -> SourceError | None:
    """Which rule cannot run on Tensors and what to do about it, if there is one."""
    for r in reversed(behind([loss], differentiable=True)):
        if isinstance(r.value, tuple) or r.op is None:
            continue
        g, (y, operands) = Tensor(np.ones_like(r.value), requires_grad=True), reading(r)
        try:
            with grad_mode(True):
                for i, x in enumerate(r.inputs):
                    if isinstance(x, Record) and x.requires_grad:
                        contribution(r.op, i, g, y, operands, r.options)
        except Exception as error:                # whatever its author's code raises
            said = str(error).partition("\n")[0]
            return SourceError(
                f"the gradient of {r.op.name} cannot be printed: its rule works on plain arrays only, so what it does "
                f"is not recorded ({type(error).__name__}: {said})\n"
                f"  at {r.where}: {locate(r.code, r.lasti).text}\n"
                f"  State the rule of {r.op.name} in NumPy functions of what it is given: np.take(g, i), not "
                "np.asarray(g)[i]. As it is, ad.gradients and backward() can use it, and ad.source cannot.")
    return None


def nothing(r: Record) -> Record:
    """The gradient where none arrives."""
    return Leaf(np.zeros_like(r.value), False, _getframe())


def named_inputs(tape: Tape, copy: Lifted, called: Mapping[Record, str],
                 own: Mapping[Record, str], used: dict[str, int]) -> dict[Record, str]:
    """The leaves that are inputs, by name: those of the user, and arrays that a variable of the user's holds."""
    first: dict[Record, None] = {}

    def seen(x: Any) -> Any:
        return copy.aliases.get(x, x) if isinstance(x, Record) else x

    for r in behind([copy.loss]):
        first.update(dict.fromkeys(x for x in map(seen, r.inputs) if isinstance(x, Record) and x.op is None))
    original = {new: old for old, new in copy.copies.items()}
    wishes: dict[Record, str] = {}
    for leaf in first:
        if leaf in original:
            old = original[leaf]
            if old.requires_grad or old.name or old in tape.given or old in own:
                wishes[leaf] = identifier(called[old])
        elif copy.arrays.get(leaf):
            wishes[leaf] = copy.arrays[leaf]
    repeated = {name for name, n in Counter(copy.arrays.values()).items() if n > 1}
    given: dict[Record, str] = {}
    for leaf in sorted(wishes, key=lambda r: r not in original):          # a tensor's own name comes first
        wish = wishes[leaf]
        given[leaf] = free(numbered(wish, used) if wish in repeated and leaf not in original else wish, used)
    trained = {r for r in given if r in original and original[r].requires_grad}
    return {r: given[r] for r in sorted((r for r in first if r in given), key=trained.__contains__)}


def numbered(wish: str, used: Mapping[str, int]) -> str:
    """One of several arrays that stood in the same variable, one after the other."""
    n = 1
    while f"{wish}_{n}" in used:
        n += 1
    return f"{wish}_{n}"
