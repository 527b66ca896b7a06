"""ad.compile: what goes in, what comes out, what is seen between calls and what is refused, as in the eager function.

A line of a table is a case, however long.
"""
# ruff: noqa: E501

import copy
import gc
import threading
import tracemalloc
import warnings
from collections import namedtuple
from contextlib import nullcontext

import numpy as np
import pytest

import autodiff as ad
import nn

RNG = np.random.default_rng(0)
cross_entropy = nn.functional.cross_entropy
W, X = RNG.normal(size=(3, 2)), RNG.normal(size=(5, 3))
Point = namedtuple("Point", "x y")


@pytest.fixture(autouse=True)
def place(tmp_path_factory, monkeypatch):
    """Machine code of these tests in a folder of their own, shared by them."""
    monkeypatch.setenv("WENGERT_CACHE", str(tmp_path_factory.getbasetemp() / "kernels"))


@pytest.fixture(params=[False, True], ids=["numpy", "jit"])
def jit(request):
    return request.param


def loss(w, x):
    return (np.tanh(x @ w) ** 2).mean()


def value(y):
    return y.data if isinstance(y, ad.Tensor) else y


def leaves(tree):
    if isinstance(tree, dict):
        return [leaf for v in tree.values() for leaf in leaves(v)]
    if isinstance(tree, list | tuple):
        return [leaf for v in tree for leaf in leaves(v)]
    return [tree]


def alike(a, b, rtol=1e-13):
    """Of the same structure and types, with the same values but for rounding."""
    if isinstance(a, np.generic | np.ndarray) and np.shape(a) == ():
        a, b = np.asarray(a), np.asarray(b)             # a total is a number compiled, perhaps an array of no axis eager
    assert type(a) is type(b), (a, b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            alike(a[key], b[key], rtol)
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            alike(x, y, rtol)
    else:
        x, y = value(a), value(b)
        assert type(x) is type(y)
        if isinstance(x, np.ndarray | np.generic):
            assert (x.dtype, x.shape) == (y.dtype, y.shape)
            rtol = max(rtol, 8 * np.finfo(x.dtype).eps if x.dtype.kind in "fc" else 0)
            np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)
        else:
            assert x == y


def agrees(f, *args, jit=False, calls=2, **keywords):
    """The compiled function, after it gave what the eager one gives."""
    compiled = ad.compile(f, jit=jit)
    for _ in range(calls):
        alike(compiled(*args, **keywords), f(*args, **keywords))
    return compiled


# ---- structures

