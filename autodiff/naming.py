"""What records are called where people read them: one name each, the user's own as far as there are any."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from autodiff.errors import GradientError
from autodiff.record import Record
from autodiff.sites import Site, is_ours, locate


def names_of(records: Iterable[Record], given: Mapping[Record, str] | None = None) -> dict[Record, str]:
    """A different name for each record.

    Given names come first, then the user's own, then what the lines that use a leaf call it. A name used again gets a
    number (x, x_2, x_3); what has none is called v1, v2, ... in order, leaves c1, c2, ...
    """
    names: dict[Record, str] = {}
    used: dict[str, int] = {}
    given = given or {}
    counters = {"v": 0, "c": 0}
    records = list(records)
    for r in sorted(records, key=lambda r: (r not in given, not r.label)):
        wish = given.get(r) or r.name
        if wish is not None:
            names[r] = free(wish, used)
    for r, wish in names_by_use(records, names).items():
        names[r] = free(wish, used)
    for r in records:
        if r not in names:
            letter = "v" if r.op else "c"
            while f"{letter}{counters[letter] + 1}" in used:
                counters[letter] += 1
            counters[letter] += 1
            names[r] = f"{letter}{counters[letter]}"
    return {r: names[r] for r in records}


def names_by_use(records: Iterable[Record], named: Mapping[Record, str]) -> dict[Record, str]:
    """What the user's lines call the leaves that have no name yet, such as those a function made and returned."""
    found: dict[Record, str] = {}
    for r in records:
        if any(isinstance(x, Record) and x.op is None and x not in named and x not in found for x in r.inputs):
            for x, text in zip(r.inputs, r.written):
                if isinstance(x, Record) and x.op is None and x not in named and text.isidentifier():
                    found.setdefault(x, text)
    return found


class ArrayNames:
    """What the user's lines call plain arrays, which have no record: ``x``, ``xs[t]``, ``1 - y``.

    Parameters
    ----------
    records : iterable of Record
        Whose operands they are. The arrays are theirs, and must be alive when they are looked up.

    Examples
    --------
    >>> from autodiff.naming import ArrayNames
    >>> x, w = np.ones((3, 2)), ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> names = ArrayNames([(x @ w).record])
    >>> names(x), names(x.T), names(np.ones((3, 2)))
    ('x', 'x.T', '')
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.texts: dict[Any, str] = {}
        for r in records:
            if any(isinstance(x, np.ndarray) for x in r.inputs):
                for x, text in zip(r.inputs, r.written):
                    if isinstance(x, np.ndarray) and text:
                        self.texts.setdefault(memory_of(x), text)

    def __call__(self, x: Any) -> str:
        """The text for an array, or for a transpose of one; "" where none is known."""
        if not isinstance(x, np.ndarray):
            return ""
        known = self.texts.get(memory_of(x), "")
        turned = "" if known or x.ndim < 2 else self.texts.get(memory_of(x.T), "")
        if not turned or turned.endswith(".T"):
            return known or turned.removesuffix(".T")
        return f"{turned}.T" if turned.isidentifier() else f"({turned}).T"


def memory_of(x: Any) -> Any:
    """What two arrays share that are the same view of the same memory."""
    return x.__array_interface__["data"][0], x.shape, x.strides, x.dtype


def identifier(name: str) -> str:
    """A name as a Python variable: "layers.0.weight" as layers_0_weight."""
    text = name if name.isidentifier() else re.sub(r"\W+", "_", name).strip("_")
    return text if text.isidentifier() else f"layer_{text}" if text else "v"


def free(wish: str, used: dict[str, int]) -> str:
    """The wish, numbered if it is taken; `used` counts how often each was asked for."""
    name = wish
    while name in used:
        used[wish] += 1
        name = f"{wish}_{used[wish]}"
    used[name] = 1
    return name


def find(records: list[Record], key: Record | str, given: Mapping[Record, str] | None = None) -> Record:
    """The one record among these that is meant by a record or a name."""
    if isinstance(key, Record):
        if key in set(records):
            return key
        raise GradientError(f"{key.name or 'this tensor'} (from {key.where}) is not on this tape: nothing recorded "
                            "here was computed from it")
    given = given or {}
    matches = [r for r in records if key in (given.get(r), r.name)] \
        or [r for r, name in names_of(records, given).items() if name == key]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise GradientError(f"{len(matches)} tensors on this tape are called {key!r}: "
                            + "; ".join(f"{np.shape(r.value)} from {r.where}" for r in matches[:6])
                            + ". Name them apart with .named(...) or names=.")
    known = sorted({name for r in records if (name := given.get(r) or r.name)})
    raise GradientError(f"nothing on this tape is called {key!r}; known names: {', '.join(known) or 'none'}")


def operand_names(r: Record, names: Mapping[Record, str]) -> list[str]:
    """What to call each operand of a record."""
    return [operand_name(x, text, names) for x, text in zip(r.inputs, r.written)]


def operand_name(x: Any, text: str, names: Mapping[Record, str]) -> str:
    """What to call an operand: a record's name, a number itself, an array by the user's variable."""
    if isinstance(x, Record):
        return names[x]
    if isinstance(x, np.ndarray) and x.ndim:
        return text if text.isidentifier() else f"array{x.shape}"
    return repr(x.item() if hasattr(x, "item") and np.size(x) == 1 else x)


def line_of(r: Record, names: Mapping[Record, str]) -> tuple[str, str, str, str]:
    """A record's line of the listing: name, operation, shape and dtype, the user's line."""
    if r.op is None:
        expression = "leaf, requires grad" if r.requires_grad else "leaf"
    else:
        arguments = operand_names(r, names)
        arguments += [f"{key}={value!r}" for key, value in r.options.items()]
        expression = f"{r.op.name}({', '.join(arguments)})"
    values = r.value if isinstance(r.value, tuple) else (r.value,)
    kinds = [f"{np.shape(y)} {getattr(y, 'dtype', '')}" for y in values]
    return names[r], expression, ", ".join(kinds), str(user_site(r) or locate(r.code, r.lasti))


def user_site(r: Record) -> Site | None:
    """The user's line: where it was made, or the layer it was made in was called; None where that is not known."""
    code, lasti, scope = r.code, r.lasti, r.scope
    while is_ours(code) and scope is not None:
        code, lasti, scope = scope.code, scope.lasti, scope.outer
    return None if is_ours(code) else locate(code, lasti)


def listing(records: list[Record], given: Mapping[Record, str]) -> str:
    """The tape as text, a line per record: ``name = op(names)   shape dtype   file:line``."""
    names = names_of(records, given)
    rows = [line_of(r, names) for r in records]
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(3)]
    return "\n".join(f"{name:<{widths[0]}} = {expression:<{widths[1]}}  {kind:<{widths[2]}}  {line}".rstrip()
                     for name, expression, kind, line in rows)
