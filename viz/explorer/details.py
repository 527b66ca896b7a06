"""What the panel tells of a node: formulas, Jacobians and rules from `autodiff.derivation`, numbers from the tape."""

from __future__ import annotations

import linecache
import textwrap
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np

from autodiff import Tape, Tensor
from autodiff.derivation.derivation import Derivation
from autodiff.derivation.formulas import Formulas
from autodiff.derivation.jacobians import Jacobian
from autodiff.derivation.mathml import SPACE, MathML
from autodiff.derivation.notation import Expr, Infix, Partial
from autodiff.derivation.steps import Derived
from autodiff.derivation.structure import MEANING
from autodiff.derivation.symbols import symbol_of
from autodiff.record import Record
from viz.build import site_of
from viz.cards import bytes_text
from viz.explorer.cards import sampled
from viz.graph import Graph, LayerNode, OpNode, TensorNode
from viz.text import shown
from viz.values import number, summarized

MOST_RECORDS = 2_000        # of a tape whose Jacobians are worked out
MOST_DERIVED = 400          # and of one whose gradients are derived
CORNER = 6                  # rows and columns that are shown of a large array
T = TypeVar("T")


@dataclass(slots=True)
class Behind:
    """What a picture was made of: the tape, and what stands behind each node.

    Attributes
    ----------
    tape : Tape
    names : dict of Record to str
        As in the picture.
    held : dict of str to Any
        By the ids of nodes: a record, a list of them (a folded layer), or an array.
    gradients : dict of Record to ndarray
    report : Report or None
        From `ad.compare`.
    """

    tape: Tape
    names: Mapping[Record, str]
    held: Mapping[str, Any]
    gradients: Mapping[Record, Any]
    report: Any = None


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is told: entries of an array that is shown whole, and characters of derivations."""

    entries: int
    derivations: int


@dataclass(slots=True)
class Details:
    """The panels of all nodes, by their ids, and what they leave out."""

    panels: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Teller:
    """Writes the panels of a graph, within one budget or another; formulas are worked out once."""

    def __init__(self, graph: Graph, behind: Behind) -> None:
        self.graph, self.behind = graph, behind
        self.known: dict[Record, dict[str, Any]] = {}
        self.derived_as: dict[str, tuple[str, str]] = {}
        output = behind.tape.outputs[0]
        self.loss = output
        carded = {r: t.name for t in graph.tensors.values() if isinstance(r := behind.held.get(t.id), Record)}
        self.names = {**carded, output: behind.names[output]}
        self.mathml = MathML()
        leaves = [r for r in behind.tape.all if r.op is None and r.requires_grad]
        self.records = len(behind.tape.all)
        self.derived = attempt(lambda: Derived(Tensor.of(output), leaves[0], self.names, False)) \
            if leaves and behind.gradients and self.records <= MOST_RECORDS else None
        self.formulas = self.derived.forward if self.derived else Formulas(
            {r: symbol_of(name, r) for r, name in self.names.items()}, lambda: "c")
        self.entries = {} if behind.report is None else {entry.name: entry for entry in behind.report}

    def details(self, budget: Budget) -> Details:
        """What is told of each node, and notes on what is left out."""
        self.budget = budget
        found = Details()
        for t in self.graph.tensors.values():
            found.panels[t.id] = self.tensor(t)
        for op in self.graph.ops.values():
            found.panels[op.id] = self.layer(op) if isinstance(op, LayerNode) else self.operation(op)
        if self.records > MOST_RECORDS:
            found.notes.append(f"Jacobians and rules are left out: the tape has more than {MOST_RECORDS:,} records.")
        self.derivations(found)
        if any(p.get("value", {}).get("cut") for p in found.panels.values()):
            found.notes.append(f"Of an array of more than {self.budget.entries} entries, the corner and a summary are "
                               "in this file.")
        return found

    # ---- nodes

    def tensor(self, node: TensorNode) -> dict[str, Any]:
        """A tensor's panel."""
        held = self.behind.held[node.id]
        r = held if isinstance(held, Record) else None
        value = r.value if r is not None else held
        panel: dict[str, Any] = {"kind": "tensor", "title": node.name, "role": node.role,
                                 "chips": [node.role, node.value.shape_text, node.value.dtype]}
        panel["facts"] = [["bytes", bytes_text(node.bytes)]] if node.bytes else []
        if not isinstance(value, tuple):
            panel["value"] = table(value, self.budget.entries)
        if r is None:
            return panel
        if r in self.behind.gradients and node.gradient is not None:
            panel["gradient"] = table(self.behind.gradients[r], self.budget.entries)
            panel["of"] = f"∂{shown(self.names[self.loss])}/∂{shown(node.name)}"
            panel["ofMath"] = attempt(lambda: self.math(Partial(self.formulas.of(self.loss), self.formulas.of(r))))
        if r.op is not None:
            panel["chips"].append(r.op.name)
        panel |= self.told(r) | self.source(r)
        if node.name in self.entries:
            panel["manual"] = self.manual(self.entries[node.name])
        return {key: part for key, part in panel.items() if part not in (None, [], "")}

    def operation(self, node: OpNode) -> dict[str, Any]:
        """An operation's panel: what is told of its result."""
        r: Record = self.behind.held[node.id]
        panel: dict[str, Any] = {"kind": "op", "title": node.op, "chips": ["operation", f"gives {node.result}"]}
        panel["facts"] = [[key, shown(repr(value), 60)] for key, value in node.options.items()]
        panel["facts"] += [["multiply-adds", f"{node.cost:,}"]] if node.cost else []
        card = self.outcome(node.id)
        if card is not None:
            panel["result"] = card
        else:
            panel |= self.told(r) | self.source(r)
        if said := [line for place, line in self.suspicions() if place == node.result]:
            panel["suspect"] = said
        return {key: part for key, part in panel.items() if part not in (None, [], "")}

    def outcome(self, op: str) -> str | None:
        """The card an operation leads to; that of one on the way to another is the other's."""
        while op in self.graph.ops:
            op = next((e.target for e in self.graph.edges if e.source == op), "")
        return op or None

    def layer(self, node: LayerNode) -> dict[str, Any]:
        """A folded layer's panel."""
        facts = [["kind", node.kind], ["sizes", node.sizes], ["parameters", f"{node.parameters:,}"],
                 ["learned here", shown(", ".join(node.names), 400)],
                 ["folded", f"{node.hidden:,} tensors and operations"]]
        title = node.name + (f" × {node.count:,}" if node.count > 1 else "")
        panel: dict[str, Any] = {"kind": "layer", "title": title, "chips": ["layer"],
                                 "facts": [fact for fact in facts if fact[1]]}
        if node.norm is not None:
            what = "outputs" if node.of_output else "parameters"
            values = sampled(node.bars or (node.norm,))
            few = f", {len(values)} of {len(node.bars):,}" if len(values) < len(node.bars) else ""
            panel["norms"] = {"of": f"gradient norm of the {what}{few}", "values": list(map(number, values))}
        records = self.behind.held[node.id]
        return panel | self.source(records[0])

    # ---- what is told

    def told(self, r: Record) -> dict[str, Any]:
        """A record's formula, its local Jacobians, and its rule."""
        if r not in self.known:
            self.known[r] = {} if r.op is None else self.worked_out(r)
        return self.known[r]

    def worked_out(self, r: Record) -> dict[str, Any]:
        """The same, for the first time."""
        formulas = self.formulas
        own = formulas.symbols.get(r)
        formula = attempt(lambda: formulas.formula(r))
        found: dict[str, Any] = {}
        if formula is not None:
            found["formula"] = attempt(lambda: self.math(formula if own is None else Infix("=", own, formula)))
        d = self.derived
        if d is None or r not in d.graph.edges:
            return found
        jacobians, rules = [], []
        for x in d.graph.edges[r]:
            if (j := attempt(partial(d.jacobian, r, x))) is not None:
                jacobians.append(self.jacobian(j, d.symbols[r], d.symbols[x]))
            rules.append(attempt(partial(self.rule, d, r, x)))
        return found | {"jacobians": jacobians, "rules": [rule for rule in rules if rule]}

    def rule(self, d: Derived, r: Record, x: Record) -> str:
        """What a record contributes to the gradient of an input; all of it, if nothing else uses that."""
        return self.math(Infix("=" if len(d.graph.users(x)) == 1 else "+=", d.deltas[x], d.term(r, x)))

    def jacobian(self, j: Jacobian, of: Expr, wrt: Expr) -> dict[str, str]:
        """A local Jacobian: what it is, its shape, its structure."""
        left = Partial(of, wrt)
        whole = Infix("=", left, j.written) if j.written is not None else left
        return {"math": attempt(lambda: self.math(whole)) or self.math(left), "per": j.per,
                "shape": f"{j.shape[0]:,} × {j.shape[1]:,}", "structure": MEANING.get(j.structure, j.structure)}

    def derivations(self, found: Details) -> None:
        """The derivations of the parameters, the short ones first, as far as there is room."""
        nodes = [t for t in self.graph.tensors.values() if t.role == "parameter" and t.gradient is not None]
        room, left = self.budget.derivations, []
        for node in reversed(nodes):
            if room <= 0 or self.records > MOST_DERIVED:
                left.append(node.name)
                continue
            kind, text = self.derived_as.get(node.id) or self.derivation(node)
            self.derived_as[node.id] = kind, text
            room -= len(text)
            if room >= 0:
                found.panels[node.id][kind] = text
            else:
                left.append(node.name)
        if left:
            found.notes.append(f"The derivations of {len(left)} parameters are left out; ad.derive gives them.")

    def derivation(self, node: TensorNode) -> tuple[str, str]:
        """A parameter's derivation, as `ad.derive` gives it, or why there is none."""
        try:
            derived = copy(self.steps)
            derived.wrt = self.behind.held[node.id]
            return "derivation", plain(self.mathml.document(Derivation(derived).blocks))
        except Exception as error:              # the rest of the page is right, and says what it can
            return "underivable", shown(str(error) or repr(error), 400)

    @cached_property
    def steps(self) -> Derived:
        """What all derivations have in common."""
        first = next(r for r in self.behind.tape.all if r.op is None and r.requires_grad)
        return Derived(Tensor.of(self.loss), first, self.behind.tape.given, simplify=True)

    def source(self, r: Record) -> dict[str, Any]:
        """The user's line."""
        site = site_of(r)
        if site is None:
            return {}
        end = min(site.end_line, site.line + 7)
        lines = [linecache.getline(site.file, n).rstrip() for n in range(site.line, end + 1)]
        return {"source": {"where": str(site), "text": textwrap.dedent("\n".join(lines)).strip()}}

    # ---- the user's own derivation

    def manual(self, entry: Any) -> dict[str, Any]:
        """The gradient that the user gave, the verdict, and why."""
        same_shape = entry.worst is not None or entry.verdict == "agrees"
        error = f"the largest error is {number(float(entry.max_error))}" if same_shape else \
            f"its shape is {np.shape(entry.yours)}, and should be {entry.shape}"
        said = [entry.note] if entry.note else []
        for explanation in entry.explanations[:2]:
            said += sentences(explanation)
        return {"verdict": entry.verdict, "error": error, "worst": list(entry.worst or ()), "said": said,
                "yours": table(entry.yours, self.budget.entries)}

    def suspicions(self) -> list[tuple[str, str]]:
        """What the doctor says, by the name of the result it says it of."""
        report = self.behind.report
        first = report.explanations[:1] if report is not None else ()
        return [(place.tensor, line) for e in first for place in e.places for line in sentences(e)]

    def math(self, x: Expr) -> str:
        """A formula as MathML for a page."""
        return plain(self.mathml.math(x, block=True))