STRUCTURES = {
    "dict": (lambda p: {"z": p["b"] * 2, "a": p["a"].sum()}, ({"a": X, "b": W},)),
    "nested": (lambda p: [p[0]["u"] + p[1][0], (p[1][0],), {"k": [p[0]["u"]]}], ([{"u": X}, (X + 1,)],)),
    "named_tuple": (lambda p: Point(p.y * 2, p.x + 1), (Point(X, W),)),
    "none_within": (lambda p: {"y": p[0] * 2, "n": None}, ([X, None],)),
    "constants_within": (lambda x: {"y": x * 2, "what": "twice", "n": 3, "flag": True}, (X,)),
    "an_argument_returned": (lambda x: x, (X,)),
    "an_argument_returned_twice": (lambda x: (x, x * 1.0, x), (X,)),
    "a_view_returned": (lambda x: (x.T, x[1:], x[::-1], x.reshape(-1)), (X,)),
    "nothing": (lambda x: (), (X,)),
    "only_constants": (lambda x: (1, "a"), (X,)),
    "no_arguments": (lambda: W * 2, ()),
    "no_arrays": (lambda n: W * n, (3,)),
    "several_outputs": (lambda x: list(np.split(x, [1, 2], axis=1)), (X,)),
    "empty_dict": (lambda p: p, ({},)),
    "dict_of_ints": (lambda p: {k: v * 2 for k, v in p.items()}, ({3: X, 1: W},)),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(name, jit):
    f, args = STRUCTURES[name]
    agrees(f, *args, jit=jit)


def test_keyword_arguments_and_defaults(jit):
    def f(x, scale=2.0, *, bias=None, power=2):
        return (x * scale) ** power + (0 if bias is None else bias)

    compiled = agrees(f, X, jit=jit)
    for keywords in ({"scale": 3.0}, {"bias": W[:, 0]}, {"power": 3}, {"bias": W[:, 1], "scale": 1.5}):
        alike(compiled(X, **keywords), f(X, **keywords))
    assert compiled.traces == 5
    alike(compiled(x=X, scale=3.0), f(X, scale=3.0))


def test_a_module_as_an_argument(jit):
    def f(m, x):
        return (m(x) ** 2).sum()

    m = nn.Linear(3, 2, rng=0)
    compiled = agrees(f, m, X, jit=jit)
    m.weight.data = m.weight.data * 2
    alike(compiled(m, X), f(m, X))
    other = nn.Linear(3, 2, rng=1)
    alike(compiled(other, X), f(other, X))
    gradient = ad.compile(ad.grad(f), jit=jit)
    alike(gradient(m, X), ad.grad(f)(m, X))


def test_modules_and_sets_that_come_and_go_are_told_apart():
    """A new object may have the address of an old one."""
    class Scaled(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor, self.weight = factor, nn.Parameter(np.ones(3))

        def forward(self, x):
            return x * self.factor * self.weight

    compiled = ad.compile(lambda m, x: m(x).sum(), jit=False)
    first = ad.compile(lambda s, x: x * len(s), jit=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ad.CompileWarning)
        for factor in range(1, 12):
            assert value(compiled(Scaled(float(factor)), X)) == pytest.approx(X.sum() * factor)
            assert np.allclose(first({*range(factor)}, X), X * factor)
            gc.collect()


def test_has_aux(jit):
    def f(w, x):
        y = x @ w
        return (y**2).sum(), {"y": y, "n": 3}

    transform = ad.value_and_grad(f, has_aux=True)
    agrees(transform, W, X, jit=jit)


TRANSFORMS = {
    "grad": ad.grad(loss),
    "value_and_grad": ad.value_and_grad(loss, argnums=(0, 1)),
    "jacobian": ad.jacobian(lambda w, x: np.tanh(x @ w)),
    "hessian": ad.hessian(loss),
    "hvp": lambda w, x: ad.hvp(loss, (w, x), (w * 0.5, x * 2)),
    "jvp": lambda w, x: ad.jvp(loss, (w, x), (w * 0.5, x * 2)),
    "grad_of_grad": ad.grad(lambda w, x: (ad.grad(loss)(w, x) ** 2).sum()),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name, jit):
    compiled = ad.compile(TRANSFORMS[name], jit=jit)
    for scale in (1.0, 0.3):
        alike(compiled(W * scale, X), TRANSFORMS[name](W * scale, X), rtol=1e-11)


# ---- traces

def test_each_shape_dtype_and_setting_is_recorded_once():
    compiled = ad.compile(lambda x, n: x * n, jit=False)
    for _ in range(2):
        compiled(X, 2)
        compiled(W, 2)
        compiled(X.astype(np.float32), 2)
        compiled(X, 3)
        compiled(X, 2.0)
        compiled(ad.Tensor(X), 2)
        compiled(ad.Tensor(X, requires_grad=True), 2)
    assert compiled.traces == 7


SETTINGS = [(1, True), (1, 1.0), (0.0, -0.0), (1, 1j), ("a", b"a"), ((1, 2), [1, 2]), ((1,), (True,)), (None, 0),
            (slice(0, 2), slice(0, 3)), ({1}, {1, 2}), (frozenset([1]), frozenset([True])), (np.float32, np.float64)]


@pytest.mark.parametrize("pair", SETTINGS, ids=str)
def test_settings_that_seem_equal_are_told_apart(pair):
    compiled = ad.compile(lambda x, s: (x * 1.0, type(s).__name__, str(s)), jit=False)
    for s in (*pair, *pair):
        assert compiled(X, s)[1:] == (type(s).__name__, str(s))
    assert compiled.traces == 2


def test_nan_as_a_setting_is_recorded_once():
    compiled = ad.compile(lambda x, s: x * s, jit=False)
    for _ in range(4):
        assert np.isnan(compiled(X, float("nan"))).all()
    assert compiled.traces == 1


def test_signed_zero_as_a_setting():
    compiled = ad.compile(lambda x, s: np.copysign(x, s), jit=False)
    assert (compiled(X, 0.0) >= 0).all()
    assert (compiled(X, -0.0) <= 0).all()


def test_many_recordings_are_told_once():
    compiled = ad.compile(lambda x, n: x * n, jit=False)
    for n in range(8):
        compiled(X, float(n))
    with pytest.warns(ad.CompileWarning, match=r"recorded 9 times.*np\.float64"):
        compiled(X, 8.0)
    for n in range(9, 20):
        compiled(X, float(n))
    compiled = ad.compile(lambda x, n: x * n, jit=False)
    for n in range(20):
        compiled(X, np.float64(n))
    assert compiled.traces == 1


def test_readings(jit):
    compiled = ad.compile(ad.value_and_grad(loss), jit=jit)
    compiled(W, X)
    assert "def step(w, x):" in compiled.source
    assert "workspace" in compiled.memory
    assert "recorded 1 times" in repr(compiled)
    assert "matmul" in str(compiled.tape)
    assert compiled.__name__


# ---- what is read by reference

def test_what_is_captured_is_read_anew(jit):
    p, b, a = nn.Parameter(W), ad.Tensor(X[0]), np.ones(2)
    n = ad.Tensor(2.0)

    def f(x):
        return (((x + b) @ p) * a * n).sum(axis=0)

    compiled = agrees(f, X, jit=jit)
    for change in (lambda: setattr(p, "data", W * 3), lambda: setattr(b, "data", X[1]),
                   lambda: a.__imul__(5.0), lambda: setattr(n, "data", -1.5)):
        change()
        alike(compiled(X), f(X))
    with ad.no_grad():
        p -= 1.0
        b[0] = 3.0
    alike(compiled(X), f(X))
    assert compiled.traces == 1


def test_load_state_dict_is_seen(jit):
    m = nn.Sequential(nn.Linear(3, 4, rng=0), nn.ReLU(), nn.Linear(4, 2, rng=1))
    compiled = agrees(m, X, jit=jit)
    m.load_state_dict({path: a * -0.5 for path, a in m.state_dict().items()})
    alike(compiled(X), m(X))
    assert compiled.traces == 1


def test_indices_and_masks_in_a_closure_are_read_anew(jit):
    rows, mask = np.array([0, 1, 1]), np.array([True, False, True, True, False])

    def f(x):
        return (x[rows] * 2).sum(), np.where(mask[:, None], x, -x)

    compiled = agrees(f, X, jit=jit)
    rows[:] = [4, 4, 2]
    mask[:] = ~mask
    alike(compiled(X), f(X))


def test_large_arrays_that_look_alike_are_told_apart(jit):
    """NumPy abbreviates their text."""
    n = 3000
    first, second = np.arange(n), np.arange(n)
    second[1500] = 0
    x = RNG.normal(size=n)
    agrees(lambda x: (x[first] - x[second], np.take(x, first) - np.take(x, second)), x, jit=jit)
    masks = np.ones(n, bool), np.ones(n, bool)
    masks[1][1500] = False
    agrees(lambda x: np.where(masks[0], x, 0) - np.where(masks[1], x, 0), x, jit=jit)
    scale = np.ones(n), np.ones(n)
    scale[1][1500] = 2
    agrees(lambda x: x * scale[0] - x * scale[1], x, jit=jit)


# ---- Tensors in and out

@pytest.mark.parametrize("kinds", ["aa", "ta", "at", "tt", "pa", "ap", "pp", "tp"])
def test_types_are_as_eager(kinds, jit):
    make = {"a": lambda a: a, "t": ad.Tensor, "p": nn.Parameter}
    w, x = make[kinds[0]](W), make[kinds[1]](X)
    compiled = agrees(lambda w, x: (x @ w, x * 2, w.sum(), x > 0, 1), w, x, jit=jit)
    y = compiled(w, x)
    z = compiled.f(w, x)
    assert [getattr(a, "requires_grad", None) for a in y] == [getattr(a, "requires_grad", None) for a in z]
    with ad.no_grad():
        alike(compiled(w, x), compiled.f(w, x))


def test_gradients_through_a_compiled_function(jit):
    compiled = ad.compile(loss, jit=jit)
    results = []
    for f in (compiled, loss):
        w, x = ad.Tensor(W, requires_grad=True), ad.Tensor(X, requires_grad=True)
        y = f(w, x) * 3.0 + f(w * 0.5, x)
        g = ad.gradients(y, [w, x], record=True)
        h = ad.gradients((g[0] ** 2).sum() + (g[1] ** 3).sum(), [w, x], record=True)
        third = ad.gradients(sum((a**2).sum() for a in h), [w])
        y.backward()
        results.append([y, *g, *h, *third, w.grad, x.grad])
    for a, b in zip(*results):
        np.testing.assert_allclose(value(a), value(b), rtol=1e-9, atol=1e-12)


def test_gradients_of_parameters_captured(jit):
    results = []
    for compiled in (True, False):
        m = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Sigmoid(), nn.Linear(4, 2, rng=1))
        f = ad.compile(m, jit=jit) if compiled else m
        for _ in range(2):
            (f(X) ** 2).sum().backward()
        results.append([p.grad for p in m.parameters()])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_several_outputs_each_have_gradients(jit):
    def f(w, x):
        y = x @ w
        return {"sum": y.sum(), "y": y, "rows": [y[0], y[1] * 2], "n": y.shape[0], "mask": y > 0}

    compiled = ad.compile(f, jit=jit)
    for pick in (lambda o: o["sum"], lambda o: (o["y"] ** 2).sum(), lambda o: (o["rows"][1] * o["rows"][0]).sum() + o["sum"]):
        results = []
        for g in (compiled, f):
            w = ad.Tensor(W, requires_grad=True)
            results.append(ad.gradients(pick(g(w, X)), [w])[0])
        np.testing.assert_allclose(*results, rtol=1e-12, atol=1e-14)


def test_transforms_of_a_compiled_function(jit):
    compiled = ad.compile(loss, jit=jit)
    for transform in (ad.grad, ad.hessian, ad.jacobian):
        np.testing.assert_allclose(transform(compiled)(W, X), transform(loss)(W, X), rtol=1e-10, atol=1e-13)
    for a, b in zip(ad.jvp(compiled, (W, X), (W * 2, X)), ad.jvp(loss, (W, X), (W * 2, X))):
        np.testing.assert_allclose(value(a), value(b), rtol=1e-12)
    np.testing.assert_allclose(ad.hvp(compiled, (W, X), (W, X))[0], ad.hvp(loss, (W, X), (W, X))[0], rtol=1e-10)


def test_compiled_within_compiled(jit):
    inner = ad.compile(loss, jit=jit)
    outer = ad.compile(lambda w, x: inner(w, x) + ad.grad(inner)(w, x).sum(), jit=jit)
    alike(outer(W, X), loss(W, X) + ad.grad(loss)(W, X).sum(), rtol=1e-12)
    assert inner.traces == 0


def test_stop_gradient_and_no_grad_within(jit):
    def f(w, x):
        y = x @ w
        with ad.no_grad():
            scale = np.abs(y).max()
        return (y / scale * y.detach()).sum()

    compiled = ad.compile(ad.value_and_grad(f), jit=jit)
    for scale in (1.0, 2.0):
        for a, b in zip(compiled(W * scale, X), ad.value_and_grad(f)(W * scale, X)):
            np.testing.assert_allclose(value(a), value(b), rtol=1e-12)


@pytest.mark.parametrize("first", [(True, True), (False, False), (False, True)])
def test_frozen_and_thawed_parameters(first, jit):
    m = nn.Linear(3, 2, rng=0)
    compiled = ad.compile(lambda x: (m(x) ** 2).sum(), jit=jit)
    for flags in (first, (True, True), (False, True), (False, False), (True, False), (True, True)):
        m.weight.requires_grad, m.bias.requires_grad = flags
        m.zero_grad()
        y = compiled(X)
        assert y.requires_grad == any(flags)
        if any(flags):
            y.backward()
        assert (m.weight.grad is not None, m.bias.grad is not None) == flags


def test_eval_and_train_are_two_programs(jit):
    m = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Dropout(0.5))
    compiled = ad.compile(lambda m, x: m(x), jit=jit)
    for training in (True, False, True, False):
        m.train(training)
        ad.seed(1)
        a = compiled(m, X)
        ad.seed(1)
        alike(a, m(X))


