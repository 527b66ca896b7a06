"""Closed forms of gradients, proved: ŷ - y for the sigmoid with binary cross entropy, however it was spelled.

The rules of the tape are run on formulas in place of arrays (see `formula`), from the loss backwards. So each
gradient comes out as a rational function of what is on the tape, in lowest terms; where writing that out takes fewer
operations than the tape did, it is offered in place of the recorded gradient. Every closed form is computed beside the
recorded one before it is given; one that differs is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.naming import ArrayNames
from autodiff.ops import arithmetic, reductions
from autodiff.program.algebra import Atom, Shape, UnknownFormulaError, atoms_in, length
from autodiff.program.closed_text import text_of
from autodiff.program.closed_walk import PRODUCTS, Formulas, record_of
from autodiff.program.closed_writing import Writer, solved, work
from autodiff.program.identities import Identities
from autodiff.program.passes import value_of
from autodiff.program.polynomial import Rational
from autodiff.record import Record
from autodiff.state import grad_mode
from autodiff.tensor import Tensor

LONG = 40            # terms: what is longer is nothing that a person would write


@dataclass(frozen=True)
class Closed:
    """A gradient in closed form.

    Attributes
    ----------
    record : Record
        What the gradient is with respect to.
    cotangent : Tensor
        The closed form, on a tape like any result.
    proof : str
        "algebra": equal by exact algebra, wherever both are defined.
    statement : str
        The equation in the user's names.
    assumptions : tuple of str
        What must hold of the data for it; the recorded data satisfy it.
    name : str
        What it is known as; "" if it has no name.
    """

    record: Record
    cotangent: Tensor
    proof: str
    statement: str
    assumptions: tuple[str, ...]
    name: str


def closed_forms(loss: Record, tape: Sequence[Record], cotangents: Mapping[Record, Tensor],
                 names: Mapping[Record, str] | None = None) -> list[Closed]:
    """The gradients on a tape that have a closed form shorter than what was recorded, in the order of the tape.

    Parameters
    ----------
    loss : Record
        What is differentiated.
    tape : sequence of Record
        What stands behind it, in order.
    cotangents : mapping of Record to Tensor
        The recorded gradient of the loss with respect to these; what is not among them is data.
    names : mapping of Record to str, optional
        What records are called; by default, as on the user's lines.

    Examples
    --------
    >>> from autodiff.program.closed import closed_forms
    >>> y = np.array([1.0, 0.0, 1.0])
    >>> z = ad.Tensor([0.5, -1.0, 2.0], requires_grad=True)
    >>> a = 1 / (1 + np.exp(-z))
    >>> loss = -(y * np.log(a) + (1 - y) * np.log(1 - a)).mean()
    >>> [dz] = ad.gradients(loss, [z], record=True)
    >>> closed_forms(loss.record, ad.Tape(loss).all, {z.record: dz})[-1].statement
    '∂loss/∂z = (a - y) / 3'
    """
    with grad_mode(True), np.errstate(all="ignore"):
        return Closing(loss, tape, cotangents, names).found()


class Closing:
    """The closed forms of one tape."""

    def __init__(self, loss: Record, tape: Sequence[Record], cotangents: Mapping[Record, Tensor],
                 names: Mapping[Record, str] | None) -> None:
        self.loss, self.tape, self.cotangents = loss, tape, cotangents
        self.names: Mapping[Record, str] = {r: r.name for r in tape if r.name} if names is None else names
        self.called: dict[Any, str] = {**ArrayNames(tape).texts, **self.names}
        self.formulas = Formulas(loss, tape, cotangents, self.names)
        self.algebra = self.formulas.algebra
        self.gradient_records = {t.record: r for r, t in cotangents.items()}
        self.gradient_records.update({t.record: r for r, t in cotangents.items() if r in self.names})
        # What has a line of its own in any case: what has a name, and what a product of matrices hands to its gradient.
        self.kept = {*self.names, *(x for r in tape if r.op in PRODUCTS for x in r.inputs if isinstance(x, Record))}
        known = {r: v.u for r, v in self.formulas.values.items() if r.op is not None and v.u.symbols
                 and v.u != Rational.of(self.algebra.atom("array", r, v.shape))}
        self.writer = Writer(self.algebra, known, self.gradient_records, cotangents, self.kept, self.counted())
        self.identities = Identities(known, cotangents, self.gradient_records)

        for r, u in known.items():                              # a sigmoid that is spelled out is read as one
            for t in [a for a in u.symbols if a.kind == "exp" and len(a.key) == 1 and r not in self.called]:
                e = Rational.of(t)
                if u == e / (1 + e) and t.key[0][1] == 1 and record_of(t.key[0][0]) is not None:
                    self.called[r] = f"σ({text_of(record_of(t.key[0][0]), self.called)})"

    def found(self) -> list[Closed]:
        """The closed forms of what has a name, and where formulas end."""
        known = self.formulas.gradients
        ends = [r for r in self.tape if r in known and r in self.cotangents and r is not self.loss
                and (r in self.names or not any(x in known for x in r.inputs if isinstance(x, Record)))]
        first = {self.cotangents[r].record: r for r in sorted(ends, key=self.names.__contains__)}   # of those alike
        return [form for r in ends if (r in self.names or first[self.cotangents[r].record] is r)
                and (form := self.closed(r)) is not None]

    def closed(self, r: Record) -> Closed | None:
        """The closed form of the gradient at a record, if it is shorter, and right."""
        old, u = self.cotangents[r].record, self.formulas.gradients[r].u
        stop = {record_of(a) for a in atoms_in(u)} & self.gradient_records.keys() - {old}
        recorded = work(old, stop, self.kept)
        if recorded < 2 or length(u) > LONG or all(a.kind == "number" for a in u.symbols):
            return None
        needs = dict(self.formulas.needs.get(r, {}))
        try:
            cost, u = self.writer.shortest(self.without_signs(u, needs), np.shape(r.value))
            cheaper, v, assumption = self.summing_to_one(u, np.shape(r.value))
            if cheaper < cost:
                u = v
                needs[assumption] = None
            new = self.writer.record(u, r)
        except (ArithmeticError, TypeError, ValueError):
            return None
        if work(new, stop, self.kept) >= recorded or not close(new.value, old.value):
            return None
        for g in {record_of(a) for a in atoms_in(u)} & self.gradient_records.keys():
            self.called.setdefault(g, self.gradient_of(self.gradient_records[g]))
        statement = f"{self.gradient_of(r)} = {text_of(new, self.called)}"
        return Closed(r, Tensor.of(new), "algebra", statement, tuple(needs), self.identities.name(u, r, old.value))

    def gradient_of(self, r: Record) -> str:
        """How a gradient is written."""
        return f"∂{self.called.get(self.loss, 'loss')}/∂{text_of(r, self.called, least=3)}"

    # ---- what is taken for granted

    def without_signs(self, u: Rational, needs: dict[str, None]) -> Rational:
        """A formula that is the same for either sign of what it asks the sign of, without asking."""
        for s in sorted(a for a in atoms_in(u) if a.kind == "sign"):
            at = [self.algebra.with_atoms(u, {s: Rational.number(c)}) for c in (1, -1)]
            if at[0] != at[1]:
                raise UnknownFormulaError("it depends on the sign")
            if not self.equal_at_zero(s, u, at[0]):
                if not np.all(self.algebra.value(s.key)):
                    raise UnknownFormulaError("it is different at 0")
                inner = [record_of(a) for a in s.key.symbols]
                what = text_of(inner[0], self.called) if len(inner) == 1 else "what absolute values are taken of"
                needs[f"{what} is not 0 (it is not here)"] = None
            u = at[0]
        return u

    def equal_at_zero(self, s: Atom, u: Rational, v: Rational) -> bool:
        """Whether two formulas are the same where what `s` is the sign of is 0."""
        for x in s.key.symbols:
            root, _ = solved(s.key, x, Rational.number(0))
            at_zero = {s: Rational.number(0), x: root}
            if self.algebra.with_atoms(u, at_zero) != self.algebra.with_atoms(v, at_zero):
                return False
        return True

    def summing_to_one(self, u: Rational, shape: Shape) -> tuple[float, Rational, str]:
        """The formula where sums of data that are 1 are taken to be, how long it is, and what was assumed."""
        ones = {}
        for a in u.symbols:
            if a.kind == "sum":
                [*inner] = a.key[0].symbols
                base = inner[0].key[0] if inner[0].kind == "view" else inner[0]
                if base.kind == "array" and record_of(base) not in self.cotangents \
                        and a.key[0] == Rational.of(inner[0]) and close(self.algebra.value_of(a), np.ones(a.shape)):
                    ones[a] = base
        if not ones:
            return np.inf, u, ""
        cost, v = self.writer.shortest(self.algebra.with_atoms(u, dict.fromkeys(ones, Rational.number(1))), shape)
        axes = {a.key[1] for a in ones}
        what = "the rows" if axes == {(-1,)} else "the columns" if axes == {(-2,)} else "the elements"
        names = sorted({text_of(x.key, self.called) for x in ones.values()})
        return cost, v, f"{what} of {' and '.join(names)} sum to 1 (they do here)"

    def counted(self) -> set[int]:
        """The numbers that the tape divides by."""
        found: set[int] = set()
        for r in self.formulas.gradients:
            if r.op is reductions.mean_:
                found.add(np.size(value_of(r.inputs[0])) // max(np.size(r.value), 1))
            elif r.op is arithmetic.divide and isinstance(r.inputs[1], int | float) and r.inputs[1] == int(r.inputs[1]):
                found.add(int(r.inputs[1]))
        return found


def close(a: Any, b: Any) -> bool:
    """Whether two arrays are the same but for rounding, also where digits were lost on the way."""
    a, b = np.asarray(a), np.asarray(b)
    scale = float(np.max(np.abs(b), initial=0))
    return bool(a.shape == b.shape and np.isfinite(b).all()
                and np.max(np.abs(a - b), initial=0) <= np.sqrt(np.finfo(b.dtype).eps) * scale)
