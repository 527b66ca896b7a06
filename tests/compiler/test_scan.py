"""`ad.scan` against the unrolled Python loop: values, derivatives of any order, draws, memory, time, messages."""

import gc
import tracemalloc
from functools import partial
from time import perf_counter
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
import nn
import viz
from autodiff.compiler import looping
from autodiff.compiler.tracing import native
from autodiff.state import Setting
from autodiff.tree import leaves_of, mapped

rng = np.random.default_rng(0)
W, U, b = rng.normal(size=(4, 4)) * 0.5, rng.normal(size=(4, 3)), rng.normal(size=4)
XS, H = rng.normal(size=(7, 2, 3)), rng.normal(size=(2, 4))
PARAMETERS = {"W": W, "U": U, "b": b}


def unrolled(f, init, xs=None, *, length=None, reverse=False, checkpoint=None):
    """What `ad.scan` must compute."""
    n = len(leaves_of(xs)[0]) if leaves_of(xs) else length
    carry, ys = init, [None] * n
    for i in range(n - 1, -1, -1) if reverse else range(n):
        carry, ys[i] = f(carry, mapped(lambda x: x[i], xs))          # noqa: B023
    return carry, mapped(lambda *column: np.stack(column), *ys)


def close(a, b, tolerance=1e-12):
    a, b = leaves_of(a), leaves_of(b)
    assert len(a) == len(b)
    for x, y in zip(a, b):
        x, y = (v.numpy() if isinstance(v, ad.Tensor) else np.asarray(v) for v in (x, y))
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def tanh_cell(p):
    def f(h, x):
        h = np.tanh(h @ p["W"].T + x @ p["U"].T + p["b"])
        return h, h
    return f


def lstm_cell(p):
    def f(carry, x):
        z = carry["h"] @ p["W"].T + x @ p["U"].T + p["b"]
        i, o = ad.sigmoid(z), ad.sigmoid(2 * z)
        c = (1 - i) * carry["c"] + i * np.tanh(z)
        h = o * np.tanh(c)
        return {"h": h, "c": c}, (h * 2, c.sum(axis=1))
    return f


def counting(p):
    """Whole numbers in the carry and the xs, a table looked up, a choice by value, something without a derivative."""
    def f(carry, x):
        n, h = carry
        token, value = x
        row = p["W"][token]
        h = np.where(n % 2 == 0, np.tanh(h + row), h * value.sum())
        return (n + 1, h), {"n": n, "seen": np.argmax(h), "h": h, "constant": 3.0}
    return f


def no_carry(p):
    def f(carry, x):
        return carry, np.exp(x @ p["U"].T * 0.1)
    return f


def repeated(p):
    """Parameters used several times, an output that is an input, a carry that is one of the parameters' values."""
    def f(carry, x):
        a, h = carry
        h = h @ p["W"] + (p["W"] * p["W"]).sum() + a @ p["W"].T
        return (p["W"][0], ad.sigmoid(h * 0.01)), (x, h, h)
    return f


TOKENS = np.array([0, 3, 1, 1, 2, 0, 3])
CASES = {
    "tanh": (tanh_cell, H, XS),
    "lstm": (lstm_cell, {"h": H, "c": H * 0.5}, XS),
    "counting": (counting, (0, W[0]), (TOKENS, XS[:, 0])),
    "no carry": (no_carry, None, XS),
    "repeated": (repeated, (W[1], H[0]), XS),
}


def loss_of(name, scan, **how):
    cell, _, _ = CASES[name]

    def loss(p, init, xs):
        carry, ys = scan(cell(p), init, xs, **how)
        return sum((np.sin(y) * (i + 1)).sum() for i, y in enumerate([*leaves_of(carry), *leaves_of(ys)]))
    return loss


def differentiable(x):
    return np.asarray(x).dtype.kind == "f"


def floats_of(name):
    """A loss of the floating-point leaves alone, and these."""
    _, init, xs = CASES[name]
    leaves = [*leaves_of(init), *leaves_of(xs)]
    chosen = [x for x in leaves if differentiable(x)]

    def packed(scan, **how):
        loss = loss_of(name, scan, **how)

        def of(p, floats):
            supply = iter(floats)
            filled = mapped(lambda x: next(supply) if differentiable(x) else x, (init, xs))
            return loss(p, *filled)
        return of
    return packed, chosen


