"""Ops of each kind, as a user adds them; one rule read in every way."""

import gc
from sys import _getframe

import numpy as np
import pytest

import autodiff as ad
from autodiff.forward import walk_forward
from autodiff.kinds import Op, elementwise, linear_op
from autodiff.record import Record


def check_everywhere(f, *args):
    """Reverse, recorded reverse, forward and complex step all agree on the sum of f."""
    variables = [ad.Tensor(a, requires_grad=True) for a in args]
    y = f(*variables)
    weights = np.cos(np.arange(y.size)).reshape(y.shape)
    loss = (y * weights).sum()
    plain = ad.gradients(loss, variables)
    for g, recorded in zip(plain, ad.gradients(loss, variables, record=True)):
        assert np.array_equal(g, recorded.data)
    rng = np.random.default_rng(0)
    ts = [rng.normal(size=np.shape(a)) for a in args]
    _, tangent = ad.jvp(f, args, ts)
    assert np.sum(tangent * weights) == pytest.approx(sum(np.sum(t * g) for t, g in zip(ts, plain)), rel=1e-12)
    tape = ad.Tape(loss)
    for v, a, t, g in zip(variables, args, ts, plain):
        step = tape.replay({v: np.asarray(a, complex) + 1e-30j * t}, dtype=complex).imag / 1e-30
        assert step == pytest.approx(np.sum(t * g), rel=1e-11)


def test_elementwise():
    @ad.op
    def cube(x):
        return x * x * x

    cube.derivative(lambda y, x: 3 * x * x)
    assert (cube.name, cube.kind) == ("cube", "elementwise")
    check_everywhere(cube, np.array([1.0, -2.0, 3.0]))
    assert ad.grad(ad.grad(ad.grad(cube)))(2.0) == 6.0
    assert np.array_equal(cube(np.array([2.0])), [8.0])           # on plain arrays a plain array
    assert type(cube(2.0)) is float


def test_elementwise_broadcasts_with_constants_and_options():
    shifted = Op(lambda a, b, *, scale: a * scale - b, "shifted").derivative(lambda y, a, b, scale: scale, -1)
    check_everywhere(lambda a, b: shifted(a, b, scale=3.0), np.ones((2, 3)), np.arange(3.0))
    part = elementwise("part", lambda a, b: a * b, None, lambda y, a, b: a)
    a, b = ad.Tensor(2.0, requires_grad=True), ad.Tensor(3.0, requires_grad=True)
    ga, gb = ad.gradients(part(a, b), [a, b])
    assert (ga, gb) == (0.0, 2.0)


def test_a_partial_that_is_not_asked_for_is_not_computed():
    asked = []
    f = elementwise("f", lambda a, b: a * b, lambda y, a, b: b, lambda y, a, b: asked.append(1) or a)
    x = ad.Tensor(2.0, requires_grad=True)
    f(x, 3.0).backward()
    assert asked == []


def test_linear():
    roll = linear_op("roll", lambda x, *, by: np.concatenate([x[-by:], x[:-by]]),
                     lambda g, y, x, by: np.concatenate([g[by:], g[:by]]))
    check_everywhere(lambda x: roll(x, by=1), np.arange(4.0))
    two = linear_op("two", lambda a, b: a + 2 * b, lambda g, y, a, b: g, lambda g, y, a, b: 2 * g)
    check_everywhere(two, np.ones(3), np.arange(3.0))
    _, t = ad.jvp(lambda b: two(np.ones(3), b), (np.zeros(3),), (np.ones(3),))
    assert np.array_equal(t, [2.0, 2.0, 2.0])                      # a tangent that is not there counts as zero


def test_general_needs_no_jvp_and_may_state_one():
    @ad.op
    def norm(x):
        return np.sqrt(np.sum(x * x))

    norm.vjp(lambda g, y, x: g * x / y)
    check_everywhere(norm, np.array([3.0, -4.0, 1.0]))
    H = ad.hessian(norm)(np.array([3.0, -4.0]))
    u = np.array([0.6, -0.8])
    assert np.allclose(H, (np.eye(2) - np.outer(u, u)) / 5, rtol=1e-14)
    derived = ad.jvp(norm, (np.array([3.0, -4.0]),), (np.array([1.0, 1.0]),))[1]
    norm.jvp(lambda t, y, x: np.sum(t * x) / y)
    stated = ad.jvp(norm, (np.array([3.0, -4.0]),), (np.array([1.0, 1.0]),))[1]
    assert stated == pytest.approx(float(derived), rel=1e-15)


def test_without_a_rule_it_is_recorded_and_has_no_derivative():
    rank = Op(lambda x: np.argsort(np.argsort(x)), "rank")
    x = ad.Tensor([3.0, 1.0, 2.0], requires_grad=True)
    r = rank(x)
    assert not r.requires_grad
    assert [record.op.name for record in ad.Tape((x * r).sum())] == ["rank", "multiply", "sum"]
    assert np.array_equal(ad.gradients((x * r).sum(), [x])[0], [2.0, 0.0, 1.0])


