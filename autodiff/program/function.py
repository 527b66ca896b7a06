"""A laid out program as the text of a function, which runs as it stands."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np

from autodiff.program.lines import INDENT, Layout, commented, wrapped
from autodiff.program.literals import number_text
from autodiff.record import Record

LOSS = ""                # the key of the loss among the outputs


def function_text(layout: Layout, docstring: list[str], dtype: Any) -> str:
    """The module: imports, helper functions, and ``def gradients(...)``."""
    lines = layout.lines
    forward = commented((line for line in lines if line.forward), dtype)
    backward = commented((line for line in lines if not line.forward), dtype)
    body = wrapped("def gradients(", list(layout.inputs.values()), "):")
    body += [f'{INDENT}"""{docstring[0]}', *(f"{INDENT}{line}".rstrip() for line in docstring[1:]), f'{INDENT}"""'] \
        if len(docstring) > 1 else [f'{INDENT}"""{docstring[0]}"""']
    body += [f"{INDENT}# forward", *forward] if forward else []
    body += [f"{INDENT}# backward", *backward] if backward else []
    body += returned(layout)
    above = ["import numpy as np", *layout.embedding.imports]
    functions = [*(source for _, source in layout.functions.values()), *layout.embedding.definitions]
    return "\n\n\n".join(["\n".join(sorted(above)), *functions, "\n".join(body)])


def returned(layout: Layout) -> list[str]:
    """``return {"W1": dW1, ...}``, with the loss before it where that is wanted."""
    outputs = dict(layout.program.outputs)
    loss = f"{result_text(outputs.pop(LOSS), layout)}, " if LOSS in outputs else ""
    items = [f"{json.dumps(key, ensure_ascii=False)}: {result_text(r, layout)}" for key, r in outputs.items()]
    return wrapped(f"{INDENT}return {loss}{{", items, "}")


def result_text(r: Any, layout: Layout) -> str:
    """A result: what it is called, or the number it is."""
    if isinstance(r, Record):
        return layout.arg(r)
    if isinstance(r, np.generic) and r.dtype != np.float64:
        return f"np.{r.dtype.name}({number_text(r)})"
    return layout.number(r if isinstance(r, Fraction) else float(r), None).text
