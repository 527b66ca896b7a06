"""What else a mistake may fairly be called, by its kind and the operation at which it was made.

The search tells apart what gives other numbers; where one mistake has two names, whoever made it decides which of them
is right, so neither is sure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from autodiff.checks.doctor.explanation import POSSIBLE, Explanation
from autodiff.checks.mistakes import KINDS

JOINTS = ("add", "subtract", "concatenate", "stack")
# The name that is likelier than the search's own; the search's own stays beside it.
LIKELIER: dict[tuple[str, str], str] = {
    **{("treated-as-constant", op): "dropped-path" for op in JOINTS},                # one of several paths
    **{("wrong-argument", op): "wrong-local-rule" for op in ("sqrt", "square", "power",       # x / (1 + x²), no root
                                                             "softmax", "log_softmax", "logsumexp")},
    ("wrong-argument", "multiply"): "wrong-operand",
    ("double-derivative", "relu"): "wrong-local-rule",                               # relu′ twice is relu′
}
# Another name, as fair as the search's own or a little less; by the kind alone, or for some operations.
AS_FAIR: dict[tuple[str, str], str] = {
    ("missing-term", ""): "dropped-path", ("treated-as-constant", ""): "dropped-path",
    ("wrong-argument", "divide"): "wrong-operand",
    ("wrong-argument", "log_softmax"): "softmax-diagonal", ("wrong-argument", "softmax"): "softmax-diagonal",
    ("missing-local-derivative", "log_softmax"): "treated-as-constant",              # the normaliser
    ("scale", "multiply"): "missing-local-derivative",                               # the slope of a leaky relu
    ("wrong-operand", "add"): "missing-local-derivative", ("wrong-operand", "subtract"): "missing-local-derivative",
}


def fairly(found: Explanation) -> Explanation:
    """An explanation with the other names that it has, the likeliest first."""
    likelier = LIKELIER.get((found.kind, found.op))
    other = AS_FAIR.get((found.kind, found.op)) or AS_FAIR.get((found.kind, ""))
    kinds = {e.kind for e in all_of(found)}
    if other is not None and other not in kinds:
        found = in_front(found, [called(found, other)])
    if likelier is not None:
        known = next((e for e in found.members if e.kind == likelier), None) or called(found, likelier)
        found = in_front(known, [e for e in all_of(found) if e is not known])
    return found


def called(found: Explanation, kind: str) -> Explanation:
    """The same mistake under another name."""
    return replace(found, kind=kind, members=(), sentence=f"{KINDS[kind]}: {found.sentence}")


def all_of(first: Explanation) -> list[Explanation]:
    """An explanation and those that cannot be told apart from it, each by itself."""
    return [replace(first, members=()), *first.members]


def in_front(first: Explanation, others: Iterable[Explanation]) -> Explanation:
    """An explanation with others that cannot be told apart from it; with another kind among them it is possible."""
    members = tuple(dict.fromkeys((*first.members, *others)))
    sure = all(e.kind == first.kind for e in members)
    return replace(first, members=members, confidence=first.confidence if sure else POSSIBLE)
