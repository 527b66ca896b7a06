"""Which repairs are likely, and which lines are suspect by their form: a name for nothing, an array for nothing."""

from __future__ import annotations

import ast
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from autodiff.checks.reading.blame import renames
from autodiff.checks.reading.hooks import HEADS, Spot
from autodiff.checks.reading.looks import variables_in
from autodiff.checks.reading.quantities import CLOSE, COTANGENT, INNER, LOCAL, STEP, VALUE
from autodiff.checks.reading.replacing import factors, plain
from autodiff.checks.reading.status import is_new

if TYPE_CHECKING:
    from autodiff.checks.reading.repair import Fix, Repairs


class Likely:
    """Judges the lines of somebody's function, and repairs of them.

    Parameters
    ----------
    repairs : Repairs
        The function, and what its gradients must be.
    """

    def __init__(self, repairs: Repairs) -> None:
        self.repairs, self.order = repairs, repairs.order
        self.seen, self.statuses = repairs.first.seen, repairs.statuses

    def earliest(self, whole: list[Fix]) -> Fix:
        """The likely repair of the line that is wrong first; of a factor, where a line does nothing else, there."""
        first = min(whole, key=lambda f: (self.unlikely(f), not self.repairs.blame.levels[f.spot],
                                          self.unlikely(f) and not self.statuses[f.spot].named, f.tick))
        if first.how != "scale" or plain(first.factor):
            before = [f for f in whole if f.how == "scale" and f.tick < first.tick and self.forgotten(f)]
            return min(before, key=lambda f: f.tick, default=first)
        return next((f for f in whole if f.spot.name == first.spot.name and self.only_scales(f.spot)), first)

    def unlikely(self, fix: Fix) -> bool:
        """Whether another line explains it better: a multiple of what nobody knows, a value against the line's name."""
        status, seen = self.statuses[fix.spot], self.seen[fix.spot]
        if 1 < len(seen.values) == seen.times and fix.values is not None and not renames(fix.spot.expression):
            old, new = seen.values[fix.at], fix.values[fix.at]
            exact = [m for m in self.repairs.knowledge.matches(old) if abs(m.factor - 1) < CLOSE]
            exact = [m for m in exact if not status.claimed or any(
                m.known.kind == k.kind and m.known.names & k.names for k in status.claimed)]
            multiple = self.repairs.same_direction([old]) == self.repairs.same_direction([new])
            if exact and (multiple or exact[0].known.kind not in (STEP, INNER)):      # it was right at that moment
                return True
        if fix.known is None:
            wanted = any(k.record in self.repairs.knowledge.wanted for k in status.claimed)
            data = plain(fix.factor) and isinstance(fix.spot.node, ast.Assign) and not wanted
            return fix.how == "scale" and (status.match is None or not fix.holds
                                           or (data and self.repairs.blame.only_data(fix.spot)))
        meant = {name for k in status.claimed for name in k.names}
        return bool(meant and fix.known.names and fix.known.kind == COTANGENT and not meant & fix.known.names)

    def as_usual(self, fix: Fix) -> bool:
        """Whether a gradient that is returned loses a factor that others have on their way to what is right."""
        factor, match = self.factor_of(fix.spot), self.statuses[fix.spot].match
        scaled = fix.known is None or (match is not None and fix.known is match.known)
        return factor is not None and scaled and abs(fix.factor - 1) > CLOSE \
            and any(abs(factor / f - 1) < CLOSE for f in self.on_the_way)

    @cached_property
    def on_the_way(self) -> list[float]:
        """The factors of gradients that are right when they are returned."""
        found = [(self.repairs.reach.of(spot), self.factor_of(spot)) for spot in self.order if self.factor_of(spot)]
        done = self.repairs.wrong | self.repairs.losses
        return [f for reached, f in found if f is not None and (reached or frozenset()) - done]

    def factor_of(self, spot: Spot) -> float | None:
        """By how much a gradient that is to be returned is multiplied; None if this is none, or if it is right."""
        match = self.statuses[spot].match
        if match is None or match.known.kind != COTANGENT or match.known.record not in self.repairs.knowledge.wanted:
            return None
        return match.factor if abs(match.factor - 1) > CLOSE else None

    def forgotten(self, fix: Fix) -> bool:
        """Whether a line may lack a minus, a 2 or a half: none of these stands there, and it is more than data."""
        nodes = list(factors(fix.spot.expression))
        has_minus = any(isinstance(n, ast.USub) for n in ast.walk(fix.spot.expression))
        has_two = any(isinstance(n, ast.Constant) and n.value in (2, 0.5) for n in nodes)
        return plain(fix.factor) and not (has_minus if fix.factor < 0 else has_two) \
            and fix.spot in self.repairs.blame.unknown \
            and (bool(self.statuses[fix.spot].claimed) or not self.repairs.blame.only_data(fix.spot))

    def scaled_only(self, spot: Spot) -> bool:
        """Whether a line's value is right but for a factor, as far as no name contradicts it."""
        status = self.statuses[spot]
        return not status.sure and status.match is not None and status.match.known.kind in (COTANGENT, VALUE, LOCAL) \
            and abs(status.match.factor - 1) > CLOSE and not status.claimed \
            and spot.kind not in ("key", "increment", "whole")

    def only_scales(self, spot: Spot) -> bool:
        """Whether a line multiplies or divides a variable by a number, which is all that can be wrong there."""
        node, made = spot.node, spot.expression
        if spot.kind == "value" and isinstance(made, ast.BinOp) and isinstance(made.op, ast.Mult | ast.Div):
            old = made.left.id if isinstance(made.left, ast.Name) else ""
            return old == spot.name and self.repairs.blame.counted(made.right)
        return spot.kind == "whole" and isinstance(node, ast.AugAssign) and any(
            other.kind == "factor" and other.node is node and np.ndim(seen.first) == 0
            for other, seen in self.seen.items())

    def for_nothing(self, spot: Spot) -> bool:
        """Whether a line only gives another name to what is read nowhere else: a step was meant there."""
        others = [other for other in self.order if other.function == spot.function and other.node is not spot.node
                  and not isinstance(other.node, HEADS)]
        source = {n.id for n in ast.walk(spot.expression) if isinstance(n, ast.Name)}
        if not renames(spot.expression) or any(other.name == spot.name or source & other.reads for other in others):
            return False
        return any(other.name in source and not self.statuses[other].named for other in others)

    def added_to(self, spot: Spot) -> bool:
        """Whether more is added to a line's variable later, so that it is not yet what its name says."""
        return any(other.kind == "increment" and other.name == spot.name and other.function == spot.function
                   and seen.ticks[0] > self.seen[spot].ticks[0] for other, seen in self.seen.items())

    def strange_term(self, fix: Fix) -> Spot | None:
        """Of what is added to a variable, the one part that nobody knows, if it is another than the last one's."""
        mine = [spot for spot in self.order if spot.name == fix.spot.name and spot.function == fix.spot.function
                and self.seen[spot].ticks[0] < fix.tick + 1]
        scaled = max((self.seen[spot].ticks[0] for spot in mine if spot.kind == "whole" and not adds(spot)), default=-1)
        terms = [spot for spot in mine if spot.kind == "increment" and self.seen[spot].ticks[0] > scaled]
        odd = [spot for spot in terms if spot in self.repairs.blame.unknown]
        whole = fix.spot.kind == "whole" and len(odd) == 1 < len(terms)
        return odd[0] if whole and odd[0].node is not fix.spot.node else None

    def before_scaling(self, fix: Fix) -> Spot | None:
        """Of a line that only multiplies a variable by what is right: the strange line that made it."""
        spot, by = fix.spot, scaled_by(fix.spot)
        mine = [other for other in self.order if other.function == spot.function and other.node is not spot.node
                and self.seen[other].ticks[0] < fix.tick]
        made = [other for other in mine if other.name == spot.name and other.kind in ("whole", "value")]
        sure = {other.name for other in mine if other.kind == "value" and self.statuses[other].sure}
        if by is None or not made or not set(variables_in(by)) - {"np"} <= sure:
            return None
        return made[-1] if made[-1] in self.repairs.blame.unknown else None

    def unused(self) -> Spot | None:
        """The last line that makes an array for nothing: no gradient that is returned changes with it."""
        found = []
        for spot in self.order:
            status, values = self.statuses[spot], self.seen[spot].values
            if not spot.main or not spot.name or spot.kind not in ("value", "whole") or is_new(spot) or not values:
                continue
            forward = [k for k in (*status.claimed, status.match and status.match.known) if k and k.kind == VALUE]
            if np.size(values[0]) > 1 and values[0].dtype.kind == "f" and any(map(np.any, values)) and not forward \
                    and self.repairs.reach.of(spot) == frozenset():
                found.append(spot)
        return found[-1] if found else None


def adds(spot: Spot) -> bool:
    """Whether a statement adds to a variable, or takes something off it."""
    return isinstance(spot.node, ast.AugAssign) and isinstance(spot.node.op, ast.Add | ast.Sub)


def scaled_by(spot: Spot) -> ast.expr | None:
    """What a line multiplies a variable by, or divides it by, if it does nothing else."""
    match spot.node:
        case ast.AugAssign(op=ast.Mult() | ast.Div(), value=value) if spot.kind == "whole":
            return value
        case ast.Assign(value=ast.BinOp(left=ast.Name(id=name), op=ast.Mult() | ast.Div(), right=value)):
            return value if name == spot.name else None
    return None
