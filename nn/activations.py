"""Activations as layers; the formulas are those of `nn.functional`."""

from __future__ import annotations

from typing import Any

from nn import functional
from nn.module import Module


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ), element by element.

    Examples
    --------
    >>> nn.Sigmoid()(np.zeros(2))
    array([0.5, 0.5])
    """

    def forward(self, x: Any) -> Any:
        """sigmoid(x)."""
        return functional.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent, element by element.

    Examples
    --------
    >>> nn.Tanh()(np.zeros(2))
    array([0., 0.])
    """

    def forward(self, x: Any) -> Any:
        """tanh(x)."""
        return functional.tanh(x)


class ReLU(Module):
    """max(x, 0), element by element; its derivative at 0 is taken to be 0.

    Examples
    --------
    >>> nn.ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def forward(self, x: Any) -> Any:
        """relu(x)."""
        return functional.relu(x)


class Softplus(Module):
    """log(1 + eˣ), element by element, without overflow.

    Examples
    --------
    >>> nn.Softplus()(np.array([-1000.0, 1000.0]))
    array([   0., 1000.])
    """

    def forward(self, x: Any) -> Any:
        """softplus(x)."""
        return functional.softplus(x)


class AlongAxis(Module):
    """What `Softmax` and `LogSoftmax` share: the axis of the classes."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def extra_repr(self) -> str:
        """The axis, where it is not the last."""
        return "" if self.axis == -1 else f"axis={self.axis}"


class Softmax(AlongAxis):
    """eˣ / Σ eˣ along an axis, the last by default.

    Examples
    --------
    >>> nn.Softmax()(np.zeros((1, 2)))
    array([[0.5, 0.5]])
    """

    def forward(self, x: Any) -> Any:
        """softmax(x)."""
        return functional.softmax(x, self.axis)


class LogSoftmax(AlongAxis):
    """x - log Σ eˣ along an axis, the last by default: what `NLLLoss` takes.

    Examples
    --------
    >>> nn.LogSoftmax()(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """

    def forward(self, x: Any) -> Any:
        """log_softmax(x)."""
        return functional.log_softmax(x, self.axis)
