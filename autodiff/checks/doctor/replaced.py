"""A gradient of an intermediate put together from the wrong tensors, whatever operations it comes from.

People derive several operations as one step and write down its closed form, (p - y) / m. What is wrong in one shows as
something simple at its end: another tensor in its place, times a constant; a term too few or too many; a factor left
out, doubled, or taken from another tensor. The constant is solved for, the tensors are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autodiff.checks.doctor.suspects import Problem, Suspect, proportion, said
from autodiff.kinds import Op
from autodiff.ops import stable
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.checks.doctor.search import Search

MANY = 40                  # tensors of one shape that are tried
LARGEST = 1 << 16          # numbers of which products are made at once
COST = 2.3
# What stands in people's derivatives of an operation and is no tensor of the tape.
UNSPOKEN: dict[Op | None, tuple[str, Callable[[Any], Any]]] = {
    stable.log_softmax: ("the softmax", lambda r: np.exp(r.value)),
    stable.logsumexp: ("the softmax", lambda r: np.exp(r.inputs[0].value - spread_out(r))),
    stable.softplus: ("the sigmoid", lambda r: stable.sigmoid(r.inputs[0].value)),
}


class Form(NamedTuple):
    """What a person may have for the gradient g of x: ``a g + b t``, with b to be found, and in words."""

    kinds: tuple[str, ...]
    a: float
    t: Any
    told: str
    b: float | None = None


def replaced(search: Search, problem: Problem) -> list[Suspect]:
    """Gradients of intermediates in another form that reproduce what was given."""
    bp = search.bp
    target, slack = search.target(bp.g, problem)
    found: list[Suspect] = []
    with np.errstate(all="ignore"):
        for x in bp.tape[::-1]:
            g = bp.g.get(x)
            if g is None or isinstance(g, tuple) or not np.ndim(g) or x not in search.moved \
                    or bp.reach.get(x, 0) != problem.mask:
                continue
            tried = list(forms(x, g, search))
            S = search.moved[x] @ np.stack([np.ravel(np.broadcast_to(f.t, np.shape(g))) for f in tried]).T
            rest = target[:, None] + np.outer(search.moved[x] @ np.ravel(g), [1 - f.a for f in tried])
            b = np.array([np.nan if f.b is None else f.b for f in tried])
            b = np.where(np.isnan(b), np.sum(S * rest, 0) / np.sum(S * S, 0), b)
            near = np.abs(rest - b * S) <= 4 * slack[:, None] + 1e-8 * (np.abs(rest) + np.abs(b * S))
            search.tried += len(tried)
            for k in np.flatnonzero(near.all(0) & (b != 0)):
                found += suspects(x, g, tried[k], float(b[k]), search, problem)
            if search.late:
                search.leave_out("other forms of the gradients of intermediates")
                break
    return found


def suspects(x: Record, g: Any, form: Form, b: float, search: Search, problem: Problem) -> Iterator[Suspect]:
    """A form as suspects, one for each kind that it may be called, if it is verified."""
    change = {x: (form.a - 1) * g + b * form.t}
    factor = "" if abs(b - 1) < 1e-7 else "-" if abs(b + 1) < 1e-7 else f"{b:.6g} · "
    told = form.told.format(x=said(x), t=factor, b=f"{b:.6g}")
    first = Suspect(form.kinds[0], COST, search.bp.into[x][0], change=change, told=told, tag=told, guess=True)
    if not np.all(np.isfinite(change[x])) or proportion(np.ravel(change[x]), np.ravel(g)) is not None:
        return                                             # a factor is looked for elsewhere
    if not search.verified(first, problem):
        return
    for more, kind in enumerate(form.kinds):
        yield Suspect(kind, COST + 0.02 * more, first.edge, change=change, told=told, tag=told, guess=True)


def forms(x: Record, g: Any, search: Search) -> Iterator[Form]:
    """What may stand in place of the gradient of x."""
    others = search.shaped.get(np.shape(g), ())[:MANY]
    values = [(said(r), r.value) for r in others]
    values += [(f"{UNSPOKEN[r.op][0]} of {said(r.inputs[0])}", UNSPOKEN[r.op][1](r)) for r in unspoken(search)
               if np.shape(r.inputs[0].value) == np.shape(g)]
    ones = np.ones(np.shape(g))
    yield from sums(("wrong-local-rule", "missing-term"), ones, "{b}")
    for n, (name, v) in enumerate(values):
        yield from sums(("missing-term", "wrong-local-rule", "wrong-operand"), v, f"{{t}}{name}")
        if v.size * len(values) <= LARGEST:
            for other, w in values[n:]:
                yield from sums(("wrong-local-rule", "wrong-operand"), v * w, f"{{t}}{name} * {other}")
        yield Form(("double-derivative", "wrong-operand"), 0, g * v, f"{{t}}d{{x}} * {name} for d{{x}}")
        yield Form(("missing-local-derivative", "wrong-operand"), 0, g / v, f"{{t}}d{{x}} without {name}")
    arriving = [(f"d{said(r)}", search.bp.g[r]) for r in others if r in search.bp.g and r is not x]
    quantities = values + arriving
    if g.size * len(quantities) > LARGEST:
        return
    for name, v in values:
        for other, w in arriving:
            yield Form(("wrong-local-rule", "treated-as-constant"), 0, w * v, f"{{t}}{other} * {name} for d{{x}}")
    for name, v in values:
        for other, w in quantities:
            if v is not w:
                yield Form(("wrong-operand", "wrong-argument"), 0, g * (v / w), f"{name} for {other} in d{{x}}", 1.0)


def unspoken(search: Search) -> list[Record]:
    """The records that hide a quantity by which people derive them."""
    return [r for r in search.bp.tape if r.op in UNSPOKEN and isinstance(r.inputs[0], Record)]


def spread_out(r: Record) -> Any:
    """What logsumexp gives, broadcast to its operand."""
    axis = r.options.get("axis")
    return r.value if axis is None or r.options.get("keepdims") else np.expand_dims(r.value, axis)


def sums(kinds: tuple[str, ...], t: Any, told: str) -> Iterator[Form]:
    """A quantity alone, and as a term of the right gradient."""
    yield Form(kinds[::-1] if len(kinds) == 2 else kinds[1:], 0, t, f"{told} for d{{x}}")
    yield Form(kinds, 1, t, f"d{{x}} + {told} for d{{x}}")
