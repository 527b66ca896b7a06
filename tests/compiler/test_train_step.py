"""nn.train_step against the eager loop: the same numbers, whatever happens to model and optimiser between the steps."""

import copy
import pickle
import tracemalloc
import warnings

import numpy as np
import pytest

import autodiff as ad
import nn
from nn.compiled import train_step

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 5)), RNG.integers(0, 3, 12)
LOSS = nn.CrossEntropyLoss()

OPTIMISERS = {
    "sgd": lambda ps: nn.optim.SGD(ps, lr=0.1),
    "decay": lambda ps: nn.optim.SGD(ps, lr=0.1, weight_decay=0.01),
    "momentum": lambda ps: nn.optim.SGD(ps, lr=0.1, momentum=0.9),
    "nesterov": lambda ps: nn.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda ps: nn.optim.Adam(ps, lr=0.01),
    "adam_decay": lambda ps: nn.optim.Adam(ps, lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1),
}


@pytest.fixture(autouse=True)
def place(tmp_path_factory, monkeypatch):
    """Machine code of these tests in a folder of their own, shared by them."""
    monkeypatch.setenv("WENGERT_CACHE", str(tmp_path_factory.getbasetemp() / "kernels"))


def model(dtype=np.float64, seed=0):
    return nn.Sequential(nn.Linear(5, 4, rng=seed, dtype=dtype), nn.Tanh(), nn.Linear(4, 3, rng=seed + 1, dtype=dtype))


class Pair:
    """A model trained compiled, and its twin trained by the eager loop."""

    def __init__(self, optimiser="adam", jit=False, make=model, loss=LOSS):
        if isinstance(optimiser, str):
            optimiser = OPTIMISERS[optimiser]
        self.models = [make(), make()]
        self.optimisers = [optimiser(m.parameters()) for m in self.models]
        self.steps = [train_step(m, loss, o, compile=compiled, jit=jit)
                      for m, o, compiled in zip(self.models, self.optimisers, (True, False))]

    def step(self, x=X, y=Y, times=3):
        for _ in range(times):
            losses = [step(x, y) for step in self.steps]
            np.testing.assert_allclose(*losses, rtol=1e-10)
        self.check()

    def each(self, change):
        for m, o in zip(self.models, self.optimisers):
            change(m, o)

    def check(self, rtol=1e-9):
        mine, other = (m.state_dict() for m in self.models)
        for path in mine:
            np.testing.assert_allclose(mine[path], other[path], rtol=rtol, atol=rtol, err_msg=path)
        mine, other = (o.state_dict()["state"] for o in self.optimisers)
        assert mine.keys() == other.keys()
        for i in mine:
            assert mine[i].keys() == other[i].keys()
            for name in mine[i]:
                np.testing.assert_allclose(mine[i][name], other[i][name], rtol=rtol, atol=rtol, err_msg=f"{name}[{i}]")


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("jit", [False, True], ids=["numpy", "jit"])
def test_the_same_numbers_as_eager(optimiser, jit):
    Pair(optimiser, jit).step(times=5)


def test_parameters_of_two_dtypes():
    def make():
        return nn.Sequential(nn.Linear(5, 4, rng=0, dtype=np.float32), nn.Tanh(), nn.Linear(4, 3, rng=1))
    pair = Pair(make=make)
    for _ in range(4):
        losses = [step(X, Y) for step in pair.steps]
        np.testing.assert_allclose(*losses, rtol=1e-6)
    pair.check(rtol=1e-5)
    assert [p.dtype for p in pair.models[0].parameters()] == [p.dtype for p in pair.models[1].parameters()]


def test_two_shapes_of_batch_in_turn():
    pair = Pair()
    for _ in range(3):
        pair.step(times=1)
        pair.step(X[:5], Y[:5], times=1)
    assert pair.steps[0].traces == 2


def test_many_shapes_of_batch_are_told():
    pair = Pair("sgd")
    for n in range(1, 9):
        pair.step(X[:n], Y[:n], times=1)
    with pytest.warns(ad.CompileWarning, match="recorded 9 times"):
        pair.step(X[:9], Y[:9], times=1)
    pair.step(X[:10], Y[:10], times=1)


