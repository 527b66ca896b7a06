"""The right line in their own names: a small change of what they wrote, else what the tape says.

Changes of one operand, operator, transpose or axis are computed with their variables and compared with the value that
belongs there; the one that fits is what they meant to write. Where none does, the step of the recorded gradient is
printed with their variables in place of the quantities that these hold.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Set
from itertools import islice
from typing import Any

import numpy as np

from autodiff.checks.budget import Budget
from autodiff.checks.reading.arrangements import Operands
from autodiff.checks.reading.blame import unpacked
from autodiff.checks.reading.constants import NOTHING, snapped, times
from autodiff.checks.reading.edits import (
    Shape,
    additions,
    changes,
    compiled,
    evaluating,
    operands,
    rewritten,
    scope_of,
)
from autodiff.checks.reading.hooks import Spot
from autodiff.checks.reading.known import Knowledge
from autodiff.checks.reading.quantities import CLOSE
from autodiff.checks.reading.repair import Fix, Repairs
from autodiff.checks.reading.replacing import like
from autodiff.checks.reading.status import right
from autodiff.checks.reading.their_code import Change
from autodiff.kinds import Op
from autodiff.program.literals import number_text
from autodiff.program.text import expression
from autodiff.program.writing import ANY, PRODUCT, Text
from autodiff.record import Record

SECONDS = 0.06             # for the search of a small change, and again for that of an addition
ENOUGH = 12                # changes that give the right value
ADDED = 2                  # parts that an addition puts to a line, at least
LONGER = 2                 # parts that the tape's own step may have more than an addition to their line
DEEPEST = 8                # operations folded into one line
Changes = Callable[[str, Operands, Shape], Iterator[str]]
MOST: dict[Changes, int] = {changes: 600, additions: 1100}       # how many are looked at, the likeliest first


def right_line(repairs: Repairs, fix: Fix) -> tuple[str, bool, dict[Spot, Change]]:
    """The line as it should read, "" if that cannot be said; whether it is a small change of theirs; and what it does.

    A line is proposed if it makes right what the repair made right, here and at other values of the parameters. First
    come changes of what stands there, those first that mention what the tape's own step mentions; then that step in
    their variables, or a factor or term added to the line, if that is shorter.
    """
    spot = fix.spot
    if unpacked(spot):                                      # what it takes apart is made elsewhere
        return "", False, {}
    if fix.how == "accumulate":
        held = {text for text, value in Scene(repairs, fix).operands or () if np.ndim(value)}
        return accumulating(spot.node, held), True, {}
    scene = Scene(repairs, fix)
    if scene.operands is None or (fix.how == "scale" and abs(fix.factor) < NOTHING):     # it is to be left out
        return "", False, {}

    def works(at: Spot, code: Any) -> bool:
        change = {at: evaluating(code)}
        return fix.fixed <= repairs.fixed(repairs.outputs_of(change)) and repairs.holds(change, fix.fixed)

    tape = scene.from_the_tape()
    if not tape and fix.how == "scale":
        tape = times(fix.factor, f"({ast.unparse(spot.expression)})", scene.operands)
    related = names_of(ast.unparse(scene.spot.expression)) | (names_of(tape) if tape else set())
    found = scene.survivors(changes, related)
    for new, code in sorted(found, key=lambda change: not names_of(ast.unparse(change[0])) <= related):
        text = rewritten(scene.spot, new)
        if works(scene.spot, code) and text != ast.unparse(scene.spot.node):      # of x *= c, x is no part to rewrite
            return text, True, {scene.spot: evaluating(code)}
    at = spot if scene.wanted is None and spot.kind == "whole" else scene.spot
    code, tree = (compile(tape, "<line>", "eval"), ast.parse(tape, mode="eval").body) if tape else (None, None)
    if tree is not None and not works(at, code):
        tree = None
    most = length(tree) - LONGER if tree is not None else np.inf            # an addition must be shorter than that
    added = next(((new, code) for new, code in scene.survivors(additions) if works(scene.spot, code)), None) \
        if length(scene.spot.expression) + ADDED < most else None
    if tree is not None and (added is None or length(added[0]) >= most):
        text = f"{spot.name} = {tape}" if at is not scene.spot else rewritten(at, tree)
        return text, False, {at: evaluating(code)}
    return (rewritten(scene.spot, added[0]), True, {scene.spot: evaluating(added[1])}) if added else ("", False, {})


def accumulating(statement: ast.AST, arrays: Set[str]) -> str:
    """An assignment that adds up; if its index is an array, what adds where that names an element more than once."""
    match statement:
        case ast.AugAssign(target=ast.Subscript(value=x, slice=i), value=value) | \
                ast.Assign(targets=[ast.Subscript(value=x, slice=i), *_], value=value) \
                if isinstance(statement, ast.AugAssign) or ast.unparse(i) in arrays:
            return f"np.add.at({ast.unparse(x)}, {ast.unparse(i)}, {ast.unparse(value)})"
        case ast.Assign(targets=[target, *_], value=value):
            return f"{ast.unparse(target)} += {ast.unparse(value)}"
    return ""


def names_of(text: str) -> set[str]:
    """The variables of an expression."""
    return {n.id for n in ast.walk(ast.parse(text, mode="eval")) if isinstance(n, ast.Name)}


def length(tree: ast.expr) -> int:
    """How many parts an expression has."""
    return sum(isinstance(n, ast.expr) for n in ast.walk(tree))


class Scene:
    """Their variables where the wrong value is made, and the values that belong there."""

    def __init__(self, repairs: Repairs, fix: Fix) -> None:
        self.repairs, self.fix = repairs, fix
        self.knowledge: Knowledge = repairs.knowledge
        self.spot = self.spot_of_value()
        self.seen = repairs.first.seen[self.spot]
        self.spots = [other for other in repairs.order if other.function == self.spot.function]
        self.wanted, self.total = self.target()
        self.operands: list[tuple[str, Any]] | None = None
        self.held: list[tuple[str, Any]] = []             # the same where the value is wrong first
        repairs.run({self.spot: self.look})

    def spot_of_value(self) -> Spot:
        """Where the right-hand side itself passes: of ``x += e`` that is e."""
        spot = self.fix.spot
        if spot.kind == "whole":
            for other in self.repairs.order:
                if other.kind in ("increment", "value") and other.node is spot.node:
                    return other
        return spot

    def target(self) -> tuple[Any, Any]:
        """What the right-hand side must give each time, or in sum; None, None if neither is known."""
        values = self.fix.values
        if values is None:
            return None, None
        if self.fix.spot.kind == "increment":              # of several variables, if their shapes differ
            alike = all(np.shape(v) == np.shape(values[0]) for v in values)
            return None, sum(values[1:], values[0]) if alike else None
        if self.spot is self.fix.spot:
            return list(values), None
        before = self.repairs.first.seen[self.fix.spot].values[-1]
        mine = self.seen.values[0]
        if self.spot.kind == "value" or np.shape(mine) != np.shape(before):
            return None, None
        return None, values[-1] - before + mine

    def look(self, n: int, v: Any) -> Any:
        """Note their variables, and go on with the right value."""
        if not n:
            self.operands = list(operands(self.spots, sys._getframe(2)))
        if n == self.fix.at:
            self.held = list(operands(self.spots, sys._getframe(2))) if n else self.operands or []
        return self.put_right(n, v)

    def put_right(self, n: int, v: Any) -> Any:
        """The right value, if it is known."""
        return v if self.wanted is None or n >= len(self.wanted) else like(self.wanted[n], v)

    def survivors(self, changes: Changes, likely: Set[str] = frozenset()) -> list[tuple[ast.expr, Any]]:
        """The changes that give what belongs there: each is computed in place of the line, each time it runs.

        Where it runs once, the first few, or the first with none but the `likely` names.
        """
        if self.wanted is self.total is None:
            return []
        mine: list[list[Any]] = []                        # a change, its code, the sum of its values
        once = self.wanted is not None and self.seen.times == 1
        first = self.total if self.wanted is None else self.wanted[0]

        def look(n: int, v: Any) -> Any:
            scope = scope_of(sys._getframe(2))
            shape = np.shape(v) if np.shape(v) == np.shape(first) else None
            entries = mine[:] if n else self.changed(changes, shape, Budget(SECONDS))
            mine[:] = []
            for entry in entries:
                if self.stays(entry, n, scope):
                    mine.append(entry)
                    if once and (len(mine) == ENOUGH or names_of(entry[0]) <= likely):
                        break
            return self.put_right(n, v)

        self.repairs.run({self.spot: look})
        return [(ast.parse(new, mode="eval").body, code) for new, code, total in mine
                if self.wanted is not None or (total is not None and right(total, self.total))]

    def stays(self, entry: list[Any], n: int, scope: dict[str, Any]) -> bool:
        """Whether a change may still be the right one, after what it gives this time."""
        try:
            value = eval(entry[1], scope)
        except Exception:
            return False
        if not isinstance(value, np.ndarray | np.generic | float | int):
            return False
        if self.wanted is not None:
            return n >= len(self.wanted) or right(value, self.wanted[n])
        if np.shape(value) != np.shape(self.total):
            return False
        entry[2] = value if entry[2] is None else entry[2] + value
        return True

    def changed(self, changes: Changes, shape: Shape, budget: Budget) -> Iterator[list[Any]]:
        """The changes of the line, each once, with their code."""
        text = ast.unparse(self.spot.expression)
        seen = {text}
        for new in islice(changes(text, self.operands or [], shape), MOST[changes]):
            if budget.late:
                return
            if new not in seen:
                seen.add(new)
                if (code := compiled(new)) is not None:
                    yield [new, code, None]

    # ---- from the tape

    def from_the_tape(self) -> str:
        """The step of the recorded gradient in their names, with what factor it lacks; "" if there is none."""
        fix = self.fix
        if fix.known is None or fix.values is None or (self.wanted is None and not self.alone()):
            return ""
        wanted = fix.values[min(fix.at, len(fix.values) - 1)]
        made = [r for m in self.knowledge.matches(wanted) if m.known.value.shape == np.shape(wanted) and not m.turned
                for r in m.known.made]
        written = Writing(dict(self.quantities())).text(made[0]) if made else None
        text = snapped(written.text, self.held) if written else ""
        value = self.value(text) if text else None
        if written is None or value is None or np.shape(value) != np.shape(wanted):
            return ""
        with np.errstate(all="ignore"):
            f = float(np.sum(value * wanted) / np.sum(value * value))
        if not np.isfinite(f) or not right(f * value, wanted):
            return ""
        return text if abs(f - 1) < CLOSE else times(f, text if written.level >= PRODUCT else f"({text})", self.held)

    def alone(self) -> bool:
        """Whether the line adds to a variable, once."""
        return self.fix.spot.kind == "whole" and self.repairs.first.seen[self.fix.spot].times == 1

    def value(self, text: str) -> Any:
        """An expression of their variables, where the value is wrong first; None if it cannot be computed."""
        found: list[Any] = []

        def look(n: int, v: Any) -> Any:
            if n == self.fix.at:
                found.append(eval(text, {**scope_of(sys._getframe(2)), "np": np}))
            return v

        self.repairs.run({self.spot: look})
        return found[0] if found else None

    def quantities(self) -> Iterator[tuple[Record, str]]:
        """The records whose values their variables hold, up to a factor."""
        for text, value in self.held:
            if np.size(value) > 1 and text != self.fix.spot.name:
                for match in self.knowledge.matches(value):
                    if not match.turned and match.known.value.shape == np.shape(value):
                        for r in match.known.made:
                            yield r, text


class Writing:
    """Writes records in their names; the `Writer` of `program.text`."""

    exact = False

    def __init__(self, names: dict[Record, str]) -> None:
        self.names = names
        self.left = DEEPEST

    def text(self, r: Record) -> Text | None:
        """The expression of a record; None if it takes too many operations, or something nobody has a name for."""
        try:
            return expression(r, self) if r.op is not None else None
        except Exception:                                  # a text may ask for anything: there is none then
            return None

    def arg(self, x: Any, level: int = ANY, r: Record | None = None) -> str:
        """An operand: their variable, a number, or the operation it comes from."""
        if not isinstance(x, Record):
            if np.ndim(x):
                raise LookupError
            return number_text(x)
        if x in self.names:
            return self.names[x]
        if x.op is None and np.size(x.value) and np.ptp(x.value) == 0:
            return number_text(np.ravel(x.value)[0])
        self.left -= 1
        if self.left < 0 or x.op is None:
            raise LookupError
        found = expression(x, self)
        return found.text if found.level >= level else f"({found.text})"

    def helper(self, op: Op) -> str:
        """What has no NumPy text is not written."""
        raise LookupError
