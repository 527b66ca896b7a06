"""How each operation is written: a table keyed by the op, with a default by kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.derivation.notation import (
    Call,
    Element,
    Expr,
    Fenced,
    Infix,
    Number,
    Power,
    Product,
    Shown,
    Symbol,
)
from autodiff.derivation.paper import (
    ONE,
    ONES,
    add,
    bare,
    fraction,
    hadamard,
    is_number,
    is_one,
    matrix_product,
    minus,
    scaled,
    subtract,
    total,
    transposed,
)
from autodiff.derivation.structure import shape_of
from autodiff.kinds import Op
from autodiff.ops import (
    activations,
    arithmetic,
    contraction,
    elementary,
    indexing,
    linalg,
    losses,
    products,
    reductions,
    shapes,
    stable,
)
from autodiff.ops.elementary import alias, cast, copy
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.derivation.formulas import Formulas

Builder = Callable[["Formulas", Record, list[Expr]], Expr]


class Held:
    """A value that no record holds, as the key of a symbol."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Values(dict[Any, Any]):
    """What symbols stand for: records their values, what is held itself, and what was put in."""

    def __missing__(self, key: Any) -> Any:
        """The value of a record, or of what is held."""
        return key.value


def plain(x: Any) -> Any:
    """The value of an operand."""
    return x.value if isinstance(x, Record) else x


def spread(x: Expr, shape: tuple[int, ...], scalar: bool = True) -> Shown:
    """Broadcast: written as it is."""
    return Shown(bare(x), partial(broadcast, shape=shape, scalar=scalar), "spread")


def broadcast(x: Any, shape: tuple[int, ...], scalar: bool) -> Any:
    """NumPy's broadcast_to."""
    return np.broadcast_to(x, shape)


def run(r: Record, n: int | None = None) -> Callable[..., Any]:
    """The operation on its operands' values: all, or the first n and the others as recorded."""
    op: Any = r.op
    rest = () if n is None else tuple(plain(x) for x in r.inputs[n:])
    return lambda *xs: op.forward(*xs, *rest, **r.options)


@lru_cache(maxsize=256)
def primed(op: Op) -> Op:
    """The derivative of a function of one argument, as an operation f′ of its own."""
    d: Any = op.partials[0]

    def forward(x: Any, **options: Any) -> Any:
        return d(op.forward(x, **options), x, **options)

    return Op(forward, op.name + "′").derivative(lambda y, x, **options: 0 * x)


# ---- how each is written

