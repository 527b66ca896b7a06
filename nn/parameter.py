"""`Parameter`, what is trained, and which attributes of a module are parameters and buffers."""

from __future__ import annotations

from typing import Any

from autodiff import Tensor


class Parameter(Tensor):
    """A tensor that a module trains: it requires grad, and modules find it among their attributes.

    Parameters
    ----------
    data : array_like
        The initial values; copied. Integers given as numbers or lists become float64.
    name : str, optional
        What to call it; by default the attribute it is assigned to, later its path (``fc1.weight``).
    dtype : dtype, optional
        The dtype to convert to.
    requires_grad : bool
        False freezes it: still a parameter, in `state_dict` and `parameters`, but never trained.

    Examples
    --------
    >>> W = nn.Parameter([[1.0, 2.0]], name="W")
    >>> W
    Tensor([[1., 2.]], name='W', requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, name: str | None = None, dtype: Any = None, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad, name, dtype)


def is_parameter(name: str, value: Any) -> bool:
    """Whether an attribute is a parameter of the module that has it."""
    return isinstance(value, Parameter) or (
        isinstance(value, Tensor) and value.is_leaf and value.requires_grad and not name.startswith("_"))


def is_buffer(name: str, value: Any) -> bool:
    """Whether an attribute is saved with the module, but not trained."""
    return isinstance(value, Tensor) and value.is_leaf and not is_parameter(name, value) and not name.startswith("_")
