"""Every line of the table: its value, its first and second derivative, forward mode, and other libraries."""

import warnings

import numpy as np
import pytest

import autodiff as ad
from tests.table import CONSTANT, TABLE, close, complex_step, gradients_or_zeros, recorded, tensors, weight

lines = pytest.mark.parametrize("case", TABLE, ids=str)


def test_names_are_different():
    assert len({case.name for case in TABLE}) == len(TABLE)


@lines
def test_value_is_numpys(case):
    xs = case.arrays()
    y = case.f(np, *tensors(case, xs))
    expected = case.spelled(np, *xs)
    assert isinstance(y, ad.Tensor)
    assert y.requires_grad
    assert y.shape == np.shape(expected)
    close(y.numpy(), expected, case.rtol)
    plainly = case.f(np, *xs)
    assert not isinstance(plainly, ad.Tensor)
    assert y.dtype == np.asarray(plainly).dtype
    if not case.name.startswith("power") and "order" not in case.tags:  # whole powers are products here
        assert np.array_equal(y.numpy(), plainly)


@lines
def test_first_derivative_against_complex_step_of_the_replayed_tape(case):
    loss, ts, _ = recorded(case, case.arrays())
    tape = ad.Tape(loss)
    for t, g in zip(ts, ad.gradients(loss, ts)):
        close(g, complex_step(lambda x, t=t: tape.replay({t: x}, dtype=complex), [t.numpy()], 0))


@lines
def test_first_derivative_against_complex_step_of_plain_numpy(case):
    xs = case.arrays()
    loss, ts, y = recorded(case, xs)
    w = weight(y)
    for i, g in zip(case.wrt, ad.gradients(loss, ts)):
        close(
            g,
            complex_step(lambda *xs: np.sum(case.spelled(np, *xs) * w), xs, i),
            1e-6 if "rounds" in case.tags else 1e-11,
        )


@lines
def test_recorded_gradient_is_bit_identical(case):
    loss, ts, _ = recorded(case, case.arrays())
    for plain, t in zip(ad.gradients(loss, ts), ad.gradients(loss, ts, record=True)):
        assert isinstance(t, ad.Tensor)
        assert t.numpy().tobytes() == plain.tobytes()
        assert t.dtype == plain.dtype


@lines
def test_second_derivative_against_complex_step_of_the_first(case):
    loss, ts, _ = recorded(case, case.arrays())
    first = ad.gradients(loss, ts, record=True)
    directions = [weight(t, seed=2 + i) for i, t in enumerate(ts)]
    total = sum((g * v).sum() for g, v in zip(first, directions))
    found = gradients_or_zeros(total, ts)
    tape = ad.Tape(total)
    for t, second in zip(ts, found):
        assert np.all(np.isfinite(second))
        try:
            tape.find(t)
        except ad.GradientError:
            expected = np.zeros(t.shape)
        else:
            expected = complex_step(lambda x, t=t: tape.replay({t: x}, dtype=complex), [t.numpy()], 0)
        close(second, expected, 1e-10)


@lines
def test_second_derivative_against_differences_of_plain_complex_steps(case):
    if "rounds" in case.tags:
        pytest.skip("rounds to float32")
    xs = case.arrays()
    loss, ts, y = recorded(case, xs)
    w = weight(y)
    directions = [weight(x, seed=2 + i) for i, x in enumerate(ts)]
    first = ad.gradients(loss, ts, record=True)
    total = sum((g * v).sum() for g, v in zip(first, directions))
    found = gradients_or_zeros(total, ts)

    def moved(h):
        there = list(xs)
        for i, v in zip(case.wrt, directions):
            there[i] = xs[i] + h * v
        return [complex_step(lambda *xs: np.sum(case.spelled(np, *xs) * w), there, i) for i in case.wrt]

    for second, plus, minus in zip(found, moved(1e-5), moved(-1e-5)):
        close(second, (plus - minus) / 2e-5, 1e-6)


