"""What NumPy and Python ask of a Tensor; fills its operators, methods and protocols once.

Operators are closures, one per operation and arity, because they are the hot path: the general
way through `Op.__call__` costs half again as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from sys import _getframe
from types import FrameType
from typing import Any, TypeVar

import numpy as np

from autodiff.assignment import refuse_leaf_write, setitem_method, sort_method
from autodiff.errors import NoRuleError, OperandError, ShapeError
from autodiff.explain import at, explained
from autodiff.kinds import Op
from autodiff.numpy_table import COMPOSED, FUNCTIONS, METADATA, NUMPY_DEFAULTS, REDUCTIONS, SEQUENCES, UFUNCS
from autodiff.ops import arithmetic as a
from autodiff.ops import complex as c
from autodiff.ops import elementary as e
from autodiff.ops import indexing, products, reductions, shapes
from autodiff.record import NO_OPTIONS, Leaf
from autodiff.sites import is_ours, locate, outside
from autodiff.state import Scope, Setting, scope_now, tracing
from autodiff.tensor import Tensor, leaf_value, made, shared
from autodiff.tree import leaves_of

F = TypeVar("F", bound=Callable[..., Any])
PLAIN = (float, int, np.ndarray, np.generic, complex)          # operands taken as they are
OPERANDS = (Tensor, *PLAIN)


# ---- operators

def operand(x: Any) -> Any:
    """What may stand beside a Tensor in an operator, or NotImplemented."""
    if isinstance(x, OPERANDS) or hasattr(x, "__array_ufunc__"):
        return x
    return leaf_value(x, None, False, copy=False) if isinstance(x, list | tuple) else NotImplemented


def unary(op: Op) -> Callable[[Tensor], Tensor]:
    """The operator of one operand."""
    forward = op.forward

    def method(self: Tensor) -> Tensor:
        r = self.record
        try:
            y = forward(r.value)
        except (ValueError, TypeError, FloatingPointError) as error:
            raise explained(error, op.name, (r,), NO_OPTIONS) from error
        return made(op, (r,), NO_OPTIONS, y, _getframe(1))

    return named(method, op)


def binary(op: Op) -> Callable[[Tensor, Any], Any]:
    """The operator of two operands, from the left."""
    forward = op.forward

    def method(self: Tensor, other: Any) -> Any:
        left = self.record
        if isinstance(other, Tensor):
            right: Any = other.record
            value = right.value
        else:
            right = value = other if isinstance(other, PLAIN) else operand(other)
            if value is NotImplemented:
                return NotImplemented
        try:
            y = forward(left.value, value)
        except (ValueError, TypeError, FloatingPointError) as error:
            raise explained(error, op.name, (left, right), NO_OPTIONS) from error
        return made(op, (left, right), NO_OPTIONS, y, _getframe(1))

    return named(method, op)


def reflected(op: Op) -> Callable[[Tensor, Any], Any]:
    """The operator of two operands, from the right."""
    forward = op.forward

    def method(self: Tensor, other: Any) -> Any:
        right = self.record
        left = operand(other)
        if left is NotImplemented:
            return NotImplemented
        if type(left) is complex and isinstance(right.value, float):        # Python would make a complex of its own
            left = np.complex128(left)
        try:
            y = forward(left, right.value)
        except (ValueError, TypeError, FloatingPointError) as error:
            raise explained(error, op.name, (left, right), NO_OPTIONS) from error
        return made(op, (left, right), NO_OPTIONS, y, _getframe(1))

    return named(method, op)


def in_place(op: Op) -> Callable[[Tensor, Any], Any]:
    """``t += other``: the handle moves to a new record, and what was recorded stays as it was."""

    def method(self: Tensor, other: Any) -> Any:
        if operand(other) is NotImplemented:
            return NotImplemented
        frame, leaf = _getframe(1), self.record
        if isinstance(leaf, Leaf) and leaf.requires_grad:
            refuse_leaf_write(self, f"{op.name} in place")
            leaf.write(op.forward(leaf.value, other.record.value if isinstance(other, Tensor) else operand(other)))
        else:
            result = raise_to(self, other, frame) if op is a.power else op(self, other, _frame=frame)
            self.record = result.record
        return self

    return named(method, op)


def raise_to(base: Any, exponent: Any, frame: Any) -> Any:
    """base ** exponent; a whole Python number as exponent takes products instead of powers."""
    if type(exponent) is int:
        if exponent == 2:
            return a.square(base, _frame=frame)
        return a.integer_power(base, n=exponent, _frame=frame)
    return a.power(base, exponent, _frame=frame)


def power_method(self: Tensor, other: Any) -> Any:
    """``self ** other``."""
    return NotImplemented if operand(other) is NotImplemented else raise_to(self, other, _getframe(1))


def getitem_method(self: Tensor, index: Any) -> Tensor:
    """``self[index]``."""
    template, arrays = indexing.separated(index)
    op = indexing.items if arrays else indexing.item
    result: Tensor = op(self, *arrays, index=template, _frame=_getframe(1))
    return result


def named(method: F, op: Op) -> F:
    """Give a closure the operation's name, for tracebacks and help()."""
    method.__name__ = method.__qualname__ = op.name
    method.__doc__ = op.__doc__
    return method


