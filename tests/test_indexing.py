"""Every kind of index: its value, its transpose, derivatives through it, and how the time grows."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autodiff as ad
from tests.table import close, gradients_or_zeros, weight

A = np.random.default_rng(0).normal(size=(4, 5, 3))
MASK = A > 0
INDICES = {
    "int": 1,
    "negative": -1,
    "numpy_int": np.int64(2),
    "slice": slice(1, 3),
    "step": slice(None, None, 2),
    "backwards": slice(None, None, -1),
    "empty": slice(2, 2),
    "ellipsis": ...,
    "none": None,
    "nothing": (),
    "tuple": (1, 2),
    "full": (1, 2, 0),
    "mixed_basic": (slice(1, None), None, 2, ...),
    "newaxes": (None, ..., None),
    "list": [0, 2],
    "list_repeated": [1, 1, 3, 1],
    "empty_list": [],
    "array": np.array([0, 3, 3]),
    "array_negative": np.array([-1, 0, -1]),
    "int32": np.array([1, 1], np.int32),
    "unsigned": np.array([1, 3], np.uint8),
    "matrix": np.array([[0, 1], [1, 1]]),
    "zero_d": np.array(2),
    "pairs": (np.array([0, 1, 0]), np.array([2, 2, 2])),
    "triples": ([0, 0, 0], [1, 1, 1], [2, 2, 2]),
    "broadcast": (np.array([[0], [2]]), np.array([1, 1, 4])),
    "array_slice": (np.array([1, 1]), slice(None, None, 2)),
    "slice_array": (slice(1, 3), [0, 0, 4]),
    "apart": ([0, 1, 1], slice(None), [2, 2, 2]),
    "together": (slice(None), [1, 1], [0, 0]),
    "int_array": (1, [0, 0, 2]),
    "array_int": ([1, 1], 2),
    "array_newaxis": ([1, 1], None),
    "array_ellipsis": (..., [0, 0]),
    "mask": MASK,
    "mask_rows": np.array([True, False, True, True]),
    "mask_list": [True, False, False, True],
    "mask_none": np.zeros(4, bool),
    "mask_middle": (slice(None), np.array([True, False, True, False, True])),
    "mask_two_axes": MASK[:, :, 0],
    "mask_and_int": (np.array([True, False, True, True]), 1),
    "mask_and_array": (np.array([True, False, True, False]), [1, 1]),
    "true": True,
    "false": False,
    "numpy_true": np.True_,
    "true_in_tuple": (True, 1),
    "range": range(3),
    "range_in_tuple": (range(2), [1, 1]),
    "tuple_in_tuple": ((0, 0, 1), slice(None)),
    "tuples": ((1, 1, 1), (2, 2, 2)),
    "nested_lists": ([[0, 0], [1, 1]],),
    "list_of_one": [2],
}
kinds = pytest.mark.parametrize("kind", INDICES)


def transposed(index, g):
    """What NumPy's own accumulation makes of it."""
    out = np.zeros_like(A)
    np.add.at(out, index, g)
    return out


@kinds
def test_value_and_transpose(kind):
    index = INDICES[kind]
    x = ad.Tensor(A, requires_grad=True)
    y = x[index]
    assert np.array_equal(y.numpy(), A[index])
    assert y.shape == A[index].shape
    w = weight(y)
    loss = (y * w).sum()
    [g] = ad.gradients(loss, [x])
    assert np.array_equal(g, transposed(index, w))
    [r] = ad.gradients(loss, [x], record=True)
    assert np.array_equal(r.numpy(), g)
    assert g.flags.writeable
    assert g.base is None


@kinds
def test_second_derivative(kind):
    index = INDICES[kind]
    x = ad.Tensor(A, requires_grad=True)
    y = x[index]
    w = weight(y)
    [g] = ad.gradients((y * y * y * w).sum(), [x], record=True)
    assert np.allclose(g.numpy(), transposed(index, 3 * A[index] ** 2 * w), rtol=1e-13)
    v = weight(A, seed=3)
    [h] = gradients_or_zeros((g * v).sum(), [x])
    assert np.allclose(h, transposed(index, 6 * A[index] * w) * v, rtol=1e-12)
    [third] = ad.hvp(lambda x: (x[index] ** 3 * w).sum(), (A,), (v,))
    assert np.allclose(third, h, rtol=1e-12)


@kinds
def test_forward_mode_and_replay(kind):
    index = INDICES[kind]
    v = weight(A, seed=3)
    value, tangent = ad.jvp(lambda x: x[index] * x[index], (A,), (v,))
    assert np.allclose(tangent, 2 * A[index] * v[index], rtol=1e-14)
    x = ad.Tensor(A, requires_grad=True)
    y = x[index] * 2.0
    assert np.array_equal(ad.Tape(y).replay({x: -A}), -2 * A[index])
    assert np.asarray(ad.Tape(y).replay(dtype=np.longdouble)).dtype == np.longdouble
    del value


