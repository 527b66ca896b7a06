"""The steps of a derivation: each named tensor, its formula, its Jacobians, and its cotangent δ.

The formulas of cotangents are those of the rules, run on Tensors and read like any tape. Every one is worked out in
numbers and held against the gradient of the tape before anyone sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autodiff.derivation.calls import Values, primed, spread
from autodiff.derivation.formulas import Formulas
from autodiff.derivation.graph import Graph, contributions, graph_of, tracked
from autodiff.derivation.jacobians import Jacobian, jacobian
from autodiff.derivation.notation import Expr, Shown, Symbol, evaluate, size
from autodiff.derivation.paper import ONE, add, is_number
from autodiff.derivation.structure import BROADCAST, DIAGONAL, IDENTITY, PERMUTATION, SCALAR
from autodiff.derivation.symbols import symbol_of
from autodiff.derivation.text import Text
from autodiff.derivation.written import is_primed
from autodiff.errors import AutodiffError
from autodiff.program.closed import Closed, closed_forms
from autodiff.record import Record
from autodiff.reverse import gradients
from autodiff.state import grad_mode
from autodiff.tape import behind, leading_to, walk_back
from autodiff.tensor import Tensor

INLINE = 30             # parts of a cotangent that may stand within the next
SHORT = 24              # parts of a closed form that is worth leaving out steps for
NOISE = 1e-5            # part of the largest term by which a formula may differ, in float64; far above its rounding
LETTERS = ("δ", "g", "λ")


class DerivationError(AutodiffError, AssertionError):
    """A formula of a derivation is not worth what the tape says: this library or an operation's rule is wrong."""


@dataclass(frozen=True)
class Step:
    """One named tensor on the way from what is differentiated to the loss.

    Attributes
    ----------
    name : str
        What it is called.
    shape : tuple of int
    symbol : Expr
        Its letter.
    expression : Expr or None
        How it is computed; None for what nothing was computed for.
    jacobians : tuple of Jacobian
        With respect to each tensor on the way that it depends on.
    cotangent : Expr or None
        ∂loss/∂(this), in terms of the cotangents of later steps; None where a closed form made it superfluous.
    cotangent_name : Expr
        Its letter: δ with the step's subscript.
    value, gradient : ndarray
        The tensor and its cotangent in numbers.
    proof, assumptions, identity
        Of a closed form: "algebra", what must hold of the data, what it is known as.
    """

    name: str
    shape: tuple[int, ...]
    symbol: Expr
    expression: Expr | None
    jacobians: tuple[Jacobian, ...]
    cotangent: Expr | None
    cotangent_name: Expr
    value: Any
    gradient: Any
    proof: str = ""
    assumptions: tuple[str, ...] = ()
    identity: str = ""

    def __repr__(self) -> str:
        formula = "" if self.expression is None else f" = {Text().formula(self.expression)}"
        return f"<step {Text().formula(self.symbol)}{formula}, shape {self.shape}>"


