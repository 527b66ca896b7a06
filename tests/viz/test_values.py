"""Arrays in the space of a stamp."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autodiff as ad
import viz
from viz.values import number, summarized

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)


@given(hnp.arrays(hnp.scalar_dtypes() | hnp.complex_number_dtypes(), SHAPES))
def test_any_array_has_a_summary(a):
    s = summarized(a)
    assert s.shape == a.shape and s.dtype == str(a.dtype) and s.size == a.size
    assert len(s.heat) <= 6 and all(len(row) <= 6 for row in s.heat)
    if a.dtype.kind in "biufc":
        assert bool(s.trouble) == (not np.isfinite(a).all())
        assert bool(s.numbers) == (0 < a.size <= 4 and (a.ndim == 0 or a.shape[-1] <= 2))
        assert all(abs(v) <= 1 + 1e-9 for row in s.heat for v in row if np.isfinite(v))


def test_a_complex_number_whose_size_overflows_is_finite():
    assert summarized(np.array(1.3e308 + 1.3e308j)).trouble == ""


@pytest.mark.parametrize("scale", [1.0, 1e300, 1e-300])
def test_the_norm_does_not_overflow(scale):
    a = np.array([3.0, 4.0, 0, 0, 0]) * scale
    assert summarized(a).norm == pytest.approx(5 * scale) and summarized(a).trouble == ""


def test_blocks_are_means_and_keep_the_sign():
    a = np.repeat([1.0, -2.0], 6).reshape(1, 12)
    np.testing.assert_allclose(summarized(a).heat, [[0.5, 0.5, 0.5, -1, -1, -1]])


@given(st.floats(-1e308, 1e308) | st.sampled_from([np.inf, -np.inf, np.nan]))
def test_a_number_is_short_and_right(v):
    text = number(v)
    assert len(text) <= 9
    if np.isfinite(v):
        assert float(text) == pytest.approx(v, rel=0.06) and not (v and float(text) == 0)


def test_nan_and_infinity_are_loud():
    with np.errstate(all="ignore"):
        x = ad.Tensor([-1.0, 0.0, 1.0, 2.0, 3.0], requires_grad=True)
        y = np.log(x)
        loss = y.sum()
    for theme, red in (("light", "#b00020"), ("dark", "#ff8080")):
        dot = viz.draw(loss, theme=theme).dot
        assert f'color="{red}"><b>NaN</b>' in dot and f'color="{red}"><b>1 NaN, 1 inf</b>' in dot
        assert f'bgcolor="{red}"' in dot
    assert viz.draw(np.divide(1.0, ad.Tensor(2.0, requires_grad=True))).dot.count("NaN") == 0


@pytest.mark.parametrize("value", [
    np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(0), np.float32(2), np.array(True), np.array([1, 2, 3]),
    np.zeros((2, 3, 4, 5)), np.array([1 + 2j, 3]), np.zeros((7, 7), dtype=bool), np.uint8(3),
    np.float16(1e-7), np.longdouble(1) / 3,
    np.array([1e308] * 10), np.full((2, 3), -np.inf), np.array([2**62] * 3),
])
def test_any_tensor_can_be_drawn(value):
    drawing = viz.draw(ad.Tensor(value))
    assert drawing.dot and "1 tensor, 0 operations" in repr(drawing)


@pytest.mark.parametrize("value", [np.zeros((0, 3)), np.float32(2), np.array(3.0)])
def test_empty_and_0d_tensors_with_gradients(value):
    w = ad.Tensor(value, requires_grad=True)
    assert viz.draw((w * 2).sum()).graph.tensors["w"].gradient.shape == value.shape
