"""Layers that look through windows: `Conv1d`, `Conv2d`, and pooling."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from nn import convolution_functions as functions
from nn import init
from nn.module import Module, Parameter

USUAL = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "count_include_pad": True}       # of pooling


class Convolution(Module):
    """What `Conv1d` and `Conv2d` share."""

    dims: ClassVar[int]
    function: ClassVar[Callable[..., Any]]

    def __init__(self, n_in: int, n_out: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                 groups: int = 1, bias: bool = True, rng: np.random.Generator | int | None = None,
                 dtype: Any = np.float64, init: Callable[..., Any] = init.glorot_normal_) -> None:
        window = window_of(kernel_size, self.dims)
        called = f"{type(self).__name__}({n_in}, {n_out}, {kernel_size}, groups={groups})"
        for size in (n_in, n_out, groups, *window):
            if operator.index(size) < 1:
                raise ValueError(f"{called}: sizes are positive, and {size} is not")
        if n_in % groups or n_out % groups:
            raise ValueError(f"{called}: {n_in} channels in and {n_out} out do not fall into {groups} groups")
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.weight = Parameter(np.zeros((n_out, n_in // groups, *window)), name="weight", dtype=dtype)
        self.bias = Parameter(np.zeros(n_out), name="bias", dtype=dtype) if bias else None
        init(self.weight, rng=rng)

    def forward(self, x: Any) -> Any:
        """The convolution of x, samples along axis 0 and channels along axis 1."""
        return self.function(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """The sizes, and what is not at its default."""
        n_out, n_in, *window = self.weight.shape
        options = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
        parts = [f"{n_in * self.groups}, {n_out}", f"kernel_size={short(tuple(window))}"]
        parts += [f"{name}={getattr(self, name)!r}" for name, usual in options.items() if getattr(self, name) != usual]
        return ", ".join(parts) + ("" if self.bias is not None else ", bias=False")


class Conv1d(Convolution):
    """Convolution of series, (samples, channels, length).

    Parameters and errors as for `Conv2d`, with one number where that has pairs.

    Attributes
    ----------
    weight : Parameter, shape (n_out, n_in / groups, window)
    bias : Parameter, shape (n_out,), or None

    Examples
    --------
    >>> layer = nn.Conv1d(2, 4, 3, padding="same", rng=0)
    >>> layer(np.ones((5, 2, 10))).shape
    (5, 4, 10)
    """

    dims = 1
    function = staticmethod(functions.conv1d)


class Conv2d(Convolution):
    """Convolution of images, (samples, channels, height, width): a dense layer on each window.

    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998.

    Parameters
    ----------
    n_in, n_out : int
        How many channels a sample has, and how many come out.
    kernel_size : int or pair
        The size of the window.
    stride, padding, dilation, groups
        As for `nn.functional.conv2d`.
    bias : bool
        Whether a number is added to each channel that comes out.
    rng : numpy.random.Generator or int, optional
        Where the initial weights come from; by default the generator of `autodiff.seed`.
    dtype : dtype
        Of the parameters.
    init : callable
        ``init(weight, rng=rng)`` writes the initial weights: one of `nn.init`. Biases start at zero.

    Attributes
    ----------
    weight : Parameter, shape (n_out, n_in / groups, window height, window width)
    bias : Parameter, shape (n_out,), or None

    Raises
    ------
    ValueError
        If a size is not positive, or the channels do not fall into so many groups.

    Examples
    --------
    >>> layer = nn.Conv2d(1, 6, 5, padding=2, rng=0)
    >>> layer.extra_repr()
    '1, 6, kernel_size=5, padding=2'
    >>> layer(np.ones((5, 1, 28, 28))).shape
    (5, 6, 28, 28)
    """

    dims = 2
    function = staticmethod(functions.conv2d)


class Pooling(Module):
    """What the layers that pool share."""

    dims: ClassVar[int]
    function: ClassVar[Callable[..., Any]]

    def __init__(self, kernel_size: Any, **options: Any) -> None:
        window_of(kernel_size, self.dims)
        self.kernel_size, self.options = kernel_size, options

    def forward(self, x: Any) -> Any:
        """x pooled, samples along axis 0 and channels along axis 1."""
        return self.function(x, self.kernel_size, **self.options)

    def extra_repr(self) -> str:
        """The window, and what is not at its default."""
        return ", ".join([f"{self.kernel_size}", *(f"{name}={value!r}" for name, value in self.options.items()
                                                   if value != USUAL[name])])


class MaxPool1d(Pooling):
    """The largest element of each window of series; see `nn.functional.max_pool2d` for the parameters.

    Examples
    --------
    >>> nn.MaxPool1d(2)(np.array([[[1.0, 3.0, 2.0, 0.0]]]))
    array([[[3., 2.]]])
    """

    dims = 1
    function = staticmethod(functions.max_pool1d)

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                 ceil_mode: bool = False) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)


class MaxPool2d(Pooling):
    """The largest element of each window of images; see `nn.functional.max_pool2d` for the parameters.

    Examples
    --------
    >>> nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """

    dims = 2
    function = staticmethod(functions.max_pool2d)

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                 ceil_mode: bool = False) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)


class AvgPool1d(Pooling):
    """The mean of each window of series; see `nn.functional.avg_pool2d` for the parameters.

    Examples
    --------
    >>> nn.AvgPool1d(2)(np.array([[[1.0, 3.0, 2.0, 0.0]]]))
    array([[[2., 1.]]])
    """

    dims = 1
    function = staticmethod(functions.avg_pool1d)

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode,
                         count_include_pad=count_include_pad)


class AvgPool2d(Pooling):
    """The mean of each window of images; see `nn.functional.avg_pool2d` for the parameters.

    Examples
    --------
    >>> nn.AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """

    dims = 2
    function = staticmethod(functions.avg_pool2d)

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode,
                         count_include_pad=count_include_pad)


def window_of(kernel_size: Any, dims: int) -> tuple[int, ...]:
    """A size for each axis: one number stands for all."""
    sizes = (kernel_size,) * dims if np.ndim(kernel_size) == 0 else tuple(kernel_size)
    if len(sizes) != dims or any(operator.index(size) < 1 for size in sizes):
        raise ValueError(f"kernel_size={kernel_size} is no positive number, nor one for each of {dims} axes")
    return sizes


def short(window: tuple[int, ...]) -> Any:
    """One number where all are the same."""
    return window[0] if len(set(window)) == 1 else window
