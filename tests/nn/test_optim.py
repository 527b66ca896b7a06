"""Optimisers against plain transcriptions of the published updates, and what they refuse."""

import numpy as np
import pytest

import autodiff as ad
import nn

SHAPES = [(3, 2), (2,), ()]


def sgd(p, gradients, lr, momentum, nesterov, decay):
    """PyTorch's documented algorithm, line by line."""
    p, b = p.copy(), None
    for t, g in enumerate(gradients, start=1):
        g = g + decay * p
        if momentum:
            b = g if t == 1 else momentum * b + g
            g = g + momentum * b if nesterov else b
        p = p - lr * g
    return p


def adam(p, gradients, lr, betas, eps, decay):
    """Kingma and Ba, algorithm 1, with PyTorch's weight decay."""
    p, m, v = p.copy(), 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        g = g + decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g ** 2
        p = p - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return p


def run(make, dtype=np.float64, steps=7):
    """Parameters after some steps along random gradients, and these."""
    rng = np.random.default_rng(0)
    params = [nn.Parameter(rng.normal(size=shape), name=f"p{i}", dtype=dtype) for i, shape in enumerate(SHAPES)]
    start = [np.array(p.data) for p in params]
    gradients = [[rng.normal(size=shape).astype(dtype) for shape in SHAPES] for _ in range(steps)]
    optimizer = make(params)
    for gs in gradients:
        for p, g in zip(params, gs, strict=True):
            p.grad = np.array(g)
        optimizer.step()
    return params, start, [list(column) for column in zip(*gradients, strict=True)]


@pytest.mark.parametrize(("momentum", "nesterov", "decay"), [
    (0, False, 0), (0.9, False, 0), (0.9, True, 0), (0, False, 0.1), (0.9, False, 0.1), (0.5, True, 0.1)])
def test_sgd_is_the_published_update(momentum, nesterov, decay):
    params, start, gradients = run(lambda ps: nn.optim.SGD(ps, 0.1, momentum, nesterov, decay))
    for p, p0, gs in zip(params, start, gradients, strict=True):
        assert np.allclose(p.data, sgd(p0, gs, 0.1, momentum, nesterov, decay), rtol=1e-13)


@pytest.mark.parametrize("settings", [dict(), dict(lr=0.05, betas=(0.5, 0.9), eps=1e-3), dict(weight_decay=0.1),
                                      dict(betas=(0.0, 0.0))], ids=str)
def test_adam_is_the_published_update(settings):
    params, start, gradients = run(lambda ps: nn.optim.Adam(ps, **settings))
    full = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0) | settings
    full["decay"] = full.pop("weight_decay")
    for p, p0, gs in zip(params, start, gradients, strict=True):
        assert np.allclose(p.data, adam(p0, gs, **full), rtol=1e-12)


@pytest.mark.parametrize("make", [lambda ps: nn.optim.SGD(ps, 0.1), lambda ps: nn.optim.SGD(ps, 0.1, 0.9, True, 0.1),
                                  lambda ps: nn.optim.Adam(ps, weight_decay=0.1)], ids=["plain", "momentum", "adam"])
def test_float32_stays(make):
    params, start, _ = run(make, np.float32)
    for p, p0 in zip(params, start, strict=True):
        assert p.dtype == np.float32
        assert not np.array_equal(p.data, p0)


@pytest.mark.parametrize("make", [lambda ps: nn.optim.SGD(ps, 0.1), lambda ps: nn.optim.SGD(ps, 0.1, 0.9),
                                  lambda ps: nn.optim.Adam(ps)], ids=["plain", "momentum", "adam"])
def test_a_step_writes_in_place_is_counted_and_keeps_nothing_of_the_gradient(make):
    w, idle = nn.Parameter([1.0, 2.0], name="w"), nn.Parameter([1.0], name="idle")
    optimizer = make([w, idle])
    record, array = w.record, w.record.value
    loss = (w ** 2).sum()
    loss.backward()
    version, g = record.version, w.grad
    optimizer.step()
    assert w.record is record
    assert record.value is array
    assert record.version > version
    assert idle.data.tolist() == [1.0]
    before = [np.array(v) for v in optimizer.state.get(0, {}).values()]
    g[:] = 1e9                                              # the user's own array
    assert all(np.array_equal(a, b) for a, b in zip(before, optimizer.state.get(0, {}).values(), strict=True))
    with pytest.raises(ad.MutationError, match="w, used by"):
        loss.backward()
    optimizer.zero_grad()
    assert w.grad is None
    assert 1 not in optimizer.state


def test_a_parameter_that_has_no_gradient_yet_starts_its_own_count():
    a, b = nn.Parameter([1.0]), nn.Parameter([1.0])
    optimizer = nn.optim.Adam([a, b], lr=0.1)
    a.grad = np.ones(1)
    optimizer.step()
    b.grad = np.ones(1)
    optimizer.step()
    assert (optimizer.state[0]["step"], optimizer.state[1]["step"]) == (2, 1)
    assert b.data.item() == pytest.approx(0.9, abs=1e-7)