def test_the_learning_rate_is_read_at_each_step():
    pair = Pair()
    for lr in (0.1, 0.01, 0.5):
        pair.each(lambda m, o, lr=lr: setattr(o, "lr", lr))
        pair.step()
    assert pair.steps[0].traces == 1


@pytest.mark.parametrize("setting", [("weight_decay", 0.1), ("betas", (0.5, 0.6)), ("eps", 1e-3)], ids=lambda s: s[0])
def test_adams_settings_may_change(setting):
    pair = Pair()
    pair.step()
    pair.each(lambda m, o: setattr(o, *setting))
    pair.step()


@pytest.mark.parametrize("setting", [("weight_decay", 0.1), ("momentum", 0.5), ("momentum", 0.0), ("nesterov", True)],
                         ids=lambda s: f"{s[0]}-{s[1]}")
def test_descents_settings_may_change(setting):
    pair = Pair("momentum")
    pair.step()
    pair.each(lambda m, o: setattr(o, *setting))
    pair.step()


def test_momentum_begins_later():
    pair = Pair("sgd")
    pair.step()
    pair.each(lambda m, o: setattr(o, "momentum", 0.9))
    pair.step()


# ---- what happens between the steps

def load_parameters(m, o):
    m.load_state_dict({path: value * 0.5 for path, value in m.state_dict().items()})


def new_arrays(m, o):
    for p in m.parameters():
        p.data = p.data * 0.5


def new_arrays_for_one(m, o):
    p = m.parameters()[1]
    p.data = p.data + 0.25


def in_place(m, o):
    with ad.no_grad():
        for p in m.parameters():
            p *= 0.5


def through_an_element(m, o):
    with ad.no_grad():
        m.parameters()[0][1, 2] = 7.0


def load_optimiser(m, o):
    state = o.state_dict()
    for kept in state["state"].values():
        for name in kept:
            kept[name] = kept[name] * 2
    o.load_state_dict(state)


def forget(m, o):
    fresh = type(o)(m.parameters(), lr=0.01)
    o.load_state_dict(fresh.state_dict())


def eager_step(m, o):
    o.zero_grad()
    LOSS(m(X), Y).backward()
    o.step()
    o.zero_grad()


def eager_step_for_some(m, o):
    o.zero_grad()
    LOSS(m(X), Y).backward()
    m.parameters()[0].grad = None
    o.step()
    o.zero_grad()


def freeze(m, o):
    m.parameters()[0].requires_grad = False


def freeze_all_but_one(m, o):
    for p in m.parameters()[1:]:
        p.requires_grad = False


def thaw(m, o):
    for p in m.parameters():
        p.requires_grad = True


BETWEEN = [load_parameters, new_arrays, new_arrays_for_one, in_place, through_an_element, load_optimiser, forget,
           eager_step, eager_step_for_some, freeze, freeze_all_but_one]


@pytest.mark.parametrize("change", BETWEEN, ids=lambda f: f.__name__)
@pytest.mark.parametrize("optimiser", ["adam", "momentum"])
def test_whatever_happens_between_steps_is_seen(change, optimiser):
    pair = Pair(optimiser)
    pair.step()
    pair.each(change)
    pair.step()
    pair.each(thaw)
    pair.step()
    pair.each(change)
    pair.step()


@pytest.mark.parametrize("change", [load_optimiser, new_arrays, eager_step, freeze], ids=lambda f: f.__name__)
def test_it_may_happen_before_the_first_step(change):
    pair = Pair("adam")
    pair.each(eager_step)
    pair.each(change)
    pair.step()


def test_both_shapes_of_batch_see_what_happened_between():
    pair = Pair()
    for change in BETWEEN[:8]:
        pair.step()
        pair.each(change)
        pair.step(X[:5], Y[:5])


