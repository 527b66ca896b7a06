"""Arrays that are not computed: what they say of themselves, their numbers if asked, and when two are the same."""

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
import nn
from autodiff.compiler import lazy as room
from autodiff.compiler.lazy import Lazy, NumbersNeededError, Sketch, computed
from autodiff.compiler.tracing import is_array, sketching, traced
from autodiff.state import Setting
from tests.compiler.test_table import DIFFERENTIABLE, arguments, first, known, second

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4))


def lazy(x):
    return room.lazy(x, Sketch())


def sketch(f, args):
    with Setting(sketching, Sketch()):
        return traced(f, args, {}, is_array)


def bits(x):
    return type(x) is np.ndarray, np.shape(x), x.dtype, np.asarray(x).tobytes()


def told(x):
    """What an array says without its numbers."""
    x = x.like if isinstance(x, Lazy) else x
    dense = [step for step, n in zip(x.strides, x.shape) if n > 1]
    return isinstance(x, np.ndarray), np.shape(x), x.dtype, dense if np.size(x) else []


ORDERS = {"first-d": (first, np.float64), "first-f": (first, np.float32), "second-d": (second, np.float64),
          "second-f": (second, np.float32)}


@pytest.mark.parametrize(("order", "dtype"), [
    pytest.param(*which, id=name, marks=[] if name == "first-d" else pytest.mark.slow)
    for name, which in ORDERS.items()])
def test_a_sketch_says_of_each_record_what_numpy_gives(order, dtype):
    """Shape, dtype, layout and kind of array; the numbers to the last bit, but for sums that a shortcut takes."""
    sketched = 0
    for case in DIFFERENTIABLE:
        xs, ds = arguments(case, dtype)
        f, want = known(order, case, xs, ds)
        if f is None:
            continue
        try:
            drawn = sketch(f, ds)
        except (NumbersNeededError, AttributeError, ad.OperandError):       # traced again on numbers
            continue
        real = traced(f, ds, {}, is_array)
        records = list(zip(drawn.program.records, real.program.records, strict=True))
        assert [a.op for a, b in records] == [b.op for a, b in records]
        shortcut = any(a.op is ad.sum_to for a, b in records)
        for a, b in records:
            values = zip(a.value, b.value, strict=True) if isinstance(b.value, tuple) else [(a.value, b.value)]
            for x, y in values:
                assert told(x) == told(y), (case.name, a.op)
                if shortcut:
                    np.testing.assert_allclose(np.asarray(x), y, rtol=1e-3 if dtype == np.float32 else 1e-9, atol=1e-6)
                else:
                    assert bits(computed(x)) == bits(y), (case.name, a.op)
        sketched += 1
    assert sketched > (0.8 if order is first else 0.5) * len(DIFFERENTIABLE)


LAYOUTS = {
    "rows": lambda x: x,
    "columns": np.asfortranarray,
    "last first": lambda x: np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0) if x.ndim else x,
    "strided": lambda x: np.repeat(x, 2, -1)[..., ::2] if x.ndim else x,
    "backwards": lambda x: np.flip(np.flip(x).copy())}


@settings(max_examples=60, deadline=None)
@given(shape=st.lists(st.integers(0, 3), max_size=3).map(tuple), i=st.sampled_from([*LAYOUTS]),
       j=st.sampled_from([*LAYOUTS]), dtypes=st.tuples(*[st.sampled_from(["f4", "f8", "i4", "?"])] * 2),
       f=st.sampled_from([np.add, np.multiply, np.true_divide, np.greater, np.arctan2, np.maximum, np.hypot,
                          lambda a, b: np.where(a > b, a, b), lambda a, b: a + 2.5 * b, lambda a, b: 3 - a * True]))
def test_elementwise_results_are_laid_out_as_numpys(shape, i, j, dtypes, f):
    numbers = np.random.default_rng(0).uniform(1, 3, shape)
    a, b = (LAYOUTS[how](numbers.astype(dtype)) for how, dtype in zip((i, j), dtypes))
    for other in (b, b[..., :1] if b.ndim else b, b.dtype.type(1)):
        found, want = f(Lazy(a, None, Sketch(), a), other), f(a, other)
        assert isinstance(found, Lazy) and told(found) == told(want)
        assert bits(computed(found)) == bits(want)


FUNCTIONS = [
    "np.sum(x, 0)", "np.max(x, axis=-1, keepdims=True)", "x.T @ x", "x.T.dot(x)", "x[1:, None]", "x[[2, 0]]",
    "x[x > 0]", "np.reshape(x.T, (2, 6))", "x[0, 0]", "np.concatenate([x, x * 2], 1)",
    "np.take_along_axis(x, np.argsort(x, 0), 0)", "x.sum()", "np.linalg.svd(x)[1]", "np.einsum('ij,ij->', x, x)",
    "np.cumsum(x, 1)", "x[...]", "np.zeros_like(x) + x", "np.full_like(x, x[0, 0])",
    "x.copy()", "np.copy(x)", "x.T.copy()", "np.mean(np.stack([x, x]), 0)", "np.linalg.norm(x)",
    "np.sort(x)", "np.add.reduce(x, 1)", "x.astype('f4')", "x.reshape(4, -1).transpose(1, 0)", "-x",
    "np.add.outer(x, x)", "np.modf(x)[1]", "np.add(x, 1, out=np.empty_like(x))", "abs(x)",
    "(x ** 2, x ** 0.5 if (x > 0).all() else x ** 3)[1]", "2 ** x", "np.float32(2) * x", "np.matmul(x, x.T)",
    "np.array(x)", "np.broadcast_to(x, (2, 3, 4))", "x % 0.3"]


