"""`Tensor`, the user's handle on one record, and `made`, where every result becomes one."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy import ndarray

from autodiff.errors import GradientError, OperandError, ShapeError, TracedValueError
from autodiff.explain import as_plain_array, leaving, no_gradient, no_numbers, numbers_of, one_element
from autodiff.leaks import leave
from autodiff.operators import Operators
from autodiff.record import Array, Leaf, Record, new, recorded
from autodiff.seals import expose, sealed
from autodiff.sites import outside
from autodiff.state import recording, scope_now, tracing, transform_now, watchers

if TYPE_CHECKING:
    from autodiff.kinds import Op


class Tensor(Operators):
    """An array that records what is computed from it.

    Parameters
    ----------
    data : array_like
        The values; copied (`as_tensor` shares instead). The dtype is kept; numbers and lists become
        float64 when `requires_grad` is set.
    requires_grad : bool
        Whether gradients with respect to this tensor are wanted.
    name : str, optional
        What to call it; by default the variable it is first assigned to.
    dtype : dtype, optional
        The dtype to convert to.

    Raises
    ------
    OperandError
        If the data is no array of numbers, or requires grad and is an array of integers.

    Examples
    --------
    >>> W = ad.Tensor([[1.0, 2.0]], requires_grad=True)
    >>> loss = (W ** 2).sum()
    >>> loss.backward()
    >>> W.grad
    array([[2., 4.]])
    """

    __slots__ = ("__weakref__", "record")
    record: Record
    __hash__ = object.__hash__          # by identity: == is elementwise

    def __init__(self, data: Any, requires_grad: bool = False, name: str | None = None, dtype: Any = None) -> None:
        self.record = Leaf(leaf_value(data, dtype, requires_grad, copy=True), requires_grad, outside(2), name)

    @classmethod
    def of(cls, record: Record) -> Self:
        """A handle on an existing record."""
        tensor = cls.__new__(cls)
        tensor.record = record
        return tensor

    # ---- what it holds

    @property
    def data(self) -> Array:
        """The values, not copied: a NumPy scalar when 0-d; read-only when the tape still needs them."""
        record = self.record
        if tracing.get():
            raise TracedValueError(leaving(".data", self._called, transform_now.get(), *_here()))
        if isinstance(record, Leaf):
            expose(record)
        elif isinstance(record.value, ndarray):
            record.value.flags.writeable = False
        return record.value

    @data.setter
    def data(self, value: Any) -> None:
        leaf = self._leaf("assign to .data of")
        if np.shape(value) != self.shape:
            raise ShapeError(f"{self._called} has shape {self.shape}; .data cannot be set to shape {np.shape(value)}")
        leaf.write(value.data if isinstance(value, Tensor) else value)

    @property
    def grad(self) -> Array | None:
        """∂loss/∂self as `backward` left it: an array of this shape and dtype; None on intermediates."""
        return self.record.grad if isinstance(self.record, Leaf) else None

    @grad.setter
    def grad(self, value: Array | None) -> None:
        if value is not None and np.shape(value) != self.shape:
            raise ShapeError(f"{self._called} has shape {self.shape}; its .grad cannot have shape {np.shape(value)}")
        self._leaf("set .grad of").grad = value

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through this tensor."""
        return self.record.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        leaf = self._leaf("set requires_grad of")
        if value and leaf.value.dtype.kind != "f":
            raise OperandError(f"{self._called}: {no_gradient(self.dtype)}")
        leaf.requires_grad = value

    @property
    def name(self) -> str | None:
        """What it is called: as given, or as the line that made it assigns it."""
        return self.record.name

    @name.setter
    def name(self, value: str | None) -> None:
        self.record.label = value

    def named(self, name: str) -> Self:
        """Name this tensor; returns it, so that it can stand at the end of an expression."""
        self.record.label = name
        return self

    @property
    def scope(self) -> str:
        """The path of the scope it was made in; "" outside any."""
        return self.record.scope.path if self.record.scope else ""

    @property
    def is_leaf(self) -> bool:
        """Whether nothing was recorded for it."""
        return self.record.op is None

    @property
    def shape(self) -> tuple[int, ...]:
        """As NumPy's."""
        return np.shape(self.record.value)

    @property
    def dtype(self) -> np.dtype[Any]:
        """As NumPy's."""
        dtype: np.dtype[Any] = self.record.value.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """As NumPy's."""
        return np.ndim(self.record.value)

    @property
    def size(self) -> int:
        """As NumPy's."""
        return int(np.size(self.record.value))

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as an array: not copied, read-only when the tape still needs them."""
        return np.asarray(self.data)

    # ---- values that leave the tape as Python numbers

    def _leave(self, how: str) -> None:
        """Tell the tape that values are leaving it as Python numbers."""
        if transform_now.get() is not None and self.record.tracked:
            raise TracedValueError(leaving(how, self._called, transform_now.get(), *_here()))
        leave(self.record, how, *_here())

    def _number(self, how: str) -> Array:
        """The single value, after telling the tape that it is leaving."""
        if self.size != 1:
            raise ShapeError(one_element(how, self._called, self.shape, *_here()))
        self._leave(how)
        return self.record.value if isinstance(self.record.value, np.generic) else self.record.value.reshape(())[()]

    def item(self) -> Any:
        """The single value as a Python number."""
        return self._number("item()").item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        self._leave("tolist()")
        return self.record.value.tolist()

    def __float__(self) -> float:
        return float(self._number("float()"))

    def __int__(self) -> int:
        return int(self._number("int()"))

    def __complex__(self) -> complex:
        return complex(self._number("complex()"))

    def __bool__(self) -> bool:
        return bool(self._number("bool()"))

    def __index__(self) -> int:
        if self.dtype.kind not in "iub":
            raise TypeError(f"{self._called} of dtype {self.dtype} cannot be used as an index; convert it with int()")
        return int(self._number("an index"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if self.record.tracked:
            raise TracedValueError(as_plain_array(self._called, *_here()))
        return np.array(self.data, dtype=dtype, copy=copy)

    # ---- containers, text, copies

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"{self._called} is 0-d: it has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        self._leave("in")
        return value in self.record.value

    def __repr__(self) -> str:
        value = self.record.value
        values = str(value) if not isinstance(value, ndarray | np.generic) else \
            np.array2string(np.asarray(value), separator=", ", threshold=200, prefix="Tensor(")
        dtype = f", dtype={value.dtype}" if getattr(value, "dtype", bool) not in (np.float64, np.int64, bool) else ""
        name = f", name={self.name!r}" if self.name else ""
        origin = f", op={self.record.op.name}" if self.record.op else ""
        return f"Tensor({values}{dtype}{name}{origin}{', requires_grad=True' if self.requires_grad else ''})"

    def __format__(self, spec: str) -> str:
        return format(self.record.value[()] if self.shape == () else repr(self), spec)

    def __copy__(self) -> Self:
        return self.of(self.record)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = self._restore(np.array(self.record.value)[()], self.requires_grad, self.name)
        memo[id(self)] = copied
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickling carries value, name and requires_grad, never the graph."""
        return self._restore, (self.record.value, self.requires_grad, self.name)

    @classmethod
    def _restore(cls, value: Array, requires_grad: bool, name: str | None) -> Self:
        return cls.of(Leaf(value, requires_grad, outside(2), name))

    # ---- helpers

    @property
    def _called(self) -> str:
        """How messages speak of it."""
        return self.name or ("this tensor" if self.record.op is None else f"the result of {self.record.op.name}")

    def _leaf(self, what: str) -> Leaf:
        if isinstance(self.record, Leaf):
            return self.record
        raise GradientError(f"cannot {what} {self._called}: it is the result of {self.record.where}, and records "
                            "never change. Only leaves (tensors made with ad.Tensor) can be set.")


