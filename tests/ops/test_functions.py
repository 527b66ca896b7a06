"""Elementary functions at their extremes and kinks: what would overflow, vanish or divide by zero on the way."""

import numpy as np
import pytest

import autodiff as ad

INF = np.inf
TINY = float(np.nextafter(0, 1))


def derivatives(f, *xs):
    """The value and the gradients by each argument."""
    ts = [ad.Tensor(x, requires_grad=True) for x in xs]
    y = f(*ts)
    return (y.item(), *(float(g) for g in ad.gradients(y, ts)))


# function, x, derivative
FAR = [
    (np.arctan, 1e300, 0.0), (np.arctan, -1e150, 1e-300), (np.arctan, TINY, 1.0), (np.arctan, INF, 0.0),
    (np.arcsinh, 1e300, 1e-300), (np.arcsinh, -1e200, 1e-200), (np.arcsinh, 1e-300, 1.0),
    (np.arccosh, 1e300, 1e-300), (np.arccosh, 1e200, 1e-200),
    (np.arctanh, 1e-300, 1.0), (np.arcsin, TINY, 1.0), (np.arccos, TINY, -1.0),
    (np.expm1, -800.0, 0.0), (np.expm1, -INF, 0.0), (np.expm1, -40.0, np.exp(-40.0)), (np.expm1, 1e-300, 1.0),
    (np.exp2, -2000.0, 0.0), (np.exp2, 1000.0, np.log(2) * 2.0**1000),
    (np.log2, 1e-300, 1e300 / np.log(2)), (np.log10, 1e300, 1e-300 / np.log(10)), (np.log1p, 1e300, 1e-300),
    (np.cbrt, 1e-300, 1e200 / 3), (np.cbrt, -1e300, 1e-200 / 3), (np.reciprocal, 1e150, -1e-300),
    (np.sinh, -700.0, np.cosh(700.0)), (np.cosh, -700.0, -np.sinh(700.0)), (np.tan, 1e-300, 1.0),
    (np.sinc, 1e300, (np.cos(np.pi * 1e300) - np.sinc(1e300)) / 1e300), (np.fabs, -1e300, -1.0),
    (np.radians, 1e300, np.pi / 180), (np.degrees, 1e-300, 180 / np.pi),
]


@pytest.mark.parametrize(("f", "x", "slope"), FAR, ids=lambda v: getattr(v, "__name__", str(v)))
def test_far_out_and_close_in(f, x, slope):
    y, d = derivatives(f, x)
    assert y == f(x)
    assert d == pytest.approx(slope, rel=1e-14, abs=1e-320)


@pytest.mark.parametrize("size", [1e300, 1e200, 1.0, 1e-200, 1e-300])
def test_lengths_and_angles_of_every_size(size):
    for a, b in [(3.0, 4.0), (-4.0, 3.0), (0.0, -2.0), (5.0, 0.0)]:
        y, da, db = derivatives(np.hypot, a * size, b * size)
        assert y == np.hypot(a * size, b * size)
        assert (da, db) == pytest.approx((a / np.hypot(a, b), b / np.hypot(a, b)), rel=1e-15)
        y, da, db = derivatives(lambda a, b: np.arctan2(a, b) * size, a * size, b * size)
        square = a * a + b * b
        assert (da, db) == pytest.approx((b / square, -a / square), rel=1e-14)


def test_the_origin():
    for f in (np.hypot, np.arctan2):
        assert derivatives(f, 0.0, 0.0) == (0, 0, 0)
        h = ad.hessian(lambda v, f=f: f(v[0], v[1]))(np.zeros(2))
        assert np.all(np.isfinite(h))


@pytest.mark.parametrize(("a", "b"), [(1e300, -1e300), (-700.0, 700.0), (0.0, 0.0), (-INF, 3.0), (750.0, 749.0),
                                       (-1e300, -1e299)])
def test_logaddexp(a, b):
    y, da, db = derivatives(np.logaddexp, a, b)
    assert y == np.logaddexp(a, b)
    assert da == pytest.approx(1 / (1 + np.exp(min(b - a, 700))), rel=1e-14, abs=1e-300)
    assert da + db == pytest.approx(1, rel=1e-15)
    y, da, db = derivatives(np.logaddexp2, a, b)
    assert y == np.logaddexp2(a, b)
    assert da == pytest.approx(1 / (1 + 2.0 ** min(b - a, 1000)), rel=1e-13, abs=1e-300)
    assert da + db == pytest.approx(1, rel=1e-15)


