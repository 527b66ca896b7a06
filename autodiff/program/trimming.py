"""Operations with several outputs, of which some are not used, as operations with fewer."""

from __future__ import annotations

from typing import Any

from autodiff.kinds import select
from autodiff.program.passes import Operand, Program, Rule, computed, copy_of, rewritten
from autodiff.record import Record


def trimmed(program: Program) -> Program:
    """The program with no output computed that nobody reads, where an operation says how to do without.

    Such an operation states ``fewer(used)``: another operation, and the numbers of its outputs and of its operands
    among those of the first; None if there is no other.
    """
    while True:
        used: dict[Record, set[int]] = {}
        for r in program.records:
            if r.op is select and hasattr(r.inputs[0].op, "fewer"):
                used.setdefault(r.inputs[0], set()).add(r.options["output"])
        # by their options, which a copy of a record shares with it
        found = {id(r.options): fewer for r, numbers in used.items() if (fewer := r.op.fewer(numbers))}   # type: ignore[union-attr]
        if not found:
            return program
        program = rewritten(program, shortening(found))


def shortening(found: dict[int, Any]) -> Rule:
    """Puts the operations found in the place of those that have these options, and numbers selections anew."""
    places: dict[Record, list[int]] = {}

    def rule(r: Record, state: Program) -> Operand:
        if id(r.options) in found and hasattr(r.op, "fewer"):
            op, outputs, operands = found[id(r.options)]
            value = tuple(r.value[i] for i in outputs)
            made = computed(op, *[r.inputs[i] for i in operands], value=value, **r.options)
            made.code, made.lasti, made.label = r.code, r.lasti, r.label
            places[made] = outputs
            return made
        if r.op is select and r.inputs[0] in places:
            made = copy_of(r, r.inputs)
            made.options = {"output": places[r.inputs[0]].index(r.options["output"])}
            return made
        return r

    return rule
