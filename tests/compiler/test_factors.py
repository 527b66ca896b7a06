"""Factors of products laid out for BLAS: the same results for every shape, layout and dtype; copies where they pay."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff.compiler.factors import CACHE, LARGE, SMALL

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def place(tmp_path_factory, monkeypatch):
    """Machine code of these tests in a folder of their own, shared by them."""
    monkeypatch.setenv("WENGERT_CACHE", str(tmp_path_factory.getbasetemp() / "kernels"))


def numbers(*shape, dtype=np.float32):
    return RNG.normal(size=shape).astype(dtype)


def agrees(f, *args):
    """The source of f compiled, whose results are those of f but for rounding."""
    fast = ad.compile(f, jit=True)
    for _ in range(2):
        got, wanted = fast(*args), f(*args)
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        eps = np.finfo(got.dtype).eps
        np.testing.assert_allclose(got, wanted, rtol=0, atol=30 * eps * (1 + np.abs(wanted).max(initial=0)))
        args = [np.asarray(2 * a, order="F" if a.flags.f_contiguous else "C") for a in args]
    return fast.source


def layer(x, W):
    return np.tanh(x @ W.T)


PAYS = [((32, 40), 24), ((130, 30), 16), ((129, 20), 9), ((64, 128), 64)]              # small: W copied
ACROSS = [((16, 300), 250), ((64, 784), 128)]                                         # large: as (W xᵀ)ᵀ
NOT = [((4, 30), 16), ((64, 64), 10), ((300, 40), 1), ((300, 1), 40), ((600, 64), 64), ((16, 600), 1000)]


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("shape", "columns"), PAYS + ACROSS + NOT, ids=str)
def test_a_copy_where_it_pays(shape, columns, dtype):
    x, W = numbers(*shape, dtype=dtype), numbers(columns, shape[1], dtype=dtype)
    work = shape[0] * W.size
    small, large = (shape, columns) in PAYS, (shape, columns) in ACROSS and W.nbytes <= CACHE
    assert not small or SMALL < work <= LARGE
    source = agrees(layer, x, W)
    assert len(re.findall(r"^ +transposed", source, re.M)) == (1 if small else 2 if large else 0), source


@pytest.mark.parametrize("x_order", "CF")
@pytest.mark.parametrize("order", "CF")
def test_whatever_the_layout_at_the_first_call_and_later(x_order, order):
    x, W = numbers(40, 30), numbers(20, 30)
    fast = ad.compile(layer, jit=True)
    fast(np.asarray(x, order=x_order), np.asarray(W, order=order))
    padded = np.zeros((60, 90), np.float32)[::3, ::3]
    padded[...] = W
    for other in (W, np.asfortranarray(W), padded, W[::-1]):
        for first in (x, np.asfortranarray(x), x[::-1, ::-1]):
            np.testing.assert_allclose(fast(first, other), layer(first, other), atol=1e-5)


@settings(max_examples=25)
@given(st.data())
def test_transposes_of_every_size(data):
    rows, columns = data.draw(st.integers(1, 70)), data.draw(st.integers(16, 70))
    inner = data.draw(st.integers(1 + SMALL // (rows * columns), 2 + SMALL // (rows * columns) + 40))
    x, W = numbers(rows, inner, dtype=np.float64), numbers(columns, inner, dtype=np.float64)
    compiled = ad.compile(lambda x, W: x @ W.T, jit=True)
    np.testing.assert_allclose(compiled(x, W), x @ W.T, rtol=1e-10, atol=1e-10)


def test_one_copy_for_all_that_read_it():
    x, z, W = numbers(40, 30), numbers(40, 30), numbers(20, 30)
    source = agrees(lambda x, z, W: x @ W.T + np.tanh(z @ W.T), x, z, W)
    assert len(re.findall(r"^ +transposed", source, re.M)) == 1


def test_a_transposed_product_is_a_product():
    source = agrees(lambda a, b: (a.T @ b).T, numbers(50, 30), numbers(50, 20))
    assert len(re.findall(r"dot\(", source)) == 1 and "array(" not in source
    agrees(lambda a, b: (a.T @ b).T + (a.T @ b).T.sum(), numbers(50, 30), numbers(50, 20))
    product = lambda a, b: np.where((a @ b).T > 0, (a @ b).T, 0)           # used twice: computed once
    agrees(product, numbers(50, 30), numbers(30, 50))


@pytest.mark.slow
def test_what_only_looks_like_a_transpose():
    x, W = numbers(40, 30), numbers(30, 30)
    agrees(lambda x, W: x @ np.transpose(W, (0, 1)), x, W)
    agrees(lambda x, W: x @ np.transpose(W, (1, 0)), x, W)
    agrees(lambda x, W: x @ W.T.T, x, W)
    agrees(lambda x, W: x.T @ x @ W.T, x, W)
    agrees(lambda W, V: W.T @ V.T, numbers(30, 40), numbers(50, 30))
    agrees(lambda W: W @ W.T, numbers(40, 30))
    agrees(lambda x, W: np.swapaxes(x, 0, 1)[:, :30] @ np.swapaxes(W, 0, 1), x, W)


@pytest.mark.slow
def test_what_is_computed_on_the_way_is_turned_too():
    W, V = numbers(30, 40), numbers(60, 40)
    agrees(lambda W, V: np.tanh(np.exp(-W * W) @ (V * 2 + 1).T), W, V)
    agrees(lambda W, V: W @ np.concatenate([V, V]).T, W, V)


def test_numbers_that_are_not_finite_stay_where_they_are():
    x, W = numbers(40, 30), numbers(20, 30)
    x[3, 4], W[5, 6] = np.inf, np.nan
    with np.errstate(invalid="ignore"):                 # the product's own
        got = ad.compile(lambda x, W: x @ W.T, jit=True)(x, W)
    assert np.isnan(got[:, 5]).all() and not np.isfinite(got[3]).any() and np.isfinite(got).sum() == 39 * 19


@pytest.mark.parametrize("dtype", [np.complex64, np.int64, np.float16])
def test_other_numbers_are_left_alone(dtype):
    x, W = (10 * numbers(40, 30)).astype(dtype), (10 * numbers(20, 30)).astype(dtype)
    got = ad.compile(lambda x, W: x @ W.T, jit=True)(x, W)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, x @ W.T, rtol=1e-2 if dtype == np.float16 else 1e-5, atol=1e-3)


@pytest.mark.slow
def test_second_derivatives_pass_through():
    x, W = numbers(40, 30, dtype=np.float64), numbers(20, 30, dtype=np.float64)
    product = lambda W, V: ad.hvp(lambda W: (layer(x, W) ** 2).sum(), (W,), (V,))[0][0]
    agrees(product, W, numbers(20, 30, dtype=np.float64))