def sentences(explanation: Any) -> list[str]:
    """What an explanation says."""
    equals = "equals" if explanation.confidence == "is" else "may equal"
    return [f"What was given {equals} what comes from {explanation.sentence}.",
            *(f"Correct: {line}" for line in explanation.correct.splitlines()),
            *(f"Yours equals: {line}" for line in explanation.yours.splitlines())]


def plain(markup: str) -> str:
    """Without the name space that a page does not need."""
    return markup.replace(f' xmlns="{SPACE}"', "").replace(' xmlns="http://www.w3.org/1999/xhtml"', "")


def attempt(make: Callable[[], T]) -> T | None:
    """What it makes; None where it cannot: a user's rule may do whatever works on arrays."""
    try:
        with np.errstate(all="ignore"):
            return make()
    except Exception:
        return None


def table(value: Any, entries: int) -> dict[str, Any]:
    """An array's entries in rows, all or those of a corner, and what they are like.

    >>> table(np.array([[1.0, -2.0]]), 64)["rows"]
    [[1.0, -2.0]]
    >>> found = table(np.arange(600.0).reshape(20, 30), 64)
    >>> found["shape"], found["cut"], len(found["rows"]), found["said"]
    ('20×30', True, 6, 'min 0, max 599, mean 300, norm 8475')
    """
    a = np.asarray(value)
    shape = "×".join(map(str, a.shape)) or "scalar"
    rows = a.reshape(-1, a.shape[-1] if a.ndim else 1) if a.size else np.zeros((0, 0), a.dtype)
    cut = a.size > entries
    part = rows[:CORNER, :CORNER] if cut else rows
    found: dict[str, Any] = {"shape": shape, "cut": cut, "rows": [[entry(v) for v in row] for row in part.tolist()],
                             "flat": a.ndim > 2}
    if a.dtype.kind not in "biufc" or not a.size:
        return found
    summary = summarized(a)
    with np.errstate(all="ignore"):
        size = np.abs(a.astype(np.complex128 if a.dtype.kind == "c" else np.float64))
        found["largest"] = entry(float(np.max(size, initial=0.0, where=np.isfinite(size))))
        if cut:
            mean = a.mean(dtype=np.complex128 if a.dtype.kind == "c" else np.float64)
            stats = {"mean": complex(mean) if a.dtype.kind == "c" else float(mean), "norm": summary.norm}
            if a.dtype.kind != "c":
                stats = {"min": float(a.min()), "max": float(a.max())} | stats
            found["said"] = ", ".join(f"{what} {number(v)}" for what, v in stats.items())
    if summary.trouble:
        found["trouble"] = summary.trouble
    return found


def entry(v: Any) -> Any:
    """A number as JSON has it; what that has not, in words."""
    if isinstance(v, bool) or (isinstance(v, int) and abs(v) < 2 ** 53):
        return v
    if isinstance(v, float):
        return v if abs(v) < float("inf") else number(v)
    return number(v) if isinstance(v, complex) else str(v)
