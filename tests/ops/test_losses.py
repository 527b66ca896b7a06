"""Losses: their targets in every form, and what does not fit."""

import numpy as np
import pytest

import autodiff as ad

Z = np.random.default_rng(0).normal(size=(4, 3))
LABELS = np.array([2, 0, 1, 1])
PROBABILITIES = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
ONE_HOT = np.eye(3)[LABELS]


@pytest.mark.parametrize(
    "labels",
    [LABELS, LABELS.tolist(), ad.Tensor(LABELS), LABELS.astype(np.uint8), LABELS.astype(np.int32)],
    ids=["array", "list", "tensor", "uint8", "int32"],
)
def test_labels_in_every_form_to_second_order(labels):
    z = ad.Tensor(Z, requires_grad=True)
    loss = ad.cross_entropy_of_labels(z, labels).mean()
    [g] = ad.gradients(loss, [z], record=True)
    assert np.allclose(g.numpy(), (PROBABILITIES - ONE_HOT) / 4, rtol=1e-13)
    v = np.ones(3) * [1.0, 2.0, -1.0]
    [h] = ad.gradients((g * v).sum(), [z])
    expected = PROBABILITIES * (v - (PROBABILITIES * v).sum(axis=1, keepdims=True)) / 4
    assert np.allclose(h, expected, rtol=1e-12)


def test_labels_that_are_tensors_follow_a_replay():
    z, labels = ad.Tensor(Z, requires_grad=True), ad.Tensor(LABELS)
    loss = ad.cross_entropy_of_labels(z, labels).mean()
    [g] = ad.gradients(loss, [z], record=True)
    other = np.array([0, 0, 2, 2])
    value, gradient = ad.Tape(loss, g).replay({labels: other})
    assert np.allclose(value, -np.log(PROBABILITIES[np.arange(4), other]).mean(), rtol=1e-14)
    assert np.allclose(gradient, (PROBABILITIES - np.eye(3)[other]) / 4, rtol=1e-13)


def test_both_cross_entropies_agree():
    z = ad.Tensor(Z, requires_grad=True)
    a, b = ad.cross_entropy_of_labels(z, LABELS), ad.cross_entropy_of_probabilities(z, ONE_HOT)
    assert np.allclose(a.numpy(), b.numpy(), rtol=1e-14)
    for x, y in zip(ad.gradients(a.sum(), [z]), ad.gradients(b.sum(), [z])):
        assert np.allclose(x, y, rtol=1e-13)


@pytest.mark.parametrize("labels", [[3, 0, 0, 0], [-1, 0, 0, 0], [0, 0, 0, -3]], ids=str)
def test_class_numbers_that_do_not_exist_raise(labels):
    """Also negative ones: a label that marks something missing must not count from the end."""
    with pytest.raises((ad.OperationError, IndexError, ValueError)):
        ad.cross_entropy_of_labels(ad.Tensor(Z, requires_grad=True), np.array(labels))


@pytest.mark.parametrize(
    "labels", [LABELS[:3], LABELS[:, None], np.array(1), LABELS * 1.0], ids=["few", "column", "scalar", "floats"]
)
def test_labels_that_do_not_fit_raise(labels):
    with pytest.raises(ad.OperationError, match="cross_entropy"):
        ad.cross_entropy_of_labels(ad.Tensor(Z, requires_grad=True), labels)


@pytest.mark.parametrize(
    "f", [ad.binary_cross_entropy, ad.binary_cross_entropy_with_logits, ad.squared_error], ids=lambda f: f.name
)
def test_integer_and_boolean_targets(f):
    p = np.array([0.2, 0.7, 0.9])
    for targets in (np.array([0, 1, 1]), np.array([False, True, True]), [0, 1, 1], ad.Tensor(np.array([0, 1, 1]))):
        t = ad.Tensor(p, requires_grad=True)
        y = f(t, targets)
        reference = ad.Tensor(p, requires_grad=True)
        expected = f(reference, np.array([0.0, 1.0, 1.0]))
        assert np.allclose(y.numpy(), expected.numpy(), rtol=1e-15)
        for a, b in zip(ad.gradients(y.sum(), [t]), ad.gradients(expected.sum(), [reference])):
            assert np.allclose(a, b, rtol=1e-15)
        [g] = ad.gradients(y.sum(), [t], record=True)
        [h] = ad.gradients(g.sum(), [t])
        assert np.all(np.isfinite(h))


