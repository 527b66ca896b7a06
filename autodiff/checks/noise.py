"""How far rounding alone may move a gradient: the tolerance of every check.

The gradient is a program, so it can be run again. Run one precision up it is the reference g*. Run
a few times with every result moved by a random rounding error, it shows what rounding does to it, here,
in this dtype:

    tol = 10 dev + 8 max(max dev, eps max|g*|),      dev = max |g_noisy - g*|, element by element

It scales with the loss and the dtype and widens where digits are lost, as no constant does. The error given to a
sum of n terms is relative to the sum of their sizes, and grows as sqrt(n) / 8: it rounds n times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.checks.kinks import Kink, kinks_of, with_kinks
from autodiff.checks.program import Each, Gradient
from autodiff.kinds import Op
from autodiff.ops import (
    activations,
    arithmetic,
    contraction,
    convolution,
    cumulative,
    elementary,
    indexing,
    pooling,
    products,
    reductions,
    selecting,
    shapes,
    stable,
)
from autodiff.ops import complex as complex_
from autodiff.record import Record
from autodiff.tape import Tape

REPEATS = 6                # noisy runs
LONG = 1e8                 # multiply-adds above which longdouble, which has no BLAS, takes too long
TOO_NOISY = 1e3            # noise amplification above which nothing is decided ...
HARMLESS = 1e-9            # ... unless rounding moves the gradient by less than this part of itself
DOUBLE = float(np.finfo(np.float64).eps)

# What only moves, chooses or negates values does not round (and a rounded maximum would equal none of its operands).
EXACT: set[Op] = {
    shapes.reshape, shapes.transpose, shapes.expand_dims, shapes.squeeze, shapes.broadcast_to, shapes.split,
    shapes.concatenate, shapes.stack, shapes.swapaxes, shapes.moveaxis, shapes.flip, shapes.roll, shapes.rot90,
    shapes.pad, shapes.tile, shapes.tril, shapes.triu, shapes.diag, selecting.repeat, complex_.imag, complex_.conj,
    indexing.put, indexing.item, indexing.items, reductions.max_, reductions.min_,
    arithmetic.maximum, arithmetic.minimum, arithmetic.where, arithmetic.clip, arithmetic.absolute,
    arithmetic.fmax, arithmetic.fmin, arithmetic.fabs, arithmetic.copysign, arithmetic.heaviside, arithmetic.fmod,
    reductions.nanmax, reductions.nanmin, elementary.nan_to_num, activations.hardtanh,
    arithmetic.negative, elementary.alias, complex_.real, stable.relu, pooling.max_pool, pooling.at_max,
}
# What adds up many terms rounds relative to these, not to their sum, and more often the more they are.
ADDING: dict[Op, Callable[[list[Any], Any], float]] = {
    products.matmul: lambda xs, y: np.shape(xs[0])[-1],
    products.linear: lambda xs, y: np.shape(xs[0])[-1],
    reductions.sum_: lambda xs, y: np.size(xs[0]) / max(np.size(y), 1),
    reductions.mean_: lambda xs, y: np.size(xs[0]) / max(np.size(y), 1),
    contraction.contract: lambda xs, y: max(np.shape(xs[0]), default=1),
    reductions.prod: lambda xs, y: np.size(xs[0]) / max(np.size(y), 1),
    reductions.var: lambda xs, y: np.size(xs[0]) / max(np.size(y), 1),
    reductions.std: lambda xs, y: np.size(xs[0]) / max(np.size(y), 1),
    reductions.norm: lambda xs, y: np.size(xs[0]) / max(np.size(y), 1),
    cumulative.cumsum: lambda xs, y: max(np.shape(xs[0]), default=1),
    cumulative.cumprod: lambda xs, y: max(np.shape(xs[0]), default=1),
    shapes.sum_to: lambda xs, y: np.size(xs[0]) / max(np.size(y), 1),
    convolution.conv: lambda xs, y: np.size(xs[1]) / len(xs[1]),
    convolution.conv_transpose: lambda xs, y: np.size(xs[1]) / np.shape(y)[1],
    convolution.conv_weight: lambda xs, y: np.size(xs[1]) / np.shape(xs[1])[1],
    pooling.avg_pool: lambda xs, y: np.size(xs[0]) / max(np.size(y), 1),
}
PRODUCTS = (products.matmul, products.linear, convolution.conv, convolution.conv_transpose, convolution.conv_weight)


@dataclass
class Reference:
    """What one gradient is, and how far rounding may move it.

    Attributes
    ----------
    record : Record
        What the gradient is with respect to.
    value : ndarray
        g*, computed one precision up.
    tolerance : ndarray
        Per element, how far from g* a right value may be.
    noise : float
        How far rounding moves the gradient, as a part of its largest element.
    eps : float
        The machine epsilon of the dtype the tolerance is for.
    kinked : ndarray of bool
        The elements that depend on what is chosen at a kink.
    """

    record: Record
    value: Any
    tolerance: Any
    noise: float
    eps: float
    kinked: Any

    @property
    def finite(self) -> bool:
        """Whether there is a gradient to compare with."""
        return bool(np.isfinite(self.value).all())

    @property
    def decides(self) -> bool:
        """Whether rounding leaves enough of it to compare with."""
        return self.noise <= max(TOO_NOISY * self.eps, HARMLESS)


@dataclass
class Measurement:
    """The references of some gradients at one point, and the kinks met on the way."""

    references: dict[Record, Reference]
    kinks: list[Kink] = field(default_factory=list)


def precision(tape: Tape) -> float:
    """The machine epsilon of the coarsest floating-point dtype in which anything on the tape is computed or wanted."""
    dtypes = {part.dtype for r in tape.all if r.tracked for part in parts_of(r.value) if part.dtype.kind == "f"}
    return max((float(np.finfo(dtype).eps) for dtype in dtypes), default=DOUBLE)


def one_up(eps: float, tape: Tape) -> Any:
    """The dtype for a reference: float64 below it, longdouble for float64 itself where it is wider and in time."""
    wider = np.finfo(np.longdouble).eps < DOUBLE
    return np.longdouble if eps <= DOUBLE and wider and work(tape) < LONG else np.float64


def work(tape: Tape) -> float:
    """Multiply-adds, about: those of matrix products, and one for each element of anything else."""
    total = 0.0
    for r in tape:
        inner = 1.0
        if r.op in PRODUCTS:
            inner = ADDING[r.op]([x.value if isinstance(x, Record) else x for x in r.inputs], r.value)
        total += inner * sum(np.size(y) for y in parts_of(r.value))
    return total


def parts_of(value: Any) -> tuple[Any, ...]:
    """The arrays of a record's value: one, unless its operation has several outputs."""
    return value if isinstance(value, tuple) else (value,)


