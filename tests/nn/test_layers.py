"""Layers and activations: values against SciPy, gradients against complex steps, modes, initial values."""

import numpy as np
import pytest
import scipy.special

import autodiff as ad
import nn

F = nn.functional
X = np.array([[-800.0, -3.0, -0.5], [1e-8, 2.0, 800.0]])
ORACLES = [
    (nn.Sigmoid(), F.sigmoid, scipy.special.expit),
    (nn.Tanh(), F.tanh, np.tanh),
    (nn.ReLU(), F.relu, lambda x: x * (x > 0)),
    (nn.Softplus(), F.softplus, lambda x: np.logaddexp(0, x)),
    (nn.Softmax(), F.softmax, lambda x: scipy.special.softmax(x, axis=-1)),
    (nn.Softmax(0), lambda x: F.softmax(x, 0), lambda x: scipy.special.softmax(x, axis=0)),
    (nn.LogSoftmax(), F.log_softmax, lambda x: scipy.special.log_softmax(x, axis=-1)),
    (nn.LogSoftmax(0), lambda x: F.log_softmax(x, axis=0), lambda x: scipy.special.log_softmax(x, axis=0)),
    (nn.Identity(), lambda x: x, lambda x: x),
]


def complex_step(f, x, h=1e-30):
    """The gradient of a scalar function, to rounding."""
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[i] += 1j * h
        g[i] = f(moved).imag / h
    return g


@pytest.mark.parametrize(("layer", "function", "oracle"), ORACLES, ids=[repr(layer) for layer, *_ in ORACLES])
def test_activations_agree_with_scipy(layer, function, oracle):
    for x, rtol, atol in ((X, 3e-15, 1e-15 * isinstance(layer, nn.LogSoftmax)), (X.astype(np.float32), 3e-6, 1e-6)):
        tracked = layer(ad.Tensor(x, requires_grad=True))
        assert np.allclose(tracked.data, oracle(X), rtol=rtol, atol=atol)
        assert tracked.dtype == x.dtype
        assert np.array_equal(layer(x), tracked.data)              # on arrays alone an array
        assert np.array_equal(function(x), layer(x))


@pytest.mark.parametrize(("layer", "form"), [
    (nn.Sigmoid(), lambda z: 1 / (1 + np.exp(-z))),
    (nn.Tanh(), np.tanh),
    (nn.Softplus(), lambda z: np.log(1 + np.exp(z))),
    (nn.Softmax(), lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True)),
    (nn.Softmax(0), lambda z: np.exp(z) / np.exp(z).sum(0, keepdims=True)),
    (nn.LogSoftmax(), lambda z: z - np.log(np.exp(z).sum(-1, keepdims=True))),
], ids=lambda value: repr(value) if isinstance(value, nn.Module) else "form")
def test_gradients_of_activations(layer, form):
    x, w = np.array([[-3.0, 0.1, 2.0], [0.5, 1.0, -1.0]]), np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -0.9]])
    found = ad.grad(lambda x: (layer(x) * w).sum())(x)
    assert np.allclose(found, complex_step(lambda z: (form(z) * w).sum(), x), rtol=1e-13, atol=1e-15)


def test_relu_at_its_kink():
    assert ad.grad(lambda x: nn.ReLU()(x).sum())(np.array([-1.0, 0.0, 2.0])).tolist() == [0.0, 0.0, 1.0]


def test_linear_is_x_weight_transposed_plus_bias():
    rng = np.random.default_rng(0)
    layer, x = nn.Linear(3, 2, rng=0), rng.normal(size=(4, 5, 3))
    layer.bias.data = np.array([1.0, -1.0])
    W, b = layer.weight.data, layer.bias.data
    for batch in (x, x[0], x[0, 0]):
        assert np.allclose(layer(batch).data, np.einsum("...i,oi->...o", batch, W) + b, rtol=1e-14)
    bare = nn.Linear(3, 2, bias=False, rng=0)
    assert bare.bias is None
    assert np.allclose(bare(x).data, x @ W.T)
    assert layer([1.0, 2.0, 3.0]).shape == (2,)


