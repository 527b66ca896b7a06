"""Modules that hold modules: in a row (`Sequential`), in a list, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self, overload

from nn.errors import ModuleError
from nn.module import Module
from nn.parameter import Parameter


class Holder(Module):
    """What `Sequential`, `ModuleList` and `ModuleDict` share: the items are attributes named by number or key."""

    def _nn_items(self) -> list[Any]:
        return [value for value in vars(self).values() if isinstance(value, Module | Parameter)]

    def _nn_hold(self, name: str, item: Any) -> None:
        if not isinstance(item, Module | Parameter):
            hint = f" (did you mean {item.__name__}()?)" if isinstance(item, type) else \
                "; a plain function becomes one by a subclass with a forward" if callable(item) else ""
            raise ModuleError(f"{type(self).__name__} holds modules, and {name!r} is {item!r:.60}{hint}")
        setattr(self, name, item)

    def __len__(self) -> int:
        return len(self._nn_items())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._nn_items())


class Sequential(Holder):
    """Modules called one after the other, each on what the one before returned.

    The children are named "0", "1", ... in paths (``0.weight``).

    Parameters
    ----------
    *modules : Module
        In order.

    Raises
    ------
    ModuleError
        If one of them is no module.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Tanh(), nn.Linear(4, 1, rng=1))
    >>> model(np.zeros((2, 3))).shape
    (2, 1)
    >>> len(model), model[-1]
    (3, Linear(4, 1)    weight (1, 4), bias (1,)    5 parameters)
    """

    def __init__(self, *modules: Module) -> None:
        for i, module in enumerate(modules):
            self._nn_hold(str(i), module)

    def forward(self, x: Any) -> Any:
        """The modules in a row, applied to x."""
        for module in self._nn_items():
            x = module(x)
        return x

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module | Sequential:
        """One of the modules, or a Sequential of some of them (the same ones, not copies)."""
        if isinstance(index, slice):
            return Sequential(*self._nn_items()[index])
        module: Module = self._nn_items()[index]
        return module


class Collection(Holder):
    """A container that is never called: its items' scopes are named ``layers.0``, as their paths are."""

    _nn_called: ClassVar[bool] = False

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Refuse."""
        raise ModuleError(f"{type(self).__name__} only holds modules and is not called; call the items, "
                          "or use nn.Sequential for layers in a row")


class ModuleList(Collection):
    """A list of modules (or parameters), found where a plain list would not be.

    Examples
    --------
    >>> layers = nn.ModuleList(nn.Linear(2, 2, rng=i) for i in range(3))
    >>> layers.append(nn.Tanh())
    ModuleList    18 parameters
      0: Linear(2, 2)    weight (2, 2), bias (2,)    6 parameters
      1: Linear(2, 2)    weight (2, 2), bias (2,)    6 parameters
      2: Linear(2, 2)    weight (2, 2), bias (2,)    6 parameters
      3: Tanh()
    """

    def __init__(self, items: Iterable[Module | Parameter] = ()) -> None:
        for item in items:
            self.append(item)

    def append(self, item: Module | Parameter) -> Self:
        """Add an item at the end; returns the list."""
        self._nn_hold(str(len(self)), item)
        return self

    def __getitem__(self, index: int) -> Any:
        return self._nn_items()[index]


class ModuleDict(Collection):
    """Modules (or parameters) by name, found where a plain dict would not be. Iterating gives the names.

    Examples
    --------
    >>> heads = nn.ModuleDict({"mean": nn.Linear(2, 1, rng=0), "spread": nn.Linear(2, 1, rng=1)})
    >>> heads["mean"](np.zeros(2)).shape, list(heads)
    ((1,), ['mean', 'spread'])
    """

    def __init__(self, items: Mapping[str, Module | Parameter] | None = None) -> None:
        for name, item in (items or {}).items():
            self[name] = item

    def __setitem__(self, name: str, item: Module | Parameter) -> None:
        if hasattr(type(self), name):
            raise ModuleError(f"{name!r} cannot name an item of ModuleDict: it is a method or attribute of every one")
        self._nn_hold(name, item)

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(f"{name!r}; this ModuleDict has {list(self)}")
        return vars(self)[name]

    def __contains__(self, name: str) -> bool:
        return isinstance(vars(self).get(name), Module | Parameter)

    def __iter__(self) -> Iterator[str]:
        return (name for name, value in vars(self).items() if isinstance(value, Module | Parameter))

    def items(self) -> list[tuple[str, Any]]:
        """Names and items, in the order in which they came."""
        return [(name, self[name]) for name in self]