# ---- random numbers

@pytest.mark.parametrize("recorded", [True, False])
def test_draws_are_those_of_eager(recorded, jit):
    d = nn.Sequential(nn.Linear(3, 8, rng=0), nn.Dropout(0.5), nn.Linear(8, 4, rng=1), nn.Dropout(0.3))
    results = []
    for f in (ad.compile(d, jit=jit), d):
        rng = ad.seed(5)
        with nullcontext() if recorded else ad.no_grad():
            results.append(([value(f(X)) for _ in range(4)], rng.bit_generator.state))
    for a, b in zip(results[0][0], results[1][0]):
        np.testing.assert_allclose(a, b, rtol=1e-13)
    assert results[0][1] == results[1][1]


def test_draws_from_a_generator_of_the_users(jit):
    results = []
    for compile in (True, False):
        rng = np.random.default_rng(3)
        f = lambda x, rng=rng: ad.dropout(x, 0.5, rng=rng) + ad.dropout(x, 0.25, rng=rng)
        g = ad.compile(f, jit=jit) if compile else f
        results.append([g(X) for _ in range(3)])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_a_draw_with_a_number_as_seed_is_the_same_each_time(jit):
    agrees(lambda x: ad.dropout(x, 0.5, rng=7), X, jit=jit, calls=3)


