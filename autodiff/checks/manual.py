"""What the user gives: gradients by name or Tensor, or a function that returns them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autodiff.checks.noise import Reference
from autodiff.errors import GradientError, OperandError
from autodiff.naming import identifier, names_of
from autodiff.record import Record
from autodiff.tape import Tape
from autodiff.tensor import Tensor


def resolved(tape: Tape, manual: Any) -> dict[Record, tuple[Any, Any]]:
    """For each record, the key it was given by and the gradient given.

    Raises
    ------
    GradientError
        If a name or Tensor is not on the tape, is ambiguous, is given twice, or no gradient flows to it.
    OperandError
        If this is no dict, or a gradient is no array of numbers.
    """
    if not isinstance(manual, Mapping):
        raise OperandError("the gradients to compare must be a dict (by name or by Tensor) or a function that returns "
                           f"one, not {type(manual).__name__}")
    found: dict[Record, tuple[Any, Any]] = {}
    for key, value in manual.items():
        if is_loss(tape, key):
            continue
        r = meant(tape, key)
        if r in found:
            raise GradientError(f"{found[r][0]!r} and {key!r} are the same gradient, given twice")
        if r.value.dtype.kind != "f" or (r.op is not None and not r.requires_grad):
            raise GradientError(f"no gradient flows to {r.name or 'a tensor'} (from {r.where}): it is constant, or "
                                "computed from nothing that requires grad")
        found[r] = (key, as_array(value, key))
    return found


def is_loss(tape: Tape, key: Any) -> bool:
    """Whether a key stands for the value of the loss, whose gradient nobody gives: it is 1."""
    loss = tape.outputs[0]
    return isinstance(key, str) and key in ("loss", tape.given.get(loss), loss.name) \
        and all(key not in (tape.given.get(r), r.name) for r in tape.all if r is not loss)


def parts_of(tape: Tape, given: Any) -> tuple[Any, Any]:
    """The gradients, and the value of the loss if that was given too: as "loss", or before the dict in a pair."""
    if isinstance(given, tuple) and len(given) == 2:
        value, gradients = given if isinstance(given[1], Mapping) else given[::-1]
        if isinstance(gradients, Mapping) and np.ndim(value) == 0:
            return gradients, value
    if isinstance(given, Mapping):
        return given, next((value for key, value in given.items() if is_loss(tape, key)), None)
    return given, None


def meant(tape: Tape, key: Any) -> Record:
    """The record whose gradient a key means: "W1" and "dW1" mean the same, unless something is called dW1."""
    if isinstance(key, str) and key[:1] in ("d", "∂") and key[1:]:
        names = {name for r in tape.all for name in (tape.given.get(r), r.name)} | set(names_of(tape.all).values())
        if key not in names and key[1:] in names:
            key = key[1:]
    if not isinstance(key, str | Tensor):
        raise OperandError(f"gradients are given by name or by Tensor, not by {type(key).__name__}")
    return tape.find(key)


def as_array(value: Any, key: Any) -> Any:
    """A gradient as an array of numbers."""
    called = key if isinstance(key, str) else key.name or "a tensor"
    try:
        array = np.asarray(value.data if isinstance(value, Tensor) else value)
    except (ValueError, TypeError) as error:
        raise OperandError(f"the gradient given for {called} is no array: {error}") from None
    if array.dtype.kind not in "fiub":
        raise OperandError(f"the gradient given for {called} has dtype {array.dtype}; real numbers are needed")
    return array


# ---- a function

def called_with(function: Callable[..., Any], tape: Tape, values: Mapping[Record, Any],
                inputs: Mapping[str, Any]) -> Any:
    """What the function returns, called by keyword with the tensors and arrays it asks for."""
    return function(**arguments_for(function, tape, values, inputs))


def arguments_for(function: Callable[..., Any], tape: Tape, values: Mapping[Record, Any],
                  inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a function asks for, by keyword: tensors and arrays on the tape, else what was given as inputs."""
    arguments = {}
    for name, parameter in wanted_by(function).items():
        found = value_named(tape, name, values)
        found = inputs.get(name) if found is None else found
        found = found.data if isinstance(found, Tensor) else found
        if found is not None:
            arguments[name] = np.array(found)[()]           # a copy: what they do to it stays theirs
        elif parameter.default is parameter.empty:
            known = sorted({r.name for r in tape.all if r.name} | set(raw_operands(tape)))
            called = getattr(function, "__name__", "the function")
            raise GradientError(f"{called} asks for {name!r}, which is not on this tape; "
                                f"known names: {', '.join(known) or 'none'}. Data prepared before anything was "
                                f"recorded is given by hand: inputs={{{name!r}: {name}}}")
    return arguments