# ---- NumPy's universal functions

def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
    """NumPy asks here when a universal function meets a Tensor."""
    frame = _getframe(1)
    if not keywords and method == "__call__" and len(inputs) == 1 and ufunc in UFUNCS:    # the commonest case, faster
        return UFUNCS[ufunc](self, _frame=frame)
    if "out" in keywords:
        raise OperandError(
            f"np.{ufunc.__name__} cannot write into an array (out=, or `array += tensor`) when a Tensor takes part: "
            f"the array would lose the tape.\n{at(locate(frame.f_code, frame.f_lasti))}\n"
            "  Write x = x + t, which makes a Tensor.")
    if method == "reduce" and ufunc in REDUCTIONS:
        x, *rest = inputs
        axis = rest[0] if rest else keywords.pop("axis", 0)
        return apply_named(REDUCTIONS[ufunc], f"np.{ufunc.__name__}.reduce", (x,), {"axis": axis, **keywords}, frame)
    if method != "__call__" or ufunc not in UFUNCS:
        dotted = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        raise no_rule(dotted, frame, elementwise=method == "__call__" and ufunc.nout == 1)
    if keywords:
        raise OperandError(f"np.{ufunc.__name__} of a Tensor does not take {', '.join(f'{k}=' for k in keywords)}")
    if ufunc is np.power:
        return raise_to(inputs[0], inputs[1], frame)
    return UFUNCS[ufunc](*[x if isinstance(x, Tensor) else operand(x) for x in inputs], _frame=frame)


# ---- NumPy's other functions

def array_function(self: Tensor, function: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...],
                   keywords: dict[str, Any]) -> Any:
    """NumPy asks here when one of its other functions meets a Tensor."""
    return call(function, args, keywords, _getframe(1))


def call(function: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any], frame: FrameType) -> Any:
    """Apply what stands for a NumPy function, as asked for in `frame`."""
    if function in METADATA:
        return function(*plain(args), **plain(keywords))
    if function is np.clip:
        return clip(*args, **keywords, frame=frame)
    if function in COMPOSED:
        return composed(COMPOSED[function], function.__name__, args, keywords, frame)
    if function not in FUNCTIONS:
        raise no_rule(f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1), frame)
    if function is np.where and len(args) < 3:
        raise NoRuleError("np.where with a condition alone gives positions, as np.nonzero does: no values to follow. "
                          "Use np.nonzero(t.numpy()), or give both values: np.where(condition, a, b).")
    if not args and (first := next(iter(keywords), None)) in ("a", "array", "ary", "arrays", "x"):
        args = (keywords[first],)
        keywords = {name: value for name, value in keywords.items() if name != first}
    op, names = FUNCTIONS[function]
    n = 1 if function in SEQUENCES else len(args) if not names else 1
    operands = tuple(args[0]) if function in SEQUENCES else args[:n]
    options = {**dict(zip(names.split(), args[n:], strict=False)), **keywords}
    return apply_named(op, f"np.{function.__name__}", operands, options, frame)


def composed(function: Callable[..., Any], name: str, args: tuple[Any, ...], keywords: dict[str, Any],
             frame: FrameType) -> Any:
    """Call a function written in terms of others: its parts in a scope of its name, its result on the user's line."""
    outer = scope_now.get()
    path = f"{outer.path}.{name}" if outer else name
    with Setting(scope_now, Scope(path, name, frame.f_code, frame.f_lasti, outer)):
        result = function(*args, **keywords)
    for t in leaves_of(result):
        if isinstance(t, Tensor) and t.record.op is not None and is_ours(t.record.code):
            t.record.code, t.record.lasti = frame.f_code, frame.f_lasti
    return result


def apply_named(op: Op, called: str, operands: tuple[Any, ...], options: dict[str, Any], frame: Any) -> Any:
    """Apply an op with NumPy's keywords, refusing those it does not know unless they are at their default."""
    known = {}
    for name, value in options.items():
        if value is np._NoValue or (value is None and name not in op.parameters):
            continue
        if name not in op.parameters:
            if value in NUMPY_DEFAULTS.get(name, ()):
                continue
            raise OperandError(f"{called} of a Tensor does not take {name}={value!r:.60}\n"
                               f"{at(locate(frame.f_code, frame.f_lasti))}")
        known[name] = settled(value)
    return op(*[x if isinstance(x, Tensor) else operand(x) for x in operands], **known, _frame=frame)