def test_a_failed_recording_draws_once():
    calls = []

    def f(x):
        calls.append(1)
        y = ad.dropout(x, 0.5)
        return y * UNKNOWN(x)

    results = []
    compiled = ad.compile(f, jit=False)
    ad.seed(2)
    with pytest.warns(ad.CompileWarning, match="left eager"):
        results.append(compiled(X))
    results += [compiled(X) for _ in range(2)]
    ad.seed(2)
    for a, b in zip(results, [f(X) for _ in range(3)]):
        assert np.array_equal(a, b)


def test_why_it_is_left_eager_is_told_with_the_line_and_what_helps():
    def f(x):
        return np.linalg.svd(x)[1].sum()
    with pytest.warns(ad.CompileWarning) as told:
        ad.compile(f, jit=False)(W)
    what, where, advice = str(told[0].message).splitlines()
    assert what == "the compiled f is left eager: while it was recorded, NoRuleError: np.linalg.svd has no derivative " \
                   "rule here."
    assert "test_compile.py" in where and where.endswith("np.linalg.svd(x)")
    assert "@ad.op" in advice


def test_values_taken_for_another_library_are_told_with_what_helps():
    def f(x):
        return (x * np.linalg.svd(x.numpy())[1].sum()).sum()
    with pytest.raises(ad.TracedValueError) as told:
        ad.compile(f, jit=False)(W)
    assert "test_compile.py" in str(told.value) and "@ad.op above a function of arrays" in str(told.value)

    @ad.op
    def singular(x):
        return np.linalg.svd(x)[1]
    compiled = ad.compile(lambda x: (x * singular(x).sum()).sum(), jit=False)
    for scale in (1, 2):
        assert compiled(W * scale) == (W * scale * np.linalg.svd(W * scale)[1].sum()).sum()


