"""What all losses share: checked targets, loss per sample to one number, and warnings about wrong inputs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Any

import numpy as np

from autodiff import OperandError, ShapeError, Tensor, log_softmax, sigmoid, softmax
from autodiff.kinds import Op, linear_op
from autodiff.ops.losses import LOG_FLOOR, one_hot
from autodiff.ops.reductions import mean_, sum_
from autodiff.ops.shapes import transpose
from autodiff.protocol import operand
from autodiff.sites import locate
from nn.errors import LossInputWarning, ProbabilityError

REDUCTIONS = {"mean": mean_, "sum": sum_}
PASSED_THROUGH = ("reshape", "squeeze", "expand_dims", "transpose", "getitem")       # they change no value


def check_reduction(reduction: str) -> None:
    """Refuse what is no reduction."""
    if reduction != "none" and reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r} is not known; it is 'mean', 'sum' or 'none'")


def reduced(losses: Any, reduction: str, frame: FrameType) -> Any:
    """The mean or the sum of the losses, or all of them."""
    check_reduction(reduction)
    if reduction == "none":
        return losses
    return REDUCTIONS[reduction](called(losses, "losses"), _frame=frame)


def called(x: Any, name: str) -> Any:
    """Name what is made on the way to a result: of the same line, it would be called as the result is."""
    return x.named(name) if isinstance(x, Tensor) else x


def value_of(x: Any) -> Any:
    """The array behind an operand."""
    return x.record.value if isinstance(x, Tensor) else x


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an operand; np.shape of a Tensor would go by way of NumPy's dispatch."""
    shape: tuple[int, ...] = getattr(value_of(x), "shape", ())
    return shape


def at(frame: FrameType) -> str:
    """The line a message ends with."""
    site = locate(frame.f_code, frame.f_lasti)
    return f"\n  at {site}: {site.text}" if site.text else f"\n  at {site}"


def matched(loss: str, prediction: Any, target: Any, frame: FrameType) -> tuple[Any, Any]:
    """Both as operands, of one shape; a single number as target stands for all.

    NumPy would broadcast (n, 1) against (n,) to (n, n): a loss of every prediction with every target.
    """
    prediction, target = operand(prediction), operand(target)
    p, t = shape_of(prediction), shape_of(target)
    if p == t or t == ():
        return prediction, target
    advice = ""
    if p == (*t, 1):
        advice = "\n  Give the target an axis: target[:, None]; or take the prediction's away: prediction[:, 0]."
    elif t == (*p, 1):
        advice = "\n  Take the target's last axis away: target[:, 0]."
    raise ShapeError(f"{loss}: prediction and target must have one shape, and are {p} and {t}; "
                     f"they are not broadcast{advice}{at(frame)}")


def class_numbers(loss: str, scores: Any, labels: Any, frame: FrameType) -> Any:
    """The labels, checked to be integers numbers from 0 to the number of classes, one for each sample of the scores.

    Classes are along the last axis of the scores.
    """
    if not isinstance(labels, Tensor):
        labels = np.asarray(labels)
    shape, array = shape_of(scores), value_of(labels)
    if array.dtype.kind not in "iu":
        raise OperandError(f"{loss}: class numbers must be integers, and are {array.dtype}; "
                           f"use target.astype(int){at(frame)}")
    if array.shape != shape[:-1]:
        column = "\n  Take the target's last axis away: target[:, 0]." if array.shape == (*shape[:-1], 1) else ""
        raise ShapeError(f"{loss}: class numbers of shape {array.shape} do not fit scores of shape {shape} "
                         f"({shape[-1]} classes); expected shape {shape[:-1]} of class numbers, or {shape} of "
                         f"probabilities{column}{at(frame)}")
    # Negative numbers seen as unsigned are huge: one pass finds both ends. NumPy would take them from the end.
    unsigned = array.view(f"u{array.itemsize}") if array.dtype.kind == "i" else array
    if array.size and unsigned.max() >= shape[-1]:
        wrong = array[unsigned >= shape[-1]].flat[0]
        raise OperandError(f"{loss}: there is a class number {wrong}, and {shape[-1]} classes, numbered 0 to "
                           f"{shape[-1] - 1}{at(frame)}")
    return labels


def classes_last(x: Any, frame: FrameType) -> Any:
    """Axis 1, where PyTorch keeps the classes, as the last one."""
    ndim = len(shape_of(x))
    if ndim <= 2:
        return x
    return called(transpose(x, axes=(0, *range(2, ndim), 1), _frame=frame), "classes_last")


def require_probabilities(loss: str, result: Any, prediction: Any, frame: FrameType) -> None:
    """Tell when a loss is off because it was not given probabilities.

    Outside [0, 1] a logarithm is NaN or of the wrong sign, so only such a result need be looked into: a
    check of every input would cost as much as the loss.
    """
    fine = value_of(result) >= 0
    if fine is np.True_ or fine.all():
        return
    p = value_of(prediction)
    low, high = np.min(p), np.max(p)
    if low < 0 or high > 1 + 1e-6:
        raise ProbabilityError(f"{loss} takes probabilities, and these range from {low:.7g} to {high:.7g}; a loss on "
                               f"logits is nn.BCEWithLogitsLoss or nn.CrossEntropyLoss{at(frame)}")


def warn_if_fed_by(ops: Sequence[Op], loss: str, prediction: Any, frame: FrameType, advice: str) -> None:
    """Warn when the prediction is the result of one of these operations."""
    if not isinstance(prediction, Tensor):
        return
    record = prediction.record
    while record.op is not None and record.op.name in PASSED_THROUGH:
        record = record.inputs[0]
    if record.op is None or record.op not in ops:
        return
    site = locate(frame.f_code, frame.f_lasti)
    message = (f"{loss} at {site} is given the result of {record.op.name} at {record.where}. {advice}")
    warnings.warn_explicit(message, LossInputWarning, site.file, site.line,
                           registry=frame.f_globals.setdefault("__warningregistry__", {}))


PROBABILITIES = (sigmoid, softmax)
LOG_PROBABILITIES = (log_softmax,)


# ---- the losses that the engine has no op for

def floored_log(x: Any) -> Any:
    """log x, where log 0 counts as -100, as in binary cross entropy."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(x), LOG_FLOOR)


def picked(log_p: Any, labels: Any) -> Any:
    """-log p[label], for class numbers along the last axis."""
    return -np.take_along_axis(log_p, np.expand_dims(labels, -1), -1)[..., 0]


negative_log_likelihood = linear_op("negative_log_likelihood", picked,
    lambda g, y, log_p, labels: np.expand_dims(-g, -1) * one_hot(labels, log_p), None)          # ∂ log p = -1[label]

categorical = Op(lambda p, t: -np.sum(t * floored_log(p), -1), "categorical_cross_entropy").vjp(
    lambda g, y, p, t: np.expand_dims(-g, -1) * t / np.maximum(p, np.finfo(p.dtype).tiny),      # ∂p = -t / p
    lambda g, y, p, t: np.expand_dims(-g, -1) * floored_log(p))                                       # ∂t
