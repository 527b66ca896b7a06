"""Sums of products over shared indices: `einsum`, and what is written in terms of it or of `matmul`.

Subscripts are brought into a plain form first (`einsum` below): every label explicit, none repeated within an operand,
each shared with another operand or the result. On that form the rule is one line: g takes the operand's place, and
their subscripts are swapped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, partial
from string import ascii_letters
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autodiff.errors import OperandError
from autodiff.kinds import Op

MANY = 32           # operands at most, as NumPy's einsum
FEW = 5             # operands up to which the best order is looked for; beyond, a greedy one


@lru_cache(maxsize=1024)
def order_of(subscripts: str, *shapes: tuple[int, ...]) -> Any:
    """The order in which to contract."""
    like = [np.broadcast_to(0.0, shape) for shape in shapes]
    return np.einsum_path(subscripts, *like, optimize="optimal" if len(shapes) <= FEW else "greedy")[0]


def contracted(*xs: Any, subscripts: str) -> Any:
    """NumPy's einsum, in the order that takes the fewest multiplications."""
    return np.einsum(subscripts, *xs, optimize=order_of(subscripts, *(np.shape(x) for x in xs)))


def swapped(i: int, g: Any, y: Any, *xs: Any, subscripts: str) -> Any:
    """g in place of operand i, with their subscripts swapped."""
    inputs, output = split(subscripts)
    return contract(*xs[:i], g, *xs[i + 1:], subscripts=joined([*inputs[:i], output, *inputs[i + 1:]], inputs[i]))


def moved(i: int, t: Any, y: Any, *xs: Any, subscripts: str) -> Any:
    """A tangent in place of operand i."""
    return contract(*xs[:i], t, *xs[i + 1:], subscripts=subscripts)


def split(subscripts: str) -> tuple[list[str], str]:
    """The labels of each operand, and of the result."""
    inputs, _, output = subscripts.partition("->")
    return inputs.split(","), output


def joined(inputs: Sequence[str], output: str) -> str:
    """The text of subscripts."""
    return f"{','.join(inputs)}->{output}"


contract: Op = Op(contracted, "einsum").vjp(*(partial(swapped, i) for i in range(MANY))).jvp(
    *(partial(moved, i) for i in range(MANY)))


# ---- einsum as NumPy takes it

def einsum(*operands: Any, optimize: Any = True) -> Any:
    """Sums of products by subscripts, implicit or explicit, with ellipsis, or in sublist form.

    The order of contraction is always optimised; `optimize` is taken for NumPy's sake.
    """
    text, xs = spelled(operands)
    plain = plainly(text, *(np.shape(x) for x in xs))
    if plain:
        return contract(*xs, subscripts=plain)
    inputs, output = explicit(text, [np.ndim(x) for x in xs])
    for i, labels in enumerate(inputs):
        inputs[i], xs[i] = without_repeats(labels, xs[i])
    sizes: dict[str, int] = {}
    for labels, x in zip(inputs, xs):
        for label, n in zip(labels, np.shape(x)):
            sizes[label] = n if sizes.get(label, 1) == 1 else sizes[label]
    for i, (labels, x) in enumerate(zip(inputs, xs)):               # a stretched axis is as good as none
        stretched = [k for k, label in enumerate(labels) if np.shape(x)[k] == 1 != sizes[label]]
        if stretched:
            inputs[i], xs[i] = dropped(labels, stretched), np.squeeze(x, tuple(stretched))
    uses = Counter("".join(inputs) + output)
    for i, (labels, x) in enumerate(zip(inputs, xs)):
        alone = [k for k, label in enumerate(labels) if uses[label] == 1]
        if alone:
            inputs[i], xs[i] = dropped(labels, alone), np.sum(x, axis=tuple(alone))
    return contract(*xs, subscripts=joined(inputs, output))


@lru_cache(maxsize=1024)
def plainly(text: str, *shapes: tuple[int, ...]) -> str:
    """The subscripts in their plain form, if the operands can be taken as they are; else ""."""
    inputs, output = explicit(text, [len(shape) for shape in shapes])
    sizes: dict[str, int] = {}
    uses = Counter("".join(inputs) + output)
    for labels, shape in zip(inputs, shapes):
        for label, n in zip(labels, shape):
            if sizes.setdefault(label, n) != n or uses[label] == 1 or labels.count(label) > 1:
                return ""
    return joined(inputs, output)


def dropped(labels: str, places: Sequence[int]) -> str:
    """The labels without those at some places."""
    return "".join(label for k, label in enumerate(labels) if k not in places)


def without_repeats(labels: str, x: Any) -> tuple[str, Any]:
    """Diagonals taken, until no label occurs twice."""
    for label in sorted(set(labels)):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if 1 in (np.shape(x)[i], np.shape(x)[j]) and np.shape(x)[i] != np.shape(x)[j]:
                drop = i if np.shape(x)[i] == 1 else j
                labels, x = dropped(labels, [drop]), np.squeeze(x, drop)
            elif np.shape(x)[i] != np.shape(x)[j]:
                raise ValueError(f"einsum: label {label!r} stands for axes of {np.shape(x)[i]} and {np.shape(x)[j]}")
            else:
                labels, x = dropped(labels, [i, j]) + label, np.diagonal(x, axis1=i, axis2=j)
    return labels, x


