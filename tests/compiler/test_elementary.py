"""Native elementary functions: errors in ulp over the whole range, edges, and that loops of them become vectors."""

import decimal
import importlib.util
import math
import re
from decimal import Decimal

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiff.compiler import cache, elementary, object_code
from autodiff.compiler.cache import PRELUDE
from autodiff.compiler.elementary import NATIVE

# What the module's docstring promises, in ulp.
BOUND = {"exp": 1.0, "expm1": 1.5, "log": 0.9, "log1p": 0.9, "tanh": 2.6, "sigmoid": 2.5, "softplus": 1.8}
DTYPES = {"f": np.dtype("float32"), "d": np.dtype("float64")}
CASES = [(name, char) for name in BOUND for char in "fd"]

LOOP = """
def {name}(x, o):
    for i in range(x.shape[0]):
        o[i] = {name}_(x[i])
"""
REDUCTIONS = """
def total(x, o):
    s = x[0]
    for i in range(1, x.shape[0]):
        s = accumulate(s, x[i])
    o[0] = s

def largest(x, y, o):
    for i in range(x.shape[0]):
        o[i] = maximum(x[i], y[i])

def smallest(x, y, o):
    for i in range(x.shape[0]):
        o[i] = minimum(x[i], y[i])

def largest_of_all(x, o):
    s = x[0]
    for i in range(x.shape[0]):
        s = maximum(s, x[i])
    o[0] = s

def quotient(x, y, o):
    for i in range(x.shape[0]):
        o[i] = divided(x[i], y[i])

def arithmetic(x, y, o):
    for i in range(x.shape[0]):
        o[i] = (x[i] * y[i] + x[i]) / (y[i] - x[i] * x[i]) - x[i] * y[i]
"""
SOURCE = (PRELUDE + "\n" + "\n".join(f"{name}_ = {name}" for name in BOUND)
          + "".join(LOOP.format(name=name) for name in BOUND) + REDUCTIONS)
SHAPES = {**dict.fromkeys(BOUND, 2), "total": 2, "largest_of_all": 2, "largest": 3, "smallest": 3, "quotient": 3,
          "arithmetic": 3}


def signatures(char):
    return {name: f"void({', '.join([f'{DTYPES[char]}[::1]'] * count)})" for name, count in SHAPES.items()}


@pytest.fixture(scope="module")
def kernels():
    """The functions above by (name, dtype char), compiled once, as `cache.built` does."""
    module = {}
    exec(SOURCE, module)
    return {(name, char): numba.njit(signature, **object_code.OPTIONS)(module[name])
            for char in "fd" for name, signature in signatures(char).items()}


def run(kernels, name, x, *others):
    out = np.full_like(x, 7)
    kernels[name, x.dtype.char](x, *others, out)
    return out


def wide_reference(name, x):
    """The function in the next wider type, by NumPy."""
    with np.errstate(all="ignore"):         # a signalling NaN is invalid even in a cast
        x = x.astype(np.float64 if x.dtype.char == "f" else np.longdouble)
        if name == "sigmoid":
            e = np.exp(-np.abs(x))
            return np.where(x < 0, e, 1) / (1 + e)
        if name == "softplus":
            return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
        return getattr(np, name)(x)


def ulps(y, reference):
    """The distance in units of the last place that the true value has in the dtype of `y`."""
    with np.errstate(all="ignore"):
        rounded = reference.astype(y.dtype)
        error = np.abs(y - reference) / np.spacing(np.abs(rounded)).astype(reference.dtype)
        alike = (y == rounded) | (np.isnan(y) & np.isnan(rounded))
    return np.where(alike & ~np.isfinite(error), 0, np.where(np.isnan(error), np.inf, error))


def everywhere(char, count, seed):
    """Numbers of every exponent and both signs alike, then more where the functions are neither 0, 1 nor infinite."""
    rng = np.random.default_rng(seed)
    dtype = DTYPES[char]
    word = np.uint32 if char == "f" else np.uint64
    bits = rng.integers(0, np.iinfo(word).max, count, word, endpoint=True)
    wide = 104 if char == "f" else 746
    return np.concatenate([bits.view(dtype), rng.uniform(-2, 2, count).astype(dtype),
                           rng.uniform(-wide, wide, count).astype(dtype),
                           (1 + rng.uniform(-0.5, 0.5, count)).astype(dtype),
                           np.exp2(rng.uniform(-30, 8, count)).astype(dtype)])