def test_gradients_of_linear():
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    layer = nn.Linear(3, 2, rng=0)
    (layer(x) * g).sum().backward()
    assert np.allclose(layer.weight.grad, g.T @ x, rtol=1e-14)
    assert np.allclose(layer.bias.grad, g.sum(0), rtol=1e-14)


def test_linear_refuses_sizes():
    with pytest.raises(ValueError, match=r"Linear\(3, 0\)"):
        nn.Linear(3, 0)
    with pytest.raises(TypeError):
        nn.Linear(2.5, 1)


def test_dtype_reaches_parameters_and_gradients():
    model = nn.MLP([3, 4, 1], rng=0, dtype=np.float32)
    out = model(np.ones((2, 3), np.float32))
    assert out.dtype == np.float32
    out.sum().backward()
    assert {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters()} == {np.dtype(np.float32)}


def test_flatten():
    assert nn.Flatten()(ad.Tensor(np.zeros((2, 3, 4)), requires_grad=True)).shape == (2, 12)
    assert nn.Flatten(2)(np.zeros((2, 3, 4, 5))).shape == (2, 3, 20)
    assert nn.Flatten()(np.zeros((2, 0))).shape == (2, 0)
    assert nn.Flatten()(np.zeros(2)).shape == (2, 1)
    with pytest.raises(ad.ShapeError, match="from 2 on"):
        nn.Flatten(2)(np.zeros(3))


# ---- dropout

def test_dropout_in_training_and_in_use():
    drop, x = nn.Dropout(0.25, rng=0), np.ones((100, 100))
    y = drop(x)
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert drop.eval()(x) is x
    assert nn.Dropout(0.0)(x) is x


def test_dropout_draws_anew_and_reproducibly():
    x = np.ones(50)
    a, b = nn.Dropout(rng=1), nn.Dropout(rng=1)
    first, second = a(x), a(x)
    assert not np.array_equal(first, second)
    assert np.array_equal(b(x), first)
    assert np.array_equal(b(x), second)
    ad.seed(3)
    first = nn.Dropout()(x)
    ad.seed(3)
    assert np.array_equal(nn.Dropout()(x), first)


def test_dropout_keeps_the_dtype_and_passes_the_gradient_where_it_kept():
    x = ad.Tensor(np.ones(50, np.float32), requires_grad=True)
    y = nn.Dropout(0.5, rng=0)(x)
    y.sum().backward()
    assert y.dtype == np.float32
    assert np.array_equal(x.grad, y.data)
    assert y.name == "y"
    assert [r.name for r in ad.Tape(y)] == ["mask", "y"]


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_dropout_refuses_rates(rate):
    with pytest.raises(ValueError, match="rate of dropout"):
        nn.Dropout(rate)
    with pytest.raises(ValueError, match="rate of dropout"):
        F.dropout(np.ones(2), rate)


# ---- initial values

@pytest.mark.parametrize(("init", "std"), [
    (nn.init.glorot_normal_, np.sqrt(2 / 700)), (nn.init.glorot_uniform_, np.sqrt(2 / 700)),
    (nn.init.he_normal_, np.sqrt(2 / 400)), (nn.init.he_uniform_, np.sqrt(2 / 400))])
def test_variances_of_initial_values(init, std):
    p = nn.Parameter(np.zeros((300, 400)))
    assert init(p, rng=0) is p
    assert abs(p.data.std() / std - 1) < 0.01
    assert abs(p.data.mean()) < std / 50
    if "uniform" in init.__name__:
        assert np.sqrt(3) * std * 0.999 < abs(p.data).max() <= np.sqrt(3) * std
    other = init(nn.Parameter(np.zeros((300, 400))), rng=0)
    assert np.array_equal(other.data, p.data)
    kernel = init(nn.Parameter(np.zeros((30, 40, 10, 10), np.float32)), rng=0)     # n_in 4000, n_out 3000
    assert kernel.dtype == np.float32
    assert abs(kernel.data.std() * np.sqrt(10) / std - 1) < 0.01


