"""The line that was written and what the search found, put together: which kind first, how sure, and where."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff as ad
from autodiff.checks import mistakes
from tests.battery.rates import outcome, wrong_cases

RNG = np.random.default_rng(0)
X, Y, H0 = RNG.normal(size=(6, 3)), RNG.integers(0, 2, size=(6, 2)) * 1.0, RNG.normal(size=(6, 3))
LEAVES = {"W1": RNG.normal(size=(4, 3)), "b1": RNG.normal(size=4), "W2": RNG.normal(size=(2, 4)),
          "b2": RNG.normal(size=2)}


def net():
    x, y, (W1, b1, W2, b2) = X, Y, (ad.Tensor(v, requires_grad=True, name=k) for k, v in LEAVES.items())
    a = np.tanh(x @ W1.T + b1)
    p = ad.sigmoid(a @ W2.T + b2)
    return ((p - y) ** 2).mean(), {"x": x, "y": y}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def wrong_tensor(x, y, W1, b1, W2, b2):
    a = np.tanh(x @ W1.T + b1)
    q = a @ W2.T + b2
    p = sigmoid(q)
    dp = 2 * (p - y) / y.size
    dq = dp * q * (1 - q)
    da = dq @ W2
    ds = da * (1 - a * a)
    return {"W1": ds.T @ x, "b1": ds.sum(0), "W2": dq.T @ a, "b2": dq.sum(0)}


def without_bias(x, y, W1, b1, W2, b2):
    a = np.tanh(x @ W1.T + b1)
    p = sigmoid(a @ W2.T)
    dq = 2 * (p - y) / y.size * p * (1 - p)
    ds = dq @ W2 * (1 - a * a)
    return {"W1": ds.T @ x, "b1": ds.sum(0), "W2": dq.T @ a, "b2": dq.sum(0)}


def updated(x, y, W1, b1, W2, b2):
    a = np.tanh(x @ W1.T + b1)
    p = sigmoid(a @ W2.T + b2)
    dq = 2 * (p - y) / y.size * p * (1 - p)
    dW2 = dq.T @ a
    W2 = W2 - 0.1 * dW2
    ds = dq @ W2 * (1 - a * a)
    return {"W1": ds.T @ x, "b1": ds.sum(0), "W2": dW2, "b2": dq.sum(0)}


def overwritten(x, y, W1, b1, W2, b2):
    a = np.tanh(x @ W1.T + b1)
    p = sigmoid(a @ W2.T + b2)
    dq = 2 * (p - y) / y.size * p * (1 - p)
    ds = dq @ W2 * (1 - a * a)
    dW1 = np.zeros_like(W1)
    for i in range(len(x)):
        dW1 = np.outer(ds[i], x[i])
    return {"W1": dW1, "b1": ds.sum(0), "W2": dq.T @ a, "b2": dq.sum(0)}


@pytest.mark.parametrize(("by_hand", "kind", "others", "places"), [
    (wrong_tensor, "wrong-argument", {"wrong-argument"}, {"sigmoid", "p"}),
    (without_bias, None, {"wrong-argument", "wrong-operand", "missing-term"}, {"sigmoid", "p", "add"}),
    (updated, "stale-value", {"stale-value"}, {"W2"}),
    (overwritten, "overwritten-accumulation", {"overwritten-accumulation"}, {"W1"}),
])
def test_the_line_says_which_kind(by_hand, kind, others, places):
    loss, data = net()
    first, *_ = ad.compare(loss, by_hand, inputs=data).explanations
    found = {first.kind, *(member.kind for member in first.members)}
    assert kind is None or first.kind == kind, first
    assert found & others
    named = {name for e in (first, *first.members) for p in e.places for name in (p.op, p.tensor, p.operand)}
    assert named & places
    assert (first.confidence == "is") <= (found == {first.kind})


def test_what_nothing_explains_is_doubted():
    def by_hand(x, y, W1, b1, W2, b2):
        a = np.tanh(x @ W1.T + b1)
        p = sigmoid(a @ W2.T + b2)
        dq = 2 * (p - y) / y.size * p * (1 - p)
        ds = np.sort(dq @ W2, axis=0) * np.sin(17 * a) - 0.3 * np.cumsum(a ** 3, axis=1)
        return {"W1": ds.T @ x, "b1": ds.sum(0), "W2": dq.T @ a, "b2": dq.sum(0)}

    loss, data = net()
    report = ad.compare(loss, by_hand, inputs=data)
    assert report.explanations
    assert all(e.confidence == "possible" for e in report.explanations)
    assert report.reading is not None and "np.sort" in report.reading.first_wrong.text


def test_sure_is_only_what_has_one_name():
    for case in wrong_cases("dev2", 60):
        _, report = outcome(case, True)
        for e in report.explanations:
            assert e.kind in mistakes.KINDS
            assert e.confidence != "is" or {m.kind for m in e.members} <= {e.kind}, (case.name, e)
            assert all(m.sentence for m in e.members)


def test_a_line_of_a_loop_is_placed_at_the_variable_of_the_loop():
    x, y = RNG.normal(size=(2, 5, 3))
    W, h0 = ad.Tensor(np.eye(3) + 0.1 * X[:3], True, name="W"), ad.Tensor(H0[0], True, name="h0")
    h = h0
    for t in range(5):
        h = np.tanh(W @ h + x[t])
    loss = ((h - y[-1]) ** 2).sum()

    def by_hand(x, y, W, h0):
        hs = [h0]
        for t in range(5):
            hs.append(np.tanh(W @ hs[-1] + x[t]))
        dh, dW = 2 * (hs[-1] - y[-1]), np.zeros_like(W)
        for t in reversed(range(5)):
            ds = dh * (1 - hs[t] ** 2)
            dW += np.outer(ds, hs[t])
            dh = W.T @ ds
        return {"W": dW, "h0": dh}

    first, *_ = ad.compare(loss, by_hand, inputs={"x": x, "y": y}).explanations
    assert first.kind in ("wrong-argument", "wrong-operand")
    assert {"h", "tanh"} <= {name for p in first.places for name in (p.op, p.tensor, p.operand)}


@pytest.mark.parametrize(("more", "plain"), [(0.25, True), (-0.31, True), (0.8134127, False)])
def test_a_single_number_is_evidence_if_the_factor_is_one_that_people_write(more, plain):
    x, y, w = X, Y[:, 0], np.array([0.3, -0.2, 0.7])

    def by_hand(x, y, w, b):
        r = 2 * (x @ w + b - y) / len(y)
        return {"w": x.T @ r, "b": r.sum() + more * b}

    at = {k: ad.Tensor(v, requires_grad=True, name=k) for k, v in {"w": w, "b": np.array(0.71)}.items()}
    loss = ((x @ at["w"] + at["b"] - y) ** 2).mean()
    report = ad.compare(loss, {k: np.asarray(v) for k, v in by_hand(x, y, w, 0.71).items()})
    first = report.explanations[0]
    assert first.kind == "extra-term" and first.confidence == "possible"
    assert (first.cost < 2) == plain
