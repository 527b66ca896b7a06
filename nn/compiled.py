"""`train_step`: forward, backward and update as one call, compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from operator import is_
from typing import Any

import numpy as np

from autodiff import GradientError, Tensor
from autodiff.compiler.compiled import available, signature, told_of_many
from autodiff.compiler.factors import CACHE, LARGE, SMALL
from autodiff.compiler.specialised import Specialised
from autodiff.compiler.tracing import is_array, native, sketched, stand_ins
from autodiff.ops.products import linear, matmul
from autodiff.record import Record, next_serial
from autodiff.reverse import ones
from autodiff.state import Setting
from autodiff.tape import Tape, behind, walk_back
from nn import training
from nn.errors import NonFiniteError
from nn.flat import Flat, alone, grouped, steps
from nn.interrupts import uninterrupted
from nn.module import Module
from nn.optim import Optimizer

Array = np.ndarray[Any, Any]
LossFn = Callable[[Any, Any], Any]


class TrainStep:
    """Forward, backward and update as one call; see `train_step`."""

    def __init__(self, model: Module, loss_fn: LossFn, optimizer: Optimizer, jit: bool,
                 verify: Callable[..., None] | None = None) -> None:
        self.verify = verify                              # told the loss and the gradients before an update
        self.model, self.loss_fn, self.optimizer, self.jit = model, loss_fn, optimizer, jit
        self.modules = [module for _, module in model.named_modules()]
        self.leaves = [p.record for p in optimizer.params]
        self.known: dict[Any, Step] = {}
        self.traces = 0
        self.last: Step | None = None

    def __call__(self, x: Any, y: Any) -> Any:
        """Take one step; the loss before it."""
        step = self.last
        if step is None or type(x) is not np.ndarray or type(y) is not np.ndarray or x.shape != step.x_shape \
                or y.shape != step.y_shape or x.dtype is not step.x_dtype or y.dtype is not step.y_dtype \
                or not step.current():
            return self.found(x, y)
        return step.step([x, y], None) if step.one_call else step([x, y])

    def modes(self) -> list[bool]:
        """What a step is made for, beside its batch: what trains, and what is trained."""
        return [*(module.training for module in self.modules), *(leaf.requires_grad for leaf in self.leaves)]

    def found(self, x: Any, y: Any) -> Any:
        """Take one step that may be the first of its kind."""
        given: list[Any] = []                             # the arrays and tensors in the batch
        key = (signature((x, y), given), *self.modes(), settings(self.optimizer))
        step, keys = self.known.get(key), None
        if step is None or not all(group.together(self.optimizer) for group in step.groups):
            step = Step(self, x, y)
            keys = list(step.compiled.trace.keys)
            self.traces += 1
            told_of_many("the training step", self.traces)
        self.last = step
        loss = step.resumed([a.record.value if isinstance(a, Tensor) else a for a in given], keys)
        self.known[key] = step
        return loss

    @property
    def source(self) -> str:
        """What runs, for each kind of batch seen so far."""
        return "\n\n".join(step.compiled.source for step in self.known.values())

    @property
    def tape(self) -> Tape:
        """The newest step as a tape: what is drawn and listed."""
        return [*self.known.values()][-1].compiled.tape

    def __repr__(self) -> str:
        programs = [str(step.compiled) for step in self.known.values()]
        return "\n".join([f"<train step of {type(self.model).__name__}, recorded {len(self.known)} times>", *programs])

    @property
    def memory(self) -> str:
        """The plan of the workspace, for each kind of batch seen so far."""
        return "\n".join(str(step.compiled.memory) for step in self.known.values())


class Step:
    """A training step for batches of one shape and dtype."""

    def __init__(self, whole: TrainStep, x: Any, y: Any) -> None:
        self.whole, self.optimizer = whole, whole.optimizer
        self.training = [(module, module.training) for module in whole.modules]
        self.tracked = [(leaf, leaf.requires_grad) for leaf in whole.leaves]
        self.seen: list[Any] = [None]                     # the optimiser's attributes and state after the last step
        self.kept: list[Any] = []
        self.counted: list[dict[str, Any]] = []           # where steps are counted, and how many they were
        self.counts: list[int] = []
        self.stated = stated(self.optimizer)
        self.steady: list[float] = []                     # the formula's numbers, where they are those of any step
        self.counting = self.stated and self.optimizer.counting
        (self.x_shape, self.x_dtype), (self.y_shape, self.y_dtype) = shape_and_dtype(x), shape_and_dtype(y)
        self.groups: list[Flat] = []
        self.given: list[Any] = []                        # where each output but the loss goes
        self.members: list[int] = []                      # the parameters that have gradients
        # Numbers are by dtype and by steps taken; each is found by a parameter that they are for.
        self.kinds = {(p.dtype, steps(self.optimizer, i)): i for i, p in enumerate(self.optimizer.params)}
        numbers = {kind: {name: kind[0].type(value) for name, value in self.optimizer.numbers(1).items()}
                   for kind in self.kinds}
        self.movable, places = alone(self.optimizer), [p.record.value for p in self.optimizer.params]
        with Setting(native, whole.jit):
            trace = sketched(self.program, (x, y, numbers), {}, is_array)
            if any(p.record.value is not value for p, value in zip(self.optimizer.params, places)):
                for key in reversed(trace.keys):          # they were moved: what was recorded reads them where they lay
                    key.undo()
                if trace.sketch:
                    trace.sketch.over = True
                trace = sketched(self.program, (x, y, numbers), {}, is_array)
        donated = dict(enumerate(self.given, start=1))
        checked = whole.verify and self.stated and (whole.verify, [group.g.record for group in self.groups])
        self.compiled = Specialised(trace, whole.jit, donated, range(1 + len(self.members)), checked or None,
                                    epochs=whole.verify is not None and self.stated)
        self.drawing, self.one_call = bool(trace.keys), self.compiled.one_call
        self.compiled.own = {*self.given, *(group.g.record for group in self.groups)} - set(whole.leaves)
        self.numbers = [leaf for leaf in self.given if not np.ndim(leaf.value)]
        self.leaves: list[Any] = [self.optimizer.params[i].record for i in self.members]

    def program(self, x: Any, y: Any, numbers: Any) -> list[Any]:
        """The loss, the gradients, and the new parameters and state."""
        optimizer = self.optimizer
        self.given, self.members = [], []
        loss = self.whole.loss_fn(self.whole.model(x), y)
        if not isinstance(loss, Tensor) or loss.size != 1:
            got = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
            raise GradientError(f"loss_fn must return a scalar Tensor, and returned {got}; did you mean "
                                "reduction='mean'?")
        wanted = [p.record for p in optimizer.params if p.requires_grad]
        found = walk_back({loss.record: ones(loss.record.value)}, wanted, record=True)
        reached = {i: found[p.record] for i, p in enumerate(optimizer.params) if p.record in found}
        if not self.stated:
            self.members = list(reached)
            return [loss, *reached.values()]
        self.groups = grouped(optimizer, reached, self.turned(loss, reached), self.movable)
        gradients, new = [], []
        for group in self.groups:
            self.members += group.members
            turned = group.store.turned
            gradients += [reached[i].T if i in turned else with_axis(reached[i]) for i in group.members]
            self.given += group.gradients()
        for group in self.groups:
            kind = group.p.dtype, steps(optimizer, group.members[0])
            self.kinds[kind] = group.members[0]
            p, g, *state = stand_ins([group.p, group.g, *group.state.values()])
            moved, keeping = optimizer.rule(with_axis(p), g, state, numbers[kind])
            new += [moved.reshape(group.p.shape) if group.p.ndim == 0 else moved, *keeping]
            self.given += [group.p.record, *(t.record for t in group.state.values())]
        return [loss, *gradients, *new]

    def turned(self, loss: Tensor, found: dict[int, Tensor]) -> set[int]:
        """The parameters that are better laid out column by column: a first layer's weight, if it fits the cache.

        All that reads it is one product with Wᵀ, which BLAS takes less time for so.
        """
        rows = self.x_shape[0] if self.x_shape else 0
        params = {self.optimizer.params[i].record: i for i, g in found.items() if g.record.op is matmul}
        others = {x for r in behind([loss.record, *[g.record for g in found.values()]]) for k, x in enumerate(r.inputs)
                  if isinstance(x, Record) and x in params and not (r.op is linear and k == 1)}
        return {i for leaf, i in params.items() if leaf not in others and leaf.value.nbytes <= CACHE
                and rows * leaf.value.size > (SMALL if self.whole.jit else LARGE)}

    def __call__(self, given: list[Any], keys: list[Any] | None = None) -> Any:
        """One step on the arrays of a batch, with these random draws or new ones: whole, if Ctrl-C comes."""
        return self.step(given, keys) if self.one_call else uninterrupted(self.step, given, keys)

    def step(self, given: list[Any], keys: list[Any] | None) -> Any:
        """One step."""
        compiled = self.compiled
        if keys is None:
            keys = [drawn.again() for drawn in compiled.trace.keys] if self.drawing else []
        results = compiled.run([*given, *(self.steady or self.numbers_at(1))], keys)
        if not self.stated:
            return self.moved_by_hand(results[0], results[1:])
        self.done(1)
        for leaf, value in zip(self.numbers, results[1:]) if self.numbers else ():
            leaf.value = value
        return results[0]

    def moved_by_hand(self, loss: Any, gradients: Sequence[Any]) -> Any:
        """The update of an optimiser that does not state it as a formula; the loss."""
        if self.whole.verify is not None:
            self.whole.verify(loss, *gradients)
        self.optimizer.zero_grad()
        for leaf, g in zip(self.leaves, gradients):
            leaf.grad = np.asarray(g)
        self.optimizer.step()
        return loss

    def resumed(self, given: list[Any], keys: list[Any] | None) -> Any:
        """One step, after something may have happened to the optimiser."""
        for group in self.groups:
            group.take_over(self.optimizer)
        self.counted, self.counts = [], []
        self.steady = [] if self.counting else self.numbers_at(1)
        loss = self(given, keys)
        for group in self.groups:
            group.hand_back(self.optimizer)
        self.kept = [*self.optimizer.state.values()]
        self.seen = [*vars(self.optimizer).values()]
        return loss

    def current(self) -> bool:
        """Whether nothing has happened to model and optimiser, since the last step, that a step does not look at."""
        for module, mode in self.training:                # loops: at every step, and comprehensions take longer
            if module.training is not mode:
                return False
        for leaf, wanted in self.tracked:
            if leaf.requires_grad is not wanted:
                return False
        for now, before in zip(vars(self.optimizer).values(), self.seen):
            if now is not before:
                return False
        kept = self.optimizer.state
        return len(kept) == len(self.kept) and (not kept or (
            all(map(is_, kept.values(), self.kept)) and [each["step"] for each in self.counted] == self.counts))

    def numbers_at(self, k: int) -> list[float]:
        """The numbers in the optimiser's formula, at the k-th step from here."""
        optimizer = self.optimizer
        if not self.counting:
            return [*optimizer.numbers(1).values()] * len(self.kinds)
        return [x for i in self.kinds.values() for x in optimizer.numbers(steps(optimizer, i) + k).values()]

    def done(self, k: int) -> None:
        """Note that the parameters were written to, and that this was k steps."""
        now = next_serial()
        for leaf in self.leaves:
            leaf.version = now
            leaf.leaks = ()
        if not self.counting:
            return
        if not self.counted:
            self.counted = [self.optimizer.state.setdefault(i, {}) for i in self.members]
            self.counts = [kept.get("step", 0) for kept in self.counted]
        self.counts = [n + k for n in self.counts]
        for kept, n in zip(self.counted, self.counts):
            kept["step"] = n

    def not_finite(self, gradients: Sequence[Array]) -> list[str]:
        """Whose gradients, among what `verify` is told, are not finite."""
        if self.stated:
            return [name for group in self.groups for name in group.names_in(self.optimizer)]
        return [self.optimizer.names[i] for i, g in zip(self.members, gradients) if not np.isfinite(g).all()]

    def fits(self, x: Any, y: Any, size: int) -> bool:
        """Whether an epoch of batches of these samples can run at once."""
        return self.compiled.epochs and self.x_shape == (size, *x.shape[1:]) and self.y_shape == (size, *y.shape[1:]) \
            and x.dtype == self.x_dtype and y.dtype == self.y_dtype and x.ndim > 1 and self.current()

    def epoch(self, x: Any, y: Any, order: Any, size: int) -> tuple[Any, int]:
        """Steps for all whole batches of this size in the order given: their losses, and how many ended well."""
        n = len(order) // size
        rows = n if self.optimizer.counting else 1
        numbers = np.array([self.numbers_at(1 + k) for k in range(rows)])
        losses = np.empty(n)
        samples = np.ascontiguousarray(x), np.ascontiguousarray(y)
        ended = self.compiled.run_epoch(samples, np.ascontiguousarray(order[:n * size]), numbers, losses)
        self.done(ended)
        return losses, ended


