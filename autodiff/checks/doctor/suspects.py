"""What the search reasons about: a problem to explain, and suspects that may explain it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.checks.doctor.backprop import Backprop, Edge, applied, fit
from autodiff.checks.doctor.factors import Factors
from autodiff.checks.mistakes import Rule, right
from autodiff.errors import AutodiffError
from autodiff.record import Record

MATCH = 4.0                 # times the tolerance of the verdict
SURE = 3.5                  # the cost above which an explanation is only possible
FAR_FETCHED = 4.0           # the cost of a factor that has no name
# What wrong rules raise.
DOES_NOT_FIT = (AutodiffError, ValueError, TypeError, IndexError, ArithmeticError, AttributeError)
Change = dict[Record, Any]  # what is added to the gradient that arrives at some records


@dataclass
class Problem:
    """Gradients that were given, and what would be right.

    Attributes
    ----------
    bp : Backprop
        The right backward pass.
    yours : list of array
        What was given, per wanted record.
    allowed : list of array
        By how much rounding may move each.
    wrong : list of bool
        Which of them differ; the others are evidence too.
    factors : Factors
        The constants that have a name here.
    heard : list of bool
        Which of them count as evidence: all, unless a mistake is looked for that was made for some of them only.
    """

    bp: Backprop
    yours: list[Any]
    allowed: list[Any]
    wrong: list[bool]
    factors: Factors
    heard: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.heard = self.heard or [True] * len(self.wrong)

    def alone(self, k: int) -> Problem:
        """The same as if only the k-th had been wrong."""
        return self.only([k == j for j in range(len(self.wrong))])

    @property
    def mask(self) -> int:
        """The wrong ones, a bit each."""
        return sum(1 << k for k, w in enumerate(self.wrong) if w)

    def only(self, chosen: Sequence[bool]) -> Problem:
        """The same as if only the chosen ones had been wrong, and the other wrong ones right."""
        yours = [u if c or not w else self.bp.g.get(r, 0 * u)
                 for u, c, w, r in zip(self.yours, chosen, self.wrong, self.bp.wanted, strict=True)]
        return Problem(self.bp, yours, self.allowed, [c and w for c, w in zip(chosen, self.wrong, strict=True)],
                       self.factors)

    def of_these_alone(self) -> Problem:
        """The same, whatever the mistake would have done to those that are right."""
        return Problem(self.bp, self.yours, self.allowed, self.wrong, self.factors, list(self.wrong))

    def matched_by(self, gradients: Sequence[Any]) -> bool:
        """Whether these are the gradients that were given."""
        return all(not h or bool(np.all(np.abs(u - g) <= tol)) for u, g, tol, h in
                   zip(self.yours, gradients, self.allowed, self.heard, strict=True))


@dataclass
class Suspect:
    """A mistake that may explain the difference.

    Attributes
    ----------
    kind, cost : str, float
        What it is, and how far-fetched.
    edge : Edge or None
        Where it happens; of a group, the first.
    rules : dict of Edge to rule
        The rules to put in place of the right ones.
    change : dict of Record to array, or None
        What it changes where, if it acts at one place only; None if it must be walked.
    param : Record or None
        The wanted record, for what concerns a returned gradient as such.
    told : str
        The particulars: the name of a factor, of a tensor taken by mistake.
    tag : str
        Which mistake, independent of the place.
    parts : tuple of Suspect
        The mistakes it consists of, where it is several.
    everywhere : str
        "at every use" or "every time round" where it is the same at several places.
    loose : dict of Edge to callable
        Edges whose contribution is added up otherwise than it must be: not summed, or over the wrong axis.
    out, x : Record or None
        Where it is several operations as one step: from x to out.
    guess : bool
        Whether the kind is only the likeliest name of what was found.
    """

    kind: str
    cost: float
    edge: Edge | None
    rules: dict[Edge, Rule] = field(default_factory=dict)
    change: Change | None = None
    param: Record | None = None
    told: str = ""
    tag: str = ""
    parts: tuple[Suspect, ...] = ()
    everywhere: str = ""
    loose: dict[Edge, Any] = field(default_factory=dict)
    out: Record | None = None
    x: Record | None = None
    rule: Rule | None = None
    guess: bool = False


@dataclass
class State:
    """A backward pass so far: the gradients that arrive, and the contributions."""

    g: dict[Record, Any]
    fitted: dict[Edge, Any]


def rule_of(edge: Edge) -> Rule:
    """The right rule of an edge."""
    assert edge.r.op is not None
    return right(edge.r.op, edge.i)


def changed(edge: Edge, rule: Rule, g: Any, now: Any) -> Any:
    """What a wrong rule changes of a contribution, if only to nothing or to no number; None if it has no such shape."""
    try:
        c = applied(rule, edge, g)
        new = np.zeros_like(edge.x.value) if c is None else fit(c, edge.x)
    except DOES_NOT_FIT:
        return None
    return new - now if np.shape(new) == np.shape(edge.x.value) else None


def proportion(target: Any, s: Any) -> float | None:
    """c with target = c s, if there is one."""
    size = float(s @ s)
    if not size or not np.isfinite(size):
        return None
    c = float(target @ s) / size
    return c if c and np.all(np.abs(target - c * s) <= 1e-3 * np.abs(target).max()) else None


def said(r: Record) -> str:
    """What a record is called."""
    if r.name:
        return r.name
    if r.op is not None:
        return f"{r.op.name}(...)"
    return f"a leaf of shape {np.shape(r.value)}" if r.requires_grad else "a constant"


def with_operand(rule: Rule, k: int, other: Any) -> Rule:
    """A rule that reads another tensor in place of its k-th operand."""
    return lambda g, y, *x, **o: rule(g, y, *x[:k], other, *x[k + 1:], **o)


def with_output(rule: Rule, other: Any) -> Rule:
    """A rule that reads another tensor in place of the output."""
    return lambda g, y, *x, **o: rule(g, other, *x, **o)


def scaled(edges: Sequence[Edge], k: float) -> dict[Edge, Rule]:
    """The right rules of some edges, times a constant; a measured zero is none of it."""
    if abs(k) < 1e-7:
        return dict.fromkeys(edges, nothing)
    rules: dict[Edge, Rule] = {}
    for e in edges:
        rule = rule_of(e)
        rules[e] = lambda g, y, *x, rule=rule, **o: k * rule(g, y, *x, **o)
    return rules


def nothing(g: Any, y: Any, *inputs: Any, **options: Any) -> None:
    """No contribution."""
