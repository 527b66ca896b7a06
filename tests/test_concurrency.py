"""Threads, tasks, exceptions and Ctrl-C in the middle of anything: nobody sees another's state, and all is put back."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff.state import exact_seals, recording, scope_now, transform_now, watchers


def state():
    return recording.get(), scope_now.get(), transform_now.get(), exact_seals.get(), tuple(watchers), np.geterr()


@pytest.fixture(autouse=True)
def state_is_put_back():
    before = state()
    yield
    assert state() == before


def trained(number, steps=30):
    """A small model's parameters after training, from a seed of its own."""
    ad.seed(number)
    rng = np.random.default_rng(number)
    model = nn.Sequential(nn.Linear(3, 8, rng=number), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1, rng=number))
    optimizer = nn.optim.Adam(model.parameters(), lr=0.05)
    x, y = rng.normal(size=(16, 3)), rng.normal(size=(16, 1))
    for _ in range(steps):
        optimizer.zero_grad()
        nn.MSELoss()(model(x), y).backward()
        optimizer.step()
    return np.concatenate([p.data.ravel() for p in model.parameters()])


# ---- threads and tasks

def test_a_model_per_thread_trains_as_alone():
    alone = [contextvars.copy_context().run(trained, n) for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(trained, range(6)))
    for a, t in zip(alone, together):
        assert np.array_equal(a, t)


def test_threads_do_not_see_each_others_settings():
    entered, looked, seen = threading.Event(), threading.Event(), []

    def inside():
        with ad.no_grad(), ad.scope("mine"), ad.debug():
            entered.set()
            looked.wait(10)

    thread = threading.Thread(target=inside)
    thread.start()
    entered.wait(10)
    seen.append(state())
    looked.set()
    thread.join()
    assert seen[0] == state()


def test_one_setting_in_many_threads_at_a_time():
    off, barrier = ad.no_grad(), threading.Barrier(4)
    x = ad.Tensor([1.0], requires_grad=True)

    def work(_):
        for _ in range(50):
            with off:
                barrier.wait(10)
                inside = (x * 2).requires_grad
            outside = (x * 2).requires_grad
            if inside or not outside:
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_tasks_do_not_see_each_others_settings():
    x = ad.Tensor([1.0], requires_grad=True)

    async def without(pause):
        with ad.no_grad(), ad.scope("without"):
            await pause.wait()
            return (x * 2).requires_grad

    async def within(pause):
        await asyncio.sleep(0)
        result = x * 2
        pause.set()
        return result.requires_grad, result.scope

    @ad.no_grad()
    async def decorated():
        await asyncio.sleep(0)
        return (x * 2).requires_grad

    async def both():
        pause = asyncio.Event()
        return await asyncio.gather(without(pause), within(pause), decorated())

    assert asyncio.run(both()) == [False, (True, ""), False]


def test_a_cancelled_task_puts_its_settings_back():
    async def waits():
        with ad.no_grad():
            await asyncio.sleep(100)

    async def cancels():
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return recording.get()

    assert asyncio.run(cancels())


def test_a_copied_context_carries_the_settings_of_its_moment():
    x = ad.Tensor([1.0], requires_grad=True)
    with ad.no_grad(), ad.scope("then"):
        copied = contextvars.copy_context()
    assert (x * 2).requires_grad
    assert copied.run(lambda: (x * 2).requires_grad) is False
    assert copied.run(scope_now.get).path == "then"
    entered = ad.no_grad()
    copied.run(entered.__enter__)
    with pytest.raises(RuntimeError, match="set in one context"):
        entered.__exit__(None, None, None)
    copied.run(entered.__exit__, None, None, None)


# ---- nesting and generators