HOW = [{}, {"reverse": True}, {"checkpoint": 3}, {"checkpoint": 3, "reverse": True}, {"checkpoint": True},
       {"checkpoint": 100}, {"checkpoint": 1}]


@pytest.mark.parametrize("how", HOW, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_python_loop(name, how):
    packed, floats = floats_of(name)
    mine = ad.value_and_grad(packed(ad.scan, **how), (0, 1))(PARAMETERS, floats)
    theirs = ad.value_and_grad(packed(unrolled, **how), (0, 1))(PARAMETERS, floats)
    close(mine, theirs)


@pytest.mark.parametrize("how", HOW[:4], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_forward_mode_and_second_order(name, how):
    packed, floats = floats_of(name)
    random = np.random.default_rng(1)
    directions = mapped(lambda x: random.normal(size=np.shape(x)), (PARAMETERS, floats))
    for transform in (ad.jvp, ad.hvp):
        close(transform(packed(ad.scan, **how), (PARAMETERS, floats), directions),
              transform(packed(unrolled, **how), (PARAMETERS, floats), directions), 1e-9)

    def penalty(scan):
        def of(p):
            return sum((g * g).sum() for g in leaves_of(ad.grad(packed(scan, **how))(p, floats)))
        return of
    close(ad.grad(penalty(ad.scan))(PARAMETERS), ad.grad(penalty(unrolled))(PARAMETERS), 1e-9)


def test_third_order():
    def third(scan):
        f = lambda x: scan(lambda c, t: (np.sin(c * t) + c, c ** 2), x, np.array([0.5, 1.5, -0.3]))[1].sum()
        return ad.grad(ad.grad(ad.grad(f)))(0.7)
    close(third(ad.scan), third(unrolled), 1e-9)


def test_hessian_and_jacobian():
    f = lambda scan: lambda x: scan(lambda c, t: (np.tanh(c * t + x), c), x, np.array([0.5, 1.5, -0.3]))[1]
    x = np.array([0.3, -0.8])
    close(ad.jacobian(f(ad.scan))(x), ad.jacobian(f(unrolled))(x))
    close(ad.hessian(lambda x: f(ad.scan)(x).sum())(x), ad.hessian(lambda x: f(unrolled)(x).sum())(x))


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_compiled(name, jit):
    packed, floats = floats_of(name)
    for how in HOW[:4]:
        step = ad.compile(ad.value_and_grad(packed(ad.scan, **how), (0, 1)), jit=jit)
        for factor in (1.0, 0.7):
            p = mapped(lambda x: x * factor, PARAMETERS)                    # noqa: B023
            close(step(p, floats), ad.value_and_grad(packed(unrolled, **how), (0, 1))(p, floats), 1e-9)
        if jit:
            break                                                           # numba takes a second for each


@pytest.mark.parametrize("jit", [False, True])
def test_a_compiled_function_can_be_differentiated_outside(jit):
    packed, floats = floats_of("tanh")
    compiled = ad.compile(packed(ad.scan), jit=jit)
    p = mapped(lambda x: ad.Tensor(x, requires_grad=True), PARAMETERS)
    compiled(p, floats).backward()
    close([t.grad for t in p.values()], list(ad.grad(packed(unrolled))(PARAMETERS, floats).values()), 1e-9)


def test_the_numpy_executor_gives_the_loops_values_to_the_last_bit():
    (h, ys), (h2, ys2) = (scan(tanh_cell(PARAMETERS), H, XS) for scan in (ad.scan, unrolled))
    assert (h == h2).all() and (ys == ys2).all()


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 9), k=st.integers(1, 12), reverse=st.booleans(), checkpoint=st.booleans(),
       dtype=st.sampled_from([np.float32, np.float64]), data=st.randoms(use_true_random=False))