def test_several_outputs_are_a_tuple_record_and_selections():
    @ad.op
    def polar(x, y):
        return np.hypot(x, y), np.arctan2(y, x)

    polar.vjp(lambda g, out, x, y: (g[0] * x - g[1] * y / out[0]) / out[0],
              lambda g, out, x, y: (g[0] * y + g[1] * x / out[0]) / out[0])
    x, y = ad.Tensor([3.0], requires_grad=True), ad.Tensor([4.0], requires_grad=True)
    r, phi = polar(x, y)
    assert [record.op.name for record in ad.Tape(r, phi)] == ["polar", "select", "select"]
    assert (r.name, phi.name) == ("r", "phi")
    only = ad.gradients(r.sum(), [x, y])                           # the other output's cotangent is zero
    assert np.allclose(only, [[0.6], [0.8]])
    both = ad.gradients((r * r + phi).sum(), [x, y], record=True)
    assert np.allclose([b.data for b in both], [[6 - 4 / 25], [8 + 3 / 25]])
    assert np.allclose(ad.gradients(both[0].sum(), [x])[0], [2 + 2 * 3 * 4 / 625], rtol=1e-14)
    assert isinstance(polar(np.ones(2), np.ones(2)), tuple)
    J = ad.jacobian(lambda x: polar(x, 4.0)[1])(3.0)
    assert pytest.approx(-4 / 25) == J


def test_split_forward_mode_and_recorded():
    def f(x):
        a, b, c = np.split(x, 3)
        return a * b + np.exp(c)

    check_everywhere(f, np.array([1.0, 2.0, 3.0, 4.0, 0.5, 0.25]))
    H = ad.hessian(lambda x: f(x).sum())(np.array([1.0, 2.0, 3.0]))
    assert np.allclose(H, [[0, 1, 0], [1, 0, 0], [0, 0, np.exp(3.0)]])


def test_a_rule_of_the_wrong_shape_is_named():
    bad = Op(lambda x: x * 2.0, "bad").vjp(lambda g, y, x: np.ones(7))
    x = ad.Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(ad.GradientError, match=r"contribution of shape \(7,\) to an input of shape \(3,\)") as caught:
        bad(x).sum().backward()
    assert "in the gradient of bad" in "".join(caught.value.__notes__)


def test_first_contribution_by_reference_later_ones_in_place():
    """Fan-in of many dense contributions holds one buffer, not all of them."""
    buffers = set()

    @ad.op
    def spy(x):
        return x * 1.0

    spy.vjp(lambda g, y, x: buffers.add(id(g)) or g * 1.0)
    w = ad.Tensor(np.ones(1000), requires_grad=True)
    h = spy(w)
    sum((h * float(k) for k in range(50)), start=h * 0.0).sum().backward()
    assert len(buffers) == 1
    assert np.array_equal(w.grad, np.full(1000, 1225.0))


def test_forward_mode_stops_at_constants():
    x = ad.Tensor([1.0, 2.0], requires_grad=True)
    y = np.floor(x) * x
    tape = ad.Tape(y)
    found = walk_forward(tape.all, {x.record: np.ones(2)})
    assert np.array_equal(found[y.record], [1.0, 2.0])
    assert tape[0] not in found


@pytest.mark.parametrize("n", range(5))
def test_the_inputs_of_a_record_are_those_it_was_given(n):
    """However many, in their order, plain operands as they are and tensors as their records."""
    given = [ad.Tensor(1.0, requires_grad=True), 2.0, np.ones(3), ad.Tensor(4.0), np.float64(5.0)][:n]
    total = Op(lambda *xs: np.add.reduce([np.sum(x) for x in xs] or [0.0]), "total")
    total.variadic(lambda g, y, *xs: [g * np.ones_like(x) for x in xs])
    expected = [x.record if isinstance(x, ad.Tensor) else x for x in given]
    if given:
        record = total(*given).record
        assert len(record.inputs) == n
        assert all(a is b for a, b in zip(record.inputs, expected))
        assert all(a is b for a, b in zip(record.inputs, record.inputs))
    made = Record(total, tuple(expected), {}, 0.0, True, _getframe(), None, None)
    assert len(made.inputs) == n
    assert all(a is b for a, b in zip(made.inputs, expected))


def test_a_tape_gives_the_collector_few_objects():
    """A record, and no tuple for its inputs: what a collection goes through decides the time of a long tape."""
    x = y = ad.Tensor(0.5, requires_grad=True)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(1000):
        y = y * x + 1.0
    assert len(gc.get_objects()) - before < 2100