def measure(gradient: Gradient, values: Mapping[Record, Any] | None = None, eps: float | None = None) -> Measurement:
    """The reference and the tolerance of each gradient of a program.

    Parameters
    ----------
    gradient : Gradient
        The program.
    values : dict of Record to array, optional
        Where: other values for some leaves.
    eps : float, optional
        The machine epsilon of the user's dtype; by default that of the coarsest dtype on the tape.
    """
    values = dict(values or {})
    eps = max(eps or 0.0, precision(gradient.forward))
    star, seen = reference_run(gradient, values, one_up(eps, gradient.recorded or gradient.forward))
    rng = np.random.default_rng(0)

    def value(x: Any) -> Any:
        return seen.get(x, values.get(x, x.value)) if isinstance(x, Record) else x

    moved: dict[Record, Any] = {}
    dev = deviation(gradient, values, star, eps, rng, watch=seen, moved=moved)
    least = rounding(gradient.forward, eps)

    def noise(x: Any) -> Any:
        return moved.get(x, 0.0) + least[x] if isinstance(x, Record) else 0.0

    kinks = kinks_of(gradient.forward, value, noise)
    if kinks:           # noise must not throw the dice there: these elements are held where they are
        pinned: dict[Record, Any] = {}
        for kink in kinks:
            pinned[kink.operand] = pinned.get(kink.operand, False) | kink.mask
        held = {r: (mask, np.asarray(value(r), np.float64)) for r, mask in pinned.items()}
        dev = deviation(gradient, values, star, eps, rng, pinned=held)
    margin = 1 if gradient.recorded is not None else 2          # where only the forward could be made noisy
    references = {}
    for r, g, d in zip(gradient.wanted, star, dev, strict=True):
        size = float(np.max(np.abs(g), initial=0))
        most = float(np.max(d, initial=0))
        tolerance = margin * (10 * d + 8 * max(most, eps * size))
        noise_part = most / size if size else 0.0 if most == 0 else np.inf
        references[r] = Reference(r, g, tolerance, noise_part if np.isfinite(noise_part) else np.inf, eps,
                                  np.zeros(np.shape(g), bool))
    for near, far in nudged(gradient, values, kinks, value, eps, rng):
        for a, b, reference in zip(near, far, references.values(), strict=True):
            step, longer_step = np.abs(a - reference.value), np.abs(b - reference.value)
            smooth = step <= longer_step / 2                # a jump does not shrink with the step
            reference.kinked |= ~(smooth | (step <= reference.tolerance))
    return Measurement(references, kinks)


def deciding(gradient: Gradient) -> set[Record]:
    """The operands on which a choice at a kink may depend."""
    return {x for r in with_kinks(gradient.forward) for x in r.inputs if isinstance(x, Record)}


def reference_run(gradient: Gradient, values: Mapping[Record, Any], dtype: Any) -> tuple[list[Any], dict[Record, Any]]:
    """The gradients one precision up, and in passing the values on which choices at kinks depend."""
    interesting = deciding(gradient)
    seen: dict[Record, Any] = {}

    def look(r: Record, y: Any) -> Any:
        if r in interesting:
            seen[r] = y
        return y

    try:
        return gradient.run(dtype, values, look), seen
    except Exception:               # not every function of a user's op knows longdouble; float64 every one does
        if dtype is np.float64:
            raise
        return gradient.run(np.float64, values, look), seen