def UNKNOWN(x):
    """What no Tensor can do."""
    if isinstance(x, ad.Tensor):
        raise TypeError("no tensors, please")
    return np.asarray(x) * 2


# ---- errors

def branch(x):
    return x * 2 if x.sum() > 0 else x


def number(x):
    return x * float(x.sum())


def iterate(x):
    n = 0
    while (x * n).sum() < 10:
        n += 1
    return x * n


def taken_off(x):
    return x * x.numpy()


REFUSED = {"branch": (branch, "x.sum() > 0"), "number": (number, "float(x.sum())"), "while": (iterate, "(x * n).sum() < 10"),
           "item": (lambda x: x * x.sum().item(), "x.sum().item()"), "int": (lambda x: x[:int(x.sum())], "int(x.sum())")}


@pytest.mark.parametrize("name", REFUSED)
def test_control_flow_by_value_is_refused(name, jit):
    f, line = REFUSED[name]
    with pytest.raises(ad.TracedValueError) as caught:
        ad.compile(f, jit=jit)(np.abs(X))
    said = str(caught.value)
    assert line in said
    assert "np.where" in said and "ad.scan" in said and "eager" in said


def test_values_taken_off_the_tape_are_refused():
    b = ad.Tensor(X)
    for f in (taken_off, lambda x: x * np.exp((x * 2).data), lambda x: x * np.exp(b.data), lambda x: x + ad.Tensor(x * 1.0)):
        with pytest.raises(ad.TracedValueError, match=r"the values of .* \(\.data, \.numpy\(\)\) inside ad\.compile"):
            ad.compile(f, jit=False)(X)


def test_writes_are_refused_and_leave_things_as_they_were():
    p = nn.Parameter(W)

    def update(x):
        p.data = W * 0.5
        return (x @ p).sum()

    def backward(x):
        (x @ p).sum().backward()
        return p * 1.0

    def in_place(x):
        with ad.no_grad():
            p.__imul__(0.5)
        return (x @ p).sum()

    for f in (update, in_place):
        with pytest.raises(ad.TracedValueError, match="written"):
            ad.compile(f, jit=False)(X)
    with pytest.raises(ad.TracedValueError, match=r"backward\(\)"):
        ad.compile(backward, jit=False)(X)
    assert p.grad is None


def test_writes_to_what_is_made_within_are_fine(jit):
    def f(x):
        y = x * 1.0
        y[0] = 3.0
        y[:, 1] *= 2.0
        y += x
        return y, (y**2).sum()

    agrees(f, X, jit=jit)
    agrees(ad.grad(lambda x: f(x)[1]), X, jit=jit)