def test_every_promised_function_is_tested_in_both_precisions():
    assert {name for name, char in NATIVE} == {*BOUND, "maximum", "minimum"}
    assert {char for name, char in NATIVE} == {"f", "d"}


@pytest.mark.parametrize(("name", "char"), CASES)
def test_error_in_ulp_over_the_whole_range(kernels, name, char):
    x = everywhere(char, 40_000, seed=len(name))
    error = ulps(run(kernels, name, x), wide_reference(name, x))
    # Where a long double is no longer than a double, the reference itself is off by as much again.
    slack = 1.5 if char == "d" and np.finfo(np.longdouble).nmant == np.finfo(np.float64).nmant else 0
    worst = error.argmax()
    assert error[worst] <= BOUND[name] + slack, (x[worst], error[worst])


def exactly(name, x):
    """The function of the double `x` in 60 digits."""
    x = Decimal(float(x))
    if name == "exp":
        return x.exp()
    if name == "expm1":
        return x.exp() - 1
    if name == "log":
        return x.ln()
    if name == "log1p":
        return (1 + x).ln()
    if name == "tanh":
        return 1 - 2 / ((2 * x).exp() + 1)
    if name == "sigmoid":
        return 1 / (1 + (-x).exp())
    return (1 + x.exp()).ln() if x > -60 else x.exp() - (2 * x).exp() / 2


@pytest.mark.parametrize(("name", "char"), CASES)
def test_against_exact_decimals(kernels, name, char):
    x = everywhere(char, 160, seed=1)
    x = x[np.isfinite(x) & (np.abs(x) > 1e-30) & (np.abs(x) < 700)]
    if name.startswith("log"):
        x = np.abs(x)
    y = run(kernels, name, x)
    with decimal.localcontext(prec=80):
        worst = max(abs((Decimal(float(got)) - exactly(name, at)) / Decimal(float(np.spacing(np.abs(got)))))
                    for at, got in zip(x, y) if np.isfinite(got))
    assert worst <= 2 * BOUND[name]          # the unit is that of what came out, which may be half the true value's


@numba.njit
def worst_of(y, reference):
    """The largest distance in float32 units, of what is not the rounded reference."""
    worst = 0.0
    for i in range(y.shape[0]):
        r = np.float32(reference[i])
        if y[i] != r and not (np.isnan(y[i]) and np.isnan(r)):
            unit = 2.0 ** (max(math.frexp(r)[1] - 24, -149) if r else -149)
            error = abs(y[i] - reference[i]) / unit
            if not error <= worst:
                worst = error if error == error else math.inf
    return worst


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUND)
def test_every_float32(kernels, name):
    # Against our own float64, which is tested above against others.
    size = 1 << 20
    x, y, reference = np.arange(size, dtype=np.uint32), np.empty(size, np.float32), np.empty(size)
    for _ in range(0, 1 << 32, size):
        kernels[name, "f"](x.view(np.float32), y)
        with np.errstate(invalid="ignore"):         # a signalling NaN
            wide = x.view(np.float32).astype(np.float64)
        kernels[name, "d"](wide, reference)
        assert worst_of(y, reference) <= BOUND[name], hex(x[0])
        x += np.uint32(size)


@pytest.mark.parametrize("char", "fd")
@pytest.mark.parametrize("name", BOUND)
def test_edges_are_those_of_numpy(kernels, name, char):
    info = np.finfo(DTYPES[char])
    zero, one = info.dtype.type(0), info.dtype.type(1)
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, info.max, info.min, info.tiny, -info.tiny,
             info.smallest_subnormal, -info.smallest_subnormal, 1, -1, -2, np.nextafter(-one, zero), 1e5, -1e5]
    x = np.array(edges * 9, info.dtype)         # long enough for the vectors, and each edge in several of their lanes
    y, expected = run(kernels, name, x), wide_reference(name, x).astype(info.dtype)
    assert (np.isnan(y) == np.isnan(expected)).all()
    assert (np.isinf(y) == np.isinf(expected)).all()
    number = ~np.isnan(expected)
    assert (np.signbit(y) == np.signbit(expected))[number].all()
    np.testing.assert_array_max_ulp(y[np.isfinite(expected)], expected[np.isfinite(expected)], math.ceil(BOUND[name]))


