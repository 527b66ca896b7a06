"""What the search found and what reading their program found, put together.

The search knows which mistakes give the same numbers, not which of them was made; the line that was written does. So
among explanations that cannot be told apart the one comes first that fits the line, and where the search has none, or
only a far-fetched one, the line speaks for itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from autodiff.checks.doctor.backprop import reads
from autodiff.checks.doctor.diagnosis import BUDGET, PLAIN
from autodiff.checks.doctor.explanation import IS, POSSIBLE, Explanation, listed
from autodiff.checks.doctor.fair import all_of, in_front
from autodiff.checks.doctor.spots import places_of, plainly
from autodiff.checks.mistakes import KINDS
from autodiff.checks.reading.constants import NOTHING
from autodiff.checks.reading.findings import Reading
from autodiff.checks.reading.known import RATIO
from autodiff.checks.reading.line_kinds import changed, hands_on, kinds_of_line, may_be
from autodiff.tape import Tape

PLAINLY = {IS: 2.2, POSSIBLE: PLAIN}       # the cost up to which a mistake is believed rather than a line as it looks
NEAR = 0.25            # by how much a mistake that fits the line may cost more than one that does not
FAR = {IS: 3.0, POSSIBLE: 2.0}             # the cost of a mistake, from which a line is believed that nothing explains
CLEAR = 1.3            # the cost up to which the search is believed rather than a small change of a line
OTHERS = 2             # kinds that a mistake may be where it looks like two
LITTLE = 0.1           # of the cost that a mistake has
UNSURE = ("wrong-operand", "dropped-path")                  # where only the place is known, most mistakes are these
OF_LAYOUT = {"transposed-result", "wrong-axis", "scatter"}
FORWARD = "computing something else in the forward pass"
REPAIRS = {"transpose": ("transposed-result",), "sum": ("missing-broadcast-reduction",),
           "sum of the last axis": ("missing-broadcast-reduction",), "accumulate": ("overwritten-accumulation",),
           "moment": ("stale-value", "wrong-operand")}
SOFTMAX = {"softmax", "log_softmax", "logsumexp", "cross_entropy_of_labels", "cross_entropy_of_probabilities"}
OF_SOFTMAX = {"formula", "centring", "term of a formula", "extra derivative", "derivative", "half a derivative"}
# Changes that leave no doubt what was done.
EXACT = {"argument", "axis", "path", "power", "number", "complement of a function"}
OF_DERIVATIVES = {"missing-local-derivative", "double-derivative", "wrong-local-rule"}
OF_VALUES = ("wrong-operand", "wrong-argument")
PATHS = {"dropped-path", "treated-as-constant"}                # of gradients: a value only lacks a term
GRADIENT = re.compile(r"(delta|grad|d|g)_?(?=[a-zA-Z])")       # before the name of what it is the gradient of
PARAMETER, INNER = "transposed-result", "missing-transpose"


def kinds_by_line(reading: Reading, tape: Tape) -> tuple[str, ...]:
    """The kinds of mistake by the wrong line and the right one, the likeliest first; () if they say nothing."""
    line = reading.first_wrong
    if line is None or not reading.certain:
        return ()
    if reading.how == "scale" and abs(reading.factor) < NOTHING:
        updates = line.name in {r.name for r in tape.all}                 # of what the gradients are still made of
        return ("stale-value", "extra-term") if updates else ("extra-term", "stale-value")
    if reading.how == "scale":
        return ("sign",) if abs(reading.factor + 1) < 1e-6 else ("scale",)
    if reading.how in REPAIRS:
        return REPAIRS[reading.how]
    words = words_of(reading)
    return fitting(may_be(words), words, reading, tape)


def words_of(reading: Reading) -> list[str]:
    """What was changed in the wrong line, in the words of `line_kinds`; [] if nobody knows how it should read."""
    line = reading.first_wrong
    if line is not None and reading.expected:
        return changed(line.text, reading.expected, {other.name for other in reading.lines if other.equals} -
                       reading.numbers, reading.numbers)
    return [reading.measured] if reading.measured else []


def kinds_by_look(reading: Reading, tape: Tape) -> tuple[str, ...]:
    """The kinds of mistake by the wrong line alone, where nobody knows what it should read."""
    assert reading.first_wrong is not None
    return fitting(kinds_of_line(reading.first_wrong.text), (), reading, tape)


def fitting(kinds: Sequence[str], words: Sequence[str], reading: Reading, tape: Tape) -> tuple[str, ...]:
    """Of the kinds that a change may be called, those that can be meant here, the likeliest first."""
    ops = {r.op.name for r in tape if r.op}
    x = reading.record
    at = {r.op.name for r in (x, *tape) if r and r.op and x is not None and (r is x or reads(r, x))}
    if kinds and makes_a_value(reading, tape):
        kinds, words = of_values(kinds, bool(words)), ()
    if "scatter" in kinds and at & {"getitem", "scatter"}:
        kinds = ["scatter", *kinds]
    found = [kind for kind in kinds if kind != "softmax-diagonal" or ops & SOFTMAX or {"exp", "divide"} <= ops]
    if set(words) <= OF_SOFTMAX and at & SOFTMAX and words:
        first = words[0] not in ("derivative", "half a derivative")
        found = ["softmax-diagonal", *found] if first else [*found, "softmax-diagonal"]
    if PARAMETER in found and INNER in found and words == ["layout"] and x is not None and x.op is not None:
        found = [INNER, PARAMETER]                                        # no parameter's gradient, but on the way
    return tuple(dict.fromkeys(found))


def makes_a_value(reading: Reading, tape: Tape) -> bool:
    """Whether the wrong line is one of the forward pass, and not called like a gradient of a tensor of theirs: dw."""
    line = reading.first_wrong
    prefix = GRADIENT.match(line.name) if line is not None else None
    names = {*(r.name for r in tape.all), *(other.name for other in reading.lines)}
    return reading.value and (prefix is None or line is None or line.name[prefix.end():] not in names) \
        and (line is None or not RATIO.fullmatch(line.name))


def of_values(kinds: Sequence[str], changed: bool) -> list[str]:
    """The kinds for a line of the forward pass: no derivative is wrong, but what it is taken at."""
    kept = [kind for kind in kinds if kind not in OF_DERIVATIVES and kind != "softmax-diagonal"]
    taken = sorted(OF_VALUES, key=[*kinds, *OF_VALUES].index)
    return [*kept, *taken] if changed and kinds[0] in kept and kinds[0] not in PATHS else \
        [*taken, *sorted(kept, key=PATHS.__contains__)]


def depth(reading: Reading | None, wrong: Sequence[str], tape: Tape) -> tuple[float, bool]:
    """How many seconds to search for the mistake, and whether to look for several at once.

    Less where their lines can be read; and one at most, where the lines say what it is unless it is a plain one.
    """
    if reading is None or reading.first_wrong is None:
        return BUDGET, True
    told = not reading.measured and bool(kinds_by_line(reading, tape))
    return BUDGET / 2, not told or not set(wrong) <= set(reading.repaired)


def weighed(explanations: Sequence[Explanation], reading: Reading | None, wrong: Sequence[str],
            tape: Tape) -> tuple[Explanation, ...]:
    """The explanations in the light of the wrong line; those of several kinds are possible, no more.

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
    found = [replace(e, places=plainly(tape, e.places)) for e in explanations]
    told = [in_front(e, ()) for e in ordered(found, reading, wrong, tape)]
    return (in_front(told[0], elsewhere(reading, wrong, tape)), *told[1:]) if told and reading else tuple(told)


