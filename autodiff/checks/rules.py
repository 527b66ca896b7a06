"""Which operation's rule is wrong: each one on the tape against its own forward, along random directions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from inspect import unwrap
from typing import Any, NamedTuple

import numpy as np

from autodiff.checks.differences import STEP, extrapolated, scale_of
from autodiff.forward import contribution
from autodiff.kinds import At
from autodiff.ops.complex import is_complex
from autodiff.ops.indexing import put_together
from autodiff.ops.shapes import un_broadcast
from autodiff.record import Record
from autodiff.sites import is_ours, locate
from autodiff.state import grad_mode
from autodiff.tape import Tape
from autodiff.values import converted

WRONG = 1e-9           # relative; far above what rounding in float64 leaves of one rule, far below any mistake


class WrongRule(NamedTuple):
    """A rule that disagrees with its operation's forward: g·(∂y/∂x)t by the rule, and by the forward."""

    record: Record
    position: int
    rule: float
    forward: float

    @property
    def ours(self) -> bool:
        """Whether the operation is the library's own."""
        return is_library(self.record)

    def __str__(self) -> str:
        op, x = self.record.op, self.record.inputs[self.position]
        assert op is not None
        called = x.name or (f"its argument {op.parameters[self.position]}" if self.position < len(op.parameters)
                            else f"its argument {self.position}")
        text = locate(self.record.code, self.record.lasti).text
        return (f"the derivative rule of {op.name} with respect to {called} is wrong ({self.record.where}"
                f"{f': {text}' if text else ''}): along a random direction it gives {self.rule:.6g}, "
                f"its own forward {self.forward:.6g}")


def is_library(r: Record) -> bool:
    """Whether an operation is the library's own: neither its forward nor a rule is written elsewhere."""
    assert r.op is not None
    stated = (r.op.forward, *r.op.partials, *r.op.edges, r.op.together)
    codes = [getattr(unwrap(f), "__code__", None) for f in stated if callable(f)]
    return all(is_ours(code) for code in codes if code is not None)


def floating(x: Any) -> bool:
    """Whether derivatives with respect to an operand make sense."""
    return isinstance(x, float) or (hasattr(x, "dtype") and x.dtype.kind == "f")


def wrong_rules(tape: Tape, skip: set[Record] | None = None) -> list[WrongRule]:
    """The operations on a tape whose rule disagrees with their forward, the worst first.

    `skip` names records to leave out, such as those at a kink.
    """
    rng = np.random.default_rng(0)
    found = []
    for r in tape:
        if not r.requires_grad or (skip and r in skip) or is_complex(r, *r.inputs):
            continue
        for i, x in enumerate(r.inputs):
            if isinstance(x, Record) and x.requires_grad and floating(x.value) and not isinstance(x.value, tuple):
                try:
                    with np.errstate(all="ignore"):
                        by_rule, by_forward, size = along_a_direction(r, i, rng)
                except Exception:           # what cannot be run on float64 alone cannot be accused
                    continue
                wrong = abs(by_rule - by_forward) / size if size else 0.0
                if wrong > WRONG:
                    found.append((wrong, WrongRule(r, i, by_rule, by_forward)))
    return [rule for _, rule in sorted(found, key=lambda pair: -pair[0])]


def along_a_direction(r: Record, i: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """g·(∂y/∂x)t for random g and t, by the rule and by the forward, and what its terms amount to."""
    op = r.op
    assert op is not None
    xs = [converted(x.value if isinstance(x, Record) else x, np.float64) for x in r.inputs]
    y = op.analytic(*xs, **r.options)
    g: Any = tuple(normal(part, rng) for part in y) if isinstance(y, tuple) else normal(y, rng)
    t = rng.normal(size=np.shape(xs[i])) * scale_of(xs[i])
    with grad_mode(False):
        c = contribution(op, i, g, y, xs, r.options)
    if c is None:
        c = np.zeros_like(xs[i])
    c = put_together([c], xs[i]) if isinstance(c, At) else c
    c = un_broadcast(np.asarray(c), np.shape(xs[i])) if np.shape(c) != np.shape(xs[i]) else c
    terms = np.asarray(c * t)

    def weighted(y: Any) -> Any:
        parts = zip(y, g, strict=True) if isinstance(y, tuple) else [(y, g)]
        return sum(np.sum(a * b) for a, b in parts)

    def forward(h: Any) -> Any:
        return weighted(op.analytic(*(x + h * t if k == i else x for k, x in enumerate(xs)), **r.options))

    by_forward, error = directional(forward)
    size = float(np.sum(np.abs(terms))) + abs(by_forward)
    return float(np.sum(terms)), by_forward, size if error <= WRONG * size / 10 else np.inf


def normal(like: Any, rng: np.random.Generator) -> Any:
    """Random numbers of this shape; a NumPy scalar for none."""
    return np.asarray(rng.normal(size=np.shape(like)))[()]


def directional(forward: Callable[[Any], Any]) -> tuple[float, float]:
    """The derivative at 0: by complex step, if that is what differences see too."""
    by_differences, error = extrapolated(lambda h: float(forward(h)), 2.0 ** -8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            by_step = float(np.imag(forward(1j * STEP))) / STEP
    except Exception:                       # a user's forward that knows no complex numbers
        return by_differences, error
    return (by_step, 0.0) if abs(by_step - by_differences) <= error + 1e-6 * abs(by_step) else (by_differences, error)
