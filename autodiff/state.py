"""What is set for a stretch of code: grad mode, the open scope, debugging.

Each is a context variable, so threads and asyncio tasks do not see each other's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from functools import wraps
from types import CodeType
from typing import Any, NamedTuple, Protocol, TypeVar

from autodiff.errors import OperandError
from autodiff.sites import outside

F = TypeVar("F", bound=Callable[..., Any])
CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200          # as in `inspect`, which takes time to load

recording: ContextVar[bool] = ContextVar("autodiff.recording", default=True)
tracing: ContextVar[bool] = ContextVar("autodiff.tracing", default=False)         # record all, to be run again
scope_now: ContextVar[Scope | None] = ContextVar("autodiff.scope", default=None)
exact_seals: ContextVar[bool] = ContextVar("autodiff.exact_seals", default=False)
transform_now: ContextVar[str | None] = ContextVar("autodiff.transform", default=None)

# Who looks at every new record and every gradient: empty, but while `detect_anomaly` is on anywhere.
watchers: list[Watcher] = []


class Watcher(Protocol):
    """What is told of new records and gradients."""

    def recorded(self, record: Any) -> None:
        """A record was just made."""

    def walked(self, seeds: Any, wanted: Any, found: Any) -> None:
        """These gradients were just found."""

    def pushed(self, tangents: Any) -> None:
        """These tangents were just found."""


class Scope(NamedTuple):
    """A named stretch of a program, usually a layer's call: its line, and the scope it was opened in."""

    path: str
    kind: str
    code: CodeType
    lasti: int
    outer: Scope | None = None


class Setting(ContextDecorator):
    """A context variable set for a block of code, or as a decorator for a function, also an `async` one.

    One may be entered again within itself, and in several threads and tasks at a time.
    """

    __slots__ = ("tokens", "value", "variable")

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self.variable = variable
        self.value = value
        self.tokens: list[Token[Any]] = []

    def __enter__(self) -> None:
        self.tokens.append(self.variable.set(self.value))

    def __exit__(self, *error: object) -> None:
        for i in range(len(self.tokens) - 1, -1, -1):
            try:
                self.variable.reset(self.tokens[i])
            except ValueError:                          # another thread's, or another task's
                continue
            del self.tokens[i]
            return
        raise RuntimeError(f"{self.variable.name} was set in one context (a thread, a task) and is put back in another")

    def __call__(self, function: F) -> F:
        """The function, run within the setting."""
        flags = function.__code__.co_flags if hasattr(function, "__code__") else 0
        if flags & (CO_GENERATOR | CO_ASYNC_GENERATOR):
            raise OperandError(
                f"{function.__name__} is a generator: a setting around its call would be over before its body runs. "
                "Write the `with` block within it, and close it before each yield.")
        if not flags & CO_COROUTINE:
            return super().__call__(function)

        @wraps(function)
        async def within(*args: Any, **keywords: Any) -> Any:
            with self._recreate_cm():
                return await function(*args, **keywords)

        return within                                  # type: ignore[return-value]

    def _recreate_cm(self) -> Setting:
        return Setting(self.variable, self.value)


def no_grad() -> Setting:
    """Within this block nothing is recorded.

    Results are plain constants, and leaves may be changed in place, which is how an optimiser
    updates its parameters. Serves as a decorator too, of functions and of `async` ones.

    In a generator, close the block before each yield: at a yield inside it, the caller goes on within
    the block, until the generator is resumed and leaves it.

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