def test_another_dtype_of_parameters_is_recorded_anew():
    pair = Pair("sgd")
    pair.step()

    def narrow(m, o):
        for p in m.parameters():
            p.data = p.data.astype(np.float32)
    try:
        pair.each(narrow)
    except Exception:                   # then nothing can go wrong
        return
    for _ in range(3):
        losses = [step(X.astype(np.float32), Y) for step in pair.steps]
        np.testing.assert_allclose(*losses, rtol=1e-5)
    pair.check(rtol=1e-5)


def test_two_optimisers_share_a_model():
    pairs = []
    for compiled in (True, False):
        m = model()
        one, two = m.parameters()[:2], m.parameters()[2:]
        a = train_step(m, LOSS, nn.optim.Adam(one, lr=0.01), compile=compiled, jit=False)
        b = train_step(m, LOSS, nn.optim.SGD(two, lr=0.1, momentum=0.5), compile=compiled, jit=False)
        pairs.append((m, [f(X, Y) for _ in range(4) for f in (a, b)]))
    (m, losses), (n, expected) = pairs
    np.testing.assert_allclose(losses, expected, rtol=1e-10)
    for p, q in zip(m.parameters(), n.parameters()):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-10)


def test_two_steps_share_model_and_optimiser():
    """Each has groups of its own; what one moved the other sees."""
    pair = Pair("adam")
    pair.steps = [[train_step(m, LOSS, o, compile=compiled, jit=False) for _ in range(2)]
                  for m, o, compiled in zip(pair.models, pair.optimisers, (True, False))]
    for k in (0, 1, 0, 1, 1, 0):
        losses = [steps[k](X, Y) for steps in pair.steps]
        np.testing.assert_allclose(*losses, rtol=1e-10)
    pair.check()


def test_two_models_do_not_mix():
    first, second = Pair("adam"), Pair("adam", make=lambda: model(seed=7))
    for _ in range(3):
        first.step(times=1)
        second.step(times=1)


def test_shared_parameters():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(5, 5, rng=0)
            self.second = nn.Linear(5, 5, rng=1)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(np.tanh(self.first(x)))

    Pair(make=Tied).step(times=4)


class Partly(nn.Module):
    """The loss does not reach all of it, before a switch is thrown."""

    def __init__(self):
        super().__init__()
        self.used, self.spare = nn.Linear(5, 3, rng=0), nn.Linear(5, 3, rng=1)

    def forward(self, x):
        return self.used(x) if self.training else self.used(x) + self.spare(x)


@pytest.mark.parametrize("optimiser", ["adam", "momentum"])
def test_parameters_that_the_loss_does_not_reach_stay(optimiser):
    pair = Pair(optimiser, make=Partly)
    before = pair.models[0].spare.weight.data.copy()
    pair.step()
    assert np.array_equal(before, pair.models[0].spare.weight.data)
    pair.each(lambda m, o: m.eval())
    pair.step()
    pair.each(lambda m, o: m.train())
    pair.step()
    pair.each(lambda m, o: m.eval())
    pair.step()


def test_frozen_parameters_stay():
    pair = Pair()
    pair.each(freeze)
    before = pair.models[0].parameters()[0].data.copy()
    pair.step()
    assert np.array_equal(before, pair.models[0].parameters()[0].data)


def test_a_scalar_parameter():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.scale = nn.Linear(5, 3, rng=0), nn.Parameter(1.5)

        def forward(self, x):
            return self.inner(x) * self.scale

    for optimiser in ("sgd", "momentum", "adam"):
        pair = Pair(optimiser, make=Scaled)
        pair.step(times=4)
        pair.each(load_parameters)
        pair.step()


# ---- optimisers of the user's own

class Signs(nn.optim.Optimizer):
    """It has an update and no formula."""

    def update(self, i, g):
        return np.sign(g)


class Counting(nn.optim.Optimizer):
    """It overrides step itself."""

    def step(self):
        for p in self.params:
            if p.grad is not None:
                p.data = p.data - self.lr * p.grad / (1 + self.state.setdefault("n", 0))
        self.state["n"] += 1

    def state_dict(self):
        return {"state": {}}


class Half(nn.optim.SGD):
    """A subclass that changes the update only."""

    def update(self, i, g):
        return 0.5 * super().update(i, g)


