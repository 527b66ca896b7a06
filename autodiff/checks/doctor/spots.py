"""Where on the tape a line of theirs belongs: the tensor it should hold or differentiate, and what uses that."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from autodiff.checks.doctor.backprop import reads
from autodiff.checks.doctor.explanation import Place, text_of
from autodiff.checks.doctor.suspects import said
from autodiff.checks.reading.findings import Reading
from autodiff.record import Record
from autodiff.tape import Tape

USERS = 4              # operations that use a tensor, of which so many are named
FURTHEST = 4           # operations without a name between a tensor and the next one that has one
NUMBER = re.compile(r"_?\d+$")
WORD = re.compile(r"[^\W\d]\w*")


def places_of(tape: Tape, reading: Reading, wrong: Sequence[str]) -> tuple[Place, ...]:
    """The places of the wrong line: its own name, the tensor it stands for, and the operations that use and make that.

    Parameters
    ----------
    tape : Tape
        What stands behind the loss.
    reading : Reading
        What is known of their lines; `first_wrong` is one.
    wrong : sequence of str
        The gradients that differ.
    """
    line = reading.first_wrong
    assert line is not None
    found = [Place("", line.name, line.name, line.where, line.text)]
    x, shows = reading.record, last_used(tape, reading.repaired or tuple(wrong))
    if x is not None and x in set(tape.all):
        found += around(tape, x)
    elif x is not None:                                            # a step of the gradient
        found += [place(tape, r, r) for r in read_by(x, set(tape.all))]
    if x is None or x.op is None or reading.how == "edit" or len(found) == 1:        # what its value is, nobody knows
        found += of_operands(tape, reading)
        found += around(tape, shows) if shows is not None else ()
    return plainly(tape, found)


def around(tape: Tape, x: Record) -> Iterator[Place]:
    """The operations that use a tensor, on to the next that has a name, and the one that makes it."""
    users = using(tape, x)
    for r in users:
        yield place(tape, r, x)
    for r in users:
        step = r
        for _ in range(FURTHEST):
            onward = using(tape, step) if not step.name else []
            if not onward:
                break
            yield place(tape, onward[0], step)
            step = onward[0]
    if x.op is not None:
        yield place(tape, x, x)


def read_by(step: Record, forward: set[Record]) -> list[Record]:
    """The tensors of the forward pass, of those that have a name, that a step of the gradient is made of."""
    found: list[Record] = []
    steps = [step]
    for _ in range(FURTHEST):
        inputs = [r for one in steps for r in one.inputs if isinstance(r, Record)]
        found += [r for r in inputs if r in forward and r.name and r not in found]
        steps = [r for r in inputs if r not in forward]
        if found:
            break
    return found


def using(tape: Tape, x: Record) -> list[Record]:
    """The first few operations that use a tensor."""
    return [r for r in tape if reads(r, x)][:USERS]


def place(tape: Tape, r: Record, x: Record) -> Place:
    """An operation, what it makes and what of."""
    return Place(r.op.name if r.op else "", called(tape, r), called(tape, x), r.where, text_of(r))


def called(tape: Tape, r: Record) -> str:
    """What a tensor is called."""
    return tape.given.get(r) or said(r)


def last_used(tape: Tape, names: Sequence[str]) -> Record | None:
    """Of some leaves the one that is used last; None if there are none of these names."""
    leaves = [r for r in tape.leaves if r.name in names or tape.given.get(r) in names]
    latest = {r: max((c.serial for c in tape if reads(c, r)), default=0) for r in leaves}
    return max(leaves, key=latest.__getitem__, default=None)


def of_operands(tape: Tape, reading: Reading) -> Iterator[Place]:
    """The tensors that the wrong line is made of, or should be, if their lines say which these are."""
    line = reading.first_wrong
    assert line is not None
    words = set(WORD.findall(line.text)) | set(WORD.findall(reading.expected))
    names = {tape.given.get(r) or r.name for r in tape.all} - {None, ""}
    for other in reading.lines:
        tensor = other.equals.rpartition("∂")[2].rpartition(" ")[2]
        if other.name in words and tensor in names:
            yield Place("", tensor, tensor, other.where, other.text)
    for name in sorted(words & names):
        yield Place("", name, name)


def plainly(tape: Tape, places: Sequence[Place]) -> tuple[Place, ...]:
    """Places, each once; what is called z_3, as the third of a loop, also as the variable z that it was."""
    names = {r.name for r in tape.all}
    found = dict.fromkeys(places)
    for one in places:
        plain = NUMBER.sub("", one.tensor)
        if plain != one.tensor and one.tensor in names and plain in names:
            found[Place(one.op, plain, NUMBER.sub("", one.operand), one.where, one.text, one.part)] = None
    return tuple(found)
