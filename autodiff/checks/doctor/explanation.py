"""What a mistake is called where people read it: the sentence, the place, the right step and the wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autodiff.checks.doctor.backprop import Backprop, Edge
from autodiff.checks.doctor.formulas import Formulas
from autodiff.checks.doctor.suspects import SURE, Problem, Suspect, said
from autodiff.record import Record
from autodiff.sites import locate

IS, POSSIBLE = "is", "possible"
FEW_NUMBERS = 4              # evidence of fewer numbers proves nothing
OP_SYMBOLS = {"sigmoid": "σ", "tanh": "tanh", "relu": "relu"}


@dataclass(frozen=True)
class Place:
    """Where a mistake was made.

    Attributes
    ----------
    op, tensor, operand : str
        The operation, what it made, and the operand whose gradient is wrong; "" where there is no single one.
    where, text : str
        The line of the forward pass, as file:line, and what stands there.
    part : bool
        Whether the operation is an unnamed part of the line that makes `tensor`.
    """

    op: str
    tensor: str
    operand: str
    where: str = ""
    text: str = ""
    part: bool = False

    def __str__(self) -> str:
        if not self.op:
            return self.tensor
        named = self.tensor.isidentifier() and not self.part
        what = f"{self.tensor} = {self.text}" if self.text and named else self.text or self.tensor
        return f"{what} ({self.where})" if self.where else what


@dataclass(frozen=True)
class Explanation:
    """Why a gradient differs: one mistake that reproduces what was given, and what cannot be told apart from it.

    Attributes
    ----------
    kind : str
        One of `autodiff.checks.mistakes.KINDS`.
    sentence : str
        The finding in words.
    op : str
        The operation at which the mistake was made.
    places : tuple of Place
        Where; several when the same mistake was made at each.
    correct, yours : str
        The right step, and the one that gives what was given, as formulas in the user's names; "" where there is none.
    params : tuple of str
        The gradients it explains.
    evidence : str
        What it rests on.
    confidence : str
        "is", or "possible" where few numbers or a far-fetched constant are all there is.
    members : tuple of Explanation
        The other explanations that give the same numbers here, plainest first.
    cost : float
        How far-fetched it is.
    """

    kind: str
    sentence: str
    op: str
    places: tuple[Place, ...]
    correct: str = ""
    yours: str = ""
    params: tuple[str, ...] = ()
    evidence: str = ""
    confidence: str = IS
    members: tuple[Explanation, ...] = ()
    cost: float = 1.0

    def __str__(self) -> str:
        return self.sentence

    def to_dict(self) -> dict[str, Any]:
        """As plain Python values."""
        return {"kind": self.kind, "sentence": self.sentence, "op": self.op,
                "places": [vars(place).copy() for place in self.places], "correct": self.correct, "yours": self.yours,
                "params": list(self.params), "evidence": self.evidence, "confidence": self.confidence,
                "members": [member.to_dict() for member in self.members], "cost": self.cost}


class Telling:
    """Puts suspects into words.

    Parameters
    ----------
    problem : Problem
        What is explained.
    formulas : Formulas
        Writes the steps.
    """

    def __init__(self, problem: Problem, formulas: Formulas) -> None:
        self.problem, self.formulas = problem, formulas
        self.bp: Backprop = problem.bp

    def explanation(self, suspect: Suspect, others: Sequence[Suspect] = ()) -> Explanation:
        """A suspect as an explanation; `others` are those that give the same."""
        if suspect.kind == "two":
            parts = [self.single(part) for part in suspect.parts]
            told = dict.fromkeys(part.sentence for part in parts)       # one, where the same was done at two places
            found = replace(
                parts[0], kind="two" if len(told) > 1 else parts[0].kind, sentence="; and ".join(told),
                op=parts[0].op, places=tuple(place for part in parts for place in part.places), cost=suspect.cost,
                correct="\n".join(filter(None, (part.correct for part in parts))),
                yours="\n".join(filter(None, (part.yours for part in parts))))
        elif suspect.parts:
            parts = [self.single(part) for part in suspect.parts]
            names = tuple(dict.fromkeys(self.name(p.param) for p in suspect.parts if p.param is not None))
            at = f", the same for {listed(names)}" if len(names) > 1 else ""
            found = replace(parts[0], sentence=parts[0].sentence + at, cost=suspect.cost,
                            places=tuple(dict.fromkeys(place for part in parts for place in part.places)))
        else:
            found = self.single(suspect)
        found = self.weighed(found)
        members = tuple(self.weighed(self.single(s) if not s.parts else self.explanation(s)) for s in others)
        return replace(found, members=members)

    def weighed(self, found: Explanation) -> Explanation:
        """With the gradients it explains, what it rests on, and how sure that is."""
        wrong = [(r, u) for r, u, w in zip(self.bp.wanted, self.problem.yours, self.problem.wrong, strict=True) if w]
        numbers = sum(int(np.size(u)) for _, u in wrong)
        names = tuple(self.name(r) for r, _ in wrong)
        one = found.kind != "two"                          # a pair may be another name of one mistake nobody listed
        sure = found.confidence == IS and one and numbers >= FEW_NUMBERS and found.cost <= SURE
        evidence = f"reproduces {listed(names)} to rounding, {numbers} number{'s' if numbers > 1 else ''}"
        return replace(found, params=names, evidence=evidence, confidence=IS if sure else POSSIBLE)

    # ---- one mistake

    def single(self, s: Suspect) -> Explanation:
        """One mistake at one place, or the same at several."""
        places = tuple(dict.fromkeys(self.places(s)))
        correct, yours = self.formulas.of(s)
        op = places[0].op if places else ""
        sentence = self.phrase(s, places)
        if s.everywhere and len(places) > 1:
            sentence += f", {s.everywhere}"
        return Explanation(s.kind, sentence, op, places, correct, yours, cost=s.cost,
                           confidence=POSSIBLE if s.guess else IS)

    def places(self, s: Suspect) -> list[Place]:
        """Where it happened."""
        if s.x is not None and s.out is not None:
            line = s.out if s.out is not s.x else s.x
            op = s.tag.partition(" ")[0] if s.out is s.x else (line.op.name if line.op else "")
            return [Place(op, self.name(line), self.name(s.x), line.where, text_of(line))]
        edges = list(s.rules or s.loose) or ([s.edge] if s.edge else [])
        found = [self.place(e) for e in edges]
        if s.param is not None:
            found.append(Place("", self.name(s.param), self.name(s.param)))
        return found

    def place(self, e: Edge) -> Place:
        """The place of one edge."""
        assert e.r.op is not None
        part = not self.formulas.has_name(e.r)
        operand = self.name(self.formulas.below(e))
        return Place(e.r.op.name, self.line_name(e.r), operand, e.r.where, text_of(e.r), part)

    def line_name(self, r: Record) -> str:
        """What the line makes that a record stands on."""
        while not self.formulas.has_name(r):
            outer = [e.r for e in self.bp.into.get(r, ())]
            if len(outer) != 1 or locate(outer[0].code, outer[0].lasti).line != locate(r.code, r.lasti).line:
                break
            r = outer[0]
        return self.name(r)

    def name(self, r: Record) -> str:
        """What a record is called."""
        if r in self.formulas.names:
            return self.formulas.names[r]
        text = text_of(r)
        return text if text and len(text) < 40 else f"the result of {r.op.name}" if r.op else said(r)

    def phrase(self, s: Suspect, places: Sequence[Place]) -> str:
        """What was done, to follow "what you get by"."""
        at = f" at {places[0]}" if places and places[0].op else ""
        place = places[0] if places else Place("", "", "")
        derivative = f"{OP_SYMBOLS.get(place.op, place.op)}′({place.operand})"
        param = self.name(s.param) if s.param is not None else place.operand
        gradient = f"d{place.operand}" if place.operand.isidentifier() else f"the gradient of {place.operand}"
        contribution = f"the contribution to {gradient}"
        told = s.told
        if told.startswith("in the forward pass"):
            return f"computing something else {told}{at}"
        if s.guess and s.param is None:
            return f"having {told}{at}"
        match s.kind:
            case "missing-local-derivative" if s.out is not None:
                return f"leaving out the derivative of {place.tensor} with respect to {place.operand}{at}"
            case "missing-local-derivative":
                return f"leaving out {derivative}{at}" + (f" (taking {told} as it is)" if told else "")
            case "wrong-argument":
                other = f", reading {told}" if told else ""
                return f"taking {derivative} at the wrong tensor{other}{at}"
            case "wrong-local-rule":
                return f"using a wrong formula for {derivative}{at}"
            case "double-derivative":
                what = told or derivative
                return f"multiplying by {what} once too often{at}"
            case "sign" if s.edge is None:
                return f"returning d{param} with the wrong sign"
            case "sign":
                return f"giving {contribution} the wrong sign{at}"
            case "scale" if s.edge is None:
                return f"a factor of {told} in d{param}"
            case "scale":
                return f"a factor of {told} in {contribution}{at}"
            case "missing-transpose":
                return f"using a matrix where its transpose is needed (or the reverse) in {contribution}{at}"
            case "transposed-result":
                return f"returning d{param} transposed" + (f" ({told})" if told else "")
            case "dropped-path" if s.edge is None:
                return f"leaving parts of d{param} at zero ({told})" if told else f"leaving d{param} at zero"
            case "dropped-path":
                return f"leaving out {contribution}{at}" + (f": {told}" if told else "")
            case "overwritten-accumulation":
                return f"overwriting d{param or place.operand} where its parts must be added up" \
                    + (f": {told}" if told else "") + at
            case "treated-as-constant":
                held = place.text if place.part and place.text else place.tensor
                return f"holding {held} constant, as if it did not depend on {place.operand}{at}"
            case "missing-broadcast-reduction":
                over = f" ({told})" if told else ""
                return f"not summing d{param} over the axis along which {param} was broadcast{over}{at}"
            case "wrong-axis":
                return f"d{param} along the wrong axis: {told}{at}" if told else f"summing along the wrong axis{at}"
            case "softmax-diagonal":
                return f"using a wrong Jacobian of the softmax{at}; the right rule is dz = p * (dp - Σ dp * p)"
            case "stale-value":
                return f"using {param} after it was updated (a step of {told} along its gradient){at}"
            case "swapped":
                return f"exchanging gradients: {told}"
            case "missing-term":
                return f"leaving out the term {place.operand} of the loss{at}"
            case "extra-term":
                return f"adding {told} to d{param}, which the recorded loss has not"
            case "wrong-operand" if s.param is not None:
                return f"returning {told} as d{param}"
            case "wrong-operand":
                return f"using {told or 'another tensor'} in {contribution}{at}"
            case "scatter" if s.param is not None:
                return f"putting the parts of d{param} in the wrong places ({told})"
            case "scatter":
                return f"putting the gradients of indexed elements in the wrong place{f' ({told})' if told else ''}{at}"
        return f"{s.kind}{at}"


def text_of(r: Record) -> str:
    """The source of a record's expression, in one line."""
    return " ".join(locate(r.code, r.lasti).text.split())


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nothing"
