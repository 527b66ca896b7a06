"""Moving, picking and joining: any shape, against NumPy and by the transpose; equal values in a sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autodiff as ad
from tests.table import close, weight

shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def check(f, x):
    """A linear map: its value is NumPy's, and its gradient the transpose, ⟨w, f(v)⟩ = ⟨fᵀ(w), v⟩ for each unit v."""
    t = ad.Tensor(x, requires_grad=True)
    y, expected = f(t), f(x)
    assert np.array_equal(y.numpy(), expected)
    assert y.shape == expected.shape
    w = weight(expected)
    [g] = ad.gradients((y * w).sum(), [t])
    r = ad.gradients((y * w).sum(), [t], record=True)[0]
    assert np.array_equal(r.numpy(), g)
    assert g.shape == x.shape
    zero = f(np.zeros_like(x))
    for i in np.ndindex(x.shape):
        unit = np.zeros_like(x)
        unit[i] = 1
        assert np.isclose(g[i], np.sum(w * (f(unit) - zero)), atol=1e-13)


def drawn(shape):
    return np.random.default_rng(0).normal(size=shape)


@settings(max_examples=60)
@given(shape=shapes, reps=st.lists(st.integers(0, 3), max_size=4) | st.integers(0, 3))
def test_tile(shape, reps):
    check(lambda x: np.tile(x, reps), drawn(shape))


@settings(max_examples=80)
@given(data=st.data(), shape=shapes)
def test_repeat(data, shape):
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1)) if shape else None
    n = int(np.prod(shape)) if axis is None else shape[axis]
    repeats = data.draw(st.integers(0, 3) | st.lists(st.integers(0, 3), min_size=n, max_size=n))
    if not isinstance(repeats, int) and not repeats:
        repeats = 2
    check(lambda x: np.repeat(x, repeats, axis), drawn(shape))
    check(lambda x: np.repeat(x, np.array(repeats), axis), drawn(shape))


@settings(max_examples=60)
@given(data=st.data(), shape=shapes)
def test_roll_and_flip(data, shape):
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1)) if shape else None
    shift = data.draw(st.integers(-5, 5))
    check(lambda x: np.roll(x, shift, axis), drawn(shape))
    check(lambda x: np.flip(x, axis), drawn(shape))
    if len(shape) > 1:
        check(lambda x: np.roll(x, (shift, 1), (0, -1)), drawn(shape))
        check(lambda x: np.rot90(x, shift, (0, -1)), drawn(shape))


@settings(max_examples=80)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3),
       mode=st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]))
def test_pad(data, shape, mode):
    width = data.draw(st.integers(0, 4) | st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)),
                                                    min_size=len(shape), max_size=len(shape)))
    if not shape:
        width = 0
    check(lambda x: np.pad(x, width, mode=mode), drawn(shape))


def test_pad_by_a_dict_and_what_it_refuses():
    check(lambda x: np.pad(x, {-1: (1, 2)}), drawn((2, 3)))
    check(lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=((1, 2), (3, 4))), drawn((2, 3)))
    with pytest.raises(ad.NoRuleError, match="linear_ramp"):
        np.pad(ad.Tensor(np.ones(3), requires_grad=True), 1, mode="linear_ramp")


@settings(max_examples=60)
@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), k=st.integers(-3, 3))
def test_triangles_and_diagonals(shape, k):
    x = drawn(shape)
    check(lambda x: np.tril(x, k), x)
    check(lambda x: np.triu(x, k), x)
    check(lambda x: np.diagflat(x, k), x)
    if len(shape) < 3:
        check(lambda x: np.diag(x, k), x)
    if len(shape) > 1:
        check(lambda x: np.diagonal(x, k), x)
        check(lambda x: np.diagonal(x, k, -1, -2), x)
        if x.shape[0]:
            close(np.trace(ad.as_tensor(x), k).numpy(), np.trace(x, k), 1e-14)


