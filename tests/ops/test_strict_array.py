"""Device arrays by dispatch: programs forward and backward on a strict stand-in equal NumPy's to the bit."""

import numpy as np
import pytest

import autodiff as ad
from tests.strict_array import StrictArray, TransferError, transfers, unwrapped
from tests.table import TABLE, Arg, weight

rng = np.random.default_rng(0)
x34, y34, w24, b2, v4 = (rng.normal(size=s) for s in [(3, 4), (3, 4), (2, 4), (2,), (4,)])
MASK, ROWS, LABELS = x34 > 0, np.array([0, 2, 2]), np.array([1, 0, 1])

# name: function of the differentiable arguments and of constants (arrays that are moved to the device too)
PROGRAMS = {
    "arithmetic": (lambda a, b: a * b - a / (b * b + 1.0) + 2.0 - (-a) * 3, [x34, y34], []),
    "numbers": (lambda a: (1 - a) * 2.5 / 3.0 + 2.0 / (a * a + 1.0), [x34], []),
    "powers": (lambda a: a**2 + a**3 + (a * a + 0.5) ** 0.5 + (a * a + 1.0) ** -2 + (a * a + 0.5) ** 1.5, [x34], []),
    "power_of_tensors": (lambda a, b: (a * a + 0.5) ** b, [x34, y34], []),
    "elementary": (lambda a: np.exp(a) + np.log(a * a + 0.1) * np.sqrt(np.square(a) + 0.1) + np.tanh(a), [x34], []),
    "activations": (lambda a: ad.sigmoid(a) + ad.softplus(a) * ad.relu(a), [x34], []),
    "broadcasting": (lambda a, v, c: a * v + c - v / (c * c + 1.0), [x34, v4, np.array(0.5)], []),
    "choosing": (
        lambda a, b: np.where(a > b, a * b, np.maximum(a, b)) + np.clip(a, -0.5, 0.5) + np.minimum(a, 0.1),
        [x34, y34],
        [],
    ),
    "masked": (lambda a, m: np.where(m, a, 0.0) + np.abs(a), [x34], [MASK]),
    "matmul": (lambda a, w: np.tanh(a @ w.T) @ w, [x34, w24], []),
    "vectors": (lambda a, v: (a @ v).sum() * v @ v, [x34, v4], []),
    "batched_matmul": (lambda a, w: a.reshape(3, 2, 2) @ w.reshape(2, 2, 2)[:1], [x34, w24], []),
    "net": (lambda x, W, b: ad.sigmoid(ad.linear(x, W, b)).mean(), [x34, w24, b2], []),
    "net_spelled_out": (lambda x, W, b: np.tanh(x @ W.T + b).sum(axis=0), [x34, w24, b2], []),
    "reductions": (
        lambda a: a.sum(axis=0) * a.mean(axis=1, keepdims=True) + a.max(axis=1, keepdims=True) - np.min(a),
        [x34],
        [],
    ),
    "shapes": (
        lambda a: np.transpose(np.reshape(a, (2, 6))) @ np.expand_dims(a[0, :2], 1) + np.squeeze(a[:1, :1]),
        [x34],
        [],
    ),
    "joining": (lambda a, b: np.concatenate([a, b], axis=1) + np.stack([a, b], axis=-1).reshape(3, 8), [x34, y34], []),
    "splitting": (lambda a: np.split(a, 2, axis=1)[0] * np.split(a, [2], axis=1)[1], [x34], []),
    "slices": (lambda a: a[1:, ::2] * a[:2, 1::2] + a[0, 0], [x34], []),
    "integer_index": (lambda a, i: a[i] * 2.0 + a[i, 1:2], [x34], [ROWS]),
    "mask_index": (lambda a, m: a[m] * 3.0, [x34], [MASK]),
    "tensor_index": (lambda a, m: a[a > 0.0] * 2.0, [x34], [MASK]),
    "list_index": (lambda a: a[[0, 1, 1]] * 2.0, [x34], []),
    "softmax": (
        lambda a: ad.softmax(a) * ad.log_softmax(a, axis=0) + ad.logsumexp(a, axis=1, keepdims=True),
        [x34],
        [],
    ),
    "logsumexp": (lambda a: ad.logsumexp(a), [x34], []),
    "cross_entropy": (lambda a, k: ad.cross_entropy_of_labels(a, k), [x34], [LABELS]),
    "cross_entropy_p": (
        lambda a, t: ad.cross_entropy_of_probabilities(a, t),
        [
            x34,
        ],
        [np.abs(y34)],
    ),
    "bce": (lambda a, t: ad.binary_cross_entropy(ad.sigmoid(a), t).mean(), [x34], [MASK * 1.0]),
    "bce_logits": (lambda a, t: ad.binary_cross_entropy_with_logits(a, t).mean(), [x34], [MASK * 1.0]),
    "squared_error": (lambda a, b: ad.squared_error(a, b).mean(), [x34, y34], []),
    "astype": (lambda a: (a.astype(np.float32) * 2.0).astype(np.float64) * a, [x34], []),
    "dropout": (lambda a: ad.dropout(a, 0.5, rng=3), [x34], []),
    "broadcast_to": (lambda a, c: np.broadcast_to(a[0], (3, 4)) * np.broadcast_to(c, (3, 4)), [x34, np.array(2.0)], []),
    "many_rows": (lambda b, x: (x + b) * x, [np.ones(2)], [rng.normal(size=(40, 2))]),
    "one_by_one": (lambda a: sum(a[0, i] * a[1, i] for i in range(4)), [x34], []),
    "accumulating": (lambda a: a + a * 2.0 + np.exp(a) + a.sum() + a[0], [x34], []),
    "constant_branch": (lambda a: np.sign(a) * a + np.floor(a) + (a >= 0.0) * a, [x34], []),
}
programs = pytest.mark.parametrize("program", PROGRAMS)


