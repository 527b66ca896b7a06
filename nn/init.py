"""Initial values for parameters, written in place.

n_in and n_out are how many numbers a layer takes and gives: a weight has shape (n_out, n_in), and a
kernel (n_out, n_in, *window), where both count each place of the window.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import TypeVar

import numpy as np

from autodiff import ShapeError, Tensor, generator

T = TypeVar("T", bound=Tensor)


def glorot_normal_(p: T, rng: np.random.Generator | int | None = None, gain: float = 1.0) -> T:
    """Normal numbers of mean 0 and standard deviation gain · sqrt(2 / (n_in + n_out)).

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010: keeps the variance of signals and of gradients from layer to layer, on average.

    Parameters
    ----------
    p : Tensor, shape (n_out, n_in, ...)
        A leaf, such as a Parameter; written in place.
    rng : numpy.random.Generator or int, optional
        Where the numbers come from; by default the generator of `autodiff.seed`.
    gain : float
        A factor for the non-linearity that follows.

    Returns
    -------
    Tensor
        p itself.

    Raises
    ------
    ShapeError
        If p has fewer than two axes.
    GradientError
        If p is the result of an operation.

    Examples
    --------
    >>> p = nn.init.glorot_normal_(nn.Parameter(np.zeros((100, 300))), rng=0)
    >>> round(float(p.data.std()), 3)           # sqrt(2 / 400) = 0.0707
    0.071
    """
    n_in, n_out = fans(p)
    return normal(p, gain * sqrt(2 / (n_in + n_out)), rng)


def glorot_uniform_(p: T, rng: np.random.Generator | int | None = None, gain: float = 1.0) -> T:
    """Uniform numbers in ± gain · sqrt(6 / (n_in + n_out)): the variance of `glorot_normal_`.

    Glorot and Bengio, AISTATS 2010, equation 16. Parameters and errors as for `glorot_normal_`.

    Examples
    --------
    >>> p = nn.init.glorot_uniform_(nn.Parameter(np.zeros((3, 3))), rng=0)
    >>> bool(abs(p.data).max() < 1)             # sqrt(6 / 6)
    True
    """
    n_in, n_out = fans(p)
    return uniform(p, gain * sqrt(6 / (n_in + n_out)), rng)


def he_normal_(p: T, rng: np.random.Generator | int | None = None, gain: float = sqrt(2.0)) -> T:
    """Normal numbers of mean 0 and standard deviation gain / sqrt(n_in), by default sqrt(2 / n_in), for ReLU.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015, equation 10: ReLU halves the
    variance of what passes, and the 2 makes up for it. Parameters and errors as for `glorot_normal_`.

    Examples
    --------
    >>> p = nn.init.he_normal_(nn.Parameter(np.zeros((300, 200))), rng=0)
    >>> round(float(p.data.std()), 2)
    0.1
    """
    return normal(p, gain / sqrt(fans(p)[0]), rng)


def he_uniform_(p: T, rng: np.random.Generator | int | None = None, gain: float = sqrt(2.0)) -> T:
    """Uniform numbers in ± gain · sqrt(3 / n_in): the variance of `he_normal_`.

    He, Zhang, Ren and Sun, ICCV 2015. Parameters and errors as for `glorot_normal_`.

    Examples
    --------
    >>> p = nn.init.he_uniform_(nn.Parameter(np.zeros((2, 6))), rng=0)
    >>> bool(abs(p.data).max() < 1)             # sqrt(6 / 6)
    True
    """
    return uniform(p, gain * sqrt(3 / fans(p)[0]), rng)


def zeros_(p: T, rng: np.random.Generator | int | None = None) -> T:
    """Zeros, as biases start; `rng` is taken so that every initialiser is called alike.

    Examples
    --------
    >>> nn.init.zeros_(nn.Parameter(np.ones(2))).data
    array([0., 0.])
    """
    p.data = np.zeros(p.shape)
    return p


def normal(p: T, std: float, rng: np.random.Generator | int | None) -> T:
    """Write normal numbers."""
    p.data = generator(rng).normal(0.0, std, p.shape)
    return p


def uniform(p: T, limit: float, rng: np.random.Generator | int | None) -> T:
    """Write uniform numbers."""
    p.data = generator(rng).uniform(-limit, limit, p.shape)
    return p


def fans(p: Tensor) -> tuple[int, int]:
    """n_in and n_out."""
    if p.ndim < 2:
        raise ShapeError(f"{p.name or 'this parameter'} has shape {p.shape}; Glorot and He initialisation are for "
                         "weights of shape (n_out, n_in, ...). Biases start at zero: nn.init.zeros_.")
    window = prod(p.shape[2:])
    return p.shape[1] * window, p.shape[0] * window
