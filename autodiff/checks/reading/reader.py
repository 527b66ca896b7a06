"""Reads a gradient somebody wrote as a function: which of its lines is the first that is wrong, and what it should be.

The function is run on copies of the leaves, every value looked at (`their_code`); each is known by its numbers if the
tape knows it (`known`); the wrong line is the one whose repair makes the gradients right (`repair`); what it should
read is found in their own names (`rewriting`).
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autodiff.checks.budget import Budget
from autodiff.checks.manual import meant
from autodiff.checks.reading.blame import renames, unpacked
from autodiff.checks.reading.edits import additions, substitutions
from autodiff.checks.reading.elsewhere import Elsewhere, arguments_of, generic
from autodiff.checks.reading.findings import WRONG, Reading, ReadLine
from autodiff.checks.reading.hooks import Spot
from autodiff.checks.reading.known import Knowledge
from autodiff.checks.reading.measured import measured
from autodiff.checks.reading.quantities import CLOSE, INNER, VALUE
from autodiff.checks.reading.renamed import GRADIENT
from autodiff.checks.reading.repair import Fix, Repairs
from autodiff.checks.reading.replacing import Outputs
from autodiff.checks.reading.retold import Made
from autodiff.checks.reading.rewriting import right_line
from autodiff.checks.reading.rivals import as_good, likelier
from autodiff.checks.reading.status import right, same
from autodiff.checks.reading.telling import Teller, equals, join
from autodiff.checks.reading.their_code import Change, Program, Stopped, UnreadableError
from autodiff.checks.reading.trials import Trials
from autodiff.errors import AutodiffError
from autodiff.record import Record
from autodiff.tape import Tape
from autodiff.tensor import Tensor

SECONDS = 2.0
FOR_NAMES = 0.2            # seconds, for a step that a line lacks which only gives another name
FOR_VALUES = 0.3           # of this, for values that belong in a line; the rest for changes of the lines


def read(function: Callable[..., Any], tape: Tape, more: Mapping[str, Any] | None = None,
         seconds: float = SECONDS, values: Mapping[Record, Any] | None = None) -> Reading:
    """Read a gradient that somebody wrote as a function.

    Parameters
    ----------
    function : callable
        Called by keyword with the leaves and arrays its parameters name; returns gradients by name.
    tape : Tape
        What stands behind the loss, a scalar: its only output.
    more : dict of str to array, optional
        Arguments that the tape does not hold: what was computed from nothing that requires grad leaves no record.
    seconds : float
        How long to look for the wrong line, about.
    values : dict of Record to array, optional
        Other values for some leaves, at which to read it: those where the mistake shows.

    Returns
    -------
    Reading
        Empty but for `left_numpy` if the function cannot be followed. Nothing is raised, whatever it does.

    Examples
    --------
    >>> x, w = np.array([[1.0, 2.0], [3.0, 5.0]]), ad.Tensor([0.3, -0.2], requires_grad=True)
    >>> loss = (np.tanh(x @ w) ** 2).sum()
    >>> from autodiff.checks.reading.reader import read
    >>> def by_hand(x, w):
    ...     a = np.tanh(x @ w)
    ...     dz = 2 * a * (1 - a)
    ...     return {"w": x.T @ dz}
    >>> reading = read(by_hand, ad.Tape(loss))
    >>> reading.first_wrong.text, reading.expected
    ('dz = 2 * a * (1 - a)', 'dz = 2 * a * (1 - a ** 2)')
    """
    budget = Budget(seconds)
    state = np.random.get_state()  # noqa: NPY002  (theirs may draw from it: it is put back)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")              # of theirs, and of changes of their lines that make no sense
            reader = Reader(function, tape, more or {}, budget, values or {})
            return reader.with_more(reader.reading())
    except UnreadableError as error:
        return Reading(left_numpy=str(error), sentence=f"It cannot be read line by line: {error}.")
    except (Exception, SystemExit, Stopped) as error:     # nothing of theirs, or of a user's rule, may end the report
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        return Reading(left_numpy=said, sentence=f"It cannot be read line by line ({said}).")
    finally:
        np.random.set_state(state)  # noqa: NPY002


class Reader:
    """Reads one function."""

    def __init__(self, function: Callable[..., Any], tape: Tape, more: Mapping[str, Any], budget: Budget,
                 values: Mapping[Record, Any]) -> None:
        self.tape, self.loss, self.budget = tape, tape.outputs[0], budget
        self.quoted: Spot | None = None
        self.at = 0                                        # when the line ran that is quoted
        program = Program(function)
        self.knowledge = Knowledge(tape, {**generic(tape), **values})
        arguments = arguments_of(function, tape, self.knowledge.values, more)
        self.keys: dict[Any, Record] = {}
        first = program.run(arguments, seconds=budget.left)
        self.failed = first.error
        self.returned = first.returned if isinstance(first.returned, Mapping) else {}
        for key in self.returned:
            r = self.record_of(key)
            if r is not None and r is not self.loss:
                self.keys[key] = r
        self.knowledge.wanted = set(self.keys.values())
        targets = {key: self.knowledge.cotangents[r] for key, r in self.keys.items()}
        mine = np.asarray(self.knowledge.values[self.loss])
        losses = {key: mine for key, value in self.returned.items()      # if right, so is, as a rule, what reaches it
                  if isinstance(value, np.ndarray | np.generic | float) and self.record_of(key) in (None, self.loss)
                  and mine and right(value, mine)}
        self.watched = {**self.keys, **dict.fromkeys(losses, self.loss)}
        targets |= losses
        elsewhere = Elsewhere(program, self.knowledge, lambda at: arguments_of(function, tape, at, more),
                              self.gradients, self.watched)
        soon = budget.part(FOR_VALUES * budget.left)
        self.repairs = Repairs(program, arguments, self.gradients, targets, self.knowledge, soon, elsewhere)
        self.repairs.losses = frozenset(losses)
        self.tell = Teller(self.repairs, self.keys)

    def record_of(self, key: Any) -> Record | None:
        """What a key of the result means; None if it is no gradient."""
        try:
            r = meant(self.tape, key)
        except AutodiffError:
            return None
        return r if r in self.knowledge.cotangents else None

    def gradients(self, returned: Any) -> Outputs:
        """The gradients in what the function returned."""
        if not isinstance(returned, Mapping):
            return {}
        found = {}
        for key in self.watched:
            value = returned.get(key)
            value = value.data if isinstance(value, Tensor) else value
            if isinstance(value, np.ndarray | np.generic | float | int | list):
                try:
                    found[key] = np.asarray(value)
                except ValueError:
                    continue
        return found

    def reading(self) -> Reading:
        """All that can be said."""
        forward = self.their_loss()
        repairs = self.repairs
        if self.failed is not None:
            said = f"it raises {type(self.failed).__name__}"
            return Reading(self.tell.lines(None), forward=forward, left_numpy=said,
                           sentence=join(forward, f"It cannot be read to its end: {said}."))
        if not repairs.wrong:
            return Reading(self.tell.lines(None), forward=forward, sentence=forward)
        if not all(same(repairs.outputs.get(k), v) for k, v in self.gradients(self.returned).items()):
            said = "it returns something else each time it is called"
            return Reading(self.tell.lines(None), forward=forward, left_numpy=said,
                           sentence=join(forward, f"It cannot be read line by line: {said}."))
        fix, expected, small, change = self.mended(repairs)
        whole = fix is not None and fix.fixed == repairs.wrong
        other = likelier(repairs, fix, expected, self.budget) if fix is not None and whole else None
        if other is not None and (other[1] or not small):       # what can be written is not given up for what cannot
            fix, expected = other
            expected, small, change = (expected, True, {fix.spot: fix.change}) if expected and fix.change \
                else right_line(repairs, fix)
        unused = repairs.likely.unused() if fix is None or (fix.fixed != repairs.wrong and not expected) else None
        if unused is not None:
            fix, small, change = None, False, {}
        spot = fix.spot if fix else unused or self.suspect()
        if spot is None:
            return Reading(self.tell.lines(None), forward=forward, sentence=forward)
        lines, self.quoted = self.tell.lines(spot), spot
        at = self.at = fix.tick if fix else repairs.first.seen[spot].ticks[0]
        last = self.tell.last_right(spot, at)
        names = tuple(sorted(self.name(k) for k in fix.fixed)) if fix else ()
        if fix and fix.known is not None and fix.known.kind == VALUE and spot.name in fix.known.names:
            forward = join(forward, f"Your {spot.name} ({spot.where}) differs from the recorded one, so what follows "
                                    "is the gradient of another function than the recorded loss.")
        record, value = self.stands_for(fix) if fix else (None, False)
        first = self.tell.line(spot, WRONG)
        second, second_expected = self.second(fix, change) if fix and fix.fixed < repairs.wrong else (None, "")
        others = tuple(self.tell.other(*found) for found in as_good(repairs, fix, change, expected, self.budget)) \
            if fix else ()
        return Reading(lines, first, last, expected, fix is not None, names, fix.how if fix else "",
                       fix.factor if fix and fix.how == "scale" else 1.0, forward, None,
                       join(forward, self.tell.sentence(spot, fix, expected, last, names, others),
                            f"The next wrong line is {second.where}: {second.text}" if second else "",
                            f"It should read: {second_expected}" if second_expected else ""),
                       record, second, second_expected, small, value,
                       self.measured(fix) if fix and not expected else "",
                       self.numbers(spot) if expected else frozenset(), others)

    def mended(self, repairs: Repairs) -> tuple[Fix | None, str, bool, dict[Spot, Change]]:
        """What puts right what can be put right; the line as it should read, whether a small change, and what it does.

        A value that belongs in a line is found at once, if the tape knows it. Where that gives no small change of the
        line, or a line before it may be to blame, changes of lines are tried one by one.
        """
        fix: Fix | None = repairs.search()
        expected, small, change = right_line(repairs, fix) if fix else ("", False, {})
        whole = fix is not None and fix.fixed == repairs.wrong
        alias = fix is not None and fix.spot.kind == "value" and renames(fix.spot.expression) \
            and not unpacked(fix.spot)
        moved = None if whole and expected else repairs.moved(self.budget)
        if fix is not None and whole and self.is_nothing(fix.spot):
            return fix, expected, small, change
        trials = Trials(repairs, self.budget)
        if moved is not None:
            said = trials.of(moved.spot, substitutions, repairs.wrong, self.budget)       # they may have a name for it
            return (said[0].fix, said[0].text, True, {}) if said else (moved, "", False, {})
        if fix is not None and whole and not small and alias:
            said = trials.of(fix.spot, additions, repairs.wrong, self.budget.part(FOR_NAMES))
            if said:
                return said[0].fix, said[0].text, True, {}
        final = fix is not None and fix.known is not None and fix.known.record in self.knowledge.wanted
        weak = fix is not None and repairs.likely.as_usual(fix)
        tried = None
        if not (alias and whole and small):                # nothing before a line that only renames is to blame
            tried = trials.search(before=fix, final=final) if fix and whole and small and fix.spot.main \
                and not weak else trials.search()
        if tried is None and fix is not None and not whole:
            tried = trials.search(fix.fixed)
        used = trials.at_the_use(tried.fix if tried else fix, repairs.wrong) if tried or (fix and whole) else None
        if used is not None:
            return used.fix, used.text, True, {}
        self.blamed = repairs.blame.suspects(repairs.wrong, None, True)
        repairs.budget = self.budget                       # all that is left
        if tried is None and whole and fix and not small and final and not alias:
            earlier = repairs.before(fix)                  # any line is repaired by the very gradient that it makes
            if earlier is not None:
                return earlier, *right_line(repairs, earlier)
        if tried is None and fix is not None and not small and self.covers(fix, expected):
            fix = None
        if tried and whole and fix and fix.how == "scale" and fix.tick < tried.fix.tick \
                and not repairs.likely.unlikely(fix):
            tried = None
        if tried is None and fix is not None and whole and not small and unpacked(fix.spot):
            inner = repairs.inside(fix)
            if inner is not None:
                return inner, *right_line(repairs, inner)
        if tried and whole and fix and self.hands_on(tried.fix.spot, fix.spot):
            tried = None
        if tried and not (small and not weak and fix and fix.fixed >= tried.fix.fixed and fix.tick <= tried.fix.tick
                          and (fix.spot.main or not tried.fix.spot.main)):
            return tried.fix, tried.text, True, {tried.fix.spot: tried.fix.change} if tried.fix.change else {}
        if fix and fix.how == "known" and not expected and (
                term := repairs.likely.strange_term(fix) or repairs.likely.before_scaling(fix)):
            return replace(fix, spot=term), "", False, {fix.spot: fix.change} if fix.change else {}
        return (fix, expected, small, change) if fix else (None, "", False, {})

    def with_more(self, reading: Reading) -> Reading:
        """With another look at the lines, where the first wrong one is not certain, or only a value is put there.

        A line that gives a value a name which it does not deserve is the wrong one, though that value comes before it.
        """
        alias = self.quoted is None or (renames(self.quoted.expression) and not unpacked(self.quoted))
        sure = reading.certain and (reading.how != "known" or reading.small or alias)
        return reading if reading.first_wrong is None or sure else replace(
            reading, again=lambda made: self.again(reading, made))

    def again(self, reading: Reading, made: Sequence[Any]) -> Reading:
        """The same where the mistake is known by what it makes on the way, nothing if gradients are exchanged."""
        with np.errstate(all="ignore"):
            found = Made(self.repairs, made).first()
        if found is None or (found.tick >= self.at and (made or reading.certain)):
            return reading
        last = self.tell.last_right(found.spot, found.tick)
        said = [f"The first line whose value is what this mistake gives is {found.spot.where}: {found.spot.text}"]
        said += [f"The last right line before it is {last.where}: {last.text}"] if last else []
        return Reading(self.tell.lines(found.spot), self.tell.line(found.spot, WRONG), last, forward=reading.forward,
                       sentence=join(reading.forward, *said))

    def covers(self, fix: Fix, expected: str) -> bool:
        """Whether a repair only covers a mistake before it: it puts a known value where what is read is strange."""
        levels = self.repairs.blame.levels
        level = levels.get(fix.spot, 0)
        before = [spot for n, spot in self.blamed if 0 < n < (level or np.inf)
                  and self.repairs.first.seen[spot].ticks[0] < fix.tick and spot.node is not fix.spot.node]
        final = fix.known is not None and fix.known.record in self.knowledge.wanted
        untold = not expected and not renames(fix.spot.expression) and any(
            spot.name in fix.spot.reads and spot in self.repairs.blame.unknown and self.repairs.blame.goes_back(spot)
            for spot in before)
        return bool(before) and fix.how == "known" and ((level > 1 and (final or untold))
                                                        or fix.fixed != self.repairs.wrong)

    def hands_on(self, spot: Spot, made: Spot) -> bool:
        """Whether a spot only returns what a line makes that bears the gradient's name."""
        return spot.kind == "key" and renames(spot.expression) and spot.reads == {made.name} \
            and bool(self.repairs.statuses[made].claimed)

    def measured(self, fix: Fix) -> str:
        """What was changed by the numbers of the line and those that belong there."""
        yours = self.repairs.first.seen[fix.spot].values
        if fix.values is None or not fix.at < min(len(yours), len(fix.values)):
            return ""
        return measured(yours[fix.at], fix.values[fix.at], self.knowledge)

    def numbers(self, spot: Spot) -> frozenset[str]:
        """The variables that are sizes or numbers that were given, where a line makes an array: factors of it."""
        first = self.repairs.first.seen
        moving = {self.knowledge.names[r] for r in self.tape.leaves if r.requires_grad}
        given = {name for name, value in self.repairs.arguments.items() if not np.ndim(value)}
        sizes = {s.name for s in self.repairs.order if s.name in self.repairs.blame.numbers and first[s].times == 1}
        found = (given | sizes) - moving - (set(self.repairs.arguments) - given)
        return frozenset(name for name in found if name and np.ndim(first[spot].first) and not GRADIENT.match(name))

    def is_nothing(self, spot: Spot) -> bool:
        """Whether a line computes nothing but zeros, from variables: 0 * dz."""
        return isinstance(spot.expression, ast.BinOp) and not any(map(np.any, self.repairs.first.seen[spot].values))

    def stands_for(self, fix: Fix) -> tuple[Record | None, bool]:
        """What the wrong value should be, of the forward pass, and whether it is the value of that, not its gradient.

        If the tape does not know it, the first that is made of it.
        """
        if fix.known is not None and fix.known.record in self.knowledge.values:
            return fix.known.record, fix.known.kind == VALUE
        if fix.change is None:
            return None, False
        repairs, forward = self.repairs, set(self.knowledge.path)
        seen = repairs.run({fix.spot: fix.change}, look=True).seen
        for spot, now in sorted(seen.items(), key=lambda found: found[1].ticks[0]):
            was = repairs.first.seen.get(spot)
            if was is None or not now.values or now.ticks[-1] < fix.tick or all(map(same, was.values, now.values)):
                continue
            for match in self.knowledge.matches(now.values[-1]):
                if match.known.record in forward and match.known.kind != INNER:
                    exact = spot is fix.spot and match.known.kind == VALUE and abs(match.factor - 1) < CLOSE
                    return match.known.record, exact
        return None, False

    def second(self, fix: Fix, change: Mapping[Spot, Change]) -> tuple[ReadLine | None, str]:
        """The next wrong line, with the first one put right, and what it should read; None if that is not all."""
        old = self.repairs
        base = change or ({fix.spot: fix.change} if fix.change is not None else {})
        again = Repairs(old.program, old.arguments, old.read, old.targets, old.knowledge, self.budget,
                        old.elsewhere if change else None, base)          # values put in place are right only here
        found = again.search() if again.wrong else None
        if found is None or found.fixed != again.wrong or found.spot.text == fix.spot.text:
            return None, ""
        text = right_line(again, found)[0]
        status = again.statuses[found.spot]
        return self.tell.read_line(found.spot, WRONG, equals(status.told)), text

    def their_loss(self) -> str:
        """Whether the loss they return, if they do, is the recorded one."""
        mine = float(np.ravel(self.knowledge.values[self.loss])[0])
        known_as = {"loss", "L", "J", "cost", self.tape.given.get(self.loss) or self.loss.name}
        for key, value in self.returned.items():
            yours = value.data if isinstance(value, Tensor) else value
            if isinstance(key, str) and key in known_as and np.size(yours) == 1:
                yours = np.ravel(np.asarray(yours, float))[0]
                if not right(yours, mine) and yours != 1:         # which is the gradient of the loss
                    return (f"Your {key} is {yours:.6g}, the recorded one {mine:.6g}: yours is the gradient of another "
                            "function.")
        return ""

    def name(self, key: Any) -> str:
        """What a gradient is with respect to."""
        r = self.keys[key]
        return self.tape.given.get(r) or r.name or str(key)

    def suspect(self) -> Spot | None:
        """Where nothing that was tried helps: the first line that nobody knows, made of what is right, that matters."""
        repairs = self.repairs
        strange = [(level, spot) for level, spot in self.blamed if level and spot.main]
        if strange:
            return min(strange, key=lambda found: (found[0], found[1] not in repairs.blame.unknown))[1]
        unsure = {spot.name for spot in repairs.order if not repairs.statuses[spot].sure and spot.name}
        matters = [spot for spot in repairs.order if not repairs.statuses[spot].sure and repairs.matters(spot)
                   and np.asarray(repairs.first.seen[spot].values[0]).dtype.kind == "f"]
        return next((s for s in matters if not (s.reads - {s.name}) & unsure), matters[0] if matters else None)