def elsewhere(reading: Reading, wrong: Sequence[str], tape: Tape) -> Iterator[Explanation]:
    """What the mistake is if another line is meant that may be wrong in place of the quoted one."""
    for other in reading.others:
        there = replace(reading, first_wrong=other, expected=other.expected, measured="")
        if kinds := may_be(words_of(there)):
            yield replace(by_line(there, kinds, wrong, tape), members=())


def ordered(explanations: Sequence[Explanation], reading: Reading | None, wrong: Sequence[str],
            tape: Tape) -> tuple[Explanation, ...]:
    """The same, the likeliest first."""
    if reading is None or reading.first_wrong is None:
        return tuple(explanations)
    if not reading.certain:                                 # where to look is known, and no more
        kinds = kinds_by_look(reading, tape)
        kinds = tuple(dict.fromkeys([*(UNSURE if kinds[0] not in OF_LAYOUT else ()), *kinds, "two"]))
        return doubted(explanations, by_line(reading, kinds, wrong, tape))
    kinds = kinds_by_line(reading, tape)
    alone = set(wrong) <= set(reading.repaired)             # putting this line right makes all of them right
    first = explanations[0] if explanations else None
    if not alone:
        return of_two(explanations, reading, wrong, tape)
    if first is None or first.kind == "two":
        line = by_line(reading, kinds or kinds_by_look(reading, tape), wrong, tape)
        return (line, *explanations) if first else (line,)
    if first.sentence.startswith(FORWARD):
        kinds = kinds or tuple(dict.fromkeys([*kinds_by_look(reading, tape)[:1], "wrong-argument",
                                              "wrong-operand", "wrong-local-rule", "missing-term"]))
        return (in_front(by_line(reading, kinds, wrong, tape), all_of(first)), *explanations[1:])
    if not kinds:
        guess = by_line(reading, kinds_by_look(reading, tape), wrong, tape)
        return tuple(explanations) if believed(first) else (guess, *explanations)
    return settled(explanations, by_line(reading, kinds, wrong, tape), reading, words_of(reading))


