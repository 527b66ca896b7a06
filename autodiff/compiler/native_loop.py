"""A loop of tiny steps as one native function: every operation a loop over elements, every view an index.

Where a step is a few operations on a few numbers, nearly all its time goes into calls. Here none is left. Products are
plain loops, so it is for small steps alone (`SMALL`); whatever has no native form leaves the loop in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import prod
from typing import Any

import numpy as np

from autodiff.compiler.loop_text import LOGICAL, SCALARS
from autodiff.compiler.steps import Body
from autodiff.ops import arithmetic, indexing, products, reductions, shapes
from autodiff.ops import elementary as e
from autodiff.program.passes import Program, full, shape_of, value_of
from autodiff.record import Record

SMALL = 4_000                 # multiply-adds and elements of a step, above which BLAS and vectors are worth their calls
TYPES = {"f": "float32", "d": "float64", "?": "boolean", "l": "int64", "i": "int32"}
FRACTIONAL = (np.floor, np.ceil, np.sign, np.reciprocal)        # what has another meaning for integers


class NoNativeFormError(Exception):
    """An operation that has no native form here."""


@dataclass(frozen=True)
class View:
    """Where elements lie: in a flat array, from an offset on, so far apart along each axis; or a local number."""

    name: str
    offset: str = ""
    strides: tuple[int, ...] | None = None

    def at(self, index: Sequence[str], shape: tuple[int, ...]) -> str:
        """The text of an element; an index longer than the shape is broadcast."""
        if self.strides is None:
            return self.name
        index = index[len(index) - len(shape):]
        terms = [self.offset] if self.offset else []
        terms += [f"{i} * {s}" for i, s, n in zip(index, self.strides, shape) if s and n > 1]
        return f"{self.name}[{' + '.join(terms) or '0'}]"


class NativeLoop:
    """The text of a loop over a step.

    Parameters
    ----------
    body : Body
        The step.
    program : Program
        Its program, optimised for native code.
    """

    def __init__(self, body: Body, program: Program) -> None:
        self.body = body
        self.views: dict[Record, View] = {}
        self.buffers: dict[str, Any] = {}                  # by name: memory of its own, like this
        self.lines: list[str] = []
        self.constants: dict[str, str] = {}
        self.work = 0
        self.counted = 0
        k, m = len(body.carry), len(body.xs)
        self.leaves = [f"u{i}" for i in range(len(body.leaves))]
        for i, r in enumerate(body.leaves):
            offset = f"t * {np.size(r.value)}" if k <= i < k + m else ""
            self.views[r] = View(self.leaves[i], offset, packed(shape_of(r)))
        for r in program.records:
            if r not in self.views:
                self.add(r)
        outputs = list(program.outputs.values())
        self.results = [f"r{i}" for i in range(k, len(outputs))]
        for i, (y, like) in enumerate(zip(outputs[k:], body.like[k:]), k):
            summing = i >= body.sums
            target = View(f"r{i}", "" if summing else f"t * {np.size(like)}", packed(np.shape(like)))
            self.store(target, y, like, "+=" if summing else "=")
        nexts = [View(self.buffer(like), "", packed(np.shape(like))) for like in body.like[:k]]
        for view, y, like in zip(nexts, outputs, body.like):
            self.store(view, y, like)
        for i, (view, like) in enumerate(zip(nexts, body.like)):
            self.moved(view, View(self.leaves[i], "", packed(np.shape(like))), np.shape(like))
        if self.work > SMALL:
            raise NoNativeFormError("it is too large")

    # ---- operations

    def add(self, r: Record) -> None:
        """Write one operation."""
        if r.op is None or isinstance(r.value, tuple) or r.value.dtype.char not in TYPES:
            raise NoNativeFormError("something else than arrays")
        if full(r) is not None:
            return
        view = self.view_of(r)
        if view is not None:
            self.views[r] = view
        elif r.op is products.matmul:
            self.product(r)
        elif r.op in (reductions.sum_, shapes.sum_to):
            self.total(r)
        elif r.op is indexing.scatter:
            self.scattered(r)
        elif r.op.forward in SCALARS and set(r.options) <= {"dtype"}:
            self.elementwise(r)
        else:
            raise NoNativeFormError(r.op.name)

    def view_of(self, r: Record) -> View | None:
        """An operation that only arranges, as a view of its operand."""
        x = r.inputs[0] if r.inputs else None
        if not isinstance(x, Record) or x not in self.views:
            return None
        view, shape = self.views[x], shape_of(x)
        if r.op is e.alias:
            return view
        if view.strides is None:
            return view if r.op in (shapes.reshape, shapes.expand_dims, shapes.squeeze) else None
        if r.op is indexing.item:
            return arranged(view, shape, lambda a: a[whole_index(r.options["index"])])
        if r.op in (shapes.transpose, shapes.swapaxes, shapes.broadcast_to):
            return arranged(view, shape, lambda a: r.op.forward(a, **r.options))        # type: ignore[union-attr]
        if r.op in (shapes.reshape, shapes.expand_dims, shapes.squeeze):
            if view.strides != packed(shape):                           # a copy, row by row
                source, view = view, View(self.buffer(x.value), "", packed(shape))
                self.moved(source, view, shape)
            return View(view.name, view.offset, packed(shape_of(r)))
        return None

    def elementwise(self, r: Record) -> None:
        """An operation on each element."""
        assert r.op is not None
        f, result = r.op.forward, r.value.dtype
        common = result if result.kind == "f" else np.result_type(*map(value_of, r.inputs))
        if result.kind not in "fb" and (f in LOGICAL or f in FRACTIONAL):
            raise NoNativeFormError(r.op.name)
        text = SCALARS[f].replace("one", self.constant(1, common)) if f is np.reciprocal else SCALARS[f]
        wanted = [np.dtype(bool) if f in LOGICAL or (f is arithmetic.where.forward and i == 0) else common
                  for i in range(len(r.inputs))]
        self.define(r, lambda at: text.format(*(self.element(x, at, dtype) for x, dtype in zip(r.inputs, wanted))))

    def product(self, r: Record) -> None:
        """A product of matrices and vectors."""
        a, b = r.inputs
        fitting = [x in self.views and 1 <= np.ndim(x.value) <= 2 and x.value.dtype == r.value.dtype for x in (a, b)]
        if not all(fitting) or r.value.dtype.kind != "f":
            raise NoNativeFormError("matmul")
        self.work += np.size(r.value) * shape_of(a)[-1]
        left, right, s = self.views[a], self.views[b], self.fresh("s")

        def lines(at: Sequence[str], target: str) -> list[str]:
            i = [at[0]] if np.ndim(a.value) == 2 else []
            j = [at[-1]] if np.ndim(b.value) == 2 else []
            return [f"{s} = {self.constant(0, r.value.dtype)}", f"for k in range({shape_of(a)[-1]}):",
                    f"    {s} += {left.at([*i, 'k'], shape_of(a))} * {right.at(['k', *j], shape_of(b))}",
                    f"{target} = {s}"]

        self.define_by(r, lines)

    def total(self, r: Record) -> None:
        """A sum over some axes."""
        x = r.inputs[0]
        if r.value.dtype.kind != "f" or x not in self.views or x.value.dtype != r.value.dtype:
            raise NoNativeFormError("sum")
        shape = shape_of(x)
        if r.op is shapes.sum_to:
            lead = len(shape) - np.ndim(r.value)
            axes = {i for i, n in enumerate(shape) if i < lead or (shape_of(r)[i - lead] == 1 != n)}
            kept = [i for i in range(len(shape)) if i >= lead]
        else:
            axis = r.options.get("axis")
            given = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
            axes = {i % len(shape) for i in given}
            kept = [i for i in range(len(shape)) if i not in axes or r.options.get("keepdims")]
        self.work += prod(shape)
        view, s = self.views[x], self.fresh("s")

        def lines(at: Sequence[str], target: str) -> list[str]:
            place = dict(zip(kept, at))
            index = [f"k{i}" if i in axes else place[i] for i in range(len(shape))]
            found, pad = [f"{s} = {self.constant(0, r.value.dtype)}"], ""
            for i in sorted(axes):
                found.append(f"{pad}for k{i} in range({shape[i]}):")
                pad += "    "
            return [*found, f"{pad}{s} += {view.at(index, shape)}", f"{target} = {s}"]

        self.define_by(r, lines)

    def scattered(self, r: Record) -> None:
        """Values added in at their places."""
        indices = r.options["indices"]
        if len(r.inputs) > len(indices) or not np.ndim(r.value):
            raise NoNativeFormError("scatter")
        self.define(r, lambda at: self.constant(0, r.value.dtype))
        for x, (index, _) in zip(r.inputs, indices):
            shape = np.shape(np.empty(shape_of(r), np.int8)[index])
            target = arranged(self.views[r], shape_of(r), lambda a, index=index: a[whole_index(index)])   # type: ignore[misc]
            self.over(shape, lambda at, x=x, target=target, shape=shape: [                                # type: ignore[misc]
                f"{target.at(at, shape)} += {self.element(x, at, r.value.dtype)}"])

    # ---- text

    def define(self, r: Record, value: Callable[[Sequence[str]], str]) -> None:
        """A result, element by element."""
        self.define_by(r, lambda at, target: [f"{target} = {value(at)}"])

    def define_by(self, r: Record, lines: Callable[[Sequence[str], str], list[str]]) -> None:
        """A result by the lines that give an element."""
        shape = shape_of(r)
        self.work += prod(shape)
        if not shape:
            name = self.fresh("v")
            self.lines += lines((), name)
            self.views[r] = View(name)
            return
        view = self.views[r] = View(self.buffer(r.value), "", packed(shape))
        self.over(shape, lambda at: lines(at, view.at(at, shape)))

    def store(self, target: View, y: Any, like: Any, sign: str = "=") -> None:
        """Lines that put an output where it goes."""
        shape = np.shape(like)
        self.over(shape, lambda at: [f"{target.at(at, shape)} {sign} {self.element(y, at, like.dtype)}"])

    def moved(self, source: View, target: View, shape: tuple[int, ...]) -> None:
        """Lines that copy."""
        self.over(shape, lambda at: [f"{target.at(at, shape)} = {source.at(at, shape)}"])

    def over(self, shape: tuple[int, ...], lines: Callable[[Sequence[str]], Iterable[str]]) -> None:
        """Lines for each index of a shape."""
        at = [f"i{n}" for n in range(len(shape))]
        for n, size in enumerate(shape):
            self.lines.append(f"{'    ' * n}for i{n} in range({size}):")
        self.lines += ["    " * len(shape) + line for line in lines(at)]

    def element(self, x: Any, at: Sequence[str], dtype: Any) -> str:
        """The text of an operand's element, in a dtype."""
        number = full(x) if isinstance(x, Record) else x
        if not isinstance(x, Record) or number is not None:
            return self.constant(number, dtype)
        text = self.views[x].at(at, shape_of(x))
        if x.value.dtype == dtype:
            return text
        return f"np.{dtype.name}({text})" if dtype.kind != "b" else f"({text} != 0)"

    def constant(self, x: Any, dtype: Any) -> str:
        """A number of a dtype, by a name."""
        if np.ndim(x) or isinstance(x, complex):
            raise NoNativeFormError("a number is none")
        number = dtype.type(x).item()
        plain = repr(number) if np.isfinite(number) else f"float({str(number)!r})"
        text = plain if dtype.kind == "b" else f"np.{dtype.name}({plain})"
        return self.constants.setdefault(text, f"n{len(self.constants)}")

    def buffer(self, like: Any) -> str:
        """The name of memory of its own."""
        name = self.fresh("b")
        self.buffers[name] = like
        return name

    def fresh(self, letter: str) -> str:
        """A new name."""
        self.counted += 1
        return f"{letter}{self.counted}"

    @property
    def text(self) -> str:
        """The function."""
        constants = [f"{name} = {text}" for text, name in self.constants.items()]
        lines = [f"def steps(length, reverse, {', '.join([*self.leaves, *self.results, *self.buffers])}):",
                 "    for turn in range(length):",
                 "        t = length - 1 - turn if reverse else turn", *(f"        {line}" for line in self.lines)]
        return "\n".join([*constants, "", *lines])

    def built(self) -> Callable[..., None]:
        """The function, compiled; its buffers are its own."""
        buffers = [(max(np.size(like), 1), like.dtype) for like in self.buffers.values()]
        dtypes = [*[v.dtype for v in (*[r.value for r in self.body.leaves], *self.body.like[len(self.body.carry):])],
                  *[dtype for _, dtype in buffers]]
        cache = import_module("autodiff.compiler.cache")
        source = f"import math\n\nimport numpy as np\n{cache.PRELUDE}\n\n{self.text}\n"
        signature = f"void({', '.join(['int64', 'boolean', *(f'{TYPES[dtype.char]}[::1]' for dtype in dtypes)])})"
        steps: Callable[..., None] = cache.built(source, {"steps": signature})["steps"]
        return lambda *arguments: steps(*arguments, *[np.empty(n, dtype) for n, dtype in buffers])


