"""A closed form has a name only if it is that identity, term by term."""

import numpy as np
import pytest

import autodiff as ad
from tests.program.test_closed import M, found, leaf, rng

Y, W = rng.random(M), rng.random(M)


def nll(y, a):
    return -(y * np.log(a) + (1 - y) * np.log(1 - a))


def names(loss):
    """What the forms at named tensors are known as."""
    return {key: form.name for key, form in found(loss, points=1).items()}


@pytest.mark.parametrize(("loss", "name"), [
    (lambda z: nll(Y, ad.sigmoid(z)).mean(), "sigmoid with binary cross entropy"),
    (lambda z: (W * nll(Y, ad.sigmoid(z))).mean(), "sigmoid with binary cross entropy"),
    (lambda z: nll(Y, ad.sigmoid(z / 1.7)).mean(), "sigmoid with binary cross entropy"),
    (lambda z: nll(0.9 * Y + 0.05, ad.sigmoid(z)).mean(), "sigmoid with binary cross entropy"),
    (lambda z: (lambda a: -(2 * Y * np.log(a) + 0.5 * (1 - Y) * np.log(1 - a)).mean())(ad.sigmoid(z).named("a")),
     "sigmoid with binary cross entropy"),                              # classes of different weight
    (lambda z: ad.softplus(z).mean(), "softplus"),
    (lambda z: -np.log(ad.sigmoid(z)).mean(), "softplus"),
    (lambda z: (np.exp(z) - Y * z).mean(), "Poisson"),
    (lambda z: np.log(np.cosh(z)).sum(), "log cosh"),
    (lambda z: ((z - Y) ** 2).mean(), "squared error"),
    (lambda z: (W * (Y - z) ** 2).sum(), "squared error"),
], ids=range(11))
def test_each_identity_has_its_name(loss, name):
    assert names(loss(leaf(M)))["z"] == name


@pytest.mark.parametrize("loss", [
    lambda z: ((np.tanh(z) - Y) ** 2).mean(),
    lambda z: ((ad.sigmoid(z) - Y) ** 2).mean(),
    lambda z: ((1 / (1 + np.exp(-z)) - Y) ** 2).sum(),
    lambda z: ((np.exp(z) - Y) ** 2).mean(),
    lambda z: (np.log(np.cosh(z)) - Y * z).sum(),                       # tanh(z) - y
    lambda z: (ad.softplus(z) - 0.5 * z ** 2).mean(),                   # σ(z) - z
    lambda z: nll(Y, ad.sigmoid(z)).mean() + 0.1 * (z ** 2).sum(),
    lambda z: (nll(Y, ad.sigmoid(z)) + (ad.sigmoid(z) - Y) ** 2).mean(),
    lambda z: ((z - Y) ** 3).sum(),
    lambda z: ((z ** 2 - Y) ** 2).sum(),
    lambda z: (ad.softplus(z) + np.exp(z)).sum(),
    lambda z: np.exp(z).mean(),
], ids=range(12))
def test_what_is_almost_one_has_none(loss):
    assert names(loss(leaf(M))).get("z", "") == ""


def test_softmax_with_squared_error_and_by_all_elements():
    z, y = leaf(5, 3), rng.random((5, 3))
    p = ad.softmax(z)
    loss = -(y * np.log(p)).sum()
    assert names(loss) == {"z": "softmax with cross entropy", "p": ""}
    assert names(((p - y) ** 2).sum()).get("z", "") == ""
    n = z / z.sum(axis=1, keepdims=True)                                # no softmax, though it is made like one
    with np.errstate(invalid="ignore"):
        assert names(-(y * np.log(np.abs(n))).sum()).get("z", "") == ""


def test_the_same_terms_at_another_tensor_are_something_else():
    """∂/∂v of (σ(z) - y) v is σ(z) - y, and no cross entropy; nor is it a squared error with ŷ - y."""
    z, v, yhat = leaf(M), leaf(M, name="v", seed=1), leaf(M, name="yhat", seed=2)
    a = ad.sigmoid(z)
    assert names((a * v - Y * v).sum()).get("v", "") == ""
    assert names((yhat * v - Y * v).sum()).get("v", "") == ""
    forms = names(((yhat * v - Y) ** 2).mean())
    assert forms["yhat"] == forms["v"] == ""


def test_labels_that_are_learned_are_no_labels():
    z, v = leaf(M), ad.Tensor(rng.random(M), requires_grad=True, name="v")
    assert names(nll(v, ad.sigmoid(z)).mean())["z"] == ""


def test_derivatives_within_a_network():
    z, v = leaf(M), leaf(M, name="v", seed=1)
    for f, name in ((lambda x: 1 / (1 + np.exp(-x)), "derivative of the sigmoid"),
                    (lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1), "derivative of tanh")):
        a = f(z)
        assert names(np.sin(a).sum())["z"] == name
    a = ad.sigmoid(z)
    gated = a * v                                                       # g a is no derivative of a
    assert "derivative" not in "".join(names(np.sin(gated).sum()).values())
    swish = z * a
    assert names(np.sin(swish).sum()).get("z", "") == ""


def test_normalisations_undo_a_move():
    z = leaf(5, 3)
    for f, name in ((lambda q: q / q.sum(axis=1, keepdims=True), "normalisation"),
                    (lambda q: q / np.sqrt((q * q).sum(axis=1, keepdims=True)), "normalisation"),
                    (lambda q: np.exp(q) / np.exp(q).sum(axis=1, keepdims=True), "derivative of softmax"),
                    (lambda q: q / (1 + (q * q).sum(axis=1, keepdims=True)), "")):
        n = f(z)
        assert names(np.sin(n).sum()).get("z", "") == name