@lines
def test_forward_mode_is_the_transpose(case):
    xs = case.arrays()
    vs = [weight(xs[i], seed=5 + i) for i in case.wrt]

    def f(*chosen):
        full = list(xs)
        for i, x in zip(case.wrt, chosen):
            full[i] = x
        return case.f(np, *full)

    value, tangent = ad.jvp(f, [xs[i] for i in case.wrt], vs)
    again, pullback = ad.vjp(f, *[xs[i] for i in case.wrt])
    assert np.array_equal(value, again)
    assert np.shape(tangent) == np.shape(value)
    w = weight(value)
    along, against = np.sum(w * tangent), sum(np.sum(g * v) for g, v in zip(pullback(w), vs))
    rtol = 1e-6 if "rounds" in case.tags else 1e-12
    assert abs(along - against) <= rtol * max(1, abs(along), np.sum(np.abs(w * tangent)))


@lines
def test_hessian_vector_product_forward_over_reverse(case):
    """hvp (forward over the recorded gradient) agrees with reverse over reverse."""
    xs = case.arrays()
    loss, ts, y = recorded(case, xs)
    w = weight(y)

    def scalar(*chosen):
        full = list(xs)
        for i, x in zip(case.wrt, chosen):
            full[i] = x
        return (case.f(np, *full) * w.astype(y.dtype)).sum()

    directions = [weight(t, seed=2 + i) for i, t in enumerate(ts)]
    total = sum((g * v).sum() for g, v in zip(ad.gradients(loss, ts, record=True), directions))
    found = gradients_or_zeros(total, ts)
    for second, expected in zip(ad.hvp(scalar, [xs[i] for i in case.wrt], directions), found):
        close(second, expected, 1e-10)


@pytest.mark.parametrize("case", [c for c in TABLE if "a" in c.oracles], ids=str)
def test_against_autograd(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import autograd
        import autograd.numpy as anp

        xs = case.arrays()
        loss, ts, y = recorded(case, xs)
        w = weight(y)
        for i, g in zip(case.wrt, ad.gradients(loss, ts)):
            theirs = autograd.grad(lambda *xs: anp.sum(case.spelled(anp, *xs) * w), i)(*xs)
            close(g, theirs, 1e-6 if "rounds" in case.tags else 1e-11)


@pytest.mark.parametrize("case", [c for c in TABLE if "m" in c.oracles], ids=str)
def test_against_mygrad(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mygrad as mg

        xs = case.arrays()
        loss, ts, y = recorded(case, xs)
        theirs = [mg.tensor(x) if i in case.wrt else x for i, x in enumerate(xs)]
        mg.sum(case.spelled(mg, *theirs) * weight(y)).backward()
        for i, g in zip(case.wrt, ad.gradients(loss, ts)):
            close(
                g,
                np.zeros_like(g) if theirs[i].grad is None else theirs[i].grad,
                1e-6 if "rounds" in case.tags else 1e-11,
            )


@pytest.mark.parametrize("name", CONSTANT)
def test_what_decides_values_is_recorded_without_a_derivative(name):
    f, a, b = CONSTANT[name]
    x = ad.Tensor(a, requires_grad=True)
    y = f(np, x, b)
    expected = f(np, a, b)
    assert isinstance(y, ad.Tensor)
    assert np.array_equal(y.numpy(), expected)
    assert y.dtype == expected.dtype
    assert not y.requires_grad
    assert len(ad.Tape(y)) >= 1
    assert ad.Tape(y)[-1].op.kind == "constant"
    [g] = ad.gradients((y * x).sum(), [x])
    assert np.array_equal(g, np.broadcast_to(expected.astype(float), a.shape))
    [g, *_] = ad.gradients((x * y * x).sum(), [x], record=True)
    assert np.array_equal(g.numpy(), 2 * expected * a)


@pytest.mark.parametrize("name", CONSTANT)
def test_what_decides_values_follows_a_replay(name):
    f, a, b = CONSTANT[name]
    x = ad.Tensor(a, requires_grad=True)
    y = f(np, x, b)
    other = -a[::-1] + 0.25
    assert np.array_equal(ad.Tape(y).replay({x: other}), f(np, other, b))


@pytest.mark.parametrize("name", CONSTANT)
def test_what_decides_values_is_not_moved_by_a_complex_step(name):
    """An imaginary part of 1e-30 stands for a derivative: it decides nothing, also where the value is 0."""
    f, a, b = CONSTANT[name]
    x = ad.Tensor(a, requires_grad=True)
    y = f(np, x, b)
    assert np.array_equal(ad.Tape(y).replay({x: a + 1e-30j}, dtype=complex), f(np, a, b))
