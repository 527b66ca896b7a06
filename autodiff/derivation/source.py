"""`source`: the backward pass as NumPy source that a person would have written by hand.

It is printed from the recorded gradient's own tape (`autodiff.program`), and executed each time it is printed: as it
ran it must give the tape's gradient to the last bit, simplified within what rounding explains (`checks.noise`).
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autodiff.checks.noise import measure
from autodiff.checks.program import Gradient
from autodiff.errors import GradientError, OperandError, SourceError
from autodiff.explain import not_a_tensor
from autodiff.leaks import Leak
from autodiff.ops.random import dropout_mask
from autodiff.program.backward import RESERVED, Backward, backward_program
from autodiff.program.closed import Closed, closed_forms
from autodiff.program.function import LOSS, function_text
from autodiff.program.lifting import same
from autodiff.program.lines import Layout, Line
from autodiff.program.passes import Program, shared, substituted, without_arrays
from autodiff.program.simplification import simplified, untwisted
from autodiff.program.trimming import trimmed
from autodiff.record import Record
from autodiff.reverse import gradients
from autodiff.sites import locate
from autodiff.tape import Tape, behind
from autodiff.tensor import Tensor

LONGEST = 120               # characters of a statement worth repeating
TIE = "\u00a0"
MANY = 40                   # closed forms, beyond which all are used or none
ROUNDS = 4                  # of algebra and sharing, each of which may make room for the other


class Source(str):
    """A printed backward pass: text that runs as it stands, and can be called.

    Called with arrays by name it gives the gradients as a dict; plain arrays of the recorded program may be left out,
    and are then those that were recorded. So it is a `manual` for `ad.compare`.

    Attributes
    ----------
    function : callable
        ``gradients``, as the text defines it.
    lines : tuple of Line
        What stands in its body, each with the record behind it.
    forward_lines, backward_lines : int
        How many lines these parts have.
    recorded : dict of str to array
        What it was recorded with: a value for each parameter.
    checked : str
        How the text was compared with the tape.
    """

    function: Callable[..., Any]
    lines: tuple[Line, ...]
    checked: str
    recorded: dict[str, Any]
    plain: frozenset[str]
    __signature__: inspect.Signature

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The gradients of these values."""
        given = inspect.signature(self.function).bind_partial(*arguments, **named).arguments
        return self.function(**{**{name: self.recorded[name] for name in self.plain}, **given})

    @property
    def forward_lines(self) -> int:
        """How many lines the forward part has."""
        return sum(line.forward for line in self.lines)

    @property
    def backward_lines(self) -> int:
        """How many lines the backward part has."""
        return len(self.lines) - self.forward_lines

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return f"```python\n{self}\n```"


def source(loss: Tensor, wrt: Any = None, *, simplify: bool = True, with_loss: bool = False,
           names: Mapping[str, Tensor] | None = None) -> Source:
    """The backward pass of a loss as NumPy source, which runs as it stands.

    One function ``gradients(x, y, W1, ...)`` of the named leaves and arrays, in the user's names; it returns the
    gradients by name. It is specialised to what was recorded: shapes, dtypes, branches taken, random draws.

    Parameters
    ----------
    loss : Tensor
        A recorded scalar.
    wrt : Tensor, str, or sequence of these, optional
        The gradients wanted, of leaves or intermediates; by default of every leaf that requires grad.
    simplify : bool
        Write it as on paper: closed forms, constants multiplied out, no idle operation. Otherwise every step as the
        tape takes it, equal to its gradient to the last bit.
    with_loss : bool
        Return ``loss, {...}``.
    names : dict of str to Tensor, optional
        Names for tensors that have none.

    Returns
    -------
    Source
        The text; print it. Called like the function, it computes the gradients.

    Raises
    ------
    GradientError
        If the loss is no scalar, or does not depend on what is wanted.
    MutationError
        If a value the gradient needs was changed in place.
    SourceError
        If an operation cannot be written as NumPy source, or if what the text computes is not the tape's gradient.

    Examples
    --------
    >>> w = ad.Tensor([1.0, -2.0], requires_grad=True)
    >>> loss = (np.tanh(w) ** 2).sum()
    >>> source = ad.source(loss, "w")               # print(source) shows it all
    >>> for line in source.lines:
    ...     print(line.text)
    v1 = np.tanh(w)
    dw = 2 * v1 * (1 - v1**2)
    >>> source(w=np.array([1.0, -2.0]))["w"].round(3)
    array([ 0.64 , -0.136])
    """
    if not isinstance(loss, Tensor):
        raise not_a_tensor("ad.source(loss)", loss, "The loss is computed from tensors made with requires_grad=True.")
    tape = Tape(loss, names=names)
    wanted = records_wanted(tape, wrt)
    plain = gradients(loss, [Tensor.of(r) for r in wanted])
    backward = backward_program(tape, wanted)
    program: Program = backward.program
    found: list[Closed] = []
    if with_loss:
        program = Program({LOSS: backward.loss, **program.outputs}, program.names, program.order, program.forward)
    if simplify:
        program, found = on_paper(program, backward)
    else:
        program = shared(trimmed(untwisted(substituted(program, backward.lifted.aliases))))
    used = dict.fromkeys([*RESERVED, *program.names.values(), *backward.parameters.values()], 1)
    layout = Layout(program, backward.parameters, used, exact=not simplify)
    text = Source(function_text(layout, header(tape, wanted, layout, found), loss.dtype))
    finish(text, layout, backward)
    text.checked = verified(text, layout, backward, wanted, plain, exact=not simplify)
    return text


