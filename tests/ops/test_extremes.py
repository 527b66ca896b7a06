"""Very large, very small, infinite: finite wherever mathematics says finite, and no warning from our code."""

import decimal

import numpy as np
import pytest

import autodiff as ad

INF = np.inf
TINY = float(np.nextafter(0, 1))  # the smallest subnormal
POINTS = [
    -INF,
    -1e300,
    -750.0,
    -709.0,
    -700.0,
    -40.0,
    -1.0,
    -1e-300,
    -TINY,
    -0.0,
    0.0,
    TINY,
    1e-300,
    1e-8,
    1.0,
    40.0,
    700.0,
    709.0,
    750.0,
    1e300,
    INF,
]
FINITE = [x for x in POINTS if np.isfinite(x)]


def exactly(f, x):
    """f in decimal arithmetic of 50 digits, back as a float; huge arguments count as 5000."""
    with decimal.localcontext(decimal.Context(prec=400 if abs(x) > 30 else 60)):
        return float(f(decimal.Decimal(max(min(x, 5000.0), -5000.0))))


def derivatives(f, x):
    """Value, first and second derivative, forward tangent."""
    t = ad.Tensor(x, requires_grad=True)
    y = f(t)
    [first] = ad.gradients(y, [t], record=True)
    [second] = ad.gradients(first, [t]) if first.requires_grad else [np.array(0.0)]
    _, tangent = ad.jvp(f, (x,), (1.0,))
    assert np.array_equal(tangent, first.data, equal_nan=True)
    return y.item(), first.item(), float(second)


def both(f):
    """On a scalar and within an array: NumPy takes different ways."""

    def on(x):
        alone = derivatives(f, x)
        t = ad.Tensor(np.full(9, x), requires_grad=True)
        y = f(t)
        [g] = ad.gradients(y.sum(), [t])
        assert np.allclose(y.numpy(), alone[0], rtol=1e-15, atol=0)
        assert np.allclose(g, alone[1], rtol=1e-15, atol=0)
        return alone

    return on


def near(found, expected, rtol=1e-15, atol=1e-320):
    assert np.isfinite(found) == np.isfinite(expected)
    assert found == expected or abs(found - expected) <= rtol * abs(expected) + atol, f"{found} is not {expected}"


@pytest.mark.parametrize("x", POINTS)
def test_sigmoid(x):
    y, d, dd = both(ad.sigmoid)(x)
    expected = exactly(lambda x: 1 / (1 + (-x).exp()), x)
    near(y, expected, 4e-16, 1e-307)
    assert 0 <= d <= 0.25
    assert np.isfinite(dd)
    near(d, exactly(lambda x: 1 / (1 + (-x).exp()) * (1 - 1 / (1 + (-x).exp())), x), 1e-15, 2e-16)


@pytest.mark.parametrize("x", POINTS)
def test_softplus(x):
    y, d, dd = both(ad.softplus)(x)
    expected = {INF: INF, 1e300: 1e300}.get(x, exactly(lambda x: (1 + x.exp()).ln(), x))
    near(y, expected, 4e-16, 1e-307)
    near(d, exactly(lambda x: 1 / (1 + (-x).exp()), x), 4e-16, 1e-307)
    assert np.isfinite(dd)


@pytest.mark.parametrize("x", POINTS)
def test_tanh(x):
    y, d, dd = both(np.tanh)(x)
    assert y == np.tanh(x)
    assert 0 <= d <= 1
    assert np.isfinite(dd)


@pytest.mark.parametrize("x", POINTS)
@pytest.mark.parametrize(
    "f",
    [
        ad.relu,
        np.absolute,
        np.negative,
        np.sign,
        np.floor,
        lambda x: np.maximum(x, 1.0),
        lambda x: np.minimum(x, 1.0),
        lambda x: np.clip(x, -1.0, 1.0),
        lambda x: np.where(x > 0, x, -x),
    ],
    ids=["relu", "absolute", "negative", "sign", "floor", "maximum", "minimum", "clip", "where"],
)
def test_what_is_linear_in_pieces(f, x):
    t = ad.Tensor(x, requires_grad=True)
    y = f(t)
    assert y.numpy() == f(np.float64(x))
    if y.requires_grad:
        [g] = ad.gradients(y, [t])
        assert g in (-1, 0, 0.5, 1)


