"""What goes wrong with layers, losses and training; the rest is in `autodiff.errors`."""

from autodiff import AutodiffError


class ModuleError(AutodiffError, TypeError):
    """A module is put together in a way that could not work: its layers would not be found, its forward is missing."""


class StateError(AutodiffError, ValueError):
    """A state does not fit the module or optimiser it is loaded into.

    The message lists every missing, unexpected and mismatched name; nothing was changed.
    """


class NonFiniteError(AutodiffError, ArithmeticError):
    """Training met a loss or a gradient that is infinite or NaN; the parameters are as before that update."""


class ProbabilityError(AutodiffError, ValueError):
    """A loss on probabilities was given numbers outside [0, 1]."""


class LossInputWarning(UserWarning):
    """A loss was fed the result of the wrong non-linearity, such as probabilities where it takes logits."""
