"""`detect_anomaly` and `find_anomaly`: where an infinite or undefined number came from, and at no cost when off."""

import re
import threading

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff.state import watchers

HERE = "test_anomaly.py:"


def told(*pieces):
    return pytest.raises(ad.AnomalyError, match=r"[\s\S]*".join(re.escape(piece) for piece in pieces))


def leaf(values, name="x", dtype=float):
    return ad.Tensor(np.array(values, dtype), requires_grad=True, name=name)


# ---- the first record at fault

@pytest.mark.parametrize(("program", "pieces"), [
    (lambda x: np.log(x), ["log made nan of finite numbers: 2 of 3 elements, such as that at [2]",
                           "x            (3,) float64, -1.0 at [2]", HERE, "np.log(x)", "Keep x positive"]),
    (lambda x: 1.0 / x, ["divide made inf of finite numbers: 1 of 3", "1.0", "0.0 at [0]", "1.0 / x", "denominator"]),
    (lambda x: np.exp(x * 1e3), ["exp made inf", "x * 1000.0", "4000.0 at [1]", "ad.softmax, ad.logsumexp"]),
    (lambda x: x ** -1, ["integer_power made inf", "x", "0.0 at [0]"]),
    (lambda x: (x * 1e200) @ (x * 1e200), ["matmul made inf", "from -1e+200 to 4e+200"]),
    (lambda x: (x - np.inf) - (x - np.inf), ["subtract made nan of infinite ones"]),
    (lambda x: ad.linear(np.array([[1.0, np.nan, 0.0]]), x.reshape(1, 3), np.zeros(1)), [
        "given to linear, holds nan already: 1 of 3 elements, such as that at [0, 1]"]),
], ids=["log", "divide", "exp", "power", "matmul", "inf - inf", "data"])
def test_the_first_record_at_fault_is_named(program, pieces):
    x = leaf([0.0, 4.0, -1.0])
    with ad.detect_anomaly(), told(*pieces):
        program(x)


def test_an_infinity_that_was_given_is_nobodys_fault():
    scores, mask = leaf(np.zeros((2, 2))), np.array([[0.0, -np.inf], [0.0, 0.0]])
    with ad.detect_anomaly():
        attention = ad.softmax(scores + mask)
        np.where(mask == 0, attention, 0.0).sum().backward()
    assert np.isfinite(scores.grad).all()


def test_a_nan_that_was_there_before_the_block_is_traced_to_its_source():
    x = leaf([1.0, -1.0])
    with np.errstate(invalid="ignore"):
        h = np.sqrt(x)
    with ad.detect_anomaly(), told("sqrt made nan of finite numbers", "x", "-1.0 at [1]", "np.sqrt(x)"):
        h * 2


def test_a_layer_is_named_by_its_call():
    layer = nn.Linear(3, 2, rng=0)
    with ad.no_grad():
        layer.weight *= 1e308
    samples = np.full((2, 3), 1e10)
    with ad.detect_anomaly(), told("linear made", "samples", "weight", HERE):
        layer(samples)


# ---- the edge at fault, and the trap of np.where

def test_the_trap_is_recognised_in_the_forward_pass():
    x = leaf([0.0, 4.0])
    with ad.detect_anomaly(), told("log made -inf of finite numbers", "0.0 at [0]", "np.log(np.where(x > 0, x, 1))"):
        np.where(x > 0, np.log(x), 0.0)
    with ad.detect_anomaly(), told("divide made inf", "1.0 / np.where(x == 0, 1, x)"):
        np.where(x == 0, 0.0, 1.0 / x)


def test_the_trap_is_recognised_in_the_backward_pass_and_the_cure_cures():
    x = leaf([0.0, 4.0])
    with ad.detect_anomaly():
        root = np.sqrt(x)
        loss = np.where(x > 0, root, 0.0).sum()
        with told("the gradient of sqrt with respect to x is nan at [0], where a finite gradient arrived",
                  "x            (2,) float64, 0.0 at [0]", "∂loss/∂root", "0.0 at [0]", HERE, "np.sqrt(x)",
                  "np.where took its other side", "np.sqrt(np.where(x > 0, x, 1))"):
            loss.backward()
        assert x.grad is None
        np.where(x > 0, np.sqrt(np.where(x > 0, x, 1)), 0.0).sum().backward()
    assert np.array_equal(x.grad, [0.0, 0.25])


