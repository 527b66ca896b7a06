"""Other arrangements of what stands in a line: the order of axes, the size of another array, a share, an exchange."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from itertools import combinations, permutations
from typing import Any

import numpy as np

MOST_AXES = 4              # of an array whose elements are taken in every order
Operands = list[tuple[str, Any]]


def layouts(node: ast.expr, others: Operands) -> Iterator[str]:
    """A reshape that takes the elements, or the new axes, in another order; a transpose with another order."""
    match node:
        case ast.Call(func=ast.Attribute(value=x, attr="reshape" | "ravel" | "flatten"), args=args):
            ndim = next((value.ndim for name, value in others if name == ast.unparse(x)), 0)
            for axes in permutations(range(ndim)) if 1 < ndim <= MOST_AXES else ():
                yield ast.unparse(node).replace(ast.unparse(x), f"{ast.unparse(x)}.transpose{axes}", 1)
            if 1 < len(args) <= MOST_AXES and isinstance(node.func, ast.Attribute):
                for axes in permutations(range(len(args))):
                    first = ", ".join(ast.unparse(args[axis]) for axis in axes)
                    yield f"{ast.unparse(node.func)}({first}).transpose{tuple(map(axes.index, range(len(args))))}"
        case ast.Call(func=ast.Attribute(attr="transpose"), args=args) if 1 < len(args) <= MOST_AXES:
            yield from (f"{ast.unparse(node.func)}{axes}" for axes in permutations(range(len(args))))
            yield ast.unparse(node.func.value)  # type: ignore[attr-defined]


def sizes(node: ast.expr, others: Operands) -> Iterator[str]:
    """The size of another array."""
    match node:
        case ast.Call(func=ast.Name(id="len")) | ast.Attribute(attr="size") | \
                ast.Subscript(value=ast.Attribute(attr="shape")):
            yield from (f"len({name})" for name, value in others if value.ndim and name.isidentifier())


def ranges(node: ast.expr, counts: Set[str]) -> Iterator[str]:
    """A part from the beginning or the end, of other lengths."""
    match node:
        case ast.Subscript(value=x, slice=ast.Slice(step=None)):
            yield from (f"{ast.unparse(x)}[{part}]" for n in sorted(counts) for part in (f"{n}:", f":{n}", f"-{n}:"))


def flips(node: ast.expr, others: Operands) -> Iterator[str]:
    """A kernel's elements in reverse order along the last axes or the first one; in their own order along all of them.

    A vector in reverse order fits too much by accident.
    """
    x = ast.unparse(node)
    ndim = next((np.ndim(value) for name, value in others if name == x), 0)
    orders = ("..., ::-1", "..., ::-1, :", "..., ::-1, ::-1", "::-1")[:ndim + 1]
    yield from (f"{x}[{order}]" for order in orders if ndim > 1)
    if isinstance(node, ast.Subscript) and "::-1" in ast.unparse(node.slice):
        yield ast.unparse(node.value)


def shares(node: ast.expr, shapes: Mapping[str, Any]) -> Iterator[str]:
    """An array divided by its sum."""
    x = ast.unparse(node)
    if len(shapes.get(x, ())) == 1:
        yield f"{x} / {x}.sum()"
    else:
        yield from (f"{x} / {x}.sum({axis}, keepdims=True)" for axis in range(len(shapes.get(x, ()))))


def exchanged(rhs: str, places: list[ast.expr], shapes: Mapping[str, Any]) -> Iterator[str]:
    """Two operands of one shape in each other's place."""
    for a, b in combinations(sorted(places, key=lambda node: node.col_offset), 2):
        x, y = ast.unparse(a), ast.unparse(b)
        if x != y and (a.end_col_offset or 0) <= b.col_offset and shapes.get(x, ()) == shapes.get(y, None):
            yield f"{rhs[:a.col_offset]}{y}{rhs[a.end_col_offset:b.col_offset]}{x}{rhs[b.end_col_offset:]}"