def settled(option: Any) -> Any:
    """An option that its giver cannot change any more: tuples in place of lists and arrays of numbers."""
    if isinstance(option, np.ndarray):
        return settled(option.tolist())
    if isinstance(option, list | tuple):
        return tuple(map(settled, option))
    return int(option) if isinstance(option, np.integer) else option


def clip(x: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, frame: Any, **keywords: Any) -> Any:
    """np.clip, whose bounds go by two pairs of names."""
    low = keywords.pop("min", a_min) if keywords.get("min") is not np._NoValue else a_min
    high = keywords.pop("max", a_max) if keywords.get("max") is not np._NoValue else a_max
    low, high = (None if bound is np._NoValue else bound for bound in (low, high))
    if out is not None or keywords:
        raise OperandError("np.clip of a Tensor takes no out= and no other keywords")
    if low is None and high is None:
        return e.alias(x, _frame=frame)
    return a.clip(x, low, high, _frame=frame)


def plain(x: Any) -> Any:
    """Arguments with every Tensor replaced by its array."""
    if isinstance(x, Tensor):
        return x.record.value
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    return type(x)(plain(item) for item in x) if isinstance(x, list | tuple) else x


def no_rule(called: str, frame: Any, elementwise: bool = False) -> NoRuleError:
    """The error that shows how to add the missing rule."""
    name = called.rpartition(".")[2]
    rule = (f"{name}.derivative(lambda y, x: ...)          # dy/dx as on paper" if elementwise else
            f"{name}.vjp(lambda g, y, x: ...)              # what g = ∂loss/∂y contributes to ∂loss/∂x")
    return NoRuleError(
        f"{called} has no derivative rule here.\n{at(locate(frame.f_code, frame.f_lasti))}\n  Add one in three lines:\n"
        f"    @ad.op\n    def {name}(x): return {called}(x)\n    {rule}\n"
        "  and call it in place of NumPy's; or use .detach() if no gradient should flow through.")


# ---- methods

def reshape_method(self: Tensor, *shape: Any) -> Any:
    """As ndarray.reshape: ``t.reshape(2, 3)`` or ``t.reshape((2, 3))``."""
    wanted = shape[0] if len(shape) == 1 else shape
    return shapes.reshape(self, shape=wanted, _frame=_getframe(1))


def transpose_method(self: Tensor, *axes: Any) -> Any:
    """As ndarray.transpose: ``t.transpose()``, ``t.transpose(1, 0)`` or ``t.transpose((1, 0))``."""
    order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
    return shapes.transpose(self, **({"axes": order} if order is not None else {}), _frame=_getframe(1))


def numpy_method(function: Callable[..., Any]) -> Callable[..., Any]:
    """The method that is NumPy's function of the same name."""

    def method(self: Tensor, *args: Any, **keywords: Any) -> Any:
        return call(function, (self, *args), keywords, _getframe(1))

    method.__name__ = method.__qualname__ = function.__name__
    method.__doc__ = f"As NumPy's {function.__name__}."
    return method


def detach_method(self: Tensor) -> Tensor:
    """The same values (shared) as a constant that nothing was recorded for."""
    if tracing.get():
        found: Tensor = e.detached(self, _frame=_getframe(1))
        return found
    return shared(Leaf(self.data, False, outside(2)))


def compress_method(self: Tensor, condition: Any, axis: Any = None) -> Any:
    """As ndarray.compress."""
    return call(np.compress, (condition, self), {"axis": axis}, _getframe(1))


def matrix_transposed(self: Tensor) -> Any:
    """Each matrix of a stack transposed."""
    if self.ndim < 2:
        raise ShapeError(f"matrix transpose with ndim < 2 is undefined; this tensor has shape {self.shape}")
    return shapes.swapaxes(self, axis1=-2, axis2=-1, _frame=_getframe(1))


