"""`derive`: the derivation of a gradient, as a person writes it on paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autodiff.derivation.cost import Cost, blocks_of, cost_of
from autodiff.derivation.latex import Latex
from autodiff.derivation.layout import Layout
from autodiff.derivation.mathml import MathML
from autodiff.derivation.notation import (
    Expr,
)
from autodiff.derivation.steps import Derived, Step
from autodiff.derivation.text import Text
from autodiff.derivation.writer import Block
from autodiff.display.pieces import shown
from autodiff.errors import GradientError, OperandError
from autodiff.record import Record
from autodiff.reverse import gradients
from autodiff.tape import Tape
from autodiff.tensor import Tensor


def derive(loss: Tensor, wrt: Tensor | str, *, simplify: bool = True, numbers: bool = False,
           names: Mapping[str, Tensor] | None = None) -> Derivation:
    """The derivation of ∂loss/∂wrt, step by step, from the tape.

    Each named tensor is a step (z = x Wᵀ + b is one); each Jacobian is given with its shape and structure, for one
    sample where samples do not mix; then the recursion of the cotangents δ, and the gradient as a matrix product and
    element by element. Every formula is worked out in numbers and compared with the tape before it is shown.

    Parameters
    ----------
    loss : Tensor
        A recorded scalar.
    wrt : str or Tensor
        A leaf or an intermediate tensor, by its name or itself.
    simplify : bool
        Use closed forms where they are proved, such as ∂loss/∂z = ŷ − y of the sigmoid with binary cross entropy.
    numbers : bool
        Show every step with the numbers plugged in; large arrays are summarised.
    names : dict of str to Tensor, optional
        Names for tensors that have none.

    Returns
    -------
    Derivation
        Print it, or see `.steps`, `.latex()`, `.mathml()`, `.cost()`; notebooks typeset it.

    Raises
    ------
    GradientError
        If a name is unknown or ambiguous, no gradient flows to `wrt`, or the loss is no scalar.
    MutationError
        If an array was changed in place since it was recorded.
    DerivationError
        If a formula is not worth what the tape says.

    Examples
    --------
    >>> x, y = np.array([[1.0, 2.0], [3.0, 5.0], [2.0, 1.0]]), np.array([[1.0], [0.0], [1.0]])
    >>> W = ad.Tensor([[0.5, -0.25]], requires_grad=True)
    >>> z = x @ W.T
    >>> yhat = ad.sigmoid(z)
    >>> loss = ad.binary_cross_entropy(yhat, y).mean()
    >>> d = ad.derive(loss, "W")
    >>> for line in d.result:
    ...     print(line)
    ∂loss/∂W = δᵀ x
    ∂loss/∂Wⱼ = Σₛ δₛ xₛⱼ
    """
    if not isinstance(loss, Tensor):
        raise OperandError(f"derive needs the recorded loss, a Tensor, not {type(loss).__name__}")
    if not isinstance(wrt, str | Tensor):
        raise OperandError(f"derive takes one tensor, by name or itself, not {type(wrt).__name__}")
    tape = Tape(loss, names=names)
    r = tape.find(wrt)
    if r is loss.record:
        raise GradientError("the gradient of the loss with respect to itself is 1; name a tensor it was computed from")
    if isinstance(r.value, tuple) or r.value.dtype.kind != "f" or not r.requires_grad:
        raise GradientError(f"no gradient flows to {tape.given.get(r) or r.name or 'this tensor'} (from {r.where}): it "
                            "is constant, or computed from nothing that requires grad")
    with np.errstate(all="ignore"):
        gradients(loss, [Tensor.of(r)])              # raises what is to be raised
    return Derivation(Derived(loss, r, tape.given, simplify), numbers)


class Derivation:
    """A derivation; made by `derive`.

    Attributes
    ----------
    steps : list of Step
        From what is differentiated to the loss: each with its formula, Jacobians, cotangent and values.
    layout : str
        "rows" or "columns" where these are the samples, "row" or "column" for a single one as a vector, or "".
    gradient : ndarray
        ∂loss/∂wrt itself.
    blocks : list
        The document: headings, paragraphs, equations, for a writer of one's own.

    Examples
    --------
    >>> w = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> r = 3 * w
    >>> d = ad.derive((r * r).sum(), "w")
    >>> [(step.name, step.shape) for step in d.steps]
    [('w', (2,)), ('r', (2,)), ('loss', ())]
    >>> d.steps[1].jacobians[0].structure
    'scalar'
    """

    def __init__(self, derived: Derived, numbers: bool = False) -> None:
        self.derived = derived
        self.plan = derived.plan(derived.wrt)
        self.written = Layout(derived, self.plan, numbers)
        self.steps: list[Step] = self.written.steps
        self.layout = derived.graph.layout
        self.gradient: Any = np.array(derived.gradients[derived.wrt])
        self.written.verify()
        self.blocks: list[Block] = self.written.blocks()

    @property
    def result(self) -> list[str]:
        """The gradient in matrix form, and element by element where that has a plain form, as text."""
        text = Text()
        return [f"{text.formula(line.left)} = {text.formula(line.right)}" for line in self.written.result()]

    @property
    def expression(self) -> Expr:
        """The gradient's formula."""
        return self.written.result()[0].right

    def __str__(self) -> str:
        return Text().document(self.blocks)

    def __repr__(self) -> str:
        return f"<derivation of {self.result[0]}, {len(self.steps)} steps>"

    def latex(self) -> str:
        """The derivation as LaTeX; it needs amsmath."""
        return Latex().document(self.blocks)

    def mathml(self) -> str:
        """The derivation as MathML within XHTML, one well-formed element."""
        return MathML().document(self.blocks)

    def _repr_html_(self) -> str | None:
        return shown(MathML().page)(self.blocks)

    def _repr_latex_(self) -> str | None:
        return shown(Derivation.latex)(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What a terminal of IPython shows."""
        printer.text(str(self))

    def cost(self) -> Cost:
        """The multiply-adds of the vector-Jacobian order, against the Jacobians multiplied as dense matrices.

        For what is differentiated here and for every parameter behind the loss, and for all parameters together.

        Examples
        --------
        >>> x, y = np.ones((5, 10)), np.ones((5, 1))
        >>> W1 = ad.Tensor(np.ones((32, 10)), requires_grad=True)
        >>> W2 = ad.Tensor(np.ones((1, 32)), requires_grad=True)
        >>> a1 = ad.sigmoid(x @ W1.T)
        >>> loss = ((a1 @ W2.T - y) ** 2).mean()
        >>> row = ad.derive(loss, "W1").cost()["W1"]
        >>> row.vjp, row.left_to_right, row.right_to_left
        (384, 11296, 338240)
        """
        d = self.derived
        parameters = [r for r in d.graph.heads if r.op is None and r.requires_grad]
        wanted: list[Record] = [*([d.wrt] if d.wrt not in parameters else []), *parameters]
        chains = {r: blocks_of(d.graph, d.jacobian, d.plan(r).active, set(d.closed), r) for r in wanted}
        return cost_of(d.graph, chains, parameters)
