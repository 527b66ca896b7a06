"""What the ways of writing an operation share: the values behind symbols, and the default: a call by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.derivation.notation import Call, Expr, Shown, Symbol
from autodiff.derivation.paper import ONES, bare, is_number, scaled
from autodiff.derivation.structure import shape_of
from autodiff.kinds import Op
from autodiff.ops import activations, losses, stable
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.derivation.formulas import Formulas

Builder = Callable[["Formulas", Record, list[Expr]], Expr]


class Held:
    """A value that no record holds, as the key of a symbol."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Values(dict[Any, Any]):
    """What symbols stand for: records their values, what is held itself, and what was put in."""

    def __missing__(self, key: Any) -> Any:
        """The value of a record, or of what is held."""
        return key.value


def plain(x: Any) -> Any:
    """The value of an operand."""
    return x.value if isinstance(x, Record) else x


def spread(x: Expr, shape: tuple[int, ...], scalar: bool = True) -> Shown:
    """Broadcast: written as it is."""
    return Shown(bare(x), partial(broadcast, shape=shape, scalar=scalar), "spread")


def broadcast(x: Any, shape: tuple[int, ...], scalar: bool) -> Any:
    """NumPy's broadcast_to."""
    return np.broadcast_to(x, shape)


def run(r: Record, n: int | None = None) -> Callable[..., Any]:
    """The operation on its operands' values: all, or the first n and the others as recorded."""
    op: Any = r.op
    rest = () if n is None else tuple(plain(x) for x in r.inputs[n:])
    return lambda *xs: op.forward(*xs, *rest, **r.options)


@lru_cache(maxsize=256)
def primed(op: Op) -> Op:
    """The derivative of a function of one argument, as an operation f′ of its own."""
    d: Any = op.partials[0]

    def forward(x: Any, **options: Any) -> Any:
        return d(op.forward(x, **options), x, **options)

    return Op(forward, op.name + "′").derivative(lambda y, x, **options: 0 * x)


SIGNS: dict[Op, Symbol] = {
    stable.sigmoid: Symbol("σ"), primed(stable.sigmoid): Symbol("σ"),
    activations.normal_cdf: Symbol("Φ"), activations.normal_pdf: Symbol("φ"),
    losses.cross_entropy_of_labels: Symbol("CE"), losses.cross_entropy_of_probabilities: Symbol("CE"),
}


def default(w: Formulas, r: Record, args: list[Expr]) -> Expr:
    """By its name: f(x, y), with its options as a note."""
    op: Any = r.op
    name = op.name.rstrip("′")
    if len(name) > 24:
        name = name[:24] + "…"
    shown = [f"{key}={value!r}" for key, value in r.options.items()
             if key not in ("keepdims", "n", "index", "indices", "shape", "dtype", "key") and value is not None]
    if r.options.get("axis", 0) in (-1, len(shape_of(r)) - 1) and op in (stable.softmax, stable.log_softmax):
        shown = []
    note = ", ".join(shown)
    return Call(SIGNS.get(op) or Symbol(name), tuple(bare(a) if op.kind == "elementwise" else ones(a) for a in args),
                run(r), len(op.name) - len(op.name.rstrip("′")), note if len(note) < 40 else "",
                op.kind == "elementwise")


def ones(x: Expr) -> Expr:
    """In a matrix product a spread number is that number times a matrix of ones."""
    if not isinstance(x, Shown) or not is_number(x):
        return x
    shape = x.call.keywords["shape"]                                               # type: ignore[union-attr]
    return scaled(x.body, Symbol(ONES.base, key=Held(np.ones(shape))))