def run(program, move, dtype=np.float64):
    f, variables, constants = PROGRAMS[program]
    ts = [ad.Tensor(move(v.astype(dtype)), requires_grad=True) for v in variables]
    y = f(*ts, *[move(c) for c in constants])
    w = move(weight(np.empty(y.shape)).astype(y.dtype))
    return ts, y, (y * w).sum()


def there(a):
    assert isinstance(a, StrictArray), f"{type(a)} instead of a device array"
    return np.asarray(unwrapped(a))


def same(a, b):
    b = np.asarray(b)
    assert there(a).dtype == b.dtype
    assert there(a).shape == b.shape
    assert there(a).tobytes() == b.tobytes()


@programs
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_forward_and_backward_equal_numpys_to_the_bit(program, dtype):
    ts, y, loss = run(program, StrictArray, dtype)
    hs, z, host_loss = run(program, np.array, dtype)
    same(y.record.value, z.record.value)
    transfers.clear()
    for g, h in zip(ad.gradients(loss, ts), ad.gradients(host_loss, hs)):
        if program == "many_rows":  # NumPy's matrices take another way, by BLAS
            assert np.allclose(there(g), h, rtol=1e-6 if dtype is np.float32 else 1e-13)
        else:
            same(g, h)
    assert not transfers, "backward brought values to the host"


@programs
def test_backward_leaves_device_arrays_in_grad(program):
    ts, _, loss = run(program, StrictArray)
    loss.backward()
    first = [there(t.grad).copy() for t in ts]
    loss.backward()
    for t, g in zip(ts, first):
        assert np.array_equal(there(t.grad), 2 * g)


@programs
def test_recorded_backward(program):
    ts, _, loss = run(program, StrictArray)
    plain = ad.gradients(loss, ts)
    gs = ad.gradients(loss, ts, record=True)
    for g, p in zip(gs, plain):
        assert there(g.record.value).tobytes() == there(p).tobytes()
    total = sum((g * g).sum() for g in gs)
    if total.requires_grad:
        hs, _, host_loss = run(program, np.array)
        expected = ad.gradients(sum((g * g).sum() for g in ad.gradients(host_loss, hs, record=True)), hs)
        for g, e in zip(ad.gradients(total, ts), expected):
            assert np.allclose(there(g), e, rtol=1e-12, atol=1e-14)


@programs
def test_replay(program):
    ts, y, _ = run(program, StrictArray)
    assert there(ad.Tape(y).replay()).tobytes() == there(y.record.value).tobytes()


@pytest.mark.parametrize(
    "program", ["arithmetic", "net", "reductions", "slices", "choosing", "softmax", "integer_index"]
)
def test_replay_on_other_device_values(program):
    ts, y, _ = run(program, StrictArray)
    values = {t: StrictArray(there(t.record.value) + 0.125) for t in ts}
    again = ad.Tape(y).replay(values)
    f, variables, constants = PROGRAMS[program]
    expected = f(*[ad.Tensor(v + 0.125) for v in variables], *constants)
    assert np.allclose(there(again), expected.numpy(), rtol=1e-13)


@pytest.mark.parametrize("program", ["arithmetic", "net", "reductions", "slices", "choosing", "softmax", "matmul"])
def test_transforms_on_device_arrays(program):
    f, variables, constants = PROGRAMS[program]
    moved = [StrictArray(v) for v in variables]
    args = tuple(range(len(variables)))
    value, gs = ad.value_and_grad(lambda *xs: f(*xs, *[StrictArray(c) for c in constants]).sum(), args)(*moved)
    host_value, hs = ad.value_and_grad(lambda *xs: f(*xs, *constants).sum(), args)(*variables)
    same(value, host_value)
    for g, h in zip(gs, hs):
        same(g, h)
    value, pullback = ad.vjp(lambda *xs: f(*xs), *moved)
    w = weight(np.empty(value.shape))
    for g, h in zip(pullback(StrictArray(w)), ad.vjp(lambda *xs: f(*xs), *variables)[1](w)):
        same(g, h)
    _, tangent = ad.jvp(lambda *xs: f(*xs), moved, moved)
    assert np.allclose(there(tangent), ad.jvp(lambda *xs: f(*xs), variables, variables)[1], rtol=1e-13)