class Learner(training.Learner):
    """Takes compiled steps, and whole epochs at once where the program is one native function."""

    def __init__(self, model: Module, loss_fn: LossFn, optimizer: Optimizer) -> None:
        super().__init__(model, loss_fn, optimizer)
        self.native = available()
        self.take = TrainStep(model, loss_fn, optimizer, self.native, self.verify)
        self.where, self.size = (0, 0), 0

    def epoch(self, x: Array, y: Array, size: int | None, draws: np.random.Generator | None, epoch: int) -> float:
        """Go through the data once; the sum of the samples' losses."""
        n = len(x)
        self.size = n if size is None else min(size, n)
        if size is None or n < 2 * size:
            return super().epoch(x, y, size, draws, epoch)
        order = training.ordered(n, draws)
        order = np.arange(n) if order is None else order
        start, total = 0, 0.0
        if self.take.last is None or not self.take.last.current():      # one batch shows whether all can run at once
            total = size * self.step(x[order[:size]], y[order[:size]], (epoch, 1))
            start = size
        step = self.take.last
        if step is not None and step.fits(x, y, size):
            losses, ended = uninterrupted(step.epoch, x, y, order[start:], size)
            total += size * float(losses[:ended].sum())
            start += size * ended
        pieces = ((x[some], y[some]) for some in (order[k:k + size] for k in range(start, n, size)))
        return total + self.steps(pieces, epoch, 1 + start // size)

    def step(self, x: Array, y: Array, where: tuple[int, int]) -> float:
        """One step; returns the loss before it."""
        self.where = where
        self.take.jit = self.native and len(x) == self.size     # the rest of an epoch: compiling would never pay
        return float(uninterrupted(self.take, x, y))

    def verify(self, loss: Any, *gradients: Array) -> None:
        """Raise if the loss or a gradient is not finite, before the update."""
        if not isfinite(loss):
            raise NonFiniteError(training.report(f"the loss is {loss}", self.where, self.optimizer))
        if all(map(training.all_finite, gradients)):
            return
        step = self.take.last
        wrong = step.not_finite(gradients) if step is not None else []
        what = f"the loss is {loss:.6g}, but the gradient of {wrong[0] if wrong else 'a parameter'} is not finite"
        raise NonFiniteError(training.report(what, self.where, self.optimizer))


def stated(optimizer: Optimizer) -> bool:
    """Whether its `rule` is the update that `step` makes: a class that changes the one must state the other."""
    first = next(kind for kind in type(optimizer).__mro__ if {"step", "update", "rule"} & vars(kind).keys())
    return first is not Optimizer and "rule" in vars(first)


def settings(optimizer: Optimizer) -> Any:
    """What a formula may depend on beside its numbers: flags, and which numbers are zero."""
    return tuple((name, bool(value) if type(value) in (int, float) else signature(value))
                 for name, value in vars(optimizer).items() if name not in ("params", "names", "state"))


def shape_and_dtype(x: Any) -> tuple[Any, Any]:
    """Those of an array or a tensor; None of what is neither."""
    value = x.record.value if isinstance(x, Tensor) else x
    return getattr(value, "shape", None), getattr(value, "dtype", None)


def with_axis(x: Any) -> Any:
    """An array of at least one axis."""
    return x if x.ndim else x.reshape(1)


def train_step(model: Module, loss_fn: LossFn, optimizer: Optimizer, *, compile: bool = True,
               jit: bool | None = None) -> Callable[[Any, Any], Any]:
    """A training step as one call: forward, backward and update.

    Parameters
    ----------
    model : Module
        Called with a batch of samples.
    loss_fn : callable
        ``loss_fn(prediction, target)``, a scalar Tensor.
    optimizer : Optimizer
        Of the model's parameters.
    compile : bool
        Whether to record the step once for each shape of batch and run it as a flat program; otherwise it is eager.
    jit : bool, optional
        Whether to use numba; by default where it is installed.

    Returns
    -------
    callable
        ``train(xb, yb)`` moves the parameters and returns the loss before that. Each is what model and loss take: an
        array, a tensor, or a tuple or dict of them. Compiled, it has ``.source``, what it runs, and ``.memory``; it
        does not set ``.grad``.

    Raises
    ------
    TracedValueError
        At the first call, if the model's course depends on values.
    GradientError
        If the loss is no scalar.

    Examples
    --------
    >>> model = nn.Linear(2, 1, rng=0)
    >>> optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    >>> train = nn.train_step(model, nn.MSELoss(), optimizer)
    >>> x, y = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[1.0], [2.0]])
    >>> losses = [float(train(x, y)) for _ in range(100)]
    >>> losses[0] > 0.1 > 0.01 > losses[-1]
    True
    """
    if compile:
        return TrainStep(model, loss_fn, optimizer, available() if jit is None else jit)

    def eager(x: Any, y: Any) -> Any:
        """Take one step; the loss before it."""
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.record.value

    return eager
