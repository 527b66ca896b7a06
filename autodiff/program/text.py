"""How each operation is written in NumPy: a table keyed by the operation, with defaults by what its forward is.

An operation without an entry is written as NumPy's function if its forward is one, else as a call of a function that
holds its forward's source (`embedding`). `Writer.exact` asks for the text that repeats the tape to the last bit, where
the readable one may round differently (`x.sum(axis=0)` for a product with ones).
"""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.kinds import Op, select
from autodiff.naming import ArrayNames
from autodiff.ops import arithmetic as a
from autodiff.ops import complex as c
from autodiff.ops import contraction as con
from autodiff.ops import (
    convolution,
    cumulative,
    indexing,
    linalg,
    losses,
    pooling,
    products,
    random,
    reductions,
    selecting,
    stable,
)
from autodiff.ops import elementary as e
from autodiff.ops import shapes as s
from autodiff.program.literals import array_text, dtype_text, number_text, option_text
from autodiff.program.passes import value_of
from autodiff.program.placing import (
    as_is,
    as_object,
    converted,
    exchanged,
    expanded,
    in_shape,
    index_text,
    joined,
    last_written,
    looked_up,
    parts,
    position,
    selected,
    stretched,
    summed,
    turned,
)
from autodiff.program.writing import AND, ANY, ATOM, COMPARED, OR, POWER, PRODUCT, SIGN, SUM, XOR, Text, Writer, Writing
from autodiff.record import Record


def numpy_name(op: Op) -> str | None:
    """NumPy's function of the same operands and options, if there is one."""
    if op is a.where:
        return "np.where"
    if op in METHODS or op in FUNCTIONS:
        return f"np.{METHODS.get(op) or FUNCTIONS[op]}"
    return f"np.{op.forward.__name__}" if isinstance(op.forward, np.ufunc) else None


def expression(r: Record, w: Writer) -> Text:
    """The text of one operation on its operands."""
    op = r.op
    assert op is not None
    if op in TEXTS:
        return TEXTS[op](r, w)
    if op.forward in INFIX:
        return infix(r, w)
    if op in METHODS:
        return call(f"{w.arg(r.inputs[0], ATOM, r)}.{METHODS[op]}", (), r.options, r, w)
    if op in FUNCTIONS:
        return call(f"np.{FUNCTIONS[op]}", r.inputs, r.options, r, w)
    if isinstance(op.forward, np.ufunc):
        return call(f"np.{op.forward.__name__}", r.inputs, r.options, r, w)
    return call(w.helper(op), r.inputs, r.options, r, w)


def call(function: str, inputs: tuple[Any, ...], options: dict[str, Any], r: Record, w: Writer) -> Text:
    """A call, without the options that are at NumPy's defaults."""
    assert r.op is not None
    defaults = defaults_of(r.op.forward)
    given = [w.arg(x, r=r) for x in inputs]
    given += [option_text(value) for key, value in options.items() if key not in defaults]
    given += [f"{key}={option_text(value)}" for key, value in options.items()
              if key in defaults and not (type(value) is type(defaults[key]) and value == defaults[key])]
    return Text(f"{function}({', '.join(given)})")


def operand_text(x: Any, names: ArrayNames) -> Text:
    """A plain array within a formula: as the user wrote it, else written out if it is short, else by its shape.

    Examples
    --------
    >>> from autodiff.naming import ArrayNames
    >>> from autodiff.program.text import operand_text
    >>> y, w = np.array([0.25, 0.5]), ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> p = w * (1 - y)
    >>> operand_text(p.record.inputs[1], ArrayNames([p.record]))
    Text(text='1 - y', level=0)
    >>> operand_text(np.zeros((2, 3)), ArrayNames([p.record])).text
    'np.zeros((2, 3))'
    """
    text = names(x) or array_text(x) or f"array{np.shape(x)}"
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return Text(text, ANY)
    return Text(text, ATOM if isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call) else ANY)


