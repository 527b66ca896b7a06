"""What an operation or a rule that could not run says: which, on what, on which line, and what to do.

Nothing here runs unless something went wrong, but for `check_rules`, which runs when an op is defined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from types import CodeType
from typing import Any

import numpy as np

from autodiff.errors import (
    AnomalyError,
    AutodiffError,
    BadIndexError,
    GradientError,
    MatrixError,
    OperandError,
    ShapeError,
)
from autodiff.record import Record
from autodiff.sites import Site, is_ours, locate, operand_texts, outside


def explained(error: Exception, op: str, operands: Sequence[Any], options: dict[str, Any]) -> Exception:
    """The error to raise instead of NumPy's: of the same type, with everything a reader needs."""
    if isinstance(error, AutodiffError):
        return error
    frame = outside(2)
    site = locate(frame.f_code, frame.f_lasti)
    texts = operand_texts(frame.f_code, frame.f_lasti, len(operands), op)
    names = [name_of(i, x, texts[i]) for i, x in enumerate(operands)]
    shapes = [np.shape(value(x)) for x in operands]
    said = first_line(error).removeprefix(f"{op}: ")
    lines = [f"{op}: {reason(op, shapes, options, said) or said}"]
    lines += listed_operands(names, operands)
    if options:
        lines.append("  " + ", ".join(f"{key}={option!r:.60}" for key, option in options.items()))
    lines.append(at(site))
    if advice := advise(op, shapes, names, said):
        lines.append("  " + advice)
    return error_class(error)("\n".join(lines))


def at(site: Site) -> str:
    """The line of a message that says where in the user's code."""
    return f"  at {site}: {site.text}" if site.text else f"  at {site}"


def listed_operands(names: Sequence[str], operands: Sequence[Any]) -> list[str]:
    """A line per operand: what it is called, its shape and dtype."""
    return [f"  {name:<12} {describe(x)}" for name, x in zip(names, operands)]


def value(x: Any) -> Any:
    """The array behind an operand."""
    return x.value if isinstance(x, Record) else x


def error_class(error: Exception) -> type[AutodiffError]:
    """Ours that is also of NumPy's type."""
    if isinstance(error, FloatingPointError):               # under np.errstate(all="raise")
        return AnomalyError
    if isinstance(error, IndexError):
        return BadIndexError
    if isinstance(error, np.linalg.LinAlgError):
        return MatrixError
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
    if isinstance(x, Record) and x.op and not is_ours(x.code):
        return f"{what}, {x.op.name} at {locate(x.code, x.lasti)}"
    return what


def reason(op: str, shapes: list[tuple[int, ...]], options: dict[str, Any], said: str) -> str | None:
    """Why these shapes do not fit, naming the axis; None where NumPy said it well."""
    if op == "matmul" and len(shapes) == 2:
        if not all(shapes):
            return "a single number has no axis to multiply along"
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
        wanted = options["shape"]
        if isinstance(wanted, tuple | list) and list(wanted).count(-1) > 1:
            return "only one axis can be left to be worked out (-1)"
        return f"{int(np.prod(shapes[0]))} elements of shape {shapes[0]} do not fill shape {wanted}"
    if op == "broadcast_to" and "shape" in options:
        return f"shape {shapes[0]} does not stretch to {options['shape']}: only axes of 1 do, matched from the right"
    if op == "transpose" and options.get("axes") is not None:
        return f"axes {options['axes']} do not name each of the {len(shapes[0])} axes of shape {shapes[0]} once"
    if op == "squeeze" and isinstance(options.get("axis"), int) and -len(shapes[0]) <= options["axis"] < len(shapes[0]):
        return f"axis {options['axis']} has {shapes[0][options['axis']]} elements; only an axis of 1 can be taken away"
    return broadcast_clash(shapes) if "broadcast" in said and len(shapes) > 1 else None


def broadcast_clash(shapes: list[tuple[int, ...]]) -> str | None:
    """The first axis, from the right, at which shapes do not broadcast."""
    for back, sizes in enumerate(zip_longest(*(reversed(s) for s in shapes), fillvalue=1), start=1):
        different = sorted({n for n in sizes if n != 1})
        if len(different) > 1:
            return f"shapes {' and '.join(map(str, shapes))} do not broadcast: axis -{back} is " \
                   f"{' against '.join(str(n) for n in sizes)}"
    return None


