"""What `detect_anomaly` says of a record or a step of the walk back that made an infinite or undefined number."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from autodiff.explain import at, describe, name_of, value, written
from autodiff.record import Record
from autodiff.sites import Site, is_ours, locate


class Edge(NamedTuple):
    """A step of the walk back: what arrived at a record, and what it handed its input number `i`."""

    record: Record
    i: int
    arrived: Any
    left: Any
    added: bool = False          # it is finite, and only with the contributions of other records no more


# ---- what is at fault

def makes_nonfinite(r: Record) -> bool:
    """Whether a record made a non-finite value of finite ones, or a NaN of numbers."""
    operands = [value(x) for x in r.inputs]
    return not any(map(is_nonfinite, operands)) or (holds_nan(r) and not any(map(has_nan, operands)))


def gives_nan(r: Record) -> bool:
    """Whether a NaN comes from a leaf, or from an array that the user gave."""
    return holds_nan(r) and any(has_nan(value(x)) for x in r.inputs if not isinstance(x, Record) or x.op is None)


def holds_nan(r: Record) -> bool:
    """Whether a record's value has a NaN."""
    return has_nan(r.value)


def has_nan(a: Any) -> bool:
    """Whether there is a NaN."""
    return any(has_nan(part) for part in a) if isinstance(a, tuple) else is_float(a) and bool(np.isnan(a).any())


def is_nonfinite(a: Any) -> bool:
    """Whether there is an infinity or a NaN."""
    if isinstance(a, tuple):
        return any(is_nonfinite(part) for part in a)
    return is_float(a) and not np.isfinite(a).all()


def is_float(a: Any) -> bool:
    """Whether these are floating-point numbers."""
    return isinstance(a, float) or (hasattr(a, "dtype") and a.dtype.kind in "fc")


# ---- in words

# What makes each of these non-finite, and what helps; `{x}` is the first operand as the user writes it.
LIMITS = {
    "exp": "exp({x}) overflows above 709 (float64), 88 (float32) or 11 (float16). Subtract the maximum first, or use "
           "what does: ad.softmax, ad.logsumexp, ad.sigmoid, ad.softplus.",
    "log": "log is -inf at 0 and nan below. Keep {x} positive; of a softmax or sigmoid take ad.log_softmax, or a loss "
           "on logits.",
    "log1p": "log1p is -inf at -1 and nan below.",
    "sqrt": "sqrt has an infinite slope at 0 and is nan below. Add a small number inside, np.sqrt({x} + 1e-12), or "
            "keep {x} positive.",
    "divide": "It divides by 0, or the quotient is too large. Keep the denominator away from 0.",
    "power": "A power of 0 with a negative exponent is inf, a fractional power of a negative number nan; and the slope "
             "of 0 ** b is infinite for b < 1.",
    "integer_power": "A negative power of 0 is inf.",
    "arcsin": "arcsin has an infinite slope at -1 and 1, and is nan outside.",
    "arccos": "arccos has an infinite slope at -1 and 1, and is nan outside.",
    "arctanh": "arctanh is inf at -1 and 1, and nan outside.",
    "arccosh": "arccosh has an infinite slope at 1, and is nan below.",
    "norm": "A norm has no gradient at 0; np.sqrt((x ** 2).sum() + 1e-12) has.",
    "std": "A standard deviation of 0 has no gradient; np.sqrt(x.var() + 1e-12) has.",
}
LIMITS["log2"] = LIMITS["log10"] = LIMITS["log"]
LIMITS["exp2"] = LIMITS["expm1"] = LIMITS["sinh"] = LIMITS["cosh"] = LIMITS["exp"]
# A number at which an operation and its slope are finite: what to compute where the result is not used.
SAFE = {"arcsin": "0", "arccos": "0", "arctanh": "0", "arccosh": "2", "exp": "0", "log1p": "0"}