def test_backward_with_a_device_gradient():
    t = ad.Tensor(StrictArray(x34), requires_grad=True)
    (t * 2.0).backward(StrictArray(y34))
    assert np.array_equal(there(t.grad), 2 * y34)


def test_jacobian_and_hvp_on_device_arrays():
    v = StrictArray(v4)
    assert np.allclose(there(ad.jacobian(lambda v: v * v)(v)), np.diag(2 * v4))
    [h] = ad.hvp(lambda v: (v * v * v).sum(), (v,), (v,))
    assert np.allclose(there(h), 6 * v4 * v4)


def test_several_steps_of_descent():
    """Updates in place, on the device."""

    def descend(move):
        W = ad.Tensor(move(w24), requires_grad=True)
        b = ad.Tensor(move(b2), requires_grad=True)
        for _ in range(5):
            loss = ad.squared_error(ad.linear(move(x34), W, b), move(y34[:, :2])).mean()
            loss.backward()
            with ad.no_grad():
                W -= 0.1 * W.grad
                b -= 0.1 * b.grad
            W.grad = b.grad = None
        return W.record.value, b.record.value

    for d, h in zip(descend(StrictArray), descend(np.array)):
        same(d, h)


def test_what_people_look_at():
    """repr, len, iteration, shapes and errors work on what is elsewhere."""
    t = ad.Tensor(StrictArray(x34), requires_grad=True, name="t")
    assert (t.shape, t.ndim, t.size, len(t), t.dtype) == ((3, 4), 2, 12, 3, np.float64)
    assert "t" in repr(t)
    assert len(list(t)) == 3
    assert (t * 2.0).sum().item() == pytest.approx(2 * x34.sum())
    assert "multiply" in str(ad.Tape((t * 2.0).sum()))
    with pytest.raises(ad.ShapeError, match="multiply"):
        t * StrictArray(np.ones((3, 3)))
    t.data = StrictArray(y34)
    same(t.record.value, y34)
    assert ad.as_tensor(t.data).record.value is t.record.value


def test_constructor_shares_or_copies():
    a = StrictArray(x34.copy())
    assert ad.as_tensor(a).record.value is a
    assert not np.shares_memory(unwrapped(ad.Tensor(a).record.value), unwrapped(a))


def test_device_first_operands_reach_the_tensor():
    """The leftmost operand is asked first, and hands over to what it does not know."""
    a, t = StrictArray(x34), ad.Tensor(StrictArray(y34), requires_grad=True)
    for y, expected in [
        (a * t, x34 * y34),
        (a - t, x34 - y34),
        (np.add(a, t), x34 + y34),
        (np.where(StrictArray(MASK), a, t), np.where(MASK, x34, y34)),
        (a @ t.T, x34 @ y34.T),
        (a / (t * t), x34 / (y34 * y34)),
        (np.concatenate([a, t]), np.concatenate([x34, y34])),
    ]:
        assert isinstance(y, ad.Tensor)
        assert np.allclose(there(y.record.value), expected)


def test_the_stand_in_is_strict():
    a = StrictArray(np.arange(3.0))
    for wrong in (
        lambda: np.asarray(a),
        lambda: a + np.ones(3),
        lambda: np.where(np.ones(3, bool), a, a),
        lambda: np.trapezoid(a),
        lambda: np.ones(3).dot(a),
        lambda: a.__setitem__(0, np.ones(())),
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TransferError):
        np.array(a)
    assert isinstance(np.sum(a), StrictArray)
    assert np.add.reduce(a, 0).shape == ()
    assert not hasattr(a.flags, "writeable")


@pytest.mark.parametrize(
    "case",
    [
        c
        for c in TABLE
        if all(isinstance(a, Arg) for a in c.args)
        and not c.name.startswith(("where", "select", "choose", "item_", "cross_entropy", "concatenate_integers",
                                    "at_max", "max_unpool"))
        and c.name != "stack_integers"
    ],
    ids=str,
)
def test_every_line_of_the_table_whose_operands_are_all_on_the_device(case):
    xs = case.arrays()

    def gradients(move):
        ts = [ad.Tensor(move(x), requires_grad=True) for x in xs]
        y = case.f(np, *ts)
        return ad.gradients((y * move(weight(np.empty(y.shape)).astype(y.dtype))).sum(), ts)

    for g, h in zip(gradients(StrictArray), gradients(np.array)):
        assert np.allclose(there(g), h, rtol=1e-14, atol=1e-15)
