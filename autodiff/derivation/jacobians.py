"""Local Jacobians as they are written: read off what a step contributes to the cotangents of its inputs.

A contribution is linear in the incoming cotangent δ. So its formula says the Jacobian: δ ⊙ v means diag(v), δ W means
W, δᵀ x means ∂z/∂W_ij = x_j e_i.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.derivation.graph import Graph
from autodiff.derivation.notation import (
    BigSum,
    Call,
    Element,
    Expr,
    Fraction,
    Hadamard,
    Neg,
    Product,
    Shown,
    Sum,
    Symbol,
    Transpose,
    contains,
)
from autodiff.derivation.paper import (
    IDENTITY as I,
)
from autodiff.derivation.paper import (
    ONE,
    ONES,
    add,
    fraction,
    hadamard,
    is_one,
    is_scalar,
    matrix_product,
    minus,
    scaled,
    split_front,
    subtract,
    total,
    transposed,
)
from autodiff.derivation.structure import (
    BROADCAST,
    DENSE,
    DIAGONAL,
    IDENTITY,
    OUTER,
    PERMUTATION,
    PLACEMENT,
    RANK_ONE,
    REDUCTION,
    SCALAR,
    SELECTION,
    TRIANGULAR,
    alone,
    count,
    shape_of,
)
from autodiff.ops import stable
from autodiff.record import Record


@dataclass(frozen=True)
class Jacobian:
    """∂(a step)/∂(one of what it depends on).

    Attributes
    ----------
    of, wrt : str
        The names of both.
    shape : tuple of int
        Rows (elements of the step) and columns (elements of what it depends on), as `per` says.
    structure : str
        "identity", "scalar", "diagonal", "dense", "one-hot outer", "gradient", "diagonal plus rank one",
        "broadcast", "reduction", "selection", "placement", "permutation" or "triangular".
    per : str
        "sample", "row" or "column" where it is that of one of them, else "".
    written : Expr or None
        The matrix as a formula; None if there is no short one.
    multiply_adds : int
        What a row vector times this matrix costs, its structure used.
    """

    of: str
    wrt: str
    shape: tuple[int, int]
    structure: str
    per: str
    written: Expr | None
    multiply_adds: int


def jacobian(graph: Graph, h: Record, x: Record, contribution: Expr, g: Expr, symbols: dict[Record, Expr],
             unit: Expr | None = None) -> Jacobian:
    """The Jacobian of a step with respect to one input, from its contribution to that input's cotangent.

    `unit` is that contribution for a cotangent of 1, where the step is a number.
    """
    kind = graph.edges[h][x]
    per = "sample" if h in graph.samples or (h is graph.loss and x in graph.samples) else ""
    rows, columns = count(alone(h, graph.samples)), count(alone(x, graph.samples)) if per else count(shape_of(x))
    shared = bool(per) and x not in graph.samples
    if unit is not None and shape_of(x) == ():
        kind = IDENTITY if is_one(unit) else SCALAR
    if kind == DENSE and rows == columns == 1:
        kind, unit = SCALAR, factor(contribution, g) if unit is None else unit
    written = unit if unit is not None else of_softmax(graph, h, x, symbols) if kind == RANK_ONE else \
        read(kind, over_samples(contribution) if shared else contribution, g)
    if not per or len(alone(h, graph.samples)) > 1:           # each row of a matrix on its own
        if kind == DENSE:
            per, (rows, columns) = by_rows(h, x, contribution, g, per, (rows, columns))
        elif kind == RANK_ONE and np.ndim(h.value) > 1:
            per, rows, columns = "row", shape_of(h)[-1], shape_of(h)[-1]
        elif kind == OUTER and np.ndim(h.value) > 1:
            per, rows = "row", shape_of(h)[-1]
    if kind == REDUCTION and not per and shape_of(h) and columns % rows == 0:
        per, rows, columns = "element", 1, columns // rows
    if kind == SCALAR and unit is None and written is not None and is_one(bare_factor(written)):
        kind = IDENTITY
    one = written is not None and is_one(bare_factor(written))
    return Jacobian(graph.names[h], graph.names[x], (rows, columns), kind, per, written,
                    cost_of(kind, rows, columns, one))


def over_samples(x: Expr) -> Expr:
    """Of what is summed over the samples, what one of them adds."""
    match x:
        case BigSum(_, body):
            return body
        case Neg(body):
            return minus(over_samples(body))
        case Product(factors, "scalar"):
            return multiplied_by(factors[:-1], over_samples(factors[-1]))
        case Fraction(top, bottom):
            return fraction(over_samples(top), bottom)
    return x


def bare_factor(written: Expr) -> Expr:
    """The number before the identity, up to its sign; anything else as it is."""
    written = written.body if isinstance(written, Neg) else written
    return ONE if written == I else written


def cost_of(kind: str, rows: int, columns: int, one: bool) -> int:
    """The multiply-adds of a row vector times a Jacobian of this structure; copying and adding up count nothing."""
    if kind in (IDENTITY, PERMUTATION, SELECTION, PLACEMENT) or one:
        return 0
    return {SCALAR: rows, DIAGONAL: rows, OUTER: columns, RANK_ONE: 2 * rows, BROADCAST: rows, TRIANGULAR: rows,
            DENSE: rows * columns}.get(kind, columns)


def by_rows(h: Record, x: Record, contribution: Expr, g: Expr, per: str, whole: tuple[int, int]) \
        -> tuple[str, tuple[int, int]]:
    """The shape of a dense Jacobian that acts on each row (or column) of a matrix alike."""
    y, z = shape_of(h), shape_of(x)
    while isinstance(contribution, Neg):
        contribution = contribution.body
    _, contribution = split_front(contribution)
    if not isinstance(contribution, Product) or contribution.kind != "matrix" or len(y) < 2 or len(z) < 2:
        return per, whole
    first, last = stripped(contribution.factors[0]), stripped(contribution.factors[-1])
    if first in (g, Transpose(g)):
        return ("row", (y[-1], z[-1])) if first == g else ("column", (y[-2], z[-1]))
    if last in (g, Transpose(g)):
        return ("column", (y[-2], z[-2])) if last == g else ("row", (y[-1], z[-2]))
    return per, whole


def of_softmax(graph: Graph, h: Record, x: Record, symbols: dict[Record, Expr]) -> Expr | None:
    """diag(p) - p pᵀ of a softmax, I - 𝟏 pᵀ of its logarithm."""
    [op, *others] = [r.op for r in graph.inner[h] if r.op in (stable.softmax, stable.log_softmax)]
    if others or len(graph.inner[h]) > 1:
        return None
    if op is stable.softmax:
        p = symbols[h]
        return subtract(Call(Symbol("diag"), (p,), np.diagflat), Product((p, Transpose(p)), "matrix"))
    p = Call(Symbol("softmax"), (symbols[x],))
    return subtract(I, Product((ONES, Transpose(p)), "matrix"))


# ---- reading

def read(kind: str, x: Expr, g: Expr) -> Expr | None:
    """The matrix that makes x of g; None if that cannot be read off."""
    if kind == OUTER:
        return one_hot(x, g)
    if kind == DENSE:
        return matrix(x, g)
    if kind == IDENTITY:
        return I
    if kind == REDUCTION:
        v = factor(x, g)
        return None if v is None else as_row(v)
    if kind == BROADCAST:
        v = column(x, g)
        return None if v is None else scaled(v, ONES) if is_scalar(v) else v
    if kind in (SCALAR, DIAGONAL):
        v = factor(x, g)
        if v is None:
            return None
        if kind == DIAGONAL:
            return Call(Symbol("diag"), (v,), np.diagflat)
        return I if is_one(v) else minus(I) if is_one(minus(v)) else scaled(v, I)
    return None


def as_row(v: Expr) -> Expr:
    """A row of numbers."""
    if isinstance(v, Neg):
        return minus(as_row(v.body))
    if isinstance(split_front(v)[1], BigSum):
        return v
    single = is_scalar(v) or (isinstance(v, Fraction) and is_scalar(v.top))
    return scaled(v, Transpose(ONES)) if single else transposed(v)


def column(x: Expr, g: Expr) -> Expr | None:
    """v with x = Σ (g ⊙ v)."""
    match x:
        case Neg(body):
            v = column(body, g)
            return None if v is None else minus(v)
        case Product(factors, "scalar"):
            v = column(factors[-1], g)
            return None if v is None else multiplied_by(factors[:-1], v)
        case Fraction(top, bottom) if not contains(bottom, g):            # type: ignore[arg-type]
            v = column(top, g)
            return None if v is None else fraction(v, bottom)
        case BigSum(_, body):
            return factor(body, g)
    return factor(x, g)


def multiplied_by(numbers: tuple[Expr, ...], v: Expr) -> Expr:
    """Numbers in front."""
    for number in reversed(numbers):
        v = scaled(number, v)
    return v


def factor(x: Expr, g: Expr) -> Expr | None:
    """v with x = g ⊙ v."""
    if x == g:
        return ONE
    match x:
        case Shown(body) if x.role != "worth":
            return factor(body, g)
        case Neg(body):
            v = factor(body, g)
            return None if v is None else minus(v)
        case Fraction(top, bottom) if not contains(bottom, g):            # type: ignore[arg-type]
            v = factor(top, g)
            return None if v is None else fraction(v, bottom)
        case Sum(terms):
            vs = [factor(term, g) for term in terms]
            return None if any(v is None for v in vs) else add(*vs)      # type: ignore[arg-type]
        case Hadamard(factors) | Product(factors, "scalar"):
            found = [f for f in factors if contains(f, g)]                # type: ignore[arg-type]
            if len(found) != 1:
                return None
            v = factor(found[0], g)
            rest = [f for f in factors if f is not found[0]]
            if v is None:
                return None
            if isinstance(x, Hadamard):
                return hadamard(*rest, v)
            return multiplied_by(tuple(rest), v)
        case Transpose(body):
            return factor(body, g)
        case BigSum(index, body, call):
            v = factor(body, g)
            return None if v is None else total(v, index, call or np.sum)
    return None


def matrix(x: Expr, g: Expr) -> Expr | None:
    """W with x = g W, or x = Wᵀ g."""
    match x:
        case Shown(body, _, _):
            return matrix(body, g)
        case Neg(body):
            M = matrix(body, g)
            return None if M is None else minus(M)
        case Product(factors, "scalar") if contains(factors[-1], g):      # type: ignore[arg-type]
            M = matrix(factors[-1], g)
            for f in reversed(factors[:-1]):
                M = None if M is None else scaled(f, M)
            return M
        case Fraction(top, bottom):
            M = matrix(top, g)
            return None if M is None else fraction(M, bottom)
        case Product(factors, "matrix"):
            if untransposed(factors[0]) == g and not any(contains(f, g) for f in factors[1:]):     # type: ignore[arg-type]
                return multiplied(factors[1:])
            if untransposed(factors[-1]) == g and not any(contains(f, g) for f in factors[:-1]):   # type: ignore[arg-type]
                return transposed(multiplied(factors[:-1]))
    return None


def stripped(x: Expr) -> Expr:
    """What is written, without how it is laid out."""
    while isinstance(x, Shown) and x.role != "worth":
        x = x.body
    return x


def multiplied(factors: tuple[Expr, ...]) -> Expr:
    """The matrix product of all."""
    y = factors[0]
    for f in factors[1:]:
        y = matrix_product(y, f)
    return y


def one_hot(x: Expr, g: Expr) -> Expr | None:
    """a_j e_i, where x is the outer product of g (its rows i) and a (its columns j), or a_i e_j the other way round."""
    match x:
        case Shown(body, _, _) | Neg(body):
            inner = one_hot(body, g)
            return inner if inner is None or isinstance(x, Shown) else minus(inner)
        case Product(factors, "scalar"):
            inner = one_hot(factors[-1], g)
            for f in reversed(factors[:-1]):
                inner = None if inner is None else scaled(f, inner)
            return inner
        case Product((left, right), "matrix" | "outer"):
            letters: Any = [untransposed(f) for f in (left, right)]
            if g in letters:
                at = letters.index(g)
                a = letters[1 - at]
                return Product((Element(a, ("j",) if at == 0 else ("i",)), Symbol("e", ("i",) if at == 0 else ("j",))))
    return None


def untransposed(x: Expr) -> Expr:
    """The letter itself."""
    x = stripped(x)
    return stripped(x.body) if isinstance(x, Transpose) else x
