"""Random programs compiled both ways: what NumPy gives in planned memory is eager's to the last bit, loops nearly.

The programs are those of ``tests/test_random_programs.py``, with views, reductions and products, all of whose values
are handed out: this is where memory used again too early, or handed out twice, would be seen.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import autodiff as ad
from tests.test_random_programs import BINARY, JOIN, SHAPES, UNARY, Program, bounded, broadcasts

ALL = sorted({**UNARY, **BINARY, **JOIN}.keys() - {"mask"})         # its shape depends on values
SEVERAL = {
    "sum": lambda x: np.sum(x, axis=0) if x.ndim else x * 1.0,
    "swap": lambda x: np.swapaxes(x, 0, -1) if x.ndim else x,
    "middle": lambda x: x[..., ::2] if x.ndim else x,
    "repeat": lambda x: np.repeat(x, 2, axis=0) if x.ndim else x,
}


@pytest.fixture(autouse=True, scope="module")
def place(tmp_path_factory):
    """Machine code of these tests in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WENGERT_CACHE", str(tmp_path_factory.getbasetemp() / "kernels"))
        yield


class Values(Program):
    """A program that gives all its values."""

    def __call__(self, *inputs):
        values = list(inputs)
        for name, i, j in self.lines:
            a, b = values[i % len(values)], values[j % len(values)]
            if name in SEVERAL:
                y = SEVERAL[name](a)
            elif name in UNARY:
                y = UNARY[name](a)
            elif name in JOIN:
                y = JOIN[name](a, b)
            else:
                y = BINARY[name](a, b) if broadcasts(a.shape, b.shape) else a * 1.0
            if y.size > 400:
                y = y.mean()
            values.append(bounded(y))
        return values[len(inputs):]

    def total(self, *inputs):
        """A scalar that depends on all values."""
        return sum((y * (0.3 + 0.1 * k)).sum() for k, y in enumerate(self(*inputs)))


@st.composite
def programs(draw, least=3, most=25):
    shapes = tuple(draw(st.lists(st.sampled_from([*SHAPES, (1, 1), (4, 1, 3), (0, 3)]), min_size=1, max_size=3)))
    line = st.tuples(st.sampled_from([*ALL, *SEVERAL]), st.integers(0, 40), st.integers(0, 40))
    return Values(shapes, tuple(draw(st.lists(line, min_size=least, max_size=most))), draw(st.integers(0, 10_000)))


def same(got, want, exact, text):
    got, want = np.asarray(got), np.asarray(want)
    assert (got.shape, got.dtype) == (want.shape, want.dtype), text
    if exact:
        np.testing.assert_array_equal(got, want, err_msg=text)
    else:
        scale = max(1.0, np.abs(want).max(initial=0))
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * scale, err_msg=text)


def check(program, jit, gradients, calls=2):
    """The same at several inputs, earlier results untouched by later calls."""
    xs = program.inputs()
    try:
        with np.errstate(all="ignore"):
            eager = ad.value_and_grad(program.total, argnums=tuple(range(len(xs)))) if gradients else program
            eager(*map(ad.Tensor, xs))
    except Exception:               # an empty maximum, say: nothing to compile
        return
    compiled = ad.compile(eager, jit=jit)
    kept = []
    with np.errstate(all="ignore"):
        for k in range(calls):
            ys = [x * (1 - 0.5 * k) for x in xs]
            got, want = compiled(*ys), eager(*(ys if gradients else [ad.Tensor(y, requires_grad=True) for y in ys]))
            got, want = ([got[0], *got[1]], [want[0], *want[1]]) if gradients else (got, [y.data for y in want])
            kept += [(got, want)]
            for y, x in zip(ys, xs):
                assert np.array_equal(y, x * (1 - 0.5 * k)), "an argument was written to"
    for got, want in kept:
        for a, b in zip(got, want, strict=True):
            same(a, b, not jit and not gradients, compiled.source)


BOUNDED = settings(max_examples=60, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
                   suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=1500, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@BOUNDED
@given(programs())
def test_values_without_extras(program):
    check(program, jit=False, gradients=False)


@BOUNDED
@given(programs())
def test_gradients_without_extras(program):
    check(program, jit=False, gradients=True)


@settings(BOUNDED, max_examples=4)
@given(programs(least=15))
def test_values_natively(program):
    check(program, jit=True, gradients=False)


@settings(BOUNDED, max_examples=4)
@given(programs(least=8, most=12))
def test_gradients_natively(program):
    check(program, jit=True, gradients=True)


@pytest.mark.slow
@pytest.mark.parametrize("gradients", [False, True])
def test_long_without_extras(gradients):
    settings(LONG)(given(programs(most=40))(lambda program: check(program, jit=False, gradients=gradients)))()


@pytest.mark.slow
@pytest.mark.parametrize("gradients", [False, True])
def test_long_natively(gradients):
    settings(LONG, max_examples=300)(given(programs())(lambda program: check(program, jit=True, gradients=gradients)))()
