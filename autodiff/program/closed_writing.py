"""A formula written out as records on the tape, with as few operations as it takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from sys import _getframe
from typing import Any

import numpy as np

from autodiff.kinds import Op
from autodiff.ops import arithmetic, elementary, losses, reductions, shapes, stable
from autodiff.program.algebra import (
    Algebra,
    Atom,
    Shape,
    UnknownFormulaError,
    arrays_in,
    atoms_in,
    inside,
    power_of,
    shape_of,
)
from autodiff.program.closed_walk import record_of
from autodiff.program.passes import value_of
from autodiff.program.polynomial import (
    ONE,
    UNIT,
    Monomial,
    Number,
    Polynomial,
    Rational,
    by_degree,
    content,
    over,
    ratio,
    shared_powers,
    symbols_of,
)
from autodiff.record import NO_OPTIONS, Record

Apply = Callable[..., Any]                  # (op, *operands, **options): what the operation gives
FEW = 12                                    # records at most that are tried in place of a symbol
OPS = {"exp": elementary.exp, "log": elementary.log, "sign": arithmetic.sign}
FREE: set[Op] = {shapes.broadcast_to, elementary.alias, elementary.cast, shapes.expand_dims, shapes.squeeze}


def recorded(op: Op, *inputs: Any, **options: Any) -> Record:
    """The record of an operation, made also of constants alone; operands are records, arrays or numbers."""
    values = [x.value if isinstance(x, Record) else x for x in inputs]
    requires_grad = op.differentiable and any(isinstance(x, Record) and x.requires_grad for x in inputs)
    y = op.forward(*values, **options)
    y = y if hasattr(y, "dtype") else np.asarray(y)[()]              # of Python's numbers alone
    return Record(op, inputs, options or NO_OPTIONS, y, requires_grad, _getframe(1), None, None)


class Writer:
    """Writes formulas with what there is on a tape.

    Parameters
    ----------
    algebra : Algebra
        Whose formulas they are.
    values : mapping of Record to Rational
        What is known of the records that may be used.
    cotangents : collection of Record
        The records of gradients, which come first in a product.
    flows : collection of Record
        What gradients flow to; anything else is data.
    kept : collection of Record
        What has a line of its own in any case.
    counts : collection of int
        The numbers that the tape divides by: 2/6 is written so, not 1/3, if there are 6 of something.
    """

    def __init__(self, algebra: Algebra, values: Mapping[Record, Rational], cotangents: Collection[Record],
                 flows: Collection[Record], kept: Collection[Record], counts: Collection[int]) -> None:
        self.algebra, self.values, self.cotangents, self.flows = algebra, values, cotangents, flows
        self.kept, self.counts = kept, counts
        self.about: dict[Atom, list[Record]] = {}               # by the arrays they are functions of
        self.equal: dict[Rational, Record] = {}
        for r, u in values.items():
            self.equal.setdefault(u, r)
            for atom in atoms_in(u):
                if atom.kind == "array":
                    self.about.setdefault(atom, []).append(r)
        self.prices: dict[Record, int] = {}

    # ---- which form is the shortest

    def shortest(self, u: Rational, shape: Shape) -> tuple[float, Rational]:
        """The same function in other atoms, such that it takes the fewest operations; and how many."""
        best = self.cost(u), u
        for t in sorted(atoms_in(u), key=lambda atom: (atom.kind != "exp", atom)):
            if t in atoms_in(best[1]):
                rivals = [(self.cost(v), v) for v in self.others(best[1], t, shape)]
                best = min((best, *rivals), key=lambda rival: rival[0])
        return best

    def others(self, u: Rational, t: Atom, shape: Shape) -> Iterator[Rational]:
        """The function with a record of the tape, or one that could be made, in place of an atom."""
        r = record_of(t)
        if r is not None and r.op is arithmetic.subtract and r not in self.kept:      # y - ŷ turned round
            opened = [self.values.get(x, Rational.of(self.algebra.atom("array", x, np.shape(x.value))))
                      for x in r.inputs if isinstance(x, Record) and np.shape(x.value) == t.shape]
            if len(opened) == 2:
                yield self.algebra.with_atoms(u, {t: opened[0] - opened[1]})
        for a, v in self.candidates(t, u, shape) if t.kind in ("exp", "array") else ():
            with suppress(ArithmeticError):
                solution, unit = solved(v, t, a)
                if symbols_of(solution.below) <= (a.symbols if t.kind == "exp" else set()):
                    yield self.replaced(u, t, unit, solution)       # nothing is divided by that was not before

    def candidates(self, t: Atom, u: Rational, shape: Shape) -> Iterator[tuple[Rational, Rational]]:
        """What could stand in place of an atom: other atoms, and what they are in terms of it."""
        tried = 0
        bases = arrays_in(Rational.of(t))
        for r in dict.fromkeys(r for a in sorted(bases) for r in self.about.get(a, ())):
            more = arrays_in(self.values[r]) - bases
            if tried == FEW or (more and (t.kind == "exp" or len(more) > 1)):
                continue
            a = Rational.of(self.algebra.atom("array", r, np.shape(r.value)))
            for x, v in self.views(a, self.values[r], np.shape(r.value), shape):
                if t in v.symbols:
                    tried += 1
                    yield x, v
        if t.kind != "exp":
            return
        exponents: list[Any] = [abs(n) for m in (*u.above, *u.below) for a, n in m if a is t]
        q: Number = min(exponents, default=1)
        inner, e = Rational({t.key: q}), Rational.of(t, q)
        made: list[tuple[Op, Rational, Any, Rational]] = [
            (stable.sigmoid, inner, None, e / (1 + e)), (elementary.exp, inner, None, e)]
        if q % 2 == 0:
            made.append((elementary.tanh, Rational({t.key: ratio(q, 2)}), None, (e - 1) / (e + 1)))
        made += [(stable.softmax, inner, s.key[1], e / Rational.of(s)) for s in u.symbols
                 if s.kind == "sum" and s.key[0] == e]
        for op, x, axes, v in made:
            yield Rational.of(self.algebra.atom("made", (op, x, axes), t.shape)), v

    def views(self, a: Rational, v: Rational, own: Shape, shape: Shape) -> Iterator[tuple[Rational, Rational]]:
        """A record and its value, also in the shape that is wanted."""
        yield a, v
        steps: list[tuple[str, Any]] = []
        if np.prod(own) == np.prod(shape) > 1 and own != shape:
            steps.append(("reshape", shape))
        if len(own) == 2 and own[::-1] == shape:
            steps.append(("transpose", (1, 0)))
        for step in steps:
            with suppress(ArithmeticError):
                yield self.algebra.moved(a, own, step), self.algebra.moved(v, own, step)

    def replaced(self, u: Rational, t: Atom, unit: Any, solution: Rational) -> Rational:
        """u with t to the power of `unit` replaced, also within sums."""
        def found(atom: Atom, n: Any) -> Rational | None:
            if atom in solution.symbols:
                return Rational.of(atom, n)
            return power_of(solution, ratio(n, unit)) if atom is t else None

        return self.algebra.instead(u, found)

    # ---- how many operations it takes

    def cost(self, u: Rational) -> float:
        """How many operations it takes to compute a formula from what is kept; a minus in front counts half."""
        seen: set[Atom] = set()

        def apply(op: Op, *xs: int, **options: Any) -> int:
            return sum(xs) + 1

        def spelled(v: Rational) -> int:
            n: int = self.spelled(v, apply, leaf, 0)
            return n

        def leaf(atom: Atom) -> int:
            if atom in seen:
                return 0
            seen.add(atom)
            if atom.kind == "made":
                return 1 if atom.key[1] in self.equal else 1 + spelled(atom.key[1])
            if atom.kind in OPS:
                return 1 + spelled(inside(atom))
            if atom.kind in ("sum", "max"):
                return 1 + spelled(atom.key[0])
            if atom.kind == "view":
                return leaf(atom.key[0]) + 1
            if atom.kind == "hot":
                return 1
            return self.price(atom.key) if isinstance(atom.key, Record) else 0

        return spelled(u) + 0.5 * all(c < 0 for c in u.above.values())

    def price(self, r: Record) -> int:
        """How many operations a record is away from what is kept."""
        if r not in self.prices:
            self.prices[r] = 0 if r.op is None or r in self.kept or r in self.cotangents else work(r, (), self.kept)
        return self.prices[r]

    # ---- written out

    def record(self, u: Rational, like: Record) -> Record:
        """A formula as a record; `like` is one of its shape."""
        made: dict[Atom, Any] = {}

        def leaf(atom: Atom) -> Any:
            if atom not in made:
                made[atom] = self.atom_record(atom, leaf, like)
            return made[atom]

        x = self.spelled(u, recorded, leaf, None)
        if not isinstance(x, Record) or np.shape(x.value) != np.shape(like.value):
            x = recorded(shapes.broadcast_to, np.asarray(x) if not isinstance(x, Record) else x,
                         shape=np.shape(like.value))
        if x.value.dtype != like.value.dtype:
            x = recorded(elementary.cast, x, dtype=like.value.dtype)
        return x

    def atom_record(self, atom: Atom, leaf: Callable[[Atom], Any], like: Record) -> Any:
        """What an atom stands for."""
        kind, key = atom.kind, atom.key

        def spelled(u: Rational) -> Any:
            return self.equal[u] if u in self.equal else self.spelled(u, recorded, leaf, None)

        if kind in ("array", "number"):
            return key
        if kind == "made":
            op, inner, axes = key
            x = spelled(inner)
            return recorded(op, x) if axes is None else recorded(op, x, axis=axes[0] if len(axes) == 1 else axes)
        if kind == "view":
            x = leaf(key[0])
            for step, to in key[1]:
                x = recorded(shapes.reshape, x, shape=to) if step == "reshape" else \
                    recorded(shapes.transpose, x, axes=to)
            return x
        if kind == "label":
            return np.int64(key)
        if kind in OPS:
            return recorded(OPS[kind], spelled(inside(atom)))
        if kind in ("sum", "max"):
            axes = key[1][0] if len(key[1]) == 1 else key[1]
            x = spelled(key[0])
            scalar = shape_of(*key[0].above, *key[0].below) == () or len(key[1]) == np.ndim(value_of(x))
            op = reductions.sum_ if kind == "sum" else reductions.max_
            return recorded(op, x) if scalar else recorded(op, x, axis=axes, keepdims=True)
        labels, axis = key
        x = like if atom.shape == np.shape(like.value) else recorded(shapes.transpose, like)
        if axis != -1:
            x = recorded(shapes.transpose, x)
        rows = recorded(losses.one_hot, leaf(labels), x)
        return rows if axis == -1 else recorded(shapes.transpose, rows)

    def spelled(self, u: Rational, apply: Apply, leaf: Callable[[Atom], Any], nothing: Any) -> Any:
        """A formula as operations: c · factors · (sum) / number / factors / (sum)."""
        c, factors, terms = split(u.above)
        d, divisors, sums = split(u.below)
        if sums.get(UNIT, 1) < 0:                                       # 1 - a rather than a - 1
            d, sums = -d, {m: -k for m, k in sums.items()}
            if len(terms) > 1 and any(k < 0 for k in terms.values()):
                c, terms = -c, {m: -k for m, k in terms.items()}
        c = ratio(c, d)
        top_number, bottom = c.numerator, c.denominator
        if bottom > 1 and bottom not in self.counts:
            k = next((k for k in (2, 3, 4) if bottom * k in self.counts), 1)
            top_number, bottom = top_number * k, bottom * k
        top: list[Any] = [self.power(atom, n, apply, leaf) for atom, n in sorted(factors, key=self.rank)]
        if len(terms) > 1:
            top.append(self.sum(terms, apply, leaf, nothing))
        if top_number == -1 and top:
            top[0] = apply(arithmetic.negative, top[0])
        elif top_number != 1 or not top:
            top.insert(0, top_number if nothing is None else nothing)
        x = top[0]
        for y in top[1:]:
            x = apply(arithmetic.multiply, x, y)
        below = [self.power(atom, n, apply, leaf) for atom, n in sorted(divisors, key=self.rank)
                 if atom.kind != "number"]
        constants = [(atom, n) for atom, n in divisors if atom.kind == "number"]
        if len(sums) > 1:
            below.append(self.sum(sums, apply, leaf, nothing))
        if below:
            divisor = below[0]
            for y in below[1:]:
                divisor = apply(arithmetic.multiply, divisor, y)
            x = apply(arithmetic.divide, x, divisor)
        for atom, n in sorted(constants, key=self.rank):
            x = apply(arithmetic.divide, x, self.power(atom, n, apply, leaf))
        if bottom != 1:
            x = apply(arithmetic.divide, x, bottom if nothing is None else nothing)
        return x

    def sum(self, terms: Polynomial, apply: Apply, leaf: Callable[[Atom], Any], nothing: Any) -> Any:
        """A sum of terms, those that are added first."""
        def order(term: tuple[Monomial, Number]) -> Any:
            m, c = term
            return c < 0, bool(m), [-self.rank(power)[0] for power in m], [a.serial for a, _ in m]

        x = None
        ordered: list[tuple[Monomial, Number]] = sorted(terms.items(), key=order)
        for m, c in ordered:
            size: Any = abs(c)
            one: Polynomial = {m: size if x is not None else c}
            y = self.spelled(Rational(one), apply, leaf, nothing)
            x = y if x is None else apply(arithmetic.subtract if c < 0 else arithmetic.add, x, y)
        return x

    def power(self, atom: Atom, n: Any, apply: Apply, leaf: Callable[[Atom], Any]) -> Any:
        """A power of an atom."""
        if atom.kind == "exp":
            atom, n = self.algebra.atom("made", (elementary.exp, Rational({atom.key: n}), None), atom.shape), 1
        x = leaf(atom)
        if n == 1:
            return x
        if n == 2:
            return apply(arithmetic.square, x)
        return apply(arithmetic.integer_power, x, n=n) if isinstance(n, int) else apply(arithmetic.power, x, float(n))

    def rank(self, power: tuple[Atom, Any]) -> tuple[int, int]:
        """The place of a factor in a product: numbers, gradients, data, what was computed, sums."""
        atom = power[0]
        if atom.kind == "number":
            return 0, atom.serial
        if isinstance(atom.key, Record) and atom.key in self.cotangents:
            return 1, atom.serial
        data = atom.kind == "hot" or (isinstance(atom.key, Record) and atom.key not in self.flows)
        return 2 if data else 4 if atom.kind == "sum" else 3, atom.serial


def split(p: Polynomial) -> tuple[Number, Monomial, Polynomial]:
    """A polynomial as number, monomial and what is left, whose coefficients are whole and not all negative."""
    if not p:
        return 0, UNIT, ONE
    c = content(p) * (1 if any(k > 0 for k in p.values()) else -1)
    m = shared_powers(p)
    return c, m, {n: ratio(k, c) for n, k in over(p, m).items()}


def solved(v: Rational, t: Atom, a: Rational) -> tuple[Rational, Any]:
    """From a = v(t), what t to some power is in terms of a, and that power."""
    above, below = by_degree(v.above, t), by_degree(v.below, t)
    degrees = (set(above) | set(below)) - {0}
    if len(degrees) != 1:
        raise UnknownFormulaError("not to be solved")
    [unit] = degrees
    n0, n1, d0, d1 = (Rational(part.get(k, {})) for part in (above, below) for k in (0, unit))
    return (d0 * a - n0) / (n1 - a * d1), unit


def work(output: Record, stop: Collection[Record], kept: Collection[Record], most: int = 64) -> int:
    """How many operations stand behind a record, up to what is in `stop` or `kept`; counted to `most`."""
    seen: set[Record] = set()
    pending: list[Any] = [output]
    count = 0
    while pending and count < most:
        r = pending.pop()
        if r in seen or r.op is None or r in stop or r in kept:
            continue
        seen.add(r)
        count += r.op not in FREE
        pending += [x for x in r.inputs if isinstance(x, Record)]
    return count
