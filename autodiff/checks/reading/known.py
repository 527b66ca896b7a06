"""What a tape knows: every value, cotangent, local derivative and step of the gradient, found again by its numbers.

Two arrays of random data have the same direction only if they are the same quantity up to a factor. So an array is
known by its products with two fixed random vectors, divided by its norm: a look-up among thousands costs no more
than reading the array. The factor is told apart from the match: a person may divide by m at the end.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.checks.reading.quantities import (
    CLOSE,
    COTANGENT,
    INNER,
    LOCAL,
    RANK,
    STEP,
    VALUE,
    Known,
    Match,
    close,
    direction,
    directions,
)
from autodiff.checks.reading.samples import Samples
from autodiff.checks.reading.spelled import written_out
from autodiff.forward import contribution
from autodiff.kinds import At
from autodiff.ops.shapes import un_broadcast
from autodiff.record import Record
from autodiff.reverse import gradients
from autodiff.tape import Tape, behind, walk_back
from autodiff.tensor import Tensor

FEW = 12                  # pairs whose Jacobians are known
WIDEST = 16               # up to this size of a sample, Jacobians are known too
STEPS = 200                # of a loop
FEWEST = 3                 # numbers of a sample that is recognised by itself
LONGEST = 2e5              # elements of a sequence
LARGEST = 2e7             # elements of all that is known; beyond it the rarer kinds are left out
PREFIX = re.compile(r"^(?:delta_?|d[lLJEC]_?d_?|grad_?|bar_?|[dgGD]_?|∂|δ)(?=.)")
RATIO = re.compile(r"d(\w+)_d(\w+)")         # what a derivative of one by another is called
SUFFIX = re.compile(r"(?<=.)(?:_?grad|_?bar|_g|_d)$")


@dataclass
class Index:
    """The quantities of one size, by their direction."""

    first: Any = None                                      # sorted
    second: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    known: list[tuple[Known, bool]] = field(default_factory=list)
    order: Any = None                                      # in which `first` is


class Knowledge:
    """All that a tape knows, at one point, in float64.

    Parameters
    ----------
    tape : Tape
        What stands behind the loss.
    values : dict of Record to array, optional
        Where: other values for some leaves.
    """

    def __init__(self, tape: Tape, values: Mapping[Record, Any] | None = None) -> None:
        self.tape = tape
        self.loss = tape.outputs[0]
        self.path = [r for r in tape.all if r.requires_grad and not isinstance(r.value, tuple)]
        self.cotangents: dict[Record, Any] = {}
        self.roots: dict[Record, Record] = {}              # the record of each cotangent
        self.known: list[Known] = []
        self.wanted: set[Record] = set()                   # whose gradients are returned
        self.replayed(values or {})
        self.collect()
        self.samples = Samples(self.known)
        self.elements: Any = None                          # of all leaves, sorted
        self.spellings: dict[str, str] | None = None       # the names as they are, by these in small letters
        self.indices: dict[int, Index] = {}                # made when a size is asked for
        self.sizes: dict[int, list[Known]] = {}
        for known in self.known:
            if not known.parts:
                self.sizes.setdefault(known.value.size, []).append(known)

    # ---- collecting

    def replayed(self, values: Mapping[Record, Any]) -> None:
        """Values and cotangents in float64."""
        loss, tensors = Tensor.of(self.loss), [Tensor.of(r) for r in self.path]
        with np.errstate(all="ignore"):
            try:
                found = gradients(loss, tensors, record=True)
                self.whole = Tape(loss, *found)
                self.roots = {r: g.record for r, g in zip(self.path, found, strict=True)}
            except Exception:                    # a user's rule may do whatever works on arrays: at this point only
                self.whole, values = self.tape, {}
                self.cotangents = dict(zip(self.path, gradients(loss, tensors), strict=True))
        self.values = self.at(values)
        self.cotangents |= {r: self.values[root] for r, root in self.roots.items()}

    def at(self, given: Mapping[Record, Any]) -> dict[Record, Any]:
        """The values of the records where some leaves have others, cotangents included if they are on a tape."""
        values: dict[Record, Any] = {}

        def keep(r: Record, y: Any) -> Any:
            return values.setdefault(r, y)

        leaves: dict[Any, Any] = {Tensor.of(r): value for r, value in given.items()}
        with np.errstate(all="ignore"):
            self.whole.replay(leaves, dtype=np.float64, each=keep, strict=False)
        for r in self.whole.all:
            if r.op is None:
                values[r] = np.asarray(given.get(r, r.value), None if r.value.dtype.kind in "biu" else np.float64)
        return values

    def collect(self) -> None:
        """Everything known, the surest first."""
        names = {r: self.tape.given.get(r) or r.name or "" for r in self.tape.all}
        self.names = names
        room = LARGEST
        for r in self.path:
            room -= self.add(self.cotangents[r], COTANGENT, r, f"∂loss/∂{names[r]}" if names[r] else "", names[r],
                             (self.roots[r],) if r in self.roots else ())
        for r in self.tape.all:
            if r in self.values and not isinstance(self.values[r], tuple):
                room -= self.add(self.values[r], VALUE, r, names[r], names[r], (r,))
        for r, d in self.locals():
            room -= self.add(d, LOCAL, r, f"the derivative of {r.op.name if r.op else ''}", "")
        with contextlib.suppress(Exception):
            for r, d in self.jacobians(self.path):
                room -= self.add(d, LOCAL, r, f"the Jacobian of {names[r] or 'the softmax'}", "")
        self.sequences()
        self.passed_on()
        with contextlib.suppress(Exception):               # a form that does not fit this tape is left out
            room -= self.spelled_out()
        forward, ends = set(self.tape.all), set(self.roots.values())
        for r, value in self.values.items():
            if r not in forward and r not in ends and not isinstance(value, tuple) and room > 0:
                room -= self.add(value, STEP, r, "", "", (r,))
        for r in self.path:                                # of the derivatives of softmax, norms and standardising
            x, g = np.asarray(self.values[r]), np.asarray(self.cotangents[r])
            if room > 0 and x.ndim:
                room -= self.add(x * g, STEP, r, "", "")
                for axis in range(x.ndim):
                    inner = (x * g).sum(axis=axis, keepdims=True)
                    room -= self.add(inner, INNER, r, "", "") + self.add(x * inner, STEP, r, "", "")
                    room -= self.add(g - g.mean(axis=axis, keepdims=True), STEP, r, "", "")

    def add(self, value: Any, kind: str, r: Record, called: str, name: str, made: tuple[Record, ...] = ()) -> int:
        """Enter a quantity; returns its size."""
        value = np.asarray(value)
        if value.dtype.kind not in "fbiu":
            return 0
        self.known.append(Known(value, kind, r, called, made, frozenset({name} if name else ())))
        return int(value.size)

    def jacobians(self, path: Sequence[Record]) -> Iterator[tuple[Record, Any]]:
        """∂y/∂x sample by sample, where y is x normalised: by softmax, to unit length, to mean 0 and deviation 1.

        Found by walking back from y with each unit vector; samples are rows, or columns.
        """
        pairs = [(y, x) for y in path if y.op is not None and y.op.name in ("softmax", "divide") for x in
                 [x for x in reversed(path) if x.serial < y.serial and self.normalises(y, x)][:3]]
        for y, x in pairs[:FEW]:
            shape = np.shape(y.value)
            for axis in (-1, 0):
                d = shape[axis]
                if not 1 < d <= WIDEST:
                    continue
                rows = []
                for k in range(d):
                    seed = np.zeros(shape)
                    np.moveaxis(seed, axis, 0)[k] = 1
                    g = walk_back({y: seed.astype(y.value.dtype)}, [x]).get(x, np.zeros(shape))
                    rows.append(np.moveaxis(g, axis, -1))
                yield y, np.moveaxis(np.stack(rows), 0, -2)

    @staticmethod
    def normalises(y: Record, x: Record) -> bool:
        """Whether y is x divided by something made of x, or its softmax."""
        if np.ndim(y.value) not in (1, 2) or np.shape(y.value) != np.shape(x.value) or y.op is None:
            return False
        if y.op.name == "softmax":
            return y.inputs[0] is x
        if y.op.name != "divide" or not all(isinstance(r, Record) for r in y.inputs):
            return False
        over = y.inputs[1]
        return np.size(over.value) < np.size(y.value) and x in set(behind([over])) and x in set(behind([y.inputs[0]]))

    def spelled_out(self) -> int:
        """What is known if composite operations are written out; returns its size."""
        twin = written_out(self.tape, self.values)
        if twin is None:
            return 0
        records = [r for r in behind([twin.record], differentiable=True) if not isinstance(r.value, tuple)]
        found = gradients(twin, [Tensor.of(r) for r in records], record=True)
        size = 0
        for r, g in zip(records, found, strict=True):
            size += self.add(g.record.value, COTANGENT, r, "", "") + self.add(r.value, VALUE, r, "", "")
        for y, d in self.jacobians(records):
            size += self.add(d, LOCAL, y, "the Jacobian of the softmax", "")
        return size

    def locals(self) -> Iterator[tuple[Record, Any]]:
        """The partial derivatives of elementwise operations."""
        for r in self.path:
            for partial in r.op.partials if r.op else ():
                if callable(partial):
                    xs = [self.values[x] if isinstance(x, Record) else x for x in r.inputs]
                    with np.errstate(all="ignore"):
                        try:
                            d = partial(self.values[r], *xs, **r.options)
                        except Exception:                  # theirs may be anything
                            continue
                    if np.shape(d) == np.shape(self.values[r]):
                        yield r, d

    def sequences(self) -> None:
        """The same quantity of several records: the steps of a loop, the layers of a net, first to last and back."""
        groups: dict[Any, list[Record]] = {}
        for r in self.tape.all:
            if r in self.values and not isinstance(self.values[r], tuple):
                name = self.names[r]
                groups.setdefault(("name", name.rstrip("0123456789").rstrip("_")) if name else
                                  ("line", r.code, r.lasti) if r.op else r, []).append(r)
        self.groups = [g for g in groups.values() if len(g) > 1]
        local = dict(self.locals())
        for whole in self.groups:
            for kind, source in ((COTANGENT, self.cotangents), (VALUE, self.values), (LOCAL, local)):
                group = [r for r in whole if r in source and r.op is not None]
                if len(group) < 2:
                    continue
                parts = tuple(np.asarray(source[r]) for r in group)
                names = frozenset(self.names[r] for r in group if self.names[r])
                called = self.known_as(kind, names)
                self.known.append(Known(parts[0], kind, group[0], called, (), names, parts))
                if sum(part.size for part in parts) > LONGEST or len({part.shape for part in parts}) > 1:
                    continue
                steps = np.stack(parts)
                for part in (slice(None), slice(None, None, -1), slice(1, None), slice(None, 0, -1), slice(None, -1),
                             slice(-2, None, -1)):
                    ordered = steps[part]
                    if len(ordered) > 1:
                        self.known.append(Known(ordered, kind, group[0], called, (), names))
                        if ordered.ndim > 1:               # as a loop over samples sees it, within which time runs
                            self.known.append(Known(np.swapaxes(ordered, 0, 1), kind, group[0], called, (), names))

    def passed_on(self) -> None:
        """What each step of a loop hands to one of its inputs: its part of the gradient there."""
        loops: dict[Any, list[Record]] = {}
        for r in self.path:
            if r.op is not None and not any(isinstance(x, Record) and isinstance(x.value, tuple) for x in r.inputs):
                loops.setdefault((r.code, r.lasti), []).append(r)
        for loop in loops.values():
            if len(loop) < 2 or len(loop) > STEPS:
                continue
            for i, x in enumerate(loop[0].inputs):
                if isinstance(x, Record):
                    found = [(r.inputs[i], part) for r in loop if (part := self.part(r, i)) is not None]
                    whole = tuple(part for _, part in found)
                    summed = tuple(np.asarray(un_broadcast(part, np.shape(x.value))) for x, part in found)
                    if len(found) > 1:
                        self.known.append(Known(whole[0], STEP, loop[0], "", (), frozenset(), whole))
                        if any(a.shape != b.shape for a, b in zip(whole, summed, strict=True)):
                            self.known.append(Known(summed[0], STEP, loop[0], "", (), frozenset(), summed))

    def part(self, r: Record, i: int) -> Any:
        """What a record hands to its input `i`; None if that is nothing, or cannot be said."""
        x = r.inputs[i] if i < len(r.inputs) else None
        if not isinstance(x, Record) or not x.requires_grad or r.op is None:
            return None
        operands = [self.values[y] if isinstance(y, Record) else y for y in r.inputs]
        try:
            part = contribution(r.op, i, self.cotangents[r], self.values[r], operands, r.options)
            return None if part is None or isinstance(part, At) else np.asarray(part)
        except Exception:                                   # a user's rule may fail on other dtypes
            return None

    @staticmethod
    def known_as(kind: str, names: frozenset[str]) -> str:
        """What to call a sequence."""
        name = min(names, default="")
        return f"∂loss/∂{name}" if name and kind == COTANGENT else name

    # ---- finding

    def index(self, size: int) -> Index | None:
        """The quantities of this size, as they are and turned (samples in columns); None if there are none."""
        if size not in self.sizes:
            return None
        if size not in self.indices:
            forms = [(known, turned) for known in self.sizes[size]
                     for turned in ((False, True) if known.value.ndim > 1 and min(known.value.shape) > 1 else (False,))]
            rows = np.stack([np.ravel(np.moveaxis(k.value, -1, 0) if turned else k.value) for k, turned in forms])
            kept, first, second, norms = directions(rows)
            known = [form for form, keep in zip(forms, kept, strict=True) if keep]
            order = np.argsort(first)
            self.indices[size] = Index(first[order], second.tolist(), norms.tolist(), known, order)
        return self.indices[size]

    def matches(self, value: Any) -> list[Match]:
        """The quantities that this array equals up to a factor, the surest first."""
        found: list[Match] = []
        index, mine = self.index(np.size(value)), direction(value)
        if mine is None and np.size(value) > 1 and np.all(value):
            found = [Match(k, 1.0) for k in self.known if k.value.size == np.size(value) and close(k.value, value)]
        if index is None or mine is None:
            return found
        low, high = np.searchsorted(index.first, (mine[0] - CLOSE, mine[0] + CLOSE))
        for i in index.order[low:high]:
            if abs(index.second[i] - mine[1]) < CLOSE:
                known, turned = index.known[i]
                found.append(Match(known, mine[2] / index.norms[i], turned))
        return sorted(found, key=lambda m: (abs(m.factor - 1) > CLOSE, RANK[m.known.kind] >= RANK[STEP], m.turned,
                                           RANK[m.known.kind]))

    def recognised(self, value: Any, among: Sequence[Known] | None = None) -> bool:
        """Whether this is one of these quantities, by default of all, a sample or a step of one, or steps together."""
        if self.samples.holder(value, among) is not None:
            return True
        for axis, n in enumerate(np.shape(value) if np.ndim(value) > 1 else ()):
            if np.size(value) >= FEWEST * n and 1 < n <= STEPS:
                found: set[Known] = set()
                for part in np.moveaxis(value, axis, 0):
                    holder = self.samples.holder(part, among)
                    if holder is None or holder in found:
                        break
                    found.add(holder)
                if len(found) == n:
                    return True
        return False

    def selected(self, value: Any, arguments: Iterable[Any]) -> bool:
        """Whether an array holds nothing but elements of leaves and arguments, zeros and ones: data put together."""
        flat = np.ravel(value)
        if self.elements is None:
            given = [np.ravel(np.asarray(x, np.float64)) for x in (*(self.values[r] for r in self.tape.leaves
                     if r in self.values), *arguments) if np.asarray(x).dtype.kind in "fiub"]
            self.elements = np.unique(np.concatenate([*given, [0.0, 1.0]]))
        x = self.elements
        return bool(np.ptp(flat) and np.all(x[np.minimum(np.searchsorted(x, flat), x.size - 1)] == flat))

    # ---- what a name means

    def as_spelled(self, name: str) -> str:
        """The name as the tape has it, if it has it in other letters only: Z1 for z1."""
        if self.spellings is None:
            names = {name for k in self.known for name in k.names}
            self.spellings = {name.lower(): name for name in names} | {name: name for name in names}
        return self.spellings.get(name, self.spellings.get(name.lower(), name)) if len(name) > 1 else name

    def claims(self, name: str, gradient: bool = False) -> list[Known]:
        """The quantities that a variable of this name would hold: dz2, grad_z2, z2_grad or delta2 that of z2.

        With `gradient` the name is one a gradient is returned under, and W1 means that of W1 too.
        """
        name = self.as_spelled(name)
        stems = {self.as_spelled(stem) for stem in (PREFIX.sub("", name), SUFFIX.sub("", name))} - {name, ""}
        if gradient:
            named = [k for k in self.known if k.kind == COTANGENT and name in k.names]
            return named or [k for k in self.known if k.kind == COTANGENT and k.names & stems]
        stems |= {f"z{stem}" for stem in stems if stem.isdigit() and name[:1] in "dδ"}
        cotangents = [k for k in self.known if k.kind == COTANGENT and k.names & stems]
        values = [k for k in self.known if k.kind == VALUE and name in k.names]
        return cotangents + values or self.ratios(name)

    def ratios(self, name: str) -> list[Known]:
        """The local derivatives that a variable of this name would hold: da1_dz1 that of a1 by z1."""
        found = RATIO.fullmatch(name)
        y, x = map(self.as_spelled, found.groups()) if found else ("", "")
        return [k for k in self.known if k.kind == LOCAL and y and self.names.get(k.record) == y
                and any(isinstance(r, Record) and self.names.get(r) == x for r in k.record.inputs)]