def default(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """By its name: f(x, y), with its options as a note."""
    op: Any = r.op
    name = op.name.rstrip("′")
    if len(name) > 24:
        name = name[:24] + "…"
    shown = [f"{key}={value!r}" for key, value in r.options.items()
             if key not in ("keepdims", "n", "index", "indices", "shape", "dtype", "key") and value is not None]
    if r.options.get("axis", 0) in (-1, len(shape_of(r)) - 1) and op in (stable.softmax, stable.log_softmax):
        shown = []
    note = ", ".join(shown)
    return Call(SIGNS.get(op) or Symbol(name), tuple(bare(a) if op.kind == "elementwise" else ones(a) for a in args),
                run(r), len(op.name) - len(op.name.rstrip("′")), note if len(note) < 40 else "",
                op.kind == "elementwise")


def infix(sign: str) -> Builder:
    """A sign between two sides."""
    return lambda w, r, args: Infix(sign, bare(args[0]), bare(args[1]), run(r))


def multiply(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """Element by element; of a column and a row the outer product; a number in front."""
    shapes_ = [shape_of(x) for x in r.inputs]
    a, b = (bare(x) for x in args)
    column = next((i for i in (0, 1) if role(args[i]) == "column"), None)
    if column is not None:
        left, right = args[column], args[1 - column]
        if role(right) == "row" or (len(shapes_[1 - column]) == 1 and not isinstance(right, Shown)):
            x, y = inside(left), inside(right)
            return Product((transposed(x), y) if w.row_vectors else (x, transposed(y)), "outer")
    if () in shapes_ or any(isinstance(x, Number) for x in (a, b)):
        front = 0 if shapes_[0] == () or isinstance(a, Number) else 1
        return scaled((a, b)[front], (a, b)[1 - front])
    return hadamard(*args)


def role(x: Expr) -> str:
    """What part something plays that is written as its body."""
    return x.role if isinstance(x, Shown) else ""


def inside(x: Expr) -> Expr:
    """The body of what is written as it."""
    return x.body if isinstance(x, Shown) else x


def divide(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """A quotient; the number of samples as m."""
    top, bottom = args
    if isinstance(bottom, Number) and not np.ndim(bottom.value):
        bottom = w.divisor(bottom.value)
    return fraction(top, bottom)


def power(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """A power; the square root as such."""
    exponent = bare(args[1]) if len(args) > 1 else Number(r.options["n"])
    if isinstance(exponent, Number) and exponent.value == 0.5:
        return Fenced("root", bare(args[0]), np.sqrt)
    if is_one(exponent):
        return args[0]
    if exponent == Number(-1):
        return fraction(ONE, args[0])
    return Power(bare(args[0]), exponent)


def matmul(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """A matrix product; a vector times a vector is aᵀ b."""
    a, b = (ones(x) for x in args)
    ndims = [len(shape_of(x)) for x in r.inputs]
    if ndims == [1, 1]:
        return Product((transposed(a), b), "matrix")
    return matrix_product(a, b, flat=ndims[1] > 1)


def ones(x: Expr) -> Expr:
    """In a matrix product a spread number is that number times a matrix of ones."""
    if not isinstance(x, Shown) or not is_number(x):
        return x
    shape = x.call.keywords["shape"]                                               # type: ignore[union-attr]
    return scaled(x.body, Symbol(ONES.base, key=Held(np.ones(shape))))


def linear(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """x Wᵀ + b."""
    z = matrix_product(ones(args[0]), transposed(args[1]))
    return z if len(args) < 3 or plain(r.inputs[2]) is None else add(z, args[2])


LETTERS = "ijkl"


def axes_of(r: Record, ndim: int) -> tuple[int, ...]:
    """The axes that a reduction goes over."""
    axis = r.options.get("axis")
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(a % ndim for a in axes)


def index_over(w: Formulas, shape: tuple[int, ...], axes: tuple[int, ...]) -> str:
    """The letters of the axes that are summed over; none where all are."""
    if len(axes) == len(shape):
        return "s" if shape == (w.samples,) else ""
    return ", ".join("s" if w.samples == shape[a] and a == 0 else LETTERS[min(a, 3)] for a in axes)


def sum_(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """Σ."""
    shape = shape_of(r.inputs[0])
    if not shape:
        return args[0]
    return total(args[0], index_over(w, shape, axes_of(r, len(shape))), run(r))


def mean(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """1/n Σ."""
    shape = shape_of(r.inputs[0])
    if not shape:
        return args[0]
    axes = axes_of(r, len(shape))
    call = partial(np.sum, axis=axes, keepdims=r.options.get("keepdims", False))
    n = w.divisor(int(np.prod([shape[a] for a in axes])))
    return scaled(fraction(ONE, n), total(args[0], index_over(w, shape, axes), call))


def sum_to(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """Sums over what was broadcast: of a matrix over its rows δᵀ 𝟏, else Σ."""
    x, shape, target = args[0], shape_of(r.inputs[0]), r.options["shape"]
    if shape == target:
        return x
    if isinstance(x, Symbol) and len(shape) == 2 and target == shape[1:]:
        return matrix_product(transposed(x), Symbol(ONES.base, key=Held(np.ones(shape[0]))))
    if isinstance(x, Symbol) and len(shape) == 2 and target == (shape[0], 1):
        return matrix_product(x, Symbol(ONES.base, key=Held(np.ones((shape[1], 1)))))
    lead = len(shape) - len(target)
    axes = (*range(lead), *(lead + i for i, n in enumerate(target) if n == 1 != shape[lead + i]))
    return total(x, index_over(w, shape, axes), run(r))


def view(kind: str) -> Builder:
    """Written as its operand."""
    def write(w: Formulas, r: Record, args: list[Expr]) -> Expr:
        x = args[0]
        if not isinstance(x, Shown) or x.role == "worth" or kind in ("column", "row"):
            return Shown(x, run(r), kind)
        return Shown(x.body, after(x.call, run(r)), "view")

    return write


def after(first: Callable[[Any], Any] | None, then: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One after the other."""
    return then if first is None else lambda x: then(first(x))


def expand_dims(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """A vector as a column or a row; else as it is."""
    vector = len(shape_of(r.inputs[0])) == 1
    axis = r.options["axis"]
    return view("column" if vector and axis in (-1, 1) else "row" if vector and axis in (-2, 0) else "view")(w, r, args)


def reshape(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """As it is where only axes of length one come or go, or leading ones are merged; else said."""
    before, now = shape_of(r.inputs[0]), shape_of(r)
    if [n for n in before if n > 1] == [n for n in now if n > 1] or (before and now and before[-1] == now[-1]):
        return view("view")(w, r, args)
    return Call(Symbol("reshape"), (args[0],), run(r), note="×".join(map(str, now)))


def transpose(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """Xᵀ where the last two axes are exchanged; else said."""
    x = plain(r.inputs[0])
    ndim = np.ndim(x)
    if ndim < 2:
        return args[0]
    axes = r.options.get("axes")
    order = tuple(range(ndim))[::-1] if axes is None else tuple(a % ndim for a in axes)
    if r.op is shapes.swapaxes:
        pair = {r.options["axis1"] % ndim, r.options["axis2"] % ndim}
        order = (*range(ndim - 2), ndim - 1, ndim - 2) if pair == {ndim - 1, ndim - 2} else ()
    if order == (*range(ndim - 2), ndim - 1, ndim - 2):
        return transposed(args[0])
    return default(w, r, args)


def getitem(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """x[index], the samples' own numbers as s."""
    arrays = iter(zip(r.inputs[1:], args[1:]))

    def part(i: Any) -> str:
        if i is indexing.HOLE:
            x, written = next(arrays)
            x = plain(x)
            if np.ndim(x) == 1 and np.array_equal(x, np.arange(len(x))):
                return "s"
            return written.base + "".join(map(str, written.sub)) if isinstance(written, Symbol) else "…"
        if isinstance(i, slice):
            ends = [i.start, i.stop] + ([i.step] if i.step is not None else [])
            return ":".join("" if end is None else str(end) for end in ends)
        return "…" if i is Ellipsis else "new" if i is None else str(i)

    index = r.options["index"]
    if index == (Ellipsis, 0) and shape_of(r.inputs[0])[-1:] == (1,):
        return view("view")(w, r, args)
    parts = tuple(part(i) for i in (index if isinstance(index, tuple) else (index,)))
    return Element(args[0], parts, run(r, 1))


def scatter(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """Values put where an index says, zeros elsewhere: scatter[index](values)."""
    n = len(r.options["indices"])
    index = r.options["indices"][0][0]
    if n > 1:
        return default(w, r, args)
    if isinstance(index, int) and len(shape_of(r)) == 1:
        unit = np.zeros_like(r.value)
        unit[index] = 1
        return scaled(args[0], Symbol("e", (str(index % len(unit)),), key=Held(unit)))
    letters = [x.base if isinstance(x, Symbol) else "…" for x in args[1:]]
    letters = ["s" if np.array_equal(plain(x), np.arange(len(plain(x)))) else a for a, x in zip(letters, r.inputs[1:])]
    return Call(Symbol("scatter"), (args[0],), run(r, 1), note=", ".join(letters))


def spelled(f: Callable[..., Expr]) -> Builder:
    """In terms of other signs."""
    return lambda w, r, args: f(*(bare(a) for a in args))


def function(name: str, call: Callable[..., Any]) -> Callable[[Expr], Expr]:
    """A function by its name, of one argument."""
    return lambda x: Call(Symbol(name), (x,), call, elementwise=True)


log, exp = function("log", np.log), function("exp", np.exp)


def surprise(p: Expr, t: Expr) -> Expr:
    """The binary cross entropy of a probability."""
    return minus(add(hadamard(t, log(p)), hadamard(subtract(ONE, t), log(subtract(ONE, p)))))


def surprise_of_logit(z: Expr, t: Expr) -> Expr:
    """The binary cross entropy of a logit."""
    return subtract(log(add(ONE, exp(z))), hadamard(t, z))


def where(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """A choice; that which only keeps a divisor from being 0 is left out."""
    condition, a, b = args
    if isinstance(condition, Infix) and condition.sign == "=" and condition.left == b and isinstance(a, Number):
        return b
    return default(w, r, args)


def one_hot(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """Of the labels, whatever they are shaped like."""
    return Call(Symbol("onehot"), (args[0],), run(r, 1))


SIGNS: dict[Op, Symbol] = {
    stable.sigmoid: Symbol("σ"), primed(stable.sigmoid): Symbol("σ"),
    activations.normal_cdf: Symbol("Φ"), activations.normal_pdf: Symbol("φ"),
    losses.cross_entropy_of_labels: Symbol("CE"), losses.cross_entropy_of_probabilities: Symbol("CE"),
}
FORMULA: dict[Op, Builder] = {
    arithmetic.add: lambda w, r, args: add(*args),
    arithmetic.subtract: lambda w, r, args: subtract(*args),
    arithmetic.multiply: multiply,
    arithmetic.divide: divide,
    arithmetic.negative: lambda w, r, args: minus(args[0]),
    arithmetic.square: lambda w, r, args: Power(bare(args[0]), Number(2)),
    arithmetic.integer_power: power, arithmetic.power: power,
    arithmetic.where: where, losses.one_hot: one_hot,
    linalg.inv: lambda w, r, args: Fenced("inverse", args[0], np.linalg.inv),
    arithmetic.absolute: lambda w, r, args: Fenced("abs", args[0], np.abs),
    arithmetic.fabs: lambda w, r, args: Fenced("abs", args[0], np.abs),
    arithmetic.maximum: lambda w, r, args: Call(Symbol("max"), tuple(map(bare, args)), np.maximum, elementwise=True),
    arithmetic.minimum: lambda w, r, args: Call(Symbol("min"), tuple(map(bare, args)), np.minimum, elementwise=True),
    arithmetic.greater: infix(">"), arithmetic.greater_equal: infix("≥"), arithmetic.less: infix("<"),
    arithmetic.less_equal: infix("≤"), arithmetic.equal: infix("="), arithmetic.not_equal: infix("≠"),
    elementary.sqrt: lambda w, r, args: Fenced("root", bare(args[0]), np.sqrt),
    elementary.reciprocal: spelled(lambda x: fraction(ONE, x)),
    elementary.log1p: spelled(lambda x: log(add(ONE, x))),
    elementary.expm1: spelled(lambda x: subtract(exp(x), ONE)),
    activations.log_sigmoid: spelled(lambda x: log(Call(Symbol("σ"), (x,), stable.sigmoid.forward, elementwise=True))),
    losses.binary_cross_entropy: spelled(surprise),
    losses.binary_cross_entropy_with_logits: spelled(surprise_of_logit),
    losses.squared_error: spelled(lambda a, b: Power(subtract(a, b), Number(2))),
    products.matmul: matmul, products.linear: linear,
    reductions.sum_: sum_, reductions.mean_: mean, shapes.sum_to: sum_to,
    reductions.norm: lambda w, r, args: Fenced("norm", args[0], run(r)),
    shapes.broadcast_to: lambda w, r, args: spread(args[0], shape_of(r), len(shape_of(r.inputs[0])) == 0),
    shapes.reshape: reshape, shapes.expand_dims: expand_dims, shapes.squeeze: view("view"),
    alias: view("view"), copy: view("view"), cast: view("view"),
    shapes.transpose: transpose, shapes.swapaxes: transpose,
    indexing.scatter: scatter, indexing.item: getitem, indexing.items: getitem,
    contraction.contract: lambda w, r, args: Call(Symbol("einsum"), tuple(args), run(r),
                                                  note=r.options["subscripts"].replace("->", " → ")),
}
SPREADING = {shapes.reshape, shapes.expand_dims, shapes.squeeze, shapes.transpose, shapes.swapaxes, shapes.moveaxis,
             shapes.broadcast_to, alias, copy, cast, indexing.item}
# Functions of one argument whose derivative is written f′ and told apart, as on paper.
PRIMED: set[Op] = {stable.sigmoid, stable.relu, stable.softplus, elementary.tanh, activations.gelu,
                   activations.gelu_tanh, activations.silu, activations.elu, activations.leaky_relu, activations.mish,
                   activations.hardtanh, activations.log_sigmoid}


def is_primed(op: Op) -> bool:
    """Whether f′ is written for its derivative: activations, and functions of the user's own."""
    return op in PRIMED or (op.user and op.kind == "elementwise" and len(op.partials) == 1 and callable(op.partials[0]))