def test_targets_that_require_grad_to_second_order():
    """Soft targets may be learnt too (distillation): ∂²/∂p∂t of each loss."""
    p, t = ad.Tensor([0.2, 0.7], requires_grad=True), ad.Tensor([0.4, 0.9], requires_grad=True)
    for f, mixed in [
        (ad.binary_cross_entropy, -1 / (p.numpy() * (1 - p.numpy()))),
        (ad.binary_cross_entropy_with_logits, [-1.0, -1.0]),
        (ad.squared_error, [-2.0, -2.0]),
    ]:
        gp, gt = ad.gradients(f(p, t).sum(), [p, t], record=True)
        assert np.allclose(ad.gradients(gp.sum(), [t])[0], mixed, rtol=1e-13)
        assert np.allclose(ad.gradients(gt.sum(), [p])[0], mixed, rtol=1e-13)


def test_dropout_draws_again_the_same_on_replay_and_scales():
    x = ad.Tensor(np.ones(10_000), requires_grad=True)
    rng = np.random.default_rng(0)
    y, z = ad.dropout(x, 0.3, rng=rng), ad.dropout(x, 0.3, rng=rng)
    assert not np.array_equal(y.numpy(), z.numpy())
    assert set(np.unique(y.numpy())) == {0.0, 1 / 0.7}
    assert y.numpy().mean() == pytest.approx(1, abs=0.03)
    assert np.array_equal(ad.Tape(y).replay({x: np.full(10_000, 3.0)}), 3 * y.numpy())
    assert np.array_equal(ad.gradients(y.sum(), [x])[0], y.numpy())
    ad.seed(1)
    first = ad.dropout(x).numpy()
    ad.seed(1)
    assert np.array_equal(ad.dropout(x).numpy(), first)
    for rate in (-0.1, 1.0, 2.0):
        with pytest.raises(ValueError, match="rate"):
            ad.dropout(x, rate)
    assert np.array_equal(ad.dropout(x, 0.0).numpy(), x.numpy())


def test_linear_refuses_what_does_not_fit_with_words():
    x, W = ad.Tensor(np.ones((5, 4)), name="x"), ad.Tensor(np.ones((3, 5)), requires_grad=True, name="W")
    with pytest.raises(ad.ShapeError, match="features"):
        ad.linear(x, W)
    with pytest.raises(ad.ShapeError, match="bias"):
        ad.linear(x, ad.Tensor(np.ones((3, 4)), requires_grad=True), np.ones(2))


def test_a_bias_of_another_rank_gives_the_right_gradients_or_raises():
    """A bias per sample, (n, out), broadcasts in NumPy: then its rule and the others must hold as well."""
    for xs, bs in [
        ((5, 4), (5, 3)),
        ((4,), (5, 3)),
        ((5, 4), (1,)),
        ((5, 4), (1, 3)),
        ((5, 4), ()),
        ((2, 5, 4), (5, 3)),
    ]:
        rng = np.random.default_rng(0)
        ts = [ad.Tensor(rng.normal(size=s), requires_grad=True) for s in (xs, (3, 4), bs)]
        try:
            y = ad.linear(*ts)
        except ad.OperationError:
            continue
        w = rng.normal(size=y.shape)
        expected = ad.gradients(((ts[0] @ ts[1].T + ts[2]) * w).sum(), ts)
        for g, e in zip(ad.gradients((y * w).sum(), ts), expected):
            assert np.allclose(g, e, rtol=1e-12)
