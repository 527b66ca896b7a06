"""The gradients in a picture: a walk back of its own, which neither reads nor touches any `.grad`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from autodiff.record import Record
from autodiff.tape import walk_back


def gradients_at(output: Record, name: str, records: Iterable[Record]) -> tuple[dict[Record, Any], str]:
    """∂output/∂record for each of these that requires grad, and why there are none ("" if there are)."""
    reason = ""
    if not output.requires_grad:
        reason = f"{name} does not depend on anything that requires grad"
    elif np.size(output.value) != 1:
        reason = f"{name} is no scalar"
    elif output.value.dtype.kind != "f":
        reason = f"{name} is of dtype {output.value.dtype}"
    if reason:
        return {}, f"Without gradients: {reason}."
    wanted = [r for r in dict.fromkeys(records) if r.requires_grad and not isinstance(r.value, tuple)]
    try:
        with np.errstate(all="ignore"):          # what overflows is drawn, loudly
            found = walk_back({output: np.ones_like(output.value)[()]}, wanted)
    except Exception as error:                   # a picture is what one looks at when something is wrong
        reason = str(error).partition("\n")[0] or repr(error)
        return {}, f"Without gradients: {reason}"
    return {r: found[r] if r in found else np.zeros_like(r.value) for r in wanted}, ""


def norm(values: Iterable[Any]) -> float:
    """The Euclidean norm of all entries of some arrays, safe from overflow; NaN or infinity if one of them is.

    >>> norm([np.array([3e200, 0.0]), np.array([4e200])]) < 5.001e200
    True
    """
    parts = [np.abs(np.asarray(v)).astype(np.float64).ravel() for v in values]
    largest = float(np.max([np.max(p, initial=0.0) for p in parts], initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(sum(float(np.sum((p / largest) ** 2)) for p in parts)))
