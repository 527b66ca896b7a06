"""Where a function has no derivative one value is chosen, once; and powers at zero, where the formula divides by it."""

import itertools

import numpy as np
import pytest

import autodiff as ad

g1 = lambda f, x: float(ad.grad(f)(x))


def test_relu_at_zero():
    assert g1(ad.relu, 0.0) == 0
    assert g1(ad.relu, -0.0) == 0


def test_absolute_at_zero():
    assert g1(np.abs, 0.0) == 0
    assert g1(abs, -0.0) == 0


@pytest.mark.parametrize("f", [np.maximum, np.minimum])
def test_ties_give_each_side_half(f):
    a, b = ad.grad(lambda a, b: f(a, b), argnums=(0, 1))(1.0, 1.0)
    assert float(a) == float(b) == 0.5
    assert g1(lambda x: f(x, 0.0), 0.0) == 0.5
    assert g1(lambda x: f(x, x), 2.0) == 1
    assert g1(lambda x: f(x, 2), 2.0) == 0.5


@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_of_a_reduction_share_evenly(name):
    x = np.array([[2.0, 2.0, 1.0], [2.0, 1.0, 1.0]])
    x = x if name == "max" else -x
    for f, expected in [
        (lambda t: getattr(t, name)(), [[1 / 3, 1 / 3, 0], [1 / 3, 0, 0]]),
        (lambda t: getattr(t, name)(axis=1).sum(), [[0.5, 0.5, 0], [1, 0, 0]]),
        (lambda t: getattr(np, name)(t, axis=0, keepdims=True).sum(), [[0.5, 1, 0.5], [0.5, 0, 0.5]]),
        (lambda t: getattr(np, name)(t, axis=(0, 1)), [[1 / 3, 1 / 3, 0], [1 / 3, 0, 0]]),
    ]:
        assert np.allclose(ad.grad(f)(x), expected, atol=1e-16)


def test_clip_passes_the_gradient_on_the_closed_interval():
    x = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    assert np.array_equal(ad.grad(lambda x: np.clip(x, -1, 1).sum())(x), [0, 1, 1, 1, 0])
    low, high = ad.grad(lambda x, low, high: np.clip(x, low, high).sum(), argnums=(1, 2))(x, -1.0, 1.0)
    assert (float(low), float(high)) == (1, 1)


@pytest.mark.parametrize(
    "spelling",
    [
        lambda x: np.clip(x, -1, 1),
        lambda x: np.clip(x, a_min=-1, a_max=1),
        lambda x: np.clip(x, min=-1, max=1),
        lambda x: x.clip(-1, 1),
        lambda x: x.clip(min=-1, max=1),
    ],
    ids=["positions", "a_min", "min", "method", "method_names"],
)
def test_every_spelling_of_clip(spelling):
    x = np.array([-2.0, 0.5, 2.0])
    y = spelling(ad.Tensor(x, requires_grad=True))
    assert np.array_equal(y.numpy(), [-1, 0.5, 1])
    assert np.array_equal(ad.grad(lambda t: spelling(t).sum())(x), [0, 1, 0])


@pytest.mark.parametrize("x", [-3.0, 0.0, 2.0, 7.0])
def test_the_gradients_of_clip_add_up_also_when_the_bounds_are_crossed(x):
    """np.clip(x, 5, 3) is 3 for every x: then only the upper bound matters."""
    gs = ad.grad(lambda x, low, high: np.clip(x, low, high), argnums=(0, 1, 2))(x, 5.0, 3.0)
    assert [float(g) for g in gs] == [0, 0, 1]


def test_where_takes_no_gradient_through_the_other_branch():
    """sqrt at 0 in the branch that is not taken: 0 * inf must not appear."""
    x = np.array([0.0, 4.0])
    safe = lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1.0)), 0.0).sum()
    assert np.array_equal(ad.grad(safe)(x), [0, 0.25])


# ---- powers

WHOLE = [0, 1, 2, 3, 4, 5, 8]


