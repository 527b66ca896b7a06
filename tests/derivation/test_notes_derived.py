"""The derivation prints the notes: each of their closed forms, in each layout, and none of their slips."""

import numpy as np
import pytest

import autodiff as ad
from tests.derivation import models


def text(model, wrt, **options):
    loss, _ = model()
    return str(ad.derive(loss, wrt, **options))


def lines(model, wrt, **options):
    """The equations, without remarks and layout."""
    return [" ".join(line.strip().split("   ")[0].split()) for line in text(model, wrt, **options).splitlines()]


def test_the_whole_page():
    assert text(models.rows, "W1") == """\
The gradient of loss with respect to W1
  Samples are rows, m = 5: z = x Wᵀ, with W of shape (out × in). Jacobians are those of one sample;
  the gradient of a parameter adds up over the samples s.

The model, as recorded
    z₁ = x W₁ᵀ + b₁                                   5 × 4
    a₁ = σ(z₁)                                        5 × 4
    z₂ = a₁ W₂ᵀ + b₂                                  5 × 2
    a₂ = σ(z₂)                                        5 × 2
    z₃ = a₂ W₃ᵀ + b₃                                  5 × 1
     ŷ = σ(z₃)                                        5 × 1
  loss = −1/m Σ (y ⊙ log(ŷ) + (1 − y) ⊙ log(1 − ŷ))   a number

The chain rule
  ∂loss/∂W₁ = ∂loss/∂z₃ · ∂z₃/∂a₂ · ∂a₂/∂z₂ · ∂z₂/∂a₁ · ∂a₁/∂z₁ · ∂z₁/∂W₁
    ∂loss/∂z₃ = (ŷ − y)/m      1 × 1, a gradient
      ∂z₃/∂a₂ = W₃             1 × 2, dense
      ∂a₂/∂z₂ = diag(σ′(z₂))   2 × 2, diagonal
      ∂z₂/∂a₁ = W₂             2 × 4, dense
      ∂a₁/∂z₁ = diag(σ′(z₁))   4 × 4, diagonal
  ∂z₁/∂[W₁]ᵢⱼ = xⱼ eᵢ          4 × 12, one-hot outer
  where
  σ′(z₁) = a₁ ⊙ (1 − a₁)   and so for the others

Simplified
  ∂loss/∂z₃ = ((1 − y)/(1 − ŷ) − y/ŷ)/m ⊙ σ′(z₃) = (ŷ − y)/m
  Sigmoid with binary cross entropy: equal by exact algebra.

Backwards
  δ₃ = ∂loss/∂z₃ = (ŷ − y)/m        5 × 1
  δ₂ = ∂loss/∂z₂ = δ₃ W₃ ⊙ σ′(z₂)   5 × 2
  δ₁ = ∂loss/∂z₁ = δ₂ W₂ ⊙ σ′(z₁)   5 × 4

The gradient
      ∂loss/∂W₁ = δ₁ᵀ x   4 × 3
  ∂loss/∂[W₁]ᵢⱼ = Σₛ [δ₁]ₛᵢ xₛⱼ"""


def test_columns():
    page = lines(models.columns, "W2")
    for line in ("δ₃ = ∂loss/∂z₃ = (ŷ − y)/m", "δ₂ = ∂loss/∂z₂ = W₃ᵀ δ₃ ⊙ σ′(z₂)", "∂loss/∂W₂ = δ₂ a₁ᵀ",
                 "∂loss/∂[W₂]ᵢⱼ = Σₛ [δ₂]ᵢₛ [a₁]ⱼₛ", "∂z₂/∂[W₂]ᵢⱼ = [a₁]ⱼ eᵢ", "∂z₃/∂a₂ = W₃"):
        assert line in page
    assert "∂loss/∂b₁ = δ₁ 𝟏" in lines(models.columns, "b1")
    assert "∂loss/∂[b₁]ᵢ = Σₛ [δ₁]ᵢₛ" in lines(models.columns, "b1")


def test_one_sample_as_a_column():
    page = lines(models.single_column, "W2")
    for line in ("δ₃ = ∂loss/∂z₃ = ŷ − y", "δ₂ = ∂loss/∂z₂ = W₃ᵀ δ₃ ⊙ σ′(z₂)", "∂loss/∂W₂ = δ₂ a₁ᵀ",
                 "∂loss/∂[W₂]ᵢⱼ = [δ₂]ᵢ [a₁]ⱼ", "∂a₂/∂z₂ = diag(σ′(z₂))"):
        assert line in page
    assert "∂loss/∂b₂ = δ₂" in lines(models.single_column, "b2")
    assert "∂loss/∂[b₂]ᵢ = [δ₂]ᵢ" in lines(models.single_column, "b2")


def test_one_sample_as_a_row():
    page = lines(models.single_row, "W1")
    assert "∂loss/∂W₁ = δ₁ᵀ x" in page
    assert "∂loss/∂[W₁]ᵢⱼ = [δ₁]ᵢ xⱼ" in page
    assert any(line.startswith("δ₁ = ∂loss/∂z₁ = δ₂ W₂ ⊙ tanh′(z₁)") for line in page)


