"""Bands of a function on a grid: their levels, the lines between them, and a small image of them."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BANDS = 12
FINE = 8            # pixels of the image between two points of the grid
WIDE = 8            # the levels are those of the logarithm if the largest value is so many times the smallest
# Between which sides of a square the line runs, by which of its corners lie above: sides are 0 below, 1 right, 2 above,
# 3 left; corners count 1, 2, 4, 8 around from below left. Saddles are cut one way.
SIDES = {1: (3, 0), 2: (0, 1), 3: (3, 1), 4: (1, 2), 5: (3, 2, 0, 1), 6: (0, 2), 7: (3, 2), 8: (2, 3), 9: (0, 2),
         10: (3, 0, 1, 2), 11: (1, 2), 12: (1, 3), 13: (0, 1), 14: (3, 0)}


def levels_of(values: Array) -> Array:
    """The levels between the bands; even steps of the logarithm where the values are positive and far apart.

    >>> levels_of(np.array([1.0, 2.0])).round(3)[[0, -1]]
    array([1.083, 1.917])
    >>> len(levels_of(np.array([np.nan, 3.0])))
    0
    """
    sound = values[np.isfinite(values)]
    if not sound.size or sound.min() == sound.max():
        return np.zeros(0)
    low, high = float(sound.min()), float(sound.max())
    if low > 0 and high / low > WIDE:
        return np.geomspace(low, high, BANDS + 1)[1:-1]
    return low + (high / BANDS - low / BANDS) * np.arange(1, BANDS)     # high - low may overflow


def contour(values: Array, level: float) -> list[tuple[float, float, float, float]]:
    """The line at a level as pieces x0, y0, x1, y1 in steps of the grid; values[i, j] stands at x = j, y = i.

    >>> contour(np.array([[0.0, 1.0], [0.0, 1.0]]), 0.25)
    [(0.25, 0.0, 0.25, 1.0)]
    """
    above = values > level
    codes = (above[:-1, :-1] + 2 * above[:-1, 1:] + 4 * above[1:, 1:] + 8 * above[1:, :-1]).astype(int)
    sound = np.isfinite(values)
    codes[~(sound[:-1, :-1] & sound[:-1, 1:] & sound[1:, 1:] & sound[1:, :-1])] = 0
    pieces = []
    for i, j in np.argwhere((codes > 0) & (codes < 15)):
        corners = [values[i, j], values[i, j + 1], values[i + 1, j + 1], values[i + 1, j]]

        def crossing(side: int, corners: list[Any] = corners, i: int = i, j: int = j) -> tuple[float, float]:
            a, b = corners[side], corners[(side + 1) % 4]
            t = float((level - a) / (b - a))
            return ((j + t, i), (j + 1, i + t), (j + 1 - t, i + 1), (j, i + 1 - t))[side]

        sides = SIDES[int(codes[i, j])]
        for k in range(0, len(sides), 2):
            (x0, y0), (x1, y1) = crossing(sides[k]), crossing(sides[k + 1])
            pieces.append((float(x0), float(y0), float(x1), float(y1)))
    return pieces


def bands_image(values: Array, levels: Array, colours: Sequence[str], broken: str) -> str:
    """The bands as a PNG in a data URI, the first row of values at the bottom; what is no number has its own colour.

    >>> bands_image(np.eye(3), np.array([0.5]), ["#ffffff", "#000000"], "#ff0000")[:22]
    'data:image/png;base64,'
    """
    fine = magnified(values)
    bands = np.searchsorted(levels, fine) if len(levels) else np.zeros(fine.shape, int)
    bands[~np.isfinite(fine)] = len(levels) + 1
    palette = b"".join(bytes.fromhex(c[1:]) for c in [*colours, broken])
    height, width = bands.shape
    rows = b"".join(b"\0" + row.tobytes() for row in bands[::-1].astype(np.uint8))
    head = struct.pack(">2I5B", width, height, 8, 3, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, data) for name, data in (
        (b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")))
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def chunk(name: bytes, data: bytes) -> bytes:
    """A part of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def magnified(values: Array) -> Array:
    """The values on a finer grid, linear between the points."""
    n, m = values.shape
    rows, columns = (np.linspace(0, k - 1, (k - 1) * FINE + 1) for k in (n, m))
    i, j = (np.minimum(at.astype(int), k - 2) for at, k in ((rows, n), (columns, m)))
    s, t = (rows - i)[:, None], (columns - j)[None, :]
    with np.errstate(all="ignore"):
        fine: Array = (values[np.ix_(i, j)] * (1 - s) * (1 - t) + values[np.ix_(i, j + 1)] * (1 - s) * t
                       + values[np.ix_(i + 1, j)] * s * (1 - t) + values[np.ix_(i + 1, j + 1)] * s * t)
    return fine