def test_an_infinite_slope_is_named_also_without_where():
    v = leaf(np.zeros(3), "v")
    with ad.detect_anomaly(), told("the gradient of sqrt with respect to (v * v).sum() is inf", "np.sqrt((v * v).sum()",
                                   "1e-12"):
        np.sqrt((v * v).sum()).backward()


def test_an_overflow_where_contributions_add_up():
    x = leaf([1e-300])
    with ad.detect_anomaly():
        loss = ((x * 1e308) + (x * 1e308)).sum()
        with told("the contributions to the gradient of x add up to inf at [0]; the last is that of multiply"):
            loss.backward()


@pytest.mark.parametrize("transform", [
    lambda f, x: ad.grad(f)(x), lambda f, x: ad.vjp(f, x)[1](1.0), lambda f, x: ad.jacobian(f)(x),
    lambda f, x: ad.hessian(f)(x), lambda f, x: ad.gradients(f(t := ad.Tensor(x, requires_grad=True)), [t]),
], ids=["grad", "vjp", "jacobian", "hessian", "gradients"])
def test_transforms_name_the_edge_too(transform):
    with ad.detect_anomaly(), told("the gradient of sqrt with respect to x is inf at [0]", HERE, "np.sqrt(x)"):
        transform(lambda x: np.sqrt(x).sum(), np.array([0.0, 1.0]))


def test_forward_mode():
    with ad.detect_anomaly(), told("the tangent of sqrt is inf at [0]", "0.0 at [0]"):
        ad.jvp(lambda x: np.sqrt(x).sum(), (np.array([0.0, 1.0]),), (np.ones(2),))


# ---- afterwards

def test_the_cause_is_found_afterwards():
    x = leaf([0.0, 4.0])
    with np.errstate(all="ignore"):
        loss = np.where(x > 0, np.log(x), 0.0).sum()
        loss.backward()
        assert np.isnan(x.grad[0])
        text = str(ad.find_anomaly(loss))
        nan_loss = np.log(x - 1).sum() * 2
        assert "log made nan of finite numbers" in str(ad.find_anomaly(nan_loss))
    assert "the gradient of log with respect to x is nan at [0]" in text
    assert "np.log(np.where(x > 0, x, 1))" in text
    assert ad.find_anomaly((x * x).sum()) is None
    assert ad.find_anomaly(x * x) is None                         # no scalar: the gradient of the sum
    with pytest.raises(ad.OperandError, match="takes tensors"):
        ad.find_anomaly(3.0)


# ---- on and off

def test_values_are_the_same_and_numpy_is_quiet_within_only():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))

    def run():
        A, B = leaf(a), leaf(b)
        loss = (np.tanh(A @ B) ** 2).sum() + A[0].sum() * 0.5 + np.exp(A).mean()
        loss.backward()
        return [loss.data, A.grad, B.grad]

    plain = run()
    with ad.detect_anomaly():
        watched = run()
    for p, w in zip(plain, watched):
        assert np.array_equal(p, w)
    before = np.geterr()
    x = leaf([0.0])
    with pytest.raises(ad.AnomalyError), ad.detect_anomaly():        # no warning: here they are errors
        np.log(x)
    assert np.geterr() == before
    assert watchers == []


def test_it_nests_decorates_and_stays_in_its_thread():
    x = leaf([0.0])
    watch = ad.detect_anomaly()
    found = []
    with watch:
        with watch, pytest.raises(ad.AnomalyError):
            np.log(x)

        def elsewhere():
            with np.errstate(all="ignore"):
                found.append(np.log(x).data[0])

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        with pytest.raises(ad.AnomalyError):
            np.log(x)
    assert found == [-np.inf]
    with np.errstate(all="ignore"):
        assert np.log(x).data[0] == -np.inf

    @ad.detect_anomaly()
    def f(x):
        return np.log(x)

    with pytest.raises(ad.AnomalyError):
        f(x)
    assert watchers == []
