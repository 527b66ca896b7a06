"""Numbers put in the place of letters."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from autodiff.derivation.notation import (
    Element,
    Expr,
    Matrix,
    Number,
    Shown,
    Symbol,
    Words,
)
from autodiff.derivation.writer import few

LARGE = 24              # numbers in a result beyond which it is summarised
MANY = 12               # numbers in an operand beyond which it stays a letter


def plugged_in(x: Expr, values: Mapping[Hashable, Any], upright: bool = False) -> Expr:
    """An expression with its letters' values in their places; large arrays stay letters, or are summarised.

    With `upright` vectors are columns.
    """
    def matrix(value: Any) -> Matrix:
        value = np.asarray(value)
        return Matrix(value[:, None] if upright and value.ndim == 1 else value)

    match x:
        case Matrix(value):
            return summary(matrix(value).value)
        case Symbol(key=None) | Number() | Words() | Element():
            return x
        case Symbol():
            value = values[x.key]
            return x if value is None or isinstance(value, tuple) or np.size(value) > MANY else matrix(value)
        case Shown(role="worth", call=call) if call is not None and np.size(call(None)) <= MANY:
            return matrix(call(None))
    changed: dict[str, Any] = {}
    for field in fields(x):                                                            # type: ignore[arg-type]
        part = getattr(x, field.name)
        if isinstance(part, Expr) and field.name != "name":
            changed[field.name] = plugged_in(part, values, upright)
        elif isinstance(part, tuple) and part and isinstance(part[0], Expr):
            changed[field.name] = tuple(plugged_in(p, values, upright) for p in part)
    return replace(x, **changed)                                                       # type: ignore[type-var]


def summary(value: Any) -> Expr:
    """A small array as it is, of a large one the shape and the range."""
    if np.size(value) <= LARGE:
        return Matrix(value)
    shape = " × ".join(map(str, np.shape(value)))
    return Words(f"{shape} numbers from {few(np.min(value))} to {few(np.max(value))}")