def test_the_learning_rate_may_change():
    w = nn.Parameter([1.0])
    optimizer = nn.optim.SGD([w], lr=0.1)
    optimizer.lr = 0.5
    w.grad = np.ones(1)
    optimizer.step()
    assert w.data.tolist() == [0.5]


@pytest.mark.parametrize("start", [[1.0, 2.0], 1.0])
def test_a_learning_rate_of_zero_moves_nothing_and_keeps_counting(start):
    w = nn.Parameter(start)
    optimizer = nn.optim.Adam([w], lr=0.1)
    optimizer.lr = 0
    w.grad = np.ones(w.shape)
    optimizer.step()
    assert np.array_equal(w.data, start)
    assert optimizer.state[0]["step"] == 1


def test_a_gradient_that_is_not_finite_is_not_hidden():
    w = nn.Parameter([1.0, 1.0])
    w.grad = np.array([np.nan, 1.0])
    nn.optim.SGD([w], lr=0.5).step()
    assert np.isnan(w.data[0])
    assert w.data[1] == 0.5


def test_parameters_may_come_with_names_and_frozen():
    model = nn.MLP([2, 2, 1], rng=0)
    model.layers[0].weight.requires_grad = False
    before = model.state_dict()
    for params in (model.parameters(), model.named_parameters(), iter(model.parameters())):
        optimizer = nn.optim.SGD(params, lr=0.1)
        model.loss_fn(model(np.ones((1, 2))), np.ones((1, 1))).backward()
        optimizer.step()
        optimizer.zero_grad()
    after = model.state_dict()
    assert [np.array_equal(before[path], after[path]) for path in before] == [True, False, False, False]
    assert repr(optimizer) == "SGD(4 parameters, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)"


W = nn.Parameter([[1.0]], name="W")
REFUSED = [
    (lambda: nn.optim.SGD([], 0.1), ad.OperandError, "no parameters"),
    (lambda: nn.optim.SGD(W, 0.1), ad.OperandError, r"list of parameters: \[W\]"),
    (lambda: nn.optim.SGD(nn.Linear(1, 1), 0.1), ad.OperandError, r"write model.parameters\(\)"),
    (lambda: nn.optim.SGD([np.ones(1)], 0.1), ad.OperandError, "number 0 is array"),
    (lambda: nn.optim.SGD([W * 2], 0.1), ad.GradientError, r"result of .*test_optim.py.*, not a leaf"),
    (lambda: nn.optim.SGD([W, W], 0.1), ad.GradientError, "W is given twice; SGD would move it twice"),
    (lambda: nn.optim.SGD([("a", W), ("b", W)], 0.1), ad.GradientError, "b is given twice, also as a"),
    (lambda: nn.optim.SGD([W], 0.0), ValueError, "learning rate must be positive, not 0.0"),
    (lambda: nn.optim.SGD([W], float("nan")), ValueError, "not nan"),
    (lambda: nn.optim.SGD([W], 0.1, momentum=-1), ValueError, "momentum"),
    (lambda: nn.optim.SGD([W], 0.1, nesterov=True), ValueError, "nesterov needs momentum"),
    (lambda: nn.optim.SGD([W], 0.1, weight_decay=-1), ValueError, "weight_decay"),
    (lambda: nn.optim.Adam([W], betas=(0.9, 1.0)), ValueError, "betas"),
    (lambda: nn.optim.Adam([W], betas=(0.9,)), ValueError, "two numbers"),
    (lambda: nn.optim.Adam([W], eps=-1), ValueError, "eps"),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---- state

@pytest.mark.parametrize("make", [lambda ps: nn.optim.SGD(ps, 0.1, 0.9), lambda ps: nn.optim.Adam(ps, 0.1)],
                         ids=["sgd", "adam"])
def test_training_goes_on_from_a_saved_state(make):
    x, y = np.random.default_rng(0).normal(size=(8, 3)), np.ones((8, 1))

    def steps(model, optimizer, n):
        for _ in range(n):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()

    whole = nn.Linear(3, 1, rng=0)
    steps(whole, make(whole.parameters()), 6)
    first, second = nn.Linear(3, 1, rng=0), nn.Linear(3, 1, rng=1)
    optimizer, other = make(first.parameters()), make(second.parameters())
    steps(first, optimizer, 3)
    state, other.lr = optimizer.state_dict(), 77.0
    second.load_state_dict(first.state_dict())
    other.load_state_dict(state)
    steps(first, optimizer, 2)                              # the state is a copy
    steps(second, other, 3)
    assert other.lr == 0.1
    assert np.array_equal(second.weight.data, whole.weight.data)


def test_pytorchs_layout_is_read():
    w, b = nn.Parameter([1.0, 2.0]), nn.Parameter(3.0)
    optimizer = nn.optim.Adam([w, b])
    optimizer.load_state_dict({
        "state": {0: {"step": np.float32(4), "exp_avg": np.array([1.0, 2.0], np.float32), "exp_avg_sq": np.ones(2)},
                  1: {"step": np.array(4.0), "exp_avg": np.array(0.5), "exp_avg_sq": np.array(0.25)}},
        "param_groups": [{"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-7, "weight_decay": 0, "amsgrad": False,
                          "maximize": False, "params": [0, 1]}]})
    assert (optimizer.lr, optimizer.betas, optimizer.eps) == (0.01, (0.8, 0.9), 1e-7)
    assert optimizer.state[0]["step"] == 4
    assert optimizer.state[0]["exp_avg"].dtype == np.float64
    w.grad, b.grad = np.ones(2), np.ones(())
    optimizer.step()
    assert optimizer.state[1]["step"] == 5
    assert np.isfinite(b.data)


def test_a_state_that_does_not_fit_changes_nothing():
    a = nn.optim.SGD([nn.Parameter(np.zeros(2), name="w")], 0.1, 0.9)
    group = {"lr": 5.0, "momentum": 0.9, "nesterov": False, "weight_decay": 0, "dampening": 0.5, "params": [0, 1]}
    with pytest.raises(nn.StateError) as caught:
        a.load_state_dict({"state": {0: {"momentum_buffer": np.zeros(3)}}, "param_groups": [group]})
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        "it is for 2 parameters, and there are 1", "dampening=0.5 is not supported",
        "momentum_buffer of w has shape (3,), and w (2,)"]
    assert (a.lr, a.state) == (0.1, {})


