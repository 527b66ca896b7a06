"""Constant factors: what they are called, m, 1/m, 2, √d, by what is on the tape, and where people look for them."""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from autodiff.checks.doctor.backprop import Edge, reads
from autodiff.checks.manual import raw_operands
from autodiff.checks.mistakes import STATISTICS
from autodiff.ops import arithmetic, shapes
from autodiff.program.passes import value_of
from autodiff.record import Record
from autodiff.tape import Tape

CLOSE = 1e-6
SIMPLE = {2.0: "2", 0.5: "1/2", 4.0: "4", 0.25: "1/4", 3.0: "3", 1 / 3: "1/3"}


class Factor(NamedTuple):
    """A constant that was recognised: its text, how far-fetched it is, and the number it rests on."""

    text: str
    cost: float
    base: float


class Factors:
    """The constants that a person may get wrong on this tape."""

    def __init__(self, tape: Tape) -> None:
        self.known: list[tuple[float, Factor]] = [(c, Factor(text, 1.0, c)) for c, text in SIMPLE.items()]
        sizes: dict[int, str] = {}
        for r in tape.all:
            for axis, n in enumerate(np.shape(r.value) if not isinstance(r.value, tuple) else ()):
                name = tape.given.get(r) or r.name or ""
                if n > 1 and (n not in sizes or (not sizes[n] and name)):
                    sizes[n] = f"the length of axis {axis} of {name}" if name else ""
        products = {int(np.prod(some)): str(int(np.prod(some))) for r in tape.all if not isinstance(r.value, tuple)
                    and np.ndim(r.value) > 2 for k in range(2, np.ndim(r.value))
                    for some in combinations(np.shape(r.value), k)}
        for n, text in products.items():
            if n > 1 and n not in sizes:
                self.add(float(n), text, "a product of sizes", 1.4)
        totals = {int(np.size(r.value)) for r in tape.all if not isinstance(r.value, tuple)} - set(sizes)
        for n, said in sizes.items():
            self.add(float(n), str(n), said, 1.0)
            self.add(float(np.sqrt(n)), f"√{n}", said, 1.1)
        for n in totals:
            if n > 1:
                self.add(float(n), str(n), "the number of elements", 1.2)
        for value, said in constants(tape):
            self.add(abs(value), f"{abs(value):.6g}", said, 1.0)
            self.add(2 * abs(value), f"{2 * abs(value):.6g}", f"2 × {said}", 1.2)
            self.add(value * value, f"{value * value:.6g}", f"the square of {said}", 1.3)
            self.add(float(np.sqrt(abs(value))), f"{abs(value) ** 0.5:.6g}", f"the root of {said}", 1.3)
        numbers = [(abs(float(r.value)), r.name or "a number of the tape") for r in tape.all
                   if not isinstance(r.value, tuple) and np.ndim(r.value) == 0 and not r.requires_grad]
        for value, said in numbers:
            if value:
                self.add(value, f"{value:.6g}", said, 1.2)
                for n in {*sizes, *totals}:
                    self.add(value / n, f"{value:.6g}/{n}", said, 1.5)
        for n in sizes:
            for k in sizes:
                if k != n:
                    self.add(n / k, f"{n}/{k}", "a ratio of sizes", 1.5)
                    self.add(float(np.sqrt(n / k)), f"√{n}/√{k}", "a ratio of roots of sizes", 1.6)
            self.add(n / 2, f"{n}/2", sizes[n], 1.2)
            if n > 2:
                self.add(n - 1.0, str(n - 1), f"one less than {sizes[n] or n}", 1.3)
                self.add(n / (n - 1), f"{n}/{n - 1}", "n / (n - 1)", 1.2)

    def add(self, value: float, text: str, said: str, cost: float) -> None:
        """A constant and its reciprocal."""
        if value > 0 and np.isfinite(value) and abs(value - 1) > CLOSE:
            told = f" ({said})" if said else ""
            inverse = "/".join(reversed(text.split("/"))) if "/" in text else f"1/{text}"
            self.known.append((value, Factor(f"{text}{told}", cost, value)))
            self.known.append((1 / value, Factor(f"{inverse}{told}", cost, value)))

    def named(self, c: float, close: float = CLOSE) -> Factor | None:
        """What a positive factor is called; None if it is no number of this tape."""
        found = [factor for value, factor in self.known if abs(c - value) <= close * value]
        return min(found, key=lambda factor: factor.cost, default=None)


def constants(tape: Tape) -> list[tuple[float, str]]:
    """The plain numbers on a tape, as operands, exponents or constant leaves, with what to call them."""
    found: dict[float, str] = {}

    def note(x: Any, said: str) -> None:
        if isinstance(x, int | float | np.floating | np.integer) and not isinstance(x, bool) \
                and np.isfinite(x) and abs(x) not in (0, 1):
            found.setdefault(float(x), said)

    for name, values in raw_operands(tape).items():
        for value in values:
            if np.ndim(value) == 0:
                note(np.asarray(value).item(), name)
    for r in tape:
        for x, text in zip(r.inputs, r.written, strict=True):
            if not isinstance(x, Record) and np.ndim(x) == 0 and not isinstance(x, str):
                note(np.asarray(x).item(), text or f"{x}")
        for key, option in r.options.items():
            note(option, key)
    for leaf in tape.leaves:
        if np.ndim(leaf.value) == 0 and not leaf.requires_grad:
            note(np.asarray(leaf.value).item(), leaf.name or "")
    return list(found.items())


# ---- where people look for them

def dropped(edge: Edge) -> tuple[str, float, str]:
    """What it is called to leave out the contribution of an edge."""
    r, x = edge.r, edge.x
    if r.op in (arithmetic.add, arithmetic.subtract) and np.ndim(x.value) == 0 == np.ndim(r.value):
        return "missing-term", 1.0, ""
    if beside(edge):
        return "dropped-path", 1.05, ""
    if r.op in STATISTICS or x.op in STATISTICS or any(
            isinstance(z, Record) and z is not x and reads(z, x) for z in r.inputs):
        return "treated-as-constant", 1.05, ""
    several = len([z for z in r.inputs if isinstance(z, Record) and z.requires_grad]) > 1
    return "dropped-path", 1.1 if several else 1.2, ""


def beside(edge: Edge) -> bool:
    """Whether an edge goes from a sum or difference to what its other operand is made of, too: x - mean(x) to x."""
    r, x = edge.r, edge.x
    return r.op in (arithmetic.add, arithmetic.subtract) and r.op not in STATISTICS and x.op not in STATISTICS and any(
        isinstance(z, Record) and z is not x and reads(z, x) for z in r.inputs)


def natural_place(r: Record, i: int, base: float) -> float:
    """A little less for the op in which a person would look for this factor."""
    op = r.op
    if op is None or isinstance(r.value, tuple):
        return 0.3
    if op.name in ("mean", "var", "std") and abs(np.size(value_of(r.inputs[0])) / np.size(r.value) - base) < 1e-6:
        return 0.0
    if base in (2.0, 0.5) and op.name in ("square", "power", "integer_power", "squared_error", "var", "norm"):
        return 0.0
    if base in (2.0, 0.5) and op is arithmetic.multiply and r.inputs[0] is r.inputs[1]:
        return 0.0
    for k, x in enumerate(r.inputs):
        plain = value_of(x)
        if k != i and np.ndim(plain) == 0 and isinstance(plain, int | float | np.generic) \
                and abs(abs(float(np.real(plain))) - base) < 1e-9 * abs(base):
            return 0.0
    if op is shapes.broadcast_to or op.name == "sum":
        return 0.1
    return 0.2 if op.kind == "linear" else 0.3
