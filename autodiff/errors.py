"""What goes wrong, one class per way: the docstring is the explanation, the message the particulars."""

import numpy as np


class AutodiffError(Exception):
    """Any error of this library."""


class OperationError(AutodiffError):
    """An operation could not run on these operands. The message names each with shape and dtype."""


class ShapeError(OperationError, ValueError):
    """Shapes do not fit together; the message names the axis that clashes."""


class OperandError(OperationError, TypeError):
    """An operand is of a type or dtype that this operation cannot take."""


class BadIndexError(OperationError, IndexError, ValueError):
    """An index or axis is out of range (both an IndexError and a ValueError, as NumPy's AxisError is)."""


class MatrixError(OperationError, np.linalg.LinAlgError):
    """A matrix is singular, or not positive definite, where it may not be."""


class NoRuleError(AutodiffError, TypeError):
    """NumPy was asked for a function of a Tensor that has no derivative rule here.

    The message shows how to add one in three lines.
    """


class GradientError(AutodiffError, RuntimeError):
    """A gradient was asked for that does not exist.

    The loss is no scalar, nothing behind it requires grad, or it does not depend on the tensor.
    """


class MutationError(GradientError):
    """A value that backward needs was changed in place after it was used."""


class AnomalyError(AutodiffError, FloatingPointError):
    """A value or a gradient became infinite or NaN; the message names where, from what, and what helps."""


class TracedValueError(AutodiffError, TypeError):
    """A tensor was turned into a plain Python or NumPy value where the tape would lose sight of it."""


class CompileWarning(UserWarning):
    """A function is left eager, or recorded again and again."""


class ReplayError(AutodiffError, RuntimeError):
    """A tape cannot be run again on other values: one of them left the tape as a Python number."""


class SourceError(AutodiffError, RuntimeError):
    """A program cannot be printed as NumPy source, or what was printed does not compute what the tape does."""
