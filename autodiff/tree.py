"""Nested arguments: dicts, lists, tuples and modules of arrays, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autodiff.errors import OperandError

SEQUENCES = (list, tuple)


def leaves_of(tree: Any) -> list[Any]:
    """The arrays, in order.

    A module (anything with `named_parameters`) counts as a dict of its parameters by path.
    """
    if type(tree) is np.ndarray:
        return [tree]
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in leaves_of(value)]
    if isinstance(tree, SEQUENCES):
        return [leaf for value in tree for leaf in leaves_of(value)]
    if hasattr(tree, "named_parameters"):
        return [parameter for _, parameter in tree.named_parameters()]
    return [] if tree is None else [tree]


def names_in(tree: Any, name: str) -> list[str]:
    """What to call each of the arrays: by its key, its path in a module, or its place, as in ``p[0]``."""
    if isinstance(tree, dict):
        return [leaf for key, value in tree.items()
                for leaf in names_in(value, key if isinstance(key, str) else f"{name}[{key!r}]")]
    if isinstance(tree, SEQUENCES):
        keys = getattr(tree, "_fields", None) or [f"{name}[{i}]" for i in range(len(tree))]
        return [leaf for key, value in zip(keys, tree) for leaf in names_in(value, key)]
    if hasattr(tree, "named_parameters"):
        return [path for path, _ in tree.named_parameters()]
    return [] if tree is None else [name]


def rebuilt(tree: Any, leaves: list[Any], as_argument: bool = False) -> Any:
    """The same structure with other leaves.

    A module becomes a dict by path; with `as_argument` a copy of the module with these parameters.
    """
    return build(tree, iter(leaves), as_argument)


def build(node: Any, supply: Iterator[Any], as_argument: bool) -> Any:
    """The structure of `node`, its leaves taken from `supply`."""
    if isinstance(node, dict):
        return type(node)((key, build(value, supply, as_argument)) for key, value in node.items())
    if isinstance(node, SEQUENCES):
        parts = [build(value, supply, as_argument) for value in node]
        return type(node)(*parts) if hasattr(node, "_fields") else type(node)(parts)       # a named tuple, or not
    if hasattr(node, "named_parameters"):
        by_path = {path: next(supply) for path, _ in node.named_parameters()}
        return node.with_parameters(by_path) if as_argument else by_path
    return None if node is None else next(supply)


def mapped(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The structure with `function` applied to each leaf (and to those of the others, which must match)."""
    columns = [leaves_of(tree), *(leaves_of(other) for other in others)]
    if len({len(column) for column in columns}) > 1:
        raise OperandError(f"the structures differ: {', '.join(str(len(column)) for column in columns)} leaves")
    return rebuilt(tree, [function(*row) for row in zip(*columns, strict=True)])
