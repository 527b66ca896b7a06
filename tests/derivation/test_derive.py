"""What `derive` refuses, what it costs, and that a wrong formula cannot pass."""

import time

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff.derivation import steps
from autodiff.derivation.notation import Neg
from autodiff.derivation.steps import DerivationError
from tests.derivation import models
from tests.derivation.test_writers import balanced, well_formed
from tests.table import TABLE

SIZES = {(10, 32, 32, 1): (2_496, 2_076_000, (1_120, 3_104, 66_592)),
         (784, 128, 64, 1): (117_056, 2_917_902_400, (8_448, 28_736, 1_581_184))}


@pytest.mark.parametrize("sizes", SIZES)
def test_the_cost_of_the_notes_net(sizes):
    model = nn.MLP(list(sizes), rng=0)
    loss = model.loss_fn(model(models.numbers(6, sizes[0])), (models.numbers(6, 1) > 0) * 1.0)
    vjp, blocks, z1 = SIZES[sizes]
    cost = ad.derive(loss, "z1").cost()
    row = cost["z1"]
    assert (row.vjp, row.left_to_right, row.right_to_left) == z1
    assert cost.total.vjp == vjp and cost.total.right_to_left == blocks and cost.per_sample
    assert cost["b1"].vjp == 0
    assert cost["W1"].vjp == z1[0] + sizes[0] * sizes[1]
    assert f"{vjp:,}" in str(cost) and f"{blocks:,}" in str(cost)
    assert ad.derive(loss, "W2").cost().total == cost.total
    with pytest.raises(KeyError, match="has no row"):
        cost["W9"]


@pytest.mark.parametrize("sizes", SIZES)
def test_the_cost_does_not_depend_on_the_layout(sizes):
    """Columns, and a single sample, cost what rows do."""
    W, b = models.layers(sizes)
    x, y = models.numbers(sizes[0]), np.array([1.0])
    z1 = W[0] @ x + b[0]
    z2 = W[1] @ ad.sigmoid(z1) + b[1]
    z3 = W[2] @ ad.sigmoid(z2) + b[2]
    loss = ad.binary_cross_entropy_with_logits(z3, y).sum()
    cost = ad.derive(loss, "W1").cost()
    assert (cost.total.vjp, cost.total.right_to_left) == SIZES[sizes][:2]


def test_cost_of_shared_weights_counts_every_use():
    three, six = (ad.derive(models.rnn(steps=n)[0], "W_h").cost()["W_h"].vjp for n in (3, 6))
    assert six > 1.9 * three


@pytest.mark.parametrize("model", models.ALL, ids=lambda model: model.__name__)
def test_the_vector_jacobian_order_is_never_dearer(model):
    loss, wrt = model()
    for row in ad.derive(loss, wrt, simplify=False).cost().rows:
        assert 0 <= row.vjp <= max(2 * row.left_to_right, 1)


# ---- what is derived

@pytest.mark.parametrize("case", [case for case in TABLE if case.wrt], ids=str)
def test_every_operation_is_derived(case):
    """Made, checked against the tape, and written in all three ways, with whatever comes out on the way."""
    tensors = [ad.Tensor(a, requires_grad=True, name=f"x{i}") if i in case.wrt else a
               for i, a in enumerate(case.arrays())]
    y = case.f(np, *tensors)
    assert isinstance(y, ad.Tensor)
    y = np.abs(y) if y.dtype.kind == "c" else y
    loss = (y * models.numbers(*y.shape)).sum()
    behind = set(ad.Tape(loss).leaves)
    for i in case.wrt:
        if tensors[i].record in behind:
            d = ad.derive(loss, tensors[i], numbers=True)
            balanced(d.latex())
            well_formed(d.mathml())
            assert f"∂loss/∂x{chr(0x2080 + i)}" in str(d) and str(d.cost())


