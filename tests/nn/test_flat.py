"""Parameters side by side in one array: aligned, a first layer's weight column by column, and nobody notices."""

import copy
import io
import pickle

import numpy as np
import pytest

import autodiff as ad
import nn
from nn.compiled import train_step
from nn.flat import ALIGNED, GRADIENT, stores

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(32, 40)), RNG.integers(0, 3, 32)
LOSS = nn.CrossEntropyLoss()


@pytest.fixture(autouse=True)
def place(tmp_path_factory, monkeypatch):
    """Machine code of these tests in a folder of their own, shared by them."""
    monkeypatch.setenv("WENGERT_CACHE", str(tmp_path_factory.getbasetemp() / "kernels"))


def model(dtype=np.float64):
    return nn.Sequential(nn.Linear(40, 20, rng=0, dtype=dtype), nn.Tanh(), nn.Linear(20, 3, rng=1, dtype=dtype))


def by_columns(p):
    return p.data.flags.f_contiguous and not p.data.flags.c_contiguous


class Pair:
    """A model trained compiled, and its twin trained by the eager loop."""

    def __init__(self, make=model, optimiser=lambda ps: nn.optim.Adam(ps, lr=0.01), loss=LOSS, jit=True):
        self.models = [make(), make()]
        self.optimisers = [optimiser(m.parameters()) for m in self.models]
        self.steps = [train_step(m, loss, o, compile=compiled, jit=jit)
                      for m, o, compiled in zip(self.models, self.optimisers, (True, False))]

    def step(self, x=X, y=Y, times=2):
        for _ in range(times):
            np.testing.assert_allclose(*[step(x, y) for step in self.steps], rtol=1e-10)
        self.check()

    def check(self):
        same(*[m.state_dict() for m in self.models])
        mine, other = (o.state_dict()["state"] for o in self.optimisers)
        assert mine.keys() == other.keys()
        for i in mine:
            same(mine[i], other[i])

    @property
    def turned(self):
        return [by_columns(p) for p in self.models[0].parameters()]


def same(mine, other):
    assert mine.keys() == other.keys()
    for name in mine:
        assert np.shape(mine[name]) == np.shape(other[name])
        np.testing.assert_allclose(mine[name], other[name], rtol=1e-9, atol=1e-9, err_msg=str(name))


def test_a_first_weight_lies_column_by_column():
    pair = Pair()
    pair.step()
    assert pair.turned == [True, False, False, False]
    assert pair.steps[0].source.count(".T") and "copyto" not in pair.steps[0].source      # written where it belongs


def test_all_parts_begin_on_a_cache_line():
    pair = Pair()
    pair.step()
    (store,) = stores[pair.optimisers[0]]
    parts = [p.data for p in pair.models[0].parameters()]
    parts += [store.view(name, i) for name in (GRADIENT, "exp_avg", "exp_avg_sq") for i in store.parts]
    assert all(part.ctypes.data % ALIGNED == 0 for part in parts)
    for i, p in enumerate(pair.optimisers[0].params):
        assert store.view("exp_avg", i).shape == p.shape


def test_eager_and_compiled_steps_in_turn():
    pair = Pair()
    for _ in range(2):
        pair.step()
        pair.steps.reverse()
        pair.models.reverse()
        pair.optimisers.reverse()
    for m, o in zip(pair.models, pair.optimisers):
        o.zero_grad()
        LOSS(m(X), Y).backward()
        o.step()
        assert all(p.grad.shape == p.shape for p in m.parameters())
    pair.step()


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", [lambda ps: nn.optim.SGD(ps, lr=0.1, momentum=0.9), lambda ps: nn.optim.Adam(
    ps, lr=0.01, weight_decay=0.1)], ids=["sgd", "adam"])
def test_other_optimisers(optimiser):
    pair = Pair(optimiser=optimiser)
    pair.step()
    assert pair.turned == [True, False, False, False]


@pytest.mark.slow
@pytest.mark.parametrize("other", [3, 200])
def test_batches_of_other_sizes(other):
    pair = Pair()
    pair.step()
    x, y = RNG.normal(size=(other, 40)), RNG.integers(0, 3, other)
    for _ in range(2):
        pair.step(x, y)                 # 3 is so few that all is one native function
        pair.step()


@pytest.mark.slow
def test_a_small_batch_first_leaves_the_layout():
    pair = Pair()
    pair.step(X[:2], Y[:2])
    pair.step()
    assert pair.turned == [False] * 4


