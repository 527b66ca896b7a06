"""Of two lines whose repair makes the gradients right: the one after which the tape knows more of their lines.

A wrong value may be a step of the tape all the same, or look like data, and the line that reads it can be repaired as
well; but then it stays what no gradient is, where its own repair makes it one.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

from autodiff.checks.budget import Budget
from autodiff.checks.reading.blame import renames, unpacked
from autodiff.checks.reading.edits import Replacing, local, substitutions
from autodiff.checks.reading.hooks import OPAQUE, Spot
from autodiff.checks.reading.quantities import CLOSE, COTANGENT, INNER, LOCAL, VALUE
from autodiff.checks.reading.repair import Fix, Repairs
from autodiff.checks.reading.status import is_new, statuses
from autodiff.checks.reading.trials import Trials

SECONDS = 0.2              # for all of them
FEW = 3                    # lines read that are looked at


def likelier(repairs: Repairs, fix: Fix, expected: str, budget: Budget) -> tuple[Fix, str] | None:
    """The likelier repair of a line that this one reads, with its text if it is a small change, if there is one.

    What is added to a variable where it is read is lacking where it is made, if that is as likely.
    """
    short = lacking(fix.spot.text, expected)
    spots = list(doubtful(repairs, fix, short))[-FEW:]
    if not spots or fix.change is None:
        return None
    mine, best = explained(repairs, fix), None
    budget = budget.part(SECONDS)
    for n, spot in enumerate(spots):
        for other, text in repaired(repairs, spot, budget.part(budget.left / (len(spots) - n))):
            theirs = explained(repairs, other)
            if theirs > mine or (spot.name == short and theirs == mine):
                mine, best = theirs, (other, text)
    return best


def lacking(written: str, expected: str) -> str:
    """The variable to which a term is added where it is read, if that is all that is changed; "" if it is not."""
    try:
        tree, mine = ast.parse(expected), ast.unparse(ast.parse(written))
    except SyntaxError:
        return ""
    for i, node in enumerate(ast.walk(tree)):
        match node:
            case ast.BinOp(left=ast.Name(id=name) as first, op=ast.Add() | ast.Sub()):
                without = copy.deepcopy(tree)
                place = next(n for k, n in enumerate(ast.walk(without)) if k == i)
                if ast.unparse(Replacing({id(place)}, first).visit(without)) == mine:
                    return name
    return ""


def doubtful(repairs: Repairs, fix: Fix, short: str) -> Iterator[Spot]:
    """The lines that this one reads whose values are neither values nor gradients of the tape, and what is `short`."""
    for spot in repairs.order:
        status, user = repairs.statuses[spot], fix.spot
        if spot.name not in user.reads or spot.node is user.node or spot.function != user.function \
                or repairs.first.seen[spot].ticks[0] >= fix.tick or spot in repairs.base:
            continue
        fixed = spot.kind in (*OPAQUE, "factor") or is_new(spot) or unpacked(spot) or renames(spot.expression)
        known = status.match is not None and status.match.known.kind in (COTANGENT, VALUE, INNER)
        right = status.match is not None and status.match.known.kind == VALUE and status.sure
        lacks = spot.name == short and spot.kind == "value" and not (unpacked(spot) or is_new(spot) or right)
        if lacks or not (fixed or known or status.named or repairs.reach.harmful(spot)):
            yield spot


def repaired(repairs: Repairs, spot: Spot, budget: Budget) -> Iterator[tuple[Fix, str]]:
    """The repairs of a line by a small change, or by the value, gradient or derivative that belongs there."""
    trials = Trials(repairs, budget)
    for texts in (local, substitutions):
        for trial in trials.of(spot, texts, repairs.wrong, budget.part(budget.left / 3)):
            yield trial.fix, trial.text
    before, repairs.budget = repairs.budget, budget
    for fix in repairs.fixes(spot):
        if fix.fixed == repairs.wrong and fix.known is not None and fix.known.kind in (COTANGENT, VALUE, LOCAL) \
                and abs(fix.factor - 1) < CLOSE and not repairs.likely.unlikely(fix):
            yield fix, ""
            break
    repairs.budget = before


def explained(repairs: Repairs, fix: Fix) -> tuple[int, int]:
    """How many of their lines are values and gradients of the tape after a repair, and how many are right."""
    run = repairs.run({fix.spot: fix.change} if fix.change else {}, look=True)
    found = [status for spot, status in statuses(run.seen, repairs.knowledge).items()
             if spot.main and spot.kind not in OPAQUE and not is_new(spot)]
    exact = [s.match.known.kind for s in found if s.match and abs(s.match.factor - 1) < CLOSE]
    return sum(kind in (VALUE, COTANGENT) for kind in exact), sum(s.sure for s in found)