@pytest.mark.parametrize("char", "fd")
def test_exp_underflows_gradually_and_overflows_at_the_last_moment(kernels, char):
    info = np.finfo(DTYPES[char])
    low = math.log(float(info.smallest_subnormal)) if char == "d" else math.log(1.401298464324817e-45)
    x = np.linspace(low - 1, math.log(float(info.tiny)) + 1, 4096).astype(info.dtype)
    y = run(kernels, "exp", x)
    assert (np.diff(y) >= 0).all() and y[0] == 0
    assert ((y > 0) & (y < info.tiny)).sum() > 50           # subnormals, not zeros
    top = np.nextafter(info.dtype.type(math.log(float(info.max))), info.dtype.type(0))
    around = np.array([top, np.nextafter(top, info.dtype.type(np.inf)) * info.dtype.type(1.0001)], info.dtype)
    assert np.isfinite(run(kernels, "exp", around)).tolist() == [True, False]


@pytest.mark.parametrize("char", "fd")
def test_sigmoid_keeps_its_digits_where_one_plus_its_exponential_overflows(kernels, char):
    x = np.array([-88.0, -90.0, -100.0] if char == "f" else [-709.0, -720.0, -740.0], DTYPES[char])
    y = run(kernels, "sigmoid", x)
    assert (y > 0).all() and ulps(y, wide_reference("exp", x)).max() <= 1


@pytest.mark.parametrize("char", "fd")
@pytest.mark.parametrize("name", ["tanh", "expm1", "log1p"])
def test_small_arguments_come_back(kernels, name, char):
    info = np.finfo(DTYPES[char])
    x = np.geomspace(float(info.tiny), float(info.eps) / 8, 1001).astype(info.dtype)
    x = np.concatenate([x, -x])
    np.testing.assert_array_equal(run(kernels, name, x), x)


@pytest.mark.parametrize("char", "fd")
@pytest.mark.parametrize("name", BOUND)
def test_lanes_and_remainders_agree(kernels, name, char):
    # A loop's last few rounds run in other code than its vectors; the same number must give the same result.
    x = everywhere(char, 40, seed=3)
    alone = np.array([run(kernels, name, x[i:i + 1])[0] for i in range(x.size)])
    for length in (1, 3, 8, 17, 33, 64, 131, x.size):
        np.testing.assert_array_equal(run(kernels, name, x[:length]), alone[:length])


@pytest.mark.parametrize("name", [*BOUND, "total", "largest_of_all"])
@pytest.mark.parametrize("char", "fd")
def test_loops_become_vectors(kernels, name, char):
    text = "".join(kernels[name, char].inspect_llvm().values())
    width = r"<\d+ x float>" if char == "f" else r"<\d+ x double>"
    work = {"total": "fadd", "largest_of_all": "maximum"}.get(name, "fmul")
    assert re.search(rf"{work}[^\n]* {width}", text)


def numbers(width):
    return st.floats(width=width) | st.sampled_from([math.nan, math.inf, -math.inf])


@pytest.mark.parametrize("char", "fd")
@given(data=st.data())
def test_maximum_and_minimum_are_those_of_numpy(kernels, char, data):
    pairs = st.lists(st.tuples(numbers(32), numbers(32)), min_size=1, max_size=40)
    x, y = np.array(data.draw(pairs), DTYPES[char]).T.copy()
    np.testing.assert_array_equal(run(kernels, "largest", x, y), np.maximum(x, y))
    np.testing.assert_array_equal(run(kernels, "smallest", x, y), np.minimum(x, y))
    np.testing.assert_array_equal(run(kernels, "largest_of_all", x)[0], x.max())


@pytest.mark.parametrize("char", "fd")
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5000))
def test_a_sum_differs_in_its_order_only(kernels, char, seed, count):
    x = np.random.default_rng(seed).standard_normal(count).astype(DTYPES[char])
    got = float(run(kernels, "total", x)[0])
    assert abs(got - math.fsum(x)) <= count * float(np.finfo(x.dtype).eps) * math.fsum(np.abs(x))


