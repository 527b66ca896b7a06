"""A record as a formula in the user's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autodiff.naming import memory_of
from autodiff.ops import arithmetic, losses, products, reductions, shapes, stable
from autodiff.program.closed_writing import FREE
from autodiff.record import Record

SIGNS = {arithmetic.add: ("+", 1), arithmetic.subtract: ("-", 1), arithmetic.multiply: ("*", 2),
         arithmetic.divide: ("/", 2), products.matmul: ("@", 2)}


def text_of(x: Any, names: Mapping[Any, str], depth: int = 12, least: int = 0) -> str:
    """A record as a formula in the user's names; `names` says what records are called, and arrays by their memory."""
    if not isinstance(x, Record):
        known = names.get(memory_of(x)) if isinstance(x, np.ndarray) else None
        return known or (str(x) if np.ndim(x) == 0 else f"array{np.shape(x)}")
    if x in names or x.op is None or not depth:
        return names.get(x) or f"tensor{np.shape(x.value)}"
    inner = [text_of(i, names, depth - 1) for i in x.inputs[:1]]
    if x.op in SIGNS:
        sign, level = SIGNS[x.op]
        text = f"{text_of(x.inputs[0], names, depth - 1, level)} {sign} " \
               f"{text_of(x.inputs[1], names, depth - 1, level + (sign in '-/@'))}"
    elif x.op is arithmetic.negative:
        text, level = f"-{text_of(x.inputs[0], names, depth - 1, 3)}", 2
    elif x.op is arithmetic.square:
        text, level = f"{text_of(x.inputs[0], names, depth - 1, 4)}²", 3
    elif x.op in (reductions.sum_, reductions.mean_):
        along = x.options.get("axis")
        text, level = f"{x.op.name}({inner[0]}{'' if along is None else f', axis={along}'})", 4
    elif x.op is shapes.transpose and np.ndim(x.value) > 1:
        text, level = f"{text_of(x.inputs[0], names, depth - 1, 4)}.T", 4
    elif x.op is products.linear:
        z, W, *b = (text_of(i, names, depth - 1, 4 if k == 1 else 2) for k, i in enumerate(x.inputs) if i is not None)
        text, level = " + ".join([f"{z} @ {W}.T", *b]), 1 if b else 2
    elif x.op in FREE or x.op in (shapes.reshape, shapes.transpose):
        return text_of(x.inputs[0], names, depth - 1, least)
    else:
        arguments = [text_of(i, names, depth - 1) for i in x.inputs[:1 if x.op is losses.one_hot else None]]
        text, level = f"{'σ' if x.op is stable.sigmoid else x.op.name}({', '.join(arguments)})", 4
    return f"({text})" if level < least else text
