"""`Op`, one operation, and its kinds: what an author must state, and what follows from it.

==============  ==========================================  =================================
kind            the author states, per argument             follows
==============  ==========================================  =================================
elementwise     the partial derivative ``d(y, *x)``         vjp ``g * d``, jvp ``t * d``
linear          the transpose ``(g, y, *x)``                jvp is the operation itself
general         the vjp ``(g, y, *x)``                      jvp: the rule is linear in g, so it
                                                            is itself recorded and walked back
constant        nothing: its derivative is zero             a record without edges
==============  ==========================================  =================================

Whatever was stated is compiled here to *edges*, one function ``(g, y, *inputs, **options)`` per
argument that gives its contribution, so that the walk back knows nothing of kinds. Broadcasting,
dtypes and adding up are the walk's business: no rule mentions them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sys import _getframe
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from autodiff.errors import OperandError
from autodiff.explain import check_rules, explained
from autodiff.record import NO_OPTIONS, Array
from autodiff.tensor import Tensor, made

Edge = Callable[..., Any]
Partial = Callable[..., Any] | int | None


class At(NamedTuple):
    """A contribution to some elements only: `value` belongs at ``x[index]``, the rest is zero.

    `parts` are the arrays that stand in the index, where it has a hole (see `ops.indexing`).
    """

    value: Array
    index: Any
    parts: tuple[Any, ...] = ()


class Op:
    """One operation: its name, its forward on arrays, its kind and its rule.

    Called on arrays it returns an array; called on Tensors it records itself. Positional arguments
    are operands, keyword arguments are options.

    Attributes
    ----------
    name, forward : str, callable
        What records call it, and what it computes: ``forward(*arrays, **options)``.
    kind : str
        "elementwise", "linear", "general" or "constant".
    partials : tuple
        What an elementwise op states, for readers other than the walk.
    edges : tuple
        Per argument ``edge(g, y, *inputs, **options)``, or None where the derivative is zero.
    together, leading : callable or None
        For any number of inputs instead: ``together(g, y, *inputs, **options)``, all their contributions, and
        ``leading(options)``, how many of the inputs it is linear in; None for all.
    tangents : sequence or None
        Per argument ``tangent(t, y, *inputs, **options)``; None when forward mode derives it.
    analytic : callable
        The forward used on replays in another dtype, equal in value and analytic in complex numbers.
    parameters : tuple of str
        The names of the forward's parameters, operands first.

    Examples
    --------
    >>> ad.sigmoid.kind, ad.sigmoid(0.0)
    ('elementwise', np.float64(0.5))
    """

    def __init__(self, forward: Callable[..., Any], name: str | None = None,
                 analytic: Callable[..., Any] | None = None) -> None:
        self.name: str = name or forward.__name__
        self.forward = forward
        self.analytic = analytic or forward
        self.parameters = parameters_of(forward)
        self.__doc__ = forward.__doc__
        self.kind = "constant"
        self.differentiable = False
        self.partials: tuple[Partial, ...] = ()
        self.edges: tuple[Edge | None, ...] = ()
        self.together: Edge | None = None
        self.leading: Callable[[dict[str, Any]], int] | None = None
        self.tangents: Sequence[Edge | None] | None = None
        self.user = False

    def __call__(self, *inputs: Any, _frame: FrameType | None = None, **options: Any) -> Any:
        """Run, and record if a Tensor takes part; `_frame` is where the user asked, if not in the caller."""
        if options and len(inputs) < len(self.edges):
            inputs = self.operands_first(inputs, options)
        records: Any
        values: Any
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):                  # the commonest case, faster
            recorded, records = True, (inputs[0].record,)
            values = (records[0].value,)
        else:
            recorded, records, values = False, [], []
            for x in inputs:
                if isinstance(x, Tensor):
                    recorded, x = True, x.record
                    values.append(x.value)
                else:
                    x = np.asarray(x) if type(x) is list else x
                    values.append(x)
                records.append(x)
        try:
            y = self.forward(*values, **options) if options else self.forward(*values)
        except (ValueError, TypeError, IndexError, FloatingPointError) as error:
            if not recorded:
                raise
            raise explained(error, self.name, records, options) from error
        if (options or not recorded) and isinstance(y, Tensor):
            raise OperandError(f"{self.name} takes tensors as operands, by position; options have no gradient")
        if not recorded:
            return y
        frame = _frame or _getframe(1)
        result = made(self, tuple(records), options or NO_OPTIONS, y, frame)
        if type(y) is tuple:
            return tuple([select(result, output=i, _frame=frame) for i in range(len(y))])
        return result

    def operands_first(self, inputs: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
        """The operands, with those given by keyword (``linear(x, W=W, b=b)``) taken out of the options."""
        for name in self.parameters[len(inputs):len(self.edges)]:
            if name not in options:
                break
            inputs = (*inputs, options.pop(name))
        return inputs

    def derivative(self, *partials: Partial, vjp: dict[int, Edge] | None = None) -> Op:
        """State an elementwise op's partial derivatives, one ``d(y, *inputs)`` per argument.

        1 and -1 stand for these constants (no multiplication), None for no derivative. `vjp` may
        give a faster ``(g, y, *inputs)`` for an argument by position; it must agree.

        Examples
        --------
        >>> @ad.op
        ... def cube(x):
        ...     return x * x * x
        >>> cube.derivative(lambda y, x: 3 * x * x)
        <Op cube, elementwise>
        >>> float(ad.grad(cube)(2.0))
        12.0
        """
        faster = vjp or {}
        options = len(self.parameters) > len(partials)
        products = [times(d, len(partials), options) for d in partials]
        edges = [faster.get(i) or product for i, product in enumerate(products)]
        return self._state("elementwise", edges, products, partials)

    def transpose(self, *transposes: Edge | None) -> Op:
        """State a linear op's transpose, one ``(g, y, *inputs, **options)`` per argument."""
        return self._state("linear", transposes)

    def vjp(self, *rules: Edge | None) -> Op:
        """State the contribution ``(g, y, *inputs, **options)`` to each argument; it must be linear in g."""
        return self._state("general", rules)

    def jvp(self, *tangents: Edge | None) -> Op:
        """State the tangent ``(t, y, *inputs, **options)`` from each argument, where that is faster than deriving."""
        self.tangents = tangents
        return self

    def variadic(self, rule: Edge, leading: Callable[[dict[str, Any]], int] | None = None) -> Op:
        """State a linear op of any number of inputs: ``(g, y, *inputs, **options)`` gives all contributions.

        `leading` says of the options in how many of the inputs it is linear; the others are its settings.
        """
        self.together = rule
        self.leading = leading
        return self._state("linear", ())

    def _state(self, kind: str, edges: Sequence[Edge | None], tangents: Sequence[Edge | None] | None = None,
               partials: tuple[Partial, ...] = ()) -> Op:
        if self.user:
            check_rules(self.name, kind, self.forward, partials or edges)
        self.kind = kind
        self.edges = tuple(edges)
        self.tangents = tangents
        self.partials = partials
        self.differentiable = self.together is not None or any(edge is not None for edge in edges)
        return self

    def __repr__(self) -> str:
        return f"<Op {self.name}, {self.kind}>"


