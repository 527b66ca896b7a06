"""Somebody's function, run again with a look at every value its lines make, and with some of these replaced.

It is read from its source: every value that a line assigns, returns, adds or collects passes through a hook, which
notes it and may hand on another one. So any Python runs as it was written, in place and in loops, on plain arrays;
a record of Tensors would stop at the first `np.zeros` that is filled, and what has no source has no line to quote.
"""

from __future__ import annotations

import ast
import copy
import linecache
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

from autodiff.checks.budget import Budget
from autodiff.checks.reading.hooks import HOOK, OPAQUE, Definition, Hooks, Spot
from autodiff.errors import AutodiffError
from autodiff.sites import is_ours, short_path

LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
MOST = 64e6                # bytes of values kept of one run
GROWN = 100                # times as many elements as any value had before: a change after which arrays grow on and on


class UnreadableError(AutodiffError, ValueError):
    """A function whose lines cannot be followed; the message says why."""


class Stopped(BaseException):
    """A run took too long; no `except Exception` of theirs holds it up."""


@dataclass
class Seen:
    """The values that one spot made in a run.

    Attributes
    ----------
    values : list
        One for each time it ran; of an increment their sum, of a variable added to its last value.
    ticks : list of int
        When it ran.
    complete : bool
        Whether there was room for all of them.
    first : ndarray or None
        The value of the first time.
    """

    values: list[Any] = field(default_factory=list)
    ticks: list[int] = field(default_factory=list)
    complete: bool = True
    first: Any = None

    @property
    def times(self) -> int:
        """How often it ran."""
        return len(self.ticks)


@dataclass
class Run:
    """What one run gave."""

    returned: Any
    error: BaseException | None
    seen: dict[Spot, Seen]


Change = Callable[[int, Any], Any]      # (how many times the spot has run before, value) -> the value to go on with


