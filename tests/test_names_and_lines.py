"""Names and lines come for free: the assignment names the result, errors quote the user's line."""

import sys

import numpy as np
import pytest

import autodiff as ad
from autodiff.naming import names_of
from autodiff.sites import locate

HERE = "test_names_and_lines.py"


def line():
    return sys._getframe(1).f_lineno


def test_the_assignment_names_the_result():
    class Holder:
        pass

    holder = Holder()
    W = ad.Tensor(np.ones((2, 2)), requires_grad=True)
    z1 = W @ W.T + 1.0
    holder.h = np.tanh(z1)
    a = b = np.exp(z1)
    first, second = np.split(z1, 2)
    annotated: ad.Tensor = z1 * 2
    if (walrus := z1 - 1) is None:
        raise AssertionError
    called = ad.sigmoid(z1)
    method = z1.sum(axis=0)
    item = z1[0]
    moved = z1 * 1
    moved += 1
    wrapped = (
        z1
        * 3
    )
    (z1 * 5).named("said")
    unnamed = [z1 * 7]
    names = [W.name, z1.name, holder.h.name, a.name, b.name, first.name, second.name, annotated.name, walrus.name,
             called.name, method.name, item.name, moved.name, wrapped.name, unnamed[0].name]
    assert names == ["W", "z1", "h", "a", "a", "first", "second", "annotated", "walrus", "called", "method", "item",
                     "moved", "wrapped", None]


def test_globals_and_closures_name_too():
    namespace = {"np": np, "ad": ad}
    exec("x = ad.Tensor([1.0], requires_grad=True)\ny = np.exp(x)\nz = y * 2", namespace)   # no source file at all
    assert [namespace[n].name for n in "xyz"] == ["x", "y", "z"]

    cell = ad.Tensor(1.0, requires_grad=True)

    def inner():
        nonlocal cell
        cell = cell * 2
        return cell

    assert inner().name == "cell"


def test_explicit_names_win():
    t = ad.Tensor(1.0, requires_grad=True, name="theta")
    u = (t * 2).named("u0")
    assert (t.name, u.name) == ("theta", "u0")
    t.name = "tau"
    assert t.name == "tau"


def test_every_entrance_knows_its_line_and_columns():
    x = ad.Tensor(np.ones((2, 2)), requires_grad=True)
    array = np.ones((2, 2))
    results = [
        (x * x, line()), (2.0 * x, line()), (array * x, line()), (np.float64(2) * x, line()), (-x, line()),
        (np.exp(x), line()), (np.sum(x), line()), (x.sum(), line()), (ad.sigmoid(x), line()), (x[0], line()),
        (x.T, line()), (x**3, line()), (x.reshape(4), line()), (np.stack([x, x]), line()), (x.astype("f4"), line()),
        (np.clip(x, 0, 1), line()), (x @ array, line()), (abs(x), line()), (x > 0, line()), (np.add.reduce(x), line()),
    ]
    for result, at in results:
        site = locate(result.record.code, result.record.lasti)
        assert site.line == at
        assert site.file.endswith(HERE)
    texts = [locate(r.record.code, r.record.lasti).text for r, _ in results]
    assert texts[:4] == ["x * x", "2.0 * x", "array * x", "np.float64(2) * x"]
    assert texts[7] == "x.sum()"


def test_operands_are_named_by_the_source():
    x, W = np.ones((3, 2)), ad.Tensor(np.ones((4, 2)), requires_grad=True)
    z = x @ W.T
    assert z.record.written == ("x", "W.T")
    y = np.maximum(z, 0.0)
    assert y.record.written == ("z", "0.0")
    assert (z > 0.5).record.written == ("z", "0.5")
    reversed_order = [0.0] * 4 > z  # noqa: SIM300
    assert reversed_order.record.written == ("", "")          # Python runs z < [...]
    assert np.stack([z, y]).record.written == ("z", "y")
    assert z.dot(W).record.written == ("z", "W")