def advise(op: str, shapes: list[tuple[int, ...]], names: list[str], said: str) -> str | None:
    """What would make it fit, where one thing does."""
    if op in ("getitem", "take") and ("indices" in said or "indexes" in said):
        return "Positions are integers: use int(i), or array.astype(int). True and False choose by mask."
    if op in ("concatenate", "stack", "hstack", "vstack"):
        return "All must agree in every axis but the one they are joined along; x[:, None] adds an axis, .T turns them."
    if len(shapes) != 2:
        return None
    (a, b), (left, right) = shapes, (written(name) for name in names)
    if op == "matmul":
        if not (a and b):
            return f"Did you mean {left} * {right}?"
        return f"Did you mean {left} @ {right}.T?" if len(a) > 1 and len(b) == 2 and a[-1] == b[-1] else None
    if broadcast_clash(shapes) and "broadcast" in said:
        if a[:1] == b and len(a) == 2:
            return f"Axes are matched from the right; to add a number to each row write {right}[:, None]."
        if b[:1] == a and len(b) == 2:
            return f"Axes are matched from the right; to add a number to each row write {left}[:, None]."
        if a == b[::-1]:
            return f"Did you mean {right}.T?"
    return None


def written(name: str) -> str:
    """An operand as it can stand before .T or [...]: in parentheses unless it is a name, a call or a look-up."""
    plain = "a" + "".join("_" if c in ".()," else c for c in name)
    return name if plain.isidentifier() else f"({name})"


# ---- values that leave the tape

MATH = ("To choose by value use np.where(condition, a, b); for functions use NumPy's (np.sin, not math.sin); to keep "
        "a constant on purpose use .detach(); for printing, an f-string or print() is fine.")
JOIN = ("Use np.stack([...]) or np.concatenate([...]) to join tensors (not np.array([...])), np.where or slices "
        "instead of assigning into an array, and .numpy() or .detach() where a constant is meant.")


def leaving(how: str, called: str, transform: str | None, code: CodeType, lasti: int) -> str:
    """A value that would leave the tape within a transform."""
    if transform in ("ad.compile", "ad.scan") and how == ".data":
        return (f"the values of {called} (.data, .numpy()) inside {transform}: what follows would be computed from "
                f"these, once, and the same for all.\n{at(locate(code, lasti))}\n  For what NumPy or another library "
                "computes of an array, make an operation: @ad.op above a function of arrays. It is called with the "
                "values of each call. What does not depend on the arguments, compute before; or leave this function "
                "eager.")
    if transform in ("ad.compile", "ad.scan"):
        return (f"{how} of {called} inside {transform}: what follows would be recorded for this value, and run for all."
                f"\n{at(locate(code, lasti))}\n  To choose by value use np.where(condition, a, b), for a loop over "
                "steps ad.scan; give settings as Python numbers, not as arrays; or leave this function eager.")
    return (f"{how} of {called} inside {transform}: the value would leave the tape and its gradient be lost, "
            f"silently.\n{at(locate(code, lasti))}\n  {MATH}")


def as_plain_array(called: str, code: CodeType, lasti: int) -> str:
    """A plain array made of a tensor that is on a tape."""
    return f"{called} is on a tape, and a plain array made of it would not be.\n{at(locate(code, lasti))}\n  {JOIN}"


def one_element(how: str, called: str, shape: tuple[int, ...], code: CodeType, lasti: int) -> str:
    """A tensor of several elements where one is needed."""
    advice = ("An `if` needs one answer: ask for (condition).numpy().all() or .any(), or choose "
              "element by element with np.where(condition, a, b)." if how == "bool()" else
              "Choose one with t[i], or make one with .sum() or .mean(); t.tolist() gives them all.")
    return f"{how} needs a tensor of one element; {called} has shape {shape}\n{at(locate(code, lasti))}\n  {advice}"


# ---- what cannot be a tensor

def no_numbers(data: Any, dtype: Any = None) -> str:
    """Data that is no array of numbers."""
    if isinstance(data, dict):
        return "a tensor holds one array, not a dict; make one of each: {k: ad.Tensor(v) for k, v in d.items()}"
    if data is None:
        return "a tensor holds numbers; this is None. Did a function forget its `return`?"
    if isinstance(data, list | tuple):
        lengths = {len(row) if isinstance(row, list | tuple | np.ndarray) else 0 for row in data}
        if len(lengths) > 1:
            return ("the rows of this list differ in length, so it is no array: "
                    f"{', '.join(str(n) for n in sorted(lengths))}. Pad them, or keep a list of tensors.")
    dtype = dtype or np.dtype(object)
    what = f"a tensor holds numbers; this data ({type(data).__name__}) has dtype {dtype}"
    if dtype.kind in "US":
        return f"{what}. Make numbers of the text: np.array(data, dtype=float)."
    return f"{what}. Convert it: np.asarray(data, dtype=float)."


