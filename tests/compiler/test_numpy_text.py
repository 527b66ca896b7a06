"""The text for NumPy: what it writes for numbers, class numbers, sums and donated memory is eager's to the last bit."""

import re
import warnings

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff.compiler import blocks
from autodiff.compiler.numpy_calls import check_labels
from autodiff.compiler.planning import ALIGNED, scratch, workspace
from nn.compiled import train_step

RNG = np.random.default_rng(0)
X = np.array([[-0.0, 0.0, 1.5, np.inf], [np.nan, -2.0, -np.inf, 1e-310], [3.0, -0.5, 1e30, -1e-30]])


def outcome(f, *args):
    """What a function gives, and of which categories it warns."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = f(*args)
    found = found if type(found) is tuple else (found,)
    values = [np.asarray(y.data if isinstance(y, ad.Tensor) else y) for y in found]
    return values, {(each.category, str(each.message)) for each in said}


def agree(f, *args):
    """Compiled as eager: bits, dtypes, warnings."""
    compiled = ad.compile(f, jit=False)
    with np.errstate(all="ignore"):
        compiled(*args)                                     # the first call records, and may warn for that
    got, mine = outcome(compiled, *args)
    want, eager = outcome(f, *map(ad.Tensor, args))
    for a, b in zip(got, want, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), compiled.source
        np.testing.assert_array_equal(a, b, err_msg=compiled.source)
        assert np.array_equal(np.signbit(a.real)[~np.isnan(a)], np.signbit(b.real)[~np.isnan(b)]), compiled.source
    assert mine == eager, compiled.source
    return compiled.source


# ---- numbers

NUMBERS = [0, 1, -1, 3, 0.0, -0.0, 0.1, 1e-12, 2**24, 2**24 + 1, 2**53 + 1, 10**300, 1e300, 5e-324, np.nan, np.inf,
           True, np.float32(0.1), np.float64(0.1), np.int64(3), np.float64(1e300), np.float32(np.inf)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", NUMBERS, ids=[f"{type(n).__name__}-{str(n)[:12]}" for n in NUMBERS])
def test_numbers_beside_arrays(number, dtype):
    x = X.astype(dtype)

    def f(x):
        return x + number, number - x, x * number, np.maximum(x, number), (x > number) * 1.0, number / (1 + x * x)

    if isinstance(number, int) and abs(number) > 2**1000:
        number = float("1e300")
    agree(f, x)


def test_numbers_of_complex_arrays():
    agree(lambda z: (z * 2.0, z + 1j, 0.5 - z), RNG.normal(size=(3, 2)) + 1j)


def test_a_number_is_made_once():
    source = agree(lambda x: (1 - x) * (1 + x) * (1.0 - x * x), RNG.normal(size=(2, 3)))
    assert source.count("= array(1.0)") == 1
    assert not re.search(r"(add|subtract)\(1", source)


# ---- class numbers

@pytest.mark.parametrize("kind", ["i1", "u1", "<i4", ">i4", "<i8", ">i8", "u4", "u8"])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_numbers_of_every_dtype(kind, weighted):
    z, labels = RNG.normal(size=(6, 4)), np.array([3, 0, 1, 3, 2, 0])
    strided = np.repeat(labels.astype(kind), 2)[::2]

    def loss(z, labels):
        each = ad.cross_entropy_of_labels(z * 2.0, labels)
        return (each * each).sum() if weighted else each.mean()

    both = ad.value_and_grad(loss)
    compiled = ad.compile(both, jit=False)
    for given in (labels.astype(kind), strided):
        (value, slope), (want, other) = compiled(z, given), both(z, given)
        assert value == want
        np.testing.assert_array_equal(slope, other)
    for wrong in (4, 127):
        bad = labels.astype(kind)
        bad[2] = wrong
        with pytest.raises(ad.OperandError, match=f"class number {wrong}, and 4 classes"):
            compiled(z, bad)
    if np.dtype(kind).kind == "i":
        bad = labels.astype(kind)
        bad[5] = -1
        with pytest.raises(ad.OperandError, match="class number -1"):
            compiled(z, bad)


def test_labels_without_samples():
    check_labels(np.empty(0, int), 3)
    with pytest.raises(ad.OperandError):
        check_labels(np.array(3), 3)
    check_labels(np.array(2), 3)


def test_class_numbers_that_are_computed():
    def f(z, scores):
        labels = np.argmax(scores * 2.0, axis=-1)
        return ad.cross_entropy_of_labels(z, labels).sum() + ad.cross_entropy_of_labels(z * z, labels).sum()

    z, scores = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3))
    compiled, both = ad.compile(ad.value_and_grad(f), jit=False), ad.value_and_grad(f)
    for k in range(3):
        (value, slope), (want, other) = compiled(z, scores * (-1) ** k), both(z, scores * (-1) ** k)
        assert value == want
        np.testing.assert_array_equal(slope, other)
    assert compiled.source.count("= places(") == 1                      # one index for all


def test_several_threads_have_an_index_each():
    """Bound functions share nothing: the index of class numbers is part of a workspace."""
    compiled = ad.compile(lambda z, y: ad.cross_entropy_of_labels(z, y), jit=False)
    z = RNG.normal(size=(4, 3))
    compiled(z, np.zeros(4, int))
    program = compiled.kinds[0]
    (_, one, _), (_, other, _) = program.fresh(), program.fresh()
    first = one(z, np.array([0, 1, 2, 0]))[0]
    kept = first.copy()
    other(z, np.array([2, 2, 2, 2]))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(one(z, np.array([0, 1, 2, 0]))[0], kept)


# ---- sums over what was broadcast

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "small"), [
    ((5, 3), (3,)), ((5, 3), (5, 1)), ((5, 3), (1, 3)), ((5, 3), (1, 1)), ((5, 3), ()), ((1, 3), (3,)), ((40, 3), (3,)),
    ((40, 3), (40, 1)), ((2, 4, 3), (3,)), ((2, 4, 3), (4, 1)), ((2, 4, 3), (2, 1, 3)), ((2, 4, 3), (4, 3)),
    ((40, 1), (1,)), ((0, 3), (3,)), ((3, 0), (1, 0))])
def test_sums_over_what_was_broadcast(shape, small, dtype):
    x, b = RNG.normal(size=shape).astype(dtype), RNG.normal(size=small).astype(dtype)
    x[..., :1] = -0.0

    def slopes(x, b):
        return [ad.grad(f, (1,))(x, b)[0] for f in (lambda x, b: ((x + b) * x).sum(), lambda x, b: (x * b).sum())]

    compiled = ad.compile(slopes, jit=False)
    for got, want in zip(compiled(x, b), slopes(x, b), strict=True):
        assert np.asarray(got).tobytes() == np.asarray(want).tobytes(), compiled.source


# ---- memory

def test_memory_begins_on_a_cache_line():
    for size in (1, 63, 64, 1000, 5_000_000):
        assert workspace(size).ctypes.data % ALIGNED == 0
        assert workspace(size).nbytes == size
    for shape, dtype in (((3, 5), np.float32), ((7,), np.float64), ((2, 2), bool), ((), np.float32)):
        a = scratch(shape, dtype)
        assert a.ctypes.data % ALIGNED == 0
        assert (a.shape, a.dtype) == (shape, dtype)


def trained(make, dtype, n, steps=4, sizes=(4, 3, 3), **keywords):
    """Parameters and losses, compiled and eager, and what ran."""
    x, y = np.random.default_rng(1).normal(size=(n, sizes[0])).astype(dtype), np.arange(n) % sizes[-1]
    found, source = [], ""
    for compiled in (True, False):
        layers = [nn.Linear(a, b, rng=k, dtype=dtype) for k, (a, b) in enumerate(zip(sizes, sizes[1:]))]
        model = nn.Sequential(layers[0], nn.Sigmoid(), *layers[1:])
        step = train_step(model, nn.CrossEntropyLoss(), make(model.parameters()), compile=compiled, jit=False)
        losses = [step(x, y) for _ in range(steps)]
        found.append((losses, [p.data for p in model.parameters()]))
        source = step.source if compiled else source
    for a, b in zip(found[0][0] + found[0][1], found[1][0] + found[1][1], strict=True):
        np.testing.assert_array_equal(a, b, err_msg=source)
    return source


def test_gradients_of_one_sample_are_written_where_they_belong():
    """A bias is added as a row, and its gradient needs no copy."""
    source = trained(lambda ps: nn.optim.SGD(ps, lr=0.1, momentum=0.9), np.float64, 1)
    assert "copyto(c" not in source
    assert source.count("_bias_row)") + source.count("_bias_row,") == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [
    lambda ps: nn.optim.Adam(ps, lr=0.01), lambda ps: nn.optim.Adam(ps, lr=0.01, weight_decay=0.1),
    lambda ps: nn.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)],
    ids=["adam", "adam_decay", "nesterov"])
def test_a_large_update_in_blocks(make, dtype):
    """The running means are written over in place, by no more passes than a person would take."""
    source = trained(make, dtype, 3, steps=3, sizes=(300, 240, 3))
    block = source[source.index("for start in"):]
    assert "_b, " in block
    assert len(re.findall(r"= piece\w*_all", block)) <= 2


@pytest.mark.parametrize(("dtype", "close"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_a_large_product_in_another_form(dtype, close):
    """A first layer's weight lies column by column then; BLAS may round a last bit otherwise."""
    x, y = RNG.normal(size=(64, 500)).astype(dtype), np.arange(64) % 5
    found = []
    for compiled in (True, False):
        model = nn.Sequential(nn.Linear(500, 84, rng=0, dtype=dtype), nn.ReLU(), nn.Linear(84, 5, rng=1, dtype=dtype))
        optimizer = nn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        step = train_step(model, nn.CrossEntropyLoss(), optimizer, compile=compiled, jit=False)
        found.append([*[step(x, y) for _ in range(3)], *model.state_dict().values()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=close, atol=close)


class Backwards(nn.optim.Optimizer):
    """Moves each element by the gradient, and by the parameter at the other end: read in another order than written."""

    def update(self, i, g):
        return g + 0.1 * np.flip(self.params[i].data) * 1.5 + 0.0 * g

    def rule(self, p, g, kept, numbers):
        return p - numbers["lr"] * (g + 0.1 * np.flip(p) * 1.5 + 0.0 * g), []


class Lagging(nn.optim.Optimizer):
    """Two means, one of which is read again after its successor is there, while the other's place is free."""

    kept = ("fast", "slow")

    def update(self, i, g):
        state = self.state.setdefault(i, {name: np.zeros_like(g) for name in self.kept})
        direction, kept = self.moved(g, [state[name] for name in self.kept])
        state.update(zip(self.kept, kept))
        return direction

    def moved(self, g, kept):
        fast = kept[0] * 0.9 + (kept[1] * 0.5 + g)
        move = fast * 0.1 + kept[0] * 1.5
        slow = move * move
        return move + slow * 0.01, [fast, slow]

    def rule(self, p, g, kept, numbers):
        direction, kept = self.moved(g, kept)
        return p - numbers["lr"] * direction, kept


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_must_wait_does_not_lie_where_another_result_goes(dtype):
    found = []
    for compiled in (True, False):
        model = nn.Linear(300, 300, rng=0, dtype=dtype)
        step = train_step(model, nn.MSELoss(), Lagging(model.parameters(), 0.25, 0.0), compile=compiled, jit=False)
        x = np.random.default_rng(2).normal(size=(3, 300)).astype(dtype)
        found.append([*[step(x, x) for _ in range(4)], *model.state_dict().values()])
        if compiled:
            assert "for start in" in step.source
            assert "copyto(" in step.source[step.source.index("for start in"):]
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_read_in_another_order_is_not_written_over_piece_by_piece():
    n = 2 * blocks.BLOCK + 100
    models = [nn.Parameter(np.linspace(-1, 1, n)) for _ in range(2)]
    assert n > blocks.LARGE

    class Sum(nn.Module):
        def __init__(self, w):
            super().__init__()
            self.w = w

        def forward(self, x):
            return self.w * x

    steps = []
    for compiled, w in zip((True, False), models):
        model = Sum(w)
        steps.append(train_step(model, lambda p, t: ((p - t) ** 2).sum(), Backwards(model.parameters(), 0.01, 0.0),
                                compile=compiled, jit=False))
    x, y = np.ones(1), np.zeros(1)
    for _ in range(3):
        for step in steps:
            step(x, y)
    np.testing.assert_array_equal(models[0].data, models[1].data)


def test_one_element_is_not_written_over_itself():
    """NumPy copies it first, which takes twice as long as another place."""
    compiled = ad.compile(lambda x: np.exp(np.sin(np.cos(x))).sum(), jit=False)
    compiled(np.ones((1, 1)))
    places = re.findall(r"memory, (\d+)\)", compiled.source)
    assert len(set(places)) > 1


def test_results_in_one_place_are_one_array():
    """Of two arrays in the same memory NumPy first asks how they overlap."""
    compiled = ad.compile(lambda x: (1 - np.exp(np.sin(x * x)) * 2).sum(), jit=False)
    compiled(np.ones(5))
    places = re.findall(r"= (ndarray\(.*\))", compiled.source)
    assert len(places) == len(set(places)) == 1