@pytest.mark.parametrize(("n", "order"), list(itertools.product(WHOLE, [1, 2, 3, 4])))
def test_whole_powers_to_fourth_order_also_at_zero(n, order):
    """dᵏ(xⁿ) = n (n-1) ... xⁿ⁻ᵏ, which is 0 when k > n, everywhere."""
    x = np.array([0.0, -0.0, 1.5, -2.0])
    t = ad.Tensor(x, requires_grad=True)
    y = (t**n).sum()
    factor = 1.0
    for k in range(order):
        [g] = ad.gradients(y, [t], record=True) if y.requires_grad else [ad.Tensor(np.zeros(4))]
        y = g.sum()
        factor *= n - k
    expected = factor * x ** (n - order) if n >= order else np.zeros(4)
    assert np.allclose(g.numpy(), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("n", [-1, -2, -3, -5])
def test_negative_whole_powers(n):
    x = np.array([0.5, -2.0, 3.0])
    t = ad.Tensor(x, requires_grad=True)
    y = t**n
    assert np.allclose(y.numpy(), x**n, rtol=1e-15)
    [g] = ad.gradients(y.sum(), [t], record=True)
    assert np.allclose(g.numpy(), n * x ** (n - 1), rtol=1e-14)
    [h] = ad.gradients(g.sum(), [t])
    assert np.allclose(h, n * (n - 1) * x ** (n - 2), rtol=1e-14)


@pytest.mark.parametrize("b", [0.0, 1.0, 2.0, 3.0, 2.5, 1.5])
@pytest.mark.parametrize("kind", ["number", "array", "scalar", "tensor", "ufunc"])
def test_powers_of_zero(b, kind):
    """0ᵇ: the derivative by the base is b 0ᵇ⁻¹ and never NaN; by the exponent it is 0."""
    e = {"number": b, "array": np.array([b]), "scalar": np.float64(b), "tensor": ad.Tensor([b]), "ufunc": b}[kind]
    a = ad.Tensor([0.0], requires_grad=True)
    y = np.power(a, e) if kind == "ufunc" else a**e
    assert y.numpy() == 0.0**b
    [g] = ad.gradients(y.sum(), [a])
    assert g == (0 if b == 0 else b * 0.0 ** (b - 1))
    exponent = ad.Tensor([b], requires_grad=True)
    [h] = ad.gradients((np.array([0.0]) ** exponent).sum(), [exponent])
    assert h == 0


@pytest.mark.parametrize(
    "n", [np.int64(3), np.float32(3), True, 3.0, np.array(3), ad.Tensor(3)], ids=lambda n: type(n).__name__
)
def test_kinds_of_exponent(n):
    x = ad.Tensor([2.0, -3.0], requires_grad=True)
    [g] = ad.gradients((x**n).sum(), [x])
    power = float(n)
    assert np.allclose(g, power * np.array([2.0, -3.0]) ** (power - 1), rtol=1e-14)


def test_integer_bases():
    x = ad.Tensor(np.array([1, 2, 3]))
    assert (x**2).dtype == (np.array([1, 2, 3]) ** 2).dtype
    e = ad.Tensor(2.0, requires_grad=True)
    [g] = ad.gradients((np.array([1, 2, 3]) ** e).sum(), [e])
    assert np.allclose(g, np.sum(np.array([1, 2, 3]) ** 2 * np.log([1, 2, 3])))
    [g] = ad.gradients((2**e), [e])
    assert np.allclose(g, 4 * np.log(2))


@pytest.mark.parametrize("b", [0.0, 1.0, 2.0])
def test_mixed_second_derivative_of_a_power(b):
    """∂²(aᵇ)/∂a∂b = aᵇ⁻¹ (1 + b log a), also at whole exponents."""
    found = ad.grad(lambda b: ad.grad(lambda a, b: a**b)(2.0, b))(b)
    assert float(found) == pytest.approx(2.0 ** (b - 1) * (1 + b * np.log(2.0)), rel=1e-14)
    found = ad.grad(lambda a: ad.grad(lambda a, b: a**b, argnums=1)(a, b))(2.0)
    assert float(found) == pytest.approx(2.0 ** (b - 1) * (1 + b * np.log(2.0)), rel=1e-14)


def test_whole_powers_cost_products_and_agree_with_numpy():
    x = np.random.default_rng(0).normal(size=100)
    for n in range(-6, 13):
        assert np.allclose((ad.Tensor(x) ** n).numpy(), x**n, rtol=1e-14)


def test_integer_power_returns_its_own_memory():
    """x**1 is a value of its own: writing to a leaf afterwards leaves it alone."""
    x = ad.Tensor([1.0, 2.0], requires_grad=True)
    y = x**1
    assert not np.shares_memory(y.numpy(), x.numpy())


# ---- NaN


def test_a_nan_spoils_only_what_it_touches():
    x = np.array([1.0, np.nan, 3.0])
    for f in (
        np.exp,
        np.tanh,
        ad.sigmoid,
        ad.softplus,
        ad.relu,
        np.abs,
        lambda x: np.maximum(x, 2.0),
        lambda x: np.clip(x, 0.0, 2.0),
        lambda x: x * x,
    ):
        g = ad.grad(lambda x, f=f: f(x).sum())(x)
        assert np.all(np.isfinite(g[[0, 2]]))


def test_the_maximum_of_a_nan_does_not_warn():
    assert ad.grad(np.max)(np.array([1.0, np.nan])).shape == (2,)