def same(g: Any, y: Any, *inputs: Any, **options: Any) -> Any:
    """The contribution where the derivative is 1, which the walk back need not call."""
    return g


def times(d: Partial, arity: int, options: bool) -> Edge | None:
    """The contribution of a partial derivative: ``g * d(y, *inputs)``, and g or -g for 1 and -1."""
    if d is None:
        return None
    if isinstance(d, int):
        return same if d == 1 else lambda g, y, *inputs, **options: -g
    if not options and arity < 3:                 # spelled out, since packing costs as much as the product
        return (lambda g, y, x: g * d(y, x)) if arity == 1 else (lambda g, y, a, b: g * d(y, a, b))
    return lambda g, y, *inputs, **options: g * d(y, *inputs, **options)


def parameters_of(forward: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a Python function's parameters; () for others (inspect would cost a millisecond each)."""
    code = getattr(forward, "__code__", None)
    return code.co_varnames[:code.co_argcount + code.co_kwonlyargcount] if code else ()


def op(forward: Callable[..., Any]) -> Op:
    """Make an operation of a function on arrays: positional parameters are operands, keyword-only ones options.

    State its rule with `derivative` (elementwise), `transpose` (linear) or `vjp` (anything else);
    without one it is recorded and has no derivative.

    Examples
    --------
    >>> @ad.op
    ... def scale_shift(x, w, b):
    ...     return x * w + b
    >>> scale_shift.derivative(lambda y, x, w, b: w, lambda y, x, w, b: x, 1)
    <Op scale_shift, elementwise>
    >>> ad.gradcheck(lambda w: scale_shift(np.arange(3.0), w, 1.0).sum(), 2.0)
    """
    defined = Op(forward)
    defined.user = True             # its rules are checked; ours may take options by position
    return defined


def elementwise(name: str, forward: Callable[..., Any], *partials: Partial,
                vjp: dict[int, Edge] | None = None, analytic: Callable[..., Any] | None = None) -> Op:
    """An elementwise op in one line of a crib sheet: name, forward, a partial derivative per argument."""
    return Op(forward, name, analytic).derivative(*partials, vjp=vjp)


def linear_op(name: str, forward: Callable[..., Any], *transposes: Edge | None,
              analytic: Callable[..., Any] | None = None) -> Op:
    """A linear op in one line: name, forward, a transpose per argument."""
    return Op(forward, name, analytic).transpose(*transposes)


def constant(name: str, forward: Callable[..., Any], analytic: Callable[..., Any] | None = None) -> Op:
    """An op that is recorded, because values depend on it, and has no derivative."""
    return Op(forward, name, analytic)


# An op with several outputs is one record that holds a tuple, and a selection per output.
select = linear_op("select", lambda ys, output: ys[output], lambda g, y, ys, output: At(g, output))