@kinds
def test_a_tensor_of_a_row_accumulates_with_the_whole(kind):
    """The same tensor used whole, in parts, and twice: all contributions arrive."""
    index = INDICES[kind]
    x = ad.Tensor(A, requires_grad=True)
    h = x * 2.0
    loss = h.sum() + (h[index] * 3.0).sum() + h[0].sum() + (h * h).sum() + (h[index] * 5.0).sum()
    found = ad.gradients(loss, [x, h])
    expected = 1 + transposed(index, np.full(A[index].shape, 8.0)) + 4 * A
    expected[0] += 1
    close(found[1], expected, 1e-14)
    close(found[0], 2 * expected, 1e-14)
    for r, g in zip(ad.gradients(loss, [x, h], record=True), found):
        assert np.array_equal(r.numpy(), g)


@settings(max_examples=150)
@given(data=st.data())
def test_any_basic_index(data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    a = np.random.default_rng(0).normal(size=shape)
    x = ad.Tensor(a, requires_grad=True)
    y = x[index]
    w = weight(y)
    [g] = ad.gradients((y * w).sum(), [x])
    expected = np.zeros(shape)
    expected[index] += w
    assert np.array_equal(y.numpy(), a[index])
    assert np.array_equal(g, expected)


@settings(max_examples=100)
@given(data=st.data())
def test_any_integer_index(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    index = data.draw(
        hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3, min_side=0))
    )
    a = np.random.default_rng(0).normal(size=shape)
    x = ad.Tensor(a, requires_grad=True)
    w = weight(a[index])
    [g] = ad.gradients((x[index] * w).sum(), [x])
    expected = np.zeros(shape)
    np.add.at(expected, index, w)
    assert np.array_equal(g, expected)


# ---- arrays in an index are operands


def test_index_arrays_are_operands_of_the_record():
    x = ad.Tensor(A, requires_grad=True)
    i = ad.Tensor(np.array([0, 1, 1]), name="i")
    y = x[i]
    assert np.array_equal(y.numpy(), A[[0, 1, 1]])
    tape = ad.Tape(y)
    assert i.record in tape.leaves
    assert np.array_equal(tape.replay({i: np.array([3, 3, 0])}), A[[3, 3, 0]])
    [g] = ad.gradients(y.sum(), [x])
    assert np.array_equal(g, transposed([0, 1, 1], 1.0))


def test_a_replay_of_the_gradient_with_other_indices_is_right():
    x = ad.Tensor(A, requires_grad=True)
    i, j = ad.Tensor(np.array([0, 1, 1]), name="i"), ad.Tensor(np.array([2, 2, 0]), name="j")
    y = x[i, j] ** 2
    [g] = ad.gradients(y.sum(), [x], record=True)
    ni, nj = np.array([3, 3, 3]), np.array([4, 4, 1])
    assert np.allclose(ad.Tape(g).replay({i: ni, j: nj}), transposed((ni, nj), 2 * A[ni, nj]), rtol=1e-15)


def test_several_tensor_indices_with_slices_between():
    x = ad.Tensor(A, requires_grad=True)
    i, k = ad.Tensor(np.array([0, 0])), ad.Tensor(np.array([1, 1]))
    y = x[i, 1:3, k]
    assert np.array_equal(y.numpy(), A[[0, 0], 1:3, [1, 1]])
    assert np.array_equal(ad.gradients(y.sum(), [x])[0], transposed(([0, 0], slice(1, 3), [1, 1]), 1.0))


def test_a_mask_computed_from_the_tensor_follows_a_replay():
    x = ad.Tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)
    loss = (x[x > 0] ** 2).sum()
    [g] = ad.gradients(loss, [x], record=True)
    assert np.array_equal(g.numpy(), [2, 0, 6])
    tape = ad.Tape(loss, g)
    value, gradient = tape.replay({x: np.array([-1.0, 4.0, 5.0])})
    assert value == 41
    assert np.array_equal(gradient, [0, 8, 10])
    h = 1e-30
    assert np.imag(ad.Tape(loss).replay({x: np.array([1.0 + h * 1j, -2.0, 3.0])}, dtype=complex)) / h == 2


def test_a_zero_dimensional_tensor_as_index():
    x, i = ad.Tensor(A, requires_grad=True), ad.Tensor(2)
    assert np.array_equal(x[i].numpy(), A[2])
    assert np.array_equal(x[i, 1].numpy(), A[2, 1])
    assert np.array_equal(ad.gradients(x[i].sum(), [x])[0], transposed(2, 1.0))
    assert np.array_equal(ad.Tape(x[i]).replay({i: 3}), A[3])


def test_plain_arrays_with_tensor_indices():
    """An array indexed by a constant Tensor is NumPy's business; it must give the right rows or raise."""
    i = ad.Tensor(np.array([0, 2]))
    assert np.array_equal(A[i.numpy()], A[[0, 2]])
    assert np.array_equal(A[ad.Tensor(2)], A[2])


