"""Derivatives as functions of functions.

A transform gives the chosen leaves of its arguments new records, calls the function, and walks what was recorded.
No levels are needed to nest them: an inner variable that comes from an outer one is a record on
the outer tape, and the inner walk records itself whenever anything it meets is tracked outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from autodiff.errors import GradientError, OperandError, ShapeError
from autodiff.forward import walk_forward
from autodiff.ops.elementary import alias
from autodiff.record import Leaf, Record, Variable
from autodiff.reverse import ones, zeros
from autodiff.sites import outside
from autodiff.state import Setting, grad_mode, recording, tracing, transform_now
from autodiff.tape import behind, walk_back
from autodiff.tensor import Tensor, leaf_value
from autodiff.tree import leaves_of, mapped, names_in, rebuilt
from autodiff.values import plain_value

Argnums = int | Sequence[int]


def variable(x: Any, name: str) -> Tensor:
    """A leaf of an argument as the variable of a transform: a new record, also for a tracked Tensor."""
    if isinstance(x, Tensor) and x.record.tracked:
        with grad_mode(True):
            fresh: Tensor = alias(x)
        return fresh.named(name)
    frame = outside(2)
    return Tensor.of(Variable(leaf_value(x, None, True, copy=True), True, frame, name))


def argument_name(function: Any, n: int) -> str:
    """What a function calls its positional argument n."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    bound = hasattr(function, "__self__")
    code = getattr(function, "__code__", None)
    names = code.co_varnames[bound:code.co_argcount] if code else ()
    return names[n] if n < len(names) else f"argument{n}"


def require_function(name: str, f: Any) -> None:
    """Refuse to differentiate what is no function, such as a loss already computed."""
    if not callable(f) or isinstance(f, Tensor):
        raise OperandError(f"{name} takes a function, and got {type(f).__name__} {f!r:.40}. Write {name}(f)(x), where "
                           "f computes the loss from x; a loss that is computed already has loss.backward() and "
                           "ad.gradients(loss, [x]).")


class Call:
    """One call of a function with variables in place of the chosen arguments' leaves."""

    def __init__(self, name: str, function: Callable[..., Any], args: Sequence[Any], keywords: dict[str, Any],
                 argnums: Argnums, has_aux: bool = False) -> None:
        self.keep = recording.get()
        chosen = [argnums] if isinstance(argnums, int) else list(argnums)
        for n in chosen:
            if not isinstance(n, int):
                raise OperandError(f"argnums={argnums!r}: arguments are chosen by position, 0 for the first, (0, 1) "
                                   "for the first two")
            if not -len(args) <= n < len(args):
                raise OperandError(f"argnums={argnums}, but {getattr(function, '__name__', 'the function')} was called "
                                   f"with {len(args)} positional arguments")
        self.structure: Any = args[argnums] if isinstance(argnums, int) else tuple(args[n] for n in chosen)
        names = [name for n in chosen for name in names_in(args[n], argument_name(function, n % len(args)))]
        self.variables = [variable(leaf, name) for leaf, name in zip(leaves_of(self.structure), names, strict=True)]
        replaced = rebuilt(self.structure, self.variables, as_argument=True)
        arguments = list(args)
        for n, value in zip(chosen, [replaced] if isinstance(argnums, int) else replaced, strict=True):
            arguments[n] = value
        try:
            with Setting(transform_now, name), grad_mode(True):           # values may not leave the tape
                result = function(*arguments, **keywords)
        finally:
            for r in self.inputs:
                if isinstance(r, Variable):
                    r.ended = name
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise GradientError(f"{name} with has_aux=True needs a function that returns (loss, aux); this one "
                                f"returned {type(result).__name__}")
        self.value: Any = result[0] if has_aux else result
        self.aux: Any = result[1] if has_aux else None

    @property
    def inputs(self) -> list[Record]:
        """The variables' records."""
        return [v.record for v in self.variables]

    def outside(self, outputs: Sequence[Any]) -> bool:
        """Whether the outputs depend on anything tracked that is not one of the variables."""
        if tracing.get():                          # all must be recorded, to be run again
            return True
        if not self.keep:
            return False
        since = min((r.serial for r in self.inputs), default=0)
        mine = set(self.inputs)
        tape = behind([t.record for t in outputs if isinstance(t, Tensor)], since, differentiable=True)
        return any(x.requires_grad and x not in mine and (x.serial < since or type(x) is Leaf)
                   and not (type(x) is Variable and x.ended)
                   for r in tape for x in (r, *r.inputs) if isinstance(x, Record))

    def scalar(self, name: str) -> Tensor | None:
        """The value as a scalar on the tape; None if it does not depend on the variables."""
        value = self.value
        if isinstance(value, Tensor) and value.size == 1:
            return value if value.requires_grad else None
        if isinstance(value, bool | int | float | np.generic) or (isinstance(value, np.ndarray) and value.size == 1):
            return None
        got = f"shape {value.shape}" if hasattr(value, "shape") else type(value).__name__
        advice = "Is its `return` missing?" if value is None else \
            "To return more than the loss, return (loss, aux) and set has_aux=True." if isinstance(value, tuple) else \
            "Return its .sum() or .mean(), or use ad.jacobian or ad.vjp."
        raise GradientError(f"{name} needs a function that returns a scalar; this one returned {got}. {advice}")

    def pull(self, outputs: Sequence[Any], cotangents: Sequence[Any], record: bool) -> list[Any]:
        """The cotangents of the variables, given those of the outputs."""
        seeds: dict[Record, Any] = {}
        for y, g in zip(outputs, cotangents, strict=True):
            if isinstance(y, Tensor) and y.requires_grad:
                seeds[y.record] = seeds[y.record] + g if y.record in seeds else g
        found = walk_back(seeds, self.inputs, record) if seeds else {}
        return [found.get(r, zeros(r, record)) for r in self.inputs]


