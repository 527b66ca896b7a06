"""Activations: exact formulas, limits, kinks; finite and silent for every x."""

import numpy as np
import pytest
from scipy import special

import autodiff as ad
import nn
from autodiff.ops.activations import normal_cdf, normal_pdf

INF = np.inf
TINY = float(np.nextafter(0, 1))
POINTS = np.array([-INF, -1e300, -20001.0, -750.0, -700.0, -40.0, -1.0, -1e-300, -TINY, 0.0, TINY, 1e-300, 1e-8, 1.0,
                   40.0, 700.0, 750.0, 20001.0, 1e300, INF])

# name: function, (value, slope) at -∞, slope at +∞ (where the value is x, or as given)
LIMITS = {
    "log_sigmoid": (ad.log_sigmoid, (-INF, 1.0), (0.0, 0.0)),
    "gelu": (ad.gelu, (0.0, 0.0), (INF, 1.0)),
    "gelu_tanh": (ad.gelu_tanh, (0.0, 0.0), (INF, 1.0)),
    "silu": (ad.silu, (0.0, 0.0), (INF, 1.0)),
    "mish": (ad.mish, (0.0, 0.0), (INF, 1.0)),
    "elu": (ad.elu, (-1.0, 0.0), (INF, 1.0)),
    "leaky_relu": (ad.leaky_relu, (-INF, 0.01), (INF, 1.0)),
    "hardtanh": (ad.hardtanh, (-1.0, 0.0), (1.0, 0.0)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LIMITS)
def test_everywhere(name, dtype):
    """Value, slope and curvature are finite where mathematics is, without a warning."""
    f, low, high = LIMITS[name]
    with np.errstate(all="ignore"):
        x = POINTS.astype(dtype)
    t = ad.Tensor(x, requires_grad=True)
    y = f(t)
    assert y.dtype == dtype
    with np.errstate(invalid="ignore"):                                      # ∞ - ∞
        total = y.sum()
    [first] = ad.gradients(total, [t], record=True)
    second = ad.gradients(first.sum(), [t])[0] if first.requires_grad else np.zeros(1)
    assert first.dtype == dtype
    assert np.all(np.isfinite(first.numpy()))
    assert np.all(np.isfinite(second))
    assert (y.numpy()[0], first.numpy()[0]) == (dtype(low[0]), dtype(low[1]))
    assert (y.numpy()[-1], first.numpy()[-1]) == (dtype(high[0]), dtype(high[1]))
    assert np.all(np.isfinite(y.numpy()[np.isfinite(x)]))
    for value, whole in zip(x, y.numpy()):                                   # a scalar takes another way in NumPy
        alone = f(ad.Tensor(value, requires_grad=True))
        assert np.allclose(alone.numpy(), whole, rtol=1e-6 if dtype is np.float32 else 1e-15, atol=0)


X = np.concatenate([np.linspace(-37, 37, 20001), np.logspace(-300, 0, 50), -np.logspace(-300, 0, 50)])


def test_normal_distribution_function_to_the_last_digits():
    """Against scipy's scaled error function, tail included; e^(-x²/2) itself is rounded in x²/2."""
    size = np.abs(X)
    tail = 0.5 * special.erfcx(size / np.sqrt(2)) * np.exp(-0.5 * X * X)
    expected = np.where(X < 0, tail, 1 - tail)
    assert np.all(np.abs(normal_cdf(X) - expected) <= 2e-15 * expected)
    assert np.all(np.abs(normal_cdf(X) - 0.5 * (1 + special.erf(X / np.sqrt(2)))) <= 4e-16)
    assert np.all(np.abs(normal_cdf(X) - special.ndtr(X)) <= 4e-16 * (1 + X * X) * special.ndtr(X))


def test_gelu_and_its_derivatives():
    t = ad.Tensor(X, requires_grad=True)
    [first] = ad.gradients(ad.gelu(t).sum(), [t], record=True)
    [second] = ad.gradients(first.sum(), [t], record=True)
    density = np.exp(-0.5 * X * X) / np.sqrt(2 * np.pi)
    assert np.allclose(first.numpy(), special.ndtr(X) + X * density, rtol=1e-14, atol=1e-15)
    assert np.allclose(second.numpy(), density * (2 - X * X), rtol=1e-14, atol=1e-15)
    [third] = ad.gradients(second.sum(), [t])
    assert np.allclose(third, density * X * (X * X - 4), rtol=1e-14, atol=1e-14)
    assert np.array_equal(normal_pdf(X), density)


def test_the_tanh_form_is_near():
    assert np.max(np.abs(ad.gelu_tanh(X) - ad.gelu(X))) < 5e-4
    spelled = 0.5 * X * (1 + np.tanh(np.sqrt(2 / np.pi) * (X + 0.044715 * X**3)))
    assert np.allclose(ad.gelu_tanh(X), spelled, rtol=1e-14, atol=1e-15)


def test_float32_gelu_in_float32():
    x = X.astype(np.float32)[np.abs(X) > 1e-30]
    y = ad.gelu(x)
    assert y.dtype == np.float32
    wide = x.astype(float) * special.ndtr(x.astype(float))
    assert np.all(np.abs(y - wide) <= 4e-7 * (1 + x * x / 2) * np.abs(wide) + 1e-37)


def test_kinks():
    slope = lambda f: float(ad.grad(f)(0.0))
    assert slope(ad.leaky_relu) == 0.01
    assert slope(lambda x: ad.leaky_relu(x, negative_slope=0.3)) == 0.3
    assert slope(ad.elu) == 1
    assert slope(lambda x: ad.elu(x, alpha=0.5)) == 0.5
    assert np.array_equal(ad.grad(lambda x: ad.hardtanh(x).sum())(np.array([-1.0, 0.0, 1.0])), [0, 1, 0])


@pytest.mark.parametrize("f", [ad.log_sigmoid, ad.gelu, ad.silu, ad.mish, ad.elu, ad.leaky_relu, ad.hardtanh])
def test_numbers_and_integers(f):
    assert float(f(2.0)) == pytest.approx(float(f(np.array(2.0))), rel=1e-15)
    assert np.allclose(f(np.array([-3, 0, 2])), f(np.array([-3.0, 0.0, 2.0])), rtol=1e-15)


@pytest.mark.parametrize(
    ("layer", "f"),
    [
        (nn.LogSigmoid(), nn.functional.log_sigmoid),
        (nn.GELU(), nn.functional.gelu),
        (nn.GELU("tanh"), lambda x: nn.functional.gelu(x, "tanh")),
        (nn.SiLU(), nn.functional.silu),
        (nn.Mish(), nn.functional.mish),
        (nn.ELU(0.5), lambda x: nn.functional.elu(x, 0.5)),
        (nn.LeakyReLU(0.2), lambda x: nn.functional.leaky_relu(x, 0.2)),
        (nn.Hardtanh(-2, 2), lambda x: nn.functional.hardtanh(x, -2, 2)),
    ],
    ids=lambda x: repr(x) if isinstance(x, nn.Module) else "",
)
def test_layers(layer, f):
    x = ad.Tensor(np.linspace(-3, 3, 8).reshape(2, 4), requires_grad=True)
    y = layer(x)
    assert np.array_equal(y.numpy(), f(x).numpy())
    y.sum().backward()
    assert np.all(np.isfinite(x.grad))
    assert type(layer).__name__ in repr(layer)
    assert "test_activations" in y.record.where


def test_layers_tell_their_settings():
    assert repr(nn.ELU(0.5)) == "ELU(alpha=0.5)"
    assert repr(nn.LeakyReLU(0.2)) == "LeakyReLU(negative_slope=0.2)"
    assert repr(nn.Hardtanh(-2, 2)) == "Hardtanh(min_val=-2, max_val=2)"
    assert repr(nn.GELU("tanh")) == "GELU(approximate='tanh')"
    for make in (nn.GELU, lambda how: nn.functional.gelu(1.0, how)):
        with pytest.raises(ValueError, match="approximate"):
            make("erf")
