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


class LogSigmoid(Module):
    """-log(1 + e⁻ˣ), element by element, without overflow.

    Examples
    --------
    >>> nn.LogSigmoid()(np.array([-1000.0]))
    array([-1000.])
    """

    def forward(self, x: Any) -> Any:
        """log_sigmoid(x)."""
        return functional.log_sigmoid(x)


class GELU(Module):
    """x Φ(x), Φ the normal distribution function, element by element; with approximate="tanh" by tanh.

    Examples
    --------
    >>> nn.GELU()(np.array([-1.0, 1.0])).round(4)
    array([-0.1587,  0.8413])
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f'approximate must be "none" or "tanh", not {approximate!r}')
        self.approximate = approximate

    def extra_repr(self) -> str:
        """The approximation, if there is one."""
        return "" if self.approximate == "none" else f"approximate={self.approximate!r}"

    def forward(self, x: Any) -> Any:
        """gelu(x)."""
        return functional.gelu(x, self.approximate)


class SiLU(Module):
    """x sigmoid(x), also called swish, element by element.

    Examples
    --------
    >>> nn.SiLU()(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.7311])
    """

    def forward(self, x: Any) -> Any:
        """silu(x)."""
        return functional.silu(x)


class Mish(Module):
    """x tanh(softplus(x)), element by element.

    Examples
    --------
    >>> nn.Mish()(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.8651])
    """

    def forward(self, x: Any) -> Any:
        """mish(x)."""
        return functional.mish(x)


class ELU(Module):
    """x for x > 0, else alpha (eˣ - 1), element by element.

    Examples
    --------
    >>> nn.ELU(alpha=0.5)(np.array([-np.inf, 2.0]))
    array([-0.5,  2. ])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def extra_repr(self) -> str:
        """The slope at 0."""
        return f"alpha={self.alpha}"

    def forward(self, x: Any) -> Any:
        """elu(x)."""
        return functional.elu(x, self.alpha)


class LeakyReLU(Module):
    """x for x > 0, else negative_slope · x, element by element.

    Examples
    --------
    >>> nn.LeakyReLU(0.1)(np.array([-1.0, 2.0]))
    array([-0.1,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def extra_repr(self) -> str:
        """The slope below 0."""
        return f"negative_slope={self.negative_slope}"

    def forward(self, x: Any) -> Any:
        """leaky_relu(x)."""
        return functional.leaky_relu(x, self.negative_slope)


class Hardtanh(Module):
    """x between two bounds, element by element.

    Examples
    --------
    >>> nn.Hardtanh()(np.array([-3.0, 0.5]))
    array([-1. ,  0.5])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        self.min_val, self.max_val = min_val, max_val

    def extra_repr(self) -> str:
        """The bounds."""
        return f"min_val={self.min_val}, max_val={self.max_val}"

    def forward(self, x: Any) -> Any:
        """hardtanh(x)."""
        return functional.hardtanh(x, self.min_val, self.max_val)


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