def test_errors_of_the_function_are_its_own(jit):
    class Mine(Exception):
        pass

    def f(x, w):
        if x.shape[0] == 4:
            raise Mine("four")
        return x @ w

    compiled = ad.compile(f, jit=jit)
    with pytest.raises(Mine, match="four"):
        compiled(X[:4], W)
    with pytest.raises(ValueError, match="matmul"):
        compiled(X, X)
    for bad in (ad.Tensor(X), nn.Parameter(X)):
        with pytest.raises(ad.ShapeError) as caught:
            compiled(bad, X)
        with pytest.raises(ad.ShapeError) as eager:
            f(bad, X)
        assert str(caught.value).splitlines()[:2] == str(eager.value).splitlines()[:2]
    alike(compiled(X, W), f(X, W))


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 0], [0, -1, 1, 1, 0], [0, 10**12, 1, 1, 0]], ids=str)
@pytest.mark.parametrize("where", ["argument", "closure", "computed"])
def test_class_numbers_are_checked_at_each_call(labels, where, jit):
    good, bad = np.array([0, 1, 2, 1, 0]), np.array(labels)
    held = good.copy()
    f = {"argument": lambda z, y: cross_entropy(z, y), "closure": lambda z, y: cross_entropy(z, held),
         "computed": lambda z, y: cross_entropy(z, y * 1)}[where]
    for g in (f, lambda z, y: ad.value_and_grad(lambda z: f(z, y))(z)):
        compiled = ad.compile(g, jit=jit)
        compiled(X, good)
        held[:] = bad
        with pytest.raises(ad.OperandError, match="class number"):
            compiled(X, bad)
        held[:] = good
        compiled(X, good)


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (1, 1), (2, 2), (6, 4)], ids=str)
def test_class_numbers_of_few_samples_or_classes(shape, jit):
    z, labels = RNG.normal(size=shape), np.arange(shape[0]) % shape[1]
    step = ad.value_and_grad(cross_entropy)
    agrees(step, z, labels, jit=jit)


def test_errors_of_numpys_are_raised_as_eager():
    f = ad.compile(lambda x: np.log(x) / x, jit=False)
    f(np.abs(X))
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        f(np.abs(X) * 0)
    with pytest.warns(RuntimeWarning):
        f(np.abs(X) * 0)
    alike(f(np.abs(X)), np.log(np.abs(X)) / np.abs(X))


def test_a_missing_argument_is_said_by_python():
    compiled = ad.compile(loss, jit=False)
    with pytest.raises(TypeError, match="argument"):
        compiled(W)
    with pytest.raises(ad.OperandError):
        ad.compile(3)


# ---- operations of the user's own

def test_own_operations(jit):
    def forward(x):
        return np.asarray(x) ** 3          # no Tensor can do that

    op = ad.op(forward)
    op.derivative(lambda y, x: 3 * x**2)

    def f(x):
        return (op(x) * 2).sum()

    agrees(ad.value_and_grad(f), X, jit=jit)
    agrees(ad.hessian(f), X[0], jit=jit)
    agrees(f, ad.Tensor(X), jit=jit)


# ---- numbers of every kind

