"""`compare`: gradients derived by hand against those of the tape, with a third party as arbiter."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autodiff.checks.differences import derivative, richardson
from autodiff.checks.doctor.backprop import Backprop, fit
from autodiff.checks.doctor.diagnosis import BUDGET, Diagnosis, diagnose
from autodiff.checks.doctor.evidence import PLAINLY, depth, weighed
from autodiff.checks.doctor.explanation import IS
from autodiff.checks.manual import called_with, misshapen, parts_of, resolved
from autodiff.checks.noise import TOO_NOISY, Measurement, Reference, measure, precision
from autodiff.checks.numeric import blame, kink_lines
from autodiff.checks.program import Gradient
from autodiff.checks.reading.findings import Reading
from autodiff.checks.reading.reader import read
from autodiff.checks.report import AGREES, DIFFERS, UNDECIDED, Entry, Report
from autodiff.checks.rules import wrong_rules
from autodiff.errors import OperandError, ReplayError
from autodiff.leaks import refuse_leaks
from autodiff.record import Record
from autodiff.sites import locate
from autodiff.tape import Tape
from autodiff.tensor import Tensor

LOOKED_AT = 12           # elements of a gradient the arbiter looks at: all when these are all, else the worst
RANK = {AGREES: 0, UNDECIDED: 1, DIFFERS: 2}
PATIENCE = 0.5           # seconds after which the arbiter is asked no more: a large net has shown by then who is right
BEYOND = 1e3             # times the tolerance: what no rounding of a sum explains
FAILED = "the search for the mistake failed"
Manual = Mapping[Any, Any] | Callable[..., Mapping[Any, Any]]


def compare(loss: Tensor, manual: Manual, names: Mapping[str, Tensor] | None = None,
            resample: int | None = None, inputs: Mapping[str, Any] | None = None,
            explain: bool = True) -> Report:
    """Compare gradients derived by hand with those of the tape.

    A gradient agrees if it differs from the tape's, computed one precision up, by no more than rounding moves
    it here and in this dtype (`autodiff.checks.noise`); there is no absolute tolerance that would let small ones
    pass. Where the two differ, complex step (or extrapolated differences, with their error bar) decides between
    them: it may side with you, and then the report says so. Elements that depend on a choice at a kink, such
    as relu'(0), are not held against anyone. No `.grad` is touched.

    Parameters
    ----------
    loss : Tensor
        A recorded scalar.
    manual : dict or callable
        Gradients by name ("W1" and "dW1" mean the same; intermediates such as "z3" too) or by Tensor. Or a function
        that returns such a dict: it is called by keyword with what its parameters name, leaves as well as plain
        arrays on the tape (by the name of the variable they stand in), each as an array of its own.
    names : dict of str to Tensor, optional
        Names for tensors that have none.
    resample : int, optional
        With a function, compare at so many random points too. A mistake may be invisible at one point.
    inputs : dict of str to array, optional
        What the function asks for that is not on the tape: data that was prepared before anything was recorded.
    explain : bool
        Look for the mistake where gradients differ; at most a few seconds.

    Returns
    -------
    Report
        ``report["W1"].verdict`` is "agrees", "differs" or "undecided"; print it for the table.

    Raises
    ------
    GradientError
        If a name is unknown (the message lists those there are) or ambiguous, or the loss is no scalar.
    MutationError
        If an array was changed in place since it was recorded.
    ReplayError
        With `resample`, if a value left the tape as a Python number.

    Examples
    --------
    >>> x, y = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([1.0, 0.0])
    >>> w = ad.Tensor([0.3, -0.2], requires_grad=True)
    >>> loss = ((x @ w - y) ** 2).mean()
    >>> ad.compare(loss, {"w": 2 * x.T @ (x @ w.data - y) / 2}).ok
    True
    >>> def by_hand(x, y, w):
    ...     return {"dw": 2 * x.T @ (x @ w - y)}
    >>> report = ad.compare(loss, by_hand, resample=2)
    >>> report["w"].verdict, round(report["w"].relative_error, 3)
    ('differs', 1.0)
    >>> report.raise_if_wrong()
    Traceback (most recent call last):
      ...
    autodiff.checks.report.WrongGradientError: gradients of loss (...): w differs
    ...
    """
    if not isinstance(loss, Tensor):
        raise OperandError(f"compare needs the recorded loss, a Tensor, not {type(loss).__name__}")
    tape = Tape(loss, names=names)
    function = manual if callable(manual) and not isinstance(manual, Mapping) else None
    if resample and function is None:
        raise OperandError("resample= needs the gradients as a function: arrays are right or wrong at one point only")
    points: list[dict[Record, Any]] = [{}]
    if resample:
        leaves = {r for r in tape.leaves if r.requires_grad}
        refuse_leaks(tape.all, set(leaves))
        rng = np.random.default_rng(0)
        points += [fresh(tape, rng) for _ in range(resample)]
    best: dict[Record, Entry] = {}
    given: dict[Record, tuple[Any, Any]] = {}
    finite, forward = True, ""
    telling: tuple[int, Judge | None, dict[Record, Any]] = (0, None, {})     # the point at which most differs
    for n, values in enumerate(points):
        gradients, value = parts_of(tape, at_point(function, tape, loss, values, inputs or {}) if function else manual)
        given = resolved(tape, gradients)
        if not given:
            break
        judge = Judge(tape, Gradient(loss, list(given)), values)
        if not n:
            finite = judge.finite_loss
            forward = other_loss(tape, value)
        differing = 0
        for r, (_, yours) in given.items():
            entry = judge.entries[r] = judge.entry(r, yours)
            differing += entry.verdict == DIFFERS and entry.sides_with != "you"
            if n and entry.verdict == UNDECIDED:
                continue                    # a random point may lie where nothing can be decided; that says nothing
            if r not in best or RANK[entry.verdict] > RANK[best[r].verdict]:
                note = f"at random point {n} of {resample}" + (f"\n{entry.note}" if entry.note else "")
                best[r] = replace(entry, note=note) if n else entry
        if differing > telling[0]:
            telling = (differing, judge, {r: yours for r, (_, yours) in given.items()})
    diagnosis, reading = Diagnosis(), None
    if telling[1] is not None and explain:
        wrong = [entry.name for entry in best.values() if entry.verdict == DIFFERS]
        if function is not None:
            reading = read(function, tape, inputs or {}, values=telling[1].values)
        diagnosis = telling[1].diagnosis(telling[2], *depth(reading, wrong, tape))
        if reading is not None:
            told = weighed(diagnosis.explanations, reading, wrong, tape)
            diagnosis = replace(diagnosis, explanations=told, note=diagnosis.note if not told or
                                not reading.certain or told == diagnosis.explanations else "")
            reading = retold(reading, diagnosis)
        best = {r: replace(entry, explanations=tuple(
                    e for e in diagnosis.each or diagnosis.explanations if entry.name in e.params))
                if entry.verdict == DIFFERS else entry for r, entry in best.items()}
    not_given = tuple(r.name or f"a leaf of shape {np.shape(r.value)}" for r in tape.leaves
                      if r.requires_grad and r not in best)
    where = f"{tape.given.get(loss.record) or loss.name or 'the loss'} ({loss.record.where})"
    return Report(tuple(best.values()), where, not_given,
                  tuple(filter(None, (forward, *general_notes(tape, finite), *(hides(tape) if best else ())))),
                  {key: i for i, r in enumerate(best) for key in (r, given[r][0]) if not isinstance(key, Tensor)},
                  diagnosis.explanations, diagnosis.note, reading)


def retold(reading: Reading, diagnosis: Diagnosis) -> Reading:
    """The reading in the light of a plain mistake, where its own line is in doubt: it shows which line makes it."""
    first = diagnosis.explanations[0] if diagnosis.explanations else None
    if reading.again is not None and diagnosis.made is not None and first is not None \
            and first.cost <= PLAINLY[IS] and first.kind != "two":
        with contextlib.suppress(Exception):               # the line stands, whatever becomes of its explanation
            made = diagnosis.made()
            reading = reading if made is None else reading.again(made)
    return replace(reading, again=None)


def other_loss(tape: Tape, value: Any) -> str:
    """Whether the loss that was given is another than the recorded one: then it is not the gradient that is wrong."""
    mine = tape.outputs[0].value
    value = value.data if isinstance(value, Tensor) else value
    if value is None or not np.all(np.isfinite(mine)):
        return ""
    off = abs(float(value) - float(mine))
    if off <= 1e4 * precision(tape) * max(abs(float(mine)), abs(float(value))):
        return ""
    return (f"your loss is {float(value):.6g}: it differs from the recorded loss by {off:.3g}, so look at the forward "
            "pass first. What follows compares your gradient with that of the recorded loss.")


def hides(tape: Tape) -> list[str]:
    """What about the data hides mistakes: such gradients may agree at this point and be wrong elsewhere."""
    found = []
    data = [r for r in tape.leaves if not r.requires_grad and np.ndim(r.value) == 2]
    for r in tape.leaves:
        called = tape.given.get(r) or r.name or "a parameter"
        x = np.asarray(r.value)
        if r.requires_grad and x.ndim == 2 and x.size > 1:
            if not x.any():
                found.append(f"{called} is all zeros")
            elif x.shape[0] == x.shape[1] and np.array_equal(x, x.T):
                found.append(f"{called} is symmetric")
    if data and all(1 in np.shape(r.value)[:1] for r in data):
        found.append("there is one sample")
    if not found:
        return []
    return [f"note: {', '.join(found)}: mistakes may not show here. Other values, or a function with resample=3, "
            "show them."]


def at_point(function: Callable[..., Any], tape: Tape, loss: Tensor, values: Mapping[Record, Any],
             inputs: Mapping[str, Any]) -> Any:
    """What the user's function gives where some leaves have other values."""
    if not values:
        return called_with(function, tape, {}, inputs)
    everything: dict[Record, Any] = {}

    def look(r: Record, y: Any) -> Any:
        everything[r] = y
        return y

    tape.replay({Tensor.of(r): value for r, value in values.items()}, each=look, strict=False)
    return called_with(function, tape, {**everything, **values}, inputs)


