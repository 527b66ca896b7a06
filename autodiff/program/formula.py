"""`Formula`: an array that stands for its values as rational functions of what is on the tape.

Rules are pure NumPy, so a Formula can be given to them in place of an array, and what comes back is the derivative as
a person would have it: exact, with eᶻ e⁻ᶻ = 1 and log and exp undone, the same however it was spelled. What a Formula
does not know raises; then the tape stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.lib.mixins import NDArrayOperatorsMixin

from autodiff.program.algebra import Algebra, Shape, UnknownFormulaError, power_of
from autodiff.program.polynomial import Rational
from autodiff.record import Record

FLOOR = 1e-9                     # what guards a division or a logarithm and changes nothing else


class Formula(NDArrayOperatorsMixin):
    """An array of rational functions, the same one of its atoms at every place.

    Attributes
    ----------
    algebra : Algebra
        Whose atoms it is about.
    u : Rational
        The function.
    shape : tuple of int
        The array's shape; atoms are broadcast to it.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, algebra: Algebra, u: Rational, shape: Shape) -> None:
        self.algebra, self.u, self.shape = algebra, u, shape

    @property
    def ndim(self) -> int:
        """As NumPy's."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """As NumPy's."""
        return int(np.prod(self.shape, dtype=int))

    @property
    def T(self) -> Formula:
        """As NumPy's."""
        return self.transposed(tuple(range(self.ndim))[::-1])

    def __getitem__(self, index: Any) -> Formula:
        if index == () or index is Ellipsis:
            return self
        raise UnknownFormulaError("indexing")

    def __repr__(self) -> str:
        return f"<{self.u} {self.shape}>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise UnknownFormulaError("a formula has no values")

    __hash__ = object.__hash__

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "reduce" and ufunc is np.add:
            x, *rest = inputs
            return x.sum(rest[0] if rest else options.get("axis", 0),
                         rest[3] if len(rest) > 3 else options.get("keepdims", False))
        if method != "__call__" or ufunc not in UFUNCS or options:
            raise UnknownFormulaError(ufunc.__name__)
        xs = [as_formula(self.algebra, x) for x in inputs]
        return UFUNCS[ufunc](*xs)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function not in FUNCTIONS:
            raise UnknownFormulaError(function.__name__)
        return FUNCTIONS[function](*args, **options)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Formula:
        """As NumPy's."""
        axes = normalize_axis_tuple(range(self.ndim) if axis is None else axis, self.ndim)
        u = self.u
        for i in axes:
            u = self.algebra.total(u, i - self.ndim, self.shape[i])
        kept = tuple(1 if i in axes else n for i, n in enumerate(self.shape))
        result = Formula(self.algebra, u, kept)
        return result if keepdims else result.reshape(tuple(n for i, n in enumerate(self.shape) if i not in axes))

    def reshape(self, *shape: Any) -> Formula:
        """As NumPy's."""
        to = shape[0] if len(shape) == 1 else shape
        to = np.broadcast_to(0.0, self.shape).reshape(to).shape
        return self if to == self.shape else \
            Formula(self.algebra, self.algebra.moved(self.u, self.shape, ("reshape", to)), to)

    def transposed(self, axes: tuple[int, ...]) -> Formula:
        """With its axes in another order."""
        shape = tuple(self.shape[i] for i in axes)
        return Formula(self.algebra, self.algebra.moved(self.u, self.shape, ("transpose", axes)), shape)

    def summed_to(self, shape: Shape) -> Formula:
        """Summed over the axes along which `shape` was broadcast to this one's."""
        lead = self.ndim - len(shape)
        axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 != self.shape[lead + i])
        return (self.sum(axes, keepdims=True) if axes else self).reshape(shape)


def as_formula(algebra: Algebra, x: Any) -> Formula:
    """A number, an array or a record as a formula."""
    if isinstance(x, Formula):
        return x
    if isinstance(x, Record):
        return Formula(algebra, Rational.of(algebra.atom("array", x, np.shape(x.value))), np.shape(x.value))
    if isinstance(x, np.ndarray) and x.ndim:
        return Formula(algebra, Rational.of(algebra.atom("array", x, x.shape)), x.shape)
    if isinstance(x, bool | int | float | np.generic | np.ndarray) and np.asarray(x).dtype.kind in "biuf":
        return Formula(algebra, algebra.number(np.asarray(x).item()), ())
    raise UnknownFormulaError(type(x).__name__)


# ---- universal functions

def each(f: Callable[..., Rational]) -> Callable[..., Formula]:
    """A function of rational functions, element by element."""
    return lambda *xs: Formula(xs[0].algebra, f(*(x.u for x in xs)), np.broadcast_shapes(*(x.shape for x in xs)))


