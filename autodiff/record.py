"""`Record`: one line of a tape. Everything else is a reader or a writer of records.

A record knows the records it was computed from, never the Tensor that holds it: references point
backwards only, so there are no cycles, and a graph lives exactly as long as its result is held.
"""

from __future__ import annotations

from itertools import count
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from autodiff.sites import COMPOSED, assigned_name, is_ours, locate, operand_texts, part_texts

if TYPE_CHECKING:
    from autodiff.kinds import Op
    from autodiff.state import Scope

Array = Any          # whatever implements NumPy's protocols: ndarray, NumPy scalar, device array
NO_OPTIONS: Final[dict[str, Any]] = {}
NOT_TWO: Final[Any] = object()          # in place of a second input: the first is the tuple of all
next_serial = count(1).__next__


class Record:
    """One line of a tape: ``value = op(*inputs, **options)``. Never changed once made.

    Attributes
    ----------
    op : Op or None
        The operation; None for a leaf.
    inputs : tuple
        Records, and plain operands (arrays, numbers) as they were given. Two, as most have, are kept without a tuple:
        it would be one more object for Python's collector to go through, a tenth of the time of a long tape.
    options : dict
        What else the operation was told: axis, shape, index ...
    value : array
        What the operation returned; NumPy's own scalar type when it is 0-d.
    requires_grad : bool
        Whether gradients flow through it.
    serial : int
        Its place in time. Inputs have smaller serials, so sorting by serial is a topological order.
    code, lasti : CodeType, int
        Where in the user's code it was made.
    scope : Scope or None
        The layer or stretch it was made in.
    label : str or None
        The name it was given explicitly.
    seals : list or None
        Fingerprints of the operands that the user could still write to.
    leaks : tuple
        Where its value left the tape as a Python number.
    """

    __slots__ = ("code", "label", "lasti", "leaks", "left", "op", "options", "requires_grad", "right", "scope",
                 "seals", "serial", "value")

    def __init__(self, op: Op | None, inputs: tuple[Any, ...], options: dict[str, Any], value: Array,
                 requires_grad: bool, frame: FrameType, scope: Scope | None, seals: list[Any] | None) -> None:
        self.op = op
        self.left: Any
        self.right: Any
        self.left, self.right = inputs if len(inputs) == 2 else (inputs, NOT_TWO)
        self.options = options
        self.value = value
        self.requires_grad = requires_grad
        self.code: CodeType = frame.f_code
        self.lasti = frame.f_lasti
        self.scope = scope
        self.seals = seals
        self.serial = next_serial()
        self.label: str | None = None
        self.leaks: tuple[Any, ...] = ()

    @property
    def inputs(self) -> tuple[Any, ...]:
        """Records, and plain operands as they were given."""
        return self.left if self.right is NOT_TWO else (self.left, self.right)

    @property
    def tracked(self) -> bool:
        """Whether it stands on a tape: it requires grad, or was computed from something that does."""
        return self.op is not None or self.requires_grad

    @property
    def name(self) -> str | None:
        """The name it was given, or that of the user's variable its line assigns it to."""
        if self.label or isinstance(self.value, tuple) or is_ours(self.code):
            return self.label
        return assigned_name(self.code, self.lasti, self.options.get("output", 0))

    @property
    def where(self) -> str:
        """The user's line: its own, or the one that opened its scope when its own is the library's."""
        line = str(locate(self.code, self.lasti))
        if self.scope is None:
            return line
        caller = str(locate(self.scope.code, self.scope.lasti))
        path, kind = self.scope.path, self.scope.kind
        layer = f"{path} ({kind})" if kind and kind != path else path
        if is_ours(self.code) or line == caller:
            return f"{caller} in {layer}"
        return f"{line} in {layer}, called at {caller}"

    @property
    def written(self) -> tuple[str, ...]:
        """How the user wrote each operand, "" where it cannot be told; in a layer, by the layer's call."""
        code, lasti, scope, n = self.code, self.lasti, self.scope, len(self.inputs)
        if self.op is None:
            return ("",) * n
        if scope is not None and is_ours(code):
            if code.co_filename == COMPOSED and not is_ours(scope.code):
                return part_texts(code, lasti, scope.code, scope.lasti, n, self.op.name)
            code, lasti = scope.code, scope.lasti
        elif scope is not None and (code, lasti) == (scope.code, scope.lasti) \
                and any(isinstance(x, Record) and x.scope is scope for x in self.inputs):
            return ("",) * n                                        # the result of a composed function, made of parts
        return ("",) * n if is_ours(code) else operand_texts(code, lasti, n, self.op.name)

    def __repr__(self) -> str:
        what = self.op.name if self.op else "leaf"
        return f"<{what} {self.name or ''} shape={getattr(self.value, 'shape', '')} {locate(self.code, self.lasti)}>"


new = object.__new__


def recorded(op: Op, inputs: tuple[Any, ...], options: dict[str, Any], value: Array, requires_grad: bool,
             frame: FrameType, scope: Scope | None, seals: list[Any] | None) -> Record:
    """A new record of an operation: what ``Record(...)`` makes, in four fifths of its time."""
    r = new(Record)
    r.op = op
    r.left, r.right = inputs if len(inputs) == 2 else (inputs, NOT_TWO)
    r.options = options
    r.value = value
    r.requires_grad = requires_grad
    r.code = frame.f_code
    r.lasti = frame.f_lasti
    r.scope = scope
    r.seals = seals
    r.serial = next_serial()
    r.label = None
    r.leaks = ()
    return r


class Leaf(Record):
    """A record nothing was computed for: a parameter, an input, a constant.

    The one thing that may change is its value, in place; `version` is the serial number of the last write.
    `exposed` is None until the user gets hold of the array itself, then its fingerprint at that moment (see `seals`).
    """

    __slots__ = ("exposed", "grad", "version")

    def __init__(self, value: Array, requires_grad: bool, frame: FrameType, label: str | None = None) -> None:
        super().__init__(None, (), NO_OPTIONS, value, requires_grad, frame, None, None)
        self.label = label
        self.grad: Array | None = None
        self.version = 0
        self.exposed: bytes | None = None

    def write(self, value: Array) -> None:
        """Replace the value, in place where it is an array that can be written."""
        if isinstance(self.value, np.generic):
            held = np.array(self.value)
            held[...] = value
            self.value = held[()]
        else:
            self.value[...] = value
        self.touch()

    def touch(self) -> None:
        """Note that the value was just written to: what used it before is out of date, what leaked is forgotten."""
        self.version = next_serial()
        self.leaks = ()


class Variable(Leaf):
    """A leaf of an argument of a transform. When the transform has ended it is a constant like any other."""

    __slots__ = ("ended",)

    def __init__(self, value: Array, requires_grad: bool, frame: FrameType, label: str | None = None) -> None:
        super().__init__(value, requires_grad, frame, label)
        self.ended: str | None = None          # the transform, once it is over
