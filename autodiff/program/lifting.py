"""A tape whose plain arrays are inputs too, so that whatever a rule does with them is recorded.

On a user's tape a plain array is an operand like a number: `1 - y` of an array y was never seen, only its result. Here
each such array becomes a leaf, named as the user's line names it, and what the line computed from named arrays
(``x.T``, ``1 - y``) becomes records, if that gives the operand to the last bit. Operations see an alias of such a leaf,
which is a result like any other: what is computed from it alone is recorded too, though no gradient flows.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from sys import _getframe
from typing import Any

import numpy as np

from autodiff.leaks import root
from autodiff.ops.elementary import alias
from autodiff.ops.indexing import getitem
from autodiff.record import NO_OPTIONS, Leaf, Record
from autodiff.tape import Tape
from autodiff.tensor import Tensor

ARITHMETIC = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Name, ast.Load, ast.Constant,
              ast.Subscript, ast.Slice, ast.Tuple)


@dataclass
class Lifted:
    """A tape with every array an input.

    Attributes
    ----------
    loss : Record
        The copy of the output.
    copies : dict of Record to Record
        From each record of the user's tape to its copy.
    arrays : dict of Record to str
        The leaves made for plain arrays, with the name of the user's variable; "" where there is none.
    aliases : dict of Record to Record
        From the alias of each input that no gradient flows to, to its leaf.
    """

    loss: Record
    copies: dict[Record, Record] = field(default_factory=dict)
    arrays: dict[Record, str] = field(default_factory=dict)
    aliases: dict[Record, Record] = field(default_factory=dict)


def lifted(tape: Tape) -> Lifted:
    """Copy the tape of one output, with its plain arrays as leaves.

    Values are shared, places in the user's code kept.
    """
    frame = _getframe()
    found = Arrays(tape)
    result = Lifted(tape.outputs[0], arrays=found.leaves, aliases=found.aliases)
    seen: dict[Record, Record] = {}               # what operations see of each record
    for r in tape.all:
        if r.op is None:
            copy: Record = Leaf(r.value, r.requires_grad, frame)
        else:
            inputs = tuple(seen[x] if isinstance(x, Record) else found.operand(x, text)
                           for x, text in zip(r.inputs, r.written))
            copy = Record(r.op, inputs, r.options, r.value, r.requires_grad, frame, r.scope, None)
        copy.code, copy.lasti, copy.leaks, copy.label = r.code, r.lasti, r.leaks, r.label
        result.copies[r] = copy
        seen[r] = copy if r.op is not None or r.requires_grad else found.alias(copy)
    result.loss = result.copies[tape.outputs[0]]
    return result


class Arrays:
    """The plain arrays of a tape, each one leaf."""

    def __init__(self, tape: Tape) -> None:
        self.named: dict[str, list[Record]] = {}
        self.unnamed: list[Record] = []
        self.leaves: dict[Record, str] = {}
        self.aliases: dict[Record, Record] = {}
        for r in tape:
            for x, text in zip(r.inputs, r.written):
                if isinstance(x, np.ndarray) and x.ndim:
                    name, transposed = (text[:-2], True) if text.endswith(".T") else (text, False)
                    if name.isidentifier():
                        self.leaf(x.T if transposed else x, name)

    def operand(self, x: Any, text: str) -> Any:
        """What stands for an operand: numbers for themselves, for an array the record that gives it."""
        if not isinstance(x, np.ndarray):
            return x
        if not x.ndim:
            return x[()]
        if text.isidentifier():
            return self.leaf(x, text)
        for name in (name for name in sorted(self.named) if name in text):
            for known in self.named[name]:
                if known.value is x:
                    return known
        return self.part(x, text) or self.computed(x, text) or self.leaf(x, "")

    def leaf(self, x: Any, name: str) -> Record:
        """What operations see of an array, one for all its occurrences under a name."""
        known = self.named.setdefault(name, []) if name else self.unnamed
        for other in known:
            if other.value is x or (name and same(other.value, x)):
                return other
        leaf = Leaf(x, False, _getframe(), name or None)
        self.leaves[leaf] = name
        known.append(self.alias(leaf))
        return known[-1]

    def alias(self, leaf: Record) -> Record:
        """An alias of a leaf: a result, of which no gradient is wanted."""
        made = Record(alias, (leaf,), NO_OPTIONS, leaf.value, False, _getframe(), None, None)
        made.label = leaf.name
        self.aliases[made] = leaf
        return made

    def part(self, x: Any, text: str) -> Record | None:
        """The record of a part of an array, ``xs[t]`` for whatever t was, if the operand is a view of one."""
        name, bracket, _ = text.partition("[")
        base = root(x)
        if not bracket or not name.isidentifier() or base is x:
            return None
        if name in self.named and [alias.value is base for alias in self.named[name]] != [True]:
            return None
        index = index_of(x, base)
        return None if index is None else getitem(Tensor.of(self.leaf(base, name)), index).record

    def computed(self, x: Any, text: str) -> Record | None:
        """The record of a user's expression in named arrays, if it gives this operand to the last bit."""
        tree = parsed(text)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} if tree else set()
        if tree is None or not names or any(len(self.named.get(name, ())) != 1 for name in names):
            return None
        code = compile(tree, "<expression>", "eval")
        leaves = {name: self.named[name][0] for name in names}
        try:
            with np.errstate(all="ignore"):
                value = eval(code, {"__builtins__": {}}, {name: leaf.value for name, leaf in leaves.items()})
                if not same(value, x):
                    return None
                result = eval(code, {"__builtins__": {}}, {name: Tensor.of(leaf) for name, leaf in leaves.items()})
        except Exception:               # a text that only looks like the operand
            return None
        record: Record = result.record
        return record


