"""An array as a table of its numbers, tinted by sign and size; a large one by its corners and what holds for all."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.display.pieces import HUES, NEGATIVE, POSITIVE, STRONGEST, cell, picked, row, safe, span, table

ROWS, COLUMNS = 10, 10      # of a table
LOUD = 0x59                 # how opaque the ground of NaN and infinity is, of 255
RED = HUES["alarm"]
EXAMINED = 10_000_000       # entries: of a larger array nothing is said that has to look at each
LARGEST = float(np.finfo(np.float64).max)


def number(v: Any) -> str:
    """A number in few characters.

    >>> [number(v) for v in (0.123456, 1e-7, 12345678.0, -3, True, 1 - 2j, float("nan"))]
    ['0.1235', '1e-07', '1.235e+07', '-3', 'True', '1-2j', 'nan']
    """
    return str(v) if isinstance(v, bool | int | np.bool_ | np.integer) else f"{v:.4g}"


def numbers(values: Any) -> str:
    """The table of an array, and below it what holds for all its entries.

    Rows are what lies along the last axis; with more than two axes each is headed by its place along the others.
    """
    a = np.asarray(values)
    if not a.size:
        return f"<p>{span('quiet', 'empty')}</p>"
    width = a.shape[-1] if a.ndim else 1
    count = a.size // width
    down, across = picked(count, ROWS), picked(width, COLUMNS)
    whole = None not in down and None not in across
    at = [[None if i is None or j is None else entry(a, i, j) for j in across] for i in down]
    scale = largest([v for line in at for v in line if v is not None]) if a.size > 1 else 0.0
    rows = []
    for i, line in zip(down, at, strict=True):
        places = "" if i is None else ",".join(map(str, np.unravel_index(i, a.shape[:-1]))) if a.ndim > 1 else ""
        cells = [cell(safe(places), "n quiet")] if a.ndim > 2 or (a.ndim == 2 and not whole) else []
        cells += [cell("⋮" if i is None else "…", "n quiet") if v is None else tinted(v, scale) for v in line]
        rows.append(row(cells))
    return table((), rows) + ("" if a.size == 1 else f"<p>{span('quiet', about(a))}</p>")


def entry(a: Any, i: int, j: int) -> Any:
    """The entry at row i and column j, without touching the others."""
    return a[np.unravel_index(i * (a.shape[-1] if a.ndim else 1) + j, a.shape)] if a.ndim else a[()]


def largest(entries: list[Any]) -> float:
    """The largest modulus of those that are finite; 0 for none."""
    sizes = [min(float(np.abs(complex(v))), LARGEST) for v in entries if np.isfinite(v)]
    return max(sizes, default=0.0)


def tinted(v: Any, scale: float) -> str:
    """A cell: sign by hue, size by strength, loud where it is no number."""
    words = safe(number(v))
    if not np.isfinite(v):
        return cell(f"<b>{words}</b>", "n", f' style="background:{RED}{LOUD:02x}"')
    part = min(float(np.abs(complex(v))), LARGEST) / scale if scale else 0.0
    strength = round(STRONGEST * part)
    hue = NEGATIVE if v.dtype.kind in "if" and v < 0 else POSITIVE
    return cell(words, "n", f' style="background:{hue}{strength:02x}"' if strength else "")


def about(a: Any) -> str:
    """What holds for all entries: how many are no numbers, the range, the mean, the Euclidean norm."""
    if a.size > EXAMINED:
        return f"{a.size:,} entries, too many to look at each"
    finite = a[np.isfinite(a)]
    nan = int(np.isnan(a).sum())
    trouble = [f"{n:,} {word}" for n, word in ((nan, "NaN"), (a.size - finite.size - nan, "inf")) if n]
    if not finite.size:
        return ", ".join(trouble)
    if a.dtype.kind == "b":
        return f"{int(a.sum()):,} of {a.size:,} are True"
    sizes = np.minimum(np.abs(finite.astype(np.complex128 if a.dtype.kind == "c" else np.float64)), LARGEST)
    top = float(sizes.max())
    norm = top * float(np.sqrt(np.sum((sizes / top) ** 2))) if top else 0.0
    said = [f"norm {number(norm)}"]
    if a.dtype.kind != "c":
        mean = float(np.mean(finite / top, dtype=np.float64)) * top if top else 0.0
        said = [f"{number(finite.min())} … {number(finite.max())}", f"mean {number(mean)}", *said]
    return ", ".join([*trouble, *said]) + (" of the others" if trouble else "")
