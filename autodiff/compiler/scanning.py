"""`ad.scan`: a loop over steps as one operation, recorded once whatever the number of steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from math import isqrt
from sys import _getframe
from types import FrameType
from typing import Any

import numpy as np

from autodiff.compiler.lazy import NumbersNeededError
from autodiff.compiler.looping import called, loop_of
from autodiff.compiler.pulling import NAME
from autodiff.compiler.steps import Body
from autodiff.compiler.tracing import is_array, native, seen, sketching, traced
from autodiff.errors import OperandError, ShapeError
from autodiff.explain import no_numbers
from autodiff.kinds import select
from autodiff.ops.random import Keys, keys_drawn
from autodiff.ops.shapes import concatenate
from autodiff.record import Leaf, Record
from autodiff.sites import is_ours, locate, outside
from autodiff.state import recording
from autodiff.tensor import Tensor
from autodiff.transforms import require_function
from autodiff.tree import leaves_of, mapped, names_in, rebuilt


def scan(f: Callable[[Any, Any], Any], init: Any, xs: Any = None, *, length: int | None = None, reverse: bool = False,
         checkpoint: int | bool | None = None) -> tuple[Any, Any]:
    """A loop that carries something from step to step: ``carry, y = f(carry, x)`` for each x, the y stacked.

    What this Python loop computes, as one operation on the tape::

        for x in xs:
            carry, y = f(carry, x)
            ys.append(y)
        return carry, np.stack(ys)

    f is called once, on arguments that record, and its program is run for every step; so what it costs to record, and
    to compile in `ad.compile`, does not depend on their number. It is differentiable to any order: the gradient is
    another such loop, through the steps in the other order.

    Parameters
    ----------
    f : callable
        ``f(carry, x)`` returns the next carry, of the same structure, shapes and dtypes, and y. What it reads beside
        these (parameters, arrays) it may use as it likes: gradients reach it.
    init : array_like, or nested dicts, lists and tuples of them
        The first carry.
    xs : the same, optional
        Each step is given the slice of all of these along their first axis.
    length : int, optional
        The number of steps, where there are no xs.
    reverse : bool
        Whether the last step comes first; ys are in the order of xs all the same.
    checkpoint : int or bool, optional
        For the gradient, keep the carry of every k-th step only, and compute the steps between again: less
        memory for one more run of the steps. With True k is about the square root of the number of steps, which
        keeps least.

    Returns
    -------
    carry, ys
        The last carry, and what f returned as y, each leaf with a new first axis.

    Raises
    ------
    OperandError
        If f does not return a pair, or the carry changes its structure or a dtype.
    ShapeError
        If a leaf of the carry changes its shape, or the first axes of xs differ.
    TracedValueError
        If the course of f depends on values (``if x > 0``); np.where chooses by value.

    Notes
    -----
    Random draws, such as `ad.dropout`, are new in every step, and the same as those of the Python loop.
    Names, arguments and meaning follow ``jax.lax.scan``. Keeping every k-th state: Griewank, "Achieving logarithmic
    growth of temporal and spatial complexity in reverse automatic differentiation", Optimization Methods and
    Software 1 (1992).

    Examples
    --------
    >>> def step(total, x):
    ...     total = total + x
    ...     return total, total ** 2
    >>> last, squares = ad.scan(step, 0.0, np.array([1.0, 2.0, 3.0]))
    >>> float(last), squares
    (6.0, array([ 1.,  9., 36.]))
    >>> ad.grad(lambda x: ad.scan(step, 0.0, x)[1].sum())(np.array([1.0, 2.0, 3.0]))
    array([20., 18., 12.])
    """
    require_function(NAME, f)
    if sketching.get():
        raise NumbersNeededError("a step is recorded on numbers")
    init, xs = mapped(given, init), mapped(given, xs)
    n = steps_in(leaves_of(xs), names_in(xs, "xs"), length)
    if checkpoint is None or checkpoint is False or n == 0:
        return looped(f, init, xs, n, reverse, "all", outside(1))
    k: Any = isqrt(n) if checkpoint is True else checkpoint
    if not isinstance(k, int | np.integer) or k < 1:
        raise OperandError(f"{NAME}: checkpoint={checkpoint!r}; it is a number of steps, 1 or more, or True")
    return in_segments(f, init, xs, n, reverse, min(int(k), n), outside(1))


def given(x: Any) -> Any:
    """A leaf of the arguments as a tensor or an array."""
    if isinstance(x, Tensor):
        return x
    array: Any = x if isinstance(x, np.ndarray | np.generic) else np.asarray(x)
    if array.dtype.kind not in "fiubc":
        raise OperandError(f"{NAME}: {no_numbers(x, array.dtype)}")
    return array[()] if not array.ndim else array


def steps_in(xs: list[Any], names: list[str], length: Any) -> int:
    """The number of steps."""
    if length is not None and (not isinstance(length, int | np.integer) or length < 0):
        raise OperandError(f"{NAME}: length={length!r}; it is the number of steps")
    for x, name in zip(xs, names):
        if not np.ndim(value_of(x)):
            raise ShapeError(f"{NAME}: {name} is a single number; each step takes a slice along the first axis of xs. "
                             "What is the same in each step f can read as it is.")
    sizes = {name: len(x) for x, name in zip(xs, names)}
    if length is not None:
        sizes["length"] = int(length)
    if not sizes:
        raise OperandError(f"{NAME}: how many steps? Give xs, or length=")
    if len(set(sizes.values())) > 1:
        raise ShapeError(f"{NAME}: the number of steps is the first axis of every leaf of xs, and they differ: "
                         + ", ".join(f"{name} has {size}" if name != "length" else f"length={size}"
                                     for name, size in sizes.items()))
    return next(iter(sizes.values()))


def value_of(x: Any) -> Any:
    """The array of a leaf."""
    return x.record.value if isinstance(x, Tensor) else x


def in_segments(f: Callable[[Any, Any], Any], init: Any, xs: Any, n: int, reverse: bool, k: int,
                frame: FrameType) -> tuple[Any, Any]:
    """A loop over loops of k steps, of which only the carries between are kept; what is left over comes last."""
    rest = n % k
    first = slice(rest, n) if reverse else slice(0, n - rest)
    last = slice(0, rest) if reverse else slice(n - rest, n)

    @wraps(f)
    def segment(carry: Any, x: Any) -> Any:
        return looped(f, carry, x, k, reverse, "all", frame)

    whole = mapped(lambda x: np.reshape(x[first], (n // k, k, *np.shape(value_of(x))[1:])), xs)
    carry, ys = looped(segment, init, whole, n // k, reverse, "carry", frame)
    ys = mapped(lambda y: np.reshape(y, (n - rest, *np.shape(value_of(y))[2:])), ys)
    if not rest:
        return carry, ys
    carry, more = looped(f, carry, mapped(lambda x: x[last], xs), rest, reverse, "all", frame)
    return carry, mapped(lambda a, b: concatenate(*((b, a) if reverse else (a, b)), axis=0), ys, more)


def looped(f: Callable[[Any, Any], Any], init: Any, xs: Any, n: int, reverse: bool, keep: str,
           frame: FrameType) -> tuple[Any, Any]:
    """The loop as one record."""
    carry, stacks = leaves_of(init), leaves_of(xs)
    first = -1 if reverse else 0
    example = rebuilt((init, xs), [*[value_of(c).copy() for c in carry], *[one_of(value_of(x), first) for x in stacks]])
    step = Step(f, init)
    trace = traced(step, example, {}, is_array, NAME)
    like = [r.value for r in step.outputs]
    outputs = list(trace.program.outputs.values())
    outputs = [outputs[y.number] for y in trace.result]
    live = [r for r in trace.program.records if r in trace.captured]
    body = Body(outputs, trace.inputs[:len(carry)], trace.inputs[len(carry):], live, len(outputs) - len(carry), like,
                trace.keys)
    operands = [*carry, *stacks, *[operand(trace.captured[r]) for r in live]]
    wanted = tuple(isinstance(t, Tensor) and t.record.requires_grad for t in operands)
    if not (recording.get() and any(wanted)):
        keep = ""
    else:
        refuse_complex(body, operands, step.names)
    loop = loop_of(body, wanted, native.get(), keep)
    keys = drawn(trace.keys, n, reverse) if trace.keys else None
    results = loop(*operands, _frame=frame, **called(n, reverse, keys))
    results = [y if i in loop.linked else cut(y) for i, y in enumerate(results[:len(outputs)])]
    for y, name in zip(results, step.names):
        if isinstance(y, Tensor) and name:
            y.named(name)
    return rebuilt(init, results[:len(carry)]), rebuilt(step.y, results[len(carry):])


def one_of(x: Any, i: int) -> Any:
    """A copy of one step's slice, which f cannot meet elsewhere; of no steps, zeros."""
    return x[i].copy() if len(x) else np.zeros_like(x, shape=np.shape(x)[1:])[()]