def within(f: Callable[[Algebra, Rational], Rational]) -> Callable[[Formula], Formula]:
    """A function of one formula that makes atoms."""
    return lambda x: Formula(x.algebra, f(x.algebra, x.u), x.shape)


def power(a: Formula, b: Formula) -> Formula:
    """a to the power of a number."""
    n = b.u.constant
    if n is None:
        raise UnknownFormulaError("a power that is no number")
    if n.denominator > 1 and not all(atom.kind == "exp" for atom in a.u.symbols):
        raise UnknownFormulaError("a root")                             # of x², say, which is not x
    u = a.u ** n.numerator if n.denominator == 1 else power_of(a.u, n)
    return Formula(a.algebra, u, np.broadcast_shapes(a.shape, b.shape))


def hyperbolic(p: int, q: int) -> Callable[[Formula], Formula]:
    """(eˣ + p e⁻ˣ) / (2 or eˣ + q e⁻ˣ)."""
    def of(algebra: Algebra, u: Rational) -> Rational:
        e = algebra.exp(u)
        return (e + p / e) / (e + q / e if q else 2)
    return within(of)


def compared(a: Formula, b: Formula) -> tuple[Rational, Formula]:
    """The sign of a - b, and a - b."""
    d = a - b
    return a.algebra.sign(d.u), d


def comparison(f: Callable[[Rational], Rational]) -> Callable[[Formula, Formula], Formula]:
    """1 where it holds, 0 elsewhere, in terms of the sign s of the difference."""
    def of(a: Formula, b: Formula) -> Formula:
        s, d = compared(a, b)
        return Formula(a.algebra, f(s), d.shape)
    return of


def extreme(sign: int) -> Callable[[Formula, Formula], Formula]:
    """The larger (1) or the smaller (-1) of two. A tiny floor that is not reached is taken for granted."""
    def of(a: Formula, b: Formula) -> Formula:
        if sign > 0 and b.u.symbols and all(atom.kind == "number" for atom in b.u.symbols):
            floor = float(b.algebra.value(b.u))
            if not 0 < floor <= FLOOR or not np.all(a.algebra.value(a.u) > floor):
                raise UnknownFormulaError("the larger of two")
            a.algebra.floors.append(floor)
            return a
        s, d = compared(a, b)
        larger: Formula = b + d * Formula(a.algebra, (1 + s * sign) / 2, d.shape)
        return larger
    return of


def absolute(x: Formula) -> Formula:
    """|x|."""
    y: Formula = x * Formula(x.algebra, x.algebra.sign(x.u), x.shape)
    return y


def matmul(a: Formula, b: Formula) -> Formula:
    """a @ b where nothing is added up: columns by rows."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != 1:
        raise UnknownFormulaError("a product of matrices")
    y: Formula = a * b
    return y


EXP = within(Algebra.exp)
LOG = within(Algebra.log)
SIGN = within(Algebra.sign)
UFUNCS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: each(lambda a, b: a + b), np.subtract: each(lambda a, b: a - b), np.multiply: each(lambda a, b: a * b),
    np.divide: each(lambda a, b: a / b), np.negative: each(lambda x: -x), np.positive: lambda x: x,
    np.square: each(lambda x: x * x), np.reciprocal: each(lambda x: 1 / x), np.power: power, np.matmul: matmul,
    np.exp: EXP, np.expm1: lambda x: EXP(x) - 1, np.log: LOG, np.log1p: lambda x: LOG(1 + x),
    np.sqrt: lambda x: power(x, as_formula(x.algebra, 0.5)), np.logaddexp: lambda a, b: LOG(EXP(a) + EXP(b)),
    np.tanh: hyperbolic(-1, 1), np.sinh: hyperbolic(-1, 0), np.cosh: hyperbolic(1, 0),
    np.sign: SIGN, np.absolute: absolute, np.fabs: absolute, np.maximum: extreme(1), np.minimum: extreme(-1),
    np.greater: comparison(lambda s: (s * s + s) / 2), np.less: comparison(lambda s: (s * s - s) / 2),
    np.greater_equal: comparison(lambda s: 1 - (s * s - s) / 2),
    np.less_equal: comparison(lambda s: 1 - (s * s + s) / 2),
    np.equal: comparison(lambda s: 1 - s * s), np.not_equal: comparison(lambda s: s * s),
}


# ---- other functions

def where(condition: Any, a: Any, b: Any) -> Any:
    """A choice: of a plain condition its side, else a sum weighted by 0 and 1; a guard against ∞ that does nothing."""
    if isinstance(condition, bool | np.bool_):
        return a if condition else b
    algebra = next(x.algebra for x in (condition, a, b) if isinstance(x, Formula))
    c = as_formula(algebra, condition)
    if isinstance(a, float) and not np.isfinite(a):
        if np.any(algebra.value(c.u) != 0):
            raise UnknownFormulaError("a guard that is needed")
        return b
    a, b = as_formula(algebra, a), as_formula(algebra, b)
    return c * a + (1 - c) * b


def broadcast_to(x: Formula, shape: Any, subok: bool = False) -> Formula:
    """As NumPy's."""
    return Formula(x.algebra, x.u, np.broadcast_shapes(x.shape, tuple(shape)))


