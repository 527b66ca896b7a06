"""Numbers, dtypes and arrays written out, so that they are read back to the last bit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

LITERAL = 60                 # characters up to which an array is written out


def dtype_text(dtype: Any) -> str:
    """A dtype as it is written."""
    return {"float64": "float", "bool": "bool", "int64": "int", "complex128": "complex"}.get(dtype.name,
                                                                                          f"np.{dtype.name}")


def number_text(x: Any) -> str:
    """A number, read back to the last bit."""
    x = x.item() if isinstance(x, np.generic) else x
    if isinstance(x, Fraction):
        return f"{x.numerator} / {x.denominator}"
    if isinstance(x, np.generic):                              # longdouble
        return f"np.longdouble({str(x)!r})"
    if isinstance(x, complex):
        if x.real == 0 and np.signbit(x.real) == np.signbit(x.imag) and np.isfinite(x.imag):
            return f"{'-' if np.signbit(x.imag) else ''}{abs(x.imag):.17g}j"
        return f"complex({number_text(x.real)}, {number_text(x.imag)})"
    if isinstance(x, float) and not np.isfinite(x):
        return "np.nan" if np.isnan(x) else "np.inf" if x > 0 else "-np.inf"
    return repr(x)


def option_text(value: Any) -> str:
    """An option as it is written."""
    if isinstance(value, np.dtype):
        return dtype_text(value)
    if isinstance(value, float) and not np.isfinite(value):
        return number_text(value)
    return f'"{value}"' if isinstance(value, str) else repr(value)


def filled_text(x: Any, dtype: Any, shape: tuple[int, ...]) -> str:
    """``np.ones(shape)``, ``np.full(shape, x)``."""
    kind = "" if dtype == np.float64 else f", dtype={dtype_text(dtype)}"
    size = str(shape[0]) if len(shape) == 1 else repr(shape)
    if x in (0, 1):
        return f"np.{'ones' if x else 'zeros'}({size}{kind})"
    if isinstance(x, Fraction):
        return f"np.full({size}, {x.numerator} / {x.denominator}{kind})"
    return f"np.full({size}, {number_text(float(x) if dtype == np.float64 else x)}{kind})"


def tuple_text(shape: tuple[int, ...]) -> str:
    """``(3, 4)`` or ``(3)``, as arguments."""
    return f"({', '.join(map(str, shape))})"


def array_text(x: Any) -> str | None:
    """An array that can be written out in a line; None for others."""
    x = np.asarray(x)
    if not x.ndim:
        text = number_text(x[()])
        return text if x.dtype in (np.float64, np.int64, np.bool_, np.complex128) else f"np.{x.dtype.name}({text})"
    if x.dtype.kind not in "fiub":
        return None
    if x.size > 1 and np.array_equal(x, np.full_like(x, x.flat[0]), equal_nan=x.dtype.kind == "f"):
        return filled(x)
    if x.ndim == 2 and x.shape[0] == x.shape[1] and np.array_equal(x, np.eye(len(x))):
        return f"np.eye({len(x)}{'' if x.dtype == np.float64 else f', dtype={dtype_text(x.dtype)}'})"
    line = np.ravel(x)
    if x.dtype.kind in "iu" and x.size > 1 and max(x.shape) == x.size:
        step = int(line[1]) - int(line[0])
        if step > 0 and np.array_equal(line, int(line[0]) + step * np.arange(x.size)):
            ends = [] if int(line[0]) == 0 and step == 1 else [str(line[0])]
            ends += [str(int(line[0]) + step * x.size)] + ([str(step)] if step > 1 else [])
            kind = "" if x.dtype == np.int64 else f", dtype={dtype_text(x.dtype)}"
            shape = "" if x.ndim == 1 else f".reshape{x.shape!r}"
            return f"np.arange({', '.join(ends)}{kind}){shape}"
    if x.size > LITERAL / 2:
        return None
    text = ", ".join(number_text(v) for v in x.tolist()) if x.ndim == 1 else repr(x.tolist())[1:-1]
    if "nan" in text or "inf" in text or len(text) > LITERAL:
        return None
    default = np.asarray(x.tolist()).dtype == x.dtype and x.size > 0
    return f"np.array([{text}]{'' if default else f', dtype={dtype_text(x.dtype)}'})"


def filled(x: Any) -> str:
    """An array of one number."""
    value = x.flat[0].item()
    if x.dtype.kind == "f":
        return filled_text(value, x.dtype, x.shape)
    kind = "" if x.dtype in (np.int64, np.bool_) else f", dtype={dtype_text(x.dtype)}"
    return f"np.full({x.shape!r}, {number_text(value)}{kind})"