def operand(held: Record) -> Any:
    """What a step reads beside its arguments, as an operand: a plain array where it was one."""
    plain = held.op is None and not held.requires_grad and is_ours(held.code)
    return held.value if plain else Tensor.of(held)


def drawn(keys: list[Any], n: int, reverse: bool) -> Keys:
    """The keys of all steps: the first step's, and new draws; without steps nothing was drawn."""
    if not n:
        for key in reversed(keys):
            key.undo()
        return Keys()
    found = Keys.of([tuple(keys), *[tuple(key.again() for key in keys) for _ in range(n - 1)]], reverse)
    outer = keys_drawn.get()
    if outer is not None:
        del outer[len(outer) - (n - 1) * len(keys):]
        outer.append(found)
    return found


def cut(y: Any) -> Any:
    """A result without a gradient, such as a counter, on the tape all the same."""
    if not isinstance(y, Tensor) or not y.record.requires_grad:
        return y
    r = y.record
    made = Record(select, r.inputs, r.options, r.value, False, _getframe(), r.scope, None)
    made.code, made.lasti = r.code, r.lasti
    return Tensor.of(made)


def refuse_complex(body: Body, operands: list[Any], names: list[str]) -> None:
    """Raise where a gradient would have to go through a complex carry, or into something complex."""
    for i, (r, x) in enumerate(zip(body.leaves, operands)):
        if r.value.dtype.kind == "c" and (i < len(body.carry) or (isinstance(x, Tensor) and x.record.requires_grad)):
            raise OperandError(f"{NAME}: {r.name or 'an operand'} is complex, and gradients go through real numbers "
                               "only. Give the real and imaginary parts as two leaves.")


