"""What an operation that could not run says: which, on what, on which line, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from autodiff.errors import AutodiffError, BadIndexError, OperandError, OperationError, ShapeError
from autodiff.record import Record
from autodiff.sites import locate, operand_texts, outside


def explained(error: Exception, op: str, operands: Sequence[Any], options: dict[str, Any]) -> Exception:
    """The error to raise instead of NumPy's: of the same type, with everything a reader needs."""
    if isinstance(error, AutodiffError):
        return error
    frame = outside(2)
    site = locate(frame.f_code, frame.f_lasti)
    texts = operand_texts(frame.f_code, frame.f_lasti, len(operands), op)
    shapes = [np.shape(value(x)) for x in operands]
    lines = [f"{op}: {reason(op, shapes, options) or first_line(error)}"]
    lines += [f"  {name_of(i, x, texts[i]):<12} {describe(x)}" for i, x in enumerate(operands)]
    if options:
        lines.append("  " + ", ".join(f"{key}={option!r}" for key, option in options.items()))
    lines.append(f"  at {site}: {site.text}" if site.text else f"  at {site}")
    if advice := advise(op, shapes):
        lines.append("  " + advice)
    return error_class(error)("\n".join(lines))


def value(x: Any) -> Any:
    """The array behind an operand."""
    return x.value if isinstance(x, Record) else x


def error_class(error: Exception) -> type[OperationError]:
    """Ours that is also of NumPy's type."""
    if isinstance(error, IndexError):
        return BadIndexError
    return ShapeError if isinstance(error, ValueError) else OperandError


def first_line(error: Exception) -> str:
    """NumPy's own words, as far as they help."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def name_of(i: int, x: Any, text: str) -> str:
    """How the user calls the operand: by the source, by its own name, or by its position."""
    if text and len(text) <= 24:
        return text
    return (x.name if isinstance(x, Record) else None) or f"operand {i}"


def describe(x: Any) -> str:
    """Shape and dtype, and where a result was made."""
    held = value(x)
    what = f"{np.shape(held)} {held.dtype}" if hasattr(held, "dtype") else f"{type(held).__name__} {held!r:.60}"
    made = f", {x.op.name} at {locate(x.code, x.lasti)}" if isinstance(x, Record) and x.op else ""
    return what + made


def reason(op: str, shapes: list[tuple[int, ...]], options: dict[str, Any]) -> str | None:
    """Why these shapes do not fit, naming the axis."""
    if op == "matmul" and len(shapes) == 2 and all(shapes):
        a, b = shapes
        inner, axis = (b[-2], -2) if len(b) > 1 else (b[0], 0)
        if a[-1] != inner:
            return f"the last axis of the first operand has {a[-1]} elements, axis {axis} of the second has {inner}"
    if op == "linear" and len(shapes) > 1 and shapes[0] and len(shapes[1]) == 2:
        x, W, *rest = shapes
        if x[-1] != W[1]:
            return f"the samples have {x[-1]} features (last axis of x), the weight expects {W[1]} (axis 1 of W)"
        return f"the weight gives {W[0]} outputs (axis 0 of W), the bias has shape {rest[0] if rest else None}"
    if op == "reshape" and "shape" in options and len(shapes) == 1:
        return f"{int(np.prod(shapes[0]))} elements of shape {shapes[0]} do not fill shape {options['shape']}"
    if "axis" not in options and "index" not in options and len(shapes) > 1:
        return broadcast_clash(shapes)
    return None


def broadcast_clash(shapes: list[tuple[int, ...]]) -> str | None:
    """The first axis, from the right, at which shapes do not broadcast."""
    for back, sizes in enumerate(zip_longest(*(reversed(s) for s in shapes), fillvalue=1), start=1):
        different = sorted({n for n in sizes if n != 1})
        if len(different) > 1:
            return f"shapes {' and '.join(map(str, shapes))} do not broadcast: axis -{back} is " \
                   f"{' against '.join(str(n) for n in sizes)}"
    return None


def advise(op: str, shapes: list[tuple[int, ...]]) -> str | None:
    """What would make it fit, where one thing does."""
    if op == "matmul" and len(shapes) == 2 and len(shapes[0]) > 1 and len(shapes[1]) == 2 \
            and shapes[0][-1] == shapes[1][-1]:
        return "Did you mean a @ b.T?"
    if len(shapes) == 2 and broadcast_clash(shapes):
        a, b = shapes
        if a[:1] == b and len(a) == 2:
            return "Axes are matched from the right; to add along rows use b[:, None]."
        if b[:1] == a and len(b) == 2:
            return "Axes are matched from the right; to add along rows use a[:, None]."
    return None
