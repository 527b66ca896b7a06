"""Derivations by hand, right and wrong: a model, gradients of it as a person writes them, and slips in those.

A model is a module of one of the `PARTS` with

- ``data(rng, dtype)``: the named leaves, a dict of arrays: parameters, inputs, targets;
- ``PARAMETERS``: which of them are trained;
- ``loss(...)``: the forward pass on Tensors, its parameters named as the leaves;
- functions of the same leaves that return ``{"W1": dW1, ...}``, derived by hand, listed in ``RIGHT``;
- ``SLIPS``: each turns one of these functions into a wrong one by changing a line or two.

So the wrong line is known exactly, and every case can be given to `ad.compare` as a function or as arrays.

`blind` is set aside and never looked at, but for its totals. The others are for tuning: `dev` and `dev2` from the
first; `dev3` to `dev6`, written without sight of the doctor, after each was measured once; and `held`, which was
written together with `dev2`.
What a fair reader accepts stands in `labels`, or with the slip itself.
"""

from __future__ import annotations

import importlib
import inspect
import linecache
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import autodiff as ad

HERE = Path(__file__).parent
PARTS = ("blind", "dev", "dev2", "dev3", "dev4", "dev5", "dev6", "held")


@dataclass(frozen=True)
class Label:
    """What a fair and strict reader accepts as the explanation of a slip.

    Attributes
    ----------
    kinds : tuple of str
        The kinds of mistake it may be called, the most exact first: "sign", "wrong-operand", ...
    places : tuple of str
        The names accepted as the spot: tensors as the model's `loss` calls them, gradients, operations.
    """

    kinds: tuple[str, ...]
    places: tuple[str, ...]

    @classmethod
    def of(cls, kinds: str, tensors: str, ops: str = "") -> Label:
        """Kinds and places, each in a string; a tensor's gradient is as good a place as the tensor."""
        names = tensors.split()
        return cls(tuple(kinds.split()), (*names, *("d" + name for name in names), *ops.split()))


label = Label.of


@dataclass(frozen=True)
class Slip:
    """One way to get a right derivation wrong.

    Attributes
    ----------
    name : str
        Short, in the words of a person: "forgot the derivative of the sigmoid".
    of : callable
        The right derivation that it spoils.
    changes : tuple of (str, str)
        Lines of it and what the person wrote instead; a line may become several, or "" when it was forgotten.
    label : Label or None
        What is accepted as its explanation, where that stands with it.
    """

    name: str
    of: Callable[..., dict[str, Any]]
    changes: tuple[tuple[str, str], ...]
    label: Label | None

    def __init__(self, name: str, of: Callable[..., dict[str, Any]], *changes: tuple[str, str],
                 label: Label | None = None) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "of", of)
        object.__setattr__(self, "changes", changes)
        object.__setattr__(self, "label", label)


@dataclass(frozen=True)
class Case:
    """A derivation of a model's gradients that can be run; `slip` is None for a right one."""

    model: ModuleType
    function: Callable[..., dict[str, Any]]
    slip: Slip | None
    wrong_lines: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.model.__name__.rpartition('.')[2]}: {self.slip.name if self.slip else self.function.__name__}"

    def leaves(self, seed: int, dtype: Any) -> dict[str, Any]:
        return self.model.data(np.random.default_rng(seed), np.dtype(dtype).type)

    def recorded(self, seed: int = 0, dtype: Any = np.float64) -> tuple[ad.Tensor, dict[str, Any]]:
        """The loss on a tape, and the leaves' arrays."""
        values = self.leaves(seed, dtype)
        tensors = {k: ad.Tensor(v, requires_grad=k in self.model.PARAMETERS, name=k) for k, v in values.items()}
        return self.model.loss(**tensors), values

    def gradients(self, values: dict[str, Any]) -> dict[str, Any]:
        """What the person's function gives on arrays."""
        wanted = inspect.signature(self.function).parameters
        return self.function(**{k: np.copy(v) for k, v in values.items() if k in wanted})


def spoiled(slip: Slip) -> tuple[Callable[..., dict[str, Any]], tuple[str, ...]]:
    """The slip's function, as if it had been written so, and its wrong lines."""
    source = textwrap.dedent(inspect.getsource(slip.of))
    lines = source.splitlines()
    wrong: list[str] = []
    for right, instead in slip.changes:
        at = [i for i, line in enumerate(lines) if line.strip() == right.strip()]
        assert len(at) == 1, f"{slip.name}: {right!r} stands {len(at)} times in {slip.of.__name__}"
        indent = lines[at[0]][:len(lines[at[0]]) - len(lines[at[0]].lstrip())]
        new = [indent + line for line in instead.splitlines()]
        wrong += [line.strip() for line in new]
        lines[at[0]:at[0] + 1] = new
    text = "\n".join(lines) + "\n"
    file = f"<{slip.of.__module__} {slip.name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    namespace = dict(slip.of.__globals__)
    exec(compile(text, file, "exec"), namespace)
    return namespace[slip.of.__name__], tuple(wrong)


def models(folder: str) -> list[ModuleType]:
    """The models of one of the `PARTS` of the battery."""
    names = sorted(path.stem for path in (HERE / folder).glob("[a-z]*.py"))
    return [importlib.import_module(f"tests.battery.{folder}.{name}") for name in names]


def cases(folder: str) -> Iterator[Case]:
    """Every derivation of a part: the right ones, then the wrong ones of each model."""
    for model in models(folder):
        for right in model.RIGHT:
            yield Case(model, right, None)
        for slip in model.SLIPS:
            function, wrong_lines = spoiled(slip)
            yield Case(model, function, slip, wrong_lines)
