"""`MLP`, the multi-layer model of the notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from sys import _getframe
from typing import Any

import numpy as np

from autodiff import generator
from autodiff.state import scope_now
from nn import functional, init
from nn.containers import ModuleList
from nn.layers import Linear
from nn.losses import BCELoss, CategoricalCrossEntropyLoss, Loss, MSELoss
from nn.module import Module, opened

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": functional.sigmoid, "tanh": functional.tanh, "relu": functional.relu, "softplus": functional.softplus,
}
# What the prediction is: the last non-linearity, and the loss on what it returns.
OUTPUTS: dict[str, tuple[Callable[[Any], Any] | None, type[Loss]]] = {
    "binary": (functional.sigmoid, BCELoss),
    "multiclass": (functional.softmax, CategoricalCrossEntropyLoss),
    "regression": (None, MSELoss),
}


class MLP(Module):
    """Dense layers with a non-linearity between them: z_l = a_(l-1) W_lᵀ + b_l, a_l = g(z_l), ŷ = a_L.

    The tensors bear the notes' names: z1, a1, ..., z3, yhat, and the parameters W1, b1, ...; their
    paths are ``layers.0.weight``, ``layers.0.bias``, ...

    Parameters
    ----------
    sizes : sequence of int
        Features of a sample, then the width of each layer.
    activation : {"sigmoid", "tanh", "relu", "softplus"} or callable
        g, for all layers but the last.
    output : {"binary", "multiclass", "regression"}
        What the prediction is: a probability (sigmoid), the probabilities of classes (softmax), or
        z_L itself. `loss_fn` fits it: binary cross entropy, cross entropy, squared error.
    rng : numpy.random.Generator or int, optional
        Where the initial weights come from; by default the generator of `autodiff.seed`.
    dtype : dtype
        Of the parameters.
    init : callable
        ``init(weight, rng=rng)``, one of `nn.init`. Glorot normal whatever the activation, as in the
        notes; He's (``nn.init.he_normal_``) is made for relu. Biases start at zero.

    Attributes
    ----------
    layers : ModuleList of Linear
    loss_fn : Module
        ``loss_fn(yhat, y)``, on predictions. With "multiclass" y holds class numbers or one-hot rows.

    Raises
    ------
    ValueError
        If a name is not known, or fewer than two sizes are given.

    Examples
    --------
    >>> model = nn.MLP([30, 16, 8, 1], activation="sigmoid", output="binary", rng=0)
    >>> yhat = model(np.zeros((5, 30)))
    >>> loss = model.loss_fn(yhat, np.ones((5, 1)))
    >>> loss.backward()
    >>> [(p.name, p.grad.shape) for p in model.parameters()][:2]
    [('W1', (16, 30)), ('b1', (16,))]
    """

    def __init__(self, sizes: Sequence[int], activation: str | Callable[[Any], Any] = "sigmoid", output: str = "binary",
                 rng: np.random.Generator | int | None = None, dtype: Any = np.float64,
                 init: Callable[..., Any] = init.glorot_normal_) -> None:
        if len(sizes) < 2:
            raise ValueError(f"MLP needs at least two sizes, features and outputs; given was {sizes!r}")
        if output == "multiclass" and sizes[-1] < 2:
            raise ValueError("the softmax of a single number is always 1: with output='multiclass' the last size is "
                             "the number of classes; for two classes and one number use output='binary'")
        self.sizes = tuple(sizes)
        self.activation = activation
        self.output = output
        self._g = activation if callable(activation) else chosen("activation", activation, ACTIVATIONS)
        self._last, loss = chosen("output", output, OUTPUTS)
        generated = generator(rng)
        self.layers = ModuleList(Linear(n_in, n_out, rng=generated, dtype=dtype, init=init)
                                 for n_in, n_out in pairwise(sizes))
        self.loss_fn = loss()
        for l, layer in enumerate(self.layers, start=1):
            layer.weight.name, layer.bias.name = f"W{l}", f"b{l}"

    def forward(self, x: Any) -> Any:
        """The predictions ŷ, for samples as rows: (..., sizes[0]) to (..., sizes[-1])."""
        z = self._logits(x)
        return (z if self._last is None else self._last(z)).named("yhat")

    def logits(self, x: Any) -> Any:
        """What comes before the last non-linearity: z_L."""
        token = opened(self, _getframe(1))
        try:
            return self._logits(x)
        finally:
            scope_now.reset(token)

    def _logits(self, a: Any) -> Any:
        z = None
        for l, layer in enumerate(self.layers, start=1):
            if z is not None:
                a = self._g(z).named(f"a{l - 1}")
            z = layer(a).named(f"z{l}")
        return z

    def extra_repr(self) -> str:
        """The sizes, the activation and the output."""
        g = self.activation if isinstance(self.activation, str) else getattr(self.activation, "__name__", "...")
        return f"{list(self.sizes)}, activation={g!r}, output={self.output!r}"


def chosen(what: str, name: str, among: dict[str, Any]) -> Any:
    """The entry of that name, or an error that lists the names."""
    if name not in among:
        raise ValueError(f"{what}={name!r} is not known; it is one of {', '.join(map(repr, among))}")
    return among[name]