@settings(max_examples=60)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3))
def test_take(data, shape):
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    n = int(np.prod(shape)) if axis is None else shape[axis]
    shape_of_i = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
    i = data.draw(hnp.arrays(np.intp, shape_of_i, elements=st.integers(-n, n - 1)))
    check(lambda x: np.take(x, i, axis), drawn(shape))
    check(lambda x: np.take(x, i * 3, axis, mode="wrap"), drawn(shape))
    check(lambda x: np.take(x, i * 3, axis, mode="clip"), drawn(shape))


@pytest.mark.parametrize("obj", [0, -1, 3, [0, 2], [1, 1], slice(None, None, 2), [], np.array([3, 0])], ids=str)
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_insert_and_delete(obj, axis):
    check(lambda x: np.insert(x, obj, 7.0, axis), drawn((3, 3)))
    check(lambda x: np.delete(x, obj, axis), drawn((4, 4)))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2, 3), (0,), (0, 2)], ids=str)
def test_joins_and_ranks(shape):
    x = drawn(shape)
    for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d, np.ravel, lambda x: np.hstack([x, x]),
              lambda x: np.vstack([x, x]), lambda x: np.dstack([x, x]), lambda x: np.append(x, 1.0),
              lambda x: np.atleast_2d(1.0, x)[1]):
        check(f, x)
    if len(shape) in (1, 2):
        check(lambda x: np.column_stack([x, x]), x)


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_meshgrid(n, indexing):
    for i in range(n):
        check(lambda x, i=i: np.meshgrid(*[x[:k + 1] for k in range(n)], indexing=indexing)[i], drawn(3))


@pytest.mark.parametrize("sections", [1, 3, 7, [2], [0, 2, 9], np.array([1, 4])], ids=str)
def test_array_split(sections):
    x = drawn((5, 2))
    parts = np.array_split(ad.as_tensor(x), sections)
    for part, expected in zip(parts, np.array_split(x, sections), strict=True):
        assert np.array_equal(part.numpy(), expected)


def test_equal_values_keep_their_order_in_a_sort():
    x = ad.Tensor([2.0, 1.0, 2.0, 1.0], requires_grad=True)
    (np.sort(x) * np.array([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert np.array_equal(x.grad, [3, 1, 4, 2])


def test_sort_follows_a_replay_and_is_a_kink_for_gradcheck():
    x = ad.Tensor([3.0, 1.0, 2.0], requires_grad=True)
    assert np.array_equal(ad.Tape(np.sort(x) * 1.0).replay({x: np.array([1.0, 9.0, 5.0])}), [1, 5, 9])
    ad.gradcheck(lambda x: np.sort(x) ** 2, np.array([3.0, 1.0, 2.0, 2.0]), order=2)
    with pytest.raises(ad.GradcheckError, match="kink"):
        ad.gradcheck(lambda x: np.sort(x), np.array([2.0, 2.0]))


def test_options_are_kept_as_they_were():
    x, repeats, shift = ad.Tensor([1.0, 2.0], requires_grad=True), np.array([1, 2]), [1]
    y, z = np.repeat(x, repeats), np.roll(x, shift)
    repeats[0], shift[0] = 5, 0
    y.sum().backward()
    assert np.array_equal(x.grad, [1, 2])
    assert np.array_equal(ad.gradients((z * np.array([1.0, 0.0])).sum(), [x])[0], [0, 1])


def test_out_is_refused():
    x, out = ad.Tensor(np.ones((2, 2)), requires_grad=True), np.zeros((2, 2))
    for f in (lambda: np.take(x, [0], out=out), lambda: np.dot(x, x, out=out), lambda: np.einsum("ij", x, out=out),
              lambda: np.compress([True], x, out=out), lambda: np.outer(x, x, out=out), lambda: np.trace(x, out=out)):
        with pytest.raises((ad.OperandError, TypeError), match="out"):
            f()
