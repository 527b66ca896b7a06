"""The right step and the wrong one as a person would have written them, in the user's names.

A rule is NumPy, so run on Tensors it records itself, and what it recorded is printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from autodiff.checks.doctor.backprop import Backprop, Borrowed, Edge
from autodiff.checks.doctor.suspects import DOES_NOT_FIT, Suspect
from autodiff.checks.mistakes import Rule, right
from autodiff.kinds import At, Op
from autodiff.naming import ArrayNames, names_of
from autodiff.ops.indexing import put_together
from autodiff.ops.shapes import un_broadcast
from autodiff.program.literals import number_text
from autodiff.program.passes import Program, shared
from autodiff.program.simplification import simplified
from autodiff.program.text import expression, operand_text
from autodiff.program.writing import ANY, ATOM, SIGN, Text
from autodiff.record import Record
from autodiff.tensor import Tensor

LONGEST = 160                # characters of a formula; beyond it, none is better
STEPS = 12                   # unnamed records that one formula may run over


class OneLine:
    """Writes a recorded expression in one line, down to what has a name."""

    exact = False

    def __init__(self, names: Mapping[Record, str], arrays: ArrayNames) -> None:
        self.names, self.arrays = names, arrays

    def arg(self, x: Any, level: int = ANY, r: Record | None = None) -> str:
        """The text of an operand, in parentheses if it binds less than `level`."""
        if isinstance(x, Record):
            if x in self.names:
                return self.names[x]
            if x.op is None:
                found = operand_text(x.value, self.arrays) if np.ndim(x.value) else Text(number_text(x.value))
            else:
                found = expression(x, self)
        elif isinstance(x, np.ndarray) and x.ndim:
            found = operand_text(x, self.arrays)
        else:
            text = number_text(x)
            found = Text(text, SIGN if text.startswith("-") else ATOM)
        return found.text if found.level >= level else f"({found.text})"

    def helper(self, op: Op) -> str:
        """What an operation without NumPy's words is called."""
        return op.name


class Formulas:
    """Writes steps of a backward pass.

    Parameters
    ----------
    bp : Backprop
        The right backward pass.
    given : dict of Record to str
        Names given to records of its tape.
    """

    def __init__(self, bp: Backprop, given: Mapping[Record, str]) -> None:
        self.bp = bp
        everything = list(bp.twin.values())
        self.arrays = ArrayNames(everything)
        self.given = {bp.twin[r]: name for r, name in given.items() if r in bp.twin}
        everyone = names_of(everything, self.given)
        self.names = {r: name for r, name in everyone.items() if self.has_name(r)}

    def has_name(self, r: Record) -> bool:
        """Whether the user gave it a name."""
        return bool(self.given.get(r) or r.name)

    def step(self, edge: Edge, rules: Mapping[Edge, Rule]) -> tuple[str, str]:
        """The step around an edge between named tensors, right and wrong: ``dz2 = da2 * a2 * (1 - a2)``."""
        target = self.below(edge)
        region, sources = self.above(target)
        return self.written(target, region, sources, {}), self.written(target, region, sources, rules)

    def below(self, edge: Edge) -> Record:
        """The named tensor an edge leads to, through what has no name."""
        x = edge.x
        for _ in range(STEPS):
            if x in self.names or x in self.bp.wanted or x.op is None:
                return x
            inner = [z for z in x.inputs if isinstance(z, Record) and self.bp.reach.get(z, 0)]
            if len(inner) != 1:
                return x
            x = inner[0]
        return x

    def above(self, target: Record) -> tuple[list[Edge], set[Record]]:
        """The edges between a tensor and the named ones computed from it."""
        region: list[Edge] = []
        sources: set[Record] = set()
        seen, pending = {target}, [target]
        while pending:
            x = pending.pop()
            for e in self.bp.into.get(x, ()):
                region.append(e)
                if e.r in self.names or e.r is self.bp.loss:
                    sources.add(e.r)
                elif e.r not in seen:
                    seen.add(e.r)
                    pending.append(e.r)
        return sorted(region, key=lambda e: -e.r.serial), sources

    def written(self, target: Record, region: list[Edge], sources: set[Record], rules: Mapping[Edge, Rule]) -> str:
        """The gradient at `target` from those at `sources`, as text; "" if it would be too long."""
        total: dict[Record, Any] = {}
        names = dict(self.names)
        for r in sources:
            if r is self.bp.loss:
                total[r] = Tensor(np.ones_like(r.value))
                continue
            total[r] = Tensor(self.bp.g[r], requires_grad=True)
            names[total[r].record] = f"d{self.names[r]}"
        try:
            for e in region:
                if e.r not in total:
                    continue
                rule = rules.get(e)
                if isinstance(rule, Borrowed):
                    h = Tensor(self.bp.g[rule.other], requires_grad=True)
                    names[h.record] = f"d{self.called(rule.other)}"
                    rule = partial(rule.rule, h=h)
                c = self.contribution(e, total[e.r], rule)
                if c is not None:
                    total[e.x] = c if e.x not in total or e.x in sources else total[e.x] + c
            if target not in total:
                return f"d{self.called(target)} = 0" if rules else ""
            return self.line(target, total[target], names)
        except DOES_NOT_FIT:
            return ""

    def contribution(self, e: Edge, g: Any, rule: Rule | None) -> Any:
        """The contribution of an edge, recorded."""
        op = e.r.op
        assert op is not None
        inputs = [Tensor.of(x) if isinstance(x, Record) else x for x in e.r.inputs]
        c = (rule or right(op, e.i))(g, Tensor.of(e.r), *inputs, **e.r.options)
        if c is None:
            return None
        c = put_together([c], e.x.value) if isinstance(c, At) else c
        return c if np.shape(c) == np.shape(e.x.value) else un_broadcast(c, np.shape(e.x.value))

    def composite(self, x: Record, y: Record, rule: Rule) -> str:
        """A step of several operations with a wrong rule."""
        g = Tensor(self.bp.g[y], requires_grad=True)
        names = {**self.names, g.record: f"d{self.called(y)}"}
        try:
            return self.line(x, rule(g, Tensor.of(y), Tensor.of(x)), names)
        except DOES_NOT_FIT:
            return ""

    def line(self, target: Record, value: Any, names: Mapping[Record, str]) -> str:
        """``dtarget = expression``."""
        if not isinstance(value, Tensor):
            text = number_text(value) if np.ndim(value) == 0 else f"array{np.shape(value)}"
        else:
            program = simplified(shared(Program({"": value.record}, dict(names))))
            r = program.outputs[""]
            text = OneLine(program.names, self.arrays).arg(r)
        line = f"d{self.called(target)} = {text}"
        return line if len(line) <= LONGEST else ""

    def called(self, r: Record) -> str:
        """The name of a record."""
        return self.names.get(r) or (f"({OneLine(self.names, self.arrays).arg(r)})" if r.op else "constant")

    def of(self, suspect: Suspect) -> tuple[str, str]:
        """The right line and the wrong one for a suspect, as far as they can be told."""
        if suspect.x is not None and suspect.out is not None and suspect.rule is not None:
            region, sources = self.above(suspect.x)
            return self.written(suspect.x, region, sources, {}), self.composite(suspect.x, suspect.out, suspect.rule)
        if suspect.edge is None or not suspect.rules:
            return "", ""
        correct, yours = self.step(suspect.edge, suspect.rules)
        return (correct, yours) if correct != yours else (correct, "")