def settled(explanations: Sequence[Explanation], line: Explanation, reading: Reading,
            changes: Sequence[str]) -> tuple[Explanation, ...]:
    """The explanations in the light of a line that puts all right by itself, and of what was changed in it."""
    first, words, found = explanations[0], all_of(line), all_of(explanations[0])
    likeliest, kinds = line.kind, [e.kind for e in words]
    handed_on = bool(reading.measured) and reading.first_wrong is not None and hands_on(reading.first_wrong.text)
    exact = len(changes) == 1 and ((reading.small and changes[0] in EXACT) or (handed_on and changes[0] == "term"))
    plain = reading.small or (len(changes) == 1 and changes != ["formula"])
    near = [e for e in found if e.cost < first.cost + NEAR]
    chosen = next((e for e in near if e.kind == likeliest), None)
    copied = first.kind == "swapped" and len(line.params) == 1
    if chosen is None and (reading.how in REPAIRS or copied or exact):
        return (in_front(line, found), *explanations[1:])
    if chosen is None:
        chosen = next((e for e in near if e.kind in kinds and (e.cost <= PLAIN or not reading.small)), None)
    if chosen is not None:                                  # as the search tells it
        others = [e for e in found if e is not chosen]
        more = words[:1] if plain and all(e.kind != likeliest for e in found) else []
        return (in_front(chosen, [*others, *more]), *explanations[1:])
    if first.cost > CLEAR if reading.small and changes != ["formula"] else not believed(first):
        return (in_front(line, found if reading.small else ()), *explanations[reading.small:])
    return (in_front(first, words if plain else ()), *explanations[1:])


def believed(found: Explanation) -> bool:
    """Whether what the search found is plain enough to be believed rather than a line that says little."""
    return found.cost <= PLAINLY[found.confidence]


def of_two(explanations: Sequence[Explanation], reading: Reading, wrong: Sequence[str],
           tape: Tape) -> tuple[Explanation, ...]:
    """Where the line alone does not put all right: another mistake there, or one that the line does not show."""
    first = explanations[0] if explanations else None
    kinds = kinds_by_line(reading, tape) or kinds_by_look(reading, tape)
    twice = same_change(reading)
    line = by_line(reading, (*kinds[:OTHERS], "two") if twice else ("two", *kinds[:OTHERS]), wrong, tape)
    if twice and first is not None and told_apart(first):
        return (in_front(first, all_of(line)), *explanations[1:])
    if twice and (first is None or first.kind == "two"):
        return (line, *explanations)
    if first is not None and reading.second is not None and first.cost > PLAIN - LITTLE and first.kind != "two":
        return (line, *explanations)
    two = reading.second is not None or reading.expected                     # else what is put there only covers it
    if first is not None and reading.small and set(wrong) <= set(first.params):              # by chance one for both?
        explanations = (in_front(first, [line]), *explanations[1:])
    return doubted(explanations, line if two else by_line(reading, kinds_by_look(reading, tape), wrong, tape))


def told_apart(found: Explanation) -> bool:
    """Whether these are plainly two mistakes, with two operations."""
    return found.kind == "two" and found.confidence == IS and len({p.op for p in found.places if p.op}) > 1


def same_change(reading: Reading) -> bool:
    """Whether two lines are wrong in the same way: one mistake, made twice."""
    first, second = reading.first_wrong, reading.second
    if first is None or second is None or not reading.expected or not reading.second_expected:
        return False
    words = words_of(reading)
    return bool(words) and words == changed(second.text, reading.second_expected)


def doubted(explanations: Sequence[Explanation], line: Explanation) -> tuple[Explanation, ...]:
    """What the search found where no line bears it out: only what is plain is sure, and the far-fetched comes last."""
    first = explanations[0] if explanations else None
    if first is None or first.cost > FAR[first.confidence] * (1 + (first.kind == "two")):
        return (line, *(replace(e, confidence=POSSIBLE) for e in explanations))
    return tuple(e if e.cost <= PLAIN else replace(e, confidence=POSSIBLE) for e in explanations)


def by_line(reading: Reading, kinds: Sequence[str], wrong: Sequence[str], tape: Tape) -> Explanation:
    """The line as an explanation of its own; with more than one kind that it may be called, each as a member."""
    line = reading.first_wrong
    assert line is not None
    rest = [name for name in wrong if name not in reading.repaired]
    instead = f" where {reading.expected} is right" if reading.expected else ""
    written = f"writing {line.text} ({line.where}){instead}"
    if not reading.certain:
        written = f"a mistake at {line.text} ({line.where}) or before it, perhaps {KINDS[kinds[0]]}"
    elif rest:
        written += f"; and by another mistake, since {listed(rest)} would still differ"
    else:
        written += f": {KINDS[kinds[0]]}"
    places = places_of(tape, reading, wrong)
    sure = (reading.how in REPAIRS or reading.how == "scale") and not (rest or reading.others)      # or it says more
    evidence = f"putting this line right makes {listed(reading.repaired)} agree" if reading.certain else \
        "nothing on the tape explains this line, and nothing that was tried in its place helps"
    op = next((place.op for place in places if place.op), "")
    found = Explanation(kinds[0], written, op, places, reading.expected, line.text if reading.certain else "",
                        tuple(wrong), evidence, IS if sure and len(kinds) == 1 else POSSIBLE)
    return replace(found, members=tuple(replace(found, kind=kind, sentence=KINDS[kind]) for kind in kinds[1:]))
