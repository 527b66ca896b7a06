"""A tape is run again on other values and dtypes; what left it as a Python number is refused."""

import numpy as np
import pytest

import autodiff as ad


def program(x, W):
    h = np.tanh(x @ W)
    gate = np.where(h > 0.1, h, 0.5 * h)
    return (gate * np.sign(h) + np.floor(h)).max(axis=0).sum()


@pytest.fixture
def recorded():
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(4, 3)), ad.Tensor(rng.normal(size=(3, 2)), requires_grad=True)
    return x, W, program(x, W)


def test_unchanged_it_is_the_same_to_the_bit(recorded):
    _, _, loss = recorded
    assert ad.Tape(loss).replay() == loss.data


def test_other_values_also_change_what_is_decided_by_value(recorded):
    x, W, loss = recorded
    tape = ad.Tape(loss)
    for seed in range(20):
        other = np.random.default_rng(seed).normal(size=(3, 2)) * 3
        assert tape.replay({W: other}) == program(x, ad.Tensor(other)).data
        assert tape.replay({"W": other}) == tape.replay({W: ad.Tensor(other)})


def test_other_dtypes(recorded):
    _, W, loss = recorded
    tape = ad.Tape(loss)
    assert tape.replay(dtype=np.float32).dtype == np.float32
    assert tape.replay(dtype=np.longdouble).dtype == np.longdouble
    assert abs(tape.replay(dtype=np.longdouble) - loss.data) < 1e-14
    z = tape.replay(dtype=complex)
    assert z.dtype == complex
    assert abs(z - loss.data) < 1e-14


def test_complex_step_through_every_deciding_op(recorded):
    _, W, loss = recorded
    tape = ad.Tape(loss)
    [g] = ad.gradients(loss, [W])
    for index in np.ndindex(3, 2):
        bumped = W.numpy().astype(complex)
        bumped[index] += 1e-30j
        assert tape.replay({W: bumped}, dtype=complex).imag / 1e-30 == pytest.approx(g[index], rel=1e-13, abs=1e-15)


def test_an_intermediate_can_be_replaced(recorded):
    x, W, _ = recorded
    h = x @ W
    out = (h * h).sum()
    assert ad.Tape(out).replay({h: np.ones((4, 2))}) == 8.0


def test_several_outputs_and_the_gradients_own_tape(recorded):
    _, W, loss = recorded
    [g] = ad.gradients(loss, [W], record=True)
    value, again = ad.Tape(loss, g).replay()
    assert value == loss.data
    assert np.array_equal(again, g.data)
    other = np.random.default_rng(9).normal(size=(3, 2))
    fresh = ad.Tensor(other, requires_grad=True)
    [expected] = ad.gradients(program(recorded[0], fresh), [fresh])
    assert np.array_equal(ad.Tape(g).replay({W: other}), expected)


def test_each_sees_every_result(recorded):
    _, _, loss = recorded
    tape = ad.Tape(loss)
    seen = []
    tape.replay(each=lambda record, value: seen.append(record) or value)
    assert seen == list(tape)


def test_random_draws_are_on_the_tape():
    ad.seed(3)
    x = ad.Tensor(np.ones(1000), requires_grad=True)
    y = ad.dropout(x, 0.3)
    assert np.array_equal(ad.Tape(y).replay(), y.data)
    assert np.array_equal(ad.Tape(y).replay({x: 2 * np.ones(1000)}), 2 * y.data)
    assert 0.6 < np.mean(y.data > 0) < 0.8
    y.sum().backward()
    assert np.array_equal(x.grad, y.data)


def test_shapes_must_fit(recorded):
    _, W, loss = recorded
    with pytest.raises(ad.ReplayError, match=r"W has shape \(3, 2\) on this tape, not \(2, 2\)"):
        ad.Tape(loss).replay({W: np.ones((2, 2))})


def test_leaves_are_read_as_they_are_now():
    W = ad.Tensor([1.0, 2.0], requires_grad=True)
    loss = (W * W).sum()
    with ad.no_grad():
        W += 1
    assert ad.Tape(loss).replay() == 13.0


# ---- leaks

def branching(x):
    h = x * 2
    y = h * h if h.sum() > 0 else -h
    return y.sum()


def test_a_branch_on_a_value_is_refused_with_its_line():
    x = ad.Tensor([1.0, 2.0], requires_grad=True)
    loss = branching(x)
    with pytest.raises(ad.ReplayError, match=r"left the tape at tests/test_replay.py:\d+ by bool\(\)"
                                             r"[\s\S]*h.sum\(\) > 0[\s\S]*np.where"):
        ad.Tape(loss).replay({x: [3.0, 4.0]})
    assert ad.Tape(loss).replay() == loss.data                                  # nothing changed: nothing to refuse
    assert ad.Tape(loss).replay({x: [3.0, 4.0]}, strict=False) == 100.0


@pytest.mark.parametrize("how", [lambda t: float(t), lambda t: t.item(), lambda t: int(t), lambda t: t.tolist()],
                         ids=["float", "item", "int", "tolist"])
def test_numbers_used_again(how):
    x = ad.Tensor([2.0], requires_grad=True)
    h = x * 3
    loss = (h * how(h.sum() if how(h) != 0 else h)).sum()
    with pytest.raises(ad.ReplayError, match="left the tape"):
        ad.Tape(loss).replay({x: [5.0]})


@pytest.mark.parametrize("take", [lambda t: t.numpy(), lambda t: t.data, lambda t: t.detach(), lambda t: t.numpy()[:1]],
                         ids=["numpy", "data", "detach", "view"])
def test_arrays_used_again(take):
    x = ad.Tensor([2.0, 3.0], requires_grad=True)
    h = x * 3
    loss = (h * take(h)).sum()
    with pytest.raises(ad.ReplayError, match=r"the values of h were taken off the tape"):
        ad.Tape(loss).replay({x: [5.0, 6.0]})


def test_looking_at_a_loss_before_or_after_is_no_leak():
    x = ad.Tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        loss = (np.exp(x) * 2).sum()
        loss.item()
        assert float(loss) > 0
        print(f"{loss:.3f}", loss)
        x.data
        assert ad.Tape(loss).replay({x: [0.0, 0.0]}) == 4.0
        loss.backward()
        with ad.no_grad():
            x -= 0.1 * x.grad
        x.grad = None


def test_a_constant_computed_off_the_tape_is_refused():
    x = ad.Tensor([1.0, 2.0])
    w = ad.Tensor([3.0, 4.0], requires_grad=True)
    centred = x - 1.0                              # nothing here requires grad: no record
    loss = (centred * w * x).sum()
    with pytest.raises(ad.ReplayError, match="x left the tape .* by use where nothing required grad"):
        ad.Tape(loss).replay({x: [5.0, 6.0]})
    assert ad.Tape(loss).replay({w: [1.0, 1.0]}) == 2.0


def test_leaks_cost_linear_time_and_bounded_memory():
    x = ad.Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y * 1.0001
        float(y)
    assert len(x.record.leaks) <= 8
