"""Linear algebra: against other formulas of the same thing, in stacks, for symmetric matrices, and where it refuses."""

import numpy as np
import pytest
import scipy.linalg

import autodiff as ad
from autodiff.ops import elimination
from tests.table import close, complex_step

rng = np.random.default_rng(0)
A, S, b = rng.uniform(-1, 1, (4, 4)) + 4 * np.eye(4), rng.normal(size=(4, 4)), rng.normal(size=(4, 2))
P = S @ S.T + 4 * np.eye(4)


@pytest.mark.parametrize("f", [
    lambda A: np.linalg.inv(A), lambda A: np.linalg.det(A), lambda A: np.linalg.slogdet(A).logabsdet,
    lambda A: np.linalg.solve(A, b), lambda A: np.linalg.solve(A, A[0]), lambda A: np.linalg.cholesky(A @ A.T),
    lambda A: np.linalg.cholesky(A @ A.T, upper=True), lambda A: np.linalg.matrix_power(A, -3),
    lambda A: np.linalg.solve(np.stack([A, A.T]), b[:, 0]),
], ids=range(9))
def test_gradcheck_to_second_order(f):
    ad.gradcheck(f, A, order=2)


def test_det_and_its_logarithm_are_one_anothers_derivatives():
    t = ad.Tensor(A, requires_grad=True)
    [g] = ad.gradients(np.log(np.linalg.det(t)), [t])
    [h] = ad.gradients(np.linalg.slogdet(t)[1], [t])
    close(g, np.linalg.inv(A).T, 1e-13)
    close(h, g, 1e-13)


def test_log_likelihood_of_a_gaussian():
    """-½ xᵀ P⁻¹ x - ½ log det P, by cholesky and by solve and slogdet: the same, and the textbook's gradient."""
    x = b[:, 0]

    def by_solve(P):
        return -0.5 * (x @ np.linalg.solve(P, x)) - 0.5 * np.linalg.slogdet(P)[1]

    def by_cholesky(P):
        L = np.linalg.cholesky(P)
        z = np.linalg.solve(L, x)
        return -0.5 * (z @ z) - np.sum(np.log(np.diagonal(L)))

    inverse = np.linalg.inv(P)
    expected = 0.5 * (np.outer(inverse @ x, inverse @ x) - inverse)
    for f in (by_solve, by_cholesky):
        close(ad.grad(f)(P), expected, 1e-12)


def test_the_gradient_of_cholesky_is_symmetric_and_right_along_symmetric_directions():
    w, D = rng.normal(size=(4, 4)), rng.normal(size=(4, 4))
    D = D + D.T
    g = ad.grad(lambda P: (np.linalg.cholesky(P) * w).sum())(P)
    assert np.array_equal(g, g.T)
    h = 1e-6
    step = [np.sum(scipy.linalg.cholesky(P + s * h * D, lower=True) * w) for s in (1, -1)]
    assert np.isclose(np.sum(g * D), (step[0] - step[1]) / (2 * h), rtol=1e-7)
    _, t = ad.jvp(np.linalg.cholesky, (P,), (D,))
    assert np.isclose(np.sum(t * w), np.sum(g * D), rtol=1e-12)


def test_cholesky_reads_one_triangle():
    lower, upper = np.tril(P) + np.triu(np.full((4, 4), 99.0), 1), np.triu(P) + np.tril(np.full((4, 4), 99.0), -1)
    L = np.linalg.cholesky(P)
    assert np.allclose(np.linalg.cholesky(ad.as_tensor(lower)).numpy(), L)
    assert np.allclose(np.linalg.cholesky(ad.as_tensor(upper), upper=True).numpy(), L.T)


def test_several_outputs_in_forward_mode():
    (sign, log), (dsign, dlog) = ad.jvp(lambda A: tuple(np.linalg.slogdet(-A[:3, :3])), (A,), (S,))
    assert sign == -1
    assert dsign == 0
    close(dlog, np.trace(np.linalg.solve(A[:3, :3], S[:3, :3])), 1e-13)


@pytest.mark.parametrize(
    "f", [lambda A: np.linalg.slogdet(A)[1], lambda A: np.split(A * A, 2)[1] * A[:2]], ids=["log", "split"])
def test_forward_mode_of_forward_mode_through_several_outputs(f):
    def along(A):
        return ad.jvp(f, (A,), (S,))[1]

    value, second = ad.jvp(along, (A,), (S,))
    [reverse] = ad.hvp(lambda A: (f(A) * np.ones(np.shape(value))).sum(), (A,), (S,))
    close(np.sum(second), np.sum(reverse * S), 1e-12)


@pytest.mark.parametrize(("f", "shapes"), [
    (np.linalg.inv, [(0, 2, 2)]), (np.linalg.det, [(0, 2, 2)]), (np.linalg.det, [(0, 0)]), (np.linalg.inv, [(0, 0)]),
    (np.linalg.solve, [(0, 2, 2), (2,)]), (np.linalg.solve, [(2, 2), (2, 0)]), (np.linalg.cholesky, [(0, 2, 2)]),
], ids=range(7))
def test_nothing(f, shapes):
    ts = [ad.Tensor(np.ones(s) + (np.eye(2) if s[-2:] == (2, 2) else 0), requires_grad=True) for s in shapes]
    y = f(*ts)
    assert y.shape == f(*(t.numpy() for t in ts)).shape
    y.sum().backward()
    for t in ts:
        assert t.grad.shape == t.shape


def test_errors():
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.inv(ad.Tensor(np.zeros((2, 2)), requires_grad=True))
    with pytest.raises(ad.OperandError, match="det"):
        np.linalg.slogdet(ad.Tensor(A, requires_grad=True) * 1j)
    with pytest.raises(ad.NoRuleError, match="eigh"):
        np.linalg.eigh(ad.Tensor(A, requires_grad=True))


def test_elimination_is_lapacks():
    stack = rng.uniform(-1, 1, (2, 3, 4, 4))
    close(elimination.inv(stack), np.linalg.inv(stack), 1e-12)
    close(elimination.det(stack), np.linalg.det(stack), 1e-13)
    close(elimination.solve(stack, b), np.linalg.solve(stack, b), 1e-12)
    close(elimination.solve(stack, b[:, 0]), np.linalg.solve(stack, b[:, 0]), 1e-12)
    for mine, theirs in zip(elimination.slogdet(stack), np.linalg.slogdet(stack)):
        close(mine, theirs, 1e-13)
    close(elimination.cholesky(P), np.linalg.cholesky(P), 1e-14)
    long = elimination.inv(P.astype(np.longdouble))
    assert np.max(np.abs(long @ P - np.eye(4))) < 1e-17 or np.finfo(np.longdouble).eps > 1e-17
    g = complex_step(lambda A: np.sum(elimination.solve(A, b)), [P], 0)
    close(ad.grad(lambda A: np.linalg.solve(A, b).sum())(P), g, 1e-12)