def made(op: Op, inputs: tuple[Any, ...], options: dict[str, Any], value: Array, frame: FrameType) -> Tensor:
    """The Tensor of a new result, recorded if anything it was computed from is tracked.

    `frame` is the frame outside the engine that asked for it.
    """
    tensor: Tensor = new(Tensor)
    grad_mode = recording.get()
    if grad_mode or tracing.get():
        tracked = requires_grad = writable = False
        for x in inputs:
            if type(x) is Record:
                tracked = True
                requires_grad = requires_grad or x.requires_grad
            elif isinstance(x, Leaf):
                if x.requires_grad:
                    tracked = requires_grad = True
                writable = writable or x.exposed is not None
            elif type(x) is ndarray:
                writable = True
        if tracked or tracing.get():
            tensor.record = recorded(op, inputs, options, value, requires_grad and op.differentiable and grad_mode,
                                     frame, scope_now.get(), sealed(inputs) if writable else None)
            if watchers:
                watchers[-1].recorded(tensor.record)
            return tensor
        for x in inputs:
            if isinstance(x, Record) and not x.leaks:
                leave(x, "use where nothing required grad", frame.f_code, frame.f_lasti, constant=True)
    tensor.record = leaf = Leaf(value, False, frame)
    if isinstance(value, ndarray) and value.base is not None:          # a view of something that may be held elsewhere
        expose(leaf)
        for x in inputs:
            if isinstance(x, Leaf):
                expose(x)
    return tensor


def as_tensor(data: Any, requires_grad: bool = False, name: str | None = None, dtype: Any = None) -> Tensor:
    """As `Tensor`, but sharing the array's memory where it can; a Tensor is returned as it is.

    Examples
    --------
    >>> a = np.array([1.0, 2.0])
    >>> t = ad.as_tensor(a)
    >>> t.data is a
    True
    """
    if isinstance(data, Tensor) and not requires_grad and name is None and dtype is None:
        return data
    return shared(Leaf(leaf_value(data, dtype, requires_grad, copy=False), requires_grad, outside(2), name))


def shared(leaf: Leaf) -> Tensor:
    """A handle on a leaf whose array somebody else holds too."""
    expose(leaf)
    return Tensor.of(leaf)


def leaf_value(data: Any, dtype: Any, requires_grad: bool, copy: bool) -> Array:
    """What a leaf holds: an array of numbers, NumPy scalars for Python numbers."""
    if isinstance(data, Tensor):
        data = data.data
    given_as_numbers = isinstance(data, bool | int | float | complex | list | tuple)
    if given_as_numbers or isinstance(data, np.generic) or not hasattr(data, "__array_ufunc__"):
        if isinstance(data, list | tuple) and any(isinstance(item, Tensor) for item in data):
            raise OperandError("a list of tensors is not a tensor; use np.stack([...]) or np.concatenate([...])")
        data = numbers_of(data, dtype)[()]
    elif dtype is not None and data.dtype != np.dtype(dtype):
        data = data.astype(dtype)
    elif copy:
        data = data.copy()[()] if data.ndim == 0 else data.copy()
    kind = data.dtype.kind
    if kind not in "fiubc":
        raise OperandError(no_numbers(data, data.dtype))
    if requires_grad and kind != "f":
        if given_as_numbers and kind in "iu" and dtype is None:
            return np.float64(data) if np.ndim(data) == 0 else data.astype(np.float64)
        raise OperandError(no_gradient(data.dtype))
    return data


def _here() -> tuple[CodeType, int]:
    """The user's place in the code."""
    frame = outside(2)
    return frame.f_code, frame.f_lasti