class Derived:
    """Everything that is known of the steps behind a loss, for any of the wanted tensors.

    Parameters
    ----------
    loss : Tensor
    wrt : Record
        What is differentiated with respect to.
    names : dict of Record to str
        Names that were given.
    simplify : bool
        Use closed forms.
    """

    def __init__(self, loss: Tensor, wrt: Record, names: Mapping[Record, str], simplify: bool) -> None:
        self.loss, self.wrt = loss.record, wrt
        self.tape = tape = behind([self.loss])
        wanted = [wrt, *(r for r in tape if r.op is None and r.requires_grad and r is not wrt)]
        between = leading_to(wanted, tape)
        path = [r for r in tape if r in between and not isinstance(r.value, tuple)
                and r.value.dtype.kind == "f" and (r.requires_grad or r is wrt)]
        cotangents = recorded(loss, path)
        found = closed_forms(self.loss, tape, cotangents) if simplify and cotangents else []
        self.graph: Graph = graph_of(self.loss, wanted, (), names)
        heads = self.graph.heads
        self.closed: dict[Record, Closed] = {c.record: c for c in found if c.record in heads[:-1]}
        with np.errstate(all="ignore"):
            known = {r: cotangents[r].record.value for r in heads if r in cotangents}
            rest = [r for r in heads if r not in known]
            known |= dict(zip(rest, gradients(loss, [Tensor.of(r) for r in rest])))
        self.gradients: dict[Record, Any] = known
        self.symbols = different({r: symbol_of(name, r) for r, name in self.graph.names.items()}, self.graph.names)
        self.values = Values()
        self.forward = Formulas(self.symbols, self.graph.new_name, self.graph.count, self.graph.layout == "row")
        self.forward.meet_all(tape)
        self.cotangents = cotangents
        self.deltas = self.delta_symbols()
        self.given: dict[Record, dict[Record, Tensor]] = {}
        self.seeds: dict[Record, Record] = {}
        self.constants: dict[Record, Expr] = {}
        for r, delta in self.deltas.items():
            self.values[delta.key] = known[r]
        self.closed = {r: c for r, c in self.closed.items() if self.tells(r, c)}

    # ---- letters

    def delta_symbols(self) -> dict[Record, Symbol]:
        """A letter for each cotangent: δ₂ for that of z₂, δ with its own name for others."""
        letters = {s.base for s in self.symbols.values() if isinstance(s, Symbol)}
        letter = next(c for c in LETTERS if c not in letters)
        deltas: dict[Record, Symbol] = {}
        for r in self.graph.heads:
            symbol = self.symbols[r]
            assert isinstance(symbol, Symbol)
            plain = symbol.base == "z" and not symbol.accent
            deltas[r] = Symbol(letter, symbol.sub if plain else (replace(symbol, key=None),), key=("d", r))
        return deltas

    # ---- formulas

    def contributed(self, h: Record) -> dict[Record, Tensor]:
        """What a step contributes to each of what it depends on, recorded."""
        if h not in self.given:
            g = tracked(np.ones_like(h.value)[()] if h is self.loss else self.gradients[h])
            self.seeds[h] = g.record
            self.given[h], stand_ins = contributions(self.graph, h, g)
            self.constants |= {leaf: self.forward.operand(r, i) for leaf, (r, i) in stand_ins.items()}
        return self.given[h]

    def term(self, h: Record, x: Record, g: Expr | None = None) -> Expr:
        """The formula of what a step contributes to one of its inputs, from its cotangent g (by default its letter)."""
        c = self.contributed(h)[x]
        g = g if g is not None else ONE if h is self.loss else self.deltas[h]
        return self.formulas({**self.constants, self.seeds[h]: g}).of(c.record)

    def closed_form(self, t: Record) -> Expr:
        """A closed form as a formula: in it, recorded cotangents of later steps are their letters."""
        later = {self.cotangents[r].record: self.deltas[r] for r in self.graph.heads
                 if r.serial > t.serial and r in self.cotangents and r is not self.loss}
        return self.formulas(later).of(self.closed[t].cotangent.record)

    def tells(self, t: Record, closed: Closed) -> bool:
        """Whether a closed form says more than the steps it replaces: one with a name, and short if from the loss."""
        y = self.closed_form(t)
        if not closed.name or (self.graph.users(t) == [self.loss] and self.term(self.loss, t) == y):
            return False                                            # the steps themselves say so
        later = self.mentioned(y)
        users = set(self.graph.users(t))
        if later and all(self.prime(h) is not None for h in users):
            return False                                            # δ ⊙ f′(z) and what f′ is: no news
        return not users <= later if later else size(y) <= SHORT

    def cotangent(self, t: Record, plan: Plan, whole: bool = False) -> Expr:
        """∂loss/∂t; with `whole` everything between it and the loss written out, and no closed form used."""
        if t in self.closed and not whole:
            return self.closed_form(t)
        terms = []
        for h in self.graph.users(t):
            if h not in plan.active and not whole:
                continue
            inner = h is not self.loss and (whole or h in plan.inlined)
            terms.append(self.term(h, t, self.cotangent(h, plan, whole) if inner else None))
        y = add(*terms)
        if np.shape(t.value) and all(isinstance(x, Shown) and x.role == "spread" for x in terms):
            return spread(y, np.shape(t.value), all(map(is_number, terms)))
        return y

    def prime(self, h: Record) -> tuple[Any, Expr, Expr] | None:
        """For the function in a step that has a sign: the op, f′(z), and what it is in others: σ′(z) = a ⊙ (1 − a)."""
        found = [r for r in self.graph.inner.get(h, []) if r.op is not None and is_primed(r.op)]
        if len(found) != 1 or not isinstance(found[0].inputs[0], Record):
            return None
        r = found[0]
        op: Any = r.op
        x = Tensor.of(r.inputs[0])
        try:
            with grad_mode(True):
                d = op.partials[0](Tensor.of(r), x, **r.options)
        except Exception:               # a user's rule may do whatever works on arrays
            return None
        if not isinstance(d, Tensor):
            return None
        y, name = (self.formulas({}).of(t.record) for t in (d, primed(op)(x, **r.options)))
        return (op, name, y) if size(y) <= INLINE else None

    def formulas(self, symbols: Mapping[Record, Expr]) -> Formulas:
        """A reader of tapes that knows all symbols, and some more."""
        reader = copy(self.forward)
        reader.symbols = {**symbols, **self.forward.symbols}
        return reader

    def jacobian(self, h: Record, x: Record) -> Jacobian:
        """The local Jacobian of a step."""
        g = self.deltas[h] if h is not self.loss else ONE
        unit = self.term(h, x, ONE) if np.shape(h.value) == () else None
        return jacobian(self.graph, h, x, self.term(h, x), g, self.symbols, unit)

    # ---- what is needed for one tensor

    def plan(self, wrt: Record) -> Plan:
        """Which cotangents lead to one tensor, and which of them stand within others."""
        needed, pending = {wrt}, [wrt]
        while pending:
            t = pending.pop()
            if t in self.closed:
                later = self.mentioned(self.closed_form(t))
            else:
                later = {h for h in self.graph.users(t) if h is not self.loss}
            pending += later - needed
            needed |= later
        ordered = sorted(needed, key=lambda r: r.serial)
        plan = Plan(wrt, ordered, needed | {self.loss}, set())
        in_closed = {h for t in needed if t in self.closed for h in self.mentioned(self.closed_form(t))}
        for t in reversed(ordered):
            if t is wrt or t in self.closed or t in in_closed:      # a closed form speaks of its δ
                continue
            onward = [x for x in self.graph.edges.get(t, {}) if x in needed and x not in self.closed]
            cotangent = self.cotangent(t, plan)
            alone = len(onward) == 1 and onward[0] is not wrt and self.graph.edges[t][onward[0]] in SMOOTH
            if is_number(cotangent) or (alone and size(cotangent) <= INLINE):
                plan.inlined.add(t)
        return plan

    def mentioned(self, x: Expr) -> set[Record]:
        """The records whose cotangents a formula mentions."""
        match x:
            case Symbol(key=("d", Record() as r)):
                return {r}
        return {r for part in x.parts for r in self.mentioned(part)}

    # ---- in numbers

    def check(self, what: Expr, x: Expr, expected: Any, line: str) -> None:
        """Raise if a formula is not worth what the tape says.

        Raises
        ------
        DerivationError
            With the formula and both values.
        """
        from_tape = np.asarray(expected)
        with np.errstate(all="ignore"):
            try:
                worth = evaluate(x, self.values)
                worth = np.real(worth) if from_tape.dtype.kind == "f" else np.asarray(worth)
                worth = np.broadcast_to(worth, from_tape.shape)
            except ValueError as error:
                raise DerivationError(f"the formula for {line} cannot be worked out: {error}") from error
            both = np.isfinite(worth) & np.isfinite(from_tape)
            largest = max([float(np.max(np.abs(from_tape), initial=0, where=both)), *self.sizes(x)])
            eps = np.finfo(from_tape.dtype).eps if from_tape.dtype.kind == "f" else np.finfo(np.float64).eps
            allowed = max(NOISE, 1e3 * float(eps)) * largest
            wrong = both & (np.abs(worth - from_tape) > allowed)
        if wrong.any():
            at = tuple(int(i) for i in np.unravel_index(np.argmax(wrong), wrong.shape))
            raise DerivationError(
                f"the formula for {line} is worth {worth[at]:.6g} at {list(at)}, the tape says {from_tape[at]:.6g}. "
                "Either the rule of an operation is wrong (ad.gradcheck tells), or this library is: please report it.")

    def sizes(self, x: Expr) -> list[float]:
        """The sizes of what is added up in a formula: rounding is relative to these."""
        found = []
        for part in x.parts:
            try:
                value = np.abs(np.asarray(evaluate(part, self.values))).astype(float)
            except (TypeError, ValueError, KeyError, AttributeError):
                continue
            found.append(float(np.max(value, initial=0, where=np.isfinite(value))))
        return found