class Program:
    """A function of somebody's, with a hook at each of its values.

    Parameters
    ----------
    function : callable
        A Python function whose source can be read. Functions of theirs that it calls are followed too.

    Raises
    ------
    UnreadableError
        If there is no source, or it is not that of this function.

    Examples
    --------
    >>> from autodiff.checks.reading.their_code import Program
    >>> def by_hand(x):
    ...     twice = 2 * x
    ...     return {"x": twice}
    >>> [spot.text for spot in Program(by_hand).run({"x": 1.0}, look=True).seen]
    ['twice = 2 * x', 'return {"x": twice}']
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.spots: list[Spot] = []
        self.changes: dict[Spot, Change] = {}
        self.seen: dict[Spot, Seen] = {}
        self.counts: dict[Spot, int] = {}
        self.looking = False
        self.tick = self.calls = 0
        self.budget = Budget(np.inf)
        self.kept = 0.0
        self.largest = 1000                                # elements of a value
        self.draws = True                                  # from NumPy's own random numbers, until a run did not
        self.generators: list[np.random.Generator] = []
        self.namespaces: dict[int, dict[str, Any]] = {}
        self.made: dict[FunctionType, FunctionType] = {}
        plain = function.__func__ if isinstance(function, MethodType) else function
        if not isinstance(plain, FunctionType):
            raise UnreadableError(f"{getattr(function, '__name__', 'it')} is no Python function, so it has no lines")
        self.main = plain.__code__
        rebuilt = self.instrumented(plain)
        self.function: Callable[..., Any] = MethodType(rebuilt, function.__self__) \
            if isinstance(function, MethodType) else rebuilt

    def run(self, arguments: Mapping[str, Any], changes: Mapping[Spot, Change] | None = None, look: bool = False,
            seconds: float = np.inf) -> Run:
        """Call it with copies of these arguments, with some values changed."""
        self.changes, self.looking, self.seen, self.counts = dict(changes or {}), look, {}, {}
        self.budget, self.kept, self.tick = Budget(seconds), 0.0, 0
        before = self.random_states()
        try:
            with np.errstate(all="ignore"):
                returned = self.function(**{k: np.array(v)[()] for k, v in arguments.items()})
            return Run(returned, None, self.seen)
        except (Exception, SystemExit, Stopped) as error:
            return Run(None, error, self.seen)
        finally:
            self.put_back(before)

    def random_states(self) -> tuple[Any, list[Any]]:
        """The states of what they may draw from; of NumPy's own only while nobody knows that they do not."""
        own = np.random.get_state(legacy=False) if self.draws else None  # noqa: NPY002
        return own, [copy.deepcopy(generator.bit_generator.state) for generator in self.generators]

    def put_back(self, before: tuple[Any, list[Any]]) -> None:
        """Random numbers as they were, so that each run draws the same."""
        own, states = before
        if own is not None:
            now = np.random.get_state(legacy=False)  # noqa: NPY002
            self.draws = now["state"]["pos"] != own["state"]["pos"] or now["has_gauss"] != own["has_gauss"] \
                or not np.array_equal(now["state"]["key"], own["state"]["key"])
            np.random.set_state(own)  # noqa: NPY002
        for generator, state in zip(self.generators, states, strict=True):
            generator.bit_generator.state = state

    def hook(self, i: int, value: Any) -> Any:
        """What stands around every value."""
        self.calls += 1
        if not self.calls & 63 and self.budget.late:
            raise Stopped
        if value is None:
            return None
        spot = self.spots[i]
        if not (self.looking or spot in self.changes):
            return value
        if spot.kind in OPAQUE:
            if self.looking:
                self.tick += 1
                self.seen.setdefault(spot, Seen()).ticks.append(self.tick)
            if spot in self.changes:
                n = self.counts[spot] = self.counts.get(spot, -1) + 1
                value = self.changes[spot](n, value)
            return value
        if not isinstance(value, np.ndarray | np.generic | float | int) or isinstance(value, bool):
            return value
        if spot in self.changes:
            n = self.counts[spot] = self.counts.get(spot, -1) + 1
            new = self.changes[spot](n, value)
            if np.size(new) > GROWN * self.largest:
                raise Stopped
            if spot.kind == "whole" and isinstance(value, np.ndarray) and new is not value:
                value[...] = new
            else:
                value = new
        if self.looking:
            self.note(spot, value)
        return value

    def note(self, spot: Spot, value: Any) -> None:
        """Keep a value: all of them, the last one, or their sum."""
        seen = self.seen.get(spot)
        if seen is None:
            seen = self.seen[spot] = Seen(first=np.array(value))
            self.largest = max(self.largest, seen.first.size)
        self.tick += 1
        seen.ticks.append(self.tick)
        if spot.kind == "increment" and seen.values and np.shape(seen.values[0]) == np.shape(value):
            seen.values[0] = seen.values[0] + value
        elif spot.kind == "whole" and not spot.fresh and seen.values:
            seen.values[0] = np.array(value)
        elif self.kept < MOST or not seen.values:
            self.kept += getattr(value, "nbytes", 8)
            seen.values.append(np.array(value))
        else:
            seen.complete = False

    # ---- making it

    def instrumented(self, function: FunctionType) -> FunctionType:
        """The function with hooks, in a namespace where those it calls have them too."""
        if function in self.made:
            return self.made[function]
        code = function.__code__
        node = definition(code)
        new = Hooks(self.spots, code, code is self.main).rebuilt(node)
        inner = compiled(new, code)
        namespace = self.namespaces.get(id(function.__globals__))
        if namespace is None:
            namespace = {**function.__globals__, HOOK: self.hook, "print": lambda *values, **options: None}
            self.namespaces[id(function.__globals__)] = namespace
        cells = tuple(CellType(*contents(cell)) for cell in function.__closure__ or ())
        by_name = dict(zip(code.co_freevars, cells, strict=True))
        made = FunctionType(inner, namespace, function.__name__, function.__defaults__,
                            tuple(by_name[name] for name in inner.co_freevars))
        made.__kwdefaults__ = function.__kwdefaults__
        self.made[function] = made
        reached = [namespace.get(name) for name in names_in(code)] + [x for cell in cells for x in contents(cell)]
        self.generators += [x for x in reached if isinstance(x, np.random.Generator) and x not in self.generators]
        for name in names_in(code):
            called: Any = namespace.get(name)
            if is_theirs(called):
                namespace[name] = self.followed(called)
        for cell in cells:
            if contents(cell) and is_theirs(cell.cell_contents):
                cell.cell_contents = self.followed(cell.cell_contents)
        return made

    def followed(self, function: FunctionType) -> FunctionType:
        """A function they call, with hooks if its source can be read."""
        if function in self.made.values():
            return function
        try:
            return self.instrumented(function)
        except UnreadableError:
            return function


