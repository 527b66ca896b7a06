"""What stands on the disc of an operation: as on paper where there is a sign for it, else the name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autodiff.ops.indexing import HOLE

INFIX = {
    "add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "power": "^", "matmul": "@",
    "remainder": "mod", "floor_divide": "//", "float_power": "^",
    "greater": ">", "greater_equal": "≥", "less": "<", "less_equal": "≤", "equal": "=", "not_equal": "≠",
    "logical_and": "and", "logical_or": "or", "logical_xor": "xor",
    "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
}
SYMBOLS = {
    "negative": "−x", "absolute": "|x|", "square": "x²", "sqrt": "√", "sigmoid": "σ", "sum": "Σ",
    "prod": "Π", "norm": "‖x‖", "cbrt": "∛", "exp2": "2ˣ", "expm1": "eˣ−1", "reciprocal": "1/x", "fabs": "|x|",
    "log2": "log₂", "log10": "log₁₀", "log_sigmoid": "log σ", "cumsum": "Σ running", "cumprod": "Π running",
    "inv": "X⁻¹", "det": "det", "slogdet": "log |det|", "swapaxes": "swap axes", "moveaxis": "move axis", "conj": "z̄",
    "real": "Re", "imag": "Im", "index_update": "[…] ←", "tril": "◺", "triu": "◹", "cholesky": "L of LLᵀ",
    "normal_cdf": "Φ", "normal_pdf": "φ", "hypot": "√(a²+b²)", "logaddexp": "log(eᵃ+eᵇ)",
    "transpose": "T", "maximum": "max", "minimum": "min", "logical_not": "not", "invert": "not",
    "concatenate": "concat", "expand_dims": "expand", "broadcast_to": "broadcast", "dropout_mask": "dropout",
    "logsumexp": "log Σ exp", "log_softmax": "log softmax", "binary_cross_entropy": "BCE",
    "binary_cross_entropy_with_logits": "BCE of logits",
    "cross_entropy": "CE", "squared_error": "(a−b)²", "alias": "=",
}
REDUCTIONS = {"sum", "mean", "max", "min", "logsumexp", "prod", "var", "std", "median", "norm", "nanmax", "nanmin",
              "cumsum", "cumprod", "argmax", "argmin", "any", "all", "count_nonzero"}
RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def symbol(op: str, constants: Sequence[str | None], options: Mapping[str, Any]) -> str:
    """The text on an operation's disc.

    Parameters
    ----------
    op : str
        The operation's name.
    constants : sequence of str or None
        Per operand the number it is, or None for a tensor.
    options : mapping
        What else the operation was told.

    >>> symbol("multiply", ["2", None], {}), symbol("add", [None, None], {})
    ('2 ×', '+')
    >>> symbol("integer_power", [None], {"n": 3}), symbol("sum", [None], {"axis": 0})
    ('x³', 'Σ axis 0')
    >>> symbol("clip", [None, "0", "None"], {}), symbol("getitem", [None], {"index": (slice(None), 0)})
    ('clip(·, 0, None)', '[:, 0]')
    """
    if op == "integer_power" and "n" in options:
        return "x" + str(options["n"]).translate(RAISED)
    if op == "getitem" and "index" in options:
        text = f"[{index(options['index'])}]"
        return text if len(text) <= 16 else "[…]"
    if op == "einsum" and "subscripts" in options:
        return str(options["subscripts"]).replace("->", " → ")
    if op in INFIX and len(constants) == 2:
        left, right = constants
        return " ".join(part for part in (left, INFIX[op], right) if part is not None)
    text = SYMBOLS.get(op) or INFIX.get(op) or op.replace("_", " ")
    if any(c is not None for c in constants):
        text += f"({', '.join(c if c is not None else '·' for c in constants)})"
    axis = options.get("axis")
    return f"{text} axis {axis}" if op in REDUCTIONS and axis is not None else text


def index(i: Any) -> str:
    """An index as it is written between the brackets.

    >>> index((slice(1, None), None, ...)), index(slice(0, 6, 2))
    ('1:, None, …', '0:6:2')
    """
    if isinstance(i, tuple):
        return ", ".join(map(index, i)) or "()"
    if isinstance(i, slice):
        ends = [i.start, i.stop] + ([i.step] if i.step is not None else [])
        return ":".join("" if end is None else str(end) for end in ends)
    return "…" if i is Ellipsis else "·" if i is HOLE else str(i)
