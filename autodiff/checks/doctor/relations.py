"""What may be wrong with a returned gradient as a whole, whatever came before: its shape, its layout, its size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, permutations
from typing import Any

import numpy as np

from autodiff.checks.doctor.suspects import FAR_FETCHED, MATCH, Problem, Suspect, proportion, said
from autodiff.record import Record

LONGEST = 64               # parts along an axis that are looked for in other places
FEWEST = 4                 # numbers by which it shows that they are there
SHOWN = 6                  # places that are named


def relations(problem: Problem, g: dict[Record, Any]) -> Iterator[Suspect]:
    """A returned gradient as a whole: transposed, exchanged, zero, times a constant, with a term too many."""
    bp = problem.bp
    everything = zip(bp.wanted, problem.yours, problem.allowed, problem.wrong, strict=True)
    wrong = [(r, u, tol) for r, u, tol, w in everything if w]
    for r, u, tol in wrong:
        good = g.get(r, 0 * u)

        def equals(other: Any, u: Any = u, tol: Any = tol) -> bool:
            return np.shape(other) == np.shape(u) and bool(np.all(np.abs(u - other) <= tol))

        def suspect(kind: str, cost: float, told: str = "", r: Record = r, u: Any = u, good: Any = good) -> Suspect:
            return Suspect(kind, cost, None, change={r: u - good}, param=r, told=told, tag=kind)

        if np.ndim(u) == 2 and equals(np.transpose(good)):
            yield suspect("transposed-result", 0.9)
        if np.ndim(u) == 2 and equals(np.reshape(np.transpose(good), np.shape(u))) and not equals(np.transpose(good)):
            yield suspect("transposed-result", 1.1)
        if not np.any(u) and np.any(good):
            yield suspect("dropped-path", 1.2)
        for i, j in combinations(range(np.ndim(u)), 2) if np.ndim(u) > 2 else ():
            if equals(np.swapaxes(good, i, j)):
                yield suspect("transposed-result", 1.1, f"axes {i} and {j} exchanged")
        for told, other in laid_out(good):
            if equals(other):
                yield suspect("transposed-result", 1.15, told)
        for axis in range(np.ndim(u)):
            told = misplaced(u, good, tol, axis)
            if told:
                yield suspect("scatter", 1.2, told)
            told = unvisited(u, good, tol, axis)
            if told:
                yield suspect("dropped-path", 1.2, told)
        for other, v in zip(bp.wanted, problem.yours, strict=True):
            if other is r or other not in g or not equals(g[other]):
                continue
            if np.shape(v) == np.shape(good) and np.all(np.abs(v - good) <= tol):
                yield suspect("swapped", 1.1, f"it is the gradient of {said(other)}")
            else:
                yield replace(suspect("wrong-operand", 1.2, f"d{said(other)}"), guess=True)      # or summed so
        yield from proportional(problem, r, u, good, tol)
        yield from averaged(u, good, r, tol)
    yield from all_times(problem, g, wrong)
    empty = [(q, v) for q, v, _ in wrong if not np.any(v)]
    for r, u, tol in wrong:
        for q, v in empty:
            if q is not r and q in g and np.shape(g[q]) == np.shape(u) \
                    and np.all(np.abs(u - g.get(r, 0) - g[q]) <= tol):
                change = {r: u - g.get(r, 0), q: v - g[q]}
                for kind, more in (("wrong-operand", 0.0), ("dropped-path", 0.02), ("extra-term", 0.04)):
                    yield Suspect(kind, 1.1 + more, None, change=change, param=r, told=f"the gradient of {said(q)} too",
                                  tag="both in one")
    for back in (lambda x: x, np.transpose):
        whose = {r: [q for q, _, _ in wrong if q is not r and q in g and np.shape(u) == np.shape(back(g[q]))
                     and np.all(np.abs(u - back(g[q])) <= tol)] for r, u, tol in wrong}
        if len(wrong) > 1 and all(whose.values()) and len({q[0] for q in whose.values()}) == len(wrong):
            yield Suspect("swapped", 0.8, None, change={r: u - g.get(r, 0) for r, u, _ in wrong}, param=wrong[0][0],
                          told=", ".join(map(said, whose)), tag="swapped")


def laid_out(g: Any) -> Iterator[tuple[str, Any]]:
    """The same numbers as if an axis had stood in another place when they were put one after the other."""
    shape = np.shape(g)
    for i, j in permutations(range(np.ndim(g)), 2):
        if shape[i] > 1 and shape[j] > 1:
            moved = np.moveaxis(g, i, j)
            yield f"read as if axis {i} stood at {j}", np.reshape(moved, shape)
            yield f"laid out as if axis {i} stood at {j}", np.moveaxis(np.reshape(g, np.shape(moved)), j, i)
            if np.ndim(g) > 2 and i < j and shape[i] == shape[j]:
                yield f"its axes {i} and {j} exchanged", np.swapaxes(g, i, j)


def all_times(problem: Problem, g: dict[Record, Any], wrong: list[tuple[Record, Any, Any]]) -> Iterator[Suspect]:
    """All that differ times one constant: it is the loss that has it."""
    if len(wrong) < 2 or not problem.bp.edges:
        return
    wrong = sorted(wrong, key=lambda w: np.size(w[1]))
    r, u, _ = wrong[0]
    good = g.get(r, 0 * u)
    size = float(np.vdot(good, good))
    k = float(np.vdot(u, good)) / size if size else 0.0
    if k and all(np.all(np.abs(u - k * g.get(r, 0 * u)) <= tol) for r, u, tol in wrong):
        factor = problem.factors.named(abs(k))
        change = {r: u - g.get(r, 0 * u) for r, u, _ in wrong}
        kind = "sign" if abs(k + 1) < 1e-6 else "scale"
        cost = 1.15 if kind == "sign" else factor.cost + 0.25 if factor else FAR_FETCHED
        told = factor.text if factor else f"{k:.6g}"
        yield Suspect(kind, cost, problem.bp.edges[0], change=change, told="" if kind == "sign" else told,
                      tag=f"all × {k:.6g}")


def proportional(problem: Problem, r: Record, u: Any, good: Any, tol: Any) -> Iterator[Suspect]:
    """u - g is a multiple of the parameter, of its sign, of g itself, or the same for all elements."""
    error = u - good
    for other, kind, cost, what in ((r.value, "extra-term", 1.35, "times {name}"), (good, "scale", 1.0, ""),
                                    (np.sign(r.value), "extra-term", 1.5, "times the sign of {name}"),
                                    (np.ones_like(r.value), "extra-term", 2.5, "the same for all elements")):
        c = proportion(np.ravel(error), np.ravel(other))
        if c is None:
            size = float(np.vdot(other, other))
            c = float(np.vdot(error, other)) / size if size else None
            if c is None or not np.all(np.abs(error - c * other) <= tol):
                continue
        if kind == "scale":
            k = 1 + c
            if abs(k) < 1e-7:
                continue
            if abs(k + 1) < 1e-6:
                yield Suspect("sign", 1.15, None, change={r: error}, param=r, tag="sign")
                continue
            factor = problem.factors.named(abs(k))
            yield Suspect("scale", factor.cost + 0.25 if factor else FAR_FETCHED, None, change={r: error}, param=r,
                          told=factor.text if factor else f"{k:.6g}", tag=f"× {k:.6g}")
        else:
            name = what.format(name=said(r))
            written = abs(c - float(f"{c:.2g}")) <= 1e-5 * abs(c)           # 0.25, which chance does not give
            yield Suspect(kind, cost if np.size(u) > 1 or written else cost + 2, None, change={r: error}, param=r,
                          told=f"{c:.6g} {name}", tag=f"{kind} {c:.4g} {what}")


def misplaced(u: Any, good: Any, tol: Any, axis: int) -> str:
    """How the parts along an axis are in other places than they belong, in words; "" if they are not."""
    n = np.shape(u)[axis]
    mine, right, near = (np.moveaxis(np.broadcast_to(v, np.shape(u)), axis, 0).reshape(n, -1) for v in (u, good, tol))
    if not 1 < n <= LONGEST or (mine.shape[1] < 2 and n < FEWEST):
        return ""
    same = np.array([[np.all(np.abs(a - b) <= t) for b, t in zip(right, near, strict=True)] for a in mine])
    taken = same.argmax(1)
    if not same.any(1).all() or len(set(taken.tolist())) < n or (taken == np.arange(n)).all():
        return ""
    steps = set(((taken - np.arange(n)) % n).tolist())
    if (taken == np.arange(n)[::-1]).all():
        return f"reversed along axis {axis}"
    return f"shifted along axis {axis}" if len(steps) == 1 else f"in another order along axis {axis}"


def unvisited(u: Any, good: Any, tol: Any, axis: int) -> str:
    """Which parts along an axis are zero where all others are right, in words; "" if it is not so."""
    n = np.shape(u)[axis]
    mine, right, near = (np.moveaxis(np.broadcast_to(v, np.shape(u)), axis, 0).reshape(n, -1) for v in (u, good, tol))
    good_there = np.all(np.abs(mine - right) <= near, axis=1)
    empty = ~np.any(mine, axis=1) & ~good_there
    if not empty.any() or not good_there.any() or not (good_there | empty).all():
        return ""
    return f"at {', '.join(map(str, np.flatnonzero(empty)[:SHOWN]))} of axis {axis}"


def averaged(u: Any, good: Any, r: Record, tol: Any) -> Iterator[Suspect]:
    """All elements along an axis the same: summed or averaged where they must be kept apart."""
    for axis in range(np.ndim(u)):
        if np.shape(u)[axis] < 2:
            continue
        for name, total in (("summed", np.sum(good, axis, keepdims=True)),
                            ("averaged", np.mean(good, axis, keepdims=True))):
            if np.all(np.abs(u - total) <= tol):
                yield Suspect("wrong-axis", 1.3, None, change={r: u - good}, param=r, told=f"{name} over axis {axis}",
                              tag=f"{name} {axis}")


def in_shape(r: Record, u: Any, g: Any, tol: Any) -> tuple[Suspect, Any]:
    """A gradient of the wrong shape: what was forgotten, and the gradient in the right shape."""
    shape = np.shape(r.value)
    options: list[tuple[str, str, Any]] = []
    if np.ndim(u) > 1 and np.shape(u)[::-1] == shape:
        options.append(("transposed-result", "", u.T))
    for axis in range(np.ndim(u)):
        for keep in (False, True):
            total = u.sum(axis=axis, keepdims=keep)
            if total.shape == shape:
                options.append(("missing-broadcast-reduction", f"axis {axis}", total))
    if np.size(u) == np.size(r.value):
        options.append(("transposed-result", "the same numbers in another shape", np.reshape(u, shape)))
    for axis in range(len(shape)):
        for keep in (False, True):
            if np.shape(np.sum(g, axis=axis, keepdims=keep)) == np.shape(u):
                for name, total in (("summed", np.sum(g, axis=axis, keepdims=keep)),
                                    ("averaged", np.mean(g, axis=axis, keepdims=keep))):
                    if np.all(np.abs(u - total) <= MATCH * np.max(tol, initial=0) * max(np.shape(g))):
                        return Suspect("wrong-axis", 1.0, None, change={}, param=r, told=f"{name} over axis {axis}"), g
    if np.size(u) == 1 and np.abs(np.sum(u) - np.sum(g)) <= MATCH * np.sum(tol):
        return Suspect("wrong-axis", 1.0, None, change={}, param=r, told="summed over everything"), g
    for kind, told, value in options:
        if np.all(np.abs(value - g) <= MATCH * tol):
            return Suspect(kind, 0.9, None, change={}, param=r, told=told), value
    for axis in range(np.ndim(u)):
        if np.shape(np.mean(u, axis)) == shape and np.all(np.abs(np.mean(u, axis) - g) <= MATCH * tol):
            return Suspect("missing-broadcast-reduction", 1.2, None, change={}, param=r, told=f"axis {axis}"), g
    if options:
        kind, told, value = options[0]
        return Suspect(kind, 1.0, None, change={}, param=r, told=told), value
    return Suspect("wrong-axis", 1.5, None, change={}, param=r, told=f"shape {np.shape(u)}"), g
