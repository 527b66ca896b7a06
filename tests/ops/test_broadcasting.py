"""Broadcasting, by Hypothesis: the gradient has the input's shape, and its value is the sum over the copies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autodiff as ad
from tests.table import TABLE, close, gradients_or_zeros, weight

BINARY = [case for case in TABLE if case.group == "binary"]
two = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4, min_side=0)
three = hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3, min_side=0)


def summed(g, shape):
    """The obvious way to undo a broadcast."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1), keepdims=True).reshape(shape)


def same_sum(g, terms, shape):
    """g is the terms summed to the shape, but for rounding, which goes by their sizes and not by the sum's."""
    assert g.shape == shape
    assert np.all(np.abs(g - summed(terms, shape)) <= 1e-13 * summed(np.abs(terms), shape))


def check(f, xs, result_shape):
    w = weight(np.empty(result_shape))
    ts = [ad.Tensor(x, requires_grad=True) for x in xs]
    y = f(*ts)
    assert y.shape == result_shape
    loss = (y * w).sum()
    found = ad.gradients(loss, ts)
    full = [ad.Tensor(np.broadcast_to(x, result_shape), requires_grad=True) for x in xs]
    expected = ad.gradients((f(*full) * w).sum(), full)
    for g, e, x, r in zip(found, expected, xs, ad.gradients(loss, ts, record=True)):
        assert g.shape == x.shape
        same_sum(g, e, x.shape)
        assert np.array_equal(r.numpy(), g)
    vs = [weight(x, seed=3) for x in xs]
    value, tangent = ad.jvp(f, xs, vs)
    assert np.shape(value) == np.shape(tangent) == result_shape
    close(np.sum(w * tangent), sum(np.sum(g * v) for g, v in zip(found, vs)), 1e-11)


@pytest.mark.parametrize("case", BINARY, ids=str)
@settings(max_examples=25)
@given(shapes=two)
def test_binary(case, shapes):
    case = case.with_shape(*shapes.input_shapes)
    check(lambda a, b: case.f(np, a, b), case.arrays(), shapes.result_shape)


@pytest.mark.parametrize(
    "case", [c for c in BINARY if c.name in ("multiply", "divide", "power", "squared_error", "bce_logits")], ids=str
)
@settings(max_examples=15)
@given(shapes=two)
def test_second_derivatives_of_broadcast_operands(case, shapes):
    """Against the same on operands that were broadcast beforehand, outside."""
    case = case.with_shape(*shapes.input_shapes)
    xs = case.arrays()

    def second(spread):
        ts = [ad.Tensor(x, requires_grad=True) for x in xs]
        y = case.f(np, *[spread(t) for t in ts])
        gs = ad.gradients((y * weight(y)).sum(), ts, record=True)
        return gradients_or_zeros(sum((g * weight(g, 4)).sum() for g in gs), ts)

    for g, e in zip(second(lambda t: t), second(lambda t: np.broadcast_to(t, shapes.result_shape))):
        close(g, e, 1e-11)


@settings(max_examples=60)
@given(shapes=three, seed=st.integers(0, 1000))
def test_where(shapes, seed):
    rng = np.random.default_rng(seed)
    s0, s1, s2 = shapes.input_shapes
    condition = rng.random(s0) > 0.5
    check(lambda a, b: np.where(condition, a, b), [rng.normal(size=s1), rng.normal(size=s2)], shapes.result_shape)


@settings(max_examples=40)
@given(shapes=three, seed=st.integers(0, 1000))
def test_clip(shapes, seed):
    rng = np.random.default_rng(seed)
    s0, s1, s2 = shapes.input_shapes
    xs = [rng.normal(size=s0) * 3, rng.uniform(-1.5, -0.5, s1), rng.uniform(0.5, 1.5, s2)]
    check(np.clip, xs, shapes.result_shape)


@settings(max_examples=40)
@given(
    data=st.data(),
    batch=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3, min_side=0),
    n=st.integers(0, 3),
    k=st.integers(0, 3),
    m=st.integers(0, 3),
)
def test_matmul(data, batch, n, k, m):
    """Any ranks, batches broadcast, empty ones included."""
    (left, right), result = batch.input_shapes, batch.result_shape
    a_vector = data.draw(st.booleans()) and left == ()
    b_vector = data.draw(st.booleans()) and right == ()
    rng = np.random.default_rng(0)
    a = rng.normal(size=(k,) if a_vector else (*left, n, k))
    b = rng.normal(size=(k,) if b_vector else (*right, k, m))
    ta, tb = ad.Tensor(a, requires_grad=True), ad.Tensor(b, requires_grad=True)
    y = ta @ tb
    w = weight(y)
    full_a = a.reshape(1, k) if a_vector else a
    full_b = b.reshape(k, 1) if b_vector else b
    full_w = w.reshape((*result, 1 if a_vector else n, 1 if b_vector else m))
    ga, gb = ad.gradients((y * w).sum(), [ta, tb])
    close(ga, summed(full_w @ np.swapaxes(full_b, -1, -2), full_a.shape).reshape(a.shape), 1e-12)
    close(gb, summed(np.swapaxes(full_a, -1, -2) @ full_w, full_b.shape).reshape(b.shape), 1e-12)


@settings(max_examples=60)
@given(shapes=two)
def test_sum_to_is_the_transpose_of_broadcast_to(shapes):
    small, big = shapes.input_shapes[0], shapes.result_shape
    x = weight(np.empty(big))
    assert np.shape(ad.sum_to(x, shape=small)) == small
    same_sum(ad.sum_to(x, shape=small), x, small)


def test_sum_to_refuses_what_does_not_broadcast():
    for shape in [(3,), (2, 3), (5, 2, 4), (4, 4)]:
        with pytest.raises(ValueError, match="broadcast"):
            ad.sum_to(np.ones((2, 4)), shape=shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble, np.float16])
def test_bias_gradients_over_many_rows_keep_precision_and_dtype(dtype):
    rng = np.random.default_rng(0)
    x, b = rng.normal(size=(1000, 5)).astype(dtype), ad.Tensor(np.zeros(5, dtype), requires_grad=True)
    (b * x).sum().backward()
    assert b.grad.dtype == dtype
    close(b.grad.astype(float), x.astype(float).sum(axis=0), 64 * max(float(np.finfo(dtype).eps), 2.3e-16))
