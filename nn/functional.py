"""Layers, activations and losses as plain functions, with PyTorch's names and meanings.

Each records for the line that called it. On arrays alone each returns an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import autodiff as ad
from autodiff.ops import arithmetic
from autodiff.ops.losses import one_hot
from autodiff.ops.random import draw_key, dropout_mask
from autodiff.protocol import operand
from nn.activation_functions import elu as elu
from nn.activation_functions import gelu as gelu
from nn.activation_functions import hardtanh as hardtanh
from nn.activation_functions import leaky_relu as leaky_relu
from nn.activation_functions import log_sigmoid as log_sigmoid
from nn.activation_functions import log_softmax as log_softmax
from nn.activation_functions import mish as mish
from nn.activation_functions import relu as relu
from nn.activation_functions import sigmoid as sigmoid
from nn.activation_functions import silu as silu
from nn.activation_functions import softmax as softmax
from nn.activation_functions import softplus as softplus
from nn.activation_functions import tanh as tanh
from nn.convolution_functions import avg_pool1d as avg_pool1d
from nn.convolution_functions import avg_pool2d as avg_pool2d
from nn.convolution_functions import conv1d as conv1d
from nn.convolution_functions import conv2d as conv2d
from nn.convolution_functions import max_pool1d as max_pool1d
from nn.convolution_functions import max_pool2d as max_pool2d
from nn.module import caller
from nn.reduction import (
    LOG_PROBABILITIES,
    PROBABILITIES,
    called,
    categorical,
    class_numbers,
    classes_last,
    matched,
    negative_log_likelihood,
    reduced,
    require_probabilities,
    shape_of,
    value_of,
    warn_if_fed_by,
)


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """The dense layer x Wᵀ + b.

    Parameters
    ----------
    x : array_like, shape (..., n_in)
        Samples are rows.
    weight : array_like, shape (n_out, n_in)
        W.
    bias : array_like, shape (n_out,), optional
        b.

    Returns
    -------
    Tensor or ndarray, shape (..., n_out)

    Raises
    ------
    ShapeError
        If the samples have another number of features than the weight.

    Examples
    --------
    >>> nn.functional.linear(np.ones((1, 2)), np.array([[1.0, 2.0]]), np.array([0.5]))
    array([[3.5]])
    """
    inputs = (operand(x), weight) if bias is None else (operand(x), weight, bias)
    return ad.linear(*inputs, _frame=caller())


def dropout(x: Any, rate: float = 0.5, training: bool = True, rng: np.random.Generator | int | None = None) -> Any:
    """Each element zeroed with probability `rate`, the others divided by 1 - rate, so that the mean stays.

    Srivastava et al., "Dropout", JMLR 15 (2014).

    Parameters
    ----------
    x : array_like
        Of any shape.
    rate : float
        In [0, 1).
    training : bool
        With False, x is returned as it is.
    rng : numpy.random.Generator or int, optional
        Where the draw comes from; by default the generator of `autodiff.seed`. A number draws the same each time.

    Raises
    ------
    ValueError
        If the rate is not in [0, 1).

    Examples
    --------
    >>> nn.functional.dropout(np.ones(4), 0.5, rng=0)
    array([0., 0., 2., 0.])
    """
    check_rate(rate)
    x = operand(x)
    if not training or rate == 0:
        return x
    frame = caller()
    mask = dropout_mask(x, rate=rate, key=draw_key(rng), _frame=frame)
    return arithmetic.multiply(x, called(mask, "mask"), _frame=frame)


def check_rate(rate: float) -> None:
    """Refuse what is no rate of dropout."""
    if not 0 <= rate < 1:
        raise ValueError(f"the rate of dropout must lie in [0, 1), not {rate}")


# ---- losses

def mse_loss(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """The squared error (prediction - target)².

    Parameters
    ----------
    prediction, target : array_like
        Of one shape; a single number as target stands for all.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Returns
    -------
    Tensor or ndarray
        A scalar; with "none" the shape of the prediction.

    Raises
    ------
    ShapeError
        If the shapes differ; they are not broadcast.

    Examples
    --------
    >>> float(nn.functional.mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """
    frame = caller()
    inputs = matched("mse_loss", prediction, target, frame)
    return reduced(ad.squared_error(*inputs, _frame=frame), reduction, frame)


def binary_cross_entropy(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """-[t log p + (1 - t) log(1 - p)], for probabilities p.

    A logarithm counts as at least -100, as in PyTorch. Where the logits are at hand,
    `binary_cross_entropy_with_logits` is more accurate.

    Parameters
    ----------
    prediction : array_like
        Probabilities, in [0, 1].
    target : array_like
        Of the same shape, in [0, 1]; a single number stands for all.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ShapeError
        If the shapes differ; they are not broadcast.
    ProbabilityError
        If the predictions are no probabilities.

    Examples
    --------
    >>> float(nn.functional.binary_cross_entropy(np.array([0.5]), np.array([1.0])).round(6))
    0.693147
    """
    frame = caller()
    p, t = matched("binary_cross_entropy", prediction, target, frame)
    loss = reduced(ad.binary_cross_entropy(p, t, _frame=frame), reduction, frame)
    require_probabilities("binary_cross_entropy", loss, p, frame)
    return loss


def binary_cross_entropy_with_logits(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """Binary cross entropy of sigmoid(prediction), from the logits: log(1 + eᶻ) - t z, for any z.

    Parameters
    ----------
    prediction : array_like
        Logits, any real numbers.
    target : array_like
        Of the same shape, in [0, 1]; a single number stands for all.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ShapeError
        If the shapes differ; they are not broadcast.

    Warns
    -----
    LossInputWarning
        If the prediction is the result of a sigmoid or softmax.

    Examples
    --------
    >>> float(nn.functional.binary_cross_entropy_with_logits(np.array([-1000.0]), np.array([1.0])))
    1000.0
    """
    frame = caller()
    z, t = matched("binary_cross_entropy_with_logits", prediction, target, frame)
    warn_if_fed_by(PROBABILITIES, "binary_cross_entropy_with_logits", z, frame,
                   "It takes logits and applies the sigmoid itself: leave that out, or use binary_cross_entropy.")
    return reduced(ad.binary_cross_entropy_with_logits(z, t, _frame=frame), reduction, frame)


def cross_entropy(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """-log softmax(prediction) at the target, from the logits.

    Parameters
    ----------
    prediction : array_like, shape (n, classes), (classes,) or (n, classes, ...)
        Logits; the classes are along axis 1 (axis 0 of a single sample), as in PyTorch.
    target : array_like
        Class numbers, integers in the shape without the classes; or probabilities (one-hot rows
        among them) in the shape of the prediction: then -Σ t log softmax(prediction).
    reduction : {"mean", "sum", "none"}
        Over the samples.

    Raises
    ------
    ShapeError, OperandError
        If the target is neither, or has a class number that is negative or too large.

    Warns
    -----
    LossInputWarning
        If the prediction is the result of a sigmoid or softmax.

    Examples
    --------
    >>> float(nn.functional.cross_entropy(np.array([[0.0, 0.0]]), np.array([1])).round(6))
    0.693147
    """
    frame = caller()
    z, t = operand(prediction), operand(target)
    warn_if_fed_by(PROBABILITIES, "cross_entropy", z, frame,
                   "It takes logits and applies the softmax itself: leave that out, or use categorical_cross_entropy.")
    if shape_of(z) == shape_of(t):
        op, t = ad.cross_entropy_of_probabilities, classes_last(t, frame)
        z = classes_last(z, frame)
    else:
        op, z = ad.cross_entropy_of_labels, classes_last(z, frame)
        t = class_numbers("cross_entropy", z, t, frame)
    return reduced(op(z, t, _frame=frame), reduction, frame)


def nll_loss(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """-log p at the target, from log-probabilities such as `log_softmax` returns.

    Parameters
    ----------
    prediction : array_like, shape (n, classes), (classes,) or (n, classes, ...)
        Logarithms of probabilities; the classes are along axis 1, as in PyTorch.
    target : array_like of int
        Class numbers, in the shape without the classes.
    reduction : {"mean", "sum", "none"}
        Over the samples.

    Raises
    ------
    ShapeError, OperandError
        If the targets are no class numbers that fit.

    Warns
    -----
    LossInputWarning
        If the prediction is the result of a sigmoid or softmax.

    Examples
    --------
    >>> float(nn.functional.nll_loss(np.log([[0.25, 0.75]]), np.array([0])).round(6))
    1.386294
    """
    frame = caller()
    log_p = operand(prediction)
    warn_if_fed_by(PROBABILITIES, "nll_loss", log_p, frame, "It takes log-probabilities: use log_softmax.")
    log_p = classes_last(log_p, frame)
    labels = class_numbers("nll_loss", log_p, operand(target), frame)
    return reduced(negative_log_likelihood(log_p, labels, _frame=frame), reduction, frame)


def categorical_cross_entropy(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """-Σ t log p, for probabilities p such as `softmax` returns. PyTorch has no such loss.

    A logarithm counts as at least -100, as in `binary_cross_entropy`. Where the logits are at hand,
    `cross_entropy` is more accurate.

    Parameters
    ----------
    prediction : array_like, shape (n, classes), (classes,) or (n, classes, ...)
        Probabilities, in [0, 1]; the classes are along axis 1.
    target : array_like
        Class numbers, or probabilities (one-hot rows among them), as for `cross_entropy`.
    reduction : {"mean", "sum", "none"}
        Over the samples.

    Raises
    ------
    ShapeError, OperandError
        If the target is neither, or has a class number that is negative or too large.
    ProbabilityError
        If the predictions are no probabilities.

    Warns
    -----
    LossInputWarning
        If the prediction is the result of a log_softmax.

    Examples
    --------
    >>> float(nn.functional.categorical_cross_entropy(np.array([[0.25, 0.75]]), np.array([0])).round(6))
    1.386294
    """
    frame = caller()
    p, t = operand(prediction), operand(target)
    name = "categorical_cross_entropy"
    warn_if_fed_by(LOG_PROBABILITIES, name, p, frame, "It takes probabilities: use softmax, or nll_loss.")
    same = shape_of(p) == shape_of(t)
    p = classes_last(p, frame)
    t = classes_last(t, frame) if same else one_hot(class_numbers(name, p, t, frame), value_of(p))
    loss = reduced(categorical(p, t, _frame=frame), reduction, frame)
    require_probabilities(name, loss, p, frame)
    return loss
