"""Convolution and pooling as plain functions, with PyTorch's names and meanings; `nn.functional` offers them.

Each records for the line that called it. On arrays alone each returns an array.
"""

from __future__ import annotations

from types import FrameType
from typing import Any

import autodiff as ad
from autodiff import ShapeError
from autodiff.kinds import Op
from autodiff.protocol import operand, settled
from nn.module import caller
from nn.reduction import at, shape_of

SHAPES = {1: "(samples, channels, length)", 2: "(samples, channels, height, width)"}
DEFAULTS = {"padding": 0, "dilation": 1, "groups": 1, "ceil_mode": False, "count_include_pad": True}


def conv1d(x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:
    """Convolution along one axis, as `conv2d` along two.

    Parameters
    ----------
    x : array_like, shape (samples, channels, length)
        Series.
    weight : array_like, shape (n_out, channels / groups, window)
        The kernel.
    bias, stride, padding, dilation, groups
        As for `conv2d`.

    Returns
    -------
    Tensor or ndarray, shape (samples, n_out, n)

    Raises
    ------
    ShapeError
        If the shapes do not fit together, or the kernel not into x.

    Examples
    --------
    >>> x, w = np.array([[[1.0, 4.0, 9.0, 16.0]]]), np.array([[[-1.0, 1.0]]])
    >>> nn.functional.conv1d(x, w)
    array([[[3., 5., 7.]]])
    """
    frame = caller()
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return convolution("conv1d", 1, x, weight, bias, options, frame)


def conv2d(x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:
    """Convolution along two axes: at each place the kernel times what it covers, summed. The kernel is not flipped.

    Parameters
    ----------
    x : array_like, shape (samples, channels, height, width)
        Images.
    weight : array_like, shape (n_out, channels / groups, window height, window width)
        The kernel.
    bias : array_like, shape (n_out,), optional
        Added to each channel that comes out.
    stride : int or pair
        How far the kernel moves from place to place.
    padding : int, pair, "same" or "valid"
        How many zeros x gets before and after, along each axis; a pair (before, after) may stand for each. With "same"
        as many as give a result of x's size.
    dilation : int or pair
        How far the kernel's elements lie apart on x.
    groups : int
        The channels fall into so many groups of neighbours, and each group has kernels of its own.

    Returns
    -------
    Tensor or ndarray, shape (samples, n_out, height, width)
        Sizes of floor((size + 2 padding - dilation (window - 1) - 1) / stride) + 1. In memory the samples are
        innermost: where that matters, take np.ascontiguousarray of it.

    Raises
    ------
    ShapeError
        If the shapes do not fit together, or the kernel not into x.

    Examples
    --------
    >>> edges = np.array([[[[-1.0, 1.0]]]])
    >>> nn.functional.conv2d(np.array([[[[0.0, 0.0, 1.0, 1.0]]]]), edges)
    array([[[[0., 1., 0.]]]])
    """
    frame = caller()
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return convolution("conv2d", 2, x, weight, bias, options, frame)


def max_pool1d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False) -> Any:
    """The largest element of each window along one axis, as `max_pool2d` along two: x (samples, channels, length).

    >>> nn.functional.max_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    array([[[3., 2.]]])
    """
    frame = caller()
    options = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    return pooled(ad.max_pool, "max_pool1d", 1, x, kernel_size, options, frame)


def max_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False) -> Any:
    """The largest element of each window. Of equal ones the first, row by row, gets the gradient.

    Parameters
    ----------
    x : array_like, shape (samples, channels, height, width)
        Images.
    kernel_size : int or pair
        The size of the window.
    stride : int or pair, optional
        How far it moves; by default its size.
    padding : int or pair
        What is added before and after x, at most half of the window; it is never the largest.
    dilation : int or pair
        How far the window's elements lie apart on x.
    ceil_mode : bool
        Whether a last window may reach over the end.

    Returns
    -------
    Tensor or ndarray, shape (samples, channels, height, width)

    Raises
    ------
    ShapeError
        If the window does not fit into x.

    Examples
    --------
    >>> nn.functional.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """
    frame = caller()
    options = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    return pooled(ad.max_pool, "max_pool2d", 2, x, kernel_size, options, frame)


def avg_pool1d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Any:
    """The mean of each window along one axis, as `avg_pool2d` along two: x (samples, channels, length).

    >>> nn.functional.avg_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    array([[[2., 1.]]])
    """
    frame = caller()
    options = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    return pooled(ad.avg_pool, "avg_pool1d", 1, x, kernel_size, options, frame)


def avg_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Any:
    """The mean of each window.

    Parameters
    ----------
    x, kernel_size, stride, padding, ceil_mode
        As for `max_pool2d`; padding is zeros.
    count_include_pad : bool
        Whether padding counts as elements of the window.

    Returns
    -------
    Tensor or ndarray, shape (samples, channels, height, width)

    Raises
    ------
    ShapeError
        If the window does not fit into x.

    Examples
    --------
    >>> nn.functional.avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """
    frame = caller()
    options = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    return pooled(ad.avg_pool, "avg_pool2d", 2, x, kernel_size, options, frame)


# ---- what they share

def convolution(name: str, dims: int, x: Any, weight: Any, bias: Any, options: dict[str, Any],
                frame: FrameType) -> Any:
    """Convolve along so many axes."""
    x, weight = samples_of(name, dims, x, frame), operand(weight)
    inputs = (x, weight) if bias is None else (x, weight, operand(bias))
    return ad.conv(*inputs, **told(options, stride=1), _frame=frame)


def pooled(op: Op, name: str, dims: int, x: Any, window: Any, options: dict[str, Any], frame: FrameType) -> Any:
    """Pool along so many axes."""
    return op(samples_of(name, dims, x, frame), window=settled(window), **told(options, stride=None), _frame=frame)


def told(options: dict[str, Any], **usual: Any) -> dict[str, Any]:
    """The options that are not as usual, which a tape need not repeat."""
    usual = {**DEFAULTS, **usual}
    return {key: settled(value) for key, value in options.items() if settled(value) != usual[key]}


def samples_of(name: str, dims: int, x: Any, frame: FrameType) -> Any:
    """x, checked to have an axis of samples, one of channels and so many others."""
    x = operand(x)
    shape = shape_of(x)
    if len(shape) != dims + 2:
        advice = {dims + 1: "\n  One sample alone is x[None]; samples of one channel are x[:, None].",
                  dims: "\n  One sample of one channel is x[None, None]."}.get(len(shape), "")
        raise ShapeError(f"{name} takes x of shape {SHAPES[dims]}, and this has shape {shape}{advice}{at(frame)}")
    return x