def records_wanted(tape: Tape, wrt: Any) -> list[Record]:
    """The records meant by `wrt`: names, Tensors, or all leaves that require grad."""
    if wrt is None:
        return [r for r in tape.leaves if r.requires_grad]
    keys: Sequence[Any] = [wrt] if isinstance(wrt, str | Tensor) else list(wrt)
    if not keys or not all(isinstance(key, str | Tensor) for key in keys):
        raise OperandError("wrt= is a name, a Tensor, or a list of these")
    wanted = list(dict.fromkeys(tape.find(key) for key in keys))
    for r in wanted:
        if not r.requires_grad or isinstance(r.value, tuple):
            raise GradientError(f"no gradient flows to {r.name or 'a tensor'} (from {r.where}): it is constant, or "
                                "computed from nothing that requires grad")
    return wanted


def on_paper(program: Program, backward: Backward) -> tuple[Program, list[Closed]]:
    """The program simplified, and the closed forms used."""
    every = {f"\0{i}": t.record for i, t in enumerate(backward.cotangents.values())}
    both = substituted(replace(program, outputs={**every, **program.outputs}), {backward.seed: 1})
    cotangents = {r: Tensor.of(g) for r, g in zip(backward.cotangents, map(both.outputs.__getitem__, every))
                  if isinstance(g, Record)}
    program = Program({key: both.outputs[key] for key in program.outputs}, both.names, both.order, both.forward)
    forms = {cotangents[form.record].record: form
             for form in closed_forms(backward.loss, behind([backward.loss]), cotangents)
             if form.cotangent.shape == np.shape(form.record.value) and form.cotangent.dtype == form.record.value.dtype}
    best = tidied(program, forms, backward)
    for some in [[r] for r in reversed(forms)] if len(forms) <= MANY else [list(forms)]:
        fewer = {r: form for r, form in forms.items() if r not in some}      # those that save nothing are left out
        without = tidied(program, fewer, backward)
        if length(without) <= length(best):
            forms, best = fewer, without
    return best, list(forms.values())


def tidied(program: Program, forms: Mapping[Record, Closed], backward: Backward) -> Program:
    """The program with closed forms put in, simplified and shared until neither changes it."""
    program = substituted(program, {r: form.cotangent.record for r, form in forms.items()})
    program = without_arrays(substituted(program, backward.lifted.aliases))
    for _ in range(ROUNDS):
        before = len(program.uses)
        program = shared(simplified(program))
        if len(program.uses) == before:
            break
    return program


def length(program: Program) -> int:
    """How long a program reads: its operations, and the values without a name that need a line of their own."""
    return len(program.uses) + sum(n > 1 and r.op is not None and r not in program.names
                                   for r, n in program.uses.items())


# ---- what it says of itself

def header(tape: Tape, wanted: Sequence[Record], layout: Layout, found: Sequence[Closed]) -> list[str]:
    """The docstring: of what, for which shapes, taken how."""
    loss = tape.outputs[0]
    called = tape.given.get(loss) or loss.name or "the loss"
    keys = [key for key in layout.program.outputs if key != LOSS]
    lines = [f"The gradient of {called} ({loss.where}) with respect to {', '.join(keys)}."]
    shapes = ", ".join(tied(f"{name} {np.shape(r.value)}")
                       + ("" if r.value.dtype == loss.value.dtype else tied(f" {r.value.dtype}"))
                       for r, name in layout.inputs.items())
    notes = [f"For {shapes}; {loss.value.dtype}."] if shapes else []
    notes += [(form.statement if readable(form.statement) else form.statement.partition(" = ")[0] + " in closed form")
              + f", by {form.proof}" + (f", if {' and '.join(form.assumptions)}" if form.assumptions else "") + "."
              for form in found if form.assumptions or readable(form.statement)]
    notes += [f"As recorded at {place}" for place in left_the_tape(tape)]
    if any(r.op is dropout_mask for r in layout.program.uses):
        notes.append("Dropout draws what was drawn then: the same keys.")
    if notes:
        lines.append("")
    for note in notes:
        lines += textwrap.wrap(note, 84, subsequent_indent="  ", break_on_hyphens=False)
    return [line.replace(TIE, " ").replace("\\", "\\\\").replace('"""', "'''") for line in wrapped_first(lines)]