def numbers_of(data: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """An array of numbers, or the error that says why this is none."""
    try:
        array = np.array(data, dtype=dtype)
    except (ValueError, TypeError) as error:
        raise OperandError(no_numbers(data, None if dtype is None else np.dtype(dtype))) from error
    if array.dtype.kind not in "fiubc":
        raise OperandError(no_numbers(data, array.dtype))
    return array


def no_gradient(dtype: Any) -> str:
    """A dtype in which there are no derivatives."""
    advice = ("Give the real and imaginary parts as two tensors, x and y, and compute with x + 1j * y."
              if dtype.kind == "c" else "Convert with .astype(np.float64) or dtype=np.float64.")
    return f"dtype {dtype} cannot require grad: derivatives need real floating-point values. {advice}"


def not_a_tensor(where: str, got: Any, advice: str) -> OperandError:
    """Something else where a Tensor must be."""
    kind = f"an array of shape {got.shape}" if isinstance(got, np.ndarray) else f"{type(got).__name__} {got!r:.40}"
    return OperandError(f"{where} takes tensors, and got {kind}. {advice}")


# ---- rules

def check_rules(op: str, kind: str, forward: Callable[..., Any], rules: Sequence[Any]) -> None:
    """Refuse rules that do not fit the function they are for: as many as operands, each with its parameters."""
    code = getattr(forward, "__code__", None)
    if code is None or code.co_flags & 0x04:                 # *args
        return
    n = code.co_argcount
    operands, options = code.co_varnames[:n], code.co_varnames[n:n + code.co_kwonlyargcount]
    method, first = {"elementwise": ("derivative", ["y"]), "linear": ("transpose", ["g", "y"])}.get(
        kind, ("vjp", ["g", "y"]))
    if not n - len(forward.__defaults__ or ()) <= len(rules) <= n:
        raise OperandError(f"{op}.{method}: {op}({', '.join(operands)}) has {n} operand{'s' * (n != 1)}, and "
                           f"{len(rules)} rule{'s' * (len(rules) != 1)} {'were' if len(rules) != 1 else 'was'} given. "
                           "Give one for each, in order; None where there is no derivative. "
                           "(Options stand after * in the parameters: def f(x, *, axis).)")
    for x, rule in zip(operands, rules):
        if rule is None or (kind == "elementwise" and isinstance(rule, int) and rule in (1, -1)):
            continue
        wanted = ", ".join([*first, *operands[:len(rules)]])
        if not callable(rule):
            raise OperandError(f"{op}.{method}: the rule for {x} is {rule!r}. Write a function, lambda {wanted}: ...; "
                               "None where there is no derivative" +
                               ("; or 1 or -1." if kind == "elementwise" else "."))
        inner = getattr(rule, "__code__", None)
        if inner is None or inner.co_flags & 0x04:
            continue
        parameters = [p for p in inner.co_varnames[:inner.co_argcount] if p not in options]
        required = len(first) + len(rules)
        if not len(parameters) - len(rule.__defaults__ or ()) <= required <= len(parameters):
            given = ", ".join(parameters)
            raise OperandError(f"{op}.{method}: the rule for {x} takes ({given}), and will be called with ({wanted}): "
                               f"{'the result y' if len(first) == 1 else 'the gradient g and the result y'}, then "
                               "every operand.")


def rule_failed(error: Exception, r: Record, x: Any) -> Exception:
    """What to raise for an error in the gradient of a record with respect to its input x: it names the forward line."""
    trace = error.__traceback__
    assert r.op is not None
    if isinstance(error, AttributeError) and trace is not None and trace.tb_next is None:      # not within the rule
        got = "None" if error.obj is None else f"a {type(error.obj).__name__}"
        error = GradientError(f"the rule of {r.op.name} returned {got}, and must return an array. "
                              + ("Is there a `return`? " if error.obj is None else "")
                              + "A derivative that is zero is stated as None in place of the rule.")
    called = f" with respect to {x.name}" if isinstance(x, Record) and x.name else ""
    error.add_note(f"in the gradient of {r.op.name}{called}, recorded at {r.where}\n    {locate(r.code, r.lasti).text}")
    return error