PAIRS = [
    (a, b)
    for a in (-INF, -1e300, -700.0, 0.0, 700.0, 1e300)
    for b in (-1e300, -700.0, 0.0, TINY, 700.0, 1e300)
    if not (a == b and abs(a) == 1e300)
]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_softmax_family(a, b):
    """With at least one finite maximum all of it is finite, but for the logarithm of a true zero."""
    x = np.array([a, b])
    t = ad.Tensor(x, requires_grad=True)
    with np.errstate(over="ignore"):
        d = x - max(a, b)
    probabilities = np.exp(d) / np.sum(np.exp(d))
    for f in (ad.softmax, lambda t: ad.softmax(t, axis=0)):
        y = f(t)
        assert np.allclose(y.numpy(), probabilities, rtol=1e-15, atol=0)
        [g] = ad.gradients(y[0], [t], record=True)
        assert np.allclose(g.numpy(), probabilities[0] * (np.array([1, 0]) - probabilities), rtol=1e-14, atol=1e-300)
        [h] = ad.gradients(g.sum(), [t])
        assert np.all(np.isfinite(h))
    y = ad.logsumexp(t)
    assert np.isfinite(y.item())
    assert y.item() == pytest.approx(max(a, b) + np.log(np.sum(np.exp(d))), rel=1e-15)
    [g] = ad.gradients(y, [t], record=True)
    assert np.allclose(g.numpy(), probabilities, rtol=1e-12, atol=1e-300)
    [h] = ad.gradients(g[0], [t])
    assert np.all(np.isfinite(h))
    y = ad.log_softmax(t)
    assert np.array_equal(np.isfinite(y.numpy()), np.isfinite(d))
    [g] = ad.gradients(y[1], [t], record=True)
    assert np.allclose(g.numpy(), np.array([0, 1]) - probabilities, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("c", [0.0, 2.0**20, -(2.0**20), 2.0**40, -(2.0**40)])
def test_a_common_shift_of_the_logits_changes_nothing(c):
    """Softmax, its logarithm, the cross entropies and all their gradients depend on differences alone."""
    x = np.array([0.0, 1.0, 3.0])
    targets = np.array([0.2, 0.3, 0.5])
    for f in (
        lambda t: ad.softmax(t)[1],
        lambda t: ad.log_softmax(t)[1],
        lambda t: ad.logsumexp(t) - c,
        lambda t: ad.cross_entropy_of_labels(t, 0),
        lambda t: ad.cross_entropy_of_probabilities(t, targets),
    ):
        near, far = ad.value_and_grad(f)(x), ad.value_and_grad(f)(x + c)
        assert np.allclose(far[1], near[1], rtol=1e-13, atol=1e-15)
    for f in (ad.softmax, ad.log_softmax, lambda t: ad.cross_entropy_of_labels(t, 0)):
        assert np.allclose(f(x + c), f(x), rtol=1e-13, atol=0)


def test_softmax_over_many_equal_and_tiny():
    for value in (-1e300, -700.0, TINY, 1e300):
        t = ad.Tensor(np.full(1000, value), requires_grad=True)
        assert np.allclose(ad.softmax(t).numpy(), 1e-3, rtol=1e-13)
        assert ad.logsumexp(t).item() == pytest.approx(value + np.log(1000), rel=1e-14)


def test_log_of_nothing_and_of_too_much():
    """-inf everywhere: log 0; +inf anywhere: inf. Both without a warning; a gradient there does not exist."""
    assert ad.logsumexp(np.array([-INF, -INF])) == -INF
    assert ad.logsumexp(np.array([INF, 0.0])) == INF
    assert ad.logsumexp(ad.Tensor([-INF, -INF], requires_grad=True)).item() == -INF


@pytest.mark.parametrize("t", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("z", FINITE)
def test_bce_with_logits(z, t):
    y, d, dd = both(lambda z: ad.binary_cross_entropy_with_logits(z, t))(z)
    expected = {1e300: 1e300 * (1 - t), -1e300: 1e300 * t}.get(z)
    if expected is None:
        expected = exactly(lambda z: (1 + z.exp()).ln() - decimal.Decimal(t) * z, z)
    near(y, expected, 1e-15, 1e-13)
    near(d, exactly(lambda z: 1 / (1 + (-z).exp()), z) - t, 1e-15, 2e-16)
    assert np.isfinite(dd)


@pytest.mark.parametrize(("z", "t"), [(40.0, 1.0), (100.0, 1.0), (700.0, 1.0), (-40.0, 0.0), (-700.0, 0.0)])
def test_bce_with_logits_of_a_good_prediction_is_small_not_zero(z, t):
    """The loss of a confident, right prediction is e^-|z|: to full precision, from both sides."""
    y = ad.binary_cross_entropy_with_logits(ad.Tensor(z, requires_grad=True), t)
    near(y.item(), float(np.log1p(np.exp(-abs(z)))), 1e-14)


@pytest.mark.parametrize("t", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("p", [0.0, TINY, 1e-300, 1e-20, 0.5, 1 - 1e-16, 1.0])
def test_bce_on_probabilities(p, t):
    """Certain predictions: the loss is clamped at 100, its gradients finite, for predictions and for targets."""
    q, s = ad.Tensor(p, requires_grad=True), ad.Tensor(t, requires_grad=True)
    y = ad.binary_cross_entropy(q, s)
    assert 0 <= y.item() <= 100
    dp, dt = ad.gradients(y, [q, s])
    assert np.isfinite(dp)
    assert np.isfinite(dt)
    assert abs(dt) <= 100  # the difference of two logarithms that count at least -100
    if 0.1 < p < 0.9:
        near(dp, (p - t) / (p * (1 - p)), 1e-14)


@pytest.mark.parametrize(
    "z", [[-INF, 0.0, 1.0], [-1e300, 0.0, 700.0], [-700.0, 700.0, 700.0], [1e300, -1e300, 0.0]], ids=str
)
def test_cross_entropies(z):
    z = np.array(z)
    for label in (1, 2):
        t = ad.Tensor(z, requires_grad=True)
        y = ad.cross_entropy_of_labels(t, label)
        with np.errstate(over="ignore"):
            d = z - z.max()
        assert y.item() == pytest.approx(np.log(np.sum(np.exp(d))) - d[label], rel=1e-14)
        [g] = ad.gradients(y, [t])
        expected = np.exp(d) / np.sum(np.exp(d)) - (np.arange(3) == label)
        assert np.allclose(g, expected, atol=1e-15)
        targets = (np.arange(3) == label).astype(float)
        y2 = ad.cross_entropy_of_probabilities(t, targets)
        assert y2.item() == pytest.approx(y.item(), rel=1e-14)  # 0 log 0 is 0 here, as in every text on entropy
        [g2] = ad.gradients(y2, [t])
        assert np.allclose(g2, expected, atol=1e-15)


def test_confident_and_right_cross_entropy_of_thirty_seven():
    z = ad.Tensor([40.0, 0.0], requires_grad=True)
    y = ad.cross_entropy_of_labels(z, 0)
    [g] = ad.gradients(y, [z])
    near(g[1], np.exp(-40.0), 1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "f",
    [
        ad.sigmoid,
        ad.softplus,
        np.tanh,
        ad.relu,
        ad.softmax,
        ad.log_softmax,
        ad.logsumexp,
        lambda z: ad.binary_cross_entropy_with_logits(z, dtype_one(z)),
    ],
    ids=["sigmoid", "softplus", "tanh", "relu", "softmax", "log_softmax", "logsumexp", "bce_logits"],
)
def test_float32_overflows_no_sooner(f, dtype):
    x = np.array([-1e30, -200.0, -88.8, -1e-40, 0.0, 1e-40, 88.8, 200.0, 1e30], dtype=dtype)
    t = ad.Tensor(x, requires_grad=True)
    y = f(t)
    assert y.dtype == dtype
    [g] = ad.gradients(y.sum(), [t])
    assert g.dtype == dtype
    assert np.all(np.isfinite(g))
    assert np.all(np.isfinite(y.numpy()))


def dtype_one(z):
    return np.ones(np.shape(z), dtype=z.dtype)


def test_dividing_by_very_small_numbers_does_not_overflow_on_the_way():
    """∂(a/b)/∂b = -(a/b)/b and ∂log = g / x, without a square or an inverse in between."""
    a, b = ad.Tensor(1e-200, requires_grad=True), ad.Tensor(1e-100, requires_grad=True)
    da, db = ad.gradients(a / b, [a, b])
    near(da, 1e100)
    near(db, -1.0, 1e-14)
    x = ad.Tensor(1e-310, requires_grad=True)
    [g] = ad.gradients(np.log(x) * 1e-300, [x])
    near(g, 1e-300 / 1e-310, 1e-13)


def test_warnings_are_numpys_own_where_the_function_itself_warns():
    """exp(1000) or log(0) warns as NumPy does: hiding it is not ours to decide."""
    for f, x in [(np.exp, 1000.0), (np.log, 0.0)]:
        with pytest.warns(RuntimeWarning, match="encountered in"):
            f(ad.Tensor(x, requires_grad=True))