def test_a_state_goes_there_and_back():
    pair = Pair()
    pair.step()
    states = [(m.state_dict(), o.state_dict()) for m, o in zip(pair.models, pair.optimisers)]
    arrays = [*states[0][0].values(), *(a for kept in states[0][1]["state"].values() for a in kept.values())]
    assert all(a.flags.c_contiguous for a in arrays if isinstance(a, np.ndarray))
    pair.step()
    for m, o, (held, kept) in zip(pair.models, pair.optimisers, states):
        m.load_state_dict(held)
        o.load_state_dict(kept)
    pair.check()
    pair.step()
    file = io.BytesIO()
    np.savez(file, **pair.models[0].state_dict())
    file.seek(0)
    same(dict(np.load(file)), pair.models[1].state_dict())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies_are_their_own(copied):
    pair = Pair()
    pair.step()
    other = copied(pair.models[0])
    same(other.state_dict(), pair.models[0].state_dict())
    np.testing.assert_allclose(other(X).data, pair.models[1](X).data)
    with ad.no_grad():
        other[0].weight[:] = 0.0
    pair.step()
    pair.models[0], pair.optimisers[0] = other, nn.optim.Adam(other.parameters(), lr=0.01)
    assert np.isfinite(train_step(other, LOSS, pair.optimisers[0], jit=True)(X, Y))


def test_writes_between_steps_are_seen():
    pair = Pair()
    pair.step()
    for m in pair.models:
        with ad.no_grad():
            m[0].weight[3, 5] = 2.0
            m[0].weight[:, 7] *= 0.5
    pair.step()


@pytest.mark.slow
def test_freezing_and_thawing():
    pair = Pair()
    pair.step()
    for only in ([0], [0, 1], [2, 3], [1], []):
        for m in pair.models:
            for i, p in enumerate(m.parameters()):
                p.requires_grad = i not in only
        pair.step()
        assert pair.turned[0]
    for m in pair.models:
        for i, p in enumerate(m.parameters()):
            p.requires_grad = i == 0                # alone, and in an array with others
    pair.step()


@pytest.mark.slow
def test_a_second_optimiser_takes_over_the_layout():
    pair = Pair()
    pair.step()
    pair.optimisers = [nn.optim.SGD(m.parameters(), lr=0.1, momentum=0.5) for m in pair.models]
    pair.steps = [train_step(m, LOSS, o, compile=c, jit=True) for m, o, c in zip(pair.models, pair.optimisers, (1, 0))]
    pair.step()
    assert pair.turned[0]
    (store,) = stores[pair.optimisers[0]]
    assert store.p is not None and store.turned == {0}


@pytest.mark.slow
@pytest.mark.parametrize("change", ["penalty", "twice", "transposed", "input"])
def test_a_weight_that_something_else_reads_stays(change):
    class Net(nn.Module):
        def __init__(self):
            self.first, self.second = nn.Linear(40, 40, rng=0), nn.Linear(40, 3, rng=1)
            self.scale = nn.Parameter(np.ones(40))

        def forward(self, x):
            if change == "input":
                x = x * self.scale              # so the weight is read once more, for the gradient
            a = np.tanh(self.first(x))
            if change == "twice":
                a = np.tanh(self.first(a))
            return self.second(a @ self.first.weight if change == "transposed" else a)

    def loss(z, y):
        return LOSS(z, y) + (0.01 * (net.first.weight ** 2).sum() if change == "penalty" else 0.0)

    pair = Pair(Net)
    steps = [train_step(m, loss, o, compile=c, jit=True) for m, o, c in zip(pair.models, pair.optimisers, (1, 0))]
    for _ in range(2):
        losses = []
        for net, step in zip(pair.models, steps):       # noqa: B007  `loss` reads it
            losses.append(step(X, Y))
        np.testing.assert_allclose(*losses, rtol=1e-10)
    pair.check()
    assert not pair.turned[0]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_whole_trainings(dtype):
    histories = []
    for compiled in (True, False):
        m = model(dtype)
        o = nn.optim.Adam(m.parameters(), lr=0.01)
        x, y = np.tile(X, (3, 1)).astype(dtype), np.tile(Y, 3)
        history = nn.fit(m, LOSS, (x, y), o, epochs=3, batch_size=32, rng=0, progress=False, compile=compiled)
        histories.append(history.train_loss)
    np.testing.assert_allclose(*histories, rtol=1e-4 if dtype == np.float32 else 1e-10)


def test_a_gradient_that_is_not_finite_is_named():
    m = model()
    o = nn.optim.Adam(m.named_parameters(), lr=0.01)
    nn.fit(m, LOSS, (X, Y), o, epochs=1, batch_size=32, rng=0, progress=False, compile=True)
    before = m.state_dict()
    wild = X.copy()
    wild[0, 0] = np.inf                         # tanh is 1 there, and its slope times infinity is NaN
    with pytest.raises(nn.NonFiniteError, match=r"gradient of 0\.weight"), np.errstate(all="ignore"):
        nn.fit(m, LOSS, (wild, Y), o, epochs=1, batch_size=32, rng=0, progress=False, compile=True)
    same(m.state_dict(), before)