@pytest.mark.parametrize("model", models.ALL, ids=lambda model: model.__name__)
def test_every_cotangent_that_is_mentioned_is_defined(model):
    """Each δ that stands in a formula has a line of its own."""
    loss, _ = model()
    for r in ad.Tape(loss).leaves:
        if r.requires_grad:
            d = ad.derive(loss, ad.Tensor.of(r))
            plan, written = d.plan, d.written.written
            lines = {t for t in plan.needed if t not in plan.inlined and t is not plan.wrt}
            for t in [*lines, plan.wrt]:
                assert d.derived.mentioned(written[t]) <= lines


def test_a_closed_form_of_one_layer_alone_is_no_news():
    page = str(ad.derive(models.skip_around()[0], "W1"))
    assert "Simplified" not in page and "closed form" not in page
    assert page.count("∂loss/∂ŷ · ∂ŷ/∂r · ") == 2                            # the sum over both paths
    for line in ("δᵣ = ∂loss/∂r = δ_ŷ W₃", "δ₂ = ∂loss/∂z₂ = δᵣ ⊙ tanh′(z₂)", "(δ₂ W₂ + δᵣ) ⊙ tanh′(u₁)"):
        assert line in page
    by_hand = str(ad.derive(models.by_hand()[0], "W"))                       # spelled out it is
    assert "Derivative of the sigmoid: equal by exact algebra." in by_hand
    assert "Derivative of softmax: equal by exact algebra." in by_hand
    assert "∂loss/∂z = δₐ ⊙ a ⊙ (1 − a)" in by_hand


def test_names_are_given_to_what_they_are_names_of():
    page = str(ad.derive(models.squashed()[0], "W1"))
    assert "osh" not in page and "δ₂ = ∂loss/∂z₂ = 2 (ŷ − y)/m ⊙ tanh′(z₂)" in page


@pytest.mark.parametrize("model", [models.unnamed_logit, models.named_logit, models.mlp])
def test_the_floor_is_assumed_by_whatever_name(model):
    page = " ".join(str(ad.derive(model()[0], "W1")).split())
    assert ("Sigmoid with binary cross entropy: equal by exact algebra; assuming that the floor 1e-12 within "
            "binary_cross_entropy is not reached (it is not here).") in page


def test_the_direct_part_of_the_loss_is_written_out():
    page = [" ".join(line.split()) for line in str(ad.derive(models.penalty()[0], "W")).splitlines()]
    at = page.index("∂loss/∂W = ∂loss/∂ŷ · ∂ŷ/∂W")
    assert page[at + 1] == "+ 2 λ W"
    assert "∂loss/∂W = δ_ŷᵀ x + 2 λ W 2 × 3" in page
    assert sum(line.startswith("∂loss/∂W =") for line in page) == 2          # the chain and the result, nothing between
    page = [" ".join(line.split()) for line in str(ad.derive(models.penalty_on_the_way()[0], "W")).splitlines()]
    at = page.index("∂loss/∂W = ∂loss/∂p · ∂p/∂h · ∂h/∂W")
    assert page[at + 1:at + 3] == ["+ 2 λ h · ∂h/∂W", "+ μ sign(W)"]
    assert sum(line.startswith("∂loss/∂h") for line in page) == 0


def test_a_step_is_shown_in_a_line():
    d = ad.derive(models.rows()[0], "W1")
    assert repr(d.steps[1]) == "<step z₁ = x W₁ᵀ + b₁, shape (5, 4)>"
    assert repr(d.steps[0]) == "<step W₁, shape (4, 3)>"
    assert all("\n" not in repr(step) and len(repr(step)) < 120 for step in d.steps)


def test_the_weights_of_an_average_are_not_what_is_averaged():
    assert "m = (Σ (h ⊙ w))/21" in str(ad.derive(models.weighted_average()[0], "h"))


# ---- what is refused

