"""The autograd that shows its work: reverse-mode automatic differentiation on NumPy.

>>> W = ad.Tensor([[1.0, -1.0]], requires_grad=True)
>>> loss = np.tanh(W).sum()
>>> loss.backward()
>>> W.grad.round(3)
array([[0.42, 0.42]])
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from autodiff import protocol as _protocol  # noqa: F401  (fills Tensor's operators and methods)
from autodiff.anomaly import detect_anomaly, find_anomaly
from autodiff.errors import (
    AnomalyError,
    AutodiffError,
    BadIndexError,
    CompileWarning,
    GradientError,
    MatrixError,
    MutationError,
    NoRuleError,
    OperandError,
    OperationError,
    ReplayError,
    ShapeError,
    SourceError,
    TracedValueError,
)
from autodiff.kinds import Op, op
from autodiff.ops.activations import elu, gelu, gelu_tanh, hardtanh, leaky_relu, log_sigmoid, mish, silu
from autodiff.ops.convolution import conv
from autodiff.ops.indexing import index_update
from autodiff.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy_of_labels,
    cross_entropy_of_probabilities,
    squared_error,
)
from autodiff.ops.pooling import avg_pool, max_pool
from autodiff.ops.products import linear
from autodiff.ops.random import dropout, generator, seed
from autodiff.ops.shapes import sum_to
from autodiff.ops.stable import log_softmax, logsumexp, relu, sigmoid, softmax, softplus
from autodiff.reverse import gradients
from autodiff.state import debug, no_grad, scope
from autodiff.tape import Tape
from autodiff.tensor import Tensor, as_tensor
from autodiff.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

if TYPE_CHECKING:
    from autodiff.checks.compare import compare
    from autodiff.checks.numeric import GradcheckError, gradcheck
    from autodiff.checks.report import Report, WrongGradientError
    from autodiff.compiler.compiled import Compiled, compile
    from autodiff.compiler.scanning import scan
    from autodiff.derivation.derivation import Derivation, derive
    from autodiff.derivation.source import Source, source
    from autodiff.derivation.steps import DerivationError

__version__ = "0.1.0"
__all__ = [
    "AnomalyError", "AutodiffError", "BadIndexError", "Derivation", "DerivationError", "GradcheckError",
    "GradientError", "MatrixError", "MutationError", "NoRuleError", "Op", "OperandError", "OperationError",
    "ReplayError", "Report", "ShapeError", "Source", "SourceError", "Tape", "Tensor", "TracedValueError",
    "WrongGradientError", "as_tensor", "avg_pool", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "compare", "compile", "Compiled", "CompileWarning", "conv", "cross_entropy_of_labels",
    "cross_entropy_of_probabilities", "debug", "derive",
    "detect_anomaly", "dropout", "elu", "gelu", "gelu_tanh", "find_anomaly", "generator", "grad", "gradcheck",
    "gradients", "hardtanh", "hessian", "hvp", "index_update", "jacobian", "jvp", "leaky_relu", "linear",
    "log_sigmoid", "log_softmax", "logsumexp", "max_pool", "mish", "no_grad", "op", "relu", "scan", "scope", "seed",
    "sigmoid", "silu", "softmax", "softplus", "source", "squared_error", "sum_to", "value_and_grad", "vjp",
]

# What checks and explains is no part of training, and a third of the import's time and more: loaded on first use.
_LATE = {"compare": "checks.compare", "gradcheck": "checks.numeric", "GradcheckError": "checks.numeric",
         "Report": "checks.report", "WrongGradientError": "checks.report", "source": "derivation.source",
         "Source": "derivation.source", "derive": "derivation.derivation", "Derivation": "derivation.derivation",
         "DerivationError": "derivation.steps", "compile": "compiler.compiled",
         "Compiled": "compiler.compiled", "scan": "compiler.scanning"}


def _display(module: str, function: str) -> Callable[[Any], str | None]:
    """What a notebook shows, written by a module that is loaded when somebody looks."""
    def show(x: Any) -> str | None:
        made: str | None = getattr(import_module(f"autodiff.display.{module}"), function)(x)
        return made

    return show


Tensor._repr_html_ = _display("tensors", "tensor_html")         # type: ignore[attr-defined]
Tape._repr_html_ = _display("tapes", "tape_html")               # type: ignore[attr-defined]


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'autodiff' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"autodiff.{_LATE[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