def released(y: Any, record: bool) -> Any:
    """A result as the caller of a transform gets it: recorded, or plain."""
    return y.data if isinstance(y, Tensor) and not (record or tracing.get()) else y


def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns f's value and its gradient with respect to the chosen arguments.

    Parameters
    ----------
    f : callable
        Returns a scalar (with `has_aux`, a scalar and anything else).
    argnums : int or sequence of int
        Which positional arguments. Each may be an array, or nested dicts, lists, tuples and modules
        of arrays.
    has_aux : bool
        Whether f returns ``(loss, aux)``; the function then returns ``((loss, aux), gradient)``.

    Returns
    -------
    callable
        The gradient has the argument's structure. Results are arrays, unless they depend on something
        tracked outside the call: then they are recorded Tensors.

    Raises
    ------
    GradientError
        If f does not return a scalar.
    TracedValueError
        If f turns a tracked value into a Python number (``if x > 0``, ``float(x)``).

    Examples
    --------
    >>> value, gradient = ad.value_and_grad(lambda p: p["a"] * p["b"] ** 2)({"a": 2.0, "b": 3.0})
    >>> float(value), float(gradient["a"]), float(gradient["b"])
    (18.0, 9.0, 12.0)
    """
    require_function("ad.grad", f)

    @wraps(f)
    def with_gradient(*args: Any, **keywords: Any) -> Any:
        call = Call("ad.grad", f, args, keywords, argnums, has_aux)
        loss = call.scalar("ad.grad")
        record = loss is not None and call.outside([loss])
        outputs = [loss] if loss is not None else []
        found = call.pull(outputs, [ones(y.record.value) for y in outputs], record)
        value = released(call.value, record)
        value = (value, mapped(lambda t: released(t, record), call.aux)) if has_aux else value
        return value, rebuilt(call.structure, found)

    return with_gradient


def grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of a scalar function, as a function; see `value_and_grad`.

    With `has_aux` the function returns ``(gradient, aux)``.

    Examples
    --------
    >>> float(ad.grad(lambda x: x ** 3)(2.0))
    12.0
    >>> float(ad.grad(lambda x: ad.grad(lambda y: x * y ** 2)(1.0))(5.0))
    2.0
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def gradient(*args: Any, **keywords: Any) -> Any:
        value, found = both(*args, **keywords)
        return (found, value[1]) if has_aux else found

    return gradient


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], Any]]:
    """f's value, and its pullback: cotangents of the value to cotangents of the primals.

    Parameters
    ----------
    f : callable
        Returns an array, or a nested structure of arrays.
    *primals : array_like or nested structure
        Where.

    Returns
    -------
    value, pullback
        ``pullback(cotangent)`` takes the value's structure and returns a tuple, one entry per
        primal, each with that primal's structure. It may be called again.

    Examples
    --------
    >>> value, pullback = ad.vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    require_function("ad.vjp", f)
    call = Call("ad.vjp", f, primals, {}, tuple(range(len(primals))))
    outputs = leaves_of(call.value)
    tracked = call.outside(outputs)

    def pullback(cotangent: Any) -> Any:
        gs = leaves_of(cotangent)
        for y, g in zip(outputs, gs, strict=True):
            if np.shape(y) != np.shape(g):
                raise ShapeError(f"ad.vjp: the value has shape {np.shape(y)}, its cotangent {np.shape(g)}")
        record = tracked or any(isinstance(g, Tensor) and g.record.tracked for g in gs)
        gs = [g if isinstance(g, Tensor) and record else plain_value(g, y.dtype) if isinstance(y, Tensor) else g
              for g, y in zip(gs, outputs, strict=True)]
        return rebuilt(call.structure, call.pull(outputs, gs, record))

    return mapped(lambda y: released(y, tracked), call.value), pullback


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """f's value, and its derivative along the tangents (forward mode).

    Parameters
    ----------
    f : callable
        Returns an array, or a nested structure of arrays.
    primals, tangents : sequence
        One entry per argument, of the same structure.

    Returns
    -------
    value, tangent
        Both with the structure that f returns.

    Examples
    --------
    >>> value, tangent = ad.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
    >>> float(value), float(tangent)
    (6.0, 3.0)
    """
    require_function("ad.jvp", f)
    primals, tangents = tuple(primals), tuple(tangents)
    call = Call("ad.jvp", f, primals, {}, tuple(range(len(primals))))
    ts = leaves_of(tangents)
    if len(ts) != len(call.variables):
        raise OperandError(f"ad.jvp: {len(call.variables)} arrays in the primals, and {len(ts)} in the tangents; a "
                           "tangent is the direction in which its primal moves, one for each")
    for v, t in zip(call.variables, ts, strict=True):
        if np.shape(t) != v.shape:
            raise ShapeError(f"ad.jvp: {v.name}, a primal, has shape {v.shape}, its tangent {np.shape(t)}")
    outputs = leaves_of(call.value)
    record = call.outside(outputs) or any(isinstance(t, Tensor) and t.record.tracked for t in ts)
    seeds = {v.record: t if isinstance(t, Tensor) and record else plain_value(t, v.dtype)
             for v, t in zip(call.variables, ts, strict=True)}
    since = min((r.serial for r in call.inputs), default=0)
    found = walk_forward(behind([y.record for y in outputs if isinstance(y, Tensor)], since), seeds, record)

    def tangent(y: Any) -> Any:
        if not isinstance(y, Tensor):
            return np.zeros_like(y)
        return released(found.get(y.record, zeros(y.record, record)), record)

    return mapped(lambda y: released(y, record), call.value), mapped(tangent, call.value)