def spelled(operands: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """Subscripts as text, and the operands: also of ``einsum(a, [0, 1], b, [1, 2], [0, 2])``."""
    if isinstance(operands[0], str):
        xs = list(operands[1:])
        text = operands[0].replace(" ", "")
    else:
        xs, lists = list(operands[:-1:2]), list(operands[1::2])
        text = ",".join(map(letters, lists)) + (f"->{letters(operands[-1])}" if len(operands) % 2 else "")
    return text, [x if hasattr(x, "__array_ufunc__") else np.asarray(x) for x in xs]


def letters(sublist: Sequence[Any]) -> str:
    """A sublist as text."""
    return "".join("..." if i is Ellipsis else ascii_letters[i] for i in sublist)


def explicit(text: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """The labels of each operand and of the result, with every ellipsis and an implicit result written out."""
    given, arrow, output = text.partition("->")
    inputs = given.split(",")
    if len(inputs) != len(ndims):
        raise ValueError(f"einsum: {len(inputs)} subscripts for {len(ndims)} operands")
    counts = []
    for labels, ndim in zip(inputs, ndims):
        hidden = ndim - len(labels.replace("...", ""))
        if hidden < 0 or (hidden and "..." not in labels):
            raise ValueError(f"einsum: subscripts {labels!r} for an operand of {ndim} axes")
        counts.append(hidden)
    unused = [letter for letter in reversed(ascii_letters) if letter not in text]
    most = max((n for n, labels in zip(counts, inputs) if "..." in labels), default=0)
    if most > len(unused):
        raise ValueError("einsum: too many axes")
    rest = "".join(unused[:most])
    if not arrow:
        seen = Counter(given.replace("...", "").replace(",", ""))
        output = "..." * ("..." in given) + "".join(sorted(label for label, n in seen.items() if n == 1))
    if bad := [c for c in output.replace("...", "") if c not in given or output.count(c) > 1]:
        raise ValueError(f"einsum: {bad[0]!r} in the result is in no operand, or stands there twice")
    if most and "..." not in output:
        raise OperandError("einsum: the subscripts of the result need '...' as well, for the axes that the operands' "
                           "ellipses stand for")
    return ([labels.replace("...", rest[most - n:]) for labels, n in zip(inputs, counts)], output.replace("...", rest))


# ---- products of two

def outer(a: Any, b: Any) -> Any:
    """Every product of an element of a with one of b."""
    return np.expand_dims(np.reshape(a, -1), 1) * np.reshape(b, -1)


def inner(a: Any, b: Any, /) -> Any:
    """Sums of products along the last axis of both."""
    return a * b if 0 in (np.ndim(a), np.ndim(b)) else tensordot(a, b, axes=(-1, -1))


def dot(a: Any, b: Any) -> Any:
    """Sums of products along the last axis of a and the last but one of b."""
    if 0 in (np.ndim(a), np.ndim(b)):
        return a * b
    return np.matmul(a, b) if np.ndim(b) <= 2 else tensordot(a, b, axes=(-1, -2))


def vdot(a: Any, b: Any, /) -> Any:
    """Σ of the conjugate of a times b."""
    return np.matmul(np.reshape(np.conj(a) if np.iscomplexobj(a) else a, -1), np.reshape(b, -1))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sums of products over some axes of each, which go last in a and first in b."""
    if isinstance(axes, int | np.integer):
        last, first = list(range(np.ndim(a) - int(axes), np.ndim(a))), list(range(int(axes)))
    else:
        last, first = ([x] if np.ndim(x) == 0 else list(x) for x in axes)
    last = [normalize_axis_index(int(i), np.ndim(a)) for i in last]
    first = [normalize_axis_index(int(i), np.ndim(b)) for i in first]
    sizes = [np.shape(a)[i] for i in last]
    if sizes != [np.shape(b)[i] for i in first]:
        raise ValueError(f"tensordot: axes {last} of shape {np.shape(a)} do not fit axes {first} of shape {np.shape(b)}")
    rows = [i for i in range(np.ndim(a)) if i not in last]
    columns = [i for i in range(np.ndim(b)) if i not in first]
    n = int(np.prod(sizes, dtype=int))
    left = [np.shape(a)[i] for i in rows]
    right = [np.shape(b)[i] for i in columns]
    A = np.reshape(np.transpose(a, rows + last), (int(np.prod(left, dtype=int)), n))
    B = np.reshape(np.transpose(b, first + columns), (n, int(np.prod(right, dtype=int))))
    return np.reshape(np.matmul(A, B), tuple(left + right))


def kron(a: Any, b: Any) -> Any:
    """Every element of a times the whole of b, laid out as a is."""
    ndim = max(np.ndim(a), np.ndim(b))
    large = (1,) * (ndim - np.ndim(a)) + np.shape(a)
    small = (1,) * (ndim - np.ndim(b)) + np.shape(b)
    product = np.reshape(a, tuple(k for n in large for k in (n, 1))) * np.reshape(b, tuple(k for n in small for k in (1, n)))
    return np.reshape(product, tuple(m * n for m, n in zip(large, small)))


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The vector products of vectors of three."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = (x if axis in (-1, np.ndim(x) - 1) else np.moveaxis(x, axis, -1) for x, axis in ((a, axisa), (b, axisb)))
    if {np.shape(a)[-1], np.shape(b)[-1]} != {3}:
        raise ValueError(f"cross: vectors have three elements, not {np.shape(a)[-1]} and {np.shape(b)[-1]}")
    (a0, a1, a2), (b0, b1, b2) = ([v[..., i] for i in range(3)] for v in (a, b))
    return np.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=axisc)