def contents(cell: CellType) -> tuple[Any, ...]:
    """What a cell holds; () if it is still empty."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def names_in(code: CodeType) -> Iterator[str]:
    """The global names that a code object uses, and those within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def is_theirs(value: Any) -> bool:
    """Whether this is a function of the user's own."""
    return isinstance(value, FunctionType) and not is_ours(value.__code__) \
        and not value.__code__.co_filename.startswith(LIBRARIES) and not hasattr(value, "__wrapped__")


@lru_cache(maxsize=32)
def definitions(text: str) -> list[Definition]:
    """The functions of a source file, those within others too."""
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, Definition)]


def definition(code: CodeType) -> Definition:
    """Where the source defines this function.

    Raises
    ------
    UnreadableError
        If there is no source, or another one.
    """
    name = code.co_name
    if code.co_flags & 0x2A0:
        raise UnreadableError(f"{name} is a generator or a coroutine")
    text = "".join(linecache.getlines(code.co_filename))
    if not text:
        raise UnreadableError(f"the source of {name} cannot be found ({short_path(code.co_filename)})")
    try:
        functions = definitions(text)
    except (SyntaxError, ValueError, RecursionError):
        raise UnreadableError(f"the source of {name} is no Python") from None
    found: list[Definition] = []
    for node in functions:
        if (node.name if isinstance(node, ast.FunctionDef) else "<lambda>") != name:
            continue
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        arguments = node.args
        if first == code.co_firstlineno and [a.arg for a in (*arguments.posonlyargs, *arguments.args,
                                                             *arguments.kwonlyargs)] == parameters(code):
            found.append(node)
    if len(found) != 1:
        raise UnreadableError(f"{name} does not stand in {short_path(code.co_filename)} as it runs; "
                              "was the file changed since it was loaded?")
    return found[0]


def parameters(code: CodeType) -> list[str]:
    """The names of a function's parameters."""
    return list(code.co_varnames[:code.co_argcount + code.co_kwonlyargcount])


def compiled(node: Definition, like: CodeType) -> CodeType:
    """The code of a definition, with the same free variables in reach."""
    body: ast.stmt = node if isinstance(node, ast.FunctionDef) else ast.Expr(node)
    if like.co_freevars:
        free = ast.arguments([], [ast.arg(name) for name in like.co_freevars], None, [], [], None, [])
        outer: Any = ast.FunctionDef("__around__", free, [body], [], None)
        outer.type_params = []
        body = outer
    module = ast.fix_missing_locations(ast.Module([body], []))
    try:
        pending = [compile(module, like.co_filename, "exec", like.co_flags & 0x1FF0000, True)]
    except (SyntaxError, ValueError, RecursionError, TypeError):
        raise UnreadableError(f"the source of {like.co_name} cannot be compiled again") from None
    while pending:
        code: CodeType = pending.pop()
        if code.co_name == like.co_name:
            return code
        pending += [c for c in code.co_consts if isinstance(c, CodeType)]
    raise UnreadableError(f"the source of {like.co_name} cannot be compiled again")