def index_of(view: Any, base: Any) -> Any:
    """The index of integers and slices that gives this view of an array; None if none does."""
    if not base.size or 0 in base.strides or not view.size:
        return None
    offset = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    starts = [0] * base.ndim
    for k in sorted(range(base.ndim), key=lambda k: -abs(base.strides[k])):
        starts[k], offset = divmod(offset, base.strides[k])
    index: list[Any] = list(starts)
    left = list(range(view.ndim))
    for k in range(base.ndim):
        if left and view.strides[left[0]] % base.strides[k] == 0:
            step, n = view.strides[left[0]] // base.strides[k], view.shape[left[0]]
            stop = starts[k] + step * n
            if step > 0 and starts[k] + step * (n - 1) < base.shape[k] and len(left) <= base.ndim - k:
                if starts[k] == 0 and step == 1 and n == base.shape[k]:
                    index[k] = slice(None)
                else:
                    index[k] = slice(starts[k], stop) if step == 1 else slice(starts[k], stop, step)
                left.pop(0)
    found = base[tuple(index)] if all(0 <= i < n for i, n in zip(starts, base.shape)) else None
    right = isinstance(found, np.ndarray) and not left and found.shape == view.shape and found.strides == view.strides \
        and found.__array_interface__["data"] == view.__array_interface__["data"]
    if not right:
        return None
    while index and index[-1] == slice(None):
        index.pop()
    return tuple(index) if len(index) != 1 else index[0]


def parsed(text: str) -> ast.Expression | None:
    """A user's expression, if it is arithmetic, look-ups by number and transposes, and nothing else."""
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        return None
    plain = all(isinstance(node, ARITHMETIC) or (isinstance(node, ast.Attribute) and node.attr == "T")
                for node in ast.walk(tree))
    return tree if plain else None


def same(a: Any, b: Any) -> bool:
    """Whether two arrays hold the same, to the last bit; one NaN is as good as another."""
    if not isinstance(a, np.ndarray) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f":
        return bool(a.tobytes() == b.tobytes())
    return np.array_equal(a, b, equal_nan=True) and bool(np.all((np.signbit(a) == np.signbit(b)) | np.isnan(a)))
