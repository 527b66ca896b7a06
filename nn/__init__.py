"""Layers, losses, initialisers, optimisers and training, on the engine `autodiff`.

>>> model = nn.MLP([30, 16, 8, 1], activation="sigmoid", output="binary", rng=0)
>>> optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
>>> loss = model.loss_fn(model(np.zeros((5, 30))), np.ones((5, 1)))
>>> loss.backward()
>>> optimizer.step()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nn import functional, init, optim
from nn.activations import (
    ELU,
    GELU,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from nn.containers import ModuleDict, ModuleList, Sequential
from nn.convolution import AvgPool1d, AvgPool2d, Conv1d, Conv2d, MaxPool1d, MaxPool2d
from nn.errors import LossInputWarning, ModuleError, NonFiniteError, ProbabilityError, StateError
from nn.history import History
from nn.layers import Dropout, Flatten, Identity, Linear
from nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CategoricalCrossEntropyLoss,
    CrossEntropyLoss,
    MSELoss,
    NLLLoss,
)
from nn.mlp import MLP
from nn.module import Module
from nn.parameter import Parameter
from nn.training import fit

if TYPE_CHECKING:
    from nn.compiled import train_step

__all__ = [
    "AvgPool1d", "AvgPool2d", "BCELoss", "BCEWithLogitsLoss", "CategoricalCrossEntropyLoss", "Conv1d", "Conv2d",
    "CrossEntropyLoss", "Dropout", "ELU", "Flatten", "GELU", "Hardtanh", "History", "Identity", "LeakyReLU",
    "Linear", "LogSigmoid", "LogSoftmax", "LossInputWarning", "MLP", "MSELoss", "MaxPool1d", "MaxPool2d", "Mish",
    "Module", "ModuleDict", "ModuleError", "ModuleList", "NLLLoss", "NonFiniteError", "Parameter",
    "ProbabilityError", "ReLU", "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus", "StateError", "Tanh", "fit",
    "functional", "init", "optim", "train_step",
]


def __getattr__(name: str) -> Any:
    if name != "train_step":                       # loaded on first use, as all that compiles
        raise AttributeError(f"module 'nn' has no attribute {name!r}")
    globals()[name] = value = import_module("nn.compiled").train_step
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
