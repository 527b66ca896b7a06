"""Assignment to elements of results: recorded, linear in both, and what came before is left as it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autodiff as ad
from tests.table import close, complex_step, weight

X = np.random.default_rng(0).normal(size=(3, 4))
V = np.random.default_rng(1).normal(size=(3, 4))


def leaf(a):
    return ad.Tensor(a, requires_grad=True)


def test_a_loop_that_fills_an_array():
    """Fibonacci's numbers from their first two: each is a coefficient of these."""
    start = leaf(np.array([1.0, 1.0]))
    t = np.concatenate([start, np.zeros(8)])
    for i in range(2, 10):
        t[i] = t[i - 1] + t[i - 2]
    assert t[9].item() == 55
    t[9].backward()
    assert np.array_equal(start.grad, [21, 34])


def test_what_is_overwritten_has_gradient_zero():
    x, v = leaf(X), leaf(V[0])
    y = x * 2
    y[1] = v * 3
    y.sum().backward()
    assert np.array_equal(x.grad, [[2] * 4, [0] * 4, [2] * 4])
    assert np.array_equal(v.grad, [3] * 4)
    assert len(ad.Tape(y)) == 3


def test_earlier_uses_keep_the_values_they_had():
    x = leaf(X)
    y = x * 2
    before, same = (y * y).sum(), y
    row = y[0]
    y[0] = 0.0
    after = (y * y).sum()
    assert same is y
    assert np.array_equal(row.numpy(), 2 * X[0])
    assert np.array_equal(y.numpy()[0], [0] * 4)
    assert np.allclose(ad.gradients(before, [x])[0], 8 * X)
    assert np.allclose(ad.gradients(after, [x])[0], 8 * X * np.array([[0], [1], [1]]))


@pytest.mark.parametrize("index", [
    0, -1, slice(None, None, 2), (slice(None), 1), (..., slice(1, 3)), (1, 2), np.array([2, 0]), [0, 2], X > 0,
    X[:, 0] > 0,
    (np.array([0, 1]), np.array([3, 3])), (slice(1, None), [0, 2]), (slice(None), None, 1), (), ..., slice(2, 2),
], ids=str)
def test_every_kind_of_index(index):
    v = weight(X[index])
    x, w = leaf(X), leaf(v)
    y = x * 1.0
    y[index] = w * 2.0
    expected = X.copy()
    expected[index] = 2 * v
    assert np.array_equal(y.numpy(), expected)
    c = weight(X, 7)
    gx, gw = ad.gradients((y * y * c).sum(), [x, w], record=True)
    kept = np.ones(X.shape)
    kept[index] = 0
    close(gx.numpy(), 2 * X * c * kept, 1e-14)
    close(gw.numpy(), 8 * v * c[index], 1e-14)
    for g, plain in zip((gx, gw), ad.gradients((y * y * c).sum(), [x, w])):
        assert np.array_equal(g.numpy(), plain)
    _, tangent = ad.jvp(lambda x, w: ad.index_update(x, index, w), (X, v), (V, v))
    moved = V.copy()
    moved[index] = v
    assert np.array_equal(tangent, moved)


def test_of_repeated_indices_the_last_wins_and_gets_the_gradient():
    x, v = leaf(np.zeros(3)), leaf(np.array([1.0, 2.0, 3.0, 4.0]))
    y = ad.index_update(x, [1, 2, 1, 1], v)
    assert np.array_equal(y.numpy(), [0, 4, 2])
    (y * np.array([1.0, 10.0, 100.0])).sum().backward()
    assert np.array_equal(v.grad, [0, 100, 0, 10])
    assert np.array_equal(x.grad, [1, 0, 0])
    z = ad.index_update(leaf(np.zeros((2, 2))), ([0, 0], [1, 1]), v[:2])
    assert np.array_equal(ad.gradients(z.sum(), [v])[0], [0, 1, 0, 0])


@pytest.mark.parametrize("shape", [(), (4,), (1, 4), (2, 1), (2, 4), (1, 1, 2, 4)], ids=str)
def test_values_are_broadcast(shape):
    x, v = leaf(X), leaf(np.ones(shape))
    y = ad.index_update(x, slice(None, 2), v)
    (y * V).sum().backward()
    assert v.grad.shape == shape
    assert np.isclose(v.grad.sum(), V[:2].sum())
    ad.gradcheck(lambda x, v: ad.index_update(x, [0, 2], v), X, np.ones(shape), order=2)


