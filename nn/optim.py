"""Optimisers: how parameters follow their gradients. The updates are PyTorch's, to the letter.

A step writes each parameter's array in place, and counts the write: a graph recorded before it can no
longer be walked back unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import sqrt
from typing import Any, ClassVar, TypedDict

import numpy as np

from autodiff import GradientError, OperandError, Tensor
from autodiff.record import Leaf, next_serial
from nn.describe import listed
from nn.errors import StateError

Array = np.ndarray[Any, Any]
BLOCK = 2 ** 17         # bytes of each array that an update takes at a time: all of them together stay in the cache
Parameters = Iterable[Tensor] | Iterable[tuple[str, Tensor]]


class OptimiserState(TypedDict):
    """What `state_dict` returns: PyTorch's layout, with arrays."""

    state: dict[int, dict[str, Any]]
    param_groups: list[dict[str, Any]]


class Optimizer:
    """What optimisers share: which parameters they move, and their state.

    Parameters
    ----------
    params : iterable of Tensor, or of (path, Tensor)
        ``model.parameters()`` or ``model.named_parameters()``.
    lr : float
        The learning rate; an attribute that may be set at any time.
    weight_decay : float
        This times the parameter is added to its gradient.

    Raises
    ------
    OperandError
        If there are no parameters, or something else than tensors.
    GradientError
        If one is the result of an operation, or is given twice.
    ValueError
        If a setting makes no sense.
    """

    settings: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")      # what `state_dict` holds besides arrays
    unsupported: ClassVar[tuple[str, ...]] = ("maximize",)            # settings of PyTorch's that must be off

    def __init__(self, params: Parameters, lr: float, weight_decay: float) -> None:
        self.params, self.names = checked(params, type(self).__name__)
        require(lr > 0, f"the learning rate must be positive, not {lr}")
        require(weight_decay >= 0, f"weight_decay must not be negative, and is {weight_decay}")
        self.lr = lr
        self.weight_decay = weight_decay
        self.state: dict[int, dict[str, Any]] = {}          # per parameter, by position

    def zero_grad(self) -> None:
        """Set every parameter's `.grad` to None."""
        for p in self.params:
            leaf: Any = p.record
            leaf.grad = None

    def step(self) -> None:
        """Move every parameter that has a gradient; the others, and their state, stay."""
        decay = self.weight_decay
        by_block = type(self).update is Optimizer.update
        for i, p in enumerate(self.params):
            leaf = p.record
            assert isinstance(leaf, Leaf)
            value, g = leaf.value, leaf.grad
            if g is None:
                continue
            if by_block and type(value) is np.ndarray:
                leaf.touch()
                arrays, numbers = self.begun(i, g)
                for part, dp, *kept in blocks(value, g, *arrays):
                    part -= numbers["lr"] * self.direction(dp + decay * part if decay else dp, kept, numbers)
            else:
                move(leaf, self.update(i, g + decay * value if decay else g), self.lr)

    def update(self, i: int, g: Array) -> Any:
        """What to move parameter `i` by, against and in units of the learning rate. A subclass of yours writes it."""
        kept, numbers = self.begun(i, g)
        unit = numbers["lr"] / self.lr if self.lr else 1.0
        return unit * self.direction(g, kept, numbers)

    def begun(self, i: int, g: Array) -> tuple[list[Array], dict[str, float]]:
        """What is kept of parameter `i`, zeros before its first step, and the numbers of the step that begins."""
        kept = self.state.get(i)
        if kept is None:
            kept = {"step": 0} if self.counting else {}
            kept.update((name, np.zeros_like(g)) for name in self.kept)
            if kept:
                self.state[i] = kept
        if self.counting:
            kept["step"] += 1
        return [kept[name] for name in self.kept], self.numbers(kept["step"] if self.counting else 1)

    def direction(self, g: Array, kept: Sequence[Array], numbers: Mapping[str, float]) -> Array:
        """What to move by, in units of ``numbers["lr"]``, for a part of a parameter; `kept` follows in place."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    # What a compiled step needs: the same update as a formula, of arrays and of Tensors alike.

    counting: ClassVar[bool] = False                   # whether the state of a parameter counts its steps

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of the arrays in `state` that the rule takes and gives."""
        return ()

    def numbers(self, t: int) -> dict[str, float]:
        """The numbers in the rule at step t, counted from 1; `lr` is what a direction is multiplied by."""
        return {"lr": self.lr, "decay": self.weight_decay}

    def rule(self, p: Any, g: Any, kept: Sequence[Any], numbers: Mapping[str, Any]) -> tuple[Any, list[Any]]:
        """The new parameter, and what is kept of it, from its gradient: the same update as `step`, on paper."""
        raise NotImplementedError(f"{type(self).__name__} has no rule")

    def state_dict(self) -> OptimiserState:
        """Settings, and copies of the arrays kept for each parameter by its position, in PyTorch's layout."""
        group: dict[str, Any] = {name: getattr(self, name) for name in self.settings}
        return {"state": {i: {name: copied(value) for name, value in kept.items()} for i, kept in self.state.items()},
                "param_groups": [{**group, "params": list(range(len(self.params)))}]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over settings and arrays.

        Raises
        ------
        StateError
            If they do not fit these parameters, listing each; nothing is changed then.
        """
        groups = state["param_groups"]
        order = [int(i) for group in groups for i in group["params"]]
        kept = {int(i): dict(values) for i, values in state["state"].items()}
        problems = []
        if len(groups) != 1:
            problems.append(f"it has {len(groups)} parameter groups, and only one is supported")
        if len(order) != len(self.params):
            problems.append(f"it is for {len(order)} parameters, and there are {len(self.params)}")
        problems += [f"{name}={group[name]} is not supported"
                     for group in groups for name in self.unsupported if group.get(name)]
        places = dict(zip(order, range(len(self.params)), strict=False))
        arrays: dict[int, dict[str, Any]] = {}
        for i, values in kept.items():
            if i in places:
                p, name = self.params[places[i]], self.names[places[i]]
                arrays[places[i]] = {key: converted(value, p) for key, value in values.items()}
                problems += [f"{key} of {name} has shape {np.shape(value)}, and {name} {p.shape}"
                             for key, value in values.items() if np.shape(value) not in (p.shape, ())]
        if problems:
            raise StateError(listed(f"this state does not fit {type(self).__name__}", problems))
        for name in self.settings:
            if name in groups[0]:
                setattr(self, name, groups[0][name])
        self.state = arrays

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={getattr(self, name)}" for name in self.settings)
        return f"{type(self).__name__}({len(self.params)} parameters, {options})"


class SGD(Optimizer):
    """Gradient descent, p ← p - lr · v, with v = g, or momentum's running sum v ← μ v + g of the gradients.

    With `nesterov` the step is g + μ v (Sutskever, Martens, Dahl and Hinton, ICML 2013, in PyTorch's form).

    Parameters
    ----------
    params : iterable of Tensor, or of (path, Tensor)
        ``model.parameters()`` or ``model.named_parameters()``.
    lr : float
        The learning rate; an attribute that may be set at any time.
    momentum : float
        μ; 0 for none. The first v is the first gradient.
    nesterov : bool
        Whether to look ahead; needs momentum.
    weight_decay : float
        λ: g + λ p takes the place of g.

    Raises
    ------
    OperandError, GradientError
        If the parameters are none, no leaves, or not all different.
    ValueError
        If a setting makes no sense.

    Examples
    --------
    >>> w = nn.Parameter([1.0])
    >>> optimizer = nn.optim.SGD([w], lr=0.1)
    >>> (w ** 2).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([0.8])
    """

    settings: ClassVar = ("lr", "momentum", "nesterov", "weight_decay")
    unsupported: ClassVar = ("maximize", "dampening")

    def __init__(self, params: Parameters, lr: float, momentum: float = 0.0, nesterov: bool = False,
                 weight_decay: float = 0.0) -> None:
        super().__init__(params, lr, weight_decay)
        require(momentum >= 0, f"momentum must not be negative, and is {momentum}")
        require(momentum > 0 or not nesterov, "nesterov needs momentum, such as momentum=0.9")
        self.momentum = momentum
        self.nesterov = nesterov

    def step(self) -> None:
        """Move every parameter that has a gradient; the others, and their momentum, stay."""
        if self.momentum or self.weight_decay:
            super().step()
            return
        now, dtype = next_serial(), None
        for p in self.params:                   # plain descent, written out: it costs little more than p -= lr * g
            leaf: Any = p.record
            value, g = leaf.value, leaf.grad
            if g is not None and type(value) is np.ndarray:
                if value.dtype is not dtype:    # an array of the dtype: NumPy would convert a number at every product
                    dtype = value.dtype
                    lr = np.asarray(self.lr, dtype)
                value -= lr * g
                leaf.version = now
                leaf.leaks = ()
            elif g is not None:
                leaf.write(value - self.lr * g)

    def direction(self, g: Array, kept: Sequence[Array], numbers: Mapping[str, float]) -> Array:
        """The gradient, or with momentum the running sum."""
        if not self.momentum:
            return g
        v = kept[0]
        v *= self.momentum
        v += g
        return g + self.momentum * v if self.nesterov else v

    @property
    def kept(self) -> tuple[str, ...]:
        """With momentum, its running sum."""
        return ("momentum_buffer",) if self.momentum else ()

    def numbers(self, t: int) -> dict[str, float]:
        """The learning rate, λ and μ."""
        return {"lr": self.lr, "decay": self.weight_decay, "momentum": self.momentum}

    def rule(self, p: Any, g: Any, kept: Sequence[Any], numbers: Mapping[str, Any]) -> tuple[Any, list[Any]]:
        """p - lr v, v ← μ v + g."""
        g = g + numbers["decay"] * p if self.weight_decay else g
        if not self.momentum:
            return p - numbers["lr"] * g, []
        v = numbers["momentum"] * kept[0] + g
        return p - numbers["lr"] * (g + numbers["momentum"] * v if self.nesterov else v), [v]


class Adam(Optimizer):
    """Steps scaled by running means of the gradient, m, and of its square, v, element by element.

    m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²,  p ← p - lr · m̂ / (√v̂ + ε), where m̂ = m / (1 - β₁ᵗ) and
    v̂ = v / (1 - β₂ᵗ) make up for both starting at zero. Kingma and Ba, "Adam", ICLR 2015, algorithm 1.

    Parameters
    ----------
    params : iterable of Tensor, or of (path, Tensor)
        ``model.parameters()`` or ``model.named_parameters()``.
    lr : float
        The learning rate; an attribute that may be set at any time.
    betas : pair of float
        β₁ and β₂, each in [0, 1).
    eps : float
        ε.
    weight_decay : float
        λ: g + λ p takes the place of g (as in PyTorch's Adam; AdamW is another).

    Raises
    ------
    OperandError, GradientError
        If the parameters are none, no leaves, or not all different.
    ValueError
        If a setting makes no sense.

    Examples
    --------
    >>> w = nn.Parameter([1.0])
    >>> optimizer = nn.optim.Adam([w], lr=0.1)
    >>> (w ** 2).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(6)                     # the first step is as long as the learning rate
    array([0.9])
    """

    settings: ClassVar = ("lr", "betas", "eps", "weight_decay")
    unsupported: ClassVar = ("maximize", "amsgrad", "decoupled_weight_decay")
    counting: ClassVar = True

    def __init__(self, params: Parameters, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr, weight_decay)
        require([0 <= beta < 1 for beta in betas] == [True, True], f"betas are two numbers in [0, 1), not {betas}")
        require(eps >= 0, f"eps must not be negative, and is {eps}")
        self.betas = betas
        self.eps = eps

    def direction(self, g: Array, kept: Sequence[Array], numbers: Mapping[str, float]) -> Array:
        """m / (√v + ε')."""
        m, v = kept
        w = np.empty_like(m)                    # one array for every step of the formula
        m *= numbers["b1"]
        m += np.multiply(numbers["new1"], g, out=w)
        v *= numbers["b2"]
        np.square(g, out=w)
        v += np.multiply(numbers["new2"], w, out=w)
        np.sqrt(v, out=w)
        w += numbers["eps"]
        return np.divide(m, w, out=w)

    @property
    def kept(self) -> tuple[str, ...]:
        """The running means."""
        return "exp_avg", "exp_avg_sq"

    def numbers(self, t: int) -> dict[str, float]:
        """β₁, β₂, and the learning rate and ε as they make up for m and v starting at zero (the paper's section 2)."""
        b1, b2 = self.betas
        size = sqrt(1 - b2 ** t)
        return {"lr": self.lr * size / (1 - b1 ** t), "decay": self.weight_decay, "eps": self.eps * size,
                "b1": b1, "b2": b2, "new1": 1 - b1, "new2": 1 - b2}

    def rule(self, p: Any, g: Any, kept: Sequence[Any], numbers: Mapping[str, Any]) -> tuple[Any, list[Any]]:
        """p - α m / (√v + ε'), with α m / (√v + ε') = lr m̂ / (√v̂ + ε)."""
        g = g + numbers["decay"] * p if self.weight_decay else g
        m = numbers["b1"] * kept[0] + numbers["new1"] * g
        v = numbers["b2"] * kept[1] + numbers["new2"] * (g * g)
        return p - numbers["lr"] * (m / (np.sqrt(v) + numbers["eps"])), [m, v]


def blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Arrays of one shape, block by block; as they are where they are small, or do not lie row by row."""
    first = arrays[0]
    if first.nbytes <= BLOCK or not all(a.flags.c_contiguous for a in arrays):
        yield arrays
        return
    flat = [a.reshape(-1) for a in arrays]
    n = BLOCK // first.itemsize
    for i in range(0, first.size, n):
        yield tuple([a[i:i + n] for a in flat])


def move(leaf: Leaf, direction: Array, lr: float) -> None:
    """value ← value - lr · direction, in place, counted as a write."""
    value = leaf.value
    if type(value) is np.ndarray:
        value -= lr * direction
        leaf.touch()
    else:                                       # a NumPy scalar
        leaf.write(value - lr * direction)


def checked(params: Parameters, optimiser: str) -> tuple[list[Tensor], list[str]]:
    """The parameters and what messages call them."""
    if isinstance(params, Tensor):
        raise OperandError(f"{optimiser} takes a list of parameters: [{params.name or 'p'}], or model.parameters()")
    if hasattr(params, "named_parameters"):
        raise OperandError(f"{optimiser} takes parameters, not a module: write model.parameters()")
    tensors: list[Tensor] = []
    names: list[str] = []
    seen: dict[Any, str] = {}
    for i, item in enumerate(params):
        name, p = item if isinstance(item, tuple) else (None, item)
        if not isinstance(p, Tensor):
            raise OperandError(f"{optimiser} takes parameters, and number {i} is {p!r:.60}")
        name = name or p.name or f"parameter {i}"
        if not isinstance(p.record, Leaf):
            raise GradientError(f"{name} is the result of {p.record.where}, not a leaf: {optimiser} moves parameters, "
                                "tensors made with nn.Parameter or ad.Tensor(..., requires_grad=True)")
        if p.record in seen:
            also = f", also as {seen[p.record]}" if seen[p.record] != name else ""
            raise GradientError(f"{name} is given twice{also}; {optimiser} would move it twice")
        seen[p.record] = name
        tensors.append(p)
        names.append(name)
    if not tensors:
        raise OperandError(f"{optimiser} was given no parameters. A generator can be used up only once; a module finds "
                           "parameters among its attributes, not in plain lists")
    return tensors, names


def copied(value: Any) -> Any:
    """A number, or a copy of an array."""
    return np.copy(value, order="C") if isinstance(value, np.ndarray) else value


def converted(value: Any, p: Tensor) -> Any:
    """A number of a state as a Python number, an array as one of the optimiser's own, in the parameter's dtype."""
    if np.shape(value) == p.shape and not (p.shape == () and np.asarray(value).dtype.kind in "iu"):
        return np.array(value, dtype=p.dtype)
    return np.asarray(value).item() if np.shape(value) == () else value


def require(condition: bool, message: str) -> None:
    """Refuse a setting that makes no sense."""
    if not condition:
        raise ValueError(message)