# ---- block by block

OPTIMISERS = {
    "adam": lambda ps: nn.optim.Adam(ps, lr=0.05, weight_decay=0.1), "eps": lambda ps: nn.optim.Adam(ps, eps=0.1),
    "momentum": lambda ps: nn.optim.SGD(ps, 0.1, 0.9), "nesterov": lambda ps: nn.optim.SGD(ps, 0.1, 0.9, True, 0.1),
    "decay": lambda ps: nn.optim.SGD(ps, 0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_blocks_change_no_bit(make, dtype, monkeypatch):
    """Not even at the edges: blocks of 1, 3 and 64 elements, and one for all."""
    rng = np.random.default_rng(0)
    shapes = [(7, 11), (64,), (65,), (1, 1), (0, 3), ()]
    starts = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    gradients = [[rng.normal(size=shape).astype(dtype) for shape in shapes] for _ in range(4)]

    def trained(elements):
        monkeypatch.setattr(nn.optim, "BLOCK", elements * np.dtype(dtype).itemsize)
        params = [nn.Parameter(start) for start in starts]
        optimizer = make(params)
        for gs in gradients:
            for p, g in zip(params, gs, strict=True):
                p.grad = np.array(g)
            optimizer.step()
        return [p.data for p in params] + [value for kept in optimizer.state.values() for value in kept.values()]

    whole = trained(10**6)
    for elements in (1, 3, 64):
        np.testing.assert_equal(trained(elements), whole)


def test_blocks_of_arrays_that_do_not_lie_row_by_row(monkeypatch):
    monkeypatch.setattr(nn.optim, "BLOCK", 16)
    start, g = np.arange(12.0).reshape(3, 4), np.linspace(-1, 1, 12).reshape(3, 4)
    held = [np.asfortranarray(start), np.repeat(start, 2, axis=1)[:, ::2], start.copy()]
    moved = []
    for array in held:
        p = ad.as_tensor(array, requires_grad=True)
        optimizer = nn.optim.Adam([p], lr=0.1)
        for _ in range(3):
            p.grad = g.copy()
            optimizer.step()
        assert p.data is array
        moved.append(array)
    assert np.array_equal(moved[0], moved[2])
    assert np.array_equal(moved[1], moved[2])


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_an_update_of_ones_own_may_build_on_ours(make):
    """`update` is in units of the learning rate: half of it is half the step."""
    rng = np.random.default_rng(1)
    start, gradients = rng.normal(size=5), rng.normal(size=(4, 5))

    def trained(half):
        p = nn.Parameter(start)
        optimizer = make([p])
        if half:
            kind = type(optimizer)
            optimizer.__class__ = type("Half", (kind,), {
                "update": lambda self, i, g: 0.5 * kind.update(self, i, g), "lr": 0.0})
            optimizer.lr *= 2
        for g in gradients:
            p.grad = g.copy()
            optimizer.step()
        return p.data

    assert np.allclose(trained(half=True), trained(half=False), rtol=1e-13)


def test_a_parameter_counts_as_written_before_it_is(monkeypatch):
    """A step that is cut short within a parameter leaves no tape that could be walked back unnoticed."""
    monkeypatch.setattr(nn.optim, "BLOCK", 16)
    w = nn.Parameter(np.ones(8), name="w")
    loss = (w ** 2).sum()
    loss.backward()
    optimizer, turns = nn.optim.Adam([w]), []

    def direction(g, kept, numbers):
        turns.append(1)
        if len(turns) == 3:
            raise KeyboardInterrupt
        return g

    monkeypatch.setattr(optimizer, "direction", direction)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    assert len(set(w.data)) == 2
    with pytest.raises(ad.MutationError, match="w, used by"):
        loss.backward()
