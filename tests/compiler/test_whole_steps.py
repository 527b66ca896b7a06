"""A compiled step is whole or not at all: neither Ctrl-C nor NumPy's errors come between its updates; its first use."""

import os
import signal
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest

import autodiff as ad
import nn
from nn import interrupts
from nn.compiled import train_step

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 5)), RNG.integers(0, 3, 12)
OPTIMISERS = {"sgd": lambda ps: nn.optim.SGD(ps, lr=0.1), "momentum": lambda ps: nn.optim.SGD(ps, lr=0.1, momentum=0.9),
              "adam": lambda ps: nn.optim.Adam(ps, lr=0.01)}


@pytest.fixture(autouse=True)
def place(tmp_path_factory, monkeypatch):
    """Machine code of these tests in a folder of their own, shared by them."""
    monkeypatch.setenv("WENGERT_CACHE", str(tmp_path_factory.getbasetemp() / "kernels"))


def built(optimiser, jit=False):
    """Parameters of two dtypes: they are updated in two groups."""
    model = nn.Sequential(nn.Linear(5, 4, rng=0, dtype=np.float32), nn.Tanh(), nn.Linear(4, 3, rng=1))
    return model, train_step(model, nn.CrossEntropyLoss(), OPTIMISERS[optimiser](model.parameters()), jit=jit)


def parameters(model):
    return [p.data.copy() for p in model.parameters()]


def between_lines(call, then):
    """Call, and do something before each line of generated code: how many there were."""
    lines = []

    def tracer(frame, event, argument):
        if frame.f_code.co_filename != "<compiled>":
            return None
        if event == "line":
            lines.append(frame.f_lineno)
            then(len(lines))
        return tracer

    sys.settrace(tracer)
    try:
        call()
    finally:
        sys.settrace(None)
    return len(lines)


@pytest.mark.parametrize(("optimiser", "jit"), [*[(name, False) for name in OPTIMISERS], ("adam", True)])
def test_ctrl_c_anywhere_within_a_step_comes_after_it(optimiser, jit):
    model, train = built(optimiser, jit)
    twin, other = built(optimiser, jit)
    for step in (train, other):
        step(X, Y)
    n = between_lines(lambda: train(X, Y), lambda i: None)
    other(X, Y)
    for at in range(1, n + 1):
        def kill(i, at=at):
            if i == at:
                os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            between_lines(lambda: train(X, Y), kill)
        other(X, Y)
        for a, b in zip(parameters(model), parameters(twin)):
            np.testing.assert_array_equal(a, b)
    assert train(X, Y) == other(X, Y)                 # the state, and the count of steps
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("scale", [1e-200, 1e200], ids=["underflow", "overflow"])
def test_an_error_of_numpys_leaves_an_update_whole(optimiser, scale):
    """Squares and products of such gradients are out of range: all is moved, or nothing."""
    models = [nn.Linear(5, 3, rng=0) for _ in range(2)]
    steps = [train_step(m, lambda z, y: (z * y).sum(), OPTIMISERS[optimiser](m.parameters()), jit=False, compile=fast)
             for m, fast in zip(models, (True, False))]
    for step in steps:
        step(X, np.float64(1))
    before = parameters(models[0])
    with np.errstate(all="raise"):
        try:
            steps[0](X, np.float64(scale))
            moved = True
        except FloatingPointError:
            moved = False
    with np.errstate(all="ignore"):
        steps[1](X, np.float64(scale))
    assert moved or optimiser == "sgd"                # of which only the last line writes
    for a, b in zip(parameters(models[0]), parameters(models[1]) if moved else before):
        np.testing.assert_array_equal(a, b)


def test_warnings_told_to_be_errors_do_not_halve_an_update():
    """The square of a gradient of 1e200 overflows, and warnings are errors in these tests."""
    model = nn.Linear(5, 3, rng=0)
    train = train_step(model, lambda z, y: (z * y).sum(), OPTIMISERS["adam"](model.parameters()), jit=False)
    before = parameters(model)
    train(X, np.float64(1e200))
    assert all((a != b).all() or np.isfinite(a).all() for a, b in zip(parameters(model), before))


def test_elsewhere_ctrl_c_interrupts_at_once():
    def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(10**6):
            pass
    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_only_a_call_where_ctrl_c_does_not_interrupt():
    told = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: told.append(number))
    try:
        assert interrupts.uninterrupted(lambda: os.kill(os.getpid(), signal.SIGINT) or 3) == 3
    finally:
        signal.signal(signal.SIGINT, previous)
    assert told == [signal.SIGINT]
    results = []
    thread = threading.Thread(target=lambda: results.append(interrupts.uninterrupted(signal.getsignal, signal.SIGINT)))
    thread.start()
    thread.join()
    assert results == [signal.default_int_handler]


def test_errors_pass_and_ctrl_c_gives_way_to_them():
    def fails():
        os.kill(os.getpid(), signal.SIGINT)
        raise ValueError("mine")
    with pytest.raises(ValueError, match="mine"):
        interrupts.uninterrupted(fails)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ---- first use

def test_parameters_that_move_while_a_step_is_recorded_are_read_where_they_lie():
    """The model is called twice then, and its random draws are those of one call."""
    def built():
        ad.seed(0)
        return nn.Sequential(nn.Linear(5, 40, rng=0), nn.Dropout(0.5), nn.Linear(40, 3, rng=1))
    losses = []
    for fast in (True, False):
        model = built()
        optimizer = OPTIMISERS["adam"](model.parameters())
        step = train_step(model, nn.CrossEntropyLoss(), optimizer, compile=fast, jit=False)
        losses.append([float(step(X, Y)) for _ in range(5)])
    np.testing.assert_allclose(*losses, rtol=1e-12)


def test_values_of_the_first_call_are_not_kept():
    """Parameters, gradients, Adam's two, and what they were before; not the twenty intermediates of their size."""
    model = nn.Sequential(nn.Linear(700, 800, rng=0), nn.ReLU(), nn.Linear(800, 700, rng=1))
    size = sum(p.data.nbytes for p in model.parameters())
    x, y = RNG.normal(size=(16, 700)), RNG.integers(0, 700, 16)
    tracemalloc.start()
    try:
        train = train_step(model, nn.CrossEntropyLoss(), OPTIMISERS["adam"](model.parameters()), jit=False)
        train(x, y)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4.5 * size, held / size
    assert peak < 5.5 * size, peak / size


CHILD = """
import sys
import numpy as np
import nn
model = nn.Sequential(nn.Linear(5, 4, rng=0), nn.Tanh(), nn.Linear(4, 3, rng=1))
train = nn.train_step(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.01), jit=True)
print(train(np.ones((7, 5)), np.arange(7) % 3), "numba" in sys.modules)
"""


@pytest.mark.slow
def test_from_the_cache_numba_is_not_imported(tmp_path):
    root = os.path.dirname(os.path.dirname(nn.__file__))
    said = [subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True, cwd=root,
                           env={**os.environ, "WENGERT_CACHE": str(tmp_path)}).stdout.split() for _ in range(2)]
    assert said[0][0] == said[1][0]
    assert [each[1] for each in said] == ["True", "False"]
