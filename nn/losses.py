"""Losses as modules; the formulas and the checks are those of `nn.functional`."""

from __future__ import annotations

from typing import Any

from nn import functional
from nn.module import Module
from nn.reduction import check_reduction


class Loss(Module):
    """What all losses share: how the losses of the samples become one number.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        One of three, as in PyTorch.

    Raises
    ------
    ValueError
        If it is none of these.
    """

    def __init__(self, reduction: str = "mean") -> None:
        check_reduction(reduction)
        self.reduction = reduction

    def extra_repr(self) -> str:
        """The reduction, where it is not the mean."""
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class MSELoss(Loss):
    """The squared error; see `nn.functional.mse_loss`.

    Examples
    --------
    >>> float(nn.MSELoss()(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """

    def forward(self, prediction: Any, target: Any) -> Any:
        """The loss of predictions, given targets of the same shape."""
        return functional.mse_loss(prediction, target, self.reduction)


class BCELoss(Loss):
    """Binary cross entropy of probabilities; see `nn.functional.binary_cross_entropy`.

    Examples
    --------
    >>> float(nn.BCELoss()(np.array([0.5, 0.0]), np.array([1.0, 0.0])).round(6))
    0.346574
    """

    def forward(self, prediction: Any, target: Any) -> Any:
        """The loss of probabilities, given targets of the same shape."""
        return functional.binary_cross_entropy(prediction, target, self.reduction)


class BCEWithLogitsLoss(Loss):
    """Binary cross entropy of logits; see `nn.functional.binary_cross_entropy_with_logits`.

    Examples
    --------
    >>> float(nn.BCEWithLogitsLoss()(np.array([-1000.0]), np.array([1.0])))
    1000.0
    """

    def forward(self, prediction: Any, target: Any) -> Any:
        """The loss of logits, given targets of the same shape."""
        return functional.binary_cross_entropy_with_logits(prediction, target, self.reduction)


class CrossEntropyLoss(Loss):
    """Cross entropy of logits, given class numbers or probabilities; see `nn.functional.cross_entropy`.

    Examples
    --------
    >>> float(nn.CrossEntropyLoss()(np.zeros((2, 4)), np.array([0, 3])).round(6))
    1.386294
    """

    def forward(self, prediction: Any, target: Any) -> Any:
        """The loss of logits, given class numbers or probabilities."""
        return functional.cross_entropy(prediction, target, self.reduction)


class NLLLoss(Loss):
    """Minus the log-probability of the target; see `nn.functional.nll_loss`.

    Examples
    --------
    >>> float(nn.NLLLoss()(np.log([[0.25, 0.75]]), np.array([0])).round(6))
    1.386294
    """

    def forward(self, prediction: Any, target: Any) -> Any:
        """The loss of log-probabilities, given class numbers."""
        return functional.nll_loss(prediction, target, self.reduction)


class CategoricalCrossEntropyLoss(Loss):
    """Cross entropy of probabilities; see `nn.functional.categorical_cross_entropy`.

    Examples
    --------
    >>> float(nn.CategoricalCrossEntropyLoss()(np.array([[0.25, 0.75]]), np.array([0])).round(6))
    1.386294
    """

    def forward(self, prediction: Any, target: Any) -> Any:
        """The loss of probabilities, given class numbers or probabilities."""
        return functional.categorical_cross_entropy(prediction, target, self.reduction)
