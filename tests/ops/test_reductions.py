"""Reductions and running sums: zeros, ties, NaNs, nothing at all; norms at 0; what NumPy accepts and what not."""

import numpy as np
import pytest

import autodiff as ad

rng = np.random.default_rng(3)


def by_hand(x):
    """Gradient and Hessian of the product of all."""
    n = x.size
    others = lambda *out: np.prod([v for i, v in enumerate(x.ravel()) if i not in out])
    g = np.array([others(i) for i in range(n)])
    h = np.array([[0.0 if i == j else others(i, j) for j in range(n)] for i in range(n)])
    return g.reshape(x.shape), h.reshape(x.shape * 2)


@pytest.mark.parametrize("zeros", [[], [1], [0, 3], [0, 1, 2, 3, 4, 5]], ids=str)
def test_products_with_zeros_to_second_order(zeros):
    x = rng.normal(size=6)
    x[zeros] = 0
    x = x.reshape(2, 3)
    g, h = by_hand(x)
    assert np.allclose(ad.grad(np.prod)(x), g, rtol=1e-14, atol=1e-16)
    assert np.allclose(ad.hessian(np.prod)(x), h, rtol=1e-14, atol=1e-16)
    assert np.allclose(ad.hessian(lambda x: np.cumprod(x)[-1])(x), h, rtol=1e-14, atol=1e-16)
    assert np.allclose(ad.hessian(lambda x: np.prod(np.prod(x, axis=0)))(x), h, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 9, 33])