def test_initialising_counts_as_a_write_and_uses_the_seed():
    p = nn.Parameter(np.ones((2, 2)), name="W")
    version = p.record.version
    ad.seed(5)
    first = nn.init.glorot_normal_(p).data.copy()
    assert p.record.version > version
    ad.seed(5)
    assert np.array_equal(nn.init.glorot_normal_(p).data, first)
    assert not nn.init.zeros_(p).data.any()


def test_initialisers_refuse_what_they_cannot_do():
    with pytest.raises(ad.ShapeError, match=r"b has shape \(3,\).*zeros_"):
        nn.init.glorot_normal_(nn.Parameter(np.zeros(3), name="b"))
    W = nn.Parameter(np.ones((2, 2)))
    with pytest.raises(ad.GradientError, match="result of"):
        nn.init.zeros_(W * 2)


# ---- the notes' model

def test_mlp_is_the_notes_model():
    model = nn.MLP([4, 3, 2, 1], rng=0)
    x = np.random.default_rng(1).normal(size=(6, 4))
    W1, b1, W2, b2, W3, b3 = (p.data for p in model.parameters())
    assert not (b1.any() or b2.any() or b3.any())
    a1 = scipy.special.expit(x @ W1.T + b1)
    a2 = scipy.special.expit(a1 @ W2.T + b2)
    assert np.allclose(model.logits(x).data, a2 @ W3.T + b3, rtol=1e-13)
    assert np.allclose(model(x).data, scipy.special.expit(a2 @ W3.T + b3), rtol=1e-13)
    large = nn.MLP([300, 500, 1], rng=0)
    assert abs(large.layers[0].weight.data.std() / np.sqrt(2 / 800) - 1) < 0.01
    first, second = (layer.weight.data for layer in nn.MLP([4, 4, 4], rng=0).layers)
    assert not np.array_equal(first, second)                       # one generator, not one seed, for all layers
    again = nn.MLP([4, 3, 2, 1], rng=0)
    assert all(np.array_equal(a.data, b.data) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(("output", "sizes", "last", "loss"), [
    ("binary", [2, 3, 1], scipy.special.expit, nn.BCELoss),
    ("multiclass", [2, 3, 4], lambda z: scipy.special.softmax(z, -1), nn.CategoricalCrossEntropyLoss),
    ("regression", [2, 3, 2], lambda z: z, nn.MSELoss)])
def test_outputs(output, sizes, last, loss):
    model, x = nn.MLP(sizes, "tanh", output, rng=0), np.ones((5, 2))
    assert np.allclose(model(x).data, last(model.logits(x).data), rtol=1e-13)
    assert model(x).name == "yhat"
    assert type(model.loss_fn) is loss


def test_mlp_with_other_activations_and_initialisers():
    x = np.random.default_rng(0).normal(size=(5, 2))
    for g in ("relu", np.tanh, nn.Softplus()):
        model = nn.MLP([2, 3, 1], activation=g, output="regression", init=nn.init.he_normal_, rng=0)
        W1, _, W2, _ = (p.data for p in model.parameters())
        hidden = getattr(F, g)(x @ W1.T) if g == "relu" else g(x @ W1.T)
        assert np.allclose(model(x).data, hidden @ W2.T, rtol=1e-13)
    assert np.array_equal(W1, nn.Linear(2, 3, rng=0, init=nn.init.he_normal_).weight.data)
    assert model.extra_repr().startswith("[2, 3, 1]")


def test_mlp_refuses():
    with pytest.raises(ValueError, match="'sigmoid', 'tanh', 'relu', 'softplus'"):
        nn.MLP([1, 1, 1], activation="sigmoide")
    with pytest.raises(ValueError, match="'binary', 'multiclass', 'regression'"):
        nn.MLP([1, 1, 1], output="binnary")
    with pytest.raises(ValueError, match="at least two sizes"):
        nn.MLP([3])
    with pytest.raises(ValueError, match="always 1"):
        nn.MLP([3, 1], output="multiclass")
