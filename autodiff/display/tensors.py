"""A tensor in a notebook: what it is, where it came from, its values, and its gradient beside them."""

from __future__ import annotations

import numpy as np

from autodiff.display.numbers import numbers
from autodiff.display.pieces import framed, paragraph, shape_text, shown, span
from autodiff.naming import names_of, operand_names, user_site
from autodiff.record import Leaf, Record
from autodiff.tensor import Tensor


@shown
def tensor_html(tensor: Tensor) -> str:
    """The display of a tensor."""
    r = tensor.record
    gradient = r.grad if isinstance(r, Leaf) else None
    head = [span("code name", r.name)] if r.name is not None else []
    head.append(span("quiet fact", type(tensor).__name__))
    values = r.value if isinstance(r.value, tuple) else (r.value,)
    head.append(span("fact", ", ".join(shape_text(np.shape(v)) for v in values)))
    head.append(span("quiet fact", ", ".join(str(np.asarray(v).dtype) for v in values)))
    if r.requires_grad:
        head.append(span("backward fact", "requires grad"))
    tables = [column("value", "forward", v) for v in values]
    if gradient is not None:
        tables.append(column("gradient", "backward", gradient))
    return framed(paragraph(*head), origin(r), f'<div class="side">{"".join(tables)}</div>')


def column(title: str, kind: str, values: object) -> str:
    """An array under its heading."""
    return f"<div>{span(kind, title)}{numbers(values)}</div>"


def origin(r: Record) -> str:
    """The operation that made it, and the user's line."""
    site = user_site(r)
    parts = []
    if r.op is not None:
        names = operand_names(r, names_of(x for x in r.inputs if isinstance(x, Record)))
        operands = [text or name for text, name in zip(r.written, names, strict=True)]
        parts.append(span("code fact", f"{r.op.name}({', '.join(operands)})", 200))
    layer = f"in {r.scope.path}, " if r.scope is not None and r.scope.path else ""
    if site is not None:
        parts.append(span("quiet", f"{layer}at {site}"))
        parts += [span("quiet code", f": {site.text}", 200)] if site.text else []
    return paragraph(*parts) if parts else ""