def fresh(tape: Tape, rng: np.random.Generator) -> dict[Record, Any]:
    """Random values for the leaves that require grad, of the same size, and positive where all of them were."""
    values: dict[Record, Any] = {}
    for r in tape.leaves:
        if r.requires_grad:
            x = np.asarray(r.value)
            size = float(np.sqrt(np.mean(np.square(x)))) if x.size else 0.0
            new = rng.normal(size=x.shape) * (size or 0.5)
            new = np.abs(new) + size / 10 if size and np.all(x > 0) else new
            values[r] = new.astype(x.dtype)[()]
    return values


def general_notes(tape: Tape, finite: bool) -> tuple[str, ...]:
    """What holds for all entries."""
    notes = [] if finite else [not_finite(tape)]
    try:
        refuse_leaks(tape.all, {r for r in tape.leaves if r.requires_grad})
    except ReplayError as error:
        notes.append(f"note: {str(error).splitlines()[0]} What was computed from it counts as constant here, as it "
                     "does for the tape.")
    return tuple(notes)


def not_finite(tape: Tape) -> str:
    """Where a value stopped being finite, and what helps."""
    first = next((r for r in tape if not isinstance(r.value, tuple) and not np.all(np.isfinite(r.value))), None)
    where = "" if first is None or first.op is None else \
        f": first in {first.op.name} at {first.where} ({locate(first.code, first.lasti).text})"
    return (f"values on the tape are not finite{where}, so there is nothing to compare with. "
            "For a loss with log(sigmoid) or log(softmax), use the form on logits: "
            "ad.binary_cross_entropy_with_logits, ad.log_softmax, ad.logsumexp.")


