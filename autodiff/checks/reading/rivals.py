"""Of two lines whose repair makes the gradients right: the one after which the tape knows more of their lines.

A wrong value may be a step of the tape all the same, or look like data, and the line that reads it can be repaired as
well; but then it stays what no gradient is, where its own repair makes it one. Where as much is known after either, no
number tells which was meant: both are named.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping

from autodiff.checks.budget import Budget
from autodiff.checks.reading.blame import renames, sizes_of, unpacked
from autodiff.checks.reading.edits import Replacing, additions, local, substitutions
from autodiff.checks.reading.hooks import OPAQUE, Spot
from autodiff.checks.reading.quantities import CLOSE, COTANGENT, INNER, LOCAL, VALUE
from autodiff.checks.reading.repair import Fix, Repairs
from autodiff.checks.reading.rewriting import right_line
from autodiff.checks.reading.status import Status, is_new, statuses
from autodiff.checks.reading.their_code import Change
from autodiff.checks.reading.trials import Trials

SECONDS = 0.15             # for all of them
AS_GOOD = 0.08             # for lines that may be wrong in this one's place
FEW = 3                    # lines read that are looked at
IN_DOUBT = ("edit", "scale")                               # a line put right so may stand for another
MOST = 2                   # lines named beside the quoted one


def likelier(repairs: Repairs, fix: Fix, expected: str, budget: Budget) -> tuple[Fix, str] | None:
    """The likelier repair of a line that this one reads, with its text if it is a small change, if there is one.

    What is added to a variable where it is read is lacking where it is made, if that is as likely.
    """
    short = "" if renames(fix.spot.expression) else lacking(fix.spot.text, expected)
    spots = list(doubtful(repairs, fix, short))[-FEW:]
    if not spots or fix.change is None:
        return None
    mine, best = explained(statuses_after(repairs, {fix.spot: fix.change})), None
    budget = budget.part(SECONDS)
    for n, spot in enumerate(spots):
        for other, text in repaired(repairs, spot, budget.part(budget.left / (len(spots) - n))):
            theirs = explained(statuses_after(repairs, {other.spot: other.change} if other.change else {}))
            if theirs > mine or (spot.name == short and theirs == mine):
                mine, best = theirs, (other, text or (right_line(repairs, other)[0] if spot.name == short else ""))
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


def as_good(repairs: Repairs, fix: Fix, change: Mapping[Spot, Change], expected: str,
            budget: Budget) -> list[tuple[Spot, str]]:
    """The lines that may be wrong in this one's place, with what each should read, "" if that cannot be said.

    A small change puts them right, and the tape knows as many of their lines then. Of a line in which only a value
    could be put, the last one that it reads whose value nobody knows.
    """
    change = change or ({fix.spot: fix.change} if fix.change else {})
    doubt = fix.how in IN_DOUBT or (fix.how == "known" and not expected)
    if not change or not doubt or fix.fixed != repairs.wrong:
        return []
    after, budget = statuses_after(repairs, change), budget.part(AS_GOOD)
    mine, trials, found = explained(after), Trials(repairs, budget), dict[str, tuple[Spot, str]]()
    near, far = beside(repairs, fix, after)
    turns = [(local, near + far), (substitutions, near), (additions, near)]
    if fix.how == "scale":                                 # of a sign, and of a factor that is left out
        turns = [(local, near)] if fix.factor < 0 else [(additions, near)]
    for texts, spots in turns:
        stop = budget if texts is additions else budget.part(budget.left / 2)
        for n, spot in enumerate(spots):
            if spot.text in found or stop.late:
                continue
            for trial in trials.of(spot, texts, repairs.wrong, stop.part(2 * stop.left / (len(spots) - n))):
                if trial.fix.change and explained(statuses_after(repairs, {spot: trial.fix.change})) >= mine:
                    found[spot.text] = spot, trial.text
    if fix.how == "known":
        unknown = [spot for spot in doubtful(repairs, fix, "") if not repairs.statuses[spot].claimed
                   and repairs.statuses[spot].match is None and not sizes_of(repairs.first.seen[spot])
                   and not repairs.blame.counted(spot.expression)]
        found |= {spot.text: (spot, "") for spot in unknown[-1:] if spot.text not in found}
    return list(found.values())[:MOST]


def beside(repairs: Repairs, fix: Fix, after: Mapping[Spot, Status]) -> tuple[list[Spot], list[Spot]]:
    """The lines that may be wrong instead: those that this one reads, or that read it, and strange ones elsewhere.

    What reads it is as good only if the repaired line is no more what the tape knows than it was.
    """
    was, now = repairs.statuses[fix.spot], after.get(fix.spot)
    decided = now is not None and ((now.sure and not was.sure) or (straight(now) and not straight(was)))
    near, far = [], []
    for level, spot in repairs.blame.suspects(repairs.wrong, None, True):
        status, strange = repairs.statuses[spot], spot in repairs.blame.unknown
        known = straight(status) and not renames(spot.expression) \
            and (status.sure or (status.named and fix.how != "scale"))
        if not spot.main or known or repairs.reach.harmful(spot) or spot.text == fix.spot.text:
            continue
        if spot.name in (fix.spot.name, *fix.spot.reads) or (fix.spot.name in spot.reads and not decided) \
                or (strange and level == 1):
            near.append(spot)
        elif strange:
            far.append(spot)
    return near, far


def straight(status: Status) -> bool:
    """Whether a line makes a value or gradient of the tape, up to a factor: another change would spoil it."""
    match = status.match
    return match is not None and match.known.kind in (VALUE, COTANGENT) and not match.turned


def statuses_after(repairs: Repairs, change: Mapping[Spot, Change]) -> dict[Spot, Status]:
    """What the values of their lines are after a repair."""
    return statuses(repairs.run(change, look=True).seen, repairs.knowledge)


def explained(after: Mapping[Spot, Status]) -> tuple[int, int]:
    """How many of their lines are values and gradients of the tape after a repair, and how many are right."""
    found = [status for spot, status in after.items()
             if spot.main and spot.kind not in OPAQUE and not is_new(spot)]
    exact = [s.match.known.kind for s in found if s.match and abs(s.match.factor - 1) < CLOSE]
    return sum(kind in (VALUE, COTANGENT) for kind in exact), sum(s.sure for s in found)
