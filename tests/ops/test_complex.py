"""Real inputs, complex numbers on the way, a real loss: against differences, to second order and forward."""

import numpy as np
import pytest

import autodiff as ad

X = np.array([0.3, -0.7, 1.1])
M = np.random.default_rng(0).normal(size=(3, 3))

PROGRAMS = {
    "analytic": lambda x: np.real(np.exp(1j * x) * x),
    "imaginary": lambda x: (np.exp(1j * x) / (x + 2j)).imag,
    "conjugate": lambda x: ((x + 1j * x * x) * np.conj(x * 1j + 2)).real,
    "modulus": lambda x: np.abs(np.exp(1j * x) * x + 0.4),
    "square_of_modulus": lambda x: (lambda z: (z * z.conj()).real)(x + 1j * np.sin(x)),
    "angle": lambda x: np.angle(x + 2 + 1j * x * x),
    "matrices": lambda x: np.abs((x[:, None] * M + 1j * M.T) @ (M + 1j * x)).sum(axis=0),
    "einsum": lambda x: np.einsum("ij,j,k->ik", M + 1j * x, x * 1j, np.exp(1j * x)).imag,
    "vdot": lambda x: np.vdot(x + 1j * x**2, np.exp(1j * x)).real,
    "solve": lambda x: np.linalg.solve(M + 1j * np.diag(x) + 3 * np.eye(3), x * 1j).real,
    "det": lambda x: np.abs(np.linalg.det(M + 1j * np.diag(x))),
    "logarithms": lambda x: np.real(np.log(x + 2j) + np.sqrt(1j * x + 3)) ** 2,
    "powers": lambda x: ((x + 1j) ** 3 + (x + 2j) ** -1).real,
    "parts": lambda x: (lambda z: np.real(z) * np.imag(z))(x * (2 + 1j * x)),
    "index": lambda x: (lambda z: ad.index_update(z, 1, z[0] * z[2]).imag)(x * (1 + 2j)),
    "converted": lambda x: np.abs(x.astype(np.complex128) + 1j),
    "fourier": lambda x: np.abs(np.exp(-2j * np.pi * np.outer(np.arange(3), np.arange(3)) / 3) @ x) ** 2,
}
programs = pytest.mark.parametrize("program", PROGRAMS)


@programs
def test_against_differences_to_second_order(program):
    ad.gradcheck(PROGRAMS[program], X, order=2)


@programs
def test_gradients_are_real_and_recorded_ones_the_same(program):
    x = ad.Tensor(X, requires_grad=True)
    loss = (PROGRAMS[program](x) * 1.5).sum()
    [g] = ad.gradients(loss, [x])
    assert g.dtype == np.float64
    [r] = ad.gradients(loss, [x], record=True)
    assert r.dtype == np.float64
    assert np.array_equal(r.numpy(), g)


@programs
def test_forward_mode(program):
    f, t = PROGRAMS[program], np.array([0.5, -1.0, 2.0])
    _, tangent = ad.jvp(f, (X,), (t,))
    h = 1e-6
    assert tangent.dtype == np.float64
    assert np.allclose(tangent, (f(X + h * t) - f(X - h * t)) / (2 * h), rtol=1e-7, atol=1e-8)


def test_the_convention():
    """For z = a + ib the gradient is ∂L/∂a - i ∂L/∂b, so that dL = Re(g dz)."""
    a, b = ad.Tensor(2.0, requires_grad=True), ad.Tensor(3.0, requires_grad=True)
    z = a + 1j * b
    loss = np.real(z) ** 2 + 5 * np.imag(z)
    ga, gb, gz = ad.gradients(loss, [a, b, z])
    assert (ga, gb, gz) == (4, 5, 4 - 5j)


def test_the_modulus_at_zero():
    x = ad.Tensor([0.0, 3.0], requires_grad=True)
    np.abs(x * (1 + 1j)).sum().backward()
    assert np.allclose(x.grad, [0, np.sqrt(2)])


def test_float32_becomes_complex64_and_comes_back():
    x = ad.Tensor(X.astype(np.float32), requires_grad=True)
    z = np.exp(x * np.complex64(1j))
    assert z.dtype == np.complex64
    np.abs(z + x).sum().backward()
    assert x.grad.dtype == np.float32


def test_complex_leaves_and_losses_are_refused():
    with pytest.raises(ad.OperandError, match="real"):
        ad.Tensor([1j], requires_grad=True)
    x = ad.Tensor(2.0, requires_grad=True)
    with pytest.raises(ad.GradientError, match="complex"):
        (x * 1j).backward()


def test_replays_keep_complex_numbers():
    x = ad.Tensor(X, requires_grad=True)
    y = np.abs(np.exp(1j * x) * x + 0.4)
    again = ad.Tape(y).replay({x: X[::-1]})
    assert np.array_equal(again, np.abs(np.exp(1j * X[::-1]) * X[::-1] + 0.4))
    long = ad.Tape(y).replay(dtype=np.longdouble)
    assert long.dtype == np.longdouble
    assert np.allclose(long.astype(float), y.numpy(), rtol=1e-14)