EXTREMES = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e308, -1e-300, 5e-324, 1e-310, 709.8, -745.2, 88.8, 1e-8])
ELEMENTWISE = {
    "exp": np.exp, "log": lambda x: np.log(x), "tanh": np.tanh, "sigmoid": ad.sigmoid, "softplus": ad.softplus,
    "sqrt": np.sqrt, "log1p": np.log1p, "expm1": np.expm1, "abs": np.abs, "relu": ad.relu, "sign": np.sign,
    "maximum": lambda x: np.maximum(x, 0.5), "minimum": lambda x: np.minimum(x, x * 0 + 0.5), "sin": np.sin, "cos": np.cos,
    "where": lambda x: np.where(x > 0, x, 1 / x), "square": lambda x: x * x, "reciprocal": lambda x: 1 / x,
    "isfinite": lambda x: np.where(np.isfinite(x), x, -7.0), "isnan": lambda x: np.where(np.isnan(x), 0.0, x),
    "divide": lambda x: x / x, "subtract": lambda x: x - x, "floor": np.floor, "ceil": np.ceil, "clip": lambda x: np.clip(x, -1, 1),
    "log_softmax": ad.log_softmax, "logsumexp": ad.logsumexp, "softmax": ad.softmax, "sum": lambda x: x.sum(), "max": np.max,
    "min": np.min, "mean": np.mean, "arctan": np.arctan,
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_infinities_and_nan_go_through_kernels(dtype, jit):
    """All functions in one program, on extreme values together and each alone."""
    def f(x):
        return {name: g(x) for name, g in ELEMENTWISE.items()}

    compiled = ad.compile(f, jit=jit)
    with np.errstate(all="ignore"):
        x = EXTREMES.astype(dtype)
        rows = [x, np.where(np.isfinite(x), x, 1.0).astype(dtype), *(np.full_like(x, a) for a in x)]
        for row in rows:
            got, want = compiled(row), f(row)
            for name in want:
                a, b = np.asarray(got[name]), np.asarray(want[name])
                assert a.dtype == b.dtype, name
                rtol = 64 * np.finfo(dtype).eps
                np.testing.assert_allclose(a, b, rtol=rtol, atol=np.finfo(dtype).tiny, err_msg=f"{name} of {row}")
    assert compiled.traces == 1


ARRAYS = {
    "empty": (np.zeros((0, 3)), np.zeros((3, 2))), "no_columns": (np.zeros((5, 3)), np.zeros((3, 0))),
    "empty_inside": (np.zeros((5, 0)), np.zeros((0, 2))), "one": (np.ones((1, 1)), np.ones((1, 1))),
    "fortran": (np.asfortranarray(X), np.asfortranarray(W)), "reversed": (X[::-1], W[:, ::-1]),
    "strided": (np.repeat(X, 2, axis=1)[:, ::2], np.repeat(W, 3, axis=0)[::3]), "transposed": (X.T.copy().T, W.T.copy().T),
    "broadcast": (np.broadcast_to(X[0], (5, 3)), np.broadcast_to(W[:1], (3, 2))),
    "big_endian": (X.astype(">f8"), W.astype(">f8")), "big_endian_mixed": (X.astype(">f4"), W),
    "float16": (X.astype(np.float16), W.astype(np.float16)), "float32": (X.astype(np.float32), W.astype(np.float32)),
    "mixed": (X.astype(np.float32), W), "longdouble": (X.astype(np.longdouble), W.astype(np.longdouble)),
    "complex": (X + 1j * X, W + 0j), "complex64": (X.astype(np.complex64), W.astype(np.complex64)),
    "int": (np.arange(15).reshape(5, 3), np.arange(6).reshape(3, 2)), "int8": (np.ones((5, 3), np.int8), W.astype(np.float32)),
    "bool": (X > 0, W), "uint8": (np.arange(15, dtype=np.uint8).reshape(5, 3), np.arange(6, dtype=np.uint8).reshape(3, 2)),
}


def everything(x, w):
    y = x @ w
    return {"y": y, "sum": y.sum(), "rows": y.sum(axis=0), "columns": y.sum(axis=1, keepdims=True), "z": y * y + y,
            "mixed": (x + x[:1]) * (w.sum() * 1), "tanh": np.tanh(y * 0.25), "t": w.T + y[:2, :].sum() * 0,
            "bigger": y > 0, "plus": x + 1, "scaled": x * 0.5, "mean": np.mean(x * 1.0) if x.size else 0}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_every_kind(name, jit):
    x, w = ARRAYS[name]
    compiled = ad.compile(everything, jit=jit)
    before = copy.deepcopy((x, w))
    narrow = np.result_type(x, w).itemsize <= (8 if x.dtype.kind == "c" else 4) and np.result_type(x, w).kind in "fc"
    rtol = 2e-3 if np.result_type(x, w) == np.float16 else 1e-5 if narrow else 1e-12
    for _ in range(2):
        alike(compiled(x, w), everything(x, w), rtol=rtol)
    assert np.array_equal(x, before[0]) and np.array_equal(w, before[1])


@pytest.mark.parametrize("name", ["fortran", "reversed", "strided", "broadcast", "big_endian", "float16", "longdouble"])
def test_gradients_at_arrays_of_every_kind(name, jit):
    x, w = ARRAYS[name]
    f = ad.value_and_grad(loss, argnums=(0, 1))
    alike(ad.compile(f, jit=jit)(w, x), f(w, x), rtol=2e-3 if name == "float16" else 1e-12)


def test_layouts_may_change_from_call_to_call(jit):
    compiled = ad.compile(everything, jit=jit)
    for name in ("fortran", "reversed", "strided", "transposed", "broadcast"):
        x, w = ARRAYS[name]
        alike(compiled(x, w), everything(x, w))
        alike(compiled(ad.Tensor(x), w)["tanh"], everything(ad.Tensor(x), w)["tanh"])
    assert compiled.traces == 2


def test_read_only_and_zero_dimensional(jit):
    x = X.copy()
    x.flags.writeable = False
    agrees(lambda x: (x * 2, x.T, np.exp(x).sum()), x, jit=jit)
    for x in (np.float64(1.5), np.array(1.5), np.float32(2), np.int64(3), np.array(2), np.bool_(True)):
        agrees(lambda x: (x * 2.5, np.exp(x * 0.5), x + W, -(x * 1)), x, jit=jit)
    agrees(ad.grad(lambda x: np.exp(x) * x), np.float64(0.7), jit=jit)


@pytest.mark.parametrize("name", ["fortran", "reversed", "strided", "broadcast", "big_endian", "longdouble"])
def test_arrays_of_every_kind_captured(name, jit):
    x, held = ARRAYS[name]
    agrees(lambda x: np.tanh(x @ held) * held[:1], x, jit=jit)


# ---- memory

def memory_of(tree):
    return [value(y) for y in leaves(tree) if isinstance(value(y), np.ndarray)]


ALIASES = {
    "argument": lambda x: x, "transpose": lambda x: x.T, "slice": lambda x: x[1:], "reshape": lambda x: x.reshape(-1),
    "twice": lambda x: (x * 2,) * 2, "value_and_view": lambda x: (lambda y: (y, y.T, y[0], y.reshape(-1)))(x * 2),
    "view_of_result": lambda x: (x * 2).T[::-1], "parameter": lambda x: (HELD * 1.0, HELD.T, x + HELD),
    "constant": lambda x: (np.ones_like(x), np.zeros_like(x) + 1), "broadcast": lambda x: np.broadcast_to(x * 2, (2, 5, 3)),
    "sum": lambda x: (x.sum(axis=0), x.sum(axis=0)), "index": lambda x: x[np.arange(5)], "copy": np.copy,
    "same_under_two_names": lambda x: (np.exp(x), np.exp(x)), "real": lambda x: x.real, "pad": lambda x: np.pad(x, 0),
}
HELD = ad.Tensor(X * 1.0)


@pytest.mark.parametrize("name", ALIASES)
@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_results_share_memory_with_nothing(name, kind, jit):
    f = ALIASES[name]
    compiled = ad.compile(f, jit=jit)
    x = X.copy() if kind == "array" else ad.Tensor(X)
    calls = [compiled(x) for _ in range(3)]
    kept = copy.deepcopy([memory_of(y) for y in calls])
    results = [y for call in calls for y in memory_of(call)]
    assert results
    for i, a in enumerate(results):
        assert not np.shares_memory(a, value(x)), "an argument"
        assert not np.shares_memory(a, HELD.data), "something captured"
        for b in results[i + 1:]:
            assert not np.shares_memory(a, b), "another result"
    if kind == "array":
        assert all(a.flags.writeable for a in results)
        for a in memory_of(calls[0]):
            a[...] = 77
        with ad.no_grad():
            compiled(np.full_like(X, 5.0))
        for a, b in zip(kept[1:], [memory_of(y) for y in calls[1:]]):
            for u, v in zip(a, b):
                assert np.array_equal(u, v)
        for a, b in zip(memory_of(compiled(x)), memory_of(f(x))):
            np.testing.assert_allclose(a, b, rtol=1e-14)


def test_gradients_share_memory_with_nothing(jit):
    f = ad.compile(ad.grad(lambda w, x: (w + x).sum() + (w * 1.0).sum(), argnums=(0, 1)), jit=jit)
    a = [*f(X, X), *f(X, X)]
    for i, g in enumerate(a):
        for h in a[i + 1:]:
            assert not np.shares_memory(g, h)
        assert g.flags.writeable


def test_memory_is_flat_over_many_calls(jit):
    compiled = ad.compile(ad.value_and_grad(loss), jit=jit)
    m = nn.Linear(3, 2, rng=0)
    through = ad.compile(m, jit=jit)

    def once():
        compiled(W, X)
        (through(X) ** 2).sum().backward()
        m.zero_grad()

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(2500):           # the interpreter keeps some thousand small objects for use again
            once()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            once()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 20_000


# ---- threads

def test_threads_call_one_compiled_function(jit):
    f = ad.value_and_grad(lambda w, x: (np.tanh(x @ w) @ w.T).sum())
    compiled = ad.compile(f, jit=jit)
    m = nn.Sequential(nn.Linear(40, 50, rng=0), nn.Tanh(), nn.Linear(50, 10, rng=1))
    through = ad.compile(m, jit=jit)
    rng = np.random.default_rng(0)
    jobs = [(rng.normal(size=(40, 30)), rng.normal(size=(60, 40))) for _ in range(8)]
    expected = [(f(w, x), m(x).data) for w, x in jobs]
    start, wrong = threading.Barrier(8), []

    def work(k):
        start.wait()
        for _ in range(40):
            for (w, x), ((y, g), z) in zip(jobs[k:] + jobs[:k], expected[k:] + expected[:k]):
                a, b = compiled(w, x)
                if not (np.allclose(a, y, rtol=1e-12) and np.allclose(b, g, rtol=1e-11, atol=1e-12)
                        and np.allclose(through(x).data, z, rtol=1e-11, atol=1e-12)):
                    wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_one_call_within_another():
    """A workspace belongs to one call."""
    inner = ad.compile(lambda x: x * 2 + 1, jit=False)
    @ad.op
    def calls_back(x):
        return inner(np.asarray(x) * 1.0)

    op = calls_back
    op.derivative(lambda y, x: 2 * np.ones_like(x))
    outer = ad.compile(lambda x: inner(x) + op(x), jit=False)
    alike(outer(X), (X * 2 + 1) * 2)
