"""``t[index] = value``: constants and, where nothing is recorded, parameters are written to; a result's handle moves.

Assignment to a result records an `index_update`, and the handle goes on to that. What was computed before keeps the
values it had. What is a view of another tensor is refused: in NumPy the assignment would reach that one as well.
"""

from __future__ import annotations

from sys import _getframe
from typing import Any

import numpy as np

from autodiff.errors import GradientError
from autodiff.leaks import shares
from autodiff.ops.indexing import put, separated
from autodiff.record import Leaf, Record
from autodiff.sites import locate, outside
from autodiff.state import recording
from autodiff.tensor import Tensor
from autodiff.values import plain_value


def setitem_method(self: Tensor, index: Any, value: Any) -> None:
    """``self[index] = value``."""
    recorded = recording.get()
    if self.record.op is not None and recorded:
        self.record = updated(self, index, value, _getframe(1)).record
        return
    leaf = self._leaf("assign to elements of")
    if leaf.requires_grad:
        refuse_leaf_write(self, "assignment to elements")
    if isinstance(value, Tensor) and value.record.tracked and recorded:
        raise GradientError(
            f"cannot assign {value.name or 'a recorded tensor'} to elements of {self.name or 'a constant'}: the "
            "gradient would be lost. Write x = ad.index_update(x, index, value), which records, as np.where, "
            "np.concatenate and np.stack do; after that x[index] = value works too.")
    held = np.array(leaf.value) if isinstance(leaf.value, np.generic) else leaf.value
    held[plain_index(index)] = value.record.value if isinstance(value, Tensor) else value
    leaf.write(held)


def updated(self: Tensor, index: Any, value: Any, frame: Any) -> Tensor:
    """A result with some elements replaced, recorded."""
    refuse_view(self)
    template, arrays = separated(index)
    if not isinstance(value, Tensor):
        value = plain_value(value)
    result: Tensor = put(self, value, *arrays, index=template, _frame=frame)
    return result


def plain_index(index: Any) -> Any:
    """An index with Tensors in it replaced by their arrays."""
    if isinstance(index, tuple):
        return tuple(i.record.value if isinstance(i, Tensor) else i for i in index)
    return index.record.value if isinstance(index, Tensor) else index


def refuse_view(tensor: Tensor) -> None:
    """Raise for a result that shares the memory of what it was made from, such as ``t[0]`` in ``t[0][1] = v``."""
    r = tensor.record
    if not isinstance(r.value, np.ndarray) or r.value.base is None or r.op is None:
        return
    for x in r.inputs:
        whole = x.value if isinstance(x, Record) else x
        if any(shares(r, part) for part in (whole if isinstance(whole, tuple) else (whole,))):
            source = (x.name if isinstance(x, Record) else None) or "what it was made from"
            f = outside(2)
            raise GradientError(
                f"{tensor.name or 'this tensor'} is a view of {source} (by {r.op.name}): NumPy would write to both, "
                f"and a tape cannot.\n  at {locate(f.f_code, f.f_lasti)}: {locate(f.f_code, f.f_lasti).text}\n"
                "  Assign with one index (x[0, 1] = v, not x[0][1] = v), or to a copy: y = np.copy(y).")


def refuse_leaf_write(tensor: Tensor, how: str) -> None:
    """A leaf that requires grad is written to only where nothing is recorded."""
    if recording.get():
        raise GradientError(
            f"{how}: {tensor.name or 'this tensor'} is a leaf that requires grad; changing it would cut it off from "
            f"its gradient.\n  at {locate((f := outside(2)).f_code, f.f_lasti)}\n"
            "  Write y = x + ... for a new tensor, or update parameters within `with ad.no_grad():`.")


def sort_method(self: Tensor, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> None:
    """As ndarray.sort, in place; `np.sort` makes a new tensor."""
    result: Any = np.sort(self, axis, kind, order, stable=stable)
    if isinstance(self.record, Leaf):
        if self.record.requires_grad:
            refuse_leaf_write(self, "sort in place")
        self.record.write(result.record.value)
    else:
        refuse_view(self)
        self.record = result.record