def expand_dims(x: Formula, axis: Any) -> Formula:
    """As NumPy's."""
    return x.reshape(np.expand_dims(np.broadcast_to(0.0, x.shape), axis).shape)


def squeeze(x: Formula, axis: Any = None) -> Formula:
    """As NumPy's."""
    return x.reshape(np.squeeze(np.broadcast_to(0.0, x.shape), axis).shape)


def transpose(x: Formula, axes: Any = None) -> Formula:
    """As NumPy's."""
    return x.transposed(normalize_axis_tuple(axes, x.ndim) if axes is not None else tuple(range(x.ndim))[::-1])


def swapaxes(x: Formula, axis1: int, axis2: int) -> Formula:
    """As NumPy's."""
    axes = list(range(x.ndim))
    axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    return x.transposed(tuple(axes))


def largest(x: Formula, axis: Any = None, out: Any = None, keepdims: bool = False) -> Formula:
    """As NumPy's: an atom of its own."""
    axes = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    atom = x.algebra.atom("max", (x.u, tuple(i - x.ndim for i in axes)), kept)
    result = Formula(x.algebra, Rational.of(atom), kept)
    return result if keepdims else result.reshape(tuple(n for i, n in enumerate(x.shape) if i not in axes))


def einsum(subscripts: str, *xs: Any, optimize: Any = True) -> Formula:
    """As NumPy's, in the plain form that `ops.contraction` makes."""
    inputs, _, output = subscripts.partition("->")
    algebra = next(x.algebra for x in xs if isinstance(x, Formula))
    labels = output + "".join(sorted({*inputs} - {*output, ","}))
    product: Any = 1
    for text, x in zip(inputs.split(","), xs):
        x = as_formula(algebra, x)
        x = x.transposed(tuple(sorted(range(x.ndim), key=[labels.index(label) for label in text].__getitem__)))
        sizes = iter(x.shape)
        product = product * x.reshape(tuple(next(sizes) if label in text else 1 for label in labels))
    whole: Formula = product
    return whole.sum(tuple(range(len(output), len(labels))))


def filled(value: int) -> Callable[..., Formula]:
    """zeros_like and ones_like."""
    return lambda x, **options: Formula(x.algebra, Rational.number(value), options.get("shape") or x.shape)


def put_along_axis(rows: Formula, labels: Formula, value: Any, axis: int) -> None:
    """Zeros with a one at each label become a one-hot atom."""
    if rows.u.constant != 0 or value != 1 or axis != -1 or labels.shape != (*rows.shape[:-1], 1):
        raise UnknownFormulaError("put_along_axis")
    rows.u = hot(labels.reshape(rows.shape[:-1]), -1, rows.shape).u


def hot(labels: Formula, axis: int, shape: Shape) -> Formula:
    """Class numbers as zeros and a one along an axis counted from the end."""
    algebra = labels.algebra
    [*atoms] = labels.u.symbols
    if len(atoms) != 1 or labels.u != Rational.of(atoms[0]):
        raise UnknownFormulaError("labels that are computed")
    return Formula(algebra, Rational.of(algebra.atom("hot", (atoms[0], axis), shape)), shape)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: lambda x, axis=None, dtype=None, out=None, keepdims=False: x.sum(axis, keepdims),
    np.mean: lambda x, axis=None, keepdims=False: x.sum(axis, keepdims) / (x.size / x.sum(axis).size),
    np.reshape: lambda x, shape, order="C": x.reshape(shape), np.transpose: transpose, np.swapaxes: swapaxes,
    np.expand_dims: expand_dims, np.squeeze: squeeze, np.broadcast_to: broadcast_to, np.where: where,
    np.max: largest, np.amax: largest, np.zeros_like: filled(0), np.ones_like: filled(1),
    np.shape: lambda x: x.shape, np.ndim: lambda x: x.ndim, np.size: lambda x: x.size,
    np.iscomplexobj: lambda x: False, np.real: lambda x: x, np.conj: lambda x: x, np.isfinite: lambda x: True,
    np.put_along_axis: put_along_axis, np.einsum: einsum, np.copy: lambda x: x,
}
UFUNCS[np.isfinite] = lambda x: np.True_
UFUNCS[np.conjugate] = lambda x: x
