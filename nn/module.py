"""`Module`, what holds parameters and other modules.

A module keeps no registers. What it holds is what its attributes are, looked up when somebody asks, so
that ``super().__init__()`` is not needed and reading ``self.weight`` is a plain attribute access.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import Token
from itertools import islice
from sys import _getframe
from types import CodeType, FrameType, MethodType
from typing import Any, ClassVar, Self

import numpy as np

from autodiff import Tensor, as_tensor
from autodiff.record import Record
from autodiff.sites import is_ours, outside
from autodiff.state import Scope, scope_now
from nn import describe, notebook
from nn.errors import ModuleError, StateError
from nn.parameter import Parameter as Parameter
from nn.parameter import is_buffer, is_parameter

# Where a module was last called, below which scope, and the scope that this opened.
LastCall = tuple[Scope | None, CodeType | None, int, Scope | None]


class Module:
    """Something with parameters that is called: a layer, a model, a loss.

    Write ``forward``; the attributes are found by what they are:

    - a `Parameter`, or another leaf tensor that requires grad, is a *parameter*;
    - a `Module` is a *child*, and so are the items of `ModuleList` and `ModuleDict`;
    - a leaf tensor that does not require grad is a *buffer*, saved in `state_dict` and never
      trained, unless its name starts with an underscore;
    - anything else, results of operations included, is just an attribute.

    ``super().__init__()`` may be called and need not be.

    Attributes
    ----------
    training : bool
        Whether layers that behave differently in training (`Dropout`) are to do so.

    Examples
    --------
    >>> class Mine(nn.Module):
    ...     def __init__(self):
    ...         self.hidden = nn.Linear(3, 2, rng=0)
    ...         self.scale = nn.Parameter(np.ones(2))
    ...     def forward(self, x):
    ...         return np.tanh(self.hidden(x)) * self.scale
    >>> model = Mine()
    >>> [path for path, _ in model.named_parameters()]
    ['scale', 'hidden.weight', 'hidden.bias']
    >>> model(np.zeros((5, 3))).shape
    (5, 2)
    >>> model
    Mine    scale (2,)    10 parameters
      hidden: Linear(3, 2)    weight (2, 3), bias (2,)    8 parameters
    """

    training: bool = True
    forward: Callable[..., Any]           # a subclass writes it

    # What we keep ourselves; the prefix keeps it apart from a subclass's own attributes.
    _nn_step: str | None = None                 # the path step under which its parent holds it
    _nn_last: LastCall = (None, None, 0, None)
    _nn_called: ClassVar[bool] = True           # False for what only holds: its step is part of its items' steps

    # ---- calling

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """What `forward` returns, with everything it records within this module's scope."""
        token = opened(self, _getframe(1))
        try:
            return self.forward(*args, **keywords)
        except AttributeError:
            if not hasattr(type(self), "forward"):
                raise ModuleError(describe.without_forward(self)) from None
            raise
        finally:
            scope_now.reset(token)

    # ---- holding

    def __setattr__(self, name: str, value: Any) -> None:
        refuse_hidden(self, name, value)
        if isinstance(value, Module):
            hold(self, name, value)
        elif is_parameter(name, value):
            refuse_dotted(self, name)
            if value.name is None:
                value.name = name
        object.__setattr__(self, name, value)

    def named_modules(self) -> list[tuple[str, Module]]:
        """The module itself, as "", and all below it, each once, with their paths; parents first."""
        return list(below(self))

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """The parameters with their paths (``layers.0.weight``); one that is shared counts once, by its first path.

        A module's own come before its children's, in the order in which they were assigned.
        """
        found: dict[Record, tuple[str, Tensor]] = {}
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if is_parameter(name, value):
                    found.setdefault(value.record, (joined(path, name), value))
        return list(found.values())

    def parameters(self) -> list[Tensor]:
        """The parameters, in the order of `named_parameters`."""
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Set every parameter's `.grad` to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, mode: bool = True) -> Self:
        """Make this module and all below it behave as in training, or with False as in use."""
        for _, module in self.named_modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self) -> Self:
        """Make this module and all below it behave as in use: no dropout."""
        return self.train(False)

    # ---- state

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of the arrays of parameters and buffers by path, as PyTorch keys them.

        What is shared appears under each of its paths.

        Examples
        --------
        >>> {path: array.shape for path, array in nn.Linear(3, 2).state_dict().items()}
        {'weight': (2, 3), 'bias': (2,)}
        """
        return {path: np.array(tensor.record.value, order="C") for path, tensor in state_of(self)}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays into the parameters and buffers, in place and in their own dtype.

        Parameters
        ----------
        state : mapping of str to array_like
            By path, as `state_dict` returns it.
        strict : bool
            With False, missing and unexpected names are passed over; shapes must fit all the same.

        Raises
        ------
        StateError
            Listing every missing, unexpected and mismatched name. Nothing is changed then.
        """
        held = list(state_of(self))
        arrays = {path: np.asarray(value.data if isinstance(value, Tensor) else value) for path, value in state.items()}
        if problems := describe.misfits(held, arrays, strict):
            raise StateError(describe.listed(f"this state does not fit {type(self).__name__}", problems))
        for path, tensor in held:
            if path in arrays:
                tensor.data = arrays[path]

    def with_parameters(self, by_path: Mapping[str, Any]) -> Self:
        """A copy of this module in which other tensors stand for the parameters.

        Modules are copied, everything else is shared with the original, which stays as it is. What was
        shared among modules stays shared among the copies. ``ad.grad(loss)(model)`` uses it.

        Parameters
        ----------
        by_path : mapping of str to Tensor or array
            One for each path in `named_parameters`.

        Raises
        ------
        StateError
            If the paths are not those of the parameters.

        Examples
        --------
        >>> layer = nn.Linear(2, 1, rng=0)
        >>> ones = layer.with_parameters({"weight": np.ones((1, 2)), "bias": np.zeros(1)})
        >>> ones(np.array([3.0, 4.0]))
        Tensor([7.])
        """
        named = self.named_parameters()
        if by_path.keys() != {path for path, _ in named}:
            raise StateError(f"with_parameters of {type(self).__name__} needs a tensor for each of "
                             f"{[path for path, _ in named]}; given were {list(by_path)}")
        stand_ins = {parameter.record: Parameter.of(as_tensor(by_path[path]).record) for path, parameter in named}
        originals = [module for _, module in self.named_modules()]
        copies = {id(module): object.__new__(type(module)) for module in originals}

        def replaced(value: Any) -> Any:
            if isinstance(value, Tensor):
                return stand_ins.get(value.record, value)
            if isinstance(value, MethodType) and id(value.__self__) in copies:
                return MethodType(value.__func__, copies[id(value.__self__)])
            return copies.get(id(value), value) if isinstance(value, Module) else value

        for module in originals:
            vars(copies[id(module)]).update((name, replaced(value)) for name, value in vars(module).items())
        copy = copies[id(self)]
        assert isinstance(copy, type(self))
        return copy

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles forget who held and called the module; their own parent tells them anew."""
        return {name: value for name, value in vars(self).items() if name not in ("_nn_step", "_nn_last")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for name, child in members(self):
            if isinstance(child, Module) and child._nn_step is None:
                set_step(child, name)

    # ---- text

    def extra_repr(self) -> str:
        """What `repr` shows in the parentheses after the class name: a subclass returns its options."""
        return ""

    def __repr__(self) -> str:
        try:
            return describe.tree(parts_of(self))
        except Exception as error:                          # such as a list with modules in it: looking is no fault
            return f"<{type(self).__name__}: {error}>"

    def _repr_html_(self) -> str | None:
        return notebook.module_html(lambda: parts_of(self))


# ---- calling

def opened(module: Module, frame: FrameType) -> Token[Scope | None]:
    """Open the scope of a call made from `frame`: the path step, below the caller's scope.

    Written out instead of `autodiff.scope`, since it runs for every layer of every step, mostly from the
    same line as the last time: then the last scope serves again.
    """
    outer = scope_now.get()
    code, lasti = frame.f_code, frame.f_lasti
    last_outer, last_code, last_lasti, scope = module._nn_last
    if code is not last_code or lasti != last_lasti or outer is not last_outer or scope is None:
        scope = scope_of(module, outer, frame)
        object.__setattr__(module, "_nn_last", (outer, code, lasti, scope))
    return scope_now.set(scope)


def scope_of(module: Module, outer: Scope | None, frame: FrameType) -> Scope:
    """The scope of a call; where code of ours calls (`Sequential`), it takes over the line that called that."""
    kind = type(module).__name__
    step = module._nn_step or kind
    path = f"{outer.path}.{step}" if outer else step
    if is_ours(frame.f_code):
        if outer:
            return Scope(path, kind, outer.code, outer.lasti, outer)
        frame = outside(4)
    return Scope(path, kind, frame.f_code, frame.f_lasti, outer)


CALL = Module.__call__.__code__


def caller() -> FrameType:
    """The frame that a result belongs to: that of who called the function of ours that asks here.

    Where that is the forward of a layer of ours, it is who called the layer, so that
    ``z1 = self.hidden(x)`` names its result "z1" and an error points at that line.
    """
    frame = _getframe(2)
    call = frame.f_back
    if call is not None and call.f_code is CALL and call.f_back is not None and is_ours(frame.f_code):
        return call.f_back
    return frame


# ---- holding

def hold(parent: Module, name: str, child: Module) -> None:
    """The parent holds a child under this name: it becomes the child's step, and is put before its parameters' names.

    The first parent counts, so that an alias (``self.first = self.blocks[0]``) renames nothing.
    """
    refuse_dotted(parent, name)
    if any(module is parent for _, module in child.named_modules()):
        raise ModuleError(f"{type(parent).__name__}.{name} cannot be a module that holds this very "
                          f"{type(parent).__name__}: a module's parts form a tree")
    if child._nn_step is not None:
        return
    step = name if parent._nn_called or parent._nn_step is None else f"{parent._nn_step}.{name}"
    for path, parameter in child.named_parameters():
        if parameter.name is not None and (parameter.name == path or parameter.name.endswith(f".{path}")):
            parameter.name = f"{step}.{path}"
    set_step(child, step)


def set_step(module: Module, step: str) -> None:
    """Remember the step; the items of what is never called have it in theirs, as in ``layers.0``."""
    before = f"{module._nn_step}." if module._nn_step else ""
    vars(module).update(_nn_step=step, _nn_last=Module._nn_last)
    if not module._nn_called:
        for name, item in members(module):
            if isinstance(item, Module) and item._nn_step == before + name:
                set_step(item, f"{step}.{name}")


def members(module: Module) -> Iterator[tuple[str, Any]]:
    """The attributes by name, none of which may hide modules from us."""
    for name, value in vars(module).items():
        refuse_hidden(module, name, value)
        yield name, value


def below(module: Module, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Module]]:
    """The module itself and all below it with their paths, each once; parents first."""
    seen = set() if seen is None else seen
    seen.add(id(module))
    yield path, module
    for name, child in members(module):
        if isinstance(child, Module) and id(child) not in seen:
            yield from below(child, joined(path, name), seen)


def own_state(module: Module) -> Iterator[tuple[str, Tensor]]:
    """A module's own parameters and buffers."""
    for name, value in vars(module).items():
        if is_parameter(name, value) or is_buffer(name, value):
            yield name, value


