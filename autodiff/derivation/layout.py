"""A derivation laid out: convention, model, chain, simplification, cotangents, result, numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from autodiff.derivation.calls import ones
from autodiff.derivation.indices import index_form
from autodiff.derivation.notation import (
    Element,
    Expr,
    Infix,
    Matrix,
    Number,
    Partial,
    Product,
    Symbol,
    Transpose,
    Words,
    size,
)
from autodiff.derivation.paper import (
    ONE,
)
from autodiff.derivation.steps import INLINE, Derived, Plan, Step
from autodiff.derivation.structure import GRADIENT, IDENTITY, MEANING, OUTER, shape_of, weight_at
from autodiff.derivation.substitution import plugged_in
from autodiff.derivation.writer import Block, Inline, Line, Lines, Paragraph, Title, paragraph
from autodiff.ops.products import linear
from autodiff.record import Leaf, Record

LONG = 60               # parts of a formula beyond which it is not written out for illustration
PATHS = 4               # paths that are written as a sum of products
MANY = 40               # equations under each other, beyond which those in the middle are left out

SAMPLES = {"rows": "Samples are rows, ", "columns": "Samples are columns, ",
           "row": "One sample, as a row", "column": "One sample, as a column"}
ADDED = ". Jacobians are those of one sample; the gradient of a parameter adds up over the samples "
Z, X, W = Symbol("z"), Symbol("x"), Symbol("W")


class Layout:
    """Writes a derivation as blocks.

    Parameters
    ----------
    derived : Derived
    plan : Plan
        For what is differentiated.
    numbers : bool
        Whether to plug in numbers.
    """

    def __init__(self, derived: Derived, plan: Plan, numbers: bool) -> None:
        self.d, self.plan, self.numbers = derived, plan, numbers
        self.wrt, self.loss = derived.wrt, derived.loss
        self.written = {t: ones(derived.cotangent(t, plan)) for t in plan.needed}
        self.steps = [self.step(r) for r in self.on_the_way()]

    # ---- data

    def on_the_way(self) -> list[Record]:
        """The steps between what is differentiated and the loss, in order."""
        reached = {self.wrt}
        for h in self.d.graph.heads:
            if reached & set(self.d.graph.edges.get(h, {})):
                reached.add(h)
        return [h for h in self.d.graph.heads if h in reached]

    def step(self, r: Record) -> Step:
        """One step as data."""
        d, way = self.d, set(self.on_the_way())
        closed = d.closed.get(r) if r in self.written else None
        return Step(
            d.graph.names[r], np.shape(r.value), d.symbols[r], None if r.op is None else d.forward.formula(r),
            tuple(d.jacobian(r, x) for x in d.graph.edges.get(r, {}) if x in way),
            ONE if r is self.loss else self.written.get(r), d.deltas[r], np.array(r.value), np.array(d.gradients[r]),
            *((closed.proof, closed.assumptions, closed.name) if closed else ("", (), "")))

    def verify(self) -> None:
        """Every formula against the tape."""
        for step in self.steps:
            name = step.name
            if step.expression is not None:
                self.d.check(step.symbol, step.expression, step.value, name)
            if step.cotangent is not None:
                self.d.check(step.cotangent_name, step.cotangent, step.gradient, f"∂loss/∂{name}")

    # ---- the document

    def blocks(self) -> list[Block]:
        """The whole document."""
        blocks: list[Block] = [Title(f"The gradient of {self.d.graph.names[self.loss]} with respect to "
                                     f"{self.d.graph.names[self.wrt]}")]
        blocks += self.convention()
        blocks += [Title("The model, as recorded"), Lines(self.model())]
        blocks += self.chain()
        blocks += self.simplification()
        blocks += self.recursion()
        blocks += [Title("The gradient"), Lines(tuple(self.result()))]
        return blocks + (self.in_numbers() if self.numbers else [])

    def convention(self) -> list[Block]:
        """How samples are laid out, and with it how a weight enters, from the operands as recorded."""
        kind = self.d.graph.layout
        if not kind:
            return []
        uses = [(r, weight_at(r)) for r in self.d.tape]
        forms = {("W x" if at == 0 else "x Wᵀ" if r.op is linear or not isinstance(r.inputs[1], Leaf) else "x W")
                 for r, at in uses if at is not None and len(shape_of(r.inputs[at])) == 2}
        parts: list[Inline] = [SAMPLES[kind]]
        if self.d.graph.count is not None:
            parts.append(Infix("=", Symbol("m"), Number(self.d.graph.count)))
        if len(forms) == 1:
            form = forms.pop()
            factors = {"W x": (W, X), "x Wᵀ": (X, Transpose(W)), "x W": (X, W)}[form]
            parts += [": ", Infix("=", Z, Product(factors, "matrix")), ", with ", W,
                      f" of shape {'(in × out)' if form == 'x W' else '(out × in)'}"]
        if kind in ("rows", "columns"):
            parts += [ADDED, Symbol("s")]
        parts.append(".")
        return [Paragraph(tuple(parts))]

    def model(self) -> tuple[Line, ...]:
        """The forward formulas."""
        lines = [Line(self.d.symbols[h], self.d.forward.formula(h), (dimensions(np.shape(h.value)),))
                 for h in self.d.graph.heads if h.op is not None]
        return shortened(lines)

    def top(self) -> Expr:
        """The loss's letter."""
        return self.d.symbols[self.loss]

    def partial(self, x: Expr) -> Expr:
        """∂loss/∂x."""
        return Partial(self.top(), x)

    def edges(self) -> dict[Record, list[Record]]:
        """For each step in use what it leads to, up to closed forms and the loss."""
        graph = self.d.graph
        return {t: [self.loss] if t in self.d.closed else [h for h in graph.users(t) if h in self.plan.active]
                for t in self.plan.needed}

    def paths(self) -> list[list[Record]] | None:
        """The ways from what is differentiated to the loss; None if there are many."""
        onward = self.edges()
        found: list[list[Record]] = []
        pending = [[self.wrt]]
        while pending:
            path = pending.pop()
            if path[-1] is self.loss:
                found.append(path)
            else:
                pending += [[*path, h] for h in reversed(onward[path[-1]])]
            if len(found) + len(pending) > PATHS * 8:
                return None
        return found

    def chain(self) -> list[Block]:
        """The chain rule as a product of Jacobians, and what each is."""
        d, paths = self.d, self.paths()
        blocks: list[Block] = [Title("The chain rule")]
        symbol = d.symbols[self.wrt]
        if any(t in d.closed and self.d.mentioned(self.written[t]) for t in self.plan.needed):
            blocks.append(paragraph("The chain from ", symbol, " to the loss passes through a closed form, see below."))
        elif paths is not None and len(paths) <= PATHS:
            products = [self.product(p) for p in paths]
            if len(paths) > 1 or len(paths[0]) > 2:
                blocks.append(Lines(tuple(Line(Words("") if n else self.partial(symbol), y, sign="+" if n else "=")
                                          for n, y in enumerate(products))))
        else:
            n = "many" if paths is None else str(len(paths))
            blocks.append(paragraph("The loss depends on ", symbol, f" along {n} paths; the gradient is the sum of the "
                                    "products of the Jacobians along each. The cotangents δ below gather them."))
        lines = []
        for t in reversed(self.plan.needed):
            if t in d.closed:
                lines.append(Line(self.partial(d.symbols[t]), self.written[t],
                                  (f"1 × {np.size(t.value) // self.batch(t)}, a gradient",)))
                continue
            for h in d.graph.users(t):
                if h in self.plan.active and not (h is self.loss and self.direct(t) is not None):
                    lines.append(self.jacobian_line(h, t))
        blocks.append(Lines(shortened(lines)))
        blocks += self.primes()
        return blocks

    def product(self, path: list[Record]) -> Expr:
        """The Jacobians along a path, the last one in front."""
        factors = [Partial(self.d.symbols[b], self.d.symbols[a]) for a, b in reversed([*zip(path, path[1:])])]
        direct = self.direct(path[-2])
        first: Expr = factors[0] if direct is None else direct
        return Product((first, *factors[1:]), "chain") if len(factors) > 1 else first

    def direct(self, t: Record) -> Expr | None:
        """What the loss itself contributes to the gradient of a tensor that leads to it by other ways too.

        That is a part of ∂loss/∂t, so it has no letter: it is written out.
        """
        users = [h for h in self.d.graph.users(t) if h in self.plan.active]
        if t in self.d.closed or self.loss not in users or len(users) == 1:
            return None
        return ones(self.d.term(self.loss, t))

    def batch(self, r: Record) -> int:
        """How many samples a tensor holds."""
        axis = self.d.graph.samples.get(r)
        return 1 if axis is None else max(1, np.shape(r.value)[axis])

    def jacobian_line(self, h: Record, x: Record) -> Line:
        """∂h/∂x, its shape and structure."""
        d = self.d
        j = d.jacobian(h, x)
        bottom: Expr = d.symbols[x]
        if j.structure == OUTER:
            bottom = Element(bottom, ("i", "j"))
        left = Partial(d.symbols[h], bottom)
        what = {GRADIENT: "a gradient", IDENTITY: "the identity"}.get(j.structure, j.structure)
        each = f", for each {j.per}" if j.per in ("row", "column", "element") else ""
        remark = f"{j.shape[0]} × {j.shape[1]}, {what}{each}"
        if j.written is None or size(j.written) > LONG:
            return Line(left, Words(MEANING[j.structure]), (remark.replace(f", {what}", ""),))
        return Line(left, j.written, (remark,))

    def primes(self) -> list[Block]:
        """What the derivatives f′ are, once per function."""
        said: dict[Any, Line] = {}
        times: dict[Any, int] = {}
        for h in self.d.graph.heads:
            used = h in self.plan.active and any(x in self.written for x in self.d.graph.edges.get(h, {}))
            if used and (found := self.d.prime(h)) is not None:
                op, name, y = found
                said.setdefault(op, Line(name, y))
                times[op] = times.get(op, 0) + 1
        lines = tuple(replace(line, remarks=("and so for the others",)) if times[op] > 1 else line
                      for op, line in said.items())
        return [paragraph("where"), Lines(lines)] if lines else []

    def simplification(self) -> list[Block]:
        """What was replaced by a closed form, and why that is right."""
        blocks: list[Block] = []
        for t in reversed(self.plan.needed):
            closed = self.d.closed.get(t)
            if closed is None:
                continue
            between = [h for h in self.d.graph.heads if h.serial > t.serial]
            near = len(between) < 6 and not self.d.mentioned(self.written[t])
            whole = self.d.cotangent(t, self.plan, whole=True) if near else None
            left = self.partial(self.d.symbols[t])
            long = whole is None or size(whole) > LONG or whole == self.written[t]
            line = Line(left, self.written[t]) if long or whole is None else Line(left, whole, (), (self.written[t],))
            why: list[Inline] = [f"{closed.name[:1].upper()}{closed.name[1:]}: equal by exact {closed.proof}"]
            for assumption in closed.assumptions:
                why.append(f"; assuming that {assumption}")
            blocks += [Lines((line,)), Paragraph((*why, "."))]
        return [Title("Simplified"), *blocks] if blocks else []

    def recursion(self) -> list[Block]:
        """The cotangents, from the loss backwards."""
        d = self.d
        lines = []
        for t in reversed(self.plan.needed):
            if t is self.wrt or t in self.plan.inlined:
                continue
            delta, shape = d.deltas[t], dimensions(np.shape(t.value))
            lines.append(Line(delta, self.partial(d.symbols[t]), (shape,), (self.written[t],)))
        if not lines:
            return []
        return [Title("Backwards"), Lines(shortened(lines))]

    def result(self) -> list[Line]:
        """The gradient as a matrix and element by element."""
        d = self.d
        symbol = d.symbols[self.wrt]
        lines = [Line(self.partial(symbol), self.written[self.wrt], (dimensions(np.shape(self.wrt.value)),))]
        found = index_form(self.written[self.wrt], np.shape(self.wrt.value), d.values, d.graph.count)
        if found is not None and found[0] and size(found[1]) <= INLINE:
            lines.append(Line(self.partial(Element(symbol, found[0])), found[1]))
        return lines

    def in_numbers(self) -> list[Block]:
        """The same with numbers."""
        d = self.d
        upright = d.graph.layout == "column"

        def line(left: Expr, formula: Expr, value: Any) -> Line:
            return Line(left, plugged_in(formula, d.values, upright), (),
                        (plugged_in(Matrix(np.asarray(value)), {}, upright),))

        forward = [line(d.symbols[h], d.forward.formula(h), h.value) for h in d.graph.heads if h.op is not None]
        backward = [line(d.deltas[t] if t is not self.wrt else self.partial(d.symbols[t]), self.written[t],
                         d.gradients[t]) for t in reversed(self.plan.needed) if t not in self.plan.inlined]
        return [Title("In numbers"), Lines(shortened(forward)), Lines(shortened(backward))]


def dimensions(shape: tuple[int, ...]) -> str:
    """A shape in words: 5 × 3; a number has none."""
    return " × ".join(map(str, shape)) if shape else "a number"


def shortened(lines: list[Line]) -> tuple[Line, ...]:
    """Long lists without their middle."""
    if len(lines) <= MANY:
        return tuple(lines)
    half = MANY // 2
    gap = Line(Symbol("⋮"), Symbol("⋮"), (f"{len(lines) - 2 * half} more",))
    return (*lines[:half], gap, *lines[-half:])