def test_any_number_of_steps(n, k, reverse, checkpoint, dtype, data):
    random = np.random.default_rng(data.randrange(2**32))
    xs, w = random.normal(size=(n, 3)).astype(dtype), random.normal(size=3).astype(dtype)
    how = {"reverse": reverse, "checkpoint": k if checkpoint else None}

    def loss(scan):
        def of(w, xs):
            c, y = scan(lambda c, x: (c * w + x, (c * x).sum()), w * 2, xs, **how)
            return (c * c).sum() + (y.sum() if n else 0)
        return of
    if n:
        close(ad.value_and_grad(loss(ad.scan), (0, 1))(w, xs), ad.value_and_grad(loss(unrolled), (0, 1))(w, xs), 1e-3)
    else:
        c, y = ad.scan(lambda c, x: (c * w + x, (c * x).sum()), w, xs, **how)
        assert (c == w).all() and c is not w and y.shape == (0,) and y.dtype == dtype
        close(ad.grad(loss(ad.scan), (0, 1))(w, xs), (8 * w, xs))


def test_without_xs():
    c, ys = ad.scan(lambda c, x: (c + 1, c), 0, length=4)
    assert c == 4 and ys.tolist() == [0, 1, 2, 3] and ys.dtype == np.int64
    assert ad.scan(lambda c, x: (c * 2, None), 1.0, None, length=10) == (1024.0, None)


class Pair(NamedTuple):
    mean: object
    spread: object


def test_structures_are_kept():
    init = Pair(0.0, [np.ones(2)])
    carry, ys = ad.scan(lambda c, x: (Pair(c.mean + x["a"], [c.spread[0] * 2]), {"m": c.mean, "none": None}), init,
                        {"a": np.arange(3.0)})
    assert isinstance(carry, Pair) and carry.mean == 3 and carry.spread[0].tolist() == [8, 8]
    assert ys["m"].tolist() == [0, 0, 1] and ys["none"] is None


def test_results_are_tensors_where_a_gradient_is_to_flow_and_arrays_elsewhere():
    w = ad.Tensor(2.0, requires_grad=True)
    (n, c), ys = ad.scan(lambda c, x: ((c[0] + 1, c[1] * w), c[0]), (0, 1.0), length=3)
    assert c.requires_grad and not n.requires_grad and not ys.requires_grad and int(n) == 3
    c.backward()
    assert w.grad == 12
    assert type(ad.scan(lambda c, x: (c + x, c), 0.0, np.ones(3))[1]) is np.ndarray
    with ad.no_grad():
        assert ad.scan(lambda c, x: (c * w, c), 1.0, length=3)[0].is_leaf


def test_what_the_loop_reads_may_change_between_calls():
    w, factor = ad.Tensor(2.0, requires_grad=True), 3.0
    run = lambda: float(ad.scan(lambda c, x: (c * w + factor, None), 1.0, length=2)[0])
    assert run() == (2 + 3) * 2 + 3
    factor = 5.0
    with ad.no_grad():
        w += 1
    assert run() == (3 + 5) * 3 + 5


def test_results_share_no_memory():
    init, xs = np.ones(3), np.ones((2, 3))
    c, (y, z) = ad.scan(lambda c, x: (c, (c, x)), init, xs)
    for a in (c, y, z):
        assert not any(np.shares_memory(a, other) for other in (init, xs)) and a.flags.writeable
    assert not np.shares_memory(c, y)


def test_arrays_in_any_order_of_memory():
    xs, w = np.asfortranarray(XS)[::2, :, ::-1], np.asfortranarray(W)
    p = {**PARAMETERS, "W": w}
    close(ad.scan(tanh_cell(p), H[::-1], xs), unrolled(tanh_cell(p), H[::-1], xs))
    close(ad.scan(tanh_cell(PARAMETERS), H, XS), unrolled(tanh_cell(PARAMETERS), H, XS))