def test_settings_nest_and_may_be_used_again():
    x, off = ad.Tensor([1.0], requires_grad=True), ad.no_grad()
    with off:
        with off:
            assert not (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with ad.scope("a"), ad.scope("b"):
        assert (x * 2).scope == "a.b"


def test_a_generator_that_yields_within_a_block_leaves_it_on_for_its_caller():
    """As documented in `no_grad`: the block ends when the generator is resumed, or closed."""
    x = ad.Tensor([1.0], requires_grad=True)

    def batches():
        with ad.no_grad():
            yield 1

    generator = batches()
    next(generator)
    assert not (x * 2).requires_grad
    generator.close()
    assert (x * 2).requires_grad

    def well_behaved():
        for _ in range(2):
            with ad.no_grad():
                batch = x * 2
            yield batch

    for _ in well_behaved():
        assert (x * 2).requires_grad


def test_a_setting_around_a_generator_function_is_refused():
    with pytest.raises(ad.OperandError, match="batches is a generator"):
        @ad.no_grad()
        def batches():
            yield 1

    with pytest.raises(ad.OperandError, match="stream is a generator"):
        @ad.no_grad()
        async def stream():
            yield 1


# ---- exceptions in the middle

class Failure(Exception):
    pass


STOPS = [Failure, KeyboardInterrupt, SystemExit, GeneratorExit]


def stopping_op(stop, where):
    """An op that stops in its forward, or in its rule."""
    @ad.op
    def stops(x):
        if where == "forward":
            raise stop
        return x * 2

    def rule(g, y, x):
        raise stop

    return stops.vjp(rule)


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("where", ["forward", "rule"])
def test_stopped_in_an_op(stop, where):
    stops = stopping_op(stop, where)
    W = ad.Tensor([1.0, 2.0], requires_grad=True)
    V = ad.Tensor([3.0], requires_grad=True)
    W.grad = np.array([5.0, 5.0])

    def step():
        with ad.no_grad(), ad.debug():
            pass
        with ad.scope("outer"):
            loss = stops(W * 1).sum() + (V * 2).sum()
        loss.backward()

    for run in (step, ad.detect_anomaly()(step)):
        with pytest.raises(stop):
            run()
        assert recording.get()
        assert scope_now.get() is None
        assert np.array_equal(W.grad, [5.0, 5.0])
        assert V.grad is None
    (W * V).sum().backward()                                         # and all goes on as before
    assert np.array_equal(W.grad, [8.0, 8.0])


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("where", ["forward", "rule"])
@pytest.mark.parametrize("transform", [
    lambda f: ad.grad(f)(1.0), lambda f: ad.jvp(f, (1.0,), (1.0,)), lambda f: ad.vjp(f, 1.0)[1](1.0),
    lambda f: ad.jacobian(f)(1.0), lambda f: ad.hessian(f)(1.0), lambda f: ad.grad(ad.grad(f))(1.0),
], ids=["grad", "jvp", "vjp", "jacobian", "hessian", "grad of grad"])
def test_stopped_in_a_transform(stop, where, transform):
    stops = stopping_op(stop, where)
    with pytest.raises(stop):
        transform(lambda x: stops(x * 3))
    assert transform_now.get() is None
    assert recording.get()
    assert float(ad.Tensor(2.0, requires_grad=True)) == 2.0          # allowed again
    with ad.no_grad(), pytest.raises(stop):
        transform(lambda x: stops(x * 3))


@pytest.mark.parametrize("stop", STOPS)
def test_stopped_in_a_layer(stop):
    class Stops(nn.Module):
        def forward(self, x):
            raise stop

    model = nn.Sequential(nn.Linear(2, 2, rng=0), Stops())
    with pytest.raises(stop):
        model(np.ones((1, 2)))
    assert scope_now.get() is None
    assert (model.parameters()[0] * 2).scope == ""


@pytest.mark.parametrize("stop", [Failure, KeyboardInterrupt])
def test_stopped_in_an_optimisers_step(stop):
    """Parameters before the stop have moved, the others not; gradients are as they were, and writes are counted."""
    class Stops(nn.optim.Optimizer):
        def update(self, i, g):
            if i == 1:
                raise stop
            return g

    a, b = ad.Tensor([1.0], requires_grad=True), ad.Tensor([1.0], requires_grad=True)
    loss = (a * a * b).sum()
    loss.backward()
    grads = a.grad.copy(), b.grad.copy()
    with pytest.raises(stop):
        Stops([a, b], lr=0.5, weight_decay=0.0).step()
    assert (a.data[0], b.data[0]) == (0.0, 1.0)
    assert np.array_equal(a.grad, grads[0])
    assert np.array_equal(b.grad, grads[1])
    with pytest.raises(ad.MutationError):
        loss.backward()
    assert recording.get()


def test_random_numbers_go_on_after_a_stop():
    def drawn(stopped):
        ad.seed(3)
        first = ad.dropout(np.ones(8), 0.5)
        if stopped:
            stops = stopping_op(KeyboardInterrupt, "rule")
            with pytest.raises(KeyboardInterrupt):
                stops(ad.Tensor([1.0], requires_grad=True)).sum().backward()
        return [first, ad.dropout(np.ones(8), 0.5)]

    generator = ad.seed(0)
    assert ad.generator() is generator
    assert np.array_equal(drawn(True), drawn(False))


def test_threads_record_on_shared_parameters_and_keep_their_own_gradients():
    W = ad.Tensor(np.arange(4.0), requires_grad=True)

    def work(k):
        return [ad.gradients((W * W * k).sum(), [W])[0] for _ in range(50)]

    with ThreadPoolExecutor(4) as pool:
        for k, results in enumerate(pool.map(work, range(4))):
            assert all(np.array_equal(g, 2 * k * W.data) for g in results)
    assert W.grad is None
