"""Layers with parameters or a mode: `Linear`, `Dropout`; and what only reshapes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff import ShapeError, generator
from nn import functional, init
from nn.module import Module
from nn.parameter import Parameter


class Linear(Module):
    """The dense layer z = x Wᵀ + b.

    Parameters
    ----------
    n_in, n_out : int
        How many features a sample has, and how many numbers come out.
    bias : bool
        Whether b is added.
    rng : numpy.random.Generator or int, optional
        Where the initial weights come from; by default the generator of `autodiff.seed`.
    dtype : dtype
        Of the parameters.
    init : callable
        ``init(weight, rng=rng)`` writes the initial weights: one of `nn.init`. Biases start at zero.
        (PyTorch draws both from a uniform distribution.)

    Attributes
    ----------
    weight : Parameter, shape (n_out, n_in)
    bias : Parameter, shape (n_out,), or None

    Raises
    ------
    ValueError
        If a size is not positive.

    Examples
    --------
    >>> layer = nn.Linear(3, 2, rng=0)
    >>> z = layer(np.ones((5, 3)))
    >>> z.shape, z.name
    ((5, 2), 'z')
    """

    def __init__(self, n_in: int, n_out: int, bias: bool = True, rng: np.random.Generator | int | None = None,
                 dtype: Any = np.float64, init: Callable[..., Any] = init.glorot_normal_) -> None:
        for size in (n_in, n_out):
            if operator.index(size) < 1:
                raise ValueError(f"Linear({n_in}, {n_out}): sizes are positive, and {size} is not")
        self.weight = Parameter(np.zeros((n_out, n_in)), name="weight", dtype=dtype)
        self.bias = Parameter(np.zeros(n_out), name="bias", dtype=dtype) if bias else None
        init(self.weight, rng=rng)

    def forward(self, x: Any) -> Any:
        """x Wᵀ + b, for samples as rows: (..., n_in) to (..., n_out)."""
        return functional.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        n_out, n_in = self.weight.shape
        return f"{n_in}, {n_out}" + ("" if self.bias is not None else ", bias=False")


class Dropout(Module):
    """In training each element zeroed with probability `rate`, the others divided by 1 - rate; in use nothing.

    Srivastava et al., "Dropout", JMLR 15 (2014). ``model.train()`` and ``model.eval()`` switch.

    Parameters
    ----------
    rate : float
        In [0, 1).
    rng : numpy.random.Generator or int, optional
        Where the draws come from; by default the generator of `autodiff.seed`.

    Raises
    ------
    ValueError
        If the rate is not in [0, 1).

    Examples
    --------
    >>> drop = nn.Dropout(0.5, rng=0)
    >>> drop(np.ones(4)), drop.eval()(np.ones(4))
    (array([0., 0., 2., 0.]), array([1., 1., 1., 1.]))
    """

    def __init__(self, rate: float = 0.5, rng: np.random.Generator | int | None = None) -> None:
        functional.check_rate(rate)
        self.rate = rate
        self.rng = rng if rng is None else generator(rng)       # one generator: a number would draw the same each time

    def forward(self, x: Any) -> Any:
        """x with some elements dropped, or x itself in use."""
        return functional.dropout(x, self.rate, self.training, self.rng)

    def extra_repr(self) -> str:
        """The rate."""
        return f"{self.rate}"


class Flatten(Module):
    """Every sample as one row: (n, ...) to (n, all of it).

    Parameters
    ----------
    start : int
        The first axis that is merged.

    Examples
    --------
    >>> nn.Flatten()(np.zeros((5, 2, 3))).shape
    (5, 6)
    """

    def __init__(self, start: int = 1) -> None:
        self.start = start

    def forward(self, x: Any) -> Any:
        """x with the axes from `start` on merged into one."""
        shape = np.shape(x)
        if len(shape) < self.start:
            raise ShapeError(f"Flatten merges axes from {self.start} on, and this has shape {shape}")
        return np.reshape(x, (*shape[:self.start], -1)) if shape[self.start:] != () else np.expand_dims(x, -1)

    def extra_repr(self) -> str:
        """The first axis, where it is not 1."""
        return "" if self.start == 1 else f"start={self.start}"


class Identity(Module):
    """Returns what it is given.

    Examples
    --------
    >>> nn.Identity()(3.0)
    3.0
    """

    def forward(self, x: Any) -> Any:
        """x."""
        return x
