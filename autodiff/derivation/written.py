"""How each operation is written: a table keyed by the op, with a default by kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.derivation.calls import Builder, default, ones, plain, run, spread
from autodiff.derivation.notation import (
    Call,
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
    add,
    bare,
    fraction,
    hadamard,
    is_one,
    matrix_product,
    minus,
    scaled,
    subtract,
    transposed,
)
from autodiff.derivation.rearranged import (
    expand_dims,
    getitem,
    mean,
    reshape,
    scatter,
    sum_,
    sum_to,
    transpose,
    view,
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


def linear(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """x Wᵀ + b."""
    z = matrix_product(ones(args[0]), transposed(args[1]))
    return z if len(args) < 3 or plain(r.inputs[2]) is None else add(z, args[2])


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
