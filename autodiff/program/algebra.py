"""The symbols that exact algebra on a tape is about, and what is known of them.

Symbols are atoms: arrays of the tape, and what is made of formulas by exp, log, a sum along axes, a sign. An
exponential of a sum is taken apart into a product of powers of exponentials of monomials, a sum along axes into sums of
monomials, with what is constant along the axes outside; so equal ones are the same atoms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import count
from typing import Any

import numpy as np

from autodiff.program.polynomial import (
    UNIT,
    Monomial,
    Number,
    Rational,
    monomial,
    over,
    ratio,
    shared_powers,
    symbols_of,
)
from autodiff.record import Record

Shape = tuple[int, ...]
DYADIC = 16                      # 0.5, 2.25 are fractions; 0.1 is none in binary, and stays as it is
LEAST = 1e-9
LONG = 12                        # 0.0017574692442882249 is 1/569, 0.1 is meant as it stands
FUNCTIONS = {"exp": np.exp, "log": np.log, "sign": np.sign}


class UnknownFormulaError(ArithmeticError):
    """Rational functions of atoms cannot say it."""


class Atom:
    """A symbol: an array whose values are not looked into. Within an `Algebra`, equal atoms are one object.

    Attributes
    ----------
    kind : str
        "array", "number", a function ("exp", "log", "sign"), "sum", "max" or "view" of others, "hot" (zeros and a one
        for each class number), "label" (a class number), "made" (a record to be made).
    key : Any
        What it is made of: the record or array, or the formula within.
    shape : tuple of int
        Its shape, which may be broadcast.
    """

    __slots__ = ("key", "kind", "serial", "shape")

    def __init__(self, kind: str, key: Any, shape: Shape, serial: int) -> None:
        self.kind, self.key, self.shape, self.serial = kind, key, shape, serial

    def __lt__(self, other: Atom) -> bool:
        return self.serial < other.serial

    def __repr__(self) -> str:
        key = (self.key.name or self.key.serial) if isinstance(self.key, Record) else self.key
        return f"{self.kind}({key})" if not isinstance(self.key, np.ndarray) else f"array{self.shape}"


class Algebra:
    """The atoms of one tape, and what was taken for granted about their values."""

    def __init__(self) -> None:
        self.atoms: dict[Any, Atom] = {}
        self.floors: list[float] = []            # guards that were found to change nothing
        self.serial = count()
        self.numbers: dict[Any, Rational] = {}

    def atom(self, kind: str, key: Any, shape: Shape) -> Atom:
        """The one atom of this kind and key."""
        same = (kind, id(key) if isinstance(key, np.ndarray) else key, shape)
        if same not in self.atoms:
            self.atoms[same] = Atom(kind, key, shape, next(self.serial))
        return self.atoms[same]

    def number(self, x: Any) -> Rational:
        """A number that a fraction says exactly, or one over a whole number; any other is a symbol."""
        if x not in self.numbers:
            self.numbers[x] = self.read(x)
        return self.numbers[x]

    def read(self, x: Any) -> Rational:
        """A number, seen for the first time."""
        if not np.isfinite(x):
            raise UnknownFormulaError("not finite")
        exact = Fraction(x)
        if exact.denominator <= DYADIC:
            return Rational.number(exact)
        n = round(1 / x) if abs(x) > LEAST and len(repr(x)) > LONG else 0
        if n and 1 / n == x:
            return Rational.number(Fraction(1, n))
        return Rational.of(self.atom("number", abs(x), ())) * (1 if x > 0 else -1)

    # ---- functions of formulas

    def function(self, kind: str) -> Callable[[Rational], Rational]:
        """The function of that name."""
        return {"exp": self.exp, "log": self.log, "sign": self.sign}[kind]

    def exp(self, u: Rational) -> Rational:
        """eᵘ as a product of powers of e to monomials; e to a logarithm is undone."""
        terms = u.terms
        if terms is None:
            raise UnknownFormulaError("e to the power of a quotient")
        result = Rational.number(1)
        for m, c in terms:
            if len(m) == 1 and m[0][0].kind == "log" and m[0][1] == 1 and c.denominator == 1:
                result = result * m[0][0].key ** c.numerator
            else:
                result = result * Rational.of(self.atom("exp", m, shape_of(m)), c)
        return result

    def log(self, u: Rational) -> Rational:
        """log u; of a product of exponentials it is undone."""
        terms = u.terms
        if u == 1:
            return Rational.number(0)
        if terms is not None and len(terms) == 1 and terms[0][1] == 1 and all(a.kind == "exp" for a, _ in terms[0][0]):
            return sum((Rational({a.key: n}) for a, n in terms[0][0]), start=Rational.number(0))
        return Rational.of(self.atom("log", u, shape_of(*u.above, *u.below)))

    def sign(self, u: Rational) -> Rational:
        """The sign of u: of what is left of it without numbers and exponentials, which are positive."""
        if not u.symbols:
            return Rational.number(((u.constant or 0) > 0) - ((u.constant or 0) < 0))
        if len(u.below) > 1:
            raise UnknownFormulaError("the sign of a quotient")
        above = over(u.above, tuple(power for power in shared_powers(u.above) if power[0].kind == "exp"))
        below = tuple(power for power in next(iter(u.below)) if power[0].kind != "exp")
        first: Number = above[min(above)]
        if not below and not symbols_of(above):
            return Rational.number(1 if first > 0 else -1)
        flip = 1 if first > 0 else -1
        key = Rational(above) * Rational({below: ratio(flip, first)})
        return Rational.of(self.atom("sign", key * flip, shape_of(*above, below))) * flip

    def total(self, u: Rational, axis: int, n: int) -> Rational:
        """The sum along an axis (counted from the end) of length n, the axis kept with length one."""
        terms = u.terms
        if terms is None and not any(varies(a, axis) for m in u.below for a, _ in m):
            return self.total(Rational(u.above), axis, n) / Rational(u.below)
        if terms is None:
            return Rational.of(self.atom("sum", (u, (axis,)), reduced(shape_of(*u.above, *u.below), axis)))
        result = Rational.number(0)
        for m, c in terms:
            inside = monomial(power for power in m if varies(power[0], axis))
            term = Rational({monomial(power for power in m if not varies(power[0], axis)): c})
            result = result + term * (self.summed(inside, axis) if inside else n)
        return result

    def summed(self, m: Monomial, axis: int) -> Rational:
        """The sum of a monomial along an axis; sums of sums are one, the ones of a row of a one-hot array are one."""
        axes: tuple[int, ...] = (axis,)
        inner = Rational({m: 1})
        if len(m) == 1 and m[0][1] == 1:
            atom = m[0][0]
            if atom.kind == "hot" and atom.key[1] == axis:
                return Rational.number(1)
            if atom.kind == "sum":
                inner, axes = atom.key[0], tuple(sorted((*atom.key[1], axis)))
        return Rational.of(self.atom("sum", (inner, axes), reduced(shape_of(m), axis)))

    # ---- views

    def moved(self, u: Rational, shape: Shape, step: tuple[str, Any]) -> Rational:
        """A formula of this shape reshaped or transposed: ("reshape", shape) or ("transpose", axes)."""
        return u.mapped(lambda atom, n: power_of(self.moved_atom(atom, shape, step), n))

    def moved_atom(self, atom: Atom, shape: Shape, step: tuple[str, Any]) -> Rational:
        """An atom, broadcast to `shape`, in the place that a view gives it; of a function, the function of a view."""
        if atom.shape == ():
            return Rational.of(atom)
        if atom.kind in FUNCTIONS:
            return self.function(atom.kind)(self.moved(inside(atom), shape, step))
        if atom.kind == "hot" and step[0] == "transpose" and len(atom.shape) == len(shape) == 2:
            labels, axis = atom.key
            turned = tuple(step[1]) == (1, 0)
            return Rational.of(self.atom("hot", (labels, -3 - axis if turned else axis), after(step, shape)))
        if atom.kind == "sum" and step[0] == "transpose":
            inner, axes = atom.key
            full = shape_of(*inner.above, *inner.below)
            u = self.moved(inner, (1,) * (len(shape) - len(full)) + full, step)
            for axis in axes:
                u = self.total(u, tuple(step[1]).index(axis + len(shape)) - len(shape), full[axis])
            return u
        part = (1,) * (len(shape) - len(atom.shape)) + atom.shape
        steps: list[tuple[str, Any]] = [("reshape", part)]
        if squeezed(part) == ():
            steps.append(("reshape", ()))
        elif step[0] == "transpose":
            steps.append(step)
        elif part == shape:
            steps.append(("reshape", tuple(step[1])))
        elif squeezed(shape) == squeezed(step[1]):                      # axes of length one come and go
            left = [part[i] for i, n in enumerate(shape) if n != 1]
            steps.append(("reshape", tuple(1 if n == 1 else left.pop(0) for n in step[1])))
        else:
            raise UnknownFormulaError("a reshape of something broadcast")
        base, chain = atom.key if atom.kind == "view" else (atom, ())
        return Rational.of(self.view(base, (*chain, *steps)))

    def view(self, base: Atom, steps: Sequence[tuple[str, Any]]) -> Atom:
        """A view of an atom that is none itself, in as few steps as it takes, without leading axes of length one."""
        done: list[tuple[str, Any]] = []
        shapes = [base.shape]
        for kind, to in (*steps, ("strip", None)):
            before = shapes[-1]
            if kind == "strip":
                kind, to = "reshape", before[next((i for i, n in enumerate(before) if n != 1), len(before)):]
            elif kind == "transpose":
                long = [i for i in to if before[i] != 1]
                if long == sorted(long):                                # only axes of length one move
                    kind, to = "reshape", tuple(before[i] for i in to)
            if done and done[-1][0] == kind:
                last = done.pop()[1]
                shapes.pop()
                to = to if kind == "reshape" else tuple(last[i] for i in to)
            if to != (shapes[-1] if kind == "reshape" else tuple(range(len(shapes[-1])))):
                done.append((kind, to))
                shapes.append(after(done[-1], shapes[-1]))
        shape = shapes[-1]
        if not done or (len(done) == 1 and done[0][0] == "reshape" and stripped(shape) == stripped(base.shape)):
            return base
        return self.atom("view", (base, tuple(done)), shape)

    # ---- replacing

    def instead(self, u: Rational, found: Callable[[Atom, Any], Rational | None]) -> Rational:
        """u with every power that `found` knows replaced by what it says, also within other atoms."""
        def power(atom: Atom, n: Any) -> Rational:
            new = found(atom, n)
            if new is not None:
                return new
            if not any(found(inner, 1) is not None for inner in atoms_in(Rational.of(atom)) if inner is not atom):
                return Rational.of(atom, n)
            kind, key = atom.kind, atom.key
            if kind == "exp":
                return self.exp(self.instead(inside(atom), found) * n)
            if kind in FUNCTIONS:
                return power_of(self.function(kind)(self.instead(key, found)), n)
            if kind == "sum":
                full = shape_of(*key[0].above, *key[0].below)
                v = self.instead(key[0], found)
                for axis in key[1]:
                    v = self.total(v, axis, full[axis])
                return power_of(v, n)
            raise UnknownFormulaError("within another function")

        return u.mapped(power)

    def with_atoms(self, u: Rational, values: Mapping[Atom, Rational]) -> Rational:
        """u with other values for some atoms."""
        return self.instead(u, lambda atom, n: power_of(values[atom], n) if atom in values else None)

    # ---- numbers

    def value(self, u: Rational) -> Any:
        """The recorded values of a formula."""
        return sum_of_terms(self, u.above) / sum_of_terms(self, u.below)

    def value_of(self, atom: Atom) -> Any:
        """The recorded values of an atom."""
        kind, key = atom.kind, atom.key
        if kind == "array":
            return key.value if isinstance(key, Record) else key
        if kind in ("number", "label"):
            return key
        if kind == "view":
            value = self.value_of(key[0])
            for step in key[1]:
                value = np.reshape(value, step[1]) if step[0] == "reshape" else np.transpose(value, step[1])
            return value
        if kind == "hot":
            labels, axis = key
            return (np.expand_dims(self.value_of(labels), axis)
                    == np.arange(atom.shape[axis]).reshape(-1, *(1,) * (-axis - 1))).astype(float)
        if kind == "sum":
            return np.sum(np.broadcast_to(self.value(key[0]), shape_of(*key[0].above, *key[0].below)), axis=key[1],
                          keepdims=True)
        if kind == "max":
            return np.max(self.value(key[0]), axis=key[1], keepdims=True)
        return FUNCTIONS[kind](self.value(inside(atom)))


def sum_of_terms(algebra: Algebra, polynomial: Any) -> Any:
    """The values of a polynomial."""
    total: Any = 0.0
    for m, c in polynomial.items():
        term: Any = float(c)
        for atom, n in m:
            term = term * algebra.value_of(atom) ** float(n)
        total = total + term
    return total


def inside(atom: Atom) -> Rational:
    """What a function is of."""
    return atom.key if isinstance(atom.key, Rational) else Rational({atom.key: 1})


# ---- shapes

def shape_of(*monomials: Monomial) -> Shape:
    """The shape of a product or sum of atoms."""
    return np.broadcast_shapes(*(atom.shape for m in monomials for atom, _ in m))


def squeezed(shape: Shape) -> Shape:
    """A shape without axes of length one."""
    return tuple(n for n in shape if n != 1)


def reduced(shape: Shape, axis: int) -> Shape:
    """The shape after a sum along an axis, which is kept."""
    return tuple(1 if i - len(shape) == axis else n for i, n in enumerate(shape))


def varies(atom: Atom, axis: int) -> bool:
    """Whether an atom is not constant along an axis, counted from the end."""
    return len(atom.shape) >= -axis and atom.shape[axis] != 1


def after(step: tuple[str, Any], shape: Shape) -> Shape:
    """The shape of a view."""
    return tuple(step[1]) if step[0] == "reshape" else tuple(shape[i] for i in step[1])


def stripped(shape: Shape) -> Shape:
    """A shape without leading axes of length one, which broadcasting supplies."""
    return shape[next((i for i, n in enumerate(shape) if n != 1), len(shape)):]


def power_of(u: Rational, n: Number) -> Rational:
    """u to the n; a fraction only of a symbol."""
    if isinstance(n, int):
        return u ** n
    if len(u.above) == 1 and u.below == {UNIT: 1}:
        [(m, c)] = u.above.items()
        if c == 1:
            return Rational({monomial((a, k * n) for a, k in m): 1})
    raise UnknownFormulaError("a root of a sum")


def atoms_in(u: Rational) -> set[Atom]:
    """The atoms of a function, those within others too."""
    found: set[Atom] = set()
    pending: list[Any] = [*u.symbols]
    while pending:
        atom = pending.pop()
        if atom in found:
            continue
        found.add(atom)
        if atom.kind in FUNCTIONS:
            pending += inside(atom).symbols
        elif atom.kind in ("sum", "max"):
            pending += atom.key[0].symbols
        elif atom.kind in ("view", "hot"):
            pending.append(atom.key[0])
    return found


def arrays_in(u: Rational) -> set[Atom]:
    """The arrays that a function is about."""
    return {atom for atom in atoms_in(u) if atom.kind == "array"}


def length(u: Rational) -> int:
    """How many terms a function has, those within its atoms too."""
    inner = [u, *(atom.key[0] if atom.kind in ("sum", "max") else inside(atom) for atom in atoms_in(u)
                  if atom.kind in ("sum", "max", *FUNCTIONS))]
    return sum(len(v.above) + len(v.below) for v in inner)
