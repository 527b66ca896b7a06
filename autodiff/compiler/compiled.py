"""`ad.compile`: a function recorded once for each structure, shape and dtype, that then runs as a flat program."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from importlib.util import find_spec
from sys import _getframe
from typing import Any

import numpy as np

from autodiff.compiler.recorded import Recorded, dependent
from autodiff.compiler.specialised import Specialised
from autodiff.compiler.tracing import Output, is_array, native, sketched
from autodiff.errors import CompileWarning, NoRuleError, TracedValueError
from autodiff.record import Leaf
from autodiff.sites import is_ours
from autodiff.state import Setting, recording, tracing
from autodiff.tape import Tape
from autodiff.tensor import Tensor
from autodiff.transforms import require_function
from autodiff.tree import SEQUENCES, leaves_of, rebuilt

ARRAYS = (np.ndarray, np.generic)
MANY = 8                # kinds of arguments, after which a warning says that something changes at every call


class Compiled:
    """A function as a fast program; `ad.compile` makes it.

    Attributes
    ----------
    traces : int
        How often the function was recorded: once for each kind of arguments.
    source : str
        What runs, readable: native loops if there are any, then NumPy calls with the shapes they give.
    memory : str
        The plan of the workspace.
    """

    def __init__(self, f: Callable[..., Any], jit: bool) -> None:
        self.f, self.jit, self.traces = f, jit, 0
        self.known: dict[Any, Kind | None] = {}            # None: left eager
        update_wrapper(self, f)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """What the function returns."""
        if tracing.get():                                  # part of a larger program
            return self.f(*args, **keywords)
        given: list[Any] = []
        key = (signature(args, given), signature(keywords, given) if keywords else ())
        keys = None
        try:
            kind = self.known[key]
        except KeyError:
            kind, keys = self.first(key, args, keywords)
            if kind is None:
                return keys
        if kind is None:
            return self.f(*args, **keywords)
        if recording.get() and not kind.recorded.current():
            kind, keys = self.first(key, args, keywords)
            if kind is None:
                return keys
        random = kind.program.trace.keys
        if recording.get() and kind.recorded.wanted(given):
            if not random:
                return kind.laid_out(kind.recorded(given, _getframe(1)), _getframe(1))
            for key in reversed(keys or []):               # a rule would have to draw the same again: left eager
                key.undo()
            return self.f(*args, **keywords)
        values = [x.record.value if isinstance(x, Tensor) else x for x in given]
        return kind.laid_out(kind.program.run(values, keys or [drawn.again() for drawn in random]), _getframe(1))

    def first(self, key: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Kind | None, Any]:
        """Record the function for arguments of this kind: the program and its draws; None and what eager gives."""
        self.traces += 1
        try:
            with Setting(native, self.jit):
                trace = sketched(self.f, args, keywords, is_array)
        except TracedValueError:
            raise
        except Exception as error:
            result = self.f(*args, **keywords)             # what is wrong without compiling, too, is said there
            self.known[key] = None
            warnings.warn(left_eager(self.name, error), CompileWarning, stacklevel=3)
            return None, result
        given = [x for x in (*leaves_of(args), *leaves_of(keywords)) if is_array(x)]
        found = self.known[key] = Kind(self, Specialised(trace, self.jit), given)
        told_of_many(self.name, self.traces)
        return found, list(trace.keys)

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"the compiled {getattr(self.f, '__name__', type(self.f).__name__)}"

    @property
    def kinds(self) -> list[Specialised]:
        """The programs, one for each kind of arguments seen so far."""
        return [kind.program for kind in self.known.values() if kind is not None]

    @property
    def source(self) -> str:
        """What runs, for each kind of arguments seen so far."""
        return "\n\n".join(program.source for program in self.kinds)

    @property
    def memory(self) -> str:
        """The plan of the workspace, for each kind of arguments seen so far."""
        return "\n".join(str(program.memory) for program in self.kinds)

    @property
    def tape(self) -> Tape:
        """The newest program as a tape: what is drawn and listed."""
        return self.kinds[-1].tape

    def __repr__(self) -> str:
        return "\n".join([f"<{self.name}, recorded {self.traces} times>", *map(str, self.kinds)])


class Kind:
    """A compiled function for one kind of arguments."""

    def __init__(self, whole: Compiled, program: Specialised, given: list[Any]) -> None:
        self.program, self.result = program, program.trace.result
        self.leaves = leaves_of(self.result)
        trace = program.trace
        tensors = [r for r, x in zip(trace.inputs, given) if isinstance(x, Tensor)]
        own = [leaf for leaf, held in trace.captured.items() if not is_ours(held.code)]
        self.wrapped = dependent(trace.program, [*tensors, *own], any_op=True)
        needing = [isinstance(x, Tensor) and x.record.requires_grad for x in given]
        self.recorded = Recorded(whole.name.removeprefix("the "), program, needing, lambda f: Compiled(f, whole.jit))

    def laid_out(self, outputs: list[Any], frame: Any) -> Any:
        """The outputs in the structure that the function returns, those as tensors that it gives as such."""
        outputs = list(outputs)
        for i in self.wrapped:
            if not isinstance(outputs[i], Tensor):
                outputs[i] = Tensor.of(Leaf(outputs[i], False, frame))
        # A constant that is an array is the caller's own, too.
        return rebuilt(self.result, [outputs[y.number] if type(y) is Output else np.copy(y) if type(y) is np.ndarray
                                     else y for y in self.leaves])


def left_eager(name: str, error: Exception) -> str:
    """Why a function could not be recorded: what was said, and where; what would help."""
    what, *rest = str(error).split("\n")
    where = [line for line in rest[:1] if line.startswith("  at ")]
    advice = ["  To have it compiled make an operation of what has no rule: @ad.op above a function of arrays."]
    said = [f"{name} is left eager: while it was recorded, {type(error).__name__}: {what}", *where]
    return "\n".join(said + advice * isinstance(error, NoRuleError))


def told_of_many(name: str, traces: int) -> None:
    """Warn, once, if something is recorded again and again."""
    if traces == MANY + 1:
        warnings.warn(f"{name} was recorded {traces} times, for arguments of other shapes, dtypes or "
                      "settings each time; each takes as long as many calls. Keep shapes equal (pad the last batch), "
                      "and give numbers that change as arrays: np.float64(lr).", CompileWarning, stacklevel=4)


def signature(tree: Any, arrays: list[Any] | None = None) -> Any:
    """What must be equal for a recorded program to fit: structure, shapes, dtypes; of what is no array, the value.

    The arrays and tensors are added to `arrays`, in the order of `leaves_of`.
    """
    if isinstance(tree, ARRAYS):
        if arrays is not None:
            arrays.append(tree)
        return tree.shape, tree.dtype
    if isinstance(tree, Tensor):
        if arrays is not None:
            arrays.append(tree)
        value = tree.record.value
        return np.shape(value), value.dtype, tree.record.requires_grad
    if isinstance(tree, dict):
        return type(tree), (*tree, *[signature(value, arrays) for value in tree.values()])
    if isinstance(tree, SEQUENCES):
        return type(tree), (*[signature(value, arrays) for value in tree],)
    if hasattr(tree, "named_parameters"):
        parameters = tree.named_parameters()
        modes = tuple(module.training for _, module in tree.named_modules()) if hasattr(tree, "named_modules") else ()
        return Same(tree), modes, tuple((path, signature(p, arrays)) for path, p in parameters)
    if isinstance(tree, float | complex):
        return type(tree), repr(tree)                      # -0.0 == 0.0, and nan != nan
    if isinstance(tree, slice):
        return slice, signature((tree.start, tree.stop, tree.step))
    if isinstance(tree, set | frozenset):
        return type(tree), frozenset(map(signature, tree))
    try:
        hash(tree)
    except TypeError:
        return Same(tree)
    return type(tree), tree


@dataclass(frozen=True, eq=False)
class Same:
    """Stands for an object that is equal to itself alone, and keeps it alive."""

    held: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)


def compile(f: Callable[..., Any], *, jit: bool | None = None) -> Compiled:
    """A function with the same signature and results that runs faster: a tape as a flat program.

    The first call with arguments of new shapes and dtypes records the function, differentiates and optimises what was
    recorded, and plans its memory; later calls only run it. What the function reads beside its arguments (parameters of
    a model, buffers, arrays) is read anew at each call; Python's own numbers, strings and flags hold for one recording.

    Parameters
    ----------
    f : callable
        Of arrays, tensors and nested structures of them; also the result of a transform, such as
        ``ad.value_and_grad(loss)``.
    jit : bool, optional
        Whether loops are compiled to machine code by numba (the extra ``jit``); by default where it is installed.
        Without, the program is NumPy calls into planned memory, and gives the eager result to the last bit
        (but for matrix products of more than a million multiply-adds, which BLAS may round otherwise).

    Returns
    -------
    Compiled
        The function, with ``.source`` (what runs), ``.memory`` and ``.traces``.

    Raises
    ------
    TracedValueError
        At the first call, if the function's course depends on values (``if x > 0``, ``float(x)``), or if it writes to
        a tensor.

    Warns
    -----
    CompileWarning
        If it must be left eager, and why; if it is recorded again and again.

    Examples
    --------
    >>> loss = lambda w, x: (np.tanh(x @ w) ** 2).mean()
    >>> step = ad.compile(ad.value_and_grad(loss))
    >>> w, x = np.array([0.5, -0.5]), np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> value, gradient = step(w, x)
    >>> bool(np.allclose(gradient, ad.grad(loss)(w, x)))
    True
    >>> step.traces
    1
    """
    require_function("ad.compile", f)
    return Compiled(f, available() if jit is None else jit)


def available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None
