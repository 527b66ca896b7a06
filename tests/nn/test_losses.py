"""Losses: values and gradients against SciPy, complex steps and PyTorch's facts; shapes, labels, warnings."""

import warnings

import numpy as np
import pytest
import scipy.special

import autodiff as ad
import nn

F = nn.functional
rng = np.random.default_rng(0)
P, T = rng.uniform(0.1, 0.9, (4, 3)), rng.uniform(0, 1, (4, 3))
Z, LABELS = rng.normal(size=(4, 3)) * 3, np.array([0, 2, 1, 1])
SOFT = scipy.special.softmax(rng.normal(size=(4, 3)), -1)
LOG_P = scipy.special.log_softmax(Z, -1)
ROWS = np.arange(4)
ONE_HOT = np.eye(3)[LABELS]

# loss, prediction, target, oracle per element or sample (written so that it takes complex predictions)
CASES = {
    "mse": (F.mse_loss, nn.MSELoss, Z, T, lambda z, t: (z - t) ** 2),
    "bce": (F.binary_cross_entropy, nn.BCELoss, P, T, lambda p, t: -(t * np.log(p) + (1 - t) * np.log(1 - p))),
    "bce logits": (F.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss, Z, T,
                   lambda z, t: np.log(1 + np.exp(z)) - t * z),
    "ce labels": (F.cross_entropy, nn.CrossEntropyLoss, Z, LABELS,
                  lambda z, t: np.log(np.exp(z).sum(-1)) - z[ROWS, t]),
    "ce soft": (F.cross_entropy, nn.CrossEntropyLoss, Z, SOFT,
                lambda z, t: -(t * (z - np.log(np.exp(z).sum(-1, keepdims=True)))).sum(-1)),
    "nll": (F.nll_loss, nn.NLLLoss, LOG_P, LABELS, lambda l, t: -l[ROWS, t]),
    "categorical labels": (F.categorical_cross_entropy, nn.CategoricalCrossEntropyLoss, P, LABELS,
                           lambda p, t: -np.log(p[ROWS, t])),
    "categorical soft": (F.categorical_cross_entropy, nn.CategoricalCrossEntropyLoss, P, SOFT,
                         lambda p, t: -(t * np.log(p)).sum(-1)),
}
case = pytest.mark.parametrize(("function", "module", "x", "t", "oracle"), CASES.values(), ids=CASES)


def complex_step(f, x, h=1e-30):
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[i] += 1j * h
        g[i] = f(moved).imag / h
    return g


@case
def test_values_and_reductions(function, module, x, t, oracle):
    expected = oracle(x, t)
    for reduction, whole in (("none", expected), ("sum", expected.sum()), ("mean", expected.mean())):
        for loss in (function(ad.Tensor(x, requires_grad=True), t, reduction),
                     module(reduction)(ad.Tensor(x, requires_grad=True), t)):
            assert loss.requires_grad
            assert loss.shape == np.shape(whole)
            assert np.allclose(loss.data, whole, rtol=1e-13)
        assert np.allclose(function(x, t, reduction), whole, rtol=1e-13)
    with pytest.raises(ValueError, match="'mean', 'sum' or 'none'"):
        function(x, t, "avg")
    with pytest.raises(ValueError, match="'mean', 'sum' or 'none'"):
        module("avg")


@case
def test_gradients(function, module, x, t, oracle):
    found = ad.grad(lambda x: function(x, t))(x)
    assert np.allclose(found, complex_step(lambda z: oracle(z, t).mean(), x), rtol=1e-12, atol=1e-15)
    found = ad.hvp(lambda x: function(x, t), (x,), (np.ones_like(x),))[0]       # the rules record themselves
    step = 1e-5
    near = (ad.grad(lambda x: function(x, t))(x + step) - ad.grad(lambda x: function(x, t))(x - step)) / (2 * step)
    assert np.allclose(found, near, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["ce soft", "categorical soft", "bce", "bce logits", "mse"])
def test_gradients_of_targets(name):
    function, _, x, t, oracle = CASES[name]
    found = ad.grad(lambda t: function(x, t))(t)
    assert np.allclose(found, complex_step(lambda t: oracle(x, t).mean(), t), rtol=1e-12, atol=1e-15)