def test_errors():
    loss, _ = models.rows()
    with pytest.raises(ad.OperandError, match="recorded loss"):
        ad.derive(3.0, "W1")
    with pytest.raises(ad.OperandError, match="by name or itself"):
        ad.derive(loss, ["W1"])
    with pytest.raises(ad.GradientError, match="known names"):
        ad.derive(loss, "W9")
    with pytest.raises(ad.GradientError, match="itself is 1"):
        ad.derive(loss, loss)
    with pytest.raises(ad.GradientError, match="not on this tape"):
        ad.derive(loss, ad.Tensor(1.0, requires_grad=True))
    x = ad.Tensor(np.ones(3), name="x")
    w = ad.Tensor(np.ones(3), requires_grad=True, name="w")
    with pytest.raises(ad.GradientError, match="no gradient flows to x"):
        ad.derive((w * x).sum(), x)
    with pytest.raises(ad.GradientError, match="non-scalar"):
        ad.derive(w * 2, "w")
    y = w * 2
    z = y * 3
    with ad.no_grad():
        w.data = np.zeros(3)
    with pytest.raises(ad.MutationError):
        ad.derive((z * y).sum(), "w")


def test_names_given():
    w = ad.Tensor(np.ones(3), requires_grad=True)
    (loss,) = [(np.tanh(w) * 2).sum() for _ in range(1)]
    assert "∂loss/∂θ" in str(ad.derive(loss, "theta", names={"theta": w}))


def test_a_wrong_rule_cannot_pass_for_right_in_the_formulas(monkeypatch):
    """Whatever formula is not worth what the tape says is refused."""
    right = steps.Derived.cotangent
    monkeypatch.setattr(steps.Derived, "cotangent", lambda *args, **options: Neg(right(*args, **options)))
    with pytest.raises(DerivationError, match="the tape says"):
        ad.derive(models.rows()[0], "W1")


def test_small_gradients_are_checked_as_well(monkeypatch):
    W = ad.Tensor(np.full((1, 3), 1e-9), requires_grad=True, name="W")
    z = np.ones((4, 3)) @ W.T
    loss = 1e-12 * (z ** 2).mean()
    ad.derive(loss, "W")
    right = steps.Derived.term
    monkeypatch.setattr(steps.Derived, "term", lambda *args: Neg(right(*args)))
    with pytest.raises(DerivationError):
        ad.derive(loss, "W", simplify=False)


def test_values_that_are_not_finite_do_not_stop_it():
    w = ad.Tensor(np.array([0.0, 1.0]), requires_grad=True, name="w")
    with np.errstate(all="ignore"):
        loss = np.log(w).sum()
        page = str(ad.derive(loss, "w"))
    assert "1/w" in page


def test_a_saturated_sigmoid():
    z = ad.Tensor(np.array([[800.0], [-800.0], [0.3]]), requires_grad=True, name="z")
    a = ad.sigmoid(z)
    y = np.array([[1.0], [0.0], [1.0]])
    with np.errstate(all="ignore"):
        loss = -(y * np.log(a) + (1 - y) * np.log(1 - a)).mean()
        assert "∂loss/∂z" in str(ad.derive(loss, "z"))


def test_no_grad_is_touched():
    loss, _ = models.rows()
    W1 = ad.Tensor.of(ad.Tape(loss).find("W1"))
    str(ad.derive(loss, W1))
    assert W1.grad is None


def test_a_long_loop_is_quick():
    loss, _ = models.rnn(steps=150)
    start = time.perf_counter()
    page = str(ad.derive(loss, "W_h"))
    assert time.perf_counter() - start < 20
    assert len(page.splitlines()) < 250 and "more" in page


def test_it_follows_its_parts():
    loss, _ = models.columns()
    d = ad.derive(loss, "W2")
    assert d.layout == "columns" and d.result[0] == "∂loss/∂W₂ = δ₂ a₁ᵀ"
    assert repr(d) == "<derivation of ∂loss/∂W₂ = δ₂ a₁ᵀ, 6 steps>"
    assert str(d) == d.__str__() and d.expression is d.written.result()[0].right
