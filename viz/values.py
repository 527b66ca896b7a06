"""An array in the space of a stamp: its few numbers, or a thumbnail of at most 6 x 6 cells and a norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

FEW, WIDE = 4, 2    # arrays of at most this many entries, this many in a row, are shown as numbers
CELLS = 6           # thumbnails have at most this many rows and columns
LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a picture tells about one array.

    Attributes
    ----------
    shape : tuple of int
        The array's.
    dtype : str
        The array's.
    numbers : tuple of tuple of str
        The entries, row by row, of an array that has at most four, two in a row; else ().
    heat : tuple of tuple of float
        Otherwise: the mean of each block of entries, as a part of the largest, in [-1, 1]; NaN and inf
        where the block holds one. Of complex numbers, the modulus.
    norm : float
        The Euclidean norm of all entries; NaN or inf if one of them is.
    nan, inf : int
        How many entries are not numbers, and how many are infinite.
    """

    shape: tuple[int, ...]
    dtype: str
    numbers: tuple[tuple[str, ...], ...]
    heat: tuple[tuple[float, ...], ...]
    norm: float
    nan: int
    inf: int

    @property
    def size(self) -> int:
        """How many entries the array has."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def is_averaged(self) -> bool:
        """Whether a cell of the thumbnail stands for more than one entry."""
        return len(self.heat) > 0 and len(self.heat) * len(self.heat[0]) < self.size

    @property
    def shape_text(self) -> str:
        """The shape as people write it.

        >>> summarized(np.zeros((4, 3))).shape_text, summarized(np.float64(1)).shape_text
        ('4×3', 'scalar')
        """
        return "×".join(map(str, self.shape)) or "scalar"

    @property
    def trouble(self) -> str:
        """What is wrong with the entries, in words; "" if all are finite.

        >>> summarized(np.array([1.0, np.nan, np.inf])).trouble
        '1 NaN, 1 inf'
        """
        return ", ".join(f"{n} {word}" for n, word in ((self.nan, "NaN"), (self.inf, "inf")) if n)


def summarized(value: Any) -> Summary:
    """The summary of an array or a number.

    >>> summarized(np.array([0.5, -1.9e-5])).numbers
    (('0.5', '-1.9e-5'),)
    >>> summarized(np.arange(-3.0, 3.0)).heat
    ((-1.0, -0.6666666666666666, -0.3333333333333333, 0.0, 0.3333333333333333, 0.6666666666666666),)
    """
    a = np.asarray(value)
    if a.dtype.kind not in "biufc":
        return Summary(a.shape, str(a.dtype), (), (), 0.0, 0, 0)
    table = a.reshape(-1, a.shape[-1] if a.ndim else 1) if a.size else np.zeros((0, 0))
    few = 0 < a.size <= FEW and table.shape[1] <= WIDE
    numbers = tuple(tuple(number(v) for v in row) for row in table.tolist()) if few else ()
    with np.errstate(all="ignore"):
        m = np.abs(table).astype(np.float64) if a.dtype.kind == "c" else table.astype(np.float64)
        m = np.where(np.isfinite(table), np.clip(m, -LARGEST, LARGEST), m)       # |z| of a finite z may overflow
        finite = np.isfinite(m)
        sound = bool(finite.all())
        nan = 0 if sound else int(np.isnan(m).sum())
        inf = 0 if sound else m.size - int(finite.sum()) - nan
        largest = float(np.max(np.abs(m), initial=0.0, where=finite))
        m = m / largest if largest > 0 else m          # first, so that squares and sums cannot overflow
        norm = largest * float(np.sqrt(np.sum(m * m))) if largest > 0 or not sound else 0.0
        if not sound:
            norm = float("nan") if nan else float("inf")
        heat = () if numbers or not a.size else thumbnail(m)
    return Summary(a.shape, str(a.dtype), numbers, heat, norm, nan, inf)


def thumbnail(m: np.ndarray[Any, Any]) -> tuple[tuple[float, ...], ...]:
    """The means of at most 6 x 6 blocks of a matrix, as parts of the largest of them."""
    rows, columns = cuts(m.shape[0]), cuts(m.shape[1])
    blocks = np.add.reduceat(np.add.reduceat(m, rows, axis=0), columns, axis=1)
    blocks = blocks / np.outer(np.diff(rows, append=m.shape[0]), np.diff(columns, append=m.shape[1]))
    largest = np.max(np.abs(blocks), initial=0.0, where=np.isfinite(blocks))
    blocks = blocks / largest if largest > 0 else blocks
    return tuple(tuple(row) for row in blocks.tolist())


def cuts(n: int) -> np.ndarray[Any, Any]:
    """Where the blocks along an axis of n entries start."""
    k = min(n, CELLS)
    return np.arange(k) * n // k


def number(v: complex) -> str:
    """A number in the few characters that a card has room for.

    >>> [number(v) for v in (0.625, -1.868, 569, 12345.6, 1e-5, -0.0, 1 - 2j, True)]
    ['0.625', '-1.87', '569', '12346', '1e-5', '0', '1-2j', 'True']
    >>> number(float("nan")), number(-float("inf"))
    ('NaN', '-inf')
    """
    if isinstance(v, bool):
        return str(v)
    if isinstance(v, complex):
        imaginary = number(v.imag)
        return f"{number(v.real)}{'' if imaginary.startswith('-') else '+'}{imaginary}j"
    if v != v:
        return "NaN"
    if v in (float("inf"), -float("inf")):
        return "inf" if v > 0 else "-inf"
    if v == 0:
        return "0"
    if isinstance(v, int) and abs(v) < 1_000_000:
        return str(v)
    if not 1e-3 <= abs(v) < 1e5:
        mantissa, exponent = f"{v:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{v:.0f}" if abs(v) >= 1000 else f"{v:.3g}"
