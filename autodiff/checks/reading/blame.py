"""Which lines may be to blame: where, of values that the tape knows, one is made that it does not know.

A line is to blame for the gradients that its values reach, and whatever it reaches is wrong, or its mistake would be
too. Of these lines, the first whose first value nobody knows stands nearest to the mistake; a right line may make what
the tape does not know too, in a person's own algebra, so those that read such values come next, not last.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autodiff.checks.reading.hooks import OPAQUE, Spot, root_of
from autodiff.checks.reading.quantities import CLOSE, COTANGENT, INNER, STEP, VALUE
from autodiff.checks.reading.status import is_new

TIMES = 40                 # values of a line that are looked at

if TYPE_CHECKING:
    from autodiff.checks.reading.repair import Repairs
    from autodiff.checks.reading.their_code import Seen


class Suspect(NamedTuple):
    """A line that may be to blame: how many strange ones it ends a chain of, 0 if it is none or does harm elsewhere."""

    level: int
    spot: Spot


class Blame:
    """Who is to blame in somebody's function.

    Parameters
    ----------
    repairs : Repairs
        The function, and what its gradients must be.
    """

    def __init__(self, repairs: Repairs) -> None:
        self.repairs = repairs
        self.wholes = {spot.node: spot for spot in repairs.first.seen if spot.kind == "whole"}
        self.numbers: set[str] = set()                     # the variables that are sizes, or made of these
        self.unknown: set[Spot] = set()                    # strange by their numbers, not by their names alone
        self.levels = self.levels_of()

    def levels_of(self) -> dict[Spot, int]:
        """How many strange values, made one of the other, each spot's first strange value ends; 0 if it has none."""
        found: dict[Spot, int] = dict.fromkeys(self.repairs.order, 0)
        strange: dict[str, int] = {}
        for _, spot, value in self.events():
            if value is None:                              # added to again
                strange[spot.name] = max(strange.get(n, 0) for n in {spot.name, *spot.reads})
                continue
            if value.ndim == 0 and (value.dtype.kind in "iu" or self.counted(spot.expression)):
                self.numbers.add(spot.name)
                continue
            name = stored_in(spot)
            odd = not self.repairs.statuses[spot].sure and self.odd(spot, value)
            level = 1 + max((strange.get(n, 0) for n in spot.reads if n != name), default=0) if odd else 0
            unknown = odd and self.repairs.statuses[spot].match is None and not self.repairs.knowledge.recognised(value)
            if level and not found[spot]:
                found[spot] = level
                if unknown:
                    self.unknown.add(spot)
            if name:
                strange[name] = level if unknown else 0
        return found

    def events(self) -> list[tuple[int, Spot, Any]]:
        """The values of all lines in the order they were made; of what is added up, the first."""
        events = []
        for spot, seen in self.repairs.first.seen.items():
            if spot.kind in OPAQUE or seen.first is None or np.asarray(seen.first).dtype.kind not in "fiub":
                continue
            each = len(seen.values) == seen.times and spot.kind not in ("increment", "whole")
            values = seen.values[:TIMES] if each else [seen.first, *[None] * (min(seen.times, TIMES) - 1)]
            events += [(tick, spot, value) for tick, value in zip(seen.ticks, values, strict=False)]
        return sorted(events, key=lambda event: event[0])

    def odd(self, spot: Spot, value: Any) -> bool:
        """Whether one of a spot's values is not what its name says, or nothing that the tape knows."""
        status, knowledge = self.repairs.statuses[spot], self.repairs.knowledge
        if not np.any(value):
            return bool(status.claimed) and not status.named and self.repairs.first.seen[spot].times == 1
        if status.claimed:
            return status.named or not knowledge.recognised(value, status.claimed)       # named, but for a factor
        if spot.kind == "increment" and status.match is not None and status.match.known.kind != INNER:
            return abs(status.match.factor - 1) > CLOSE    # all of them together
        data = value.dtype.kind != "b" and knowledge.selected(value, self.repairs.arguments.values())
        if not data and not knowledge.recognised(value):
            return True
        whole = self.whole(spot)
        return whole is not None and not knowledge.recognised(self.repairs.first.seen[whole].first)

    def goes_back(self, spot: Spot) -> bool:
        """Whether a line reads a gradient: it is a step of the way back."""
        of_gradients = {other.name for other, status in self.repairs.statuses.items()
                        if other.kind != "key" and status.match is not None and status.match.known.kind == COTANGENT}
        return bool(spot.reads & of_gradients)

    def counted(self, node: ast.AST) -> bool:
        """Whether an expression is made of numbers, sizes and lengths alone."""
        match node:
            case ast.Constant() | ast.Attribute(attr="shape" | "size" | "ndim") | ast.Call(func=ast.Name(id="len")):
                return True
            case ast.Name(id=name):
                return name in self.numbers
            case ast.BinOp() | ast.UnaryOp() | ast.Subscript() | ast.operator() | ast.unaryop() | ast.expr_context():
                return all(map(self.counted, ast.iter_child_nodes(node)))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="np" | "math")), args=args):
                return bool(args) and all(map(self.counted, args))
        return False

    def only_data(self, spot: Spot) -> bool:
        """Whether a line is made of data and numbers alone: nothing that it reads comes from a parameter."""
        tape = self.repairs.knowledge.tape
        moving = {name for r in tape.leaves if r.requires_grad for name in (tape.given.get(r), r.name) if name}
        for other in self.repairs.order:
            if other is spot:
                break
            name = stored_in(other)
            if name and other.kind not in OPAQUE:
                if other.reads & moving and name not in self.numbers:
                    moving.add(name)
                elif other.kind == "value" and name == other.name:
                    moving.discard(name)
        return not spot.reads & moving

    def whole(self, spot: Spot) -> Spot | None:
        """Where the variable is seen that an increment was added to."""
        return self.wholes.get(spot.node) if spot.kind == "increment" else None

    def known(self, spot: Spot) -> bool:
        """Whether a line's value is known for what it is."""
        status = self.repairs.statuses[spot]
        if status.match is None:
            first = self.repairs.knowledge.matches(self.repairs.first.seen[spot].values[0])[:1]
            return any(abs(m.factor - 1) < CLOSE and m.known.kind not in (STEP, INNER) for m in first)
        if status.match.known.kind == VALUE:
            return abs(status.match.factor - 1) < CLOSE
        return not status.match.turned

    def suspects(self, goal: frozenset[Any], before: int | None, sizes: bool,
                 read: frozenset[str] = frozenset()) -> list[Suspect]:
        """The lines that may be to blame for these gradients, the likeliest first.

        With `before` only those that ran before this moment, and those that make `sizes` only on demand; of those that
        are right but for a factor only those that are `read` by what was wrong then.
        """
        repairs = self.repairs
        everything = goal == repairs.wrong
        ranked = []
        for spot in repairs.order:
            status, seen = repairs.statuses[spot], repairs.first.seen[spot]
            if spot in repairs.base or spot.kind == "whole" or is_new(spot) or unpacked(spot) \
                    or (before is not None and seen.ticks[0] >= before and not (sizes and spot.kind == "loop")):
                continue
            short = spot.name in read and status.match is not None and abs(status.match.factor - 1) > CLOSE
            done = before is not None and spot not in self.unknown and not renames(spot.expression) and not short
            if spot.kind not in OPAQUE and ((status.sure and status.named) or (done and self.known(spot))
                                            or (before is not None and not sizes_of(seen) and self.only_data(spot)
                                                and not renames(spot.expression))):
                continue
            reached = repairs.reach.of(spot)
            if before is not None and (repairs.reach.harmful(spot) if reached is not None else not sizes):
                continue
            if reached is not None and not (goal <= reached if everything else reached & goal):
                continue
            rank = 2 if reached is not None and repairs.reach.harmful(spot) else reached is None
            level = self.levels[spot]
            ranked.append((rank, level, status.sure and spot.kind not in OPAQUE, spot))
        origins = [spot for rank, level, _, spot in ranked if level == 1 and not rank]
        feeding = {name for spot in origins for name in spot.reads}
        ranked.sort(key=lambda found: (found[0], found[-1].name not in feeding, not found[1],
                                       found[-1] not in self.unknown, found[2]))
        return [Suspect(0 if rank else level, spot) for rank, level, _, spot in ranked]


def renames(node: ast.AST) -> bool:
    """Whether an expression is another variable, or a copy of one."""
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr="copy"), args=[]):
            return isinstance(value, ast.Name)
    return isinstance(node, ast.Name)


def unpacked(spot: Spot) -> bool:
    """Whether a variable is one of those that a statement takes apart: there is no expression for it alone."""
    return spot.kind == "value" and isinstance(spot.node, ast.Assign) \
        and all(n is not spot.expression for n in ast.walk(spot.node.value))


def sizes_of(seen: Seen) -> bool:
    """Whether a line makes a whole number."""
    return seen.first is not None and seen.first.dtype.kind in "iu" and not seen.first.ndim


def stored_in(spot: Spot) -> str:
    """The variable in which a spot's value is kept, whole or as a part of it; "" if it is in none."""
    match spot.node:
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute() as target]) | \
                ast.AugAssign(target=ast.Subscript() | ast.Attribute() as target):
            root = root_of(target)
            return root.id if root else ""
    return spot.name if spot.kind != "key" else ""
