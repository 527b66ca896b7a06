"""Layers, losses, initialisers, optimisers and training, on the engine `autodiff`.

>>> model = nn.MLP([30, 16, 8, 1], activation="sigmoid", output="binary", rng=0)
>>> optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
>>> loss = model.loss_fn(model(np.zeros((5, 30))), np.ones((5, 1)))
>>> loss.backward()
>>> optimizer.step()
"""

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
from nn.module import Module, Parameter
from nn.training import fit

__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "CategoricalCrossEntropyLoss", "CrossEntropyLoss", "Dropout", "ELU", "Flatten",
    "GELU", "Hardtanh", "History", "Identity", "LeakyReLU", "Linear", "LogSigmoid", "LogSoftmax",
    "LossInputWarning", "MLP", "MSELoss", "Mish", "Module", "ModuleDict", "ModuleError", "ModuleList", "NLLLoss",
    "NonFiniteError", "Parameter", "ProbabilityError", "ReLU", "Sequential", "SiLU", "Sigmoid", "Softmax",
    "Softplus", "StateError", "Tanh", "fit", "functional", "init", "optim",
]