@settings(max_examples=80)
@given(data=st.data())
def test_any_basic_index(data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    x = np.random.default_rng(0).normal(size=shape)
    v = weight(x[index])
    expected = x.copy()
    expected[index] = v
    tx, tv = leaf(x), leaf(v)
    y = ad.index_update(tx, index, tv)
    assert np.array_equal(y.numpy(), expected)
    c = weight(x, 3)
    gx, gv = ad.gradients((y * c).sum(), [tx, tv])
    close(gv, np.asarray(c)[index], 1e-15)
    kept = np.ones(shape)
    kept[index] = 0
    close(gx, kept * c, 1e-15)


@settings(max_examples=60)
@given(data=st.data())
def test_any_integer_index(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3))
    places = hnp.array_shapes(max_dims=2, max_side=4, min_side=0)
    index = data.draw(hnp.integer_array_indices(shape, result_shape=places))
    x = np.random.default_rng(0).normal(size=shape)
    v = weight(x[index])
    c = weight(x, 3)

    def f(x, v):
        y = x + 0 * v.sum()
        y[index] = v
        return (y * c).sum()

    tx, tv = leaf(x), leaf(v)
    for g, i in zip(ad.gradients((ad.index_update(tx, index, tv) * c).sum(), [tx, tv]), (0, 1)):
        close(g, complex_step(f, [x, v], i), 1e-14)


def test_arrays_in_the_index_follow_a_replay():
    x, v, i = leaf(X), leaf(V[0, :2]), ad.Tensor(np.array([0, 2]), name="i")
    y = ad.index_update(x, (i, 1), v)
    expected = X.copy()
    expected[[2, 1], 1] = V[0, :2]
    assert np.array_equal(ad.Tape(y).replay({i: np.array([2, 1])}), expected)
    [g] = ad.gradients((y * y * V).sum(), [v], record=True)
    assert np.array_equal(ad.Tape(g).replay({i: np.array([1, 1])}), [0, 2 * V[0, 1] * V[1, 1]])


def test_float32_keeps_its_dtype():
    x = leaf(X.astype(np.float32))
    y = x * 1
    y[0] = leaf(V[0])
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32
    z = ad.index_update(np.zeros(2), 0, x[0, 0])
    assert z.dtype == np.float64


def test_a_constant_is_filled_by_index_update():
    x = leaf(np.array([1.0, 2.0]))
    t = ad.Tensor(np.zeros(2))
    with pytest.raises(ad.GradientError, match="index_update"):
        t[0] = x[0]
    t = ad.index_update(t, 0, x[0])
    t[1] = x[1] * t[0]
    t.sum().backward()
    assert np.array_equal(x.grad, [3, 1])


def test_floats_into_integers_are_refused():
    with pytest.raises(ad.OperandError, match="int64"):
        ad.index_update(np.arange(3), 0, leaf(1.5))


def test_a_view_is_refused_since_numpy_would_write_through_it():
    y = leaf(X) * 2
    with pytest.raises(ad.GradientError, match=r"view of y[\s\S]*x\[0, 1\]"):
        y[0][1] = 5.0
    row = y.T
    with pytest.raises(ad.GradientError, match=r"row is a view of y"):
        row[0] = 1.0
    row = np.copy(y[0])
    row[1] = 5.0
    assert row[1].item() == 5
    assert np.array_equal(y.numpy(), 2 * X)


def test_without_recording_records_never_change():
    y = leaf(X) * 2
    with ad.no_grad(), pytest.raises(ad.GradientError, match="records never change"):
        y[0] = 1.0


def test_errors_name_the_operand_and_the_line():
    y = leaf(X) * 2
    with pytest.raises(IndexError, match=r"index_update[\s\S]*test_assignment.py"):
        y[7] = 1.0
    with pytest.raises(ValueError, match=r"index_update[\s\S]*\(3,\)"):
        y[0] = np.ones(3)


def test_values_written_to_later_are_caught():
    y, v = leaf(X) * 2, np.ones(4)
    y[0] = v
    v[0] = 2.0
    with pytest.raises(ad.MutationError):
        y.sum().backward()


def test_sort_in_place():
    x = leaf(np.array([3.0, 1.0, 2.0]))
    y = x * 1.0
    assert y.sort() is None
    (y * np.array([1.0, 10.0, 100.0])).sum().backward()
    assert np.array_equal(x.grad, [100, 1, 10])
    with pytest.raises(ad.GradientError, match="leaf"):
        x.sort()
    c = ad.Tensor([2.0, 1.0])
    c.sort()
    assert np.array_equal(c.numpy(), [1, 2])