def deviation(gradient: Gradient, values: Mapping[Record, Any], star: list[Any], eps: float, rng: np.random.Generator,
              watch: Mapping[Record, Any] | None = None, moved: dict[Record, Any] | None = None,
              pinned: Mapping[Record, Any] | None = None) -> list[Any]:
    """How far noise moves each gradient at most; `moved` is told the same of the watched intermediates."""
    watch, pinned, moved = watch or {}, pinned or {}, {} if moved is None else moved
    dev: list[Any] = [np.zeros(np.shape(g)) for g in star]
    for _ in range(REPEATS):
        shake = shaking(values, eps, rng)

        def noisy(r: Record, y: Any, shake: Each = shake) -> Any:
            y = shake(r, y)
            if r in pinned:
                mask, held = pinned[r]
                y = np.where(mask, held, y)[()]
            if r in watch:
                moved[r] = np.maximum(moved.get(r, 0), np.abs(y - watch[r]))
            return y

        for i, g in enumerate(gradient.run(np.float64, values, noisy)):
            with np.errstate(all="ignore"):
                dev[i] = np.maximum(dev[i], np.abs(g - star[i]))
    return dev


def shaking(values: Mapping[Record, Any], eps: float, rng: np.random.Generator) -> Each:
    """Moves each result by a random rounding error."""
    now: dict[Record, Any] = dict(values)

    def rounded(r: Record, y: Any) -> Any:
        now[r] = y = shaken(r, y)
        return y

    def shaken(r: Record, y: Any) -> Any:
        op = r.op
        assert op is not None
        if isinstance(y, tuple):
            return y if op in EXACT or op.kind == "constant" else tuple(one(part, np.abs(part)) for part in y)
        if op in EXACT or op.kind == "constant" or np.asarray(y).dtype.kind != "f":
            return y
        xs: list[Any] = [now.get(x, x.value) if isinstance(x, Record) else x for x in r.inputs]
        if op.user:
            return np.where(chosen(y, xs), y, one(y, np.abs(y)))[()]
        if op not in ADDING:
            return one(y, np.abs(y))
        terms = op.analytic(*(None if x is None else np.abs(x) for x in xs), **r.options)
        return one(y, terms * max(1.0, np.sqrt(ADDING[op](xs, y)) / 8))

    def one(y: Any, size: Any) -> Any:
        return y + eps * size * rng.uniform(-1, 1, np.shape(y))

    return rounded


def chosen(y: Any, operands: Iterable[Any]) -> Any:
    """Which elements of a result are elements of an operand: the largest of some, say; nothing rounds them.

    A user's rule may find them again, as ``x == y``.
    """
    return np.isin(y, np.concatenate([np.ravel(x) for x in operands if x is not None] or [np.empty(0)]))


def nudged(gradient: Gradient, values: Mapping[Record, Any], kinks: list[Kink], value: Callable[[Any], Any],
           eps: float, rng: np.random.Generator) -> Iterator[tuple[list[Any], list[Any]]]:
    """The gradients with what stands at a kink moved off it, a little and eight times as far.

    First everything is moved up, then everything down, then each element its own way, and the opposite way: what is
    first of equals in one order is last in the other.
    """
    if not kinks:
        return
    amounts: dict[Record, Any] = {}
    for kink in kinks:
        x = np.asarray(value(kink.operand))
        step = 2 * kink.width + 4 * eps * float(np.max(np.abs(x), initial=0) or 1.0)
        amounts[kink.operand] = np.maximum(amounts.get(kink.operand, 0), step * kink.mask)
    own = {r: rng.uniform(-1, 1, np.shape(amount)) for r, amount in amounts.items()}
    for draw in range(4):
        ways = {r: (own[r] if draw > 1 else 1) * (1 - 2 * (draw % 2)) for r in amounts}

        def moved(times: float, ways: Mapping[Record, Any] = ways) -> list[Any]:
            by = {r: times * amount * ways[r] for r, amount in amounts.items()}
            leaves = {r: value(r) + by[r] for r in by if r.op is None}
            return gradient.run(np.float64, {**values, **leaves}, lambda r, y: y + by[r] if r in by else y)

        yield moved(1), moved(8)


def rounding(tape: Tape, eps: float) -> dict[Record, float]:
    """How much one rounding of each value amounts to at least; zero for what is exact."""
    least: dict[Record, float] = {}
    for r in tape.all:
        if r.op is None:
            least[r] = 0.0
        elif r.op in EXACT:
            least[r] = max((least[x] for x in r.inputs if isinstance(x, Record)), default=0.0)
        else:
            least[r] = eps * max(float(np.max(np.abs(part), initial=0)) for part in parts_of(r.value))
    return least
