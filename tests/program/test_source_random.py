"""Random programs, printed and run: to the last bit as they ran, and within rounding on paper."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad

SHAPES = [(), (3,), (1, 3), (2, 3), (2, 1), (3, 2)]
UNARY = [np.tanh, np.sin, lambda x: -x, lambda x: x * 2, lambda x: x / 3, lambda x: 1 - x, lambda x: 0.1 * x, np.exp,
         lambda x: x ** 2, lambda x: x ** 3, ad.sigmoid, ad.relu, lambda x: x.T, lambda x: x.sum(), lambda x: x.mean(),
         lambda x: x.reshape(-1), lambda x: x[..., None], lambda x: x[None], lambda x: np.maximum(x, 0.1),
         lambda x: x.sum(axis=0) if x.ndim else x, lambda x: x.max(axis=-1, keepdims=True) if x.ndim else x,
         lambda x: x[::-1] if x.ndim else x, lambda x: x[0] if x.ndim else x, lambda x: np.where(x > 0.2, x, 0.5 * x),
         lambda x: np.concatenate([x, x]) if x.ndim else x, np.copy]
BINARY = [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / (2 + b * b),
          lambda a, b: a * b * 3 / 4, lambda a, b: -(a - b), np.maximum, lambda a, b: a @ b, lambda a, b: a @ b.T]


@st.composite
def programs(draw):
    """A loss of some leaves, some of them plain arrays."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from([np.float64, np.float64, np.float32]))
    values = []
    for i in range(draw(st.integers(2, 4))):
        array = np.asarray(rng.normal(size=draw(st.sampled_from(SHAPES))), dtype=dtype)
        array = np.asfortranarray(array) if draw(st.booleans()) else array[()]
        values.append(ad.Tensor(array, requires_grad=True, name=f"w{i}") if i == 0 or draw(st.booleans()) else array)
    for step in range(draw(st.integers(2, 14))):
        a, b = (values[draw(st.integers(0, len(values) - 1))] for _ in range(2))
        f = draw(st.sampled_from(UNARY + BINARY))
        if not isinstance(a, ad.Tensor):
            continue
        try:
            y = f(a, b) if f in BINARY else f(a)
        except (ValueError, TypeError, IndexError):             # shapes that do not fit
            continue
        if y.size <= 60 and np.all(np.isfinite(y.numpy())) and np.max(np.abs(y.numpy()), initial=0) < 1e6:
            values.append(y.named(f"t{step}") if draw(st.booleans()) and not y.is_leaf else y)
    total = sum((y * y).sum() if draw(st.booleans()) else y.mean() for y in values[-3:] if isinstance(y, ad.Tensor))
    return total + (values[0] * 1).sum()


def check(loss):
    assert ad.source(loss, simplify=False).checked == "to the last bit"
    assert "rounding" in ad.source(loss).checked


@given(programs())
@settings(max_examples=50, deadline=None)
def test_random_programs_print_and_run(loss):
    check(loss)


@pytest.mark.slow
@given(programs())
@settings(max_examples=1000, deadline=None)
def test_many_random_programs_print_and_run(loss):
    check(loss)