def jacobian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The Jacobian of an array-valued function, as a function.

    Returns
    -------
    callable
        For a value of shape s and an argument of shape t, an array of shape s + t; for nested
        values and arguments, the value's structure of the argument's structure.

    Examples
    --------
    >>> ad.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    require_function("ad.jacobian", f)

    @wraps(f)
    def matrix(*args: Any, **keywords: Any) -> Any:
        call = Call("ad.jacobian", f, args, keywords, argnums)
        record = call.outside(leaves_of(call.value))
        return mapped(lambda y: rebuilt(call.structure, blocks(call, y, record)), call.value)

    return matrix


def blocks(call: Call, y: Any, record: bool) -> list[Any]:
    """∂y/∂v for each variable v of a call, a row per element of y."""
    shape = np.shape(y)
    if not (isinstance(y, Tensor) and y.requires_grad):
        return [np.zeros(shape + v.shape, v.dtype) for v in call.variables]
    rows = []
    for i in range(y.size):
        seed = np.zeros_like(y.record.value, shape=y.size)
        seed[i] = 1
        rows.append(call.pull([y], [np.reshape(seed, shape)[()]], record))
    if not rows:
        return [np.zeros(shape + v.shape, v.dtype) for v in call.variables]
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    return [np.reshape(np.stack(column), shape + v.shape) for v, column in zip(call.variables, columns, strict=True)]


def hessian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The matrix of second derivatives of a scalar function, as a function.

    For a nested argument, the argument's structure of the argument's structure (the Hessian of a
    dict is a dict of dicts).

    Examples
    --------
    >>> ad.hessian(lambda x: (x ** 3).sum())(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Callable[..., Any], primals: Sequence[Any], vectors: Sequence[Any]) -> Any:
    """The Hessian of a scalar function of the primals, times vectors: forward over reverse, never the matrix.

    Returns
    -------
    tuple
        One entry per primal, with its structure.

    Examples
    --------
    >>> ad.hvp(lambda x: (x ** 3).sum(), (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    (array([ 6., 12.]),)
    """
    return jvp(grad(f, tuple(range(len(primals)))), primals, vectors)[1]
