"""Factors of matrix products, laid out as BLAS reads them fastest.

A dense layer multiplies by Wᵀ, and W lies in memory row by row: OpenBLAS takes longer for a right factor that lies
across. Of small products, which it does not pack, up to twice as long: a copy of the factor pays. Of larger ones the
time that packing takes: there A Bᵀ is computed as (B Aᵀ)ᵀ where A and the result are small beside B.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.kinds import constant
from autodiff.ops import elementary as e
from autodiff.ops import products, shapes
from autodiff.program.passes import Operand, Program, computed, rewritten, shape_of
from autodiff.record import Record

SMALL = 20_000                  # multiply-adds, below which a call costs more than its work
LARGE = 1_000_000               # multiply-adds, above which OpenBLAS packs both factors, however they lie
CACHE = 1 << 20                 # bytes of a factor that stays in the second-level cache, where packing it shows
WIDE, LONG = 16, 128            # columns or rows: a product with fewer of both is as fast either way

TRANSPOSING = (shapes.transpose, shapes.swapaxes)

in_rows = constant("in_rows", np.ascontiguousarray)


def arranged(program: Program, least: int = SMALL) -> Program:
    """The program with right factors in rows where that pays, and transposed products as products.

    Products of no more than `least` multiply-adds stay: OpenBLAS adds up in another order where it does not pack.
    """
    def rule(r: Record, state: Program) -> Operand:
        if r.op is products.matmul:
            return in_better_form(r, least)
        product = turned(r)
        if product is None or product.op is not products.matmul or np.ndim(product.value) != 2 \
                or not state.single(product) or (least > SMALL and work_of(product) <= least):
            return r
        left, right = product.inputs
        return computed(products.matmul, transposed(right), transposed(left), value=room(r.value))

    return rewritten(program, rule)


def work_of(r: Record) -> int:
    """The multiply-adds of a product of matrices."""
    return int(np.size(r.value)) * int(shape_of(r.inputs[0])[-1])


def in_better_form(r: Record, least: int) -> Record:
    """A product, or what takes less time: with a factor copied into rows, or as (B Aᵀ)ᵀ."""
    left, right = r.inputs
    if not all(isinstance(x, Record) and np.ndim(x.value) == 2 and x.value.dtype == r.value.dtype for x in r.inputs):
        return r
    source = turned(right)
    if source is None or turned(left) is not None or not behind(source).value.flags.c_contiguous:
        return r
    (rows, inner), columns = shape_of(left), shape_of(right)[1]
    work = rows * inner * columns
    if least < work <= LARGE and min(inner, columns) > 1 and (columns >= WIDE or rows >= LONG):
        return computed(products.matmul, left, computed(in_rows, right, value=room(right.value)), value=r.value)
    if work > LARGE and source.value.nbytes <= CACHE and rows * (inner + columns) < inner * columns:
        turned_left = computed(in_rows, transposed(left), value=room(left.value.T))
        other = computed(products.matmul, source, turned_left, value=room(r.value.T))
        return computed(in_rows, transposed(other), value=r.value)
    return r


def room(value: Any) -> Any:
    """An array of this shape and dtype, in rows: what a record's value is good for here."""
    return np.empty(value.shape, value.dtype)


def turned(x: Any) -> Record | None:
    """The matrix that an operand is the transpose of."""
    if not isinstance(x, Record) or x.op not in TRANSPOSING or np.ndim(x.value) != 2:
        return None
    source = x.inputs[0]
    swapped = x.op.forward(np.empty((2, 3)), **x.options).shape == (3, 2)
    return source if swapped and isinstance(source, Record) else None


def transposed(x: Any) -> Record:
    """The transpose of a matrix; of a transpose, the matrix."""
    source = turned(x)
    return computed(shapes.transpose, x) if source is None else source


def behind(x: Record) -> Record:
    """The record whose memory an alias shows."""
    while x.op is e.alias and isinstance(x.inputs[0], Record):
        x = x.inputs[0]
    return x
