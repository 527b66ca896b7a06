"""Pooling: the largest or the mean element of each window, along any number of axes.

Of equal largest elements the first counts, and a NaN is the largest, as in PyTorch: y is x at these places, so the
gradient is put back there, and what is put back twice is added. `max_unpool` and `at_max` are each other's transposes,
and so are `avg_pool` and `avg_unpool`.

Padding is never the largest. In a mean it counts as zeros, unless told not to. With `ceil_mode` a last window may
reach over the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from autodiff.kinds import Op, linear_op
from autodiff.ops.convolution import (
    Pairs,
    each,
    extents,
    framed,
    inner,
    margins,
    places,
    samples_first,
    samples_last,
)

Index = tuple[slice, ...]


# ---- where the windows lie

def windows(sizes: Sequence[int], window: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
            ceil_mode: bool = False) -> tuple[Pairs, list[Index]]:
    """How far x is padded, and for each place of the window the index of what it sees (samples are last)."""
    dims = len(sizes)
    window = each(window, dims)
    stride = window if stride is None else each(stride, dims)
    dilation = each(dilation, dims)
    pads = margins(padding, window, stride, dilation)
    if any(2 * max(pair) > d * (k - 1) + 1 for pair, k, d in zip(pads, window, dilation)):
        raise ValueError(f"padding={padding} is more than half of a window of {window}: some would lie outside of x")
    if ceil_mode:
        pads = rounded_up(sizes, window, stride, pads, dilation)
    counts = extents(sizes, window, stride, pads, dilation)
    return pads, [(slice(None), *places(offset, counts, stride, dilation)) for offset in np.ndindex(*window)]


def rounded_up(sizes: Sequence[int], window: Sequence[int], stride: Sequence[int], pads: Pairs,
               dilation: Sequence[int]) -> Pairs:
    """The margins with room for one more window, if it starts within x or the margin before it."""
    found = []
    for n, k, s, (before, after), d in zip(sizes, window, stride, pads, dilation):
        room = n + before + after - d * (k - 1) - 1
        last = min(-(-room // s), (n + before - 1) // s)
        found.append((before, max(after, last * s + d * (k - 1) + 1 - n - before)))
    return found


def apart(seen: list[Index]) -> bool:
    """Whether no element is in two windows: the last place of one comes before the first of the next."""
    return all(place.start < place.step for place in seen[-1][1:])


def members(sizes: Sequence[int], window: Any, stride: Any, padding: Any, counts: Sequence[int],
            include_pad: bool) -> Any:
    """How many elements each window has: one number, or one for each place of the result."""
    window = each(window, len(sizes))
    stride = window if stride is None else each(stride, len(sizes))
    found: Any = 1
    for n, k, s, (before, after), m in zip(sizes, window, stride, margins(padding, window, stride, 1), counts):
        low, high = (-before, n + after) if include_pad else (0, n)
        along = [min(i * s - before + k, high) - max(i * s - before, low) for i in range(m)]
        found = np.multiply.outer(found, along if len(set(along)) > 1 else along[:1])
    return int(found.flat[0]) if found.size == 1 else np.expand_dims(found, -1)


def emptied(g: Any, sizes: Sequence[int], pads: Pairs) -> Any:
    """A padded x of zeros, for what goes back to it."""
    padded = (n + sum(pair) for n, pair in zip(sizes, pads))
    return np.zeros_like(g, order="C", shape=(np.shape(g)[1], *padded, len(g)))


def cropped(x: Any, sizes: Sequence[int], pads: Pairs) -> Any:
    """x without its padding, the samples first."""
    return samples_first(x[(slice(None), *inner(sizes, pads))])


# ---- the largest

def lowest(dtype: Any) -> Any:
    """What is no larger than any number."""
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def firsts(x: Any, y: Any, pads: Pairs, seen: list[Index]) -> Iterator[tuple[Index, Any]]:
    """For each place of the window: what it sees, and where that is the first of the largest; never the margin."""
    nan = framed(samples_last(x != x), pads) if np.any(y != y) else None
    x, y = framed(samples_last(x), pads, np.nan if x.dtype.kind in "fc" else lowest(x.dtype)), samples_last(y)
    free = np.ones_like(y, dtype=bool)
    for place in seen:
        hit = x[place] == y
        if nan is not None:
            hit |= nan[place]
        hit &= free
        free ^= hit
        yield place, hit


def highest(x: Any, window: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
            ceil_mode: bool = False) -> Any:
    """The largest element of each window: x (samples, channels, *sizes).

    `window`, `stride` (by default the window), `padding` and `dilation` are a number for all axes or one for each.

    Examples
    --------
    >>> ad.max_pool(np.array([[[1.0, 3.0, 2.0, 5.0, 4.0]]]), window=2)
    array([[[3., 5.]]])
    """
    pads, seen = windows(np.shape(x)[2:], window, stride, padding, dilation, ceil_mode)
    x = framed(samples_last(x), pads, lowest(x.dtype))
    y = np.copy(x[seen[0]])
    for place in seen[1:]:
        np.maximum(y, x[place], out=y)
    return samples_first(y)


def put_at_max(g: Any, x: Any, y: Any, window: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False) -> Any:
    """Zeros, with each element of g added where x is the largest of its window."""
    sizes = np.shape(x)[2:]
    pads, seen = windows(sizes, window, stride, padding, dilation, ceil_mode)
    back, alone = emptied(g, sizes, pads), apart(seen)
    g = samples_last(g)
    for place, hit in firsts(x, y, pads, seen):
        if alone:
            np.multiply(g, hit, out=back[place])
        else:
            back[place] += g * hit
    return cropped(back, sizes, pads)


def taken_at_max(u: Any, x: Any, y: Any, window: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                 ceil_mode: bool = False) -> Any:
    """What of u stands where x is the largest of its window."""
    pads, seen = windows(np.shape(x)[2:], window, stride, padding, dilation, ceil_mode)
    u = framed(samples_last(u), pads)
    return samples_first(sum(u[place] * hit for place, hit in firsts(x, y, pads, seen)))


# ---- the mean

def means(x: Any, window: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
          count_include_pad: bool = True) -> Any:
    """The mean of each window: x (samples, channels, *sizes).

    `window`, `stride` (by default the window) and `padding` are a number for all axes or one for each.

    Examples
    --------
    >>> ad.avg_pool(np.array([[[1.0, 3.0, 2.0, 5.0, 4.0]]]), window=2)
    array([[[2. , 3.5]]])
    """
    sizes = np.shape(x)[2:]
    pads, seen = windows(sizes, window, stride, padding, 1, ceil_mode)
    x = framed(samples_last(x), pads)
    total = sum(x[place] for place in seen)
    counts = np.shape(total)[1:-1]
    return samples_first(over(total, members(sizes, window, stride, padding, counts, count_include_pad)))


def spread_means(g: Any, shape: tuple[int, ...], window: Any, stride: Any = None, padding: Any = 0,
                 ceil_mode: bool = False, count_include_pad: bool = True) -> Any:
    """Each mean's g, shared among the elements of its window, on an x of this shape."""
    pads, seen = windows(shape, window, stride, padding, 1, ceil_mode)
    each_has = members(shape, window, stride, padding, np.shape(g)[2:], count_include_pad)
    back, share = emptied(g, shape, pads), over(samples_last(g), each_has)
    for place in seen:
        back[place] += share
    return cropped(back, shape, pads)


def over(total: Any, members: Any) -> Any:
    """A sum divided by how many there are."""
    return total / (members if np.ndim(members) == 0 else np.asarray(members, total.dtype, like=total))


max_pool: Op = Op(highest, "max_pool").vjp(lambda g, y, x, **o: max_unpool(g, x, y, **o)).jvp(
    lambda t, y, x, **o: at_max(t, x, y, **o))

# -------------------------- name         forward        transpose of its first operand; the others say where
max_unpool: Op = linear_op("max_unpool",  put_at_max,    lambda u, _, g, x, y, **o: at_max(u, x, y, **o), None, None)
at_max: Op     = linear_op("at_max",      taken_at_max,  lambda g, _, u, x, y, **o: max_unpool(g, x, y, **o), None, None)
avg_pool: Op   = linear_op("avg_pool",    means,         lambda g, y, x, **o: avg_unpool(g, shape=np.shape(x)[2:], **o))
avg_unpool: Op = linear_op("avg_unpool",  spread_means,  lambda u, _, g, shape, **o: avg_pool(u, **o))
