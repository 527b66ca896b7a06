"""The graph lives exactly as long as its result, without cycles, at any length."""

import copy
import gc
import pickle
import threading
import time
import tracemalloc
import weakref

import numpy as np
import pytest

import autodiff as ad
import nn


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def chain(n):
    x = ad.Tensor(0.5, requires_grad=True)
    a = ad.Tensor(0.999, requires_grad=True)
    y = x
    for _ in range(n // 2):
        y = y * a + 0.001
    return x, a, y


def test_dropping_the_result_frees_the_graph_without_the_collector(no_collector):
    W = ad.Tensor(np.ones((3, 3)), requires_grad=True)
    h = np.tanh(W @ W)
    alive = weakref.ref(h)
    loss = h.sum()
    loss.backward()
    del h
    assert alive() is None                   # the handle dies, its record is held by what was computed from it
    assert len(ad.Tape(loss)) == 3
    del loss
    assert gc.collect() == 0                 # nothing was left for the collector to find


@pytest.mark.usefixtures("no_collector")
def test_memory_is_flat_over_many_steps():
    W = ad.Tensor(np.ones((8, 8)) * 0.01, requires_grad=True)
    x = np.ones((4, 8))

    def step():
        loss = np.tanh(x @ W).sum()
        loss.backward()
        [g] = ad.gradients(loss, [W], record=True)
        (g * g).sum().backward()
        with ad.no_grad():
            W.data -= 0.01 * W.grad
        W.grad = None
        ad.hessian(lambda v: (v**3).sum())(np.ones(2))

    def held():
        """Objects the collector knows, and the bytes of arrays (CPython's own free lists are neither)."""
        arrays = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)])
        return len(gc.get_objects()), sum(trace.size for trace in arrays.traces)

    tracemalloc.start()
    for _ in range(20):
        step()
    objects, size = held()
    for _ in range(200):
        step()
    objects_after, size_after = held()
    tracemalloc.stop()
    assert objects_after - objects < 20
    assert size_after - size < 1000


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("how", ["transform", "train_step", "fit", "by_hand"])
def test_a_training_loop_holds_one_graph_at_a_time(how):
    """The peak of arrays is that of a single step, to which only what the loop returns is added."""
    n, layers = 20_000, 10
    x, w = np.linspace(-1, 1, n), ad.Tensor(0.5, requires_grad=True)

    def loss_of(w, x):
        h = x * w
        for _ in range(layers - 2):
            h = np.tanh(h)
        return (h * h).mean()

    class Model(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(0.5)

        def forward(self, x):
            return loss_of(self.w, x)

    def by_hand():
        for _ in range(5):
            loss = loss_of(w, x)
            loss.backward()
            w.grad = None
            del loss                         # or float(loss), returned from a function: who holds a loss holds its tape

    def transform():
        both = ad.value_and_grad(loss_of)
        for _ in range(5):
            value, gradient = both(0.5, x)

    def train_step():
        model = Model()
        train = nn.train_step(model, lambda y, _: y, nn.optim.SGD(model.parameters(), lr=1e-3), compile=False)
        for _ in range(5):
            train(x, x)

    def fit():
        model = Model()
        nn.fit(model, lambda y, _: y, (x, x), nn.optim.SGD(model.parameters(), lr=1e-3), epochs=5, progress=False)

    loop = {"transform": transform, "train_step": train_step, "fit": fit, "by_hand": by_hand}[how]
    loop()
    tracemalloc.start()
    loop()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert layers * 8 * n <= peak < (layers + 6) * 8 * n         # g, and what the rules need on the way


def test_backward_can_be_repeated_and_adds():
    x = ad.Tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    loss.backward()
    assert np.array_equal(x.grad, [4.0, 8.0])


def test_looking_after_backward():
    """Eager keeps everything: any intermediate's gradient can still be asked for."""
    x = ad.Tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    loss = (h * h).sum()
    loss.backward()
    assert np.array_equal(ad.gradients(loss, [h])[0], [6.0, 12.0])
    assert h.grad is None


def test_long_chains_need_no_recursion(no_collector):
    x, a, y = chain(100_000)
    y.backward()
    assert len(ad.Tape(y)) == 100_000
    powers = 0.999 ** np.arange(50_001)
    assert x.grad == pytest.approx(powers[-1], rel=1e-9)
    assert a.grad > 0
    del y


def test_time_is_linear_in_the_number_of_records():
    def seconds(n):
        t = time.perf_counter()
        _, _, y = chain(n)
        y.backward()
        return time.perf_counter() - t

    seconds(1000)
    gc.disable()
    try:
        small = min(seconds(10_000) for _ in range(3))
        large = min(seconds(80_000) for _ in range(2))
    finally:
        gc.enable()
    assert large / small < 8 * 2.0


@pytest.mark.parametrize("n", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_long_graph_dies_in_a_thread_with_a_small_stack(n):
    """1 MiB: dying is CPython's own recursion, which 3.13 lets go deep."""
    done = []

    def run():
        _, _, y = chain(n)
        y.backward()
        del y
        done.append(True)

    before = threading.stack_size(1 << 20)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert done == [True]


@pytest.mark.slow
def test_a_million_records(no_collector):
    with open("/proc/self/statm") as f:
        before = int(f.read().split()[1])
    x, _, y = chain(1_000_000)
    y.backward()
    assert np.isfinite(x.grad)
    del y
    with open("/proc/self/statm") as f:
        after = int(f.read().split()[1])
    assert (after - before) * 4096 < 60e6


def test_wide_fan_out_and_fan_in():
    x = ad.Tensor(np.ones(3), requires_grad=True)
    total = sum((x * float(i) for i in range(2000)), start=x * 0.0)
    total.sum().backward()
    assert np.array_equal(x.grad, np.full(3, 2000 * 1999 / 2))
    x.grad = None
    np.concatenate([x] * 2000).sum().backward()
    assert np.array_equal(x.grad, np.full(3, 2000.0))


def test_copies_carry_the_value_not_the_graph():
    _, _, y = chain(50_000)
    for copied in (copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        assert copied.is_leaf
        assert copied.data == y.data
        assert copied.name == "y"
        assert copied.requires_grad
    assert copy.copy(y).record is y.record
    z = ad.Tensor(np.ones(2))
    pair = copy.deepcopy([z, z])
    assert pair[0] is pair[1]
    pair[0].data[0] = 5
    assert z.data[0] == 1


def test_the_walk_does_not_visit_what_is_older_than_what_is_wanted():
    base = ad.Tensor(np.ones(3), requires_grad=True)
    old = base
    for _ in range(1000):
        old = old * 1.0
    variable = ad.Tensor(np.ones(3), requires_grad=True)
    loss = (old * variable).sum()
    calls = []

    @ad.op
    def probe(x):
        return x * 1.0

    probe.derivative(lambda y, x: calls.append(1) or 1.0 * np.ones_like(x))
    loss = loss + probe(base).sum() * 0.0
    assert np.array_equal(ad.gradients(loss, [variable])[0], np.ones(3))
    assert calls == []


def test_topological_order_on_a_diamond():
    """x feeds two paths of different length that meet: each record is visited once, after all its consumers."""
    x = ad.Tensor(2.0, requires_grad=True)
    a = x * x
    b = a * a * a
    loss = a * b + x
    loss.backward()
    assert float(x.grad) == 8 * 2.0**7 + 1