def too_noisy(reference: Reference) -> str:
    """Why rounding leaves the verdict open, and what helps."""
    if reference.noise > 1:
        said = "rounding alone moves this gradient by more than its size (zero but for rounding, or all digits lost)"
    else:
        said = (f"rounding alone moves this gradient by {reference.noise:.1g} of itself here, "
                f"{reference.noise / reference.eps:.0e} times what a single operation does")
    return (f"{said}, so it can neither be confirmed nor refuted.\n"
            "Use a form that loses fewer digits (a loss on logits), or a wider dtype.")


# ---- one point

@dataclass
class Judge:
    """Compares at one point."""

    tape: Tape
    gradient: Gradient
    values: dict[Record, Any]

    def __post_init__(self) -> None:
        self.measured: dict[float, Measurement] = {}
        self.entries: dict[Record, Entry] = {}
        self.asked = 0.0                              # seconds the arbiter has taken

    @property
    def finite_loss(self) -> bool:
        """Whether the loss is a number."""
        return bool(np.all(np.isfinite(self.gradient.loss.record.value)))

    def reference(self, r: Record, yours: Any) -> tuple[Reference, Measurement]:
        """The tape's gradient and the tolerance; a coarser dtype than the tape's is judged as such."""
        eps = precision(self.tape)
        if yours.dtype.kind == "f":
            eps = max(eps, float(np.finfo(yours.dtype).eps))
        if eps not in self.measured:
            self.measured[eps] = measure(self.gradient, self.values, eps)
        return self.measured[eps].references[r], self.measured[eps]

    def entry(self, r: Record, yours: Any) -> Entry:
        """The verdict on one gradient."""
        reference, measured = self.reference(r, yours)
        name = self.tape.given.get(r) or r.name or f"a tensor of shape {np.shape(r.value)}"
        correct = np.asarray(reference.value).astype(r.value.dtype)
        shape = np.shape(r.value)
        plain = Entry(name, UNDECIDED, shape, yours, correct)
        if not reference.finite or not self.finite_loss:
            return replace(plain, note=not_finite(self.tape))
        if yours.shape != shape:
            return replace(plain, verdict=DIFFERS, note=misshapen(name, yours, reference))
        error = np.abs(yours.astype(reference.value.dtype) - reference.value)
        size = float(np.max(np.abs(reference.value), initial=0))
        compared = ~reference.kinked
        with np.errstate(all="ignore"):
            ratio = np.where(error == 0, 0, error / reference.tolerance)
            ratio = np.where(compared, np.where(np.isnan(ratio), np.inf, ratio), -1)
        if not ratio.size:
            return replace(plain, verdict=AGREES, max_error=0.0, relative_error=0.0, tolerance=0.0)
        worst = tuple(int(i) for i in np.unravel_index(np.argmax(ratio), shape))
        largest = float(np.max(np.where(compared, error, 0)))
        plain = replace(plain, worst=worst, max_error=largest, tolerance=float(reference.tolerance[worst]),
                        relative_error=largest / size if size else 0.0 if largest == 0 else np.inf)
        notes = []
        if not compared.all():
            notes.append(f"{np.sum(~compared)} of {compared.size} elements depend on a choice at a kink, where both "
                         f"values are acceptable; they were not compared{kink_lines(measured.kinks)}")
        if not np.isfinite(yours[compared]).all():
            notes.insert(0, f"{int(np.sum(~np.isfinite(yours)))} of {yours.size} elements of yours are not finite")
            return replace(plain, verdict=DIFFERS, note="\n".join(notes))
        if not compared.any():
            return replace(plain, note="\n".join(notes))
        if not reference.decides:
            zero = reference.noise > 1 and self.cancels(r, reference)
            if zero and ratio[worst] <= 1:
                notes.insert(0, "zero but for rounding, and so is yours")
                return replace(plain, verdict=AGREES, note="\n".join(notes))
            if not zero or ratio[worst] < BEYOND:
                notes.insert(0, too_noisy(reference))
                return replace(plain, note="\n".join(notes))
        if ratio[worst] <= 1:
            return replace(plain, verdict=AGREES, note="\n".join(notes))
        return self.arbitrated(r, plain, reference, ratio, notes)

    def cancels(self, r: Record, reference: Reference) -> bool:
        """Whether what was added up to this gradient is zero in sum, to the rounding of its terms."""
        bp = Backprop(self.tape, [r], self.values)
        x = bp.wanted[0]
        terms = [fit(np.abs(bp.raw[e]), x) for e in bp.into.get(x, ()) if not isinstance(bp.raw[e], tuple)]
        size = float(np.max(sum(terms), initial=0)) if terms else 0.0
        return float(np.max(reference.tolerance, initial=0)) <= TOO_NOISY * reference.eps * size

    def diagnosis(self, given: Mapping[Record, Any], seconds: float = BUDGET, several: bool = True) -> Diagnosis:
        """Why those that differ do: by one mistake, or by `several`."""
        tolerances, wrong = {}, set()
        usable = {}
        for r, yours in given.items():
            entry = self.entries[r]
            reference, _ = self.reference(r, yours)
            if entry.verdict == UNDECIDED or not reference.finite or not np.all(np.isfinite(yours)):
                continue
            usable[r] = yours
            tolerances[r] = np.where(reference.kinked, np.inf, reference.tolerance).astype(float)
            if entry.verdict == DIFFERS and entry.sides_with != "you":
                wrong.add(r)
        if not wrong:
            return Diagnosis()
        try:
            return diagnose(self.tape, usable, tolerances, wrong, self.values, seconds, several)
        except Exception as error:                  # the verdict stands, whatever becomes of its explanation
            return Diagnosis((), f"{FAILED} ({type(error).__name__}: {error}); please report it, with this loss")

    def arbitrated(self, r: Record, entry: Entry, reference: Reference, ratio: Any, notes: list[str]) -> Entry:
        """The verdict where user and tape differ: ask what neither had a hand in."""
        order = np.argsort(-ratio, axis=None, kind="stable")[:LOOKED_AT]
        indices = [tuple(int(i) for i in np.unravel_index(k, ratio.shape)) for k in order if ratio.flat[k] > 1]
        if self.asked > PATIENCE:
            return replace(entry, verdict=DIFFERS, note="\n".join(notes))
        started = time.perf_counter()
        try:
            return self.decided(r, entry, reference, indices, notes)
        finally:
            self.asked += time.perf_counter() - started

    def decided(self, r: Record, entry: Entry, reference: Reference, indices: list[tuple[int, ...]],
                notes: list[str]) -> Entry:
        """The verdict of complex step, or of extrapolated differences, on the elements that differ most."""
        tape, tensor = self.gradient.forward, Tensor.of(r)
        if tensor.record is self.gradient.loss.record:
            return replace(entry, verdict=DIFFERS, note="\n".join(["the gradient of the loss itself is 1", *notes]))
        numeric = derivative(tape, tensor, indices, self.values)
        off_tape, off_yours = self.off(reference, numeric, entry, indices)
        if (off_tape > 1).any() and numeric.method == "complex step":      # or it is the operation that is not analytic
            values, errors = richardson(tape, tensor, indices, self.values)
            tolerance = np.array([float(reference.tolerance[i]) for i in indices])
            if (np.abs(values - numeric.values) > errors + tolerance).any():
                numeric = numeric._replace(values=values, errors=errors, method="Richardson")
                off_tape, off_yours = self.off(reference, numeric, entry, indices)
        at = indices[0]
        tape_error, your_error = (abs(numeric.values[0] - float(g[at])) for g in (reference.value, entry.yours))
        entry = replace(entry, numeric=float(numeric.values[0]))
        errors_told = f"the tape is off by {tape_error:.1g}, you by {your_error:.1g}"
        if (off_tape <= 1).all():
            if (off_yours <= 1).all():                    # only differences, whose error bar holds them both
                bar = numeric.errors.max()
                notes.insert(0, f"{numeric.method} cannot tell yours from the tape's (error bar {bar:.1g})")
                return replace(entry, note="\n".join(notes))
            return replace(entry, verdict=DIFFERS, sides_with="tape",
                           note="\n".join([f"{numeric.method} sides with the tape ({errors_told})", *notes]))
        rules = wrong_rules(tape, {kink.record for kink in self.measured[reference.eps].kinks})
        who = "THE LIBRARY IS WRONG" if all(rule.ours for rule in rules[:1]) else "THE RULE OF AN OPERATION IS WRONG"
        told = [*blame(rules), *notes]
        if (off_yours <= 1).all():
            lines = [f"{who}, not you: {numeric.method} sides with you ({errors_told})"]
            return replace(entry, sides_with="you", note="\n".join([*lines, *told]))
        lines = [f"yours is wrong, and {who} too: {numeric.method} gives neither value ({errors_told})"]
        return replace(entry, verdict=DIFFERS, sides_with="neither", note="\n".join([*lines, *told]))

    def off(self, reference: Reference, numeric: Any, entry: Entry, indices: list[tuple[int, ...]]) -> tuple[Any, Any]:
        """How far the tape's values and the user's are from the arbiter's, in units of what is allowed."""
        allowed = np.array([float(reference.tolerance[i]) for i in indices]) + numeric.errors
        allowed = np.where(allowed > 0, allowed, np.finfo(float).tiny)
        tape, yours = (np.abs(numeric.values - np.array([float(g[i]) for i in indices])) / allowed
                       for g in (reference.value, entry.yours))
        return tape, yours