def defaults_of(f: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of a function that have a default; those that come by keyword only count as such."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (ValueError, TypeError):
        return {}
    return {p.name: p.default for p in parameters if p.default is not p.empty or p.kind is p.KEYWORD_ONLY}


# ---- operators

INFIX: dict[Any, tuple[str, int]] = {
    operator.add: ("+", SUM), operator.sub: ("-", SUM), operator.mul: ("*", PRODUCT), operator.truediv: ("/", PRODUCT),
    operator.matmul: ("@", PRODUCT), operator.gt: (">", COMPARED), operator.ge: (">=", COMPARED),
    operator.lt: ("<", COMPARED), operator.le: ("<=", COMPARED), operator.eq: ("==", COMPARED),
    operator.ne: ("!=", COMPARED), operator.and_: ("&", AND), operator.or_: ("|", OR), operator.xor: ("^", XOR),
}


def infix(r: Record, w: Writer) -> Text:
    """``left + right``; comparisons do not chain."""
    assert r.op is not None
    sign, level = INFIX[r.op.forward]
    left, right = r.inputs
    return Text(f"{w.arg(left, level + (level == COMPARED), r)} {sign} {w.arg(right, level + 1, r)}", level)


def minus(r: Record, w: Writer) -> Text:
    """``-x``; of a product the sign may stand before it without parentheses."""
    x = r.inputs[0]
    loose = isinstance(x, Record) and x.op in (a.multiply, a.divide) and signed(x)
    text = w.arg(x, PRODUCT if loose else SIGN, r)
    return Text(f"-({text})" if text.startswith("-") else f"-{text}", PRODUCT if loose else SIGN)


def signed(x: Any) -> bool:
    """Whether the first factor of a product has a sign to change."""
    while isinstance(x, Record) and x.op in (a.multiply, a.divide):
        x = x.inputs[0]
    return np.result_type(value_of(x)).kind not in "bu" if isinstance(x, Record) else True


def raised(r: Record, w: Writer) -> Text:
    """``x**n``, by products where that is what ran."""
    x = r.inputs[0]
    n = r.options["n"] if r.op is a.integer_power else r.inputs[1] if len(r.inputs) > 1 else 2
    if w.exact and r.op is a.square:
        return Text(f"np.square({w.arg(x)})")
    if w.exact and r.op is a.integer_power:
        return call(w.helper(r.op), r.inputs, r.options, r, w)
    if r.op is a.integer_power and n == -1:
        return Text(f"1 / {w.arg(x, SIGN)}", PRODUCT)
    exponent = w.arg(n, SIGN, r) if isinstance(n, Record) else number_text(n) if is_weak(n) else w.arg(n, SIGN, r)
    return Text(f"{w.arg(x, ATOM, r)}**{exponent}", POWER)


def is_weak(n: Any) -> bool:
    """Whether a number is Python's, or as good as that."""
    return isinstance(n, int | float)


def inverted(r: Record, w: Writer) -> Text:
    """``~x``."""
    return Text(f"~{w.arg(r.inputs[0], SIGN)}", SIGN)


# ---- products

def dense(r: Record, w: Writer) -> Text:
    """``x @ W.T + b``."""
    x, W, *rest = r.inputs
    if w.exact and np.ndim(value_of(x)) == 2:
        text = Text(f"{w.arg(x, ATOM, r)}.dot({w.arg(W, ATOM, r)}.T)")
    else:
        text = Text(f"{w.arg(x, PRODUCT, r)} @ {w.arg(W, ATOM, r)}.T", PRODUCT)
    return Text(f"{text.text} + {w.arg(rest[0], PRODUCT, r)}", SUM) if rest and rest[0] is not None else text


def einsum(r: Record, w: Writer) -> Text:
    """``np.einsum("ij,jk->ik", a, b)``; of many operands in the best order."""
    subscripts = r.options["subscripts"]
    operands = ", ".join(w.arg(x, r=r) for x in r.inputs)
    path = ""
    if w.exact:
        path = f", optimize={con.order_of(subscripts, *(np.shape(value_of(x)) for x in r.inputs))!r}"
    elif len(r.inputs) > 2:
        path = ", optimize=True"
    return Text(f'np.einsum("{subscripts}", {operands}{path})')


def through_windows(r: Record, w: Writer) -> Text:
    """``conv(x, W, b, padding=2)``: with the margins as numbers, where "same" or rounding up says them otherwise."""
    assert r.op is not None
    options = dict(r.options)
    if not w.exact and (isinstance(options.get("padding"), str) or options.pop("ceil_mode", False)):
        options["padding"] = pads_of(r)
    return call(w.helper(r.op), r.inputs, options, r, w)


def pads_of(r: Record) -> Any:
    """The margins of a convolution or of pooling; one number where all are the same."""
    options, shapes = r.options, [np.shape(value_of(x)) for x in r.inputs]
    if r.op in (pooling.max_pool, pooling.max_unpool):
        pads, _ = pooling.windows(shapes[r.op is pooling.max_unpool][2:], **options)
    else:
        kernel = options.get("window") or shapes[1][2:]
        pads = convolution.margins(options["padding"], kernel, options.get("stride", 1), options.get("dilation", 1))
    sizes = {n for pair in pads for n in pair}
    return sizes.pop() if len(sizes) == 1 else tuple(pads)


def chosen(r: Record, w: Writer) -> Text:
    """``np.where(condition, a, b)``."""
    return Text(f"np.where({', '.join(w.arg(x, r=r) for x in r.inputs)})")


def clipped(r: Record, w: Writer) -> Text:
    """``np.clip(x, low, high)``."""
    return Text(f"np.clip({', '.join(w.arg(x) for x in r.inputs)})")


# ---- functions

def logistic(r: Record, w: Writer) -> Text:
    """``1 / (1 + np.exp(-z))``."""
    return Text(f"1 / (1 + np.exp(-{w.arg(r.inputs[0], SIGN)}))", PRODUCT)


def hot(r: Record, w: Writer) -> Text:
    """``np.eye(n)[labels]``."""
    labels, z = r.inputs
    n = np.shape(value_of(z))[-1]
    kind = "" if r.value.dtype == np.float64 else f", dtype={dtype_text(r.value.dtype)}"
    return Text(f"np.eye({n}{kind})[{position(labels, w, r)}]")


def mask(r: Record, w: Writer) -> Text:
    """The same random draw, by the recorded key."""
    dtype = "" if r.value.dtype == np.float64 else f", dtype={dtype_text(r.value.dtype)}"
    rate, key = r.options["rate"], r.options["key"]
    return Text(f"{w.helper(random.dropout_mask)}({np.shape(r.value)!r}, rate={rate!r}, key={key}{dtype})")


def added_up(r: Record, w: Writer) -> Text:
    """``scatter_add(tokens, g)``: zeros with g added in at an index; in statements, ``np.add.at(z, tokens, g)``."""
    assert r.op is not None
    indices, name = r.options["indices"], f"{w.helper(r.op)}_add"
    n = len(indices)
    terms = []
    for value, (index, start) in zip(r.inputs[:n], indices, strict=True):
        arrays = r.inputs[n + start:n + start + indexing.holes(index)]
        terms.append(f"{name}({as_object(index, index_text(index, arrays, w, r))}, {w.arg(value, r=r)})")
    return Text(" + ".join(terms), ATOM if n == 1 else SUM)


def updated(r: Record, w: Writer) -> Text:
    """``index_update(x, i, value)``: a copy of x with values put at an index."""
    assert r.op is not None
    x, value, *arrays = r.inputs
    index = r.options["index"]
    where = as_object(index, index_text(index, tuple(arrays), w, r))
    return Text(f"{w.helper(r.op)}({w.arg(x, r=r)}, {where}, {w.arg(value, r=r)})")


def attribute(r: Record, w: Writer) -> Text:
    """``z.real``, ``z.imag``, ``z.conj()``."""
    assert r.op is not None
    return Text(f"{w.arg(r.inputs[0], ATOM)}.{r.op.name}{'()' if r.op is c.conj else ''}")


def positive(r: Record, w: Writer) -> Text:
    """``np.maximum(z, 0)``."""
    return Text(f"np.maximum({w.arg(r.inputs[0])}, 0)")


def squared_difference(r: Record, w: Writer) -> Text:
    """``(a - b)**2``."""
    difference = f"{w.arg(r.inputs[0], SUM, r)} - {w.arg(r.inputs[1], PRODUCT, r)}"
    return Text(f"np.square({difference})") if w.exact else Text(f"({difference})**2", POWER)


TEXTS: dict[Op, Writing] = {
    a.negative: minus, a.square: raised, a.integer_power: raised, a.power: raised, a.invert: inverted,
    a.where: chosen, a.clip: clipped, products.linear: dense, con.contract: einsum,
    s.transpose: turned, s.swapaxes: exchanged, s.reshape: in_shape, s.squeeze: in_shape, s.expand_dims: expanded,
    s.broadcast_to: stretched, s.sum_to: summed, s.concatenate: joined, s.stack: joined, s.split: parts,
    e.alias: as_is, e.copy: as_is, e.cast: converted, e.truncate: converted, select: selected,
    indexing.scatter: added_up, indexing.put: updated, indexing.last: last_written,
    indexing.item: looked_up, indexing.items: looked_up,
    stable.sigmoid: logistic, stable.relu: positive,
    **dict.fromkeys((convolution.conv, convolution.conv_transpose, convolution.conv_weight, pooling.max_pool,
                     pooling.max_unpool), through_windows),
    losses.one_hot: hot, losses.squared_error: squared_difference, random.dropout_mask: mask,
    c.real: attribute, c.imag: attribute, c.conj: attribute,
}
METHODS: dict[Op, str] = {
    reductions.sum_: "sum", reductions.mean_: "mean", reductions.max_: "max", reductions.min_: "min",
    reductions.prod: "prod", reductions.var: "var", reductions.std: "std", reductions.argmax: "argmax",
    reductions.argmin: "argmin", reductions.any_: "any", reductions.all_: "all", cumulative.cumsum: "cumsum",
    cumulative.cumprod: "cumprod",
}
FUNCTIONS: dict[Op, str] = {
    reductions.nanmax: "nanmax", reductions.nanmin: "nanmin", reductions.median: "median",
    reductions.norm: "linalg.norm", reductions.count_nonzero: "count_nonzero", reductions.nonzero: "nonzero",
    s.moveaxis: "moveaxis", s.flip: "flip", s.roll: "roll", s.rot90: "rot90", s.tile: "tile", s.tril: "tril",
    s.triu: "triu", s.diag: "diag", s.pad: "pad", selecting.repeat: "repeat", selecting.argsort: "argsort",
    linalg.solve: "linalg.solve", linalg.inv: "linalg.inv", linalg.det: "linalg.det",
    linalg.slogdet: "linalg.slogdet", linalg.cholesky: "linalg.cholesky", e.nan_to_num: "nan_to_num",
    a.round_: "round",
}
