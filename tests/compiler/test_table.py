"""Every operation of the declared table, compiled: both executors, values, first and second order, float32 too.

Native code is slow to compile, so that there many cases share one function.
"""

import warnings

import numpy as np
import pytest

import autodiff as ad
from tests.table import CONSTANT, TABLE, outputs, weight

DIFFERENTIABLE = [case for case in TABLE if case.wrt]
SHARED = 40                     # cases in one native function


@pytest.fixture(autouse=True)
def place(tmp_path_factory, monkeypatch):
    """Machine code of these tests in a folder of their own, shared by them."""
    monkeypatch.setenv("WENGERT_CACHE", str(tmp_path_factory.getbasetemp() / "kernels"))


def total(case, xs):
    """A weighted sum of the outputs, as a function of the differentiable arguments."""
    def f(*ds):
        full = list(xs)
        for i, d in zip(case.wrt, ds):
            full[i] = d
        return sum((np.real(y) * weight(y, k).astype(np.real(y).dtype)).sum()
                   for k, y in enumerate(outputs_of(case, full)) if y.dtype.kind in "fc")
    return f


def outputs_of(case, xs):
    """All outputs, in a list."""
    y = outputs(case, np, xs)
    return list(y) if isinstance(y, list | tuple) else [y]


def first(case, xs):
    """The value and its gradients, as one list."""
    f = ad.value_and_grad(total(case, xs), argnums=tuple(range(len(case.wrt))))

    def flat(*ds):
        value, gradients = f(*ds)
        return [value, *gradients]
    return flat


def second(case, xs):
    """Gradients of a weighted sum of the gradients, as one list."""
    def directed(*ds):
        gradients = ad.grad(total(case, xs), argnums=tuple(range(len(ds))))(*ds)
        return sum((g * weight(g, 7).astype(g.dtype)).sum() for g in gradients)

    f = ad.value_and_grad(directed, argnums=tuple(range(len(case.wrt))))

    def flat(*ds):
        value, gradients = f(*ds)
        return [value, *gradients]
    return flat


def known(order, case, xs, ds):
    """The function and what eager gives; None where eager has no such derivative."""
    f = order(case, xs)
    try:
        return f, [np.asarray(value_of(y)) for y in f(*ds)]
    except (ad.NoRuleError, ad.GradientError, ad.OperandError):
        return None, []


def value_of(y):
    return y.data if isinstance(y, ad.Tensor) else y


def arguments(case, dtype):
    xs = case.arrays(dtype)
    return xs, [xs[i] for i in case.wrt]


def near(got, want, dtype, label):
    assert len(got) == len(want), label
    scale = max([1.0, *(float(np.max(np.abs(w), initial=0)) for w in want if np.isfinite(w).all())])
    for a, b in zip(got, want):
        a = np.asarray(value_of(a))
        rtol = 1e-11 if b.dtype == dtype == np.float64 else 2e-4
        assert (a.shape, a.dtype) == (b.shape, b.dtype), label
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale, err_msg=label)


@pytest.mark.parametrize("order", [first, second], ids=["first", "second"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_without_extras(order, dtype):
    """Each case by itself, called twice; nothing may be left eager."""
    compared = 0
    for case in DIFFERENTIABLE:
        xs, ds = arguments(case, dtype)
        f, want = known(order, case, xs, ds)
        if f is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error", ad.CompileWarning)
            compiled = ad.compile(f, jit=False)
            compiled(*ds)
        near(compiled(*ds), want, dtype, case.name)
        compared += 1
    assert compared > 0.9 * len(DIFFERENTIABLE) if order is first else compared > 0.5 * len(DIFFERENTIABLE)


def test_values_without_extras_are_eagers_to_the_last_bit():
    for case in TABLE:
        xs = case.arrays()
        ts = [ad.Tensor(x, requires_grad=True) if i in case.wrt else x for i, x in enumerate(xs)]
        want = [np.asarray(value_of(y)) for y in outputs_of(case, ts)]

        def f(*ds, case=case, xs=xs):
            full = list(xs)
            for i, d in zip(case.wrt, ds):
                full[i] = d
            return outputs_of(case, full)

        compiled = ad.compile(f, jit=False)
        for _ in range(2):
            got = compiled(*(xs[i] for i in case.wrt))
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(np.asarray(value_of(a)), b, err_msg=case.name)


@pytest.mark.parametrize("jit", [False, True], ids=["numpy", "jit"])
def test_what_has_no_derivative(jit):
    """Comparisons, rounding, places of extremes: all in one function."""
    def f(x, y):
        return {name: g(np, x, y) for name, (g, _, _) in CONSTANT.items()}

    _, x, y = CONSTANT["greater"]
    want = {name: value_of(z) for name, z in f(ad.Tensor(x), ad.Tensor(y)).items()}
    compiled = ad.compile(f, jit=jit)
    for _ in range(2):
        got = compiled(x, y)
    for name, z in want.items():
        assert np.asarray(value_of(got[name])).dtype == np.asarray(z).dtype, name
        np.testing.assert_array_equal(np.asarray(value_of(got[name])), np.asarray(z), err_msg=name)


def natively(order, dtype, cases):
    """Several cases in one function of all their arguments."""
    chosen = [(case, *arguments(case, dtype)) for case in cases]
    chosen = [(case, ds, *known(order, case, xs, ds)) for case, xs, ds in chosen]
    chosen = [item for item in chosen if item[2] is not None]
    compiled = ad.compile(lambda all: [f(*ds) for (_, _, f, _), ds in zip(chosen, all)], jit=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ad.CompileWarning)
        for _ in range(2):
            results = compiled([ds for _, ds, _, _ in chosen])
    for got, (case, _, _, want) in zip(results, chosen):
        near(got, want, dtype, case.name)
    return len(chosen)


GROUPS = [DIFFERENTIABLE[k:k + SHARED] for k in range(0, len(DIFFERENTIABLE), SHARED)]


def test_natively():
    """A tenth of the table at each run; the rest is slow."""
    assert natively(first, np.float64, DIFFERENTIABLE[::10]) > 20


@pytest.mark.slow
@pytest.mark.parametrize("cases", GROUPS, ids=[group[0].name for group in GROUPS])
@pytest.mark.parametrize("order", [first, second], ids=["first", "second"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_all_natively(cases, order, dtype):
    assert natively(order, dtype, cases)