class Clipped(nn.optim.Adam):
    """A subclass that changes the step only."""

    def step(self):
        for p in self.params:
            if p.grad is not None:
                p.grad = np.clip(p.grad, -0.01, 0.01)
        super().step()


OWN = {
    "update": lambda ps: Signs(ps, lr=0.01, weight_decay=0.0),
    "update_decay": lambda ps: Signs(ps, lr=0.01, weight_decay=0.1),
    "step": lambda ps: Counting(ps, lr=0.1, weight_decay=0.0),
    "half": lambda ps: Half(ps, lr=0.1, momentum=0.9),
    "clipped": lambda ps: Clipped(ps, lr=0.1),
}


@pytest.mark.parametrize("own", OWN)
def test_an_optimiser_of_the_users_own_without_a_formula(own):
    pair = Pair(OWN[own])
    pair.step(times=4)
    pair.step(X[:5], Y[:5])
    pair.each(new_arrays)
    pair.step()


def test_with_a_formula_of_its_own():
    class Mine(nn.optim.SGD):
        def update(self, i, g):
            return np.sign(g)

        def step(self):
            nn.optim.Optimizer.step(self)

        def rule(self, p, g, kept, numbers):
            return p - numbers["lr"] * np.sign(g), []

    pair = Pair(lambda ps: Mine(ps, lr=0.01))
    pair.step(times=4)
    assert "sign" in pair.steps[0].source and "lr" in pair.steps[0].source


# ---- errors leave everything as it was

def everything(m, o):
    return copy.deepcopy((m.state_dict(), o.state_dict()))


def same(a, b):
    np.testing.assert_equal(a, b)


@pytest.mark.parametrize("jit", [False, True], ids=["numpy", "jit"])
@pytest.mark.parametrize("optimiser", ["adam", "momentum"])
def test_an_error_in_a_step_changes_nothing(optimiser, jit):
    pair = Pair(optimiser, jit)
    pair.step()
    before = everything(pair.models[0], pair.optimisers[0])
    for wrong in (3, -1, 10**9):
        with pytest.raises(ad.OperandError, match="class number"):
            pair.steps[0](X, np.where(np.arange(12) == 7, wrong, Y))
        same(everything(pair.models[0], pair.optimisers[0]), before)
    pair.step()


@pytest.mark.parametrize("optimiser", ["adam", "momentum"])
def test_an_error_in_the_first_step_changes_nothing(optimiser):
    pair = Pair(optimiser)
    before = everything(pair.models[0], pair.optimisers[0])
    with pytest.raises(ad.OperandError, match="class number"):
        pair.steps[0](X, np.where(np.arange(12) == 7, 3, Y))
    with pytest.raises(ad.ShapeError):
        pair.steps[0](X[:, :4], Y)
    same(everything(pair.models[0], pair.optimisers[0]), before)
    pair.each(eager_step)
    pair.step()


def test_an_error_of_numpys_in_the_middle_changes_nothing():
    """Overflow with errors on: raised while gradients are computed, before anything moves."""
    def loss(z, y):
        return np.exp(z * y).sum()

    pair = Pair("adam", loss=loss)
    y = np.float64(0.5)
    for step in pair.steps:
        step(X, y)
    before = everything(pair.models[0], pair.optimisers[0])
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        pair.steps[0](X, np.float64(1e6))
    same(everything(pair.models[0], pair.optimisers[0]), before)


def test_shapes_that_do_not_fit_give_the_eager_error():
    pair = Pair()
    messages = []
    for step in pair.steps:
        with pytest.raises(ad.ShapeError) as caught:
            step(X[:, :4], Y)
        messages.append(str(caught.value))
    assert messages[0].splitlines()[0].partition(" at ")[0] == messages[1].splitlines()[0].partition(" at ")[0]


def test_a_loss_that_is_no_scalar_is_told():
    pair = Pair(loss=lambda z, y: z)
    with pytest.raises(ad.GradientError, match="scalar"):
        pair.steps[0](X, Y)


