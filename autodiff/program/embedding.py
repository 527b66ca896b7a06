"""An operation's forward as source that stands on its own: the function, and all it needs of where it was written.

For operations that are in no table, users' own above all. What is not NumPy, the standard library's `math`, a number or
another such function cannot be taken along, and an error says so.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from autodiff.errors import SourceError
from autodiff.kinds import Op

MODULES = ("math", "cmath", "operator", "functools", "itertools")


class Embedding:
    """The definitions that a printed program needs, each once, in the order they must stand.

    Parameters
    ----------
    taken : callable
        Gives a name that is free, near the one wished for.
    known : callable
        NumPy's function that an operation is, if it is one.

    Attributes
    ----------
    imports : dict of str to None
        Lines such as ``import math``.
    definitions : list of str
        Constants and functions.
    """

    def __init__(self, taken: Callable[[str], str], known: Callable[[Op], str | None] = lambda op: None) -> None:
        self.taken, self.known = taken, known
        self.imports: dict[str, None] = {}
        self.definitions: list[str] = []
        self.names: dict[Any, str] = {}

    def op(self, op: Op) -> str:
        """The name of the function that computes an operation."""
        if op not in self.names:
            try:
                self.names[op] = self.known(op) or (self.own_text(op) if hasattr(op, "printed")
                                                    else self.function(op.forward, op.name))
            except (OSError, TypeError, SyntaxError, NotPlainError) as error:
                raise SourceError(
                    f"the operation {op.name} cannot be printed: {error}.\n  Write its forward as a plain function "
                    "(def, at the top of a file) that needs nothing but its arguments, NumPy, math, numbers and other "
                    "such functions.") from error
        return self.names[op]

    def own_text(self, op: Any) -> str:
        """The name of an operation that says how it is printed: ``printed(name, embedding)`` is its definition."""
        name = self.taken(op.name)
        text = op.printed(name, self)
        self.definitions.append(text)
        return name

    def function(self, f: Any, wish: str) -> str:
        """The name of a function whose source is taken along."""
        f = inspect.unwrap(f)
        if not isinstance(f, FunctionType):
            raise NotPlainError(f"its forward {f!r} is no Python function")
        if f in self.names:
            return self.names[f]
        name = self.names[f] = self.taken(wish if wish.isidentifier() else "operation")
        node = definition_of(f, name)
        node = Plain().visit(node)
        renamed = {used: self.needed(used, f) for used in global_names(node)}
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and inner.id in renamed:
                inner.id = renamed[inner.id]
        node.name = name
        self.definitions.append(ast.unparse(node))
        return name

    def needed(self, name: str, f: FunctionType) -> str:
        """What a function's global or enclosed name is called here, with what it stands for taken along."""
        enclosed = dict(zip(f.__code__.co_freevars, f.__closure__ or ()))
        if name in enclosed:
            value = enclosed[name].cell_contents
        elif name in f.__globals__:
            value = f.__globals__[name]
        elif hasattr(builtins, name):
            return name
        else:
            raise NotPlainError(f"{name}, which {f.__name__} uses, is not known")
        if isinstance(value, ModuleType):
            return self.module(value, name, f)
        if isinstance(value, Op):
            return self.op(value)
        if isinstance(value, FunctionType) and not is_numpy(value):
            return self.function(value, name)
        text = constant_text(value)
        if text is None:
            raise NotPlainError(f"{name}, which {f.__name__} uses, is a {type(value).__name__}: no number, and no "
                                "function of NumPy")
        if text.startswith("np.") and "(" not in text:
            return text
        key = (name, text)
        if key not in self.names:
            self.names[key] = self.taken(name)
            self.definitions.append(f"{self.names[key]} = {text}")
        return self.names[key]

    def module(self, module: ModuleType, name: str, f: FunctionType) -> str:
        """A module's name here."""
        if module is np:
            return "np"
        if module.__name__ not in MODULES:
            raise NotPlainError(f"{f.__name__} uses the module {module.__name__}")
        self.imports[f"import {module.__name__}"] = None
        return module.__name__


class NotPlainError(Exception):
    """Something that a source text cannot take along."""


class Plain(ast.NodeTransformer):
    """Takes annotations away within a function."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """``y: Any = 1`` is ``y = 1``."""
        return None if node.value is None else ast.Assign([node.target], node.value, lineno=node.lineno)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """A parameter without its type."""
        node.annotation = None
        return node


def definition_of(f: FunctionType, name: str) -> ast.FunctionDef:
    """A function's definition, without decorators, annotations and docstring."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(f)))
    if f.__name__ == "<lambda>":
        found = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
        if len(found) != 1:
            raise NotPlainError("its forward is one of several lambdas on a line")
        made = ast.parse("def f(): return 0").body[0]
        assert isinstance(made, ast.FunctionDef)
        made.args, made.body = found[0].args, [ast.Return(found[0].body)]
        node = made
    else:
        defined = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == f.__name__]
        if not defined:
            raise NotPlainError("the source of its forward is not there")
        node = defined[0]
    node.decorator_list, node.returns = [], None
    if ast.get_docstring(node) is not None and len(node.body) > 1:
        node.body = node.body[1:]
    ast.fix_missing_locations(node)
    return node


def global_names(node: ast.FunctionDef) -> list[str]:
    """The names a function reads that are not its own."""
    own = {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}
    own |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    read = (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
    return list(dict.fromkeys(name for name in read if name not in own))


def is_numpy(value: Any) -> bool:
    """Whether this is one of NumPy's own functions, by its public name."""
    name = getattr(value, "__name__", "")
    return getattr(np, name, None) is value


def constant_text(value: Any) -> str | None:
    """A value that can be written out; None for others."""
    if isinstance(value, np.ufunc) or (callable(value) and is_numpy(value)):
        return f"np.{value.__name__}"
    owner = getattr(value, "__self__", None)
    if isinstance(owner, np.ufunc):
        return f"np.{owner.__name__}.{value.__name__}"
    if isinstance(value, np.ndarray) and value.size <= 100:
        return f"np.array({value.tolist()!r}, dtype=np.{value.dtype.name})"
    if isinstance(value, np.generic):
        return f"np.{value.dtype.name}({value.item()!r})"
    if isinstance(value, tuple | list):
        return repr(value) if all(constant_text(x) is not None for x in value) else None
    return repr(value) if isinstance(value, int | float | complex | str | bool | None) else None
