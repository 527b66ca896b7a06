"""Losses per element or per sample; take the mean of them for a batch. p is a probability, z a logit, t the target."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.kinds import Op, elementwise
from autodiff.ops.stable import log_normalised_exp, log_of_sum, log_softmax, sigmoid, smooth_relu, softmax

LOG_FLOOR = -100.0          # log 0 counts as this, as in PyTorch: a certain and wrong prediction has a finite loss
SMALLEST = 1e-12            # the least p (1 - p) that a gradient is divided by


def surprise(p: Any, t: Any) -> Any:
    """-[t log p + (1 - t) log(1 - p)]."""
    with np.errstate(divide="ignore"):
        return -(t * np.maximum(np.log(p), LOG_FLOOR) + (1 - t) * np.maximum(np.log1p(-p), LOG_FLOOR))


# ------------------------------------------- name                             forward
binary_cross_entropy = elementwise(            "binary_cross_entropy",             surprise,
    lambda y, p, t: (p - t) / np.maximum(p * (1 - p), SMALLEST),                                # ∂p
    lambda y, p, t: np.log1p(-p) - np.log(p))                                                   # ∂t

binary_cross_entropy_with_logits = elementwise("binary_cross_entropy_with_logits", lambda z, t: smooth_relu(z) - t * z,
    lambda y, z, t: sigmoid(z) - t,                                                             # ∂z = ŷ - t
    lambda y, z, t: -z)                                                                         # ∂t

squared_error = elementwise(                   "squared_error",                    lambda a, b: np.square(a - b),
    lambda y, a, b: 2 * (a - b),
    lambda y, a, b: 2 * (b - a))


def one_hot(labels: Any, z: Any) -> Any:
    """Class numbers as rows of zeros and a one, shaped as the logits z."""
    rows = np.zeros_like(z)
    np.put_along_axis(rows, np.expand_dims(labels, -1), 1, -1)
    return rows


def picked_cross_entropy(z: Any, labels: Any) -> Any:
    """-log softmax(z)[label], for class numbers along the last axis."""
    if np.ndim(z) != np.ndim(labels) + 1 or np.shape(z)[:-1] != np.shape(labels):
        raise ValueError(f"class numbers of shape {np.shape(labels)} do not fit logits of shape {np.shape(z)}")
    chosen = np.take_along_axis(z, np.expand_dims(labels, -1), -1)
    return log_of_sum(z, -1) - chosen[..., 0]


cross_entropy_of_labels = Op(picked_cross_entropy, "cross_entropy").vjp(
    lambda g, y, z, labels: np.expand_dims(g, -1) * (softmax(z) - one_hot(labels, z)), None)    # ∂z = p - 1[label]

cross_entropy_of_probabilities = Op(lambda z, t: -np.sum(t * log_normalised_exp(z), -1), "cross_entropy").vjp(
    lambda g, y, z, t: np.expand_dims(g, -1) * (softmax(z) * np.sum(t, -1, keepdims=True) - t),  # ∂z = p Σt - t
    lambda g, y, z, t: np.expand_dims(-g, -1) * log_softmax(z))                                  # ∂t
