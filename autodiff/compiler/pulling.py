"""The rule of one step of a loop, recorded: the step run again, and walked back."""

from __future__ import annotations

from collections.abc import Iterable
from sys import _getframe
from typing import Any

from autodiff.compiler.recorded import run_again
from autodiff.compiler.schedule import VIEWS
from autodiff.compiler.steps import Body, numbered
from autodiff.compiler.tracing import Output, is_array, traced
from autodiff.kinds import select
from autodiff.program.passes import Operand, computed, fills
from autodiff.record import Record, Variable
from autodiff.tape import walk_back
from autodiff.tensor import Tensor

NAME = "ad.scan"


class Pull:
    """The rule of one step, recorded: the step run again, and walked back.

    Attributes
    ----------
    leaves : list of Record
        Those that stand for the step's own.
    gs : dict of int to Record
        Those that stand for the cotangents of outputs.
    cotangents, targets, like : list
        What is found, of which leaf of the step, and its shape and dtype.
    captured : list of Record
        Arrays that rules made.
    images : dict of Record to Record
        For each result of the step the one that stands for it here.
    """

    def __init__(self, body: Body, present: frozenset[int], wanted: tuple[bool, ...]) -> None:
        self.body = body
        k = len(body.carry)
        own = body.leaves
        numbers = sorted(present)
        targets = [i for i, r in enumerate(own) if r.value.dtype.kind == "f" and (i < k or wanted[i])]
        targets = [i for i in targets if i >= k or i in present]
        self.images: dict[Record, Record] = {}

        def pull(inputs: list[Any], gs: list[Any]) -> list[Any]:
            held: dict[Any, Any] = dict(zip(own, inputs))
            run_again(body.program, held)
            self.images = {r: t.record for r, t in held.items() if isinstance(t, Tensor)}
            for r, t in held.items():
                if type(t) is tuple and isinstance(t[0], Tensor):
                    self.images[r] = t[0].record.inputs[0]            # what the selections select from
            seeds: dict[Record, Any] = {}
            for i, g in zip(numbers, gs):
                y = held.get(body.outputs[i]) if isinstance(body.outputs[i], Record) else None
                if isinstance(y, Tensor) and y.record.requires_grad:
                    seeds[y.record] = seeds[y.record] + g if y.record in seeds else g
            records = [inputs[i].record for i in targets]
            found = walk_back(seeds, records, record=True) if seeds else {}
            return [found.get(r) for r in records]

        trace = traced(pull, ([r.value for r in own], [body.like[i] for i in numbers]), {}, is_array, NAME)
        self.leaves = trace.inputs[:len(own)]
        self.gs = dict(zip(numbers, trace.inputs[len(own):]))
        for leaf, r in (*zip(self.leaves, own), *[(leaf, body.outputs[i]) for i, leaf in self.gs.items()]):
            name = r.name if isinstance(r, Record) else None
            leaf.label = name if r in own or not name else f"d{name}"
        found = list(trace.program.outputs.values())
        self.cotangents: list[Operand] = []
        self.targets: list[int] = []
        for i, c in zip(targets, trace.result):
            if isinstance(c, Output) or i < k:
                zero = own[i].value.dtype.type(0)
                self.cotangents.append(found[c.number] if isinstance(c, Output) else fills(zero, own[i]))
                self.targets.append(i)
        self.like = [own[i].value for i in self.targets]
        self.captured = list(trace.captured)
        self.given: dict[int, Record] = {}              # what the loop stacked, by its output's number

    def given_instead(self) -> dict[Record, Operand]:
        """What need not be computed again, because the loop stacked it."""
        body, instead = self.body, {}
        places = dict(zip(body.leaves, self.leaves))
        selections = [r for r in numbered(self.cotangents).records if r.op is select]
        for i in range(len(body.carry), body.sums):
            r = body.outputs[i]
            if not isinstance(r, Record) or r in body.xs or r in body.constants:
                continue
            image = places.get(r) or self.images.get(r)
            leaf = Variable(r.value, r.value.dtype.kind == "f", _getframe(), r.name)
            found = [image] if image is not None else []
            if r.op is select:
                whole = self.images.get(r.inputs[0])
                found += [s for s in selections if s.inputs[0] is whole and s.options == r.options]
            for x in found:
                if x not in instead:
                    instead[x] = leaf
                    self.given[i] = leaf
        return instead

    def met(self) -> list[Record]:
        """The results of the step that meet a cotangent: what to keep, so that nothing is computed twice."""
        body = self.body
        found: dict[Record, None] = {}
        records = numbered(self.cotangents).records
        varying = reached(records, self.leaves[:len(body.carry) + len(body.xs)])
        pulled = reached(records, self.gs.values())
        own = {image: r for r, image in self.images.items() if r.op is not None}
        pending = [x for r in records if r in pulled for x in r.inputs]
        pending += [c for c in self.cotangents if c not in pulled]
        seen = set(pulled)
        while pending:
            x = pending.pop()
            if not isinstance(x, Record) or x in seen or x.op is None or x not in varying:
                continue
            seen.add(x)
            if x.op is select and x.inputs[0] in own and x not in own:
                found[computed(select, own[x.inputs[0]], value=x.value, **x.options)] = None
            elif x in own and x.op not in VIEWS and not isinstance(x.value, tuple):
                found[own[x]] = None
            else:
                pending.extend(x.inputs)
        return [r for r in found if r not in body.outputs[len(body.carry):body.sums]]


def reached(records: Iterable[Record], sources: Iterable[Record]) -> set[Record]:
    """The sources, and what depends on them."""
    found = set(sources)
    for r in records:
        if not found.isdisjoint(x for x in r.inputs if isinstance(x, Record)):
            found.add(r)
    return found
