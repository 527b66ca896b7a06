"""Convolution along any number of axes, and the two operations that are its gradients.

As neural networks mean it: the kernel is not flipped. With stride s, dilation d and a margin of zeros before,

    y[n, o, p] = b[o] + Σ x[n, c, s p + d k - before] w[o, c, k]    over channels c and places k of the kernel.

Multiplied by g[n, o, p] and summed over everything this is linear in x, in w and in g. `conv` leaves g out, and
`conv_transpose` x, and `conv_weight` w: so each one's rules are the other two, to any order.
(Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.)

All three are products of matrices: the kernel as rows (out, channels times places) with columns, what the kernel sees
at each place (Chellapilla, Puri and Simard, 2006). What was measured to be fast, and is done:

- Samples are innermost in memory. Then columns are copied in long runs whatever the image's size, and the samples need
  no loop of their own. Results stay so, seen from outside in the usual order of axes; the next layer finds them ready.
- Columns are made for a few rows of the result at a time, as many as stay in a core's cache, and used there.
- The gradient of x is itself a convolution, of g with the kernel turned, where nothing is skipped (stride 1) and g has
  no more channels than x. Else columns are multiplied out and added up in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from autodiff.kinds import Op

BLOCK = 1 << 19             # bytes of columns made at a time: 256 KB to 64 MB were tried, most shapes are fastest here
LARGER = 8                  # times as many where they are added up, in so many calls for each block
Pairs = list[tuple[int, int]]


# ---- the geometry

def each(option: Any, dims: int) -> tuple[Any, ...]:
    """An option for each axis: one number stands for all."""
    options = tuple(option) if hasattr(option, "__len__") else (option,) * dims
    if len(options) != dims:
        raise ValueError(f"{option} is not one number, nor one for each of {dims} axes")
    return options


def margins(padding: Any, kernel: Sequence[int], stride: Any, dilation: Any) -> Pairs:
    """How much is added before and after, along each axis."""
    dims = len(kernel)
    if isinstance(padding, str) and padding == "valid":
        padding = 0
    if isinstance(padding, str) and padding == "same":
        if any(s != 1 for s in each(stride, dims)):
            raise ValueError(f"padding='same' gives a result of x's size, and stride={stride} does not; give numbers")
        spare = [d * (k - 1) for k, d in zip(kernel, each(dilation, dims))]
        return [(n // 2, n - n // 2) for n in spare]
    given = tuple(padding) if hasattr(padding, "__len__") else (padding,) * dims
    if isinstance(padding, str) or len(given) != dims or any(len(p) != 2 for p in given if hasattr(p, "__len__")):
        raise ValueError(f"padding={padding!r} is not 'same', 'valid', a number, nor a number or a pair (before, "
                         f"after) for each of {dims} axes")
    pairs = [tuple(p) if hasattr(p, "__len__") else (p, p) for p in given]
    if min(map(min, pairs)) < 0:
        raise ValueError(f"padding={padding} adds less than nothing")
    return pairs


def extents(sizes: Sequence[int], kernel: Sequence[int], stride: Any, pads: Pairs, dilation: Any) -> tuple[int, ...]:
    """The sizes of the result: at how many places along each axis the kernel fits."""
    dims = len(sizes)
    found: list[int] = []
    for n, k, s, (before, after), d in zip(sizes, kernel, each(stride, dims), pads, each(dilation, dims)):
        if min(k, s, d) < 1:
            raise ValueError(f"window {tuple(kernel)}, stride={stride}, dilation={dilation}: all are 1 or more")
        room = n + before + after - d * (k - 1) - 1
        if room < 0:
            raise ValueError(f"a window of {k}{f' dilated to {d * (k - 1) + 1}' if d > 1 else ''} is larger than x, "
                             f"{n}{f' and {before + after} of padding' if before + after else ''} along axis "
                             f"{len(found) + 2}")
        found.append(room // s + 1)
    return tuple(found)


def framed(x: Any, pads: Sequence[tuple[int, int]], fill: Any = 0) -> Any:
    """x, its samples along the last axis, within a margin; x itself where there is none."""
    if not any(map(any, pads)):
        return x
    channels, *sizes, n = np.shape(x)
    padded = (size + sum(pair) for size, pair in zip(sizes, pads))
    y = np.full_like(x, fill, order="C", shape=(channels, *padded, n))
    y[(slice(None), *inner(sizes, pads))] = x
    return y


def inner(sizes: Sequence[int], pads: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    """The index of what is within the margin."""
    return tuple(slice(before, before + n) for n, (before, _) in zip(sizes, pads))


def places(offset: Sequence[int], counts: Sequence[int], stride: Sequence[int],
           dilation: Sequence[int]) -> tuple[slice, ...]:
    """The index of what one place of the kernel sees, for all results."""
    return tuple(slice(d * o, d * o + s * (n - 1) + 1, s) for o, n, s, d in zip(offset, counts, stride, dilation))


def samples_last(x: Any) -> Any:
    """Axis 0 as the last one; the memory stays."""
    return np.transpose(x, (*range(1, np.ndim(x)), 0))


def samples_first(x: Any) -> Any:
    """Back again."""
    last = np.ndim(x) - 1
    return np.transpose(x, (last, *range(last)))


# ---- columns

def innermost(x: Any, pads: Sequence[tuple[int, int]] = ()) -> Any:
    """The samples as the last axis, contiguous, within a margin of zeros."""
    x = framed(samples_last(x), pads)
    return x if x.flags.c_contiguous else np.copy(x, order="C")


def columns(x: Any, kernel: Sequence[int], stride: Any, pads: Pairs, dilation: Any) -> Any:
    """What the kernel sees: a view (channels, *kernel, *out, samples)."""
    dims = len(kernel)
    axes = tuple(range(1, dims + 1))
    x = innermost(x, pads)
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, each(dilation, dims)))
    seen = np.lib.stride_tricks.sliding_window_view(x, spans, axes)
    steps = (*each(stride, dims), 1, *each(dilation, dims))
    seen = seen[(slice(None), *(slice(None, None, step) for step in steps))]
    return np.transpose(seen, (0, *range(dims + 2, 2 * dims + 2), *axes, dims + 1))


def blocks(counts: Sequence[int], size: int) -> Iterator[slice]:
    """Runs of rows of the result, each with columns of about BLOCK bytes, `size` bytes to the row."""
    step = max(1, BLOCK // max(size, 1))
    return (slice(start, min(start + step, counts[0])) for start in range(0, counts[0], step))


def along(rows: slice, width: int) -> slice:
    """These rows of the result where all places stand in one axis."""
    return slice(rows.start * width, rows.stop * width)


# ---- the three

def convolved(x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
              groups: int = 1) -> Any:
    """Convolution along any number of axes: x (samples, channels, *sizes), w (out, channels / groups, *kernel).

    As in PyTorch: the kernel is not flipped, b (out,) is added, and `stride`, `padding` and `dilation` are a number for
    all axes or one for each. `padding` is also "same", "valid" or a pair (before, after) for each axis.

    Examples
    --------
    >>> x, w = np.arange(5.0).reshape(1, 1, 5), np.array([[[1.0, 0.0, -1.0]]])
    >>> ad.conv(x, w)
    array([[[-2., -2., -2.]]])
    >>> ad.conv(x, w, padding="same")
    array([[[-1., -2., -2., -2.,  3.]]])
    """
    check(np.shape(x), np.shape(w), None if b is None else np.shape(b), groups)
    kernel = np.shape(w)[2:]
    pads = margins(padding, kernel, stride, dilation)
    counts = extents(np.shape(x)[2:], kernel, stride, pads, dilation)
    seen = columns(x, kernel, stride, pads, dilation)
    n, width = np.shape(x)[0], math.prod(counts[1:]) * np.shape(x)[0]
    rows = np.reshape(w, (groups, len(w) // groups, math.prod(np.shape(w)[1:])))
    dtype = np.result_type(x, w) if b is None else np.result_type(x, w, b)
    y = np.empty_like(x, dtype=dtype, order="C", shape=(*np.shape(rows)[:2], counts[0] * width))
    for some in blocks(counts, width * len(rows) * np.shape(rows)[2] * dtype.itemsize):
        part = seen[(slice(None),) * (len(kernel) + 1) + (some,)]
        np.matmul(rows, np.reshape(part, (groups, np.shape(rows)[2], (some.stop - some.start) * width)),
                  out=y[..., along(some, width)])
    y = np.reshape(y, (len(w), *counts, n))
    if b is not None:
        y += np.reshape(b, (len(b),) + (1,) * (len(counts) + 1))
    return samples_first(y)


def transposed(g: Any, w: Any, shape: tuple[int, ...], stride: Any = 1, padding: Any = 0, dilation: Any = 1,
               groups: int = 1) -> Any:
    """The transposed convolution: what of g goes back to an x of this shape."""
    kernel, dims, n = np.shape(w)[2:], len(shape), np.shape(g)[0]
    stride, dilation = each(stride, dims), each(dilation, dims)
    pads, counts = margins(padding, kernel, stride, dilation), np.shape(g)[2:]
    channels = groups * np.shape(w)[1]
    beyond = [(d * (k - 1) - before, d * (k - 1) - after) for k, d, (before, after) in zip(kernel, dilation, pads)]
    if set(stride) == {1} and len(w) <= channels and min(map(min, beyond)) >= 0:
        return convolved(g, turned(w, groups), None, 1, beyond, dilation, groups)
    width = math.prod(counts[1:]) * n
    across = np.swapaxes(np.reshape(w, (groups, len(w) // groups, math.prod(np.shape(w)[1:]))), 1, 2)
    g = np.reshape(innermost(g), (groups, len(w) // groups, counts[0] * width))
    sizes = [size + sum(pair) for size, pair in zip(shape, pads)]
    x = np.zeros_like(g, dtype=np.result_type(g, w), order="C", shape=(channels, *sizes, n))
    for some in blocks(counts, width * channels * math.prod(kernel) * x.dtype.itemsize // LARGER):
        part = np.reshape(across @ g[..., along(some, width)],
                          (channels, *kernel, some.stop - some.start, *counts[1:], n))
        below = x[:, some.start * stride[0]:]
        for offset in np.ndindex(*kernel):
            below[(slice(None), *places(offset, np.shape(part)[dims + 1:], stride, dilation))] += \
                part[(slice(None), *offset)]
    return samples_first(x[(slice(None), *inner(shape, pads))])


def turned(w: Any, groups: int) -> Any:
    """The kernel with its two ends exchanged and every axis flipped: w for the way back."""
    grouped = np.reshape(w, (groups, len(w) // groups, *np.shape(w)[1:]))
    exchanged = np.reshape(np.swapaxes(grouped, 1, 2), (groups * np.shape(w)[1], len(w) // groups, *np.shape(w)[2:]))
    return np.copy(np.flip(exchanged, tuple(range(2, np.ndim(w)))), order="C")          # BLAS takes no negative strides


def weighed(x: Any, g: Any, window: tuple[int, ...], stride: Any = 1, padding: Any = 0, dilation: Any = 1,
            groups: int = 1) -> Any:
    """x correlated with g: what both contribute to a kernel of this window."""
    seen = columns(x, window, stride, margins(padding, window, stride, dilation), dilation)
    channels, out, counts = np.shape(x)[1], np.shape(g)[1], np.shape(g)[2:]
    width, height = math.prod(counts[1:]) * np.shape(g)[0], channels // groups * math.prod(window)
    g = np.swapaxes(np.reshape(innermost(g), (groups, out // groups, counts[0] * width)), 1, 2)
    total: Any = 0
    for some in blocks(counts, width * groups * height * x.dtype.itemsize):
        part = seen[(slice(None),) * (len(window) + 1) + (some,)]
        total = total + np.reshape(part, (groups, height, (some.stop - some.start) * width)) @ g[:, along(some, width)]
    return np.reshape(np.swapaxes(total, 1, 2), (out, channels // groups, *window))


def check(x: tuple[int, ...], w: tuple[int, ...], b: tuple[int, ...] | None, groups: int) -> None:
    """Refuse shapes that do not fit together."""
    if len(x) != len(w) or len(x) < 3:
        raise ValueError(f"x is (samples, channels, *sizes) and the kernel (out, channels / groups, *window), with as "
                         f"many axes; these have {len(x)} and {len(w)}. One sample alone is x[None], of one channel "
                         "x[:, None]")
    if groups < 1 or w[0] < 1 or w[0] % groups:
        raise ValueError(f"the kernel gives {w[0]} channels (its axis 0), which do not fall into {groups} groups")
    if x[1] != w[1] * groups:
        of = f" for each of {groups} groups: {w[1] * groups}" if groups > 1 else ""
        raise ValueError(f"x has {x[1]} channels (its axis 1), the kernel expects {w[1]} (its axis 1){of}")
    if x[1] < 1:
        raise ValueError("x has no channels")
    if b is not None and b != w[:1]:
        raise ValueError(f"the kernel gives {w[0]} channels (its axis 0), the bias has shape {b}, not {w[:1]}")


# --------------------------------- name              ∂ of its first operand                                ∂ of its second
conv: Op = Op(convolved, "conv").vjp(
    lambda g, y, x, w, b=None, **o: conv_transpose(g, w, shape=np.shape(x)[2:], **o),                       # ∂x
    lambda g, y, x, w, b=None, **o: conv_weight(x, g, window=np.shape(w)[2:], **o),                         # ∂w
    lambda g, y, x, w, b=None, **o: np.sum(g, axis=(0, *range(2, np.ndim(g)))),                             # ∂b
).jvp(
    lambda t, y, x, w, b=None, **o: conv(t, w, **o),
    lambda t, y, x, w, b=None, **o: conv(x, t, **o),
    lambda t, y, x, w, b=None, **o: np.reshape(t, (-1,) + (1,) * (np.ndim(x) - 2)))
conv_transpose: Op = Op(transposed, "conv_transpose").vjp(
    lambda u, x, g, w, shape, **o: conv(u, w, **o),                                                         # ∂g
    lambda u, x, g, w, shape, **o: conv_weight(u, g, window=np.shape(w)[2:], **o),                          # ∂w
).jvp(
    lambda t, x, g, w, **o: conv_transpose(t, w, **o),
    lambda t, x, g, w, **o: conv_transpose(g, t, **o))
conv_weight: Op = Op(weighed, "conv_weight").vjp(
    lambda v, w, x, g, window, **o: conv_transpose(g, v, shape=np.shape(x)[2:], **o),                       # ∂x
    lambda v, w, x, g, window, **o: conv(x, v, **o),                                                        # ∂g
).jvp(
    lambda t, w, x, g, **o: conv_weight(t, g, **o),
    lambda t, w, x, g, **o: conv_weight(x, t, **o))