def sinc_at(x, order):
    t = ad.Tensor(x, requires_grad=True)
    y = np.sinc(t)
    for _ in range(order):
        [y] = ad.gradients(y, [t], record=True)
    return y.item()


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_sinc_near_zero_to_fifth_order(order):
    """dⁿ sinc / dxⁿ = ∫ (πt)ⁿ cos(πxt + nπ/2) dt over [0, 1]: by Gauss's rule, which nothing cancels in."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    nodes, weights = (nodes + 1) / 2, weights / 2
    for x in [0.0, TINY, 1e-300, 1e-9, -1e-4, 0.3, -0.999, 1.0, -1.001, 2.5, 7.0]:
        expected = np.sum(weights * (np.pi * nodes) ** order * np.cos(np.pi * x * nodes + order * np.pi / 2))
        assert sinc_at(x, order) == pytest.approx(expected, rel=1e-12, abs=1e-13 * np.pi**order)
    ad.gradcheck(np.sinc, np.array([0.0, 1e-9, -1e-3, 0.5, 3.0]))
    assert sinc_at(1e-9, 1) == pytest.approx(-np.pi**2 / 3 * 1e-9, rel=1e-14)


def test_remainders():
    """a - n b: the derivative by b is -n, whichever way n is rounded."""
    for a, b in [(7.5, 2.0), (-7.5, 2.0), (7.5, -2.0), (0.3, 0.1), (1e300, 3.0), (0.5, 1e300)]:
        y, da, db = derivatives(lambda a, b: a % b, a, b)
        assert (y, da, db) == (np.remainder(a, b), 1, -np.floor_divide(a, b))
        y, da, db = derivatives(np.fmod, a, b)
        assert (y, da) == (np.fmod(a, b), 1)
        assert db == pytest.approx(-np.rint((a - y) / b), rel=1e-15)
    t = ad.Tensor([5.5, -5.5], requires_grad=True)
    assert np.array_equal((7.0 % t).numpy(), 7.0 % t.numpy())
    assert np.array_equal((7.0 // t).numpy(), 7.0 // t.numpy())
    u = t * 1.0
    u %= 2.0
    assert np.array_equal(u.numpy(), [1.5, 0.5])


def test_fmax_and_fmin_ignore_a_nan():
    for f in (np.fmax, np.fmin):
        assert derivatives(f, 1.0, np.nan) == (1, 1, 0)
        assert derivatives(f, np.nan, 1.0) == (1, 0, 1)
        assert derivatives(f, 1.0, 1.0) == (1, 0.5, 0.5)


def test_copysign_heaviside_and_nan_to_num():
    assert derivatives(np.copysign, -2.0, 3.0) == (2, -1, 0)
    assert derivatives(np.copysign, -2.0, -0.0) == (-2, 1, 0)
    assert derivatives(np.copysign, 0.0, 1.0) == (0, 0, 0)
    assert derivatives(np.heaviside, 0.0, 0.5) == (0.5, 0, 1)
    assert derivatives(np.heaviside, 2.0, 0.5) == (1, 0, 0)
    x = np.array([np.nan, INF, -INF, 1.5])
    for options in ({}, {"nan": 2.0, "posinf": 3.0}, {"copy": True}):
        t = ad.Tensor(x, requires_grad=True)
        y = np.nan_to_num(t, **options)
        assert np.array_equal(y.numpy(), np.nan_to_num(x, **options))
        assert np.array_equal(ad.gradients(y.sum(), [t])[0], [0, 0, 0, 1])
    with pytest.raises(ad.OperandError, match="copy"):
        np.nan_to_num(t, copy=False)


def test_float_power_is_always_wide():
    t = ad.Tensor(np.array([2.0, 3.0], np.float32), requires_grad=True)
    y = np.float_power(t, 2)
    assert y.dtype == np.float64
    [g] = ad.gradients(y.sum(), [t])
    assert g.dtype == np.float32
    assert np.array_equal(g, [4, 6])


@pytest.mark.parametrize("f", [np.sin, np.cos, np.arctan, np.expm1, np.sinc, np.cbrt, np.arcsinh, np.radians, np.fabs])
def test_integers_and_plain_arrays(f):
    x = np.array([1, 2, 3])
    assert np.array_equal(f(ad.Tensor(x)).numpy(), f(x))
    assert f(ad.Tensor(x)).dtype == f(x).dtype
