"""What a closed form is known as: it has a name only if the whole formula, term by term, is that identity.

ŷ − y is the gradient at z of the sigmoid with binary cross entropy if ŷ is the sigmoid of this z and y is data; the
same terms at another tensor, or times ŷ (1 − ŷ), are something else, and have no name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from autodiff.ops import arithmetic
from autodiff.program.algebra import Atom, arrays_in
from autodiff.program.closed_walk import record_of
from autodiff.program.polynomial import Rational, by_degree, symbols_of
from autodiff.record import Record

LOSSES = {           # by the function in the result: with data beside it, and without
    "softmax": ("softmax with cross entropy", "logsumexp"),
    "sigmoid": ("sigmoid with binary cross entropy", "softplus"),
    "exp": ("Poisson", ""), "tanh": ("", "log cosh"),
    "itself": ("squared error", ""), "difference": ("", "squared error")}
DERIVATIVES: dict[str, tuple[str, dict[int, int]]] = {     # f′ as a polynomial of f: s − s², 1 − t²
    "sigmoid": ("derivative of the sigmoid", {1: 1, 2: -1}), "tanh": ("derivative of tanh", {0: 1, 2: -1})}


class Identities:
    """Names the closed forms of one tape.

    Parameters
    ----------
    values : mapping of Record to Rational
        What is known of the values on the tape.
    flows : collection of Record
        What gradients flow to; anything else is data.
    gradients : collection of Record
        The records of gradients.
    """

    def __init__(self, values: Mapping[Record, Rational], flows: Collection[Record],
                 gradients: Collection[Record]) -> None:
        self.values, self.flows, self.gradients = values, set(flows), set(gradients)

    def name(self, u: Rational, r: Record, cotangent: Any) -> str:
        """What the gradient `u` at a record is known as, "" if it is nothing known; `cotangent` are its numbers."""
        with suppress(ArithmeticError):                             # what is too long to be looked into has no name
            if any(self.is_gradient(a) for atom in u.symbols for a in inner_arrays(atom)):
                return self.derivative(u, r, cotangent)
            return self.of_a_loss(u, r)
        return ""

    def of_a_loss(self, u: Rational, r: Record) -> str:
        """The loss whose gradient is A f(r) − B, with data A and B and no other term."""
        f = self.only(u, r, {a for a in symbols_of(u.above) if not self.is_data(a)})
        if f is None:
            return ""
        by = by_degree(u.above, f)
        if not set(by) <= {0, 1} or 1 not in by:
            return ""
        function = self.function(f, r)
        beside, alone = LOSSES.get(function, ("", ""))
        if 0 not in by:
            return alone
        if function == "sigmoid" and by[0] == {m: -c for m, c in by[1].items()}:
            return alone                                            # a − 1: softplus of −z
        return beside if any(atom.kind != "number" for atom in symbols_of(by[0])) else ""

    def derivative(self, u: Rational, r: Record, cotangent: Any) -> str:
        """The function between `r` and the later gradients that stand in a formula."""
        others = {a for a in symbols_of(u.above) if not self.is_data(a) and not self.is_gradient(a)}
        sums = {a for a in others if a.kind == "sum" and any(map(self.is_gradient, inner_arrays(a)))}
        if sums:
            f = self.only(u, r, others - sums)
            if f is not None and len(sums) == 1 and self.function(f, r) == "softmax" and is_softmax(u, f, *sums):
                return "derivative of softmax"
            return "normalisation" if self.about(*u.symbols) and is_tangential(sums, r.value, cotangent) else ""
        f = self.only(u, r, others)
        if f is None:
            return ""
        name, wanted = DERIVATIVES.get(self.function(f, r), ("", {}))
        by = by_degree(u.above, f)
        factors = {Rational(by[n]) * k for n, k in wanted.items() if n in by}
        return name if set(by) == set(wanted) and len(factors) == 1 else ""

    def only(self, u: Rational, r: Record, others: set[Atom]) -> Atom | None:
        """The one function in a formula, if it is of `r` and below stand only data and single numbers."""
        below = symbols_of(u.below)
        if len(others) != 1 or len(u.below) > 1 or any(a.shape and not self.is_data(a) for a in below):
            return None
        [f] = others
        scales = self.about(*below)                                 # a temperature that is learned
        return f if self.about(f) - scales == self.about(Atom("array", r, (), 0)) - scales else None

    # ---- atoms

    def is_data(self, atom: Atom) -> bool:
        """Whether no gradient flows to anything in an atom."""
        return all(record_of(a) not in self.flows and not self.is_gradient(a) for a in inner_arrays(atom))

    def is_gradient(self, atom: Atom) -> bool:
        """Whether an atom is a later gradient."""
        return record_of(atom) in self.gradients

    def about(self, *atoms: Atom) -> set[Record]:
        """The records that atoms are about, looked into as far as they are known."""
        found: set[Record] = set()
        pending = [record_of(a) for atom in atoms for a in inner_arrays(atom)]
        while pending:
            r = pending.pop()
            if r in self.values:
                found |= {record_of(a) for a in arrays_in(self.values[r])}
            elif is_difference(r):
                pending += [x for x in r.inputs if isinstance(x, Record)]
            else:
                found.add(r)
        return found & self.flows

    def function(self, atom: Atom, r: Record) -> str:
        """Which function an atom is the value of, by its formula, whether spelled out or not."""
        if atom.kind in ("made", "exp"):
            return str(atom.key[0].name) if atom.kind == "made" else "exp"
        x = record_of(atom.key[0] if atom.kind == "view" else atom)
        if x in self.values and x is not r:
            return function_of(self.values[x])
        if x is r:
            return "itself"
        return "difference" if is_difference(x) and r in x.inputs else ""


def is_difference(r: Record | None) -> bool:
    """Whether a record is a - b."""
    return r is not None and r.op is arithmetic.subtract


def inner_arrays(atom: Atom) -> set[Atom]:
    """The arrays that stand in an atom."""
    return arrays_in(atom.key[1] if atom.kind == "made" else Rational.of(atom))


def function_of(u: Rational) -> str:
    """Which function of something a formula is: eˣ, 1/(1 + e⁻ˣ), (1 − e⁻²ˣ)/(1 + e⁻²ˣ), eˣ/Σeˣ."""
    if is_exponential(u):
        return "exp"
    if u != 0 and is_exponential(1 / u - 1):
        return "sigmoid"
    if u != 1 and is_exponential((1 + u) / (1 - u)):
        return "tanh"
    sums = [a for a in symbols_of(u.below) if a.kind == "sum"]
    top = u * Rational.of(sums[0]) if len(sums) == 1 else u
    return "softmax" if sums and is_exponential(top) and top == sums[0].key[0] else ""


def is_exponential(u: Rational) -> bool:
    """Whether a formula is e to some power."""
    return bool(u.symbols) and all(len(p) == 1 and [*p.values()] == [1] for p in (u.above, u.below)) \
        and all(a.kind == "exp" for a in u.symbols)


def is_softmax(u: Rational, p: Atom, total: Atom) -> bool:
    """Whether a gradient is p (g − Σ g p)."""
    by = by_degree(u.above, total)
    if set(by) != {0, 1}:
        return False
    inside, front = Rational(by[0]), Rational(by[1])
    scale = -front / Rational.of(p)
    return p not in scale.symbols and inside == scale * total.key[0]


def is_tangential(sums: Collection[Atom], x: Any, cotangent: Any) -> bool:
    """Whether a gradient is orthogonal to moves of `x` that a normalisation undoes: all by as much, or by a factor."""
    eps = float(np.sqrt(np.finfo(cotangent.dtype).eps))
    for axes in {a.key[1] for a in sums}:
        if max(-i for i in axes) > np.ndim(x):
            return False
        moves = [cotangent, cotangent * x]
        if not any(np.all(np.abs(np.sum(c, axis=axes)) <= eps * np.sum(np.abs(c), axis=axes)) for c in moves):
            return False
    return True