def told(r: Record) -> str:
    """A record at fault, in words."""
    assert r.op is not None
    names = called(r)
    bad = first_bad(r.value, nan_first=holds_nan(r))
    given = [i for i, x in enumerate(r.inputs) if has_nan(value(x))]
    if given and not makes_nonfinite(r):
        held = value(r.inputs[given[0]])
        lines = [f"{names[given[0]]}, given to {r.op.name}, holds nan already: "
                 f"{places(held, np.isnan, first_bad(held, nan_first=True))}"]
    else:
        of = "finite numbers" if not any(is_nonfinite(value(x)) for x in r.inputs) else "infinite ones"
        lines = [f"{r.op.name} made {shown(r.value, bad)} of {of}: {places(r.value, lambda a: ~np.isfinite(a), bad)}"]
    lines += operand_lines(r, names, bad)
    lines.append(line_of(r))
    if not given:
        lines += [f"  {line}" for line in advice(r, names)]
        if rewrite := where_in_source(r, names):
            lines.append(f"  np.where computes both sides, and a gradient of 0 times infinity is nan. {rewrite}")
    return "\n".join(lines)


def told_edge(edge: Edge, tape: list[Record]) -> str:
    """A step of the walk back at fault, in words."""
    r, i, g, c, added = edge
    assert r.op is not None
    names = called(r)
    bad = first_bad(c, nan_first=False)
    lines = [f"the contributions to the gradient of {names[i]} add up to {shown(c, bad)}{spot(bad)}; the last is that "
             f"of {r.op.name}" if added else
             f"the gradient of {r.op.name} with respect to {names[i]} is {shown(c, bad)}{spot(bad)}, where a finite "
             "gradient arrived"]
    lines += operand_lines(r, names, bad)
    arrived = at_place(g, bad, np.shape(c) if not isinstance(c, tuple) else ())
    lines.append(f"  {'∂loss/∂' + (r.name or 'result'):<12} {describe(g)}" +
                 (f", {arrived}{spot(bad)}" if arrived is not None else ""))
    lines.append(line_of(r))
    if arrived == 0 and (trap := where_above(r, names, tape)):
        lines.append("  No gradient arrives there, since np.where took its other side; but 0 times an infinite slope "
                     f"is nan.\n  {trap}")
    else:
        lines += [f"  {line}" for line in advice(r, names)]
    return "\n".join(lines)


def told_tangent(r: Record, t: Any) -> str:
    """A step of forward mode at fault, in words."""
    names, bad = called(r), first_bad(t, nan_first=False)
    what = r.op.name if r.op else r.name or "a primal"
    lines = [f"the tangent of {what} is {shown(t, bad)}{spot(bad)}, where finite tangents arrived"]
    lines += [*operand_lines(r, names, bad), line_of(r)]
    return "\n".join(lines + [f"  {line}" for line in (advice(r, names) if r.op else ())])


def line_of(r: Record) -> str:
    """The user's line; within a layer of ours, that of its call."""
    return f"  at {r.where}" if is_ours(r.code) else at(locate(r.code, r.lasti))


def called(r: Record) -> list[str]:
    """What the user calls each operand."""
    texts = r.written or ("",) * len(r.inputs)
    return [name_of(i, x, text) for i, (x, text) in enumerate(zip(r.inputs, texts))]


def operand_lines(r: Record, names: Sequence[str], bad: tuple[int, ...] | None) -> list[str]:
    """A line per operand: shape, dtype, and the value that went into the bad element, or the range of all."""
    lines = []
    for name, x in zip(names, r.inputs):
        held = value(x)
        if not hasattr(held, "dtype"):
            lines.append(f"  {name:<12} {describe(x)}")
            continue
        shape = np.shape(r.value) if not isinstance(r.value, tuple) else ()
        there = at_place(held, bad, shape) if r.op is not None and r.op.kind == "elementwise" else None
        what = f"{there}{spot(bad)}" if there is not None and np.shape(held) else extent(held)
        lines.append(f"  {name:<12} {describe(x)}, {what}")
    return lines


def extent(a: Any) -> str:
    """From which number to which an array goes."""
    if isinstance(a, tuple) or np.size(a) == 0 or not is_float(a) or a.dtype.kind == "c":
        return "" if np.size(a) else "empty"
    if np.shape(a) == ():
        return f"value {a}"
    finite = a[np.isfinite(a)]
    if finite.size and finite.min() == finite.max():
        return f"all {finite.min():.6g}" + ("" if finite.size == np.size(a) else " or non-finite")
    return f"from {finite.min():.6g} to {finite.max():.6g}" + ("" if finite.size == np.size(a) else " and non-finite") \
        if finite.size else "nothing finite"


