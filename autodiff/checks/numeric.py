"""`gradcheck`: the tape's derivatives of a function against numbers that no derivative rule has touched."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.checks.differences import Index, Numeric, complex_step, derivative, everywhere, richardson
from autodiff.checks.kinks import Kink
from autodiff.checks.noise import Measurement, Reference, measure
from autodiff.checks.program import Gradient
from autodiff.checks.rules import WrongRule, is_library, wrong_rules
from autodiff.errors import AutodiffError, OperandError
from autodiff.kinds import Op
from autodiff.reverse import gradients
from autodiff.state import Setting, grad_mode, transform_now
from autodiff.tape import Tape, behind
from autodiff.tensor import Tensor
from autodiff.tree import leaves_of, rebuilt

CONFIRMED = 16          # elements looked at again by differences when a complex step disagrees with the tape ...
TRIED = 3               # ... and in any case where a user's operation may not be analytic


class GradcheckError(AutodiffError, AssertionError):
    """The tape's derivative is not that of the function.

    Attributes
    ----------
    name : str
        The argument, as the function calls it.
    index : tuple of int
        The worst element of it; () if none was compared.
    tape, numeric, error, tolerance : float
        There: the tape's value, the number found without it, how far they are apart and how far they may be.
    order : int
        Of the derivative.
    method : str
        "complex step", "Richardson", or "recorded" where the gradient on the tape differs from the plain one.
    op : str
        The operation whose rule is wrong; "" if none could be singled out.
    """

    def __init__(self, message: str, name: str = "", index: Index = (), tape: float = np.nan,
                 numeric: float = np.nan, error: float = np.nan, tolerance: float = np.nan, order: int = 1,
                 method: str = "", op: str = "") -> None:
        super().__init__(message)
        self.name, self.index, self.order, self.method, self.op = name, index, order, method, op
        self.tape, self.numeric, self.error, self.tolerance = tape, numeric, error, tolerance


def gradcheck(f: Callable[..., Any], *args: Any, order: int = 1, elements: int | None = None, seed: int = 0) -> None:
    """Check the tape's derivatives of f at one point; return None if they are right.

    Each element of the gradient is compared with a complex step where every operation is analytic, else
    with extrapolated central differences and their error bar. Both run the recorded program again, on complex
    numbers or float64 (so float32 arguments are no less reliable), and touch no derivative rule. How
    far apart the two may be is the rounding noise of this very gradient (`autodiff.checks.noise`), not a constant.

    Parameters
    ----------
    f : callable
        Returns an array, or a nested structure of arrays. What is no scalar is made one by fixed random weights.
    *args : array_like, Tensor or nested structure
        Where. Derivatives with respect to all floating-point leaves are checked; everything else is passed as given.
    order : int
        2 checks the Hessian too (and 3 the third derivatives): as the gradient of the gradient's
        inner product with a fixed random direction.
    elements : int, optional
        Check only so many elements of each argument, drawn by `seed`; all by default.
    seed : int
        For the weights, directions and draws.

    Raises
    ------
    GradcheckError
        If an element is wrong, with the worst one, and the operation whose rule is to blame where one is; if the
        value or a derivative is not finite; or if nothing could be compared, since every element is at a kink.
    TracedValueError
        If f turns a value into a Python number (``if x > 0``).

    Notes
    -----
    At a kink (relu, absolute, clip, sign, floor or a comparison at its edge; a tie of maximum or max) a
    derivative is a choice. Elements that depend on such a choice are found by moving what stands at the
    kink to either side, and are not compared. If none are left, that is an error that names the operation and its
    line: move the point. Where rounding leaves few digits of a derivative, only these are checked.

    Examples
    --------
    >>> ad.gradcheck(lambda W, b: np.tanh(W @ W + b), np.array([[1.0, 2.0], [3.0, 4.0]]), 0.5, order=2)

    >>> @ad.op
    ... def cube(x):
    ...     return x * x * x
    >>> _ = cube.derivative(lambda y, x: 2 * x * x)
    >>> ad.gradcheck(lambda w: cube(w), 2.0)
    Traceback (most recent call last):
      ...
    autodiff.checks.numeric.GradcheckError: the gradient with respect to w is wrong
      ...
      the derivative rule of cube with respect to w is wrong (...
    """
    rng = np.random.default_rng(seed)
    loss, variables, one = recorded_call(f, args, rng)
    for n in range(1, order + 1):
        if not loss.requires_grad:
            return                          # constant, as far as the tape and any replay of it can tell
        reached = set(behind([loss.record]))
        variables = {name: v for name, v in variables.items() if v.record in reached}
        check(Check(loss, variables, n, one), elements, rng)
        if n < order:
            with grad_mode(True):
                loss = weighted(gradients(loss, list(variables.values()), record=True), rng)


def recorded_call(f: Callable[..., Any], args: Sequence[Any],
                  rng: np.random.Generator) -> tuple[Tensor, dict[str, Tensor], bool]:
    """f's value as a scalar on a tape, the variables by f's names for them, and whether the value was one."""
    leaves = leaves_of(args)
    names = [name for arg, name in zip(args, argument_names(f, len(args)), strict=True) for name in paths(arg, name)]
    variables: dict[str, Tensor] = {}
    for i, (name, leaf) in enumerate(zip(names, leaves, strict=True)):
        if is_floating(leaf):
            leaves[i] = variables[name] = Tensor(leaf, requires_grad=True, name=name)
    if not variables:
        raise OperandError("gradcheck: none of the arguments is a floating-point number or array, so there is nothing "
                           "to check")
    with Setting(transform_now, "ad.gradcheck"), grad_mode(True):
        value = f(*rebuilt(tuple(args), leaves, as_argument=True))
    outputs = [y for y in leaves_of(value) if isinstance(y, Tensor) and y.record.tracked]
    if not outputs:
        raise GradcheckError("nothing on the tape leads from the arguments to what the function returns, so there is "
                             "no derivative to check. Does it go through .numpy(), .data or .detach()?")
    if len(outputs) == 1 and outputs[0].size == 1:
        return outputs[0], variables, True
    with grad_mode(True):
        return weighted(outputs, rng), variables, False


def weighted(tensors: Sequence[Tensor], rng: np.random.Generator) -> Tensor:
    """The sum of all elements, each with a random weight."""
    total: Any = 0.0
    for t in tensors:
        weights = np.asarray(rng.uniform(0.5, 1.5, t.shape) * rng.choice([-1.0, 1.0], t.shape), dtype=t.dtype)[()]
        total = total + (t * weights).sum()
    return total if isinstance(total, Tensor) else Tensor(total)


def is_floating(leaf: Any) -> bool:
    """Whether derivatives with respect to an argument are checked."""
    return isinstance(leaf, float) or getattr(getattr(leaf, "dtype", None), "kind", "") == "f"


def argument_names(f: Callable[..., Any], n: int) -> list[str]:
    """What f calls its positional arguments."""
    try:
        parameters = list(inspect.signature(f.forward if isinstance(f, Op) else f).parameters.values())
    except (TypeError, ValueError):
        return [f"argument {i}" for i in range(n)]
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "argument")
    return [names[i] if i < len(names) else f"{rest}[{i - len(names)}]" for i in range(n)]


def paths(tree: Any, name: str) -> list[str]:
    """The names of a nested argument's leaves, in the order of `leaves_of`."""
    if isinstance(tree, dict):
        return [path for key, value in tree.items() for path in paths(value, f"{name}[{key!r}]")]
    if isinstance(tree, list | tuple):
        return [path for i, value in enumerate(tree) for path in paths(value, f"{name}[{i}]")]
    if hasattr(tree, "named_parameters"):
        return [f"{name}.{path}" for path, _ in tree.named_parameters()]
    return [] if tree is None else [name]


# ---- one scalar

@dataclass
class Check:
    """A scalar on a tape and the variables that its gradient is checked for."""

    loss: Tensor
    variables: dict[str, Tensor]
    order: int
    one: bool

    @property
    def what(self) -> str:
        """The derivative, in words."""
        words = {1: "gradient", 2: "Hessian (times a fixed random direction)"}.get(
            self.order, f"derivative of order {self.order} (times fixed random directions)")
        return words if self.one else f"{words} of the sum of the values, each with a fixed random weight,"


def check(todo: Check, elements: int | None, rng: np.random.Generator) -> None:
    """Compare the gradient of one scalar, element by element."""
    value = todo.loss.record.value
    if not np.isfinite(value).all():
        raise GradcheckError(f"the function's value is {value} here, so there is nothing to check", order=todo.order)
    gradient = Gradient(todo.loss, [v.record for v in todo.variables.values()])
    found = measure(gradient)
    compared = 0
    worst: tuple[float, dict[str, Any]] = (1.0, {})
    for (name, v), plain in zip(todo.variables.items(), gradient.plain, strict=True):
        reference = found.references[v.record]
        if not np.isfinite(plain).all() or not reference.finite:
            raise GradcheckError(f"the {todo.what} with respect to {name} is not finite here, so there is nothing to "
                                 "check; move the point", name=name, order=todo.order)
        indices = [index for index in drawn(v, elements, rng) if not reference.kinked[index]]
        if not indices:
            continue
        compared += len(indices)
        numeric = against_tape(gradient.forward, v, indices, plain, reference)
        for k, index in enumerate(indices):
            allowed = reference.tolerance[index] + numeric.errors[k]
            rows = [(plain[index], numeric.values[k], numeric.method, allowed)]
            if gradient.recorded is not None:
                rows.append((plain[index], reference.value[index], "recorded", reference.tolerance[index]))
            for tape, other, method, tolerance in rows:
                error = abs(float(tape) - float(other))
                ratio = 0.0 if error == 0 else error / tolerance if tolerance else np.inf
                if not ratio <= worst[0]:
                    worst = (ratio if np.isfinite(ratio) else np.inf,
                             dict(name=name, index=index, tape=float(tape), numeric=float(other), error=error,
                                  tolerance=float(tolerance), order=todo.order, method=method))
    if worst[1]:
        raise wrong(todo, worst[1], gradient, found)
    if not compared and found.kinks:
        raise GradcheckError(f"nothing could be checked: every element of the {todo.what} is at a kink, where a "
                             f"derivative is a choice{kink_lines(found.kinks)}\n  Move the point away from it.",
                             order=todo.order)


def drawn(v: Tensor, elements: int | None, rng: np.random.Generator) -> list[Index]:
    """The elements of a variable to check."""
    indices = everywhere(v.record.value)
    if elements is None or elements >= len(indices):
        return indices
    return [indices[i] for i in sorted(rng.choice(len(indices), elements, replace=False))]


def against_tape(tape: Tape, v: Tensor, indices: list[Index], plain: Any, reference: Reference) -> Numeric:
    """The derivatives by numbers; where a complex step disagrees with the tape, confirmed by differences.

    If differences disagree with the complex step, some operation is not analytic after all, and they are used.
    """
    numeric = derivative(tape, v, indices)
    if numeric.method != "complex step":
        return numeric
    tolerance = np.array([reference.tolerance[i] for i in indices])
    ratio = np.abs(numeric.values - np.array([plain[i] for i in indices])) / np.where(tolerance > 0, tolerance, 1e-300)
    tried = 0 if all(is_library(r) for r in tape) else TRIED
    worst_first = np.argsort(-ratio, kind="stable")[:CONFIRMED]
    suspects = [k for n, k in enumerate(worst_first) if n < tried or not ratio[k] <= 1]
    if not suspects:
        return numeric
    values, errors = richardson(tape, v, [indices[k] for k in suspects])
    not_analytic = np.abs(values - numeric.values[suspects]) > errors + tolerance[suspects]
    return Numeric(*richardson(tape, v, indices), "Richardson") if not_analytic.any() else numeric


# ---- what is said

def wrong(todo: Check, worst: dict[str, Any], gradient: Gradient, found: Measurement) -> GradcheckError:
    """The error for the worst element."""
    rules = wrong_rules(gradient.forward, {kink.record for kink in found.kinks})
    place = worst["name"] + (str(list(worst["index"])) if worst["index"] else "")
    other = "recorded gradient" if worst["method"] == "recorded" else worst["method"]
    lines = [f"the {todo.what} with respect to {place} is wrong",
             f"  {'tape':<18} {worst['tape']!r}",
             f"  {other:<18} {worst['numeric']!r}",
             f"  {'error':<18} {worst['error']:.3g}, where rounding explains {worst['tolerance']:.3g}"]
    lines += [f"  {line}" for line in blame(rules, todo.order)]
    if found.kinks:
        lines.append("  elements at a kink were left out" + kink_lines(found.kinks))
    op = rules[0].record.op if rules else None
    return GradcheckError("\n".join(lines), op=op.name if op else "", **worst)


def blame(rules: list[WrongRule], order: int = 1) -> list[str]:
    """Whose fault it is, and what to do."""
    lines = [str(rule) for rule in rules[:3]] or ["no single operation's rule disagrees with its forward here"]
    if not rules and order > 1:
        lines[0] += f"; at order {order} a rule must also be right where it is itself differentiated"
    if all(rule.ours for rule in rules[:1]):
        lines.append("if the operations are all the library's own this is its bug: please report it, with this message "
                     "and the output of print(ad.Tape(loss))")
    return lines


def kink_lines(kinks: Sequence[Kink]) -> str:
    """The kinks, a line each."""
    more = f"\n    and {len(kinks) - 4} more" if len(kinks) > 4 else ""
    return "".join(f"\n    {kink}" for kink in kinks[:4]) + more


__all__ = ["GradcheckError", "complex_step", "derivative", "gradcheck", "richardson"]