@dataclass
class Plan:
    """Which cotangents lead to one tensor.

    Attributes
    ----------
    wrt : Record
    needed : list of Record
        The steps whose cotangents are needed, in order.
    active : set of Record
        These and the loss.
    inlined : set of Record
        Those whose cotangents are written within the next one.
    """

    wrt: Record
    needed: list[Record]
    active: set[Record]
    inlined: set[Record]


SMOOTH = {IDENTITY, SCALAR, DIAGONAL, PERMUTATION, BROADCAST}


def different(symbols: dict[Record, Symbol], names: Mapping[Record, str]) -> dict[Record, Expr]:
    """A symbol of its own for each record: where two names would look alike, the second is written as it is."""
    taken: set[Symbol] = set()
    found: dict[Record, Expr] = {}
    for r, symbol in symbols.items():
        symbol = Symbol(names[r], key=r) if symbol in taken else symbol
        taken.add(symbol)
        found[r] = symbol
    return found


def recorded(loss: Tensor, path: list[Record]) -> dict[Record, Tensor]:
    """The recorded gradient at every record of the path; {} where a rule takes nothing but arrays."""
    one = np.ones_like(loss.record.value)[()]
    with np.errstate(all="ignore"):
        try:
            return walk_back({loss.record: one}, path, record=True)
        except Exception:               # a user's rule may do whatever works on arrays
            return {}
