"""Modules in words: the tree that `repr` shows, and what error messages say of states and forwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import Tensor

if TYPE_CHECKING:
    from nn.module import Module

    Parts = Sequence[tuple[str, Module, Sequence[tuple[str, Tensor]]]]


def tree(parts: Parts) -> str:
    """A line per module: class and options, its own tensors with their shapes, how many numbers are trained below it.

    `parts` are the modules with their paths and own tensors, parents first.
    """
    lines = []
    for path, module, own in parts:
        step = f"{'  ' * (path.count('.') + 1)}{path.rpartition('.')[2]}: " if path else ""
        options = module.extra_repr()
        count = trained(module)
        head = f"{step}{type(module).__name__}" + (f"({options})" if options or not count else "")
        cells = [head, ", ".join(f"{name} {shape(tensor)}" for name, tensor in own)]
        if count:
            cells.append(f"{count:,} parameter{'s' if count > 1 else ''}")
        lines.append("    ".join(cell for cell in cells if cell))
    return "\n".join(lines)


def trained(module: Module) -> int:
    """How many numbers are trained in it and below it."""
    return sum(parameter.size for parameter in module.parameters())


def shape(tensor: Tensor) -> str:
    """Its shape, and whatever about it is out of the ordinary."""
    return f"{tensor.shape}{unusual(tensor)}"


def unusual(tensor: Tensor) -> str:
    """What about a tensor is out of the ordinary."""
    dtype = "" if tensor.dtype == np.float64 else f" {tensor.dtype}"
    return dtype + ("" if tensor.requires_grad else " not trained")


def without_forward(module: Module) -> str:
    """What to say when a module without a forward is called."""
    name = type(module).__name__
    return (f"{name} has no forward, so it cannot be called. Write, in class {name}:\n"
            "    def forward(self, x):\n        return ...")


def listed(headline: str, problems: Sequence[str]) -> str:
    """One error for all of them."""
    return f"{headline}; nothing was changed\n  " + "\n  ".join(problems)


def misfits(held: Sequence[tuple[str, Tensor]], arrays: Mapping[str, np.ndarray[Any, Any]], strict: bool) -> list[str]:
    """Everything about a state that does not fit, a line each.

    A tensor that is shared may be given under any of its paths; under several it must be the same.
    """
    problems = []
    given = {tensor.record: path for path, tensor in held if path in arrays}
    paths = {path for path, _ in held}
    if strict:
        problems += [f"missing     {path}    {tensor.shape}" for path, tensor in held if tensor.record not in given]
        problems += [f"unexpected  {path}    {array.shape}" for path, array in arrays.items() if path not in paths]
    for path, tensor in held:
        if path not in arrays:
            continue
        array, last = arrays[path], given[tensor.record]
        if array.shape != tensor.shape:
            problems.append(f"shape       {path}    {array.shape} given, {tensor.shape} held")
        elif not np.can_cast(array.dtype, tensor.dtype, "same_kind"):
            problems.append(f"dtype       {path}    {array.dtype} given, {tensor.dtype} held")
        elif not np.array_equal(array, arrays[last], equal_nan=array.dtype.kind == "f"):
            problems.append(f"shared      {path}    is the same tensor as {last}, but other values are given for it")
    return problems
