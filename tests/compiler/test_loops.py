"""Native loops and blocks of NumPy's calls: the same numbers as eager, whatever the length, shape and values."""

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff.compiler import blocks, cache
from autodiff.compiler.loop_text import BLOCK, LONG

LENGTHS = [1, LONG - 1, LONG, BLOCK, BLOCK + 1, 3 * BLOCK + 5]


def close(got, want, ulps=64):
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype and got.shape == want.shape
    scale = np.abs(want).max(initial=1, where=np.isfinite(want))
    near = ulps * np.finfo(want.dtype).eps
    np.testing.assert_allclose(got, want, rtol=near, atol=near * scale)


def total(x):
    t = np.tanh(x * 0.5 + 0.1)
    t = np.tanh(np.exp(ad.sigmoid(t * x)) * 0.3 - x)
    t = np.tanh(np.exp(ad.sigmoid(t + x) ** 2) * 0.5)
    return (np.exp(ad.sigmoid((t + x) * 0.7)) * x).sum()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("n", LENGTHS)
def test_a_long_chain_in_phases_and_blocks(n, dtype):
    x = np.random.default_rng(n).normal(size=n).astype(dtype)
    f = ad.value_and_grad(total)
    for got, want in zip(ad.compile(f, jit=True)(x), f(x)):
        close(got, want)


@pytest.mark.parametrize("n", [LONG, BLOCK + 1])
def test_what_is_not_finite_passes_through_phases(n):
    x = np.zeros(n)
    x[:6] = np.nan, np.inf, -np.inf, -0.0, 1e308, 5e-324
    f = lambda x: np.tanh(np.exp(np.log1p(np.abs(x))) - x) * x
    with np.errstate(all="ignore"):
        close(ad.compile(f, jit=True)(x), f(x))


@pytest.mark.parametrize("shape", [(3, LONG), (5, LONG - 1), (40, 2 * LONG + 3), (7, 10)])
def test_rows_with_a_long_chain_between_reductions(shape):
    rng = np.random.default_rng(0)
    x, b = rng.normal(size=shape), rng.normal(size=shape[1])

    def f(x, b):
        h = np.tanh(np.exp(np.tanh(x + b) * 0.5))
        h = h - h.max(-1, keepdims=True)
        p = np.exp(h) / np.exp(h).sum(-1, keepdims=True)
        return (np.log(p) * np.sin(p)).sum()
    both = ad.value_and_grad(f, (0, 1))
    got, want = ad.compile(both, jit=True)(x, b), both(x, b)
    close(got[0], want[0])
    for a, c in zip(got[1], want[1]):
        close(a, c, 1000)


def test_phases_keep_each_number_in_its_own_precision():
    x = np.random.default_rng(0).normal(size=2 * BLOCK) + 1
    f = lambda x: np.tanh(np.exp(np.exp(x).astype("f8") * 1e-3))
    single = x.astype("f4")
    np.testing.assert_allclose(ad.compile(f, jit=True)(single), f(single), rtol=2e-8)
    g = lambda x: np.tanh(np.exp(np.exp(x).astype("f4") * 1e-3))
    close(ad.compile(g, jit=True)(x), g(x), 4)


def test_truth_values_cross_phases():
    x = np.linspace(-3, 3, 4 * BLOCK)

    def f(x):
        positive = x > 0
        y = np.exp(np.tanh(np.sin(x)))
        return np.where(positive, np.tanh(y), y)
    close(ad.compile(f, jit=True)(x), f(x))


def test_the_same_program_has_the_same_text_and_one_entry_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WENGERT_CACHE", str(tmp_path / "kept"))
    x, y = np.random.default_rng(0).normal(size=(4, 5)), np.ones((4, 1))

    def source():
        model = nn.MLP([5, 4, 3, 1], activation="tanh", rng=0)
        step = nn.train_step(model, nn.MSELoss(), nn.optim.Adam(model.parameters()), jit=True)
        step(x, y)
        cache.remembered.cache_clear()
        return step.source
    assert len({source() for _ in range(4)}) == 1
    assert len(list((tmp_path / "kept").glob("*.code"))) == 1


@pytest.mark.parametrize("shape", [(blocks.LARGE,), (blocks.LARGE + 7,), (blocks.LARGE // 64 + 3, 64),
                                   (9, blocks.LARGE // 8)])
@pytest.mark.parametrize("how", ["as it is", "strided", "reversed"])
def test_blocks_of_numpy_calls_are_eager_to_the_last_bit(shape, how):
    x = np.random.default_rng(0).normal(size=(shape[0] * 2, *shape[1:])).astype("f4")
    x = {"as it is": x[:shape[0]], "strided": x[::2], "reversed": x[:shape[0]][::-1]}[how]
    f = ad.value_and_grad(total)
    got, want = ad.compile(f, jit=False)(x), f(x)
    assert got[0] == want[0] and np.array_equal(got[1], want[1])


def test_blocks_are_made_where_arrays_are_large():
    compiled = ad.compile(lambda x: np.exp(np.tanh(x) * 2 + 1) * x, jit=False)
    compiled(np.ones(blocks.LARGE - 1))
    assert "for start in" not in compiled.source
    compiled(np.ones(blocks.LARGE))
    assert "for start in" in compiled.source


@pytest.mark.parametrize("optimizer", [nn.optim.Adam, lambda p: nn.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True)])
def test_large_parameters_move_in_blocks_as_in_eager(optimizer):
    models = [nn.Linear(600, 500, rng=0) for _ in range(2)]
    x, y = np.random.default_rng(0).normal(size=(2, 600)), np.ones((2, 500))
    losses = []
    for model, compile in zip(models, (False, True)):
        step = nn.train_step(model, nn.MSELoss(), optimizer(model.parameters()), compile=compile, jit=False)
        losses.append([float(step(x, y)) for _ in range(4)])
        assert not compile or "for start in" in step.source
    assert losses[0] == losses[1]
    for p, q in zip(models[0].parameters(), models[1].parameters()):
        assert np.array_equal(p.data, q.data)


def test_the_rest_of_an_epoch_is_not_compiled_for_itself(monkeypatch):
    made = []
    build = cache.built

    def built(source, functions, **options):
        made.append(list(functions))
        return build(source, functions, **options)
    monkeypatch.setattr(cache, "built", built)
    cache.remembered.cache_clear()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(23, 6)), rng.normal(size=(23, 1))
    losses = []
    for compile in (True, False):
        model = nn.MLP([6, 5, 1], activation="tanh", rng=0)
        history = nn.fit(model, nn.MSELoss(), (x, y), nn.optim.Adam(model.parameters()), epochs=3, batch_size=7, rng=1,
                         progress=False, compile=compile)
        losses.append(history.train_loss)
    assert made == [["epochs"]]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-12)