def parts_of(module: Module) -> list[tuple[str, Module, list[tuple[str, Tensor]]]]:
    """The modules with their paths and own tensors, parents first."""
    return [(path, part, list(own_state(part))) for path, part in module.named_modules()]


def state_of(module: Module, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers under every path that leads to them."""
    for name, tensor in own_state(module):
        yield joined(path, name), tensor
    for name, child in members(module):
        if isinstance(child, Module):
            yield from state_of(child, joined(path, name))


def joined(path: str, name: str) -> str:
    """A path, one step longer."""
    return f"{path}.{name}" if path else name


def refuse_dotted(module: Module, name: str) -> None:
    """Paths are made of names and dots, so no name may have one."""
    if "." in name:
        raise ModuleError(f"{name!r} cannot name a part of {type(module).__name__}: with dots in names, paths such as "
                          "'layers.0.weight' would be ambiguous")


LOOKED_AT = 64          # items of a list that are looked at for modules


def refuse_hidden(module: Module, name: str, value: Any) -> None:
    """Modules in a plain list would be found by nobody: not trained, not saved."""
    if isinstance(value, list | tuple | dict) and any(
            isinstance(item, Module | Parameter)
            for item in islice(value.values() if isinstance(value, dict) else value, LOOKED_AT)):
        container = "ModuleDict" if isinstance(value, dict) else "ModuleList"
        raise ModuleError(
            f"{type(module).__name__}.{name} is a plain {type(value).__name__} of modules or parameters, which would "
            f"be neither trained nor saved. Write self.{name} = nn.{container}(...), or nn.Sequential(...) for layers "
            "in a row.")
