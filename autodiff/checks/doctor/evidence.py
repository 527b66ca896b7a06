"""What the search found and what reading their program found, put together.

The search knows which mistakes give the same numbers, not which of them was made; the line that was written does. So
among explanations that cannot be told apart the one comes first that fits the line, and where the search has none, or
only a far-fetched one, the line speaks for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autodiff.checks.doctor.backprop import reads
from autodiff.checks.doctor.diagnosis import BUDGET, PLAIN
from autodiff.checks.doctor.explanation import IS, POSSIBLE, Explanation, Place, listed, text_of
from autodiff.checks.doctor.suspects import said
from autodiff.checks.reading.constants import NOTHING
from autodiff.checks.reading.findings import Reading
from autodiff.checks.reading.line_kinds import kind_of, kind_of_line
from autodiff.tape import Tape

USERS = 4              # operations that use a tensor, of which so many are named
REPAIRS = {"transpose": "transposed-result", "sum": "missing-broadcast-reduction",
           "accumulate": "overwritten-accumulation"}


def kind_by_line(reading: Reading) -> str | None:
    """The kind of mistake by the wrong line and the right one."""
    if reading.first_wrong is None or not reading.certain:
        return None
    if reading.how == "scale" and abs(reading.factor) < NOTHING:
        return "stale-value" if " -= " in reading.first_wrong.text else "extra-term"
    if reading.how == "scale":
        return "sign" if abs(reading.factor + 1) < 1e-6 else "scale"
    if reading.how in REPAIRS:
        return REPAIRS[reading.how]
    return kind_of(reading.first_wrong.text, reading.expected) if reading.expected else None


def patience(reading: Reading | None, wrong: Sequence[str]) -> float:
    """How many seconds to search for the mistake: few where one small change of a line puts all right."""
    if reading is None or not reading.certain:
        return BUDGET
    return BUDGET / 4 if reading.small and set(wrong) <= set(reading.repaired) else BUDGET / 2


def weighed(explanations: Sequence[Explanation], reading: Reading | None, wrong: Sequence[str],
             tape: Tape) -> tuple[Explanation, ...]:
    """The explanations in the light of the wrong line.

    Parameters
    ----------
    explanations : sequence of Explanation
        What the search found, the plainest first.
    reading : Reading or None
        What reading their program found.
    wrong : sequence of str
        The gradients that differ.
    tape : Tape
        What stands behind the loss.
    """
    if reading is None or reading.first_wrong is None or not reading.certain:
        return tuple(explanations)
    kind = kind_by_line(reading)
    alone = set(wrong) <= set(reading.repaired)             # putting this line right makes all of them right
    if explanations:
        first = explanations[0]
        if not alone and reading.second is not None and first.cost > PLAIN and first.kind != "two":
            return (by_line(reading, "two", wrong, alone, tape), *explanations)
        certain = reading.small and (first.cost > PLAIN or first.kind == "two" or reading.how in REPAIRS)
        if alone and kind is not None and certain and not any(m.kind == kind for m in (first, *first.members)):
            return by_small_change(explanations, by_line(reading, kind, wrong, alone, tape))
        if first.kind == kind or (first.cost <= PLAIN and not kind):
            return tuple(explanations)
        for member in first.members:
            if member.kind == kind:
                others = tuple(m for m in (replace(first, members=()), *first.members) if m is not member)
                return (replace(member, members=others), *explanations[1:])
        if first.kind == "two" and alone and kind is not None:
            return (by_line(reading, kind, wrong, alone, tape), *explanations)
        copied = first.kind == "swapped" and len(wrong) == 1 and kind is not None
        if (first.cost <= PLAIN and not copied) or (first.kind == "two" and not alone):
            if alone and reading.small and kind is not None:             # the line says another word for it
                line = by_line(reading, kind, wrong, alone, tape)
                return (replace(first, members=(*first.members, line)), *explanations[1:])
            return tuple(explanations)
    if not alone:
        kind = "two"
    elif kind is None and not explanations:
        kind = kind_of_line(reading.first_wrong.text)
        return (replace(by_line(reading, kind, wrong, alone, tape), confidence=POSSIBLE),)
    if kind is None:
        return tuple(explanations)
    return (by_line(reading, kind, wrong, alone, tape), *explanations)


def by_small_change(explanations: Sequence[Explanation], line: Explanation) -> tuple[Explanation, ...]:
    """Where one small change of a line puts all right: its kind first, told as the search tells it if it found it."""
    if not explanations:
        return (line,)
    first = explanations[0]
    everything = [replace(first, members=()), *first.members]
    chosen = next((e for e in everything if e.kind == line.kind), None)
    others = tuple(e for e in everything if e is not chosen and (e.kind != "two" or chosen is not None))
    if chosen is None:
        return (replace(line, members=others), *(explanations[1:] if others else explanations))
    return (replace(chosen, members=others), *explanations[1:])


def by_line(reading: Reading, kind: str, wrong: Sequence[str], alone: bool, tape: Tape) -> Explanation:
    """The line as an explanation of its own."""
    line = reading.first_wrong
    assert line is not None
    instead = f" where {reading.expected} is right" if reading.expected else ""
    sentence = f"writing {line.text} ({line.where}){instead}"
    if not alone:
        rest = [name for name in wrong if name not in reading.repaired]
        sentence += f"; and by another mistake, since {listed(rest)} would still differ"
    places = [Place("", line.name, line.name, line.where, line.text), *places_on(tape, reading, wrong)]
    sure = reading.how in REPAIRS or (reading.how == "scale" and kind != "two")      # else the line has other readings
    evidence = f"putting this line right makes {listed(reading.repaired)} agree"
    op = next((place.op for place in places if place.op), "")
    return Explanation(kind, sentence, op, tuple(places), reading.expected, line.text,
                       tuple(wrong), evidence, IS if alone and sure else POSSIBLE)


def places_on(tape: Tape, reading: Reading, wrong: Sequence[str]) -> list[Place]:
    """Where on the tape the wrong line belongs: the tensor it should hold or differentiate, and what uses that."""
    x = reading.record
    if x is None:
        known = [r for name in reading.repaired or wrong for r in tape.leaves if name in (tape.given.get(r), r.name)]
        if not known:
            return []
        latest = {r: max((c.serial for c in tape if reads(c, r)), default=0) for r in known}
        x = max(known, key=latest.__getitem__)
    made = [x] if x.op is not None else []
    users = [r for r in tape if reads(r, x)][:USERS]
    return [Place(r.op.name if r.op else "", tape.given.get(r) or said(r), tape.given.get(x) or said(x), r.where,
                  text_of(r)) for r in (*users, *made)]