@case
def test_float32_stays(function, module, x, t, oracle):
    x = x.astype(np.float32)
    t = t if t.dtype.kind == "i" else t.astype(np.float32)
    assert function(ad.Tensor(x, requires_grad=True), t).dtype == np.float32
    assert ad.grad(lambda x: function(x, t))(x).dtype == np.float32


# ---- facts of PyTorch's, computed by hand

def test_bce_counts_log_zero_as_minus_100():
    assert F.binary_cross_entropy(np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, 1.0]), "none").tolist() == \
        [100.0, 100.0, 0.0, 0.0]
    assert F.categorical_cross_entropy(np.array([[0.0, 1.0]]), np.array([0])) == 100.0


def test_logits_of_any_size():
    z = np.array([1000.0, -1000.0, 1000.0, -1000.0])
    assert F.binary_cross_entropy_with_logits(z, np.array([1.0, 0.0, 0.0, 1.0]), "none").tolist() == [0, 0, 1000, 1000]
    assert F.cross_entropy(np.array([[1000.0, 0.0]]), np.array([1])) == 1000.0


def test_cross_entropy_of_equal_logits_is_log_n():
    assert F.cross_entropy(np.zeros((5, 7)), np.zeros(5, int)) == pytest.approx(np.log(7), rel=1e-15)


def test_mean_is_over_samples_for_probabilities_too():
    assert F.cross_entropy(Z, ONE_HOT) == pytest.approx(F.cross_entropy(Z, LABELS), rel=1e-14)
    assert F.cross_entropy(Z, ONE_HOT.astype(int)) == pytest.approx(F.cross_entropy(Z, LABELS), rel=1e-14)


@pytest.mark.parametrize("function", [F.cross_entropy, F.nll_loss, F.categorical_cross_entropy])
def test_classes_are_along_axis_1(function):
    x = rng.uniform(0.1, 0.9, (2, 3, 4, 5))
    x = np.log(x) if function is F.nll_loss else x
    labels = rng.integers(0, 3, (2, 4, 5))
    flat = np.moveaxis(x, 1, -1).reshape(-1, 3)
    assert np.allclose(function(x, labels, "none").ravel(), function(flat, labels.ravel(), "none"), rtol=1e-14)
    assert ad.grad(lambda x: function(x, labels))(x).shape == x.shape
    assert np.allclose(function(x[0, :, 0, 0], labels[0, 0, 0]), function(flat[:1], labels.ravel()[:1]), rtol=1e-14)
    if function is not F.nll_loss:
        hot = np.moveaxis(np.eye(3)[labels], -1, 1)
        assert np.allclose(function(x, hot), function(x, labels), rtol=1e-14)


def test_bce_of_a_certain_prediction_has_a_finite_gradient():
    for p, t in ((0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1.0)):
        assert np.isfinite(ad.grad(F.binary_cross_entropy)(p, t))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_multiclass_loss_on_probabilities_keeps_the_logits_gradient(dtype):
    """∂loss/∂z = ŷ - y, as long as the probability is not 0."""
    z = np.array([[0.0, -40.0, -80.0]], dtype)
    for label in range(3):
        found = ad.grad(lambda z, y: F.categorical_cross_entropy(F.softmax(z), y))(z, np.array([label]))
        assert np.allclose(found, F.softmax(z) - np.eye(3)[[label]], rtol=1e-5, atol=1e-7)


def test_mlp_losses_take_predictions():
    x = rng.normal(size=(6, 2))
    model = nn.MLP([2, 3, 4], output="multiclass", rng=0)
    labels = np.array([0, 1, 2, 3, 0, 1])
    loss = model.loss_fn(model(x), labels)
    assert float(loss.data) == pytest.approx(F.cross_entropy(model.logits(x).data, labels), rel=1e-13)
    assert model.loss_fn(model(x), np.eye(4)[labels]).data == pytest.approx(loss.data, rel=1e-15)
    loss.backward()
    assert all(p.grad.any() for p in model.parameters())


# ---- shapes and labels