def arranged(view: View, shape: tuple[int, ...], f: Callable[[Any], Any]) -> View:
    """A view of a view: NumPy is asked, on bytes, whose strides are those of elements."""
    assert view.strides is not None
    extent = sum((n - 1) * s for n, s in zip(shape, view.strides)) + 1
    shown = np.lib.stride_tricks.as_strided(np.zeros(max(extent, 1), np.int8), shape, view.strides)
    found = f(shown)
    moved = found.__array_interface__["data"][0] - shown.__array_interface__["data"][0]
    offset = " + ".join(text for text in (view.offset, str(moved) if moved else "") if text)
    return View(view.name, offset, tuple(found.strides))


def whole_index(index: Any) -> Any:
    """An index that gives an array even of one element."""
    index = index if isinstance(index, tuple) else (index,)
    return index if Ellipsis in index else (*index, Ellipsis)


def packed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How far elements are apart that lie row by row."""
    return tuple(prod(shape[i + 1:]) for i in range(len(shape)))


def native_loop(body: Body, program: Program) -> NativeLoop | None:
    """The loop as one native function; None where its step is too large, or has no native form."""
    if body.keys or any(v.dtype.char not in TYPES for v in (*[r.value for r in body.leaves], *body.like)):
        return None
    try:
        return NativeLoop(body, program)
    except NoNativeFormError:
        return None
