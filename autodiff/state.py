"""What is set for a stretch of code: grad mode, the open scope, debugging.

Each is a context variable, so threads and asyncio tasks do not see each other's.
"""

from __future__ import annotations

from contextlib import ContextDecorator
from contextvars import ContextVar
from types import CodeType
from typing import Any, NamedTuple

from autodiff.sites import outside

recording: ContextVar[bool] = ContextVar("autodiff.recording", default=True)
scope_now: ContextVar[Scope | None] = ContextVar("autodiff.scope", default=None)
exact_seals: ContextVar[bool] = ContextVar("autodiff.exact_seals", default=False)
transform_now: ContextVar[str | None] = ContextVar("autodiff.transform", default=None)


class Scope(NamedTuple):
    """A named stretch of a program, usually a layer's call: its line, and the scope it was opened in."""

    path: str
    kind: str
    code: CodeType
    lasti: int
    outer: Scope | None = None


class Setting(ContextDecorator):
    """A context variable set for a block of code, or as a decorator for a function."""

    __slots__ = ("token", "value", "variable")

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self.variable = variable
        self.value = value

    def __enter__(self) -> None:
        self.token = self.variable.set(self.value)

    def __exit__(self, *error: object) -> None:
        self.variable.reset(self.token)

    def _recreate_cm(self) -> Setting:
        return Setting(self.variable, self.value)


def no_grad() -> Setting:
    """Within this block nothing is recorded.

    Results are plain constants, and leaves may be changed in place, which is how an optimiser
    updates its parameters. Serves as a decorator too.

    Examples
    --------
    >>> W = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> with ad.no_grad():
    ...     W -= 0.5
    >>> W
    Tensor([0.5, 1.5], name='W', requires_grad=True)
    """
    return Setting(recording, False)


def grad_mode(on: bool) -> Setting:
    """Within this block operations are recorded, or not, whatever holds outside."""
    return Setting(recording, on)


def scope(name: str, kind: str = "") -> Setting:
    """Records made within this block belong to `name`, below whatever scope is open already.

    Pictures group them, and errors name the line that opened the scope. Layers open one scope
    per call.

    Parameters
    ----------
    name : str
        One step of the path, such as ``"encoder"``.
    kind : str
        What the scope is, such as ``"Linear"``; shown beside the path.

    Examples
    --------
    >>> x = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> with ad.scope("encoder"):
    ...     h = np.tanh(x)
    >>> h.scope
    'encoder'
    """
    frame = outside(2)
    outer = scope_now.get()
    path = f"{outer.path}.{name}" if outer else name
    return Setting(scope_now, Scope(path, kind, frame.f_code, frame.f_lasti, outer))


def debug() -> Setting:
    """Within this block every byte of every operand is compared before it is used by backward.

    Without it, arrays of more than 512 elements are sampled, so that a write to a few single
    elements of a large array may go unnoticed. The check costs a copy of each operand.

    Examples
    --------
    >>> a = np.zeros(10_000)
    >>> w = ad.Tensor(2.0, requires_grad=True)
    >>> with ad.debug():
    ...     loss = (w * a).sum()
    >>> a[1234] = 1.0
    >>> loss.backward()
    Traceback (most recent call last):
      ...
    autodiff.errors.MutationError: a, used by multiply, was changed in place after it was used at ...
    """
    return Setting(exact_seals, True)
