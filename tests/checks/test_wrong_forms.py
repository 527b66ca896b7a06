"""Gradients given as arrays: forward passes computed otherwise, wrong closed forms, parts in the wrong places."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.checks.budget import Budget

RNG = np.random.default_rng(7)


def first(loss: ad.Tensor, given: dict[str, Any]) -> tuple[str, str, str]:
    """The kind, the sentence and the confidence of the likeliest explanation."""
    e = ad.compare(loss, given).explanations[0]
    return e.kind, e.sentence, e.confidence


# ---- another function than the recorded loss

class Attention:
    """Softmax over masked scores, by hand with another mask, or another input."""

    def __init__(self) -> None:
        self.x, self.y = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3))
        self.mask = np.tril(np.ones((5, 5), bool))
        self.W = ad.Tensor(RNG.normal(size=(3, 3)), True, name="W")
        scores = np.where(self.mask, self.x @ self.W @ self.x.T, -1e9)
        out = ad.softmax(scores) @ self.x
        self.loss = ((out - self.y) ** 2).sum()

    def by_hand(self, mask: Any, y: Any) -> Any:
        A = np.asarray(ad.softmax(np.where(mask, self.x @ self.W.data @ self.x.T, -1e9)))
        dA = 2 * (A @ self.x - y) @ self.x.T
        return self.x.T @ (A * (dA - (dA * A).sum(-1, keepdims=True))) @ self.x


def test_another_mask_and_none() -> None:
    net = Attention()
    kind, sentence, sure = first(net.loss, {"W": net.by_hand(net.mask.T, net.y)})
    assert kind == "wrong-operand" and "transposed" in sentence and sure == "possible"
    e = ad.compare(net.loss, {"W": net.by_hand(np.ones((5, 5), bool), net.y)}).explanations[0]
    assert {e.kind, *(m.kind for m in e.members)} == {"wrong-argument", "missing-term", "wrong-operand"}


@pytest.mark.parametrize("step", [1, -1])
def test_the_target_of_the_sample_before(step: int) -> None:
    net = Attention()
    kind, sentence, _ = first(net.loss, {"W": net.by_hand(net.mask, np.roll(net.y, step, 0))})
    assert kind == "wrong-operand" and ("y of the one before" if step > 0 else "y of the one after") in sentence


@pytest.mark.parametrize(("kind", "wrong"), [
    ("sign", lambda a, b: np.exp(b - a)), ("wrong-operand", lambda a, b: np.exp(a)), ("scale", None)])
def test_a_forward_pass_computed_otherwise(kind: str, wrong: Callable[[Any, Any], Any] | None) -> None:
    a0, old, r = RNG.normal(size=(6, 3)), RNG.normal(size=6), RNG.normal(size=6)
    w = ad.Tensor(RNG.normal(size=3), True, name="w")
    a = a0 @ w
    ratio = np.exp(a - old)
    loss = (np.tanh(ratio) * r).mean() + (w.mean() ** 2)
    m = w.data.sum() if wrong is None else w.data.mean()
    e = wrong(a.data, old) if wrong else ratio.data
    yours = a0.T @ (r * (1 - np.tanh(e) ** 2) * e / 6) + 2 * m / 3
    assert first(loss, {"w": yours})[0] == kind


# ---- closed forms of several operations

def test_a_term_forgotten_in_a_closed_form() -> None:
    x, y = RNG.normal(size=(8, 3)), RNG.normal(size=8)
    w = ad.Tensor(RNG.normal(size=3), True, name="w")
    s = x @ w
    loss = -ad.log_sigmoid(s).sum() / 8 + (s * y).sum()
    p = 1 / (1 + np.exp(-s.data))
    kind, sentence, sure = first(loss, {"w": x.T @ (p / 8 + y)})                     # p - 1 is right
    assert kind == "wrong-local-rule" and "ds + 0.125" in sentence and sure == "possible"


def test_the_prior_for_the_posterior() -> None:
    x, y = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 1))
    W, V = (ad.Tensor(RNG.normal(size=(3, 4)), True, name=name) for name in "WV")
    logpi = ad.log_softmax(x @ W, axis=1)
    mu = x @ V
    d = y - mu
    comp = logpi - 0.5 * d ** 2 + RNG.normal(size=(7, 4))             # two terms from the prior: no single slip
    loss = -ad.logsumexp(comp, axis=1).mean()
    pi = np.exp(logpi.data)
    r = np.asarray(ad.softmax(comp.data, axis=1))
    given = {"W": x.T @ (pi - r) / 7, "V": x.T @ (-pi * d.data) / 7}
    e = ad.compare(loss, given).explanations[0]
    assert "wrong-operand" in {e.kind, *(m.kind for m in e.members)}
    assert "the softmax of" in e.sentence and e.confidence == "possible"


def test_what_is_right_but_for_noise_is_no_closed_form() -> None:
    x = RNG.normal(size=(8, 3))
    w = ad.Tensor(RNG.normal(size=3), True, name="w")
    loss = np.tanh(x @ w).sum()
    g = ad.gradients(loss, [w])[0]
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(size=3)
        assert not any(e.confidence == "is" for e in ad.compare(loss, {"w": g + 1e-3 * noise}).explanations)


# ---- parts of a gradient

@pytest.mark.parametrize(("kind", "told", "change"), [
    ("scatter", "reversed along axis 1", lambda g: g[:, ::-1]),
    ("scatter", "shifted along axis 0", lambda g: np.roll(g, 2, 0)),
    ("scatter", "in another order along axis 0", lambda g: g[[1, 0, 2, 4, 3]]),
    ("dropped-path", "at 4 of axis 0", lambda g: g * (np.arange(5) < 4)[:, None, None]),
    ("dropped-path", "at 0, 2 of axis 2", lambda g: g * (np.arange(3) == 1)),
    ("transposed-result", "axes 0 and 2 exchanged", None),
], ids=lambda value: value if isinstance(value, str) else "")
def test_parts_in_the_wrong_places(kind: str, told: str, change: Callable[[Any], Any] | None) -> None:
    shape = (5, 4, 3) if change else (4, 2, 4)
    K = ad.Tensor(RNG.normal(size=shape), True, name="K")
    loss = (np.exp(K * RNG.normal(size=shape))).sum()
    g = ad.gradients(loss, [K])[0]
    found = first(loss, {"K": change(g) if change else np.swapaxes(g, 0, 2)})
    assert found[0] == kind and told in found[1] and found[2] == "is"


def test_gradients_exchanged_in_a_ring_and_one_copied() -> None:
    x = RNG.normal(size=(6, 4))
    tensors = [ad.Tensor(RNG.normal(size=4), True, name=name) for name in "abc"]
    loss = np.sum(np.tanh(x @ tensors[0]) * np.sin(x @ tensors[1]) * np.exp(x @ tensors[2]))
    a, b, c = ad.gradients(loss, tensors)
    assert first(loss, {"a": b, "b": c, "c": a})[::2] == ("swapped", "is")
    kind, sentence, sure = first(loss, {"a": a, "b": b, "c": b})
    assert (kind, sure) == ("wrong-operand", "possible") and "returning db as dc" in sentence


IDS = np.array([[0, 3, 3], [2, 0, 5], [4, 4, 4], [1, 5, 0]])
OTHER = np.array([[1, 1, 2], [5, 3, 0], [0, 2, 4], [2, 2, 3]])


@pytest.mark.parametrize(("kind", "places", "part"), [
    ("scatter", np.roll(IDS, 1, 0), None), ("scatter", OTHER, None),
    ("dropped-path", IDS, np.array([True, True, False])), ("scatter", IDS, np.array([False, False, True])),
    ("scatter", IDS, np.array([[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 1]]))],
    ids=["of the row before", "of another table", "all but the last", "the last alone", "each once"])
def test_rows_of_a_table(kind: str, places: Any, part: Any) -> None:
    E = ad.Tensor(RNG.normal(size=(6, 3)), True, name="E")
    a, b = E[IDS], ad.Tensor(RNG.normal(size=(6, 3)), True, name="F")[OTHER]
    loss = (np.tanh(a) * b).sum()
    d = (1 - np.tanh(a.data) ** 2) * b.data
    d = d if part is None else d * np.broadcast_to(part, IDS.shape)[:, :, None]
    yours = np.zeros((6, 3))
    np.add.at(yours, places, d)
    assert first(loss, {"E": yours})[0] == kind


# ---- loops

def test_a_long_recurrence_is_searched_in_time() -> None:
    rng = np.random.default_rng(3)
    x, W, U = rng.normal(size=(8, 4, 3)), rng.normal(size=(3, 5)) / 2, rng.normal(size=(5, 5)) / 2
    tW, tU = ad.Tensor(W, True, name="W"), ad.Tensor(U, True, name="U")
    h: Any = np.zeros((4, 5))
    hs = [h]
    for t in range(8):
        z = x[t] @ tW + h @ tU
        h = np.tanh(z)
        hs.append(h.data)
    loss = (h ** 2).sum()
    dW, dU, dh = np.zeros_like(W), np.zeros_like(U), 2 * h.data
    for t in reversed(range(8)):
        dz = dh * (1 - hs[t] ** 2)                             # at the state before the step
        dW, dU, dh = dW + x[t].T @ dz, dU + hs[t].T @ dz, dz @ U.T
    started = time.thread_time()
    kind, sentence, _ = first(loss, {"W": dW, "U": dU})
    assert kind == "wrong-argument" and "every time round" in sentence
    assert time.thread_time() - started < 3                    # 0.3 s


# ---- time

def test_a_budget_is_of_the_processors_time() -> None:
    budget = Budget(0.05)
    time.sleep(0.08)
    assert not budget.late and budget.left > 0.02              # asleep: nothing was spent
    started = time.thread_time()
    while not budget.late:
        assert time.thread_time() - started < 1
    assert budget.left <= 0 and budget.part(1.0).late
    waiting = Budget(0.01)
    time.sleep(0.2)
    assert not waiting.late                                    # a machine may halt
    time.sleep(0.4)
    assert waiting.late                                        # but nobody waits for ever