def wanted_by(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters that can be given by keyword."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: p for name, p in inspect.signature(function).parameters.items() if p.kind in kinds}


def value_named(tape: Tape, name: str, values: Mapping[Record, Any]) -> Any:
    """The value of the leaf of this name, else of the plain array or number of this name, else of the intermediate."""
    leaves = [r for r in tape.leaves if name in (tape.given.get(r), r.name)]
    if len(leaves) != 1 and (raw := raw_operands(tape).get(name)):
        if len(raw) > 1:
            raise GradientError(f"{name!r} names {len(raw)} different arrays on this tape; wrap the one that is meant: "
                                f"ad.Tensor({name}, name={name!r})")
        return raw[0]
    if not leaves and not any(name in (tape.given.get(r), r.name) for r in tape.all):
        names = names_of(tape.all, tape.given)
        leaves = [r for r in tape.leaves if identifier(names[r]) == name]
        if len(leaves) != 1:
            return None
    r = leaves[0] if len(leaves) == 1 else tape.find(name)
    return values.get(r, r.value)


def raw_operands(tape: Tape) -> dict[str, list[Any]]:
    """The plain arrays and numbers on a tape by the names the user's lines give them."""
    found: dict[str, list[Any]] = {}
    for r in tape:
        for x, text in zip(r.inputs, r.written, strict=True):
            if isinstance(x, np.ndarray) and text.endswith(".T"):
                x, text = x.T, text[:-2]
            if isinstance(x, np.ndarray | np.generic | float | int) and text.isidentifier():
                same = found.setdefault(text, [])
                if not any(np.array_equal(x, other) for other in same):
                    same.append(x)
    return found


# ---- shapes

def misshapen(name: str, yours: Any, reference: Reference) -> str:
    """What is wrong with a shape, in a sentence; and whether the values would be right."""
    wanted, given = np.shape(reference.value), yours.shape

    def then(changed: Any) -> str:
        with np.errstate(all="ignore"):
            right = np.all(np.abs(changed - reference.value) <= reference.tolerance)
        return "then it agrees" if right else "its values differ too"

    head = f"wrong shape: yours is {given}, {name} is {wanted}: "
    longer = [[n for n in shape if n > 1] for shape in (given, wanted)]
    if longer[0] == longer[1] and len(longer[0]) < 2:
        if yours.size == 1:
            return f"{head}use np.reshape(d{name}, {wanted}); {then(yours.reshape(wanted))}"
        words = {(1, 0): "a row where a column is wanted", (0, 1): "a column where a row is wanted"}
        ones = tuple(int(n > 1) for n in given), tuple(int(n > 1) for n in wanted)
        kind = words[(1, 0)] if ones == ((0, 1), (1, 0)) else words[(0, 1)] if ones == ((1, 0), (0, 1)) else \
            "the same elements, with axes of length one more or less"
        return f"{head}{kind}; use np.reshape(d{name}, {wanted}); {then(yours.reshape(wanted))}"
    if yours.ndim > 1 and given[::-1] == wanted:
        return f"{head}it is transposed; use d{name}.T; {then(yours.T)}"
    if yours.size == 1:
        return f"{head}a single number for an array"
    for axis in range(yours.ndim):
        for keepdims in (False, True):
            total = yours.sum(axis=axis, keepdims=keepdims)
            if total.shape == wanted:
                keep = ", keepdims=True" if keepdims else ""
                return (f"{head}it is not summed over axis {axis}, which the forward broadcasts along (usually the "
                        f"batch); use d{name}.sum(axis={axis}{keep}); {then(total)}")
    if yours.size == reference.value.size:
        return f"{head}as many elements in another shape"
    if broadcasts(given, wanted):
        return f"{head}it would broadcast, but each element of {name} has a derivative of its own"
    return head.rstrip(": ")


def broadcasts(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether one shape broadcasts to the other."""
    try:
        return np.broadcast_shapes(given, wanted) == wanted
    except ValueError:
        return False