@pytest.mark.parametrize("function", [F.mse_loss, F.binary_cross_entropy, F.binary_cross_entropy_with_logits])
def test_predictions_and_targets_are_not_broadcast(function):
    p = ad.Tensor(np.full((3, 1), 0.5), requires_grad=True)
    with pytest.raises(ad.ShapeError, match=r"\(3, 1\) and \(3,\).*\n.*target\[:, None\]") as caught:
        function(p, np.ones(3))
    assert "test_losses.py" in str(caught.value)
    with pytest.raises(ad.ShapeError, match=r"target\[:, 0\]"):
        function(p[:, 0], np.ones((3, 1)))
    with pytest.raises(ad.ShapeError, match=r"\(3, 1\) and \(2, 1\)"):
        function(p, np.ones((2, 1)))
    assert function(p, 1.0, "none").shape == (3, 1)                # a number stands for all
    assert function(p, [[1], [0], [1]]).shape == ()


@pytest.mark.parametrize("function", [F.cross_entropy, F.nll_loss, F.categorical_cross_entropy])
def test_class_numbers_are_checked(function):
    x = LOG_P if function is F.nll_loss else P
    with pytest.raises(ad.OperandError, match="class number -1, and 3 classes, numbered 0 to 2"):
        function(x, np.array([0, -1, 1, 1]))
    with pytest.raises(ad.OperandError, match="class number 3"):
        function(x, np.array([0, 3, 1, 1], np.uint8))
    with pytest.raises(ad.OperandError, match="integers, and are float64"):
        function(x, np.array([0.0, 1.0, 1.0, 1.0]))
    with pytest.raises(ad.ShapeError, match=r"target\[:, 0\]"):
        function(x, LABELS[:, None])
    with pytest.raises(ad.ShapeError, match=r"\(5,\) do not fit scores of shape \(4, 3\)"):
        function(x, np.zeros(5, int))
    assert function(x, LABELS.astype(np.int8)) == function(x, LABELS.tolist()) == function(x, LABELS)


@pytest.mark.parametrize(("function", "target"), [(F.binary_cross_entropy, np.ones((2, 2))),
                                                  (F.categorical_cross_entropy, np.array([0, 1]))])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_losses_on_probabilities_say_when_they_get_something_else(function, target):
    with pytest.raises(nn.ProbabilityError, match="range from -3 to 0.5.*nn.BCEWithLogitsLoss") as caught:
        function(ad.Tensor([[0.5, 0.1], [-3.0, 0.2]], requires_grad=True), target)
    assert "test_losses.py" in str(caught.value)
    assert np.isnan(function(np.array([[np.nan, 0.1], [0.2, 0.3]]), target))        # not the loss's fault
    with pytest.raises(nn.ProbabilityError, match="to 7"):
        function(np.array([[7.0, 7.0], [7.0, 7.0]]), target)


# ---- the wrong non-linearity

WRONG = [
    (nn.BCEWithLogitsLoss(), ad.sigmoid, Z, T, "sigmoid"),
    (F.binary_cross_entropy_with_logits, ad.softmax, Z, T, "softmax"),
    (nn.CrossEntropyLoss(), ad.softmax, Z, LABELS, "softmax"),
    (nn.CrossEntropyLoss(), nn.Sigmoid(), Z, LABELS, "sigmoid"),
    (nn.NLLLoss(), nn.Softmax(), Z, LABELS, "softmax"),
]


@pytest.mark.parametrize(("loss_fn", "g", "z", "t", "name"), WRONG)
def test_a_loss_after_the_wrong_non_linearity_warns_with_both_lines(loss_fn, g, z, t, name):
    y = g(ad.Tensor(z, requires_grad=True))
    with pytest.warns(nn.LossInputWarning, match=f"given the result of {name} at") as caught:
        loss_fn(y, t)
    message = str(caught[0].message)
    assert message.count("test_losses.py:") >= 2
    assert caught[0].filename == __file__
    with pytest.warns(nn.LossInputWarning):
        loss_fn(y.reshape(z.shape), t)                             # what changes no value hides nothing


def test_the_right_non_linearities_do_not_warn():
    z = ad.Tensor(Z, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.BCELoss()(ad.sigmoid(z), T)
        nn.NLLLoss()(ad.log_softmax(z), LABELS)
        nn.CrossEntropyLoss()(ad.log_softmax(z), LABELS)
        nn.CategoricalCrossEntropyLoss()(ad.softmax(z), LABELS)
        nn.BCEWithLogitsLoss()(ad.sigmoid(z) * 2, T)
    with pytest.warns(nn.LossInputWarning, match="log_softmax"), pytest.raises(nn.ProbabilityError), \
            np.errstate(invalid="ignore"):
        nn.CategoricalCrossEntropyLoss()(ad.log_softmax(z), LABELS)
