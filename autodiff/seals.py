"""Seals: fingerprints of what the user could still write to, taken when used and checked by backward.

Results of operations need none: they are handed out read-only. A leaf counts the writes made through
its Tensor, and its array and every plain array operand is fingerprinted by its bytes: all of them up to 512
elements, 65 samples above (all of them under `ad.debug`).
"""

from __future__ import annotations

from typing import Any

from numpy import ndarray

from autodiff.errors import MutationError
from autodiff.record import Leaf, Record
from autodiff.sites import locate, operand_texts
from autodiff.state import exact_seals

EXACT_UP_TO = 512
SAMPLES = 64
Seals = list[Any]          # first whether exact, then a fingerprint for each operand that could be written


def sealed(inputs: tuple[Any, ...], exact: bool | None = None) -> Seals:
    """The fingerprints of the operands that could be written to."""
    seals: Seals = [exact_seals.get() if exact is None else exact]
    for x in inputs:
        if type(x) is ndarray:
            seals.append(fingerprint(x, seals[0]))
        elif isinstance(x, Leaf):
            seals.append(x.version)
            if type(x.value) is ndarray:
                seals.append(fingerprint(x.value, seals[0]))
    return seals


def fingerprint(a: ndarray[Any, Any], exact: bool) -> bytes:
    """Bytes that change when the array is written to."""
    if a.size <= EXACT_UP_TO or exact:
        return a.tobytes()
    return a.ravel("K")[::a.size // SAMPLES].tobytes()


def check(record: Record) -> None:
    """Raise if an operand of this record was changed since it was used."""
    if record.seals is None or sealed(record.inputs, record.seals[0]) == record.seals:
        return
    op = record.op.name if record.op else "leaf"
    texts = operand_texts(record.code, record.lasti)
    changed = [str(getattr(x, "name", None) or (texts[i] if i < len(texts) == len(record.inputs) else "an operand"))
               for i, x in enumerate(record.inputs) if was_changed(record, i)]
    raise MutationError(
        f"{' and '.join(changed)} of {op} was changed in place after it was used at {record.where}\n"
        f"    {locate(record.code, record.lasti).text}\n"
        "  The gradient needs the value it had then. Call backward() before changing it, change a copy, or write "
        "x = x + 1 instead of x += 1 on arrays.")


def was_changed(record: Record, i: int) -> bool:
    """Whether operand `i` is one whose seal is broken."""
    assert record.seals is not None
    exact, before = record.seals[0], record.seals[1:]
    for j, x in enumerate(record.inputs):
        now = sealed((x,), exact)[1:]
        if j == i:
            return now != before[:len(now)]
        before = before[len(now):]
    return False
