"""What `compare` found, as a table a person reads, as data, and as an exception."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.checks.doctor.explanation import Explanation
from autodiff.checks.reading.findings import Reading
from autodiff.checks.report_html import report_html
from autodiff.checks.report_text import in_colour, report_text
from autodiff.errors import AutodiffError

AGREES, DIFFERS, UNDECIDED = "agrees", "differs", "undecided"


class WrongGradientError(AutodiffError, AssertionError):
    """A gradient derived by hand is wrong; the message is the report's table, and `report` the report."""

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class Entry:
    """The verdict on one gradient.

    Attributes
    ----------
    name : str
        The tensor that the gradient is with respect to.
    verdict : str
        "agrees", "differs", or "undecided" where rounding, or a value that is not finite, decides it.
    shape : tuple of int
        The tensor's.
    yours, correct : ndarray
        The gradient that was given, and that of the tape.
    max_error, relative_error : float
        The largest difference, and the same as a part of the largest element of the correct gradient.
    tolerance : float
        What rounding explains, at the worst element.
    worst : tuple of int or None
        The element whose difference is largest for its tolerance; None if the shapes do not allow to say.
    note : str
        What else there is to say.
    numeric : float or None
        What complex step or Richardson gives at the worst element, where that was asked.
    sides_with : str
        Whom it sides with: "tape", "you", "neither" or "" where it was not asked or cannot tell.
    explanations : tuple of Explanation
        Why it differs: classes of what cannot be told apart, the plainest first.
    """

    name: str
    verdict: str
    shape: tuple[int, ...]
    yours: Any
    correct: Any
    max_error: float = np.nan
    relative_error: float = np.nan
    tolerance: float = np.nan
    worst: tuple[int, ...] | None = None
    note: str = ""
    numeric: float | None = None
    sides_with: str = ""
    explanations: tuple[Explanation, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, as plain Python values."""
        at = self.worst
        return {"name": self.name, "verdict": self.verdict, "shape": list(self.shape), "max_error": self.max_error,
                "relative_error": self.relative_error, "tolerance": self.tolerance,
                "worst": None if at is None else list(at), "yours": None if at is None else float(self.yours[at]),
                "correct": None if at is None else float(self.correct[at]), "numeric": self.numeric,
                "sides_with": self.sides_with, "note": self.note,
                "explanations": [explanation.to_dict() for explanation in self.explanations]}


@dataclass(frozen=True)
class Report:
    """The verdicts on a set of gradients; printed, a table.

    Attributes
    ----------
    entries : tuple of Entry
        In the order they were given.
    loss : str
        What they are gradients of, and where it was made.
    not_given : tuple of str
        Leaves that require grad and were not compared.
    notes : tuple of str
        What holds for all of them.
    explanations : tuple of Explanation
        Why those that differ do, together.
    diagnosis : str
        What was searched and what not.
    reading : Reading or None
        The first wrong line of the function that was given, if one was.

    Examples
    --------
    >>> w = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> report = ad.compare((w * w).sum(), {"w": [2.0, 4.0]})
    >>> report.ok, report["w"].verdict
    (True, 'agrees')
    """

    entries: tuple[Entry, ...]
    loss: str = ""
    not_given: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    keys: dict[Any, int] = field(default_factory=dict, repr=False)
    explanations: tuple[Explanation, ...] = ()
    diagnosis: str = ""
    reading: Reading | None = None

    @property
    def ok(self) -> bool:
        """Whether everything agrees; undecided is not agreement, nor is it wrong."""
        return all(entry.verdict == AGREES for entry in self.entries)

    def __getitem__(self, key: Any) -> Entry:
        """The entry of a tensor, by its name, as it was given, or by the Tensor itself."""
        for entry in self.entries:
            if isinstance(key, str) and entry.name == key:
                return entry
        key = key if isinstance(key, str) else getattr(key, "record", key)
        if key in self.keys:
            return self.entries[self.keys[key]]
        compared = ", ".join(entry.name for entry in self.entries)
        raise KeyError(f"{key!r} was not compared; compared: {compared or 'nothing'}")

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __str__(self) -> str:
        return report_text(self, colour=in_colour())

    def _repr_html_(self) -> str | None:
        return report_html(self)

    @property
    def verdicts(self) -> str:
        """What differs, what agrees."""
        parts = []
        for verdict, singular, plural in ((DIFFERS, "differs", "differ"), (UNDECIDED, "is undecided", "are undecided"),
                                          (AGREES, "agrees", "agree")):
            names = [entry.name for entry in self.entries if entry.verdict == verdict]
            if names:
                parts.append(f"{', '.join(names)} {singular if len(names) == 1 else plural}")
        return "; ".join(parts)

    @property
    def summary(self) -> str:
        """One line: what differs, what agrees."""
        return f"gradients of {self.loss}: {self.verdicts or 'nothing to compare'}"

    def raise_if_wrong(self) -> None:
        """Raise if a gradient differs: a report as a test in one line.

        Raises
        ------
        WrongGradientError
            With the table as its message. Undecided alone does not raise; ``assert report.ok`` demands more.
        """
        if any(entry.verdict == DIFFERS for entry in self.entries):
            raise WrongGradientError(report_text(self), self)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain Python values."""
        return {"ok": self.ok, "loss": self.loss, "entries": [entry.to_dict() for entry in self.entries],
                "not_given": list(self.not_given), "notes": list(self.notes),
                "explanations": [explanation.to_dict() for explanation in self.explanations],
                "diagnosis": self.diagnosis, "reading": self.reading and self.reading.to_dict()}
