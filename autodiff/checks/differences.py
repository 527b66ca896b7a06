"""Derivatives by running the program at nearby points: what neither the tape's rules nor a hand derivation enter."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from autodiff.checks.noise import DOUBLE, REPEATS, shaking
from autodiff.checks.program import Each
from autodiff.ops.complex import is_complex
from autodiff.record import Record
from autodiff.tape import Tape
from autodiff.tensor import Tensor

STEP = 1e-20               # of a complex step, relative to what it is a step of
FIRST = 2.0 ** -5          # the largest step of differences, likewise
LEVELS = 9                 # how often it is halved at most
Index = tuple[int, ...]


class NotAnalytic(Exception):
    """An operation on the tape cannot be run on complex numbers, or does not carry their imaginary part on."""


class Numeric(NamedTuple):
    """Derivatives at some elements, how far off they may be, and how they were found."""

    values: Any
    errors: Any
    method: str


def complex_step(tape: Tape, wrt: Tensor | Record, indices: Sequence[Index] | None = None,
                 values: Mapping[Record, Any] | None = None) -> Any:
    """∂output/∂wrt at some elements, as Im f(x + ih) / h with a tiny h: nothing is subtracted, so nothing is lost.

    W. Squire and G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM
    Review 40 (1998).

    Parameters
    ----------
    tape : Tape
        A program with one output of one element.
    wrt : Tensor or Record
        A leaf or an intermediate on it.
    indices : sequence of tuple of int, optional
        Which elements; all by default.
    values : dict of Record to array, optional
        Where: other values for some of them.

    Returns
    -------
    ndarray
        One float64 per index.

    Raises
    ------
    NotAnalytic
        If an operation on the tape is not analytic.

    Examples
    --------
    >>> from autodiff.checks.differences import complex_step
    >>> x = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> complex_step(ad.Tape((x ** 3).sum()), x)
    array([ 3., 12.])
    """
    point, record, x = start(wrt, values)
    x = x.astype(np.complex128)
    h = STEP * scale_of(x)

    if any(is_complex(r) for r in tape.all):
        raise NotAnalytic("the program computes with complex numbers itself")

    def analytic(r: Record, y: Any) -> Any:
        parts = y if isinstance(y, tuple) else (y,)
        if r.requires_grad and any(np.asarray(part).dtype.kind != "c" for part in parts):
            raise NotAnalytic(r.op.name if r.op else "")
        return y

    found = []
    for index in everywhere(x) if indices is None else indices:
        moved = x.copy()
        moved[index] += 1j * h
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                y = tape.replay({**point, record: moved}, dtype=np.complex128, each=analytic, strict=False)
        except NotAnalytic:
            raise
        except Exception as error:           # whatever a user's function does on meeting complex numbers
            raise NotAnalytic(str(error)) from error
        found.append(np.imag(y).item() / h)
    return np.array(found)


def richardson(tape: Tape, wrt: Tensor | Record, indices: Sequence[Index] | None = None,
               values: Mapping[Record, Any] | None = None) -> tuple[Any, Any]:
    """∂output/∂wrt at some elements by central differences extrapolated to step 0, with error bars.

    C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", Advances in Engineering Software 4
    (1982). Always run in float64.

    Parameters
    ----------
    tape, wrt, indices, values
        As in `complex_step`.

    Returns
    -------
    values, errors : ndarray
        One float64 each per index. At a kink the error bar is large.

    Examples
    --------
    >>> from autodiff.checks.differences import richardson
    >>> x = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> value, error = richardson(ad.Tape((x ** 3).sum()), x)
    >>> bool(np.all(abs(value - [3, 12]) <= error)), bool(np.all(error < 1e-9))
    (True, True)
    """
    point, record, x = start(wrt, values)

    def run(moved: Any, each: Each | None = None) -> float:
        with np.errstate(all="ignore"):
            y = tape.replay({**point, record: moved}, dtype=np.float64, each=each, strict=False)
        return float(np.asarray(y).item())

    def moved_by(h: float, index: Index) -> float:
        moved = x.astype(np.float64)
        moved[index] += h
        return run(moved)

    rng = np.random.default_rng(0)
    here = run(x)
    noise = max(abs(run(x, shaking({**(values or {}), record.record: x}, DOUBLE, rng)) - here) for _ in range(REPEATS))
    found = []
    for index in everywhere(x) if indices is None else indices:
        h = FIRST * max(abs(float(x[index])), scale_of(x))
        found.append(extrapolated(lambda h, index=index: moved_by(h, index), h, noise))    # type: ignore[misc]
    columns = np.array(found).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]


def extrapolated(f: Callable[[float], float], h: float, noise: float = 0.0) -> tuple[float, float]:
    """f'(0) and an error bar, from Ridders' table of central differences with halved steps.

    `noise` is how far rounding moves f, if that is known to be more than one rounding of its value.
    """
    best, error = np.nan, np.inf
    above: list[float] = []
    for _ in range(LEVELS):
        up, down = f(h), f(-h)
        rounding = 4 * (noise + DOUBLE * max(abs(up), abs(down))) / h
        row = [(up - down) / (2 * h)]
        for k, old in enumerate(above):
            row.append(row[k] + (row[k] - old) / (4 ** (k + 1) - 1))
            bar = 2 * max(abs(row[k + 1] - row[k]), abs(row[k + 1] - old)) + rounding
            if bar < error:
                best, error = row[k + 1], bar
        above = row
        h = h / 2
    return best, float(error)


def derivative(tape: Tape, wrt: Tensor | Record, indices: Sequence[Index] | None = None,
               values: Mapping[Record, Any] | None = None) -> Numeric:
    """By complex step where every operation is analytic, else by extrapolated differences."""
    try:
        found = complex_step(tape, wrt, indices, values)
        return Numeric(found, np.zeros(len(found)), "complex step")
    except NotAnalytic:
        return Numeric(*richardson(tape, wrt, indices, values), "Richardson")


def start(wrt: Tensor | Record, values: Mapping[Record, Any] | None) -> tuple[dict[Tensor | str, Any], Tensor, Any]:
    """Where the steps are taken from, as a replay wants it: the other values, what is moved, and its value."""
    record = wrt.record if isinstance(wrt, Tensor) else wrt
    others: dict[Tensor | str, Any] = {Tensor.of(r): value for r, value in (values or {}).items() if r is not record}
    return others, Tensor.of(record), np.array((values or {}).get(record, record.value))


def scale_of(x: Any) -> float:
    """What steps are relative to: the size of the array's elements."""
    size = float(np.max(np.abs(x), initial=0))
    return size if size > 0 and np.isfinite(size) else 1.0


def everywhere(x: Any) -> list[Index]:
    """The indices of all elements."""
    return list(np.ndindex(np.shape(x)))