def reduction_method(op: Op) -> Callable[..., Any]:
    """``t.sum(axis, keepdims)``, with NumPy's other keywords refused."""

    def method(self: Tensor, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        if dtype is not None or out is not None:
            raise OperandError(f".{op.name}() of a Tensor takes axis and keepdims, no dtype= or out=")
        frame = _getframe(1)
        if axis is None and not keepdims:
            return op(self, _frame=frame)
        return op(self, axis=axis, keepdims=keepdims, _frame=frame)

    return named(method, op)


def method_like(function: Callable[..., Any]) -> Callable[..., Any]:
    """The method of NumPy's arrays that takes what its function takes after the array."""
    op, names = FUNCTIONS[function]

    def method(self: Tensor, *args: Any, **keywords: Any) -> Any:
        options = {**dict(zip(names.split(), args, strict=False)), **keywords}
        return apply_named(op, f".{op.name}()", (self,), options, _getframe(1))

    return named(method, op)


def squeeze_method(self: Tensor, axis: Any = None) -> Any:
    """As ndarray.squeeze."""
    return shapes.squeeze(self, **({} if axis is None else {"axis": axis}), _frame=_getframe(1))


def clip_method(self: Tensor, min: Any = None, max: Any = None) -> Any:
    """As ndarray.clip."""
    return clip(self, min, max, frame=_getframe(1))


def astype_method(self: Tensor, dtype: Any) -> Any:
    """The values in another dtype; differentiable when that is a floating-point one."""
    target = np.dtype(dtype)
    if target.kind not in "fiubc":
        raise OperandError(f"a tensor holds numbers, and {target} is none; for text use f'{{t}}' or t.tolist()")
    op = e.cast if target.kind in "fc" else e.truncate
    return op(self, dtype=target, _frame=_getframe(1))


def same(self: Tensor) -> Tensor:
    """``+t`` is t."""
    return self


OPERATORS: dict[str, Any] = {
    "__add__": binary(a.add), "__radd__": reflected(a.add), "__iadd__": in_place(a.add),
    "__sub__": binary(a.subtract), "__rsub__": reflected(a.subtract), "__isub__": in_place(a.subtract),
    "__mul__": binary(a.multiply), "__rmul__": reflected(a.multiply), "__imul__": in_place(a.multiply),
    "__truediv__": binary(a.divide), "__rtruediv__": reflected(a.divide), "__itruediv__": in_place(a.divide),
    "__mod__": binary(a.remainder), "__rmod__": reflected(a.remainder), "__imod__": in_place(a.remainder),
    "__floordiv__": binary(a.floor_divide), "__rfloordiv__": reflected(a.floor_divide),
    "__ifloordiv__": in_place(a.floor_divide),
    "__matmul__": binary(products.matmul), "__rmatmul__": reflected(products.matmul),
    "__imatmul__": in_place(products.matmul),
    "__pow__": power_method, "__rpow__": reflected(a.power), "__ipow__": in_place(a.power),
    "__iand__": in_place(a.bitwise_and), "__ior__": in_place(a.bitwise_or), "__ixor__": in_place(a.bitwise_xor),
    "__neg__": unary(a.negative), "__pos__": same, "__abs__": unary(a.absolute), "__invert__": unary(a.invert),
    "__lt__": binary(a.less), "__le__": binary(a.less_equal), "__gt__": binary(a.greater),
    "__ge__": binary(a.greater_equal), "__eq__": binary(a.equal), "__ne__": binary(a.not_equal),
    "__and__": binary(a.bitwise_and), "__rand__": reflected(a.bitwise_and),
    "__or__": binary(a.bitwise_or), "__ror__": reflected(a.bitwise_or),
    "__xor__": binary(a.bitwise_xor), "__rxor__": reflected(a.bitwise_xor),
    "__getitem__": getitem_method, "__setitem__": setitem_method,
}
METHODS: dict[str, Any] = {
    "sum": reduction_method(reductions.sum_), "mean": reduction_method(reductions.mean_),
    "max": reduction_method(reductions.max_), "min": reduction_method(reductions.min_),
    "prod": method_like(np.prod), "var": method_like(np.var), "std": method_like(np.std),
    "argmax": method_like(np.argmax), "argmin": method_like(np.argmin), "any": method_like(np.any),
    "all": method_like(np.all), "cumsum": method_like(np.cumsum), "cumprod": method_like(np.cumprod),
    "round": method_like(np.round), "nonzero": method_like(np.nonzero),
    "reshape": reshape_method, "transpose": transpose_method, "T": property(unary(shapes.transpose)),
    "squeeze": squeeze_method, "clip": clip_method, "astype": astype_method,
    **{function.__name__: numpy_method(function) for function in (
        np.dot, np.ravel, np.swapaxes, np.repeat, np.take, np.argsort, np.diagonal, np.trace, np.choose)},
    "flatten": numpy_method(np.ravel), "compress": compress_method, "sort": sort_method,
    "conj": unary(c.conj), "conjugate": unary(c.conj), "mT": property(matrix_transposed),
    "real": property(unary(c.real)), "imag": property(unary(c.imag)),
    "detach": detach_method,
    "__array_ufunc__": array_ufunc, "__array_function__": array_function,
}

for method_name, method in {**OPERATORS, **METHODS}.items():
    setattr(Tensor, method_name, method)