def first_bad(a: Any, nan_first: bool) -> tuple[int, ...] | None:
    """The index of the first NaN, or of the first non-finite element."""
    if isinstance(a, tuple):
        return None
    where = np.argwhere(np.isnan(a) if nan_first else ~np.isfinite(a))
    return tuple(int(i) for i in where[0]) if len(where) else None


def at_place(a: Any, index: tuple[int, ...] | None, shape: tuple[int, ...]) -> Any:
    """An operand's element behind that element of the result; None where they do not broadcast."""
    if index is None or isinstance(a, tuple):
        return None
    try:
        return np.broadcast_to(a, shape)[index].item()
    except (ValueError, IndexError):
        return None


def shown(a: Any, index: tuple[int, ...] | None) -> str:
    """The element in digits."""
    return "a non-finite value" if index is None else str(a[index] if np.shape(a) else a)


def spot(index: tuple[int, ...] | None) -> str:
    """Where an element stands, as one writes the index."""
    return f" at [{', '.join(map(str, index))}]" if index else ""


def places(a: Any, test: Callable[[Any], Any], index: tuple[int, ...] | None) -> str:
    """How many elements pass a test, and where one of them is."""
    parts = a if isinstance(a, tuple) else (a,)
    count = sum(int(np.sum(test(p))) for p in parts if is_float(p))
    size = sum(int(np.size(p)) for p in parts)
    return f"{count} of {size} element{'s' * (size != 1)}" + (f", such as that{spot(index)}" if index else "")


def advice(r: Record, names: Sequence[str]) -> list[str]:
    """What usually helps with this operation and dtype."""
    assert r.op is not None
    x = "x" if names[0].startswith("operand ") else names[0]
    lines = [LIMITS[r.op.name].format(x=x)] if r.op.name in LIMITS else []
    dtype = getattr(r.value, "dtype", None)
    if dtype in (np.float16, np.float32) and not holds_nan(r):
        end = "65504" if dtype == np.float16 else "3.4e38"
        lines.append(f"{dtype} ends at {end}: compute this step in a wider one, {written(x)}.astype(np."
                     f"{'float32' if dtype == np.float16 else 'float64'}).")
    return lines


# ---- the trap of np.where

def where_above(r: Record, names: Sequence[str], tape: list[Record]) -> str | None:
    """The cure, if a `where` further on chose among results of this record."""
    reached = {r}
    for later in tape:
        if later.serial <= r.serial or later.op is None:
            continue
        sides = [i for i, x in enumerate(later.inputs) if isinstance(x, Record) and x in reached]
        if later.op.name == "where" and any(i in (1, 2) for i in sides):
            condition = called(later)[0]
            return cure(r, names, condition, first_side=1 in sides)
        if sides:
            reached.add(later)
    return None


def where_in_source(r: Record, names: Sequence[str]) -> str | None:
    """The cure, if the line reads ``np.where(condition, ... this record ..., ...)``, which has not run yet."""
    site = locate(r.code, r.lasti)
    call = enclosing_where(site)
    return cure(r, names, *call) if call else None


def enclosing_where(site: Site) -> tuple[str, bool] | None:
    """The condition of the ``where(condition, a, b)`` that this place stands in, and whether it stands in a."""
    try:
        module = ast.parse("".join(linecache.getlines(site.file)))
    except (SyntaxError, ValueError):
        return None
    start, end = (site.line, site.column), (site.end_line, site.end_column)
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and len(node.args) == 3 and ast.unparse(node.func).rpartition(".")[2] == "where":
            for side in node.args[1:]:
                if (side.lineno, side.col_offset) <= start and end <= (side.end_lineno or 0, side.end_col_offset or 0):
                    return ast.unparse(node.args[0]), side is node.args[1]
    return None


def cure(r: Record, names: Sequence[str], condition: str, first_side: bool) -> str:
    """The rewrite that keeps the operation's argument where it is finite: a `where` within."""
    assert r.op is not None
    at_fault = 1 if r.op.name == "divide" and len(names) > 1 else 0
    x, safe = names[at_fault], SAFE.get(r.op.name, "1")
    inner = f"np.where({condition}, {x}, {safe})" if first_side else f"np.where({condition}, {safe}, {x})"
    written = f"{names[0]} / {inner}" if r.op.name == "divide" else \
        f"{inner} ** {names[1]}" if r.op.name == "power" and len(names) > 1 else f"np.{r.op.name}({inner})"
    return f"Keep the argument safe where it is not used, and choose again outside: {written}"