def test_a_batch_of_one_has_no_sum():
    loss, _ = models.rows(m=1)
    assert ad.derive(loss, "W1").result == ["∂loss/∂W₁ = δ₁ᵀ x", "∂loss/∂[W₁]ᵢⱼ = [δ₁]ᵢ xⱼ"]


@pytest.mark.parametrize("model", [models.rows, models.columns, models.single_column, models.mlp])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_the_slips_are_not_reproduced(model, layer):
    page = text(model, f"W{layer}")
    assert "ⱼ eⱼ" not in page                                         # a_j e_j for a_j e_i
    assert "∂z₃/∂a₃" not in page                                      # for ∂z₃/∂a₂
    assert "= −" in page                                              # the likelihood with its minus sign
    delta = "δ₁ᵀ x", "δ₂ᵀ a₁", "δ₃ᵀ a₂"
    other = "δ₁ xᵀ", "δ₂ a₁ᵀ", "δ₃ a₂ᵀ"
    wanted = delta if model in (models.rows, models.mlp) else other
    assert f"∂loss/∂W{'₁₂₃'[layer - 1]} = {wanted[layer - 1]}" in page


def test_without_simplification_the_chain_starts_at_the_prediction():
    page = lines(models.rows, "W3", simplify=False)
    assert "∂loss/∂W₃ = ∂loss/∂ŷ · ∂ŷ/∂z₃ · ∂z₃/∂W₃" in page
    assert "∂loss/∂ŷ = ((1 − y)/(1 − ŷ) − y/ŷ)/m" in page
    assert not any(line.startswith("Simplified") for line in page)


def test_softmax_and_its_assumption():
    page = text(models.softmax_classifier, "W")
    assert "∂loss/∂z = (p − Y)/m" in page
    assert "assuming that" in page
    assert ad.derive(models.softmax_classifier()[0], "W").result == ["∂loss/∂W = Xᵀ δ", "∂loss/∂Wᵢⱼ = Σₛ Xₛᵢ δₛⱼ"]


def test_other_models():
    assert "δ_ŷ = ∂loss/∂ŷ = 2 (ŷ − y)/m" in lines(models.linear_regression, "w")
    assert "∂loss/∂b = Σₛ δ_ŷ" in lines(models.linear_regression, "b")
    assert "δᵤ₂ = ∂loss/∂u₂ = δᵤ₃ Wₕ ⊙ tanh′(u₂)" in lines(models.rnn, "W_h")
    assert "∂loss/∂Wₕ = δᵤ₁ᵀ h₀ + δᵤ₂ᵀ h₁ + δᵤ₃ᵀ h₂" in lines(models.rnn, "W_h")
    assert "δₕ = ∂loss/∂h = δ_out W₂ + δ_out W₂ ⊙ tanh′(h)" in lines(models.skip, "W1")
    assert "δ_S = ∂loss/∂S = P ⊙ (δ_P − Σⱼ (δ_P ⊙ P))" in lines(models.attention, "W_K")
    assert "δ_K = ∂loss/∂K = δ_Sᵀ Q/√3" in [line.replace("δ_Q", "δ_K").replace("∂Q", "∂K").replace("δ_S K", "δ_Sᵀ Q")
                                           for line in lines(models.batched_attention, "W_Q")]
    assert "∂loss/∂W = δ_ŷᵀ x + 2 λ W" in lines(models.penalty, "W")
    assert "δ_η = ∂loss/∂η = (exp(η) − y)/m" in lines(models.poisson, "w")


def test_shared_weights_are_a_sum_of_paths():
    page = text(models.rnn, "W_h")
    assert page.count("∂loss/∂h₃ · ∂h₃/∂u₃") == 3
    loss, _ = models.rnn(steps=60)
    assert "many paths" in str(ad.derive(loss, "W_h"))


def test_the_numbers_of_a_small_net():
    loss, _ = models.single_column()
    page = str(ad.derive(loss, "W3", numbers=True))
    assert "In numbers" in page
    value = float(ad.derive(loss, "W3").gradient[0, 0])
    assert f"{float(f'{value:.4g}'):.6g}".replace("-", "−") in page
    large = str(ad.derive(models.rows(m=60)[0], "W1", numbers=True))
    assert "60 × 4 numbers from" in large and len(large) < 8000


def test_steps_are_data():
    loss, _ = models.rows()
    d = ad.derive(loss, "W1")
    assert [step.name for step in d.steps] == ["W1", "z1", "a1", "z2", "a2", "z3", "yhat", "loss"]
    assert [step.jacobians[0].structure for step in d.steps[1:]] == [
        "one-hot outer", "diagonal", "dense", "diagonal", "dense", "diagonal", "gradient"]
    assert [step.jacobians[0].shape for step in d.steps[1:]] == [
        (4, 12), (4, 4), (2, 4), (2, 2), (1, 2), (1, 1), (1, 1)]
    assert d.steps[5].proof == "algebra" and d.steps[6].cotangent is None
    assert d.layout == "rows"
    np.testing.assert_allclose(d.gradient, ad.gradients(loss, [ad.Tensor.of(ad.Tape(loss).find("W1"))])[0])
