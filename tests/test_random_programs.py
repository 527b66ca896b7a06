"""Random programs: what is recorded, walked, replayed and pushed forward must agree, whatever the program.

A program is a list of instructions drawn by Hypothesis; each takes earlier values (so values are used again and fan
out) and keeps its result. Values stay within bounds, so that nothing overflows and differences mean something.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import autodiff as ad

SHAPES = [(), (3,), (2, 3), (1, 3), (2, 1), (2, 3, 3), (3, 3)]
ROWS = np.array([0, 1, 1])


def bounded(x):
    """Back to moderate values, smoothly."""
    return np.tanh(x)


UNARY = {
    "tanh": np.tanh,
    "sigmoid": ad.sigmoid,
    "softplus": ad.softplus,
    "negative": lambda x: -x,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "exp": lambda x: np.exp(bounded(x)),
    "log": lambda x: np.log(x * x + 0.5),
    "sqrt": lambda x: np.sqrt(x * x + 0.5),
    "inverse": lambda x: 1 / (x * x + 1.0),
    "root": lambda x: (x * x + 0.5) ** 1.5,
    "minus_two": lambda x: (x * x + 1.0) ** -2,
    "abs": lambda x: np.abs(x + 0.123),
    "relu": lambda x: ad.relu(x - 0.0917),
    "clip": lambda x: np.clip(x, -0.777, 0.555),
    "scaled": lambda x: 0.5 * x + 1,
    "sum": lambda x: np.sum(x),
    "mean_first": lambda x: x.mean(axis=0) if x.ndim else x * 1.0,
    "sum_last": lambda x: np.sum(x, axis=-1, keepdims=True) if x.ndim else x * 1.0,
    "max": lambda x: np.max(x, axis=-1) if x.ndim else x * 1.0,
    "max_all": lambda x: x.max(),
    "transpose": lambda x: x.T,
    "flat": lambda x: np.reshape(x, -1)[:3],
    "newaxis": lambda x: x[..., None] if x.ndim < 3 else x,
    "first": lambda x: x[0] if x.ndim else x,
    "last": lambda x: x[..., -1] if x.ndim else x,
    "backwards": lambda x: x[::-1] if x.ndim else x,
    "slice": lambda x: x[..., 1:] if x.ndim and x.shape[-1] > 1 else x,
    "rows": lambda x: x[np.minimum(ROWS, x.shape[0] - 1)] if x.ndim else x,
    "mask": lambda x: x[x > 0.05].sum() + 0.1 * x,
    "softmax": lambda x: ad.softmax(x) if x.ndim else x,
    "log_softmax": lambda x: ad.log_softmax(x, axis=0) if x.ndim else x,
    "logsumexp": lambda x: ad.logsumexp(x),
    "squeeze": np.squeeze,
    "expand": lambda x: np.expand_dims(x, 0) if x.ndim < 3 else x,
    "sign": lambda x: np.sign(x - 0.0731) * x,
    "floor": lambda x: x - np.floor(x * 0.5 + 0.217),
    "spread": lambda x: np.broadcast_to(x, (2, *x.shape)) if x.ndim < 3 else x,
    "split": lambda x: np.split(x, [1], axis=-1)[0] * 2.0 + np.split(x, [1], axis=-1)[0] if x.ndim else x,
    "copy": np.copy,
}
BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (b * b + 1.0),
    "maximum": lambda a, b: np.maximum(a, b + 0.0371),
    "minimum": lambda a, b: np.minimum(a - 0.0613, b),
    "where": lambda a, b: np.where(a > b + 0.0411, a * b, a - b),
    "power": lambda a, b: (a * a + 0.5) ** bounded(b),
    "squared_error": ad.squared_error,
    "bce": ad.binary_cross_entropy_with_logits,
}
JOIN = {
    "stack": lambda a, b: np.stack([a, b]) if a.shape == b.shape and a.ndim < 3 else a * 1.0,
    "concatenate": lambda a, b: np.concatenate([a, b], axis=0) if a.shape == b.shape and a.ndim else a * 1.0,
    "matmul": lambda a, b: (
        a @ b
        if a.ndim
        and b.ndim
        and a.shape[-1] == b.shape[-2 if b.ndim > 1 else 0]
        and broadcasts(a.shape[:-2], b.shape[:-2])
        else a * 1.0
    ),
    "outer": lambda a, b: np.expand_dims(a, -1) * b if a.ndim == b.ndim == 1 else a * 1.0,
    "linear": lambda a, b: ad.linear(a, b) if a.ndim and b.ndim == 2 and a.shape[-1] == b.shape[-1] else a * 1.0,
    "gram": lambda a, b: a @ a.T + b.sum() if a.ndim == 2 else a * 1.0,
}
ALL = {**UNARY, **BINARY, **JOIN}


def broadcasts(s, t):
    try:
        np.broadcast_shapes(s, t)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Program:
    """Instructions (name, first operand, second operand), and the shapes of the inputs."""

    shapes: tuple
    lines: tuple
    seed: int

    def inputs(self):
        rng = np.random.default_rng(self.seed)
        return [rng.uniform(-1.5, 1.5, s) for s in self.shapes]

    def __call__(self, *inputs):
        """The last few values, summed with weights: everything is used."""
        values = list(inputs)
        for name, i, j in self.lines:
            a, b = values[i % len(values)], values[j % len(values)]
            if name in UNARY:
                y = UNARY[name](a)
            elif name in JOIN:
                y = JOIN[name](a, b)
            else:
                y = BINARY[name](a, b) if broadcasts(a.shape, b.shape) else a * 1.0
            if y.size > 400:
                y = y.mean()
            values.append(
                bounded(y) if name in ("cube", "square", "matmul", "outer", "power", "gram", "linear", "root") else y
            )
        return sum(bounded(y).sum() * (0.3 + 0.1 * k) for k, y in enumerate(values[-5:])) + sum(
            (0.1 * x).sum() for x in inputs
        )


@st.composite
def programs(draw, least=5, most=25):
    shapes = tuple(draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3)))
    line = st.tuples(st.sampled_from(sorted(ALL)), st.integers(0, 40), st.integers(0, 40))
    return Program(shapes, tuple(draw(st.lists(line, min_size=least, max_size=most))), draw(st.integers(0, 10_000)))


def near(a, b, rtol):
    scale = max(1.0, float(np.max(np.abs(b), initial=0)))
    assert np.shape(a) == np.shape(b)
    assert np.all(np.abs(a - b) <= rtol * scale), f"{a}\n{b}"


def kinks_nearby(program, xs):
    """Whether a decision changes within 1e-6 of here (ties, jumps), where derivatives do not exist."""
    ts = [ad.Tensor(x, requires_grad=True) for x in xs]
    tape = ad.Tape(program(*ts))
    for sign in (1e-6, -1e-6):
        decisions = []
        try:
            tape.replay(
                {
                    t: x + sign * (1 + np.arange(x.size).reshape(x.shape) * 0.37)
                    for t, x in zip(ts, xs)
                    if t.record in set(tape.all)
                },
                each=lambda r, y, decisions=decisions: (decisions.append((r, y)), y)[1],
            )
        except ValueError:  # a mask of another size: shapes changed
            return True
        for r, y in decisions:
            if r.op.kind == "constant" and not np.array_equal(y, r.value):
                return True
            if r.op.name in ("max", "min", "maximum", "minimum", "clip", "relu", "absolute") and gap(r) < 1e-4:
                return True
    return False


def gap(r):
    """How far an operation that chooses is from choosing otherwise."""
    x, *rest = [getattr(x, "value", x) for x in r.inputs]
    if r.op.name in ("max", "min"):
        axis = r.options.get("axis")
        flat = np.ravel(x) if axis is None else np.moveaxis(x, axis, -1)
        ordered = np.sort(flat, axis=-1)
        return np.min(ordered[..., -1] - ordered[..., -2], initial=1) if ordered.shape[-1] > 1 else 1
    others = [b for b in rest if b is not None] or [0.0]
    return min(np.min(np.abs(x - b), initial=1) for b in others)


def check(program):
    xs = program.inputs()
    ts = [ad.Tensor(x, requires_grad=True, name=f"x{i}") for i, x in enumerate(xs)]
    loss = program(*ts)
    tape = ad.Tape(loss)

    # plain and recorded, eager and replayed, tracked and not: bit for bit
    plain = ad.gradients(loss, ts)
    recorded = ad.gradients(loss, ts, record=True)
    for t, g, r in zip(ts, plain, recorded):
        assert g.shape == t.shape
        assert g.dtype == np.float64
        assert g.tobytes() == r.numpy().tobytes()
    assert np.asarray(tape.replay()).tobytes() == loss.numpy().tobytes()
    again = ad.Tape(*recorded).replay()
    for g, r in zip(plain, again if len(ts) > 1 else [again]):
        assert np.asarray(r).tobytes() == g.tobytes()
    with ad.no_grad():
        untracked = program(*ts)
    assert untracked.numpy().tobytes() == loss.numpy().tobytes()
    assert np.asarray(program(*[ad.Tensor(x) for x in xs]).data) == loss.data

    # forward mode is the transpose
    rng = np.random.default_rng(program.seed + 1)
    vs = [rng.normal(size=x.shape) for x in xs]
    value, tangent = ad.jvp(program, xs, vs)
    assert value == loss.data
    along = sum(np.sum(g * v) for g, v in zip(plain, vs))
    size = 1 + sum(np.sum(np.abs(g * v)) for g, v in zip(plain, vs))
    assert abs(tangent - along) <= 1e-12 * size

    if kinks_nearby(program, xs):
        return

    # every derivative, to full precision
    for t, x, g in zip(ts, xs, plain):
        for index in list(np.ndindex(x.shape))[:6]:
            bumped = x.astype(complex)
            bumped[index] += 1e-30j
            near(np.imag(tape.replay({t: bumped}, dtype=complex)) / 1e-30, g[index], 1e-11)

    # second derivatives: reverse over reverse, and forward over reverse, against a complex step of the gradient
    total = sum((r * v).sum() for r, v in zip(recorded, vs))
    if total.requires_grad:
        behind = set(ad.Tape(total).all)
        seconds = [ad.gradients(total, [t])[0] if t.record in behind else np.zeros(t.shape) for t in ts]
        tape = ad.Tape(total)
        for t, x, h in zip(ts, xs, seconds):
            if t.record not in behind:
                continue
            for index in list(np.ndindex(x.shape))[:3]:
                bumped = x.astype(complex)
                bumped[index] += 1e-30j
                near(np.imag(tape.replay({t: bumped}, dtype=complex)) / 1e-30, h[index], 1e-9)
        for h, p in zip(seconds, ad.hvp(program, xs, vs)):
            near(p, h, 1e-9)


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(program=programs())
def test_random_programs(program):
    check(program)


@pytest.mark.slow
@settings(max_examples=4000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(program=programs(most=60))
def test_many_random_programs(program):
    check(program)


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_programs_of_one_instruction(name, shape):
    """Each instruction alone, on each shape: so that a failure above has a short story."""
    check(Program((shape, shape), ((name, 0, 1), (name, 2, 0)), 3))


@settings(max_examples=60)
@given(program=programs(most=12))
def test_a_replay_on_other_inputs_is_the_program_on_these(program):
    """Every decision (comparison, sign, floor, mask) is on the tape, so a replay follows it."""
    xs = program.inputs()
    ts = [ad.Tensor(x, requires_grad=True) for x in xs]
    loss = program(*ts)
    others = [np.random.default_rng(program.seed + 7).uniform(-1.5, 1.5, x.shape) for x in xs]
    behind = set(ad.Tape(loss).all)
    again = ad.Tape(loss).replay({t: x for t, x in zip(ts, others) if t.record in behind})
    assert again == program(*[ad.Tensor(x) for x in others]).data


@settings(max_examples=60)
@given(program=programs(most=12))
def test_float32_in_float32_out(program):
    xs = [x.astype(np.float32) for x in program.inputs()]
    ts = [ad.Tensor(x, requires_grad=True) for x in xs]
    loss = program(*ts)
    assert loss.dtype == np.float32
    for g, r in zip(ad.gradients(loss, ts), ad.gradients(loss, ts, record=True)):
        assert g.dtype == np.float32
        assert g.tobytes() == r.numpy().tobytes()
    _, tangent = ad.jvp(program, xs, xs)
    assert tangent.dtype == np.float32
