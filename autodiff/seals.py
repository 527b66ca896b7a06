"""Seals: what the user could still write to is remembered when it is used, and checked by backward.

Results of operations need none: they are handed out read-only. A leaf knows when it was last written to through
its Tensor. Plain arrays, and the arrays of leaves once the user has got hold of them, are fingerprinted by
their bytes: all of them up to 512 elements, 65 samples above (all of them under `ad.debug`).
"""

from __future__ import annotations

from typing import Any

from numpy import ndarray

from autodiff.errors import MutationError, OperandError
from autodiff.record import Leaf, Record
from autodiff.sites import locate
from autodiff.state import exact_seals

EXACT_UP_TO = 512
SAMPLES = 64
Seals = list[Any]          # first whether exact, then a fingerprint or None for each input


def sealed(inputs: tuple[Any, ...], exact: bool | None = None) -> Seals:
    """The fingerprints of the operands whose arrays the user holds."""
    if exact is None:
        exact = exact_seals.get()
    seals: Seals = [exact]
    for x in inputs:
        if type(x) is ndarray:
            if x.dtype.hasobject:
                raise OperandError("an array of Python objects (dtype object) has no derivatives; convert it with "
                                   ".astype(np.float64), or join tensors with np.stack([...])")
            seals.append(x.tobytes() if x.size <= EXACT_UP_TO else fingerprint(x, exact))
        elif type(x) is not Record and isinstance(x, Leaf) and x.exposed is not None:
            seals.append(fingerprint(x.value, exact))
        else:
            seals.append(None)
    return seals


def fingerprint(a: ndarray[Any, Any], exact: bool = False) -> bytes:
    """Bytes that change when the array is written to."""
    if a.size <= EXACT_UP_TO or exact:
        return a.tobytes()
    return a.ravel("K")[::a.size // SAMPLES].tobytes()


def expose(leaf: Leaf) -> None:
    """Note that the user now holds the leaf's array, and what it held until then."""
    if leaf.exposed is None and type(leaf.value) is ndarray:
        leaf.exposed = fingerprint(leaf.value)


def check(record: Record) -> None:
    """Raise if an operand of this record was changed since it was used."""
    changed = [i for i in range(len(record.inputs)) if was_changed(record, i)]
    if not changed:
        return
    op = record.op.name if record.op else "leaf"
    names = [(x.name if isinstance(x := record.inputs[i], Record) else None)
             or record.written[i] or "an operand" for i in changed]
    raise MutationError(
        f"{' and '.join(dict.fromkeys(names))}, used by {op}, was changed in place after it was used at "
        f"{record.where}\n    {locate(record.code, record.lasti).text}\n"
        "  The gradient needs the value it had then. Call backward() before changing it, change a copy, or write "
        "x = x + 1 instead of x += 1 on arrays.")


def was_changed(record: Record, i: int) -> bool:
    """Whether operand `i` was written to since."""
    x, before = record.inputs[i], record.seals[i + 1] if record.seals else None
    if isinstance(x, Leaf):
        if x.version > record.serial:
            return True
        if before is None:                      # got hold of only after it was used
            return x.exposed is not None and fingerprint(x.value) != x.exposed
        x = x.value
    return before is not None and fingerprint(x, record.seals[0]) != before       # type: ignore[index]