@pytest.mark.parametrize("text", FUNCTIONS)
def test_any_function_gives_its_numbers(text):
    f = eval(f"lambda x: {text}", {"np": np})
    for x in (A, np.asfortranarray(A), A.astype("f4")):
        got, want = f(lazy(x)), f(x)
        if isinstance(got, Lazy):
            assert told(got) == told(want)
        assert bits(computed(got)) == bits(want)


def test_the_same_call_on_the_same_is_the_same_object():
    x = lazy(A)
    assert x + B is x + B and x.T is np.transpose(x) and np.sum(x, 0) is np.add.reduce(x, axis=0)
    assert x.T @ x is np.dot(x.T, x) and x[...] is x and np.add(x, 1) is x + 1
    assert np.expand_dims(x, 0) is x[None] is np.reshape(x, (1, 3, 4))
    for other in (x + B.copy(), x - B, x + B[::-1], x + B.astype("f4"), lazy(A) + B, B + x, x + np.float64(1), x + 1.0):
        assert other is not x + B and other is not x + 1
    assert x + 1 is not x + 1.0 and x + 0.0 is not x + -0.0 and x * True is not x * 1
    assert x.dot(A.T[:, :1]) is not x @ A.T[:, :1]                      # NumPy may take other ways for a vector


def test_what_is_the_same_is_forgotten_with_its_last_user():
    before = len(room.made)
    x = lazy(A)
    y = np.tanh(x * 2) + x
    assert len(room.made) == before + 3
    del y
    assert len(room.made) == before


@pytest.mark.parametrize("text", [
    "operator.iadd(y, 1)", "operator.imatmul(y, y)", "operator.setitem(y, 0, 1)", "np.add(y, 1, out=y)",
    "np.add.at(y, 0, 1)", "np.copyto(y, 1)", "np.sum(B, out=y)", "np.put_along_axis(y, np.zeros((1, 4), int), 1, 0)",
    "y.fill(0)", "y.sort()"])
def test_writing_to_what_is_not_computed_is_refused(text):
    y = lazy(A) * 2
    with pytest.raises((NumbersNeededError, AttributeError)):
        eval(text, {"np": np, "operator": operator, "y": y, "B": B})
    np.testing.assert_array_equal(computed(y), A * 2)


def test_numbers_are_written_where_they_are_asked_for():
    x, out = lazy(A), np.zeros((3, 4))
    out[...] = x * 2
    out += x
    np.multiply(x, out, out=out)
    np.add.at(out, 0, x[0])
    want = A * (A * 2 + A)
    want[0] += A[0]
    np.testing.assert_array_equal(out, want)


def test_a_long_chain_is_computed_without_recursion_and_once():
    x = y = lazy(np.ones(3))
    for _ in range(5_000):
        y = y * 1.0001
    assert float(computed(y)[0]) == pytest.approx(1.0001**5_000, rel=1e-9)
    assert computed(y) is computed(y)
    assert x.known is not None


def test_shapes_that_do_not_fit_are_told_as_by_numpy():
    compiled = ad.compile(lambda x, y: x @ y)
    with pytest.raises(ValueError, match="mismatch in its core dimension"):
        compiled(A, B)


def test_large_arrays_take_no_room():
    import resource

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    x = Lazy(room.empty((4000, 4000), np.dtype("f8")), None, Sketch())
    before = peak()
    y = x
    for _ in range(20):
        y = np.tanh(y * 2) + x
    assert y.nbytes == 128_000_000 and peak() - before < 10_000_000


def test_a_function_that_writes_is_traced_on_numbers_and_called_once_more():
    calls = []

    @ad.op
    def doubled(x):
        y = x * 1.0
        y *= 2
        return y
    doubled.derivative(lambda y, x: 2)

    def f(x):
        calls.append(1)
        return (doubled(x) * x).sum()
    compiled = ad.compile(ad.value_and_grad(f), jit=False)
    value, gradient = compiled(A)
    assert len(calls) == 2 and compiled.traces == 1
    assert value == (2 * A * A).sum()
    np.testing.assert_array_equal(gradient, 4 * A)


def test_draws_are_made_once_where_a_function_is_traced_twice():
    def f(x):
        y = ad.dropout(x, 0.5)
        return ad.max_pool(y[None], window=2)
    x = RNG.normal(size=(6, 6))
    ad.seed(3)
    want = [f(x), f(x)]
    ad.seed(3)
    compiled = ad.compile(f, jit=False)
    for y in want:
        np.testing.assert_array_equal(compiled(x), y)


def test_drawing_a_compiled_function_shows_numbers():
    x = A.copy()
    compiled = ad.compile(lambda x: np.tanh(x @ B.T).sum(), jit=False)
    compiled(x)
    values = {r.op.name: r.value for r in compiled.tape}
    np.testing.assert_array_equal(values["tanh"], np.tanh(A @ B.T))


@pytest.mark.parametrize("fast", [ad.compile, lambda f: lambda x: nn.train_step(
    layer := nn.Linear(4, 3, rng=0), lambda z, y: f(z), nn.optim.Adam(layer.parameters()), jit=False)(x, x)],
    ids=["function", "step"])
@pytest.mark.parametrize("look", [np.asarray, lambda t: t.data + 0 == 0, float, str, lambda t: t.data.max()],
                         ids=["array", "data", "float", "str", "max"])
def test_a_tensor_kept_from_a_recording_has_no_numbers(fast, look):
    kept = []

    def f(x):
        kept.append((x * x).sum())
        return np.tanh(x).sum()
    fast(f)(A)
    for t in kept:
        assert t.shape == ()
        with pytest.raises((ad.TracedValueError, AttributeError), match="kept from the recording|has no attribute"):
            bool(look(t.detach() if look is np.asarray else t))
