"""Arrays whose numbers are computed when somebody looks: what a function is traced on.

A trace needs shapes and dtypes; to compute what a large training step computes only to forget it would take as long as
several steps, and many times the memory. A `Lazy` array offers NumPy's protocols, and notes the call: calls in the
tables below are pure, and their shape follows from their operands'. For any other its numbers are computed, as NumPy
would have, and NumPy goes on with those. The same call on the same operands is the same object, so whether two ways
compute the same, to the last bit, can be told without computing either.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from autodiff.compiler.layouts import empty, kind, layout
from autodiff.errors import TracedValueError
from autodiff.program.passes import full
from autodiff.record import Record

Array = np.ndarray[Any, Any]
Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def cast(x: Any, dtype: Any) -> Any:
    """A copy in a dtype."""
    return x.astype(dtype)


def copied(x: Any) -> Any:
    """A copy, row by row."""
    return x.copy()


# Python's operators, and the ufuncs that give the same bits.
SPELLED: dict[Any, Callable[..., Any]] = {
    np.add: operator.add, np.subtract: operator.sub, np.multiply: operator.mul, np.true_divide: operator.truediv,
    np.negative: operator.neg, np.absolute: operator.abs, np.matmul: operator.matmul, np.less: operator.lt,
    np.less_equal: operator.le, np.greater: operator.gt, np.greater_equal: operator.ge, np.equal: operator.eq,
    np.not_equal: operator.ne}
ELEMENTWISE = frozenset(SPELLED.values()) - {operator.matmul} | {
    operator.pow, operator.mod, operator.floordiv, operator.and_, operator.or_, operator.xor, operator.invert, np.where,
    np.copy, copied, cast}
# NumPy's functions, and the ufuncs' methods that they call.
TOTALS: dict[Any, Callable[..., Any]] = {
    **{f: f for f in (np.add.reduce, np.maximum.reduce, np.minimum.reduce)},
    np.sum: np.add.reduce, np.max: np.maximum.reduce, np.min: np.minimum.reduce}
# Of these the shape depends on that of the first operand, and on the numbers of others that are whole: indices.
SHAPED = frozenset((
    operator.getitem, np.reshape, np.transpose, np.swapaxes, np.moveaxis, np.expand_dims, np.squeeze, np.broadcast_to,
    np.ravel, np.flip, np.concatenate, np.stack, np.take_along_axis, np.mean, np.argmax, np.argmin, np.cumsum,
    *TOTALS))
ABOUT = frozenset((np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.may_share_memory, np.shares_memory,
                   np.iscomplexobj, np.isrealobj))
MAKERS = frozenset((np.zeros_like, np.empty_like, np.ones_like, np.full_like))
WRITERS = frozenset((np.copyto, np.put, np.put_along_axis, np.place, np.putmask, np.fill_diagonal))


class NumbersNeededError(TypeError):
    """Something asks for more than an array that is not computed yet can do, such as to be written to."""


@dataclass(eq=False)
class Sketch:
    """A recording without numbers; once it is over there are none to be had: they would be those of another moment."""

    over: bool = False


class Lazy:
    """An array that is not computed yet.

    Attributes
    ----------
    like : array or NumPy scalar
        Its shape, dtype and strides, and what it is a view of; the numbers are anybody's guess.
    call : tuple, optional
        The function, the operands and the keywords that give it.
    known : array, optional
        Its numbers, once computed.
    sketch : Sketch
        The recording it belongs to.
    """

    __slots__ = ("__weakref__", "call", "known", "like", "sketch")
    __hash__ = object.__hash__

    def __init__(self, like: Any, call: Call | None, sketch: Sketch, known: Any = None) -> None:
        self.like, self.call, self.sketch, self.known = like, call, sketch, known

    # ---- NumPy's protocols

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(computed(self), dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **keywords: Any) -> Any:
        if out is not None or method == "at":
            if any(isinstance(x, Lazy) for x in out or inputs[:1]):
                raise NumbersNeededError(f"np.{ufunc.__name__} was to write to what is not computed yet")
            keywords |= {"out": out} if out is not None else {}
            return getattr(ufunc, method)(*numbers(inputs), **keywords)
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return called(SPELLED.get(function, function), inputs, keywords)

    def __array_function__(self, function: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...],
                           keywords: dict[str, Any]) -> Any:
        if function in ABOUT:
            return function(*mapped(like_of, args), **mapped(like_of, keywords))
        if function in MAKERS:
            return function(mapped(like_of, args[0]), *numbers(args[1:]), **numbers(keywords))
        if isinstance(keywords.get("out", args[0] if function in WRITERS else None), Lazy):
            raise NumbersNeededError(f"np.{function.__name__} was to write to what is not computed yet")
        return called(function, args, keywords)

    # ---- what an array says of itself

    shape = property(lambda self: self.like.shape)
    dtype = property(lambda self: self.like.dtype)
    ndim = property(lambda self: self.like.ndim)
    size = property(lambda self: self.like.size)
    itemsize = property(lambda self: self.like.itemsize)
    nbytes = property(lambda self: self.like.nbytes)
    strides = property(lambda self: self.like.strides)
    flags = property(lambda self: self.like.flags)
    T = property(lambda self: called(np.transpose, (self,), {}))

    def reshape(self, *shape: Any) -> Any:
        """As ndarray.reshape."""
        return called(np.reshape, (self, shape[0] if len(shape) == 1 else shape), {})

    def transpose(self, *axes: Any) -> Any:
        """As ndarray.transpose."""
        return called(np.transpose, (self, (axes[0] if len(axes) == 1 else axes) or None), {})

    def astype(self, dtype: Any) -> Any:
        """As ndarray.astype."""
        return called(cast, (self, np.dtype(dtype)), {})

    def copy(self) -> Any:
        """As ndarray.copy."""
        return called(copied, (self,), {})

    def dot(self, other: Any) -> Any:
        """As ndarray.dot."""
        return called(np.dot, (self, other), {})

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """As ndarray.sum."""
        return called(np.sum, (self,), {"axis": axis, "keepdims": keepdims})

    def all(self) -> Any:
        """As ndarray.all."""
        return computed(self).all()

    def __getitem__(self, index: Any) -> Any:
        return called(operator.getitem, (self, index), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        raise NumbersNeededError("what is not computed yet was to be written to")

    def item(self) -> Any:
        """As ndarray.item."""
        return computed(self).item()

    def tolist(self) -> Any:
        """As ndarray.tolist."""
        return computed(self).tolist()

    def __len__(self) -> int:
        return len(self.like)

    def __float__(self) -> float:
        return float(computed(self))

    def __bool__(self) -> bool:
        return bool(computed(self))

    def __str__(self) -> str:
        return str(computed(self))

    def __repr__(self) -> str:
        return f"<Lazy {self.shape} {self.dtype}>"


def refused(self: Lazy, other: Any) -> Any:
    """What ``x += y`` comes to: other names of x would have to change, too."""
    raise NumbersNeededError("what is not computed yet was to be written to")


def spelled(name: str, function: Callable[..., Any]) -> None:
    """An operator, from both sides and in place."""
    unary = name in ("neg", "abs", "invert")
    setattr(Lazy, f"__{name}__", (lambda self: called(function, (self,), {})) if unary else
            (lambda self, other: called(function, (self, other), {})))
    setattr(Lazy, f"__r{name}__", lambda self, other: called(function, (other, self), {}))
    setattr(Lazy, f"__i{name}__", refused)


for operator_name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "neg",
                      "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne"):
    spelled(operator_name, getattr(operator, f"__{operator_name}__"))


# ---- calls

made: WeakValueDictionary[Any, Lazy] = WeakValueDictionary()              # by the call, while they are in use


def lazy(x: Any, sketch: Sketch) -> Any:
    """An array as one that is looked at when its numbers are needed; class numbers and masks are small, and stay."""
    return Lazy(x, None, sketch, x) if isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "fc" else x


def called(function: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """What a call gives: another lazy array if its shape can be told, else the array itself."""
    function, args, keywords = canonical(function, args, keywords)
    plain = isinstance(function, np.ufunc) and function.nout == 1 and function.signature is None
    ruled = not keywords and (plain or function in ELEMENTWISE or function is operator.matmul)
    if not ruled and (function not in SHAPED or not keywords.keys() <= {"axis", "keepdims"}):
        return function(*numbers(args), **numbers(keywords))
    if function is operator.getitem and is_whole(*args):
        return args[0]
    found = made.get(key := (function, identity(args), identity(keywords)))
    if found is None:
        if ruled:
            like = empty(*layout(function, tuple(kind(x.like if isinstance(x, Lazy) else x) for x in args)))
        else:
            with np.errstate(all="ignore"):
                like = function(mapped(like_of, args[0]), *likes(args[1:]), **keywords)
            if function is not np.reshape and same_order(args[0], like):
                return called(np.reshape, (args[0], like.shape), {})
        found = made[key] = Lazy(like, (function, args, keywords), first_of(args).sketch)
    return found


def first_of(args: tuple[Any, ...]) -> Lazy:
    """The first lazy array among operands."""
    found: list[Lazy] = []
    mapped(found.append, args)
    return found[0]


def canonical(function: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Call:
    """One way to say it, of several that NumPy has."""
    if function is np.dot and all(map(is_matrix, args)):
        function = operator.matmul                               # both are the BLAS's product then
    elif function is np.transpose and not keywords and args[1:] == (None,):
        args = args[:1]
    elif function in TOTALS and len(args) <= 2 and keywords.keys() <= {"axis", "keepdims", "dtype", "out"} \
            and keywords.get("dtype") is keywords.get("out") is None:
        axis = args[1] if len(args) == 2 else keywords.get("axis", 0 if TOTALS[function] is function else None)
        keywords = {"axis": axis, "keepdims": bool(keywords.get("keepdims"))}
        function, args = TOTALS[function], args[:1]
    return function, args, keywords


def is_whole(x: Any, index: Any) -> bool:
    """Whether ``x[index]`` is all of x; ``x[()]`` of an array without axes is a number."""
    rest = index is Ellipsis or (type(index) is tuple and not index and np.ndim(x) > 0)
    return rest and isinstance(x, Lazy) and isinstance(x.like, np.ndarray)


def same_order(x: Any, like: Any) -> bool:
    """Whether elements are as they were, one after the other, but for the shape."""
    if not isinstance(x, Lazy) or type(x.like) is not np.ndarray or type(like) is not np.ndarray:
        return False
    return x.size == like.size and x.flags.c_contiguous and like.flags.c_contiguous \
        and x.like.__array_interface__["data"] == like.__array_interface__["data"]


def is_matrix(x: Any) -> bool:
    """Whether the BLAS takes an operand as it is, and as a matrix."""
    return np.ndim(x) == 2 and min(np.shape(x)) > 1 and x.dtype.char in "fd" and bool(x.flags.forc)


def identity(x: Any) -> Any:
    """What operands have in common that are the same."""
    if isinstance(x, Lazy):
        return Lazy, id(x)
    if isinstance(x, np.ndarray):
        strides = tuple(step for step, n in zip(x.strides, x.shape) if n != 1)
        return np.ndarray, x.__array_interface__["data"][0], x.shape, strides, x.dtype.str
    if isinstance(x, list | tuple):
        return type(x), *map(identity, x)
    if isinstance(x, dict):
        return tuple((key, identity(value)) for key, value in sorted(x.items()))
    return type(x), repr(x)


# ---- operands

like_of = operator.attrgetter("like")

def mapped(change: Callable[[Lazy], Any], x: Any) -> Any:
    """Operands with the lazy arrays among them changed."""
    if isinstance(x, Lazy):
        return change(x)
    if isinstance(x, list | tuple) and not hasattr(x, "_fields"):
        return type(x)(mapped(change, each) for each in x)
    if isinstance(x, dict):
        return {key: mapped(change, value) for key, value in x.items()}
    return x


def numbers(x: Any) -> Any:
    """Operands with all numbers."""
    return mapped(computed, x)


def likes(x: Any) -> Any:
    """Operands whose floating-point numbers may be anything; indices are what they are."""
    return mapped(lambda y: y.like if y.dtype.kind in "fc" else np.asarray(computed(y)), x)


def settled(records: Iterable[Record]) -> None:
    """Put shapes in the place of values, where no number is needed any more: what is given or filled keeps its own."""
    for r in records:
        kept = r.op is None or full(r) is not None
        r.value = numbers(r.value) if kept else mapped(like_of, r.value)


def computed(x: Any) -> Any:
    """The numbers of a lazy array, and of all that it needs, computed once.

    Raises
    ------
    TracedValueError
        If it was kept when the recording was over.
    """
    pending = [x] if isinstance(x, Lazy) else []
    while pending:
        y = pending[-1]
        if y.known is None and y.call is not None:
            if y.sketch.over:
                raise TracedValueError(
                    "a tensor was kept from the recording of a compiled function or step, and has no numbers: later "
                    "calls do not record.\n  Return it from the function, or compute it again outside.")
            function, args, keywords = y.call
            waiting: list[Lazy] = []
            mapped(waiting.append, (args, keywords))
            waiting = [z for z in waiting if z.known is None]
            if waiting:
                pending += waiting
                continue
            with np.errstate(all="ignore"):
                y.known = function(*mapped(lambda z: z.known, args), **mapped(lambda z: z.known, keywords))
        pending.pop()
    return x.known if isinstance(x, Lazy) else x