def test_index_arrays_are_kept_as_they_were():
    """Writing to the index after use is caught, never followed silently."""
    x, index = ad.Tensor(A, requires_grad=True), np.array([0, 1])
    for key in (index, (index, slice(None)), (0, index)):
        loss = x[key].sum()
        index += 1
        with pytest.raises(ad.MutationError, match="index|key|operand"):
            loss.backward()
        index -= 1
    as_list = [0, 1]
    loss = x[as_list].sum()
    as_list[0] = 3
    assert np.array_equal(ad.gradients(loss, [x])[0], transposed([0, 1], 1.0))


# ---- errors


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (4, IndexError),
        (-5, IndexError),
        ((0, 0, 0, 0), IndexError),
        ([0, 9], IndexError),
        (np.ones(3, bool), IndexError),
        (1.5, IndexError),
        ("a", IndexError),
        ([0.5], IndexError),
        ((..., ...), IndexError),
        (([0, 1], [0, 1, 2]), IndexError),
    ],
    ids=str,
)
def test_indices_that_do_not_fit(index, error):
    x = ad.Tensor(A, requires_grad=True, name="x")
    with pytest.raises(error) as caught:
        x[index]
    assert isinstance(caught.value, ad.OperationError)
    assert "(4, 5, 3)" in str(caught.value)
    assert "test_indexing.py" in str(caught.value)


def test_a_tensor_of_floats_as_index_is_refused():
    x = ad.Tensor(A, requires_grad=True)
    with pytest.raises((IndexError, TypeError), match=r"index|integer"):
        x[ad.Tensor([0.0, 1.0])]


# ---- time and memory


def elapsed(n):
    x = ad.Tensor(np.ones(n), requires_grad=True)
    loss = sum(x[i] * float(i) for i in range(n))
    start = time.perf_counter()
    loss.backward()
    took = time.perf_counter() - start
    assert np.array_equal(x.grad, np.arange(float(n)))
    return took


def elapsed_recorded(n):
    x = ad.Tensor(np.ones(n), requires_grad=True)
    loss = sum(x[i] * x[i] for i in range(n))
    start = time.perf_counter()
    [g] = ad.gradients(loss, [x], record=True)
    [h] = ad.gradients(g.sum(), [x])
    took = time.perf_counter() - start
    assert np.array_equal(h, np.full(n, 2.0))
    return took


def elapsed_rows(n):
    x = ad.Tensor(np.ones((n, 64)), requires_grad=True)
    loss = sum(row.sum() for row in x)
    start = time.perf_counter()
    loss.backward()
    return time.perf_counter() - start


def elapsed_joined(n):
    x = ad.Tensor(np.ones(n), requires_grad=True)
    y = np.concatenate([x[i : i + 1] for i in range(n)])
    start = time.perf_counter()
    ad.gradients((y * y).sum(), [x])
    return time.perf_counter() - start


def elapsed_stacked(n):
    x = ad.Tensor(np.ones(n), requires_grad=True)
    y = np.stack([x[i] for i in range(n)])
    start = time.perf_counter()
    ad.gradients((y * y).sum(), [x])
    return time.perf_counter() - start


def elapsed_split(n):
    x = ad.Tensor(np.ones(n), requires_grad=True)
    loss = sum(piece.sum() for piece in np.split(x, n))
    start = time.perf_counter()
    loss.backward()
    return time.perf_counter() - start


@pytest.mark.parametrize(
    ("f", "few", "many"),
    [
        (elapsed, 2000, 8000),
        (elapsed_rows, 2000, 8000),
        (elapsed_recorded, 1000, 4000),
        (elapsed_joined, 1000, 4000),
        (elapsed_stacked, 2000, 8000),
        (elapsed_split, 2000, 8000),
    ],
    ids=lambda f: getattr(f, "__name__", str(f)),
)
def test_many_pieces_take_linear_time(f, few, many):
    """Four times the pieces, about four times the time: 16 would be quadratic."""
    small, large = min(f(few) for _ in range(3)), f(many)
    if large >= 12 * small:  # perhaps somebody else was at work
        small, large = min(small, f(few), f(few)), min(large, f(many))
    assert large < 12 * small, f"{small * 1e3:.1f} ms for {few}, {large * 1e3:.1f} ms for {many}"


def test_the_scatter_of_a_few_elements_of_a_large_array_is_one_allocation():
    """1000 single elements of a million: one array of a million is made, not a thousand."""
    x = ad.Tensor(np.zeros(1_000_000), requires_grad=True)
    loss = sum(x[i] for i in range(0, 1_000_000, 1000))
    start = time.perf_counter()
    loss.backward()
    assert time.perf_counter() - start < 0.5
    assert x.grad.sum() == 1000


def test_float32_pieces_stay_float32():
    x = ad.Tensor(np.ones(5, np.float32), requires_grad=True)
    loss = (x[1:3] * np.ones(2)).sum() + x[[0, 0]].sum() * np.float64(2) + (x * 2.0).sum()
    loss.backward()
    assert x.grad.dtype == np.float32
    assert np.array_equal(x.grad, [6, 3, 3, 2, 2])
    [g] = ad.gradients(loss, [x], record=True)
    assert g.dtype == np.float32