def test_the_printed_tape_is_a_wengert_list():
    x = np.ones((3, 2))
    W = ad.Tensor(np.ones((4, 2)), requires_grad=True)
    z1 = x @ W.T
    loss = np.tanh(z1).sum()
    text = str(ad.Tape(loss))
    rows = [" ".join(row.split()) for row in text.splitlines()]
    assert rows[0].startswith("W = leaf, requires grad (4, 2) float64 ")
    assert rows[1].startswith("v1 = transpose(W) (2, 4) float64 ")
    assert rows[2].startswith("z1 = matmul(x, v1) (3, 4) float64 ")
    assert rows[3].startswith("v2 = tanh(z1) (3, 4) float64 ")
    assert rows[4].startswith("loss = sum(v2) () float64 ")
    assert all(HERE in row for row in rows)
    assert repr(ad.Tape(loss)) == "<Tape of 4 records from 1 leaves>"


def test_naming_a_long_tape_takes_linear_time():
    h = ad.Tensor(1.0, requires_grad=True)
    for _ in range(20_000):
        h = h * 1.0
    names = list(names_of(ad.Tape(h).all).values())
    assert names[:2] == ["h", "h_2"]
    assert len(set(names)) == 20_001


def test_names_used_again_are_numbered_and_look_ups_refuse_to_guess():
    x = ad.Tensor(1.0, requires_grad=True)
    for _ in range(3):
        x = x * 2
    tape = ad.Tape(x)
    assert list(names_of(tape.all).values()) == ["x", "x_2", "x_3", "x_4"]
    assert tape.find("x_2") is tape[0]
    with pytest.raises(ad.GradientError, match=r"4 tensors on this tape are called 'x'"):
        tape.find("x")
    with pytest.raises(ad.GradientError, match=r"nothing on this tape is called 'q'; known names: x"):
        tape.find("q")
    other = ad.Tensor(1.0, name="other")
    with pytest.raises(ad.GradientError, match="other .* is not on this tape"):
        tape.find(other)
    assert ad.Tape(x, names={"start": ad.Tensor.of(tape.leaves[0])}).find("start") is tape.leaves[0]


def test_scopes_nest_and_remember_who_opened_them():
    x = ad.Tensor([1.0], requires_grad=True)
    with ad.scope("encoder", "Stack"):
        a = x * 2
        with ad.scope("0", "Linear"):
            b = a * 3
    c = b * 4
    assert (a.scope, b.scope, c.scope) == ("encoder", "encoder.0", "")
    assert "in encoder.0 (Linear), called at" in b.record.where


def test_a_forward_error_names_operands_axis_line_and_cure():
    W1 = ad.Tensor(np.ones((4, 3)), requires_grad=True)
    X = np.ones((5, 3), np.float32)
    with pytest.raises(ad.ShapeError) as caught:
        W1 @ X
    message = str(caught.value)
    assert "matmul: the last axis of the first operand has 3 elements, axis -2 of the second has 5" in message
    assert "W1           (4, 3) float64" in message
    assert "X            (5, 3) float32" in message
    assert f"{HERE}:" in message
    assert "W1 @ X" in message
    assert "Did you mean W1 @ X.T?" in message
    assert isinstance(caught.value, ValueError)

    h = W1 * 2
    with pytest.raises(ad.ShapeError, match=r"add: shapes \(4, 3\) and \(4,\) do not broadcast: axis -1 is 3 against 4"
                                            r"[\s\S]*h +\(4, 3\) float64, multiply at[\s\S]*np.ones\(4\)\[:, None\]"):
        h + np.ones(4)
    with pytest.raises(ad.ShapeError, match=r"linear: the samples have 3 features .* the weight expects 4"):
        ad.linear(X, np.ones((2, 4)), ad.Tensor(np.ones(2), requires_grad=True))
    with pytest.raises(ad.ShapeError, match=r"reshape: 12 elements of shape \(4, 3\) do not fill shape \(5, 2\)"):
        W1.reshape(5, 2)
    with pytest.raises(ad.BadIndexError, match=r"sum: axis 2 is out of bounds"):
        W1.sum(axis=2)
    with pytest.raises(ad.BadIndexError, match=r"getitem: .*out of bounds"):
        W1[7]
    with pytest.raises(TypeError, match="unsupported operand"):
        W1 + "three"


