"""What reading somebody's function found: its lines, the first that is wrong, and what it should read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from autodiff.record import Record

RIGHT, SCALED, WRONG, UNKNOWN = "right", "right up to a factor", "wrong", "unknown"


@dataclass(frozen=True)
class ReadLine:
    """A line of theirs.

    Attributes
    ----------
    file, line, text : str, int, str
        Where it stands, and its source.
    where : str
        File and line, as a person would write it.
    name : str
        What they call its value.
    verdict : str
        "right", "right up to a factor", "wrong" or "unknown".
    equals : str
        The quantity of the tape that it equals; "" if none does that has a name.
    """

    file: str
    line: int
    text: str
    where: str
    name: str
    verdict: str
    equals: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain Python values."""
        return {"file": self.file, "line": self.line, "text": self.text, "where": self.where, "name": self.name,
                "verdict": self.verdict, "equals": self.equals}


@dataclass(frozen=True)
class Other(ReadLine):
    """A line of theirs that may be wrong in another's place, and what it should read then; "" if that is not known."""

    expected: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain Python values."""
        return {**super().to_dict(), "expected": self.expected}


@dataclass(frozen=True)
class Reading:
    """What their function does, line by line.

    Attributes
    ----------
    lines : tuple of ReadLine
        In the order they first ran.
    first_wrong, last_right : ReadLine or None
        The first wrong line, and the last one before it that is right.
    expected : str
        What the wrong line should read, in their names; "" if that cannot be said.
    certain : bool
        Whether putting that line right was tried, and makes gradients right.
    repaired : tuple of str
        The gradients that this line alone makes right.
    how : str
        What puts it right: "known" (another value belongs there), "scale", "transpose", "sum", "sum of the last axis",
        "accumulate", "moment" (the values it had before, or would have later), "edit" (a small change of a line whose
        right value nobody knows); "" if unknown.
    factor : float
        By which its values must be multiplied, where that is all.
    forward : str
        What differs from the recorded forward pass; "" if nothing does, or nothing of it was computed.
    left_numpy : str or None
        Why it could not be read, or not to its end.
    sentence : str
        All of it for a person.
    record : Record or None
        Of the tape: the tensor whose value or gradient belongs where the line is wrong, if it is one.
    second : ReadLine or None
        The next wrong line, where putting the first right leaves gradients wrong that this one makes right.
    second_expected : str
        What it should read; "" if that cannot be said.
    others : tuple of Other
        The lines that may be wrong in place of `first_wrong`: put right, each does as much. The likeliest first.
    small : bool
        Whether `expected` is a small change of the line.
    value : bool
        Whether the line makes a value of the forward pass, not a gradient.
    measured : str
        What was changed by the numbers alone, in the words of `line_kinds`, where `expected` is ""; "" if they do not
        tell.
    numbers : frozenset of str
        The variables that are numbers, where the wrong line makes an array.
    again : callable or None
        From the arrays that a mistake makes to the same with the first line that makes one; None where this is sure.
    """

    lines: tuple[ReadLine, ...] = ()
    first_wrong: ReadLine | None = None
    last_right: ReadLine | None = None
    expected: str = ""
    certain: bool = False
    repaired: tuple[str, ...] = ()
    how: str = ""
    factor: float = 1.0
    forward: str = ""
    left_numpy: str | None = None
    sentence: str = ""
    record: Record | None = None
    second: ReadLine | None = None
    second_expected: str = ""
    small: bool = False
    value: bool = False
    measured: str = ""
    numbers: frozenset[str] = frozenset()
    others: tuple[Other, ...] = ()
    again: Callable[[Sequence[Any]], Reading] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """As plain Python values."""
        return {"lines": [line.to_dict() for line in self.lines],
                "first_wrong": self.first_wrong and self.first_wrong.to_dict(),
                "last_right": self.last_right and self.last_right.to_dict(), "expected": self.expected,
                "certain": self.certain, "repaired": list(self.repaired), "how": self.how, "factor": self.factor,
                "forward": self.forward, "left_numpy": self.left_numpy, "sentence": self.sentence,
                "second": self.second and self.second.to_dict(), "second_expected": self.second_expected,
                "others": [line.to_dict() for line in self.others]}
