"""Activations as plain functions, with PyTorch's names and meanings; `nn.functional` offers them.

Each records for the line that called it. On arrays alone each returns an array.
"""

from __future__ import annotations

from typing import Any

import autodiff as ad
from autodiff.ops import elementary
from autodiff.protocol import operand
from nn.module import caller


def sigmoid(x: Any) -> Any:
    """1 / (1 + e⁻ˣ), element by element.

    >>> nn.functional.sigmoid(np.array([0.0, np.inf]))
    array([0.5, 1. ])
    """
    return ad.sigmoid(operand(x), _frame=caller())


def tanh(x: Any) -> Any:
    """The hyperbolic tangent, element by element.

    >>> nn.functional.tanh(np.array([0.0, np.inf]))
    array([0., 1.])
    """
    return elementary.tanh(operand(x), _frame=caller())


def relu(x: Any) -> Any:
    """max(x, 0), element by element; its derivative at 0 is taken to be 0.

    >>> nn.functional.relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return ad.relu(operand(x), _frame=caller())


def softplus(x: Any) -> Any:
    """log(1 + eˣ), element by element, without overflow.

    >>> nn.functional.softplus(np.array([-1000.0, 1000.0]))
    array([   0., 1000.])
    """
    return ad.softplus(operand(x), _frame=caller())


def log_sigmoid(x: Any) -> Any:
    """-log(1 + e⁻ˣ), the logarithm of the sigmoid, element by element, without overflow.

    >>> nn.functional.log_sigmoid(np.array([-1000.0, 1000.0]))
    array([-1000.,    -0.])
    """
    return ad.log_sigmoid(operand(x), _frame=caller())


def gelu(x: Any, approximate: str = "none") -> Any:
    """x Φ(x), Φ the normal distribution function, element by element; with "tanh" its approximation by tanh.

    >>> nn.functional.gelu(np.array([-1.0, 1.0])).round(4), nn.functional.gelu(np.array([1.0]), "tanh").round(4)
    (array([-0.1587,  0.8413]), array([0.8412]))
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'approximate must be "none" or "tanh", not {approximate!r}')
    op = ad.gelu if approximate == "none" else ad.gelu_tanh
    return op(operand(x), _frame=caller())


def silu(x: Any) -> Any:
    """x sigmoid(x), also called swish, element by element.

    >>> nn.functional.silu(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.7311])
    """
    return ad.silu(operand(x), _frame=caller())


def mish(x: Any) -> Any:
    """x tanh(softplus(x)), element by element.

    >>> nn.functional.mish(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.8651])
    """
    return ad.mish(operand(x), _frame=caller())


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x for x > 0, else alpha (eˣ - 1), element by element; its derivative at 0 is alpha.

    >>> nn.functional.elu(np.array([-np.inf, 2.0]), alpha=0.5)
    array([-0.5,  2. ])
    """
    return ad.elu(operand(x), alpha=alpha, _frame=caller())


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x for x > 0, else negative_slope · x, element by element; its derivative at 0 is negative_slope.

    >>> nn.functional.leaky_relu(np.array([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    return ad.leaky_relu(operand(x), negative_slope=negative_slope, _frame=caller())


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """x between two bounds, element by element; its derivative at these is 0.

    >>> nn.functional.hardtanh(np.array([-3.0, 0.5]))
    array([-1. ,  0.5])
    """
    return ad.hardtanh(operand(x), min_val=min_val, max_val=max_val, _frame=caller())


def softmax(x: Any, axis: int = -1) -> Any:
    """eˣ / Σ eˣ along an axis, without overflow.

    >>> nn.functional.softmax(np.array([0.0, 1000.0, 1000.0]))
    array([0. , 0.5, 0.5])
    """
    return ad.softmax(operand(x), **along(axis), _frame=caller())


def log_softmax(x: Any, axis: int = -1) -> Any:
    """x - log Σ eˣ along an axis: the logarithm of softmax, without its underflow.

    >>> nn.functional.log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    return ad.log_softmax(operand(x), **along(axis), _frame=caller())


def along(axis: int) -> dict[str, Any]:
    """The option of a softmax; none for the last axis, which is what it takes by itself."""
    return {} if axis == -1 else {"axis": axis}