def test_replay_in_other_dtypes_and_gradcheck():
    x = ad.Tensor(0.3, requires_grad=True)
    c, _ = ad.scan(lambda c, t: (np.sin(c * t) + x, None), x, np.array([0.5, 1.5]))
    tape = ad.Tape(c)
    assert tape.replay(dtype=np.longdouble).dtype == np.longdouble
    assert tape.replay({x: 0.3}) == c.numpy()
    assert abs(tape.replay({x: 0.3 + 1e-20j}, dtype=np.complex128).imag / 1e-20 - ad.gradients(c, [x])[0]) < 1e-12
    ad.gradcheck(lambda w, h: ad.scan(tanh_cell({**PARAMETERS, "W": w}), h, XS)[1].sum(), W, H, order=2)


# ---- one native function

OPERATIONS = {
    "arithmetic": lambda c, x: (c * 0.5 - x / (2 + c * c) + np.abs(x) ** 2, np.maximum(c, x) + np.minimum(-c, 1.0)),
    "functions": lambda c, x: (np.tanh(c) + np.exp(-x * x),
                               np.log1p(x * x) + np.sqrt(np.sin(c) ** 2 + 1) + ad.sigmoid(c)),
    "choices": lambda c, x: (np.where((c > x) & (x < 1), c * x, c - x), np.where(c == x, 1.0, np.sign(x)) * c),
    "sums": lambda c, x: (c - c.mean(axis=0) + x.sum(axis=1, keepdims=True),
                          (c * x).sum(axis=(0, 1)) + x.T.sum(axis=0)),
    "products": lambda c, x: (np.tanh(c @ x.T @ c) * 0.5, (x @ c.T, x[0] @ c.T, x @ c[1], x[0] @ c[0])),
    "arranging": lambda c, x: (c[::-1] * x.reshape(3, 2).T[:, ::-1],
                               (c[:, 1:], x[1, 2], c.T[1], x.swapaxes(0, 1) + c[0, 0])),
    "dtypes": lambda c, x: (c + x.astype(np.float32).astype(x.dtype), ((x > 0).astype(np.int64) + 2, x > c, x * True)),
    "broadcasting": lambda c, x: (c * x[0] + x[:, :1], c[:, :, None] * x[0]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_tiny_steps_run_as_one_native_function(name):
    for dtype, reverse, tolerance in ((np.float64, False, 1e-9), (np.float32, True, 2e-4)):
        c, xs = rng.normal(size=(2, 3)).astype(dtype), rng.normal(size=(5, 2, 3)).astype(dtype)

        def loss(scan):
            def of(c, xs):
                last, ys = scan(OPERATIONS[name], c, xs, reverse=reverse)                             # noqa: B023
                return (last ** 2).sum() + sum(np.sin(y).sum() for y in leaves_of(ys) if y.dtype.kind == "f"), ys
            return ad.value_and_grad(of, (0, 1), has_aux=True)
        looping.loops.clear()
        with Setting(native, True):                                  # as within ad.compile
            close(loss(ad.scan)(c, xs), loss(unrolled)(c, xs), tolerance)
            close(loss(ad.scan)(c * dtype(0.5), xs), loss(unrolled)(c * dtype(0.5), xs), tolerance)
        assert [loop.whole is not None for loop in looping.loops.values() if "step" not in vars(loop)] == [True, True]


def test_larger_steps_stay_calls_of_blas():
    w = rng.normal(size=(64, 64)) * 0.1
    step = ad.compile(ad.grad(lambda h: ad.scan(lambda h, _: (np.tanh(h @ w), None), h, length=3)[0].sum()), jit=True)
    h = rng.normal(size=(32, 64))
    close(step(h), ad.grad(lambda h: np.tanh(np.tanh(np.tanh(h @ w) @ w) @ w).sum())(h))
    assert "def steps(" not in step.source and "dot(" in step.source


# ---- loops in loops

def test_a_loop_within_a_loop():
    def loss(scan):
        def row(total, xs):
            inner, ys = scan(lambda c, x: (np.tanh(c * x) + total, c * total), total, xs)
            return inner, ys.sum()
        return lambda w, xs: sum(y.sum() for y in scan(row, w, xs))
    xs = rng.normal(size=(4, 3, 2))
    w = rng.normal(size=2)
    close(ad.value_and_grad(loss(ad.scan), (0, 1))(w, xs), ad.value_and_grad(loss(unrolled), (0, 1))(w, xs))
    close(ad.hvp(loss(ad.scan), (w, xs), (w, xs)), ad.hvp(loss(unrolled), (w, xs), (w, xs)), 1e-9)
    for jit in (False, True):
        close(ad.compile(ad.grad(loss(ad.scan)), jit=jit)(w, xs), ad.grad(loss(unrolled))(w, xs))


def test_a_gradient_within_a_loop():
    """Gradient descent as a loop, differentiated with respect to its rate."""
    def final(scan):
        inner = lambda w: (w ** 4).sum()
        return lambda rate: (scan(lambda w, _: (w - rate * ad.grad(inner)(w), None), np.array([1.0, -0.5]),
                                  np.arange(5))[0] ** 2).sum()
    without = lambda f, init, xs: (lambda c: (c, None))(unrolled(lambda w, x: (f(w, x)[0], np.zeros(1)), init, xs)[0])
    close(ad.value_and_grad(final(ad.scan))(0.01), ad.value_and_grad(final(without))(0.01))


# ---- random draws

def noisy(scan, **how):
    def loss(w):
        def f(c, x):
            c = ad.dropout(c * w + x, 0.4)
            return c, ad.dropout(c, 0.2)
        c, ys = scan(f, np.ones(5), np.ones((6, 5)), **how)
        return (c.sum() + (ys ** 2).sum()) / 10
    return loss


@pytest.mark.parametrize("how", HOW[:4], ids=str)
def test_each_step_draws_its_own_as_the_loop_would(how):
    w = rng.normal(size=5)
    found = []
    for scan in (ad.scan, unrolled):
        g = ad.seed(3)
        found.append((ad.value_and_grad(noisy(scan, **how))(w), g.integers(2**40)))    # and the generator goes on alike
    close(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("jit", [False, True])
def test_compiled_draws_advance_as_in_eager(jit):
    w = rng.normal(size=5)
    for how in ({}, {"checkpoint": 4}):
        step = ad.compile(ad.value_and_grad(noisy(ad.scan, **how)), jit=jit)
        ad.seed(3)
        mine = [step(w) for _ in range(3)]
        ad.seed(3)
        close(mine, [ad.value_and_grad(noisy(unrolled))(w) for _ in range(3)])
        assert mine[0][0] != mine[1][0]


def test_no_steps_draw_nothing():
    g = ad.seed(3)
    before = g.bit_generator.state
    ad.scan(lambda c, x: (ad.dropout(c + x), None), np.ones(5), np.ones((0, 5)))
    assert g.bit_generator.state == before


def test_a_replay_draws_the_same_again():
    w = ad.Tensor(np.ones(4), requires_grad=True)
    loss = ad.scan(lambda c, x: (ad.dropout(c * w), None), np.ones(4), length=5)[0].sum()
    assert ad.Tape(loss).replay({w: np.ones(4)}) == loss.numpy()


# ---- long loops

def test_ten_thousand_steps():
    w = ad.Tensor(0.999, requires_grad=True)
    c, ys = ad.scan(lambda c, x: (c * w + x, c), 0.0, np.full(10_000, 1e-3))
    (c + ys.mean()).backward()
    together = lambda c, ys: c + ys.mean()
    eager = ad.grad(lambda w: together(*unrolled(lambda c, x: (c * w + x, c), 0.0, np.full(10_000, 1e-3))))
    assert len(ad.Tape(c)) < 5
    np.testing.assert_allclose(w.grad, eager(0.999), rtol=1e-9)


def peak(f):
    gc.collect()
    tracemalloc.start()
    f()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_checkpoints_take_less_memory():
    xs, w = np.ones((900, 2)), np.full((2, 400), 0.01)

    def gradient(**how):
        def f(h, x):
            h = np.tanh(h * 0.9 + x @ w0)
            return np.tanh(np.sin(h) * np.cos(h)), None
        def loss(w):
            nonlocal w0
            w0 = w
            return ad.scan(f, np.zeros(400), xs, **how)[0].sum()
        w0 = w
        return partial(ad.grad(loss), w)
    all_kept, few = gradient(), gradient(checkpoint=True)
    close(all_kept(), few())
    assert peak(few) < peak(all_kept) / 5


def test_memory_is_flat_over_many_loops_without_the_collector():
    w = ad.Tensor(np.ones((20, 20)) * 0.01, requires_grad=True)

    def once():
        ad.scan(lambda c, x: (np.tanh(c @ w + x), c), np.ones(20), np.ones((50, 20)))[0].sum().backward()
    once(), once()
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        once()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            once()
        assert tracemalloc.get_traced_memory()[0] < before + 60_000
        tracemalloc.stop()
    finally:
        gc.enable()


def test_compiling_takes_the_same_time_whatever_the_number_of_steps():
    def first_call(n):
        xs = np.ones((n, 2, 3))
        packed = lambda p: ad.scan(tanh_cell(p), H, xs)[1].sum()
        looping.loops.clear()
        step = ad.compile(ad.value_and_grad(packed), jit=False)
        start = perf_counter()
        step(PARAMETERS)
        first = perf_counter() - start
        start = perf_counter()
        step(PARAMETERS)
        records = len(step.kinds[0].trace.program.records)
        return first - 2 * (perf_counter() - start), records        # recording runs each step twice: forward, backward
    first_call(10)
    short, long = (min(first_call(n)[0] for _ in range(3)) for n in (10, 2000))
    assert first_call(10)[1] == first_call(2000)[1]
    assert long < 2 * short + 0.05


# ---- training

class Classifier(nn.Module):
    """A recurrent network that reads tokens and says which class a sequence is of."""

    def __init__(self):
        self.table = nn.Parameter(rng.normal(size=(6, 5)))
        self.hidden = nn.Linear(5 + 8, 8, rng=1)
        self.out = nn.Linear(8, 3, rng=2)

    def __call__(self, tokens):
        def step(h, token):
            return np.tanh(self.hidden(np.concatenate([h, self.table[token]], axis=1))), None
        h, _ = self.scan(step, np.zeros((len(tokens), 8)), tokens.T)
        return self.out(h)


@pytest.mark.parametrize("jit", [False, True])
def test_a_classifier_is_trained_as_the_python_loop_trains_it(jit):
    tokens = np.random.default_rng(1).integers(0, 6, size=(10, 12))
    labels = tokens.sum(axis=1) % 3
    losses = []
    for scan, compiled in ((ad.scan, True), (unrolled_last, False)):
        global rng
        rng = np.random.default_rng(5)
        model = Classifier()
        model.__class__.scan = staticmethod(scan)
        step = nn.train_step(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.05), compile=compiled,
                             **({"jit": jit} if compiled else {}))
        losses.append([float(step(tokens, labels)) for _ in range(12)])
    np.testing.assert_allclose(*losses, rtol=1e-7)
    assert losses[0][-1] < losses[0][0] / 2


def unrolled_last(f, init, xs):
    """The loop, nothing stacked."""
    for x in xs:
        init, _ = f(init, x)
    return init, None


# ---- messages

def wrong(match, f, init, xs=None, error=ad.OperandError, **how):
    with pytest.raises(error, match=match) as caught:
        ad.scan(f, init, xs, **how)
    return str(caught.value)


def test_what_f_must_return():
    said = wrong(r"\(carry, y\), and returned float64|returned Tensor", lambda c, x: c + x, 0.0, np.ones(3))
    assert "return (carry, None)" in said and "test_scan.py" in said
    wrong("a tuple of 3", lambda c, x: (c, x, x), 0.0, np.ones(3))
    said = wrong("keep its structure", lambda c, x: ({"h": c["h"]}, None), {"h": np.ones(2), "c": 1.0}, np.ones(3))
    assert "{'h': array(2,), 'c': array()}" in said and "{'h': array(2,)}." in said


def test_a_leaf_that_changes_is_named():
    said = wrong("h, a leaf of the carry, was (.2,.|\\(2,\\)) float64 and became (.3, 2.|\\(3, 2\\)) float64",
                 lambda c, x: ({"n": c["n"], "h": c["h"] + np.ones((3, 2))}, None), {"n": 0, "h": np.ones(2)}, length=2,
                 error=ad.ShapeError)
    assert "np.ones((3, 2))" in said and "test_scan.py" in said
    add = lambda c, x: (c + x, None)
    assert "such as 0.0" in wrong(r"was \(\) int64 and became \(\) float64", add, 0, np.ones(3))
    assert "float32" in wrong(r"became \(2,\) float64", add, np.ones(2, np.float32), np.ones((3, 2)))


def test_the_number_of_steps():
    both = {"a": np.ones(3), "b": [np.ones((4, 2))]}
    assert "a has 3, b[0] has 4" in wrong("first axis", lambda c, x: (c, x), 0.0, both, error=ad.ShapeError)
    wrong("length=4", lambda c, x: (c, x), 0.0, np.ones(3), length=4, error=ad.ShapeError)
    wrong("single number", lambda c, x: (c, x), 0.0, 1.0, error=ad.ShapeError)
    wrong("how many steps", lambda c, x: (c, x), 0.0)
    wrong("length=-1", lambda c, x: (c, x), 0.0, length=-1)
    wrong("checkpoint=0", lambda c, x: (c, x), 0.0, np.ones(3), checkpoint=0)
    wrong("takes a function", 3.0, 0.0, np.ones(3))
    wrong("dtype <U1", lambda c, x: (c, x), "a", np.ones(3))


def test_values_that_decide():
    said = wrong("inside ad.scan", lambda c, x: (c if c > x else x, None), 0.0, np.ones(3), error=ad.TracedValueError)
    assert "np.where" in said and "test_scan.py" in said
    wrong("float\\(\\)", lambda c, x: (c * float(x), None), 0.0, np.ones(3), error=ad.TracedValueError)
    seen = ad.Tensor(np.zeros(2))

    def write(c, x):
        with ad.no_grad():
            seen[0] = 1.0
        return c, None
    wrong("written to", lambda c, x: (write(c, x)[0] + seen.sum(), None), 0.0, np.ones(3), error=ad.TracedValueError)


def test_a_failing_step_leaves_the_draws_as_they_were():
    g = ad.seed(3)
    before = g.bit_generator.state
    with pytest.raises(ZeroDivisionError):
        ad.scan(lambda c, x: (ad.dropout(c) / (1 // 0), None), np.ones(3), length=2)
    assert g.bit_generator.state == before


def test_complex_numbers():
    z = np.array([1j, 1 + 1j])
    assert ad.scan(lambda c, x: (c * x, c), 1 + 0j, z)[0] == 1j * (1 + 1j)
    w = ad.Tensor(0.5, requires_grad=True)
    wrong("real and imaginary", lambda c, x: (c * x * w, None), 1 + 0j, z)
    y = lambda scan: lambda w: np.abs(scan(lambda c, x: (c + w, x * c), w, z)[1]).sum()
    close(ad.grad(y(ad.scan))(0.5), ad.grad(y(unrolled))(0.5))


# ---- other readers

def test_other_readers():
    p = mapped(lambda x: ad.Tensor(x, requires_grad=True), PARAMETERS)
    h, ys = ad.scan(tanh_cell(p), H, XS)
    loss = (h ** 2).sum() + ys.mean()
    listed = str(ad.Tape(loss))
    assert "scan(" in listed and "length=7" in listed and "\nh " in listed
    assert "scan" in viz.draw(loss).dot
    assert "scan" in str(ad.derive(loss, p["W"]))
    assert loss.requires_grad and "scan" in repr(ad.Tape(loss)[0])
    report = ad.compare(loss, {p["W"]: ad.gradients(loss, [p["W"]])[0]})
    assert report.ok


def test_source_runs_or_says_why_not():
    w = ad.Tensor(0.5, requires_grad=True, name="w")
    c, _ = ad.scan(lambda c, x: (np.sin(c) * w, None), w, length=3)
    loss = c ** 2
    text = ad.source(loss)
    close(text(w=w.numpy())["w"], ad.gradients(loss, [w])[0])


def test_loops_remembered_are_bounded():
    for i in range(looping.KEPT + 5):
        ad.scan(lambda c, x: (c + i, None), 0.0, length=2)                   # noqa: B023
    assert len(looping.loops) == looping.KEPT