def test_a_backward_failure_names_the_forward_line():
    @ad.op
    def broken(x):
        return x * 2.0

    broken.derivative(lambda y, x: 1 / np.zeros(7))
    t = ad.Tensor(np.ones(3), requires_grad=True)
    loss = broken(t).sum()
    with np.errstate(divide="ignore"), pytest.raises(ValueError, match="broadcast") as caught:
        loss.backward()
    assert f"in the gradient of broken with respect to t, recorded at tests/{HERE}:" in "".join(caught.value.__notes__)
    assert "broken(t)" in "".join(caught.value.__notes__)


def test_backward_errors():
    x = ad.Tensor(np.ones(3), requires_grad=True)
    h = x * 2
    with pytest.raises(ad.GradientError, match=r"h has shape \(3,\).*Did you mean its .mean\(\) or .sum\(\)"):
        h.backward()
    with pytest.raises(ad.GradientError, match="does not depend on anything that requires grad"):
        ad.Tensor(1.0).backward()
    with pytest.raises(ad.ShapeError, match=r"h has shape \(3,\), the gradient given \(2,\)"):
        h.backward(np.ones(2))
    h.backward(np.array([1.0, 2.0, 3.0]))
    assert np.array_equal(x.grad, [2.0, 4.0, 6.0])
    other = ad.Tensor(1.0, requires_grad=True)
    with pytest.raises(ad.GradientError, match="other .* is not on the tape of this loss"):
        ad.gradients(h.sum(), [other])
    with pytest.raises(ad.OperandError, match="takes a list"):
        ad.gradients(h.sum(), x)
    with pytest.raises(ad.OperandError, match="int64 cannot require grad"):
        ad.Tensor(np.arange(3), requires_grad=True)
    with pytest.raises(ad.OperandError, match="holds numbers"):
        ad.Tensor(["a"])
    with pytest.raises(ad.OperandError, match="cannot require grad"):
        ad.Tensor(np.ones(2, complex), requires_grad=True)
    assert ad.Tensor([1, 2], requires_grad=True).dtype == np.float64


def test_the_seed_of_a_recorded_gradient_takes_nobodys_name():
    x = ad.Tensor(2.0, requires_grad=True)
    [dx] = ad.gradients(x**3, [x], record=True)
    assert [leaf.name for leaf in ad.Tape(dx).leaves] == ["x", None]


def test_each_name_of_a_tuple_assignment():
    a, b = ad.Tensor(1.0), ad.Tensor(2.0, requires_grad=True)
    p, q, r, s = a + b, b * 2, np.exp(b), (b - 1).sum()
    assert [t.name for t in (a, b, p, q, r, s)] == ["a", "b", "p", "q", "r", "s"]


def test_the_parts_of_a_composed_function_speak_of_what_it_was_given():
    h, w, v = ad.Tensor(np.ones(3), requires_grad=True), np.arange(1.0, 4), np.ones((3, 2))

    def operands(t):
        return [(r.op.name, r.written) for r in ad.Tape(t)]

    weighted = np.average(h, weights=w)
    assert operands(weighted) == [("multiply", ("h", "w")), ("sum", ("",)), ("divide", ("", ""))]
    positional = np.average(h, 0, w)
    assert operands(positional)[0] == ("multiply", ("h", "w"))
    stretched = np.average(v * h[:, None], 0, w)               # weights in another shape are no longer w
    assert operands(stretched)[-3] == ("multiply", ("v * h[:, None]", ""))
    widened = np.diff(h, prepend=w[:1])
    assert operands(widened)[0] == ("concatenate", ("", ""))
    assert np.dot(h, w).record.written == ("h", "w")           # composed of one, which is the call itself
