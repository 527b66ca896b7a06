"""Losses per element or per sample; take the mean of them for a batch. p is a probability, z a logit, t the target."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.kinds import Op, constant, elementwise
from autodiff.ops.stable import log_normalised_exp, log_softmax, sigmoid, softmax

LOG_FLOOR = -100.0          # log 0 counts as this, as in PyTorch: a certain and wrong prediction has a finite loss
SMALLEST = 1e-12            # the least p (1 - p) that a gradient is divided by


def surprise(p: Any, t: Any) -> Any:
    """-[t log p + (1 - t) log(1 - p)], elementwise, for probabilities p and targets t.

    A logarithm below -100 counts as -100, and the gradient divides by at least 1e-12, as in PyTorch.

    Examples
    --------
    >>> ad.binary_cross_entropy(np.array([0.5, 0.0]), np.array([1.0, 1.0])).round(4)
    array([  0.6931, 100.    ])
    """
    with np.errstate(divide="ignore"):
        return -(t * np.maximum(np.log(p), LOG_FLOOR) + (1 - t) * np.maximum(np.log1p(-p), LOG_FLOOR))


def floored(log: Any, x: Any) -> Any:
    """A logarithm that does not fall below the floor."""
    with np.errstate(divide="ignore"):
        return np.maximum(log(x), LOG_FLOOR)


def surprise_of_logit(z: Any, t: Any) -> Any:
    """-[t log σ(z) + (1 - t) log(1 - σ(z))] = log(1 + eᶻ) - t z, elementwise, for logits z and targets t.

    Exact where the form on probabilities has lost its digits; ∂/∂z is σ(z) - t.

    Examples
    --------
    >>> ad.binary_cross_entropy_with_logits(np.array([-800.0, 0.0]), np.array([1.0, 1.0])).round(4)
    array([8.000e+02, 6.931e-01])
    """
    return np.maximum(z, 0) - t * z + np.log1p(np.exp(np.minimum(z, -z)))       # in this order: nothing cancels


def square_of_difference(a: Any, b: Any) -> Any:
    """(a - b)², elementwise.

    Examples
    --------
    >>> ad.squared_error(np.array([1.0, 2.0]), 4.0)
    array([9., 4.])
    """
    return np.square(a - b)


# ------------------------------------------- name                             forward
binary_cross_entropy = elementwise(            "binary_cross_entropy",             surprise,
    lambda y, p, t: (p - t) / np.maximum(p * (1 - p), SMALLEST),                                # ∂p
    lambda y, p, t: floored(np.log1p, -p) - floored(np.log, p))                                              # ∂t

binary_cross_entropy_with_logits = elementwise("binary_cross_entropy_with_logits", surprise_of_logit,
    lambda y, z, t: sigmoid(z) - t,                                                             # ∂z = ŷ - t
    lambda y, z, t: -z)                                                                         # ∂t

squared_error = elementwise(                   "squared_error",                    square_of_difference,
    lambda y, a, b: 2 * (a - b),
    lambda y, a, b: 2 * (b - a))


def unit_rows(labels: Any, z: Any) -> Any:
    """Class numbers as rows of zeros and a one, shaped as the logits z."""
    rows = np.zeros_like(z)
    np.put_along_axis(rows, np.expand_dims(labels, -1), 1, -1)
    return rows


one_hot = constant("one_hot", unit_rows)


def picked_cross_entropy(z: Any, labels: Any) -> Any:
    """-log softmax(z)[label] per sample: logits z along the last axis, labels the class numbers.

    Examples
    --------
    >>> ad.cross_entropy_of_labels(np.array([[0.0, 0.0], [0.0, 800.0]]), np.array([0, 0])).round(4)
    array([6.931e-01, 8.000e+02])
    """
    if np.ndim(z) != np.ndim(labels) + 1 or np.shape(z)[:-1] != np.shape(labels):
        raise ValueError(f"class numbers of shape {np.shape(labels)} do not fit logits of shape {np.shape(z)}")
    if np.any(np.less(labels, 0)):
        raise ValueError("class numbers count from 0; a negative one would count from the end")
    return -np.take_along_axis(log_normalised_exp(z), np.expand_dims(labels, -1), -1)[..., 0]


cross_entropy_of_labels = Op(picked_cross_entropy, "cross_entropy").vjp(
    lambda g, y, z, labels: np.expand_dims(g, -1) * (softmax(z) - one_hot(labels, z)), None)    # ∂z = p - 1[label]

def expected_cross_entropy(z: Any, t: Any) -> Any:
    """-Σ t log softmax(z) per sample: logits z and target probabilities t along the last axis.

    Examples
    --------
    >>> ad.cross_entropy_of_probabilities(np.zeros((1, 2)), np.array([[0.5, 0.5]])).round(4)
    array([0.6931])
    """
    return -np.sum(t * np.where(t == 0, 0, log_normalised_exp(z)), -1)


cross_entropy_of_probabilities = Op(expected_cross_entropy, "cross_entropy").vjp(
    lambda g, y, z, t: np.expand_dims(g, -1) * (softmax(z) * np.sum(t, -1, keepdims=True) - t),  # ∂z = p Σt - t
    lambda g, y, z, t: np.expand_dims(-g, -1) * log_softmax(z))                                  # ∂t