def test_running_products_of_every_length(n):
    x = rng.normal(size=n)
    x[n // 2] = 0
    w = rng.normal(size=n)
    expected = [sum(w[k] * np.prod(np.delete(x[:k + 1], i)) for k in range(i, n)) for i in range(n)]
    assert np.allclose(ad.grad(lambda x: (np.cumprod(x) * w).sum())(x), expected, rtol=1e-13, atol=1e-15)


def test_products_of_large_and_small_numbers():
    """No division, no logarithm: what NumPy's product can do, the gradient can."""
    x = np.array([1e-200, 1e200, 1e-200, 1e200])
    assert np.allclose(ad.grad(np.prod)(x) * x, 1, rtol=1e-14)


@pytest.mark.parametrize("name", ["prod", "var", "std", "median", "nanmax", "nanmin", "ptp", "nansum", "nanmean"])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_reductions_of_scalars(name, axis):
    for value in (2.0, np.float32(2.0), np.array(2.0)):
        x = ad.Tensor(value, requires_grad=True)
        if axis is not None and name in ("median", "var", "std"):            # NumPy refuses these
            continue
        y = getattr(np, name)(x, axis=axis)
        assert np.array_equal(y.numpy(), getattr(np, name)(np.array(value), axis=axis))
        y.backward()
        assert x.grad == (0 if name in ("var", "std", "ptp") else 1)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("axis", [None, 0])
def test_running_reductions_of_scalars(name, axis):
    x = ad.Tensor(2.0, requires_grad=True)
    y = getattr(np, name)(x, axis=axis)
    assert np.array_equal(y.numpy(), [2.0])
    y.sum().backward()
    assert x.grad.shape == ()
    assert x.grad == 1


@pytest.mark.parametrize("name", ["prod", "nansum", "cumsum", "cumprod"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_of_nothing(name, axis):
    x = ad.Tensor(np.zeros((0, 3)), requires_grad=True)
    y = getattr(np, name)(x, axis=axis)
    assert np.array_equal(y.numpy(), getattr(np, name)(np.zeros((0, 3)), axis=axis))
    y.sum().backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("name", ["prod", "var", "std", "median", "nanmax", "ptp", "nanmean", "norm", "diff"])
def test_over_an_axis_beside_an_empty_one(name):
    x = ad.Tensor(np.zeros((0, 3)), requires_grad=True)
    y = (np.linalg.norm if name == "norm" else getattr(np, name))(x, axis=1)
    assert y.shape == ((0, 2) if name == "diff" else (0,))
    y.sum().backward()
    assert x.grad.shape == (0, 3)


def test_degrees_of_freedom():
    x = np.array([1.0, 2.0, 4.0])
    for ddof in (0, 1, 1.5):
        for f in (np.var, np.std):
            assert float(f(ad.Tensor(x), ddof=ddof)) == f(x, ddof=ddof)
    with pytest.warns(RuntimeWarning):
        np.var(ad.Tensor([1.0], requires_grad=True), ddof=1)


def test_a_standard_deviation_of_zero_has_gradient_zero():
    assert np.array_equal(ad.grad(np.std)(np.full(4, 2.0)), np.zeros(4))
    assert np.array_equal(ad.grad(lambda x: np.std(x, axis=0).sum())(np.full((3, 2), 5.0)), np.zeros((3, 2)))


# ---- ties and NaNs

def test_medians_share_ties():
    g = ad.grad(np.median)
    assert np.array_equal(g(np.array([3.0, 1.0, 2.0])), [0, 0, 1])
    assert np.array_equal(g(np.array([4.0, 1.0, 2.0, 3.0])), [0, 0, 0.5, 0.5])
    assert np.array_equal(g(np.array([2.0, 1.0, 2.0, 3.0])), [0.5, 0, 0.5, 0])
    assert np.allclose(g(np.array([1.0, 1.0, 1.0, 2.0])), [1 / 3, 1 / 3, 1 / 3, 0])
    assert np.allclose(g(np.array([1.0, 2.0, 2.0, 5.0, 7.0])), [0, 0.5, 0.5, 0, 0])
    x = rng.normal(size=(2, 3, 4))
    for axis in (None, 1, (0, 2), (-1, 1)):
        for keepdims in (False, True):
            t = ad.Tensor(x, requires_grad=True)
            y = np.median(t, axis=axis, keepdims=keepdims)
            assert np.array_equal(y.numpy(), np.median(x, axis=axis, keepdims=keepdims))
            [g2] = ad.gradients(y.sum(), [t])
            assert g2.sum() == pytest.approx(y.size)


def test_a_nan_is_left_out_or_spoils():
    x = np.array([[1.0, np.nan, 3.0], [3.0, 2.0, 3.0]])
    for f, expected in [
        (np.nansum, [[1, 0, 1], [1, 1, 1]]),
        (np.nanmean, np.array([[1, 0, 1], [1, 1, 1]]) / 5),
        (np.nanmax, np.array([[0, 0, 1], [1, 0, 1]]) / 3),
        (np.nanmin, [[1, 0, 0], [0, 0, 0]]),
    ]:
        assert float(f(ad.Tensor(x))) == f(x)
        assert np.allclose(ad.grad(f)(x), expected, atol=1e-16)
        y = f(ad.Tensor(x, requires_grad=True), axis=0, keepdims=True)
        assert np.array_equal(y.numpy(), f(x, axis=0, keepdims=True))
    assert np.allclose(ad.grad(np.median)(x), [[0, 1, 0], [0, 0, 0]])
    with pytest.warns(RuntimeWarning, match="All-NaN"):
        np.nanmax(ad.Tensor([np.nan, np.nan], requires_grad=True))


def test_range_with_ties():
    x = np.array([1.0, 3.0, 3.0, 1.0])
    assert np.array_equal(ad.grad(np.ptp)(x), [-0.5, 0.5, 0.5, -0.5])


# ---- norms

@pytest.mark.parametrize("ord", [None, 1, 2, 3, 1.5, np.inf, -np.inf])
def test_norms_at_zero_have_finite_gradients(ord):
    g = ad.grad(lambda x: np.linalg.norm(x, ord))(np.zeros(3))
    assert np.all(np.isfinite(g))
    if ord in (None, 1, 2, 3):
        assert np.array_equal(g, np.zeros(3))
    g = ad.grad(lambda x: np.linalg.norm(x, axis=1).sum())(np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert np.allclose(g, [[0.6, 0.8], [0, 0]])


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("ord", "axis"), [
    (None, None), (None, 1), (None, (0, 2)), (None, (2,)), ("fro", (1, 2)), (1, (2, 0)),
    (np.inf, (0, -1)), (-1, (-1, 0)),
    (-np.inf, (1, 0)), (1, 0), (2, 2), (3, -1), (0, 1), (-2, 1), (0.5, 0), (np.inf, 1), (-np.inf, -1)], ids=str)
def test_norms_are_numpys(ord, axis, keepdims):
    x = rng.normal(size=(2, 3, 4))
    t = ad.Tensor(x, requires_grad=True)
    y = np.linalg.norm(t, ord, axis, keepdims)
    expected = np.linalg.norm(x, ord, axis, keepdims)
    assert y.shape == expected.shape
    assert np.allclose(y.numpy(), expected, rtol=1e-15)
    ad.gradcheck(lambda x: np.linalg.norm(x, ord=ord, axis=axis, keepdims=keepdims) * 1.0, x)


def test_norms_refused_as_numpy_refuses_them():
    m, v = ad.Tensor(np.eye(2), requires_grad=True), ad.Tensor([1.0, 2.0], requires_grad=True)
    for ord in (2, -2, "nuc"):
        with pytest.raises(ad.NoRuleError, match="singular values"):
            np.linalg.norm(m, ord)
    with pytest.raises(ValueError, match="norm order"):
        np.linalg.norm(v, "fro")
    with pytest.raises(ValueError, match="norm order"):
        np.linalg.norm(m, 3)
    with pytest.raises(ValueError, match="Duplicate"):
        np.linalg.norm(m, 1, (0, 0))
    with pytest.raises(ValueError, match="dimensions"):
        np.linalg.norm(ad.Tensor(np.ones((2, 2, 2))), 1)


# ---- NumPy's signatures

@pytest.mark.parametrize("call", [
    lambda t: np.prod(t, dtype=np.float32),
    lambda t: np.prod(t, where=t > 0),
    lambda t: np.var(t, out=np.zeros(())),
    lambda t: np.std(t, correction=1),
    lambda t: np.cumsum(t, out=np.zeros(3)),
    lambda t: np.nansum(t, out=np.zeros(())),
    lambda t: np.nanmean(t, where=t > 0),
    lambda t: np.ptp(t, out=np.zeros(())),
    lambda t: np.median(t, overwrite_input=True),
    lambda t: np.argmax(t, out=np.zeros((), int)),
    lambda t: np.any(t, where=[True, False, True]),
    lambda t: np.round(t, out=np.zeros(3)),
    lambda t: t.prod(dtype=np.float32),
    lambda t: t.var(out=np.zeros(())),
], ids=range(14))
def test_what_is_refused_is_named(call):
    with pytest.raises(ad.OperandError, match=r"dtype=|where=|out=|correction=|overwrite_input="):
        call(ad.Tensor([1.0, 2.0, 3.0], requires_grad=True))


def test_methods_take_what_numpys_take():
    x = rng.normal(size=(2, 3))
    t = ad.Tensor(x, requires_grad=True)
    for call in (
        lambda a: a.prod(), lambda a: a.prod(0), lambda a: a.prod(axis=1, keepdims=True),
        lambda a: a.var(1, ddof=1), lambda a: a.std(axis=(0, 1), keepdims=True), lambda a: a.argmax(),
        lambda a: a.argmin(1),
        lambda a: a.cumsum(), lambda a: a.cumsum(1), lambda a: a.cumprod(axis=0), lambda a: (a > 0).any(),
        lambda a: (a > 0).all(axis=1), lambda a: a.round(), lambda a: a.round(2), lambda a: a.round(decimals=1),
        lambda a: a.nonzero()[1],
    ):
        y = call(t)
        assert isinstance(y, ad.Tensor)
        assert np.array_equal(y.numpy(), call(x))
        assert y.dtype == call(x).dtype
    assert [np.array_equal(a.numpy(), b) for a, b in zip(np.nonzero(t > 0), np.nonzero(x > 0))] == [True, True]
    with pytest.raises(ValueError, match="axis|out of bounds"):
        t.prod(axis=2)


@pytest.mark.parametrize("call", [
    lambda x: np.average(x), lambda x: np.average(x, axis=1), lambda x: np.average(x, 0, [1.0, 3.0]),
    lambda x: np.average(x, weights=np.arange(6.0).reshape(2, 3) + 1), lambda x: np.average(x, axis=(0, 1)),
    lambda x: np.average(x, axis=(1, 0), weights=np.arange(6.0).reshape(3, 2) + 1, keepdims=True),
    lambda x: np.average(x, axis=1, weights=[1, 2, 3], returned=True)[1],
    lambda x: np.average(x, returned=True)[1] + 0 * x,
    lambda x: np.diff(x), lambda x: np.diff(x, n=2), lambda x: np.diff(x, 1, 0), lambda x: np.diff(x, prepend=0.0),
    lambda x: np.diff(x, axis=0, append=[[1.0, 2.0, 3.0]]), lambda x: np.diff(x > 0), lambda x: np.diff(x, 5),
    lambda x: np.ptp(x), lambda x: np.ptp(x, 0), lambda x: np.ptp(x, axis=1, keepdims=True),
], ids=range(18))
def test_composites_are_numpys(call):
    x = rng.normal(size=(2, 3))
    y, expected = call(ad.Tensor(x, requires_grad=True)), call(x)
    assert np.array_equal(y.numpy() if isinstance(y, ad.Tensor) else y, expected)
    assert np.shape(y) == np.shape(expected)


def test_composites_refuse_what_numpy_refuses():
    t = ad.Tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises(TypeError, match="Axis must be specified"):
        np.average(t, weights=[1.0, 2.0])
    with pytest.raises(ValueError, match="Shape of weights"):
        np.average(t, axis=1, weights=[1.0, 2.0])
    with pytest.raises(ValueError, match="non-negative"):
        np.diff(t, -1)
    with pytest.raises(ValueError, match="at least one dimensional"):
        np.diff(t.sum())
    assert np.diff(t, 0) is t


def test_running_sums_are_linear_in_forward_mode():
    x, v = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    _, tangent = ad.jvp(lambda x: np.cumsum(x, axis=1), (x,), (v,))
    assert np.array_equal(tangent, np.cumsum(v, axis=1))


def test_a_long_running_product_takes_log_n_steps():
    x = rng.uniform(0.9, 1.1, 20000)
    t = ad.Tensor(x, requires_grad=True)
    y = np.cumprod(t)
    [g] = ad.gradients(y.sum(), [t])
    assert np.allclose(g * x, np.cumsum(y.numpy()[::-1])[::-1], rtol=1e-10)


def test_a_constant_beside_a_tangent_may_be_infinite():
    """Forward mode gives a number beside a variable the tangent 0: also where 0 times the number is none."""
    x = np.array([1.0, -1.0])
    for number in (np.nan, np.inf):
        _, tangent = ad.jvp(lambda x, n=number: np.where(x > 0, x, n), (x,), (x,))
        assert np.array_equal(tangent, [1, 0])