def readable(statement: str) -> bool:
    """Whether a statement says something that the line itself does not say better."""
    return len(statement) <= LONGEST and "tensor(" not in statement and "matmul(" not in statement


def tied(text: str) -> str:
    """A text that no line break may part."""
    return text.replace(" ", TIE)


def wrapped_first(lines: list[str]) -> list[str]:
    """A long first line, broken."""
    return [*textwrap.wrap(lines[0], 82, break_on_hyphens=False), *lines[1:]]


def left_the_tape(tape: Tape) -> list[str]:
    """Where a value left the tape as a Python number, which later lines may depend on."""
    first = next((r.serial for r in tape.all if r.op is not None), 0)
    leaks: list[Leak] = [leak for r in tape.all for leak in r.leaks
                         if (leak.serial > first or leak.constant) and leak.serial < tape.all[-1].serial]
    places = {}
    for leak in leaks:
        site = locate(leak.code, leak.lasti)
        places[site] = f"{site}: {site.text} ({leak.how} of {leak.record or 'a value'})"
    return list(places.values())


# ---- run, and compared

def finish(text: Source, layout: Layout, backward: Backward) -> None:
    """Make the text callable."""
    namespace: dict[str, Any] = {}
    exec(compile(str(text), "<ad.source>", "exec"), namespace)
    text.function = namespace["gradients"]
    text.lines = tuple(layout.lines)
    originals = {new: old for old, new in backward.lifted.copies.items()}
    text.recorded = {name: r.value for r, name in layout.inputs.items()}
    text.plain = frozenset(name for r, name in layout.inputs.items() if r not in originals)
    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY,
                                    default=value if name in text.plain else inspect.Parameter.empty)
                  for name, value in text.recorded.items()]
    text.__signature__ = inspect.Signature(parameters)


def verified(text: Source, layout: Layout, backward: Backward, wanted: Sequence[Record], plain: Sequence[Any],
             exact: bool) -> str:
    """How the text was found to compute the tape's gradients.

    Raises
    ------
    SourceError
        If it does not.
    """
    try:
        with np.errstate(all="ignore"):
            results = text.function(**{name: read_only(r.value) for r, name in layout.inputs.items()})
    except Exception as error:                  # whatever NumPy says of a wrong text
        raise disagreement(", ".join(layout.program.outputs), f"does not run: {error}") from error
    results = results[1] if isinstance(results, tuple) else results
    found = {key: np.asarray(value) for key, value in results.items()}
    for (key, yours), right in zip(found.items(), plain, strict=True):
        if yours.shape != right.shape or yours.dtype != right.dtype:
            raise disagreement(key, f"has {yours.dtype} {yours.shape}, not {right.dtype} {right.shape}")
        if exact and not same(yours, right):
            raise disagreement(key, f"differs in its bits, by at most {np.max(np.abs(yours - right)):.2g}")
    if exact:
        return "to the last bit"
    references = measure(recorded_gradient(backward, wanted)).references
    undecided = []
    for (key, yours), right, r in zip(found.items(), plain, wanted, strict=True):
        reference = references[backward.lifted.copies[r]]
        if same(yours, right):
            continue
        if not reference.finite or not reference.decides:
            undecided.append(key)
            continue
        wrong = (np.abs(yours - reference.value) > reference.tolerance) & ~reference.kinked
        if np.any(wrong | ~np.isfinite(yours)):
            by, most = (float(np.max(x)) for x in (np.abs(yours - reference.value), reference.tolerance))
            raise disagreement(key, f"differs by {by:.2g}, and rounding explains {most:.2g}")
    return "within rounding" + (f", but for {', '.join(undecided)}, which rounding decides here" if undecided else "")


def recorded_gradient(backward: Backward, wanted: Sequence[Record]) -> Gradient:
    """The gradient as a program that can be run again, with what is computed from the loss's own cotangent on it."""
    loss, copies = Tensor.of(backward.loss), [backward.lifted.copies[r] for r in wanted]
    gradient = Gradient(loss, copies)
    nothing = [Tensor(np.zeros_like(r.value)) for r in copies]
    gradient.recorded = Tape(loss, *(backward.cotangents.get(r, zero) for r, zero in zip(copies, nothing)))
    return gradient


def read_only(x: Any) -> Any:
    """A view that cannot be written to, of the same layout: sums depend on it in their last bit."""
    if not isinstance(x, np.ndarray):
        return x
    view = x.view()
    view.flags.writeable = False
    return view


def disagreement(key: str, how: str) -> SourceError:
    """What the text computes is not what the tape does."""
    return SourceError(f"the printed gradient of {key} {how}.\n  This is a mistake of the library, not yours: please "
                       "report it with the program. simplify=False prints the steps as the tape takes them.")