def test_value_dependent_control_flow_is_told():
    pair = Pair(loss=lambda z, y: z.sum() if z.sum() > 0 else -z.sum())
    with pytest.raises(ad.TracedValueError, match=r"np\.where"):
        pair.steps[0](X, Y)


# ---- what is handed out, kept, counted

def test_a_graph_recorded_before_a_step_is_not_walked_after():
    pair = Pair("sgd")
    pair.step()
    loss = LOSS(pair.models[0](X), Y)
    pair.steps[0](X, Y)
    with pytest.raises(ad.MutationError):
        loss.backward()


def test_losses_are_numbers_of_their_own():
    pair = Pair("sgd")
    losses = [pair.steps[0](X, Y) for _ in range(4)]
    assert len({float(loss) for loss in losses}) == 4
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies_of_a_trained_model_are_their_own(copied):
    pair = Pair("adam")
    pair.step()
    other = copied(pair.models[0])
    held = other.state_dict()
    same(held, pair.models[0].state_dict())
    pair.step()
    same(held, other.state_dict())
    with ad.no_grad():
        for p in other.parameters():
            p *= 0.0
    pair.check()
    size = sum(p.data.nbytes for p in other.parameters())
    assert len(pickle.dumps(other)) < 8 * size + 8000


def test_dropout_draws_what_eager_draws():
    def make():
        return nn.Sequential(nn.Linear(5, 8, rng=0), nn.Dropout(0.5), nn.Linear(8, 3, rng=1))

    results = []
    for compiled in (True, False):
        m = make()
        step = train_step(m, LOSS, nn.optim.SGD(m.parameters(), lr=0.1), compile=compiled, jit=False)
        rng = ad.seed(3)
        results.append(([step(X, Y) for _ in range(5)], rng.bit_generator.state))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-12)
    assert results[0][1] == results[1][1]


def test_memory_is_flat():
    pair = Pair("adam")
    step = pair.steps[0]
    for _ in range(20):
        step(X, Y)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            step(X, Y)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 20_000


def test_variables_of_the_user_keep_their_arrays():
    """Who holds a parameter's array sees it move, as in the eager loop."""
    m = model()
    held = [p.data for p in m.parameters()]
    row = m.parameters()[0].data[1]
    step = train_step(m, LOSS, nn.optim.SGD(m.parameters(), lr=0.1), jit=False)
    step(X, Y)
    for p, array in zip(m.parameters(), held):
        assert np.array_equal(p.data, array)
    assert np.array_equal(row, m.parameters()[0].data[1])


def test_no_warnings_and_no_gradients_left_behind():
    pair = Pair("adam")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pair.step()
    assert [p.grad for p in pair.models[0].parameters()] == [None] * 4


class TwoInputs(nn.Module):
    """The sum of two layers, each with an input of its own."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 2, rng=0), nn.Linear(3, 2, rng=1)

    def forward(self, xs):
        u, v = xs
        return self.a(u) + self.b(v)


def scaled_error(prediction, target):
    return ((prediction - target["t"]) ** 2).mean() * target["scale"]


@pytest.mark.parametrize(("build", "loss", "batches"), [
    (TwoInputs, nn.MSELoss(), [((X, X[:, :3]), X[:, :2]), ([X + 1, X[:, 1:4]], X[:, :2])]),
    (TwoInputs, scaled_error, [((X, X[:, :3]), {"t": X[:, :2], "scale": k}) for k in (1.0, 2.0, 1.0)]),
    (lambda: nn.Linear(5, 1, rng=0), nn.MSELoss(reduction="sum"), [(X, 1.0), (X, 1), (X, 2.0), (X, X[:, :1].tolist())]),
], ids=["tuple", "dict", "number"])
def test_a_batch_may_be_of_several_arrays_or_hold_plain_numbers(build, loss, batches):
    losses = {}
    for compile in (True, False):
        m = build()
        step = train_step(m, loss, nn.optim.Adam(m.parameters(), lr=0.1), compile=compile)
        losses[compile] = [float(step(*batch)) for batch in batches for _ in range(2)]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-12)