@pytest.mark.parametrize(("poison", "expected"), [(math.nan, math.nan), (math.inf, math.inf), (-math.inf, -math.inf)])
@pytest.mark.parametrize("char", "fd")
def test_sums_and_maxima_do_not_hide_what_is_not_finite(kernels, char, poison, expected):
    for at in (0, 5, 99):
        x = np.ones(100, DTYPES[char])
        x[at] = poison
        np.testing.assert_array_equal(run(kernels, "total", x)[0], expected)
        np.testing.assert_array_equal(run(kernels, "largest_of_all", x)[0], 1 if poison == -math.inf else expected)


@pytest.mark.parametrize("char", "fd")
@given(data=st.data())
def test_arithmetic_is_that_of_numpy_to_the_bit(kernels, char, data):
    pairs = st.lists(st.tuples(numbers(32), numbers(32)), min_size=1, max_size=40)
    x, y = np.array(data.draw(pairs), DTYPES[char]).T.copy()
    with np.errstate(all="ignore"):
        expected = (x * y + x) / (y - x * x) - x * y
    np.testing.assert_array_equal(run(kernels, "arithmetic", x, y), expected)


@pytest.mark.parametrize("char", "fd")
def test_division_by_what_is_no_number_s_edge(kernels, char):
    dtype = DTYPES[char]
    rng = np.random.default_rng(4)
    x = np.concatenate([everywhere(char, 4000, seed=5), rng.normal(size=20_000).astype(dtype)])
    y = np.exp2(rng.uniform(-120, 126, x.size)).astype(dtype)
    x = np.where(np.isnan(x), dtype.type(np.nan), x)        # a signalling one warns when it is converted
    got, wide = run(kernels, "quotient", x, y), x.astype(np.longdouble) / y
    normal = (np.abs(wide) > np.finfo(dtype).tiny) & (np.abs(wide) < np.finfo(dtype).max) & np.isfinite(x)
    assert normal.sum() > 10_000 and ulps(got, wide)[normal].max() <= 2.7
    far = np.abs(wide) < 1.001 * np.longdouble(np.finfo(dtype).max)
    assert np.isfinite(got[normal]).all() and not np.isfinite(got[~far]).any() and np.isnan(got[np.isnan(x)]).all()
    ones, high = np.ones(64, dtype), np.full(64, np.inf, dtype)
    assert (run(kernels, "quotient", ones, high) < np.finfo(dtype).eps ** 2).all()          # and not NaN


TURN = """
def turned(x, y):
    for i in range(0, x.shape[0] - {n} + 1, {n}):
        for j in range(0, x.shape[1] - {n} + 1, {n}):
            turn(x, i, j, y)
"""


@pytest.mark.parametrize("char", "fd")
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 5)])
def test_squares_are_transposed(char, shape):
    dtype = DTYPES[char]
    n = 64 // dtype.itemsize
    turned = cache.built(PRELUDE + TURN.format(n=n), {"turned": f"void({dtype}[:, ::1], {dtype}[:, ::1])"})["turned"]
    rows, columns = shape[0] * n, shape[1] * n
    x = np.arange((rows + 1.0) * (columns + 3)).astype(dtype).reshape(rows + 1, columns + 3)
    y = np.full((columns + 3, rows + 1), -1, dtype)
    turned(x, y)
    np.testing.assert_array_equal(y[:columns, :rows], x.T[:columns, :rows])
    assert (y[columns:] == -1).all() and (y[:, rows:] == -1).all()          # nothing beyond


@pytest.mark.parametrize("call", ["exp(x[i:])", "exp(i)", "maximum(x[i], 0.0)", "accumulate(x[i], i)"])
def test_other_types_are_refused(call, monkeypatch):
    monkeypatch.setenv("WENGERT_CACHE", "off")
    text = f"{PRELUDE}\ndef f(x):\n    for i in range(x.shape[0]):\n        x[i] = {call}\n"
    with pytest.raises(numba.core.errors.TypingError):
        cache.built(text, {"f": "void(float32[::1])"})


def test_an_older_llvm_is_refused(monkeypatch):
    spec = importlib.util.spec_from_file_location("older", elementary.__file__)
    monkeypatch.setattr(elementary.binding, "llvm_version_info", (15, 0, 7))
    with pytest.raises(ImportError, match=r"numba 0\.62"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