class Step:
    """The function of a step, with a look at what it returns.

    Attributes
    ----------
    outputs : list of Record
        The leaves of the next carry, then of y.
    names : list of str
        What the results are called, "" where their line says it.
    y : nested structure
        What f returned as y.
    """

    def __init__(self, f: Callable[[Any, Any], Any], init: Any) -> None:
        self.__wrapped__, self.f, self.init = f, f, init

    def __call__(self, carry: Any, x: Any) -> list[Tensor]:
        """The leaves of what f returns, all of them tensors."""
        result = self.f(carry, x)
        if not (isinstance(result, tuple) and len(result) == 2):
            got = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
            raise OperandError(f"{NAME}: f must return (carry, y), and returned {got}.{self.place}\n  Where nothing is "
                               "to be stacked, return (carry, None).")
        after, self.y = result
        if layout(after) != layout(self.init):
            raise OperandError(f"{NAME}: the carry must keep its structure; it was {shown(self.init)}, and f made it "
                               f"{shown(after)}.{self.place}")
        leaves = [recorded_leaf(y) for y in (*leaves_of(after), *leaves_of(self.y))]
        self.outputs = [t.record for t in leaves]
        names = names_in(self.init, "carry")
        for name, x0, t in zip(names, leaves_of(self.init), leaves):
            self.compare(name, value_of(x0), t)
        many, stacked = len(names) > 1, names_in(self.y, "ys")
        self.names = [name if many else "" for name in names] + [
            name if many or len(stacked) > 1 or not names else "" for name in stacked]
        return leaves

    @property
    def place(self) -> str:
        """Where f is written."""
        code = getattr(self.f, "__code__", None)
        return f"\n  f is {self.f.__name__}, {locate(code, 0)}" if code else ""

    def compare(self, name: str, before: Any, after: Tensor) -> None:
        """Raise if a leaf of the carry changed its shape or dtype."""
        was, became = (f"{np.shape(v)} {v.dtype}" for v in (before, after.record.value))
        if was == became:
            return
        r = after.record
        site = locate(r.code, r.lasti)
        line = self.place if is_ours(r.code) else f"\n  made at {site}: {site.text}"
        if np.shape(before) != after.shape:
            raise ShapeError(f"{NAME}: {name}, a leaf of the carry, was {was} and became {became}; each step must get "
                             f"what the one before it got.{line}\n  Is init of the right shape, with an axis for the "
                             "samples?")
        if before.dtype.kind in "iub" and after.dtype.kind == "f":
            advice = "init is an integer: give it as floating-point numbers, such as 0.0"
        else:
            advice = f"Give init as {after.dtype}, or return it .astype({before.dtype})"
        raise OperandError(f"{NAME}: {name}, a leaf of the carry, was {was} and became {became}.{line}\n  {advice}.")


def recorded_leaf(y: Any) -> Tensor:
    """A leaf of a result as a tensor on the tape."""
    return y if isinstance(y, Tensor) else Tensor.of(seen(Leaf(given(y), False, _getframe())))


def layout(tree: Any) -> Any:
    """The structure alone."""
    if isinstance(tree, dict):
        return type(tree), tuple((key, layout(value)) for key, value in tree.items())
    if isinstance(tree, list | tuple):
        return type(tree), tuple(map(layout, tree))
    return tree is None


def shown(tree: Any) -> str:
    """The structure as text: shapes in place of arrays."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {shown(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list | tuple):
        inner = ", ".join(map(shown, tree)) + ("," if isinstance(tree, tuple) and len(tree) == 1 else "")
        return f"[{inner}]" if isinstance(tree, list) else f"({inner})"
    return "None" if tree is None else f"array{np.shape(value_of(tree))}"
