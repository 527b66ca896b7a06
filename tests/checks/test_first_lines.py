"""Which of somebody's lines is quoted as the first wrong one, and what it should read: small functions, one mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import autodiff as ad
from tests.written import compared, in_words

RNG = np.random.default_rng(3)


class Wrong(NamedTuple):
    """A wrong function, the line that is wrong, what it should read, and the kinds it may be called."""

    loss: Callable[..., Any]
    wrt: tuple[str, ...]
    line: str
    expected: str
    kinds: tuple[str, ...]
    text: str


def weighted_squares(X: Any, W: Any, b: Any, Y: Any, s: Any) -> Any:
    r = X @ W + b - Y
    per = (r ** 2).sum(axis=1)
    return (s * per).sum() / 14


def softmax_loss(X: Any, W: Any, b: Any, y: Any, cw: Any) -> Any:
    logits = X @ W + b
    logp = ad.log_softmax(logits, axis=1)
    weight = cw[y]
    return -(weight * logp[np.arange(7), y]).sum() / weight.sum()


def recurrent(X: Any, W: Any, U: Any, v: Any, y: Any) -> Any:
    h = np.full((7, 3), 0.3)
    total: Any = 0.0
    for t in range(3):
        h = np.tanh(X[:, t:t + 1] * W + h @ U)
        total = total + h
    score = total / 3 @ v
    return ((np.tanh(score) - y) ** 2).sum() / 7


def attention(Q: Any, K: Any, V: Any) -> Any:
    P = ad.softmax(np.einsum("bqd,bkd->bqk", Q, K), axis=-1)
    return (np.einsum("bqk,bkv->bqv", P, V) ** 2).sum()


def two_layers(X: Any, W: Any, V: Any, y: Any) -> Any:
    z = X @ W
    h = np.tanh(z)
    e = h @ V - y
    return (e ** 2).sum() / 7


def two_heads(X: Any, W: Any, A: Any, B: Any) -> Any:
    h = np.tanh(X @ W)
    p = h @ A
    q = h @ B
    return (p ** 2).sum() + (q ** 3).sum()


DATA = {
    weighted_squares: {"X": RNG.normal(size=(7, 5)), "W": RNG.normal(size=(5, 2)), "b": RNG.normal(size=2),
                       "Y": RNG.normal(size=(7, 2)), "s": RNG.uniform(0.4, 2, size=7)},
    softmax_loss: {"X": RNG.normal(size=(7, 5)), "W": RNG.normal(size=(5, 4)), "b": RNG.normal(size=4),
                   "y": np.array([0, 3, 1, 2, 2, 0, 3]), "cw": RNG.uniform(0.4, 2, size=4)},
    recurrent: {"X": RNG.normal(size=(7, 3)), "W": RNG.normal(size=3), "U": RNG.normal(size=(3, 3)),
                "v": RNG.normal(size=(3, 2)), "y": RNG.normal(size=(7, 2))},
    attention: {"Q": RNG.normal(size=(2, 4, 4)), "K": RNG.normal(size=(2, 4, 4)), "V": RNG.normal(size=(2, 4, 4))},
    two_layers: {"X": RNG.normal(size=(7, 4)), "W": RNG.normal(size=(4, 5)), "V": RNG.normal(size=(5, 2)),
                 "y": RNG.normal(size=(7, 2))},
    two_heads: {"X": RNG.normal(size=(6, 4)), "W": RNG.normal(size=(4, 3)), "A": RNG.normal(size=(3, 2)),
                "B": RNG.normal(size=(3, 2))},
}

BACK = """
def by_hand(X, W, U, v, y):
    hs = [np.full((7, 3), 0.3)]
    for t in range(3):
        hs.append(np.tanh(X[:, t:t + 1] * W + hs[t] @ U))
    hbar = {hbar}
    a = np.tanh(hbar @ v)
    e = 2 * (a - y) / 7 * (1 - a ** 2)
    gv = hbar.T @ e
    gpool = e @ v.T / 3
    gW, gU = np.zeros(3), np.zeros((3, 3))
    carry = np.zeros_like(gpool)
    for t in range(3, 0, -1):
        gh = {gh}
        delta = gh * (1 - hs[t] ** 2)
        gW = gW + (delta * X[:, t - 1:t]).sum(axis=0)
        gU = gU + hs[t - 1].T @ delta
        carry = delta @ U.T
    return {{"W": gW, "U": gU, "v": gv}}
"""

CASES = {
    "a name for what is wrong under its own": Wrong(
        weighted_squares, ("W", "b"), "dr = dsq * np.sign(r)", "", ("wrong-local-rule",), """
def by_hand(X, W, b, Y, s):
    r = X @ W + b - Y
    dsq = np.repeat(s[:, None], 2, axis=1) / 14
    dr = dsq * np.sign(r)
    dlin = dr
    return {"W": X.T @ dlin, "b": dlin.sum(axis=0)}
"""),
    "what is added where it is read": Wrong(
        recurrent, ("W", "U", "v"), "gh = gpool", "gh = gpool + carry", ("dropped-path", "treated-as-constant"),
        BACK.format(hbar="sum(hs[1:]) / 3", gh="gpool")),
    "a value with a multiple that is known too": Wrong(
        recurrent, ("W", "U", "v"), "hbar = sum(hs) / 4", "", ("wrong-argument", "wrong-operand"),
        BACK.format(hbar="sum(hs) / 4", gh="gpool + carry")),
    "a line that only scales": Wrong(
        softmax_loss, ("W", "b"), "p[y] -= 1", "", ("scatter", "wrong-operand", "wrong-local-rule"), """
def by_hand(X, W, b, y, cw):
    p = X @ W
    p += b
    p -= p.max(axis=1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    w = cw[y]
    p[y] -= 1
    p *= w[:, None]
    p /= w.sum()
    return {"W": X.T @ p, "b": p.sum(axis=0)}
"""),
    "one taken off a fixed place": Wrong(
        softmax_loss, ("W", "b"), "p[np.arange(7), y[0]] -= 1", "", ("scatter", "wrong-operand"), """
def by_hand(X, W, b, y, cw):
    z = X @ W + b
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    p[np.arange(7), y[0]] -= 1
    w = cw[y]
    p = p * (w / w.sum())[:, None]
    return {"W": X.T @ p, "b": p.sum(axis=0)}
"""),
    "a batch of matrices not turned": Wrong(
        attention, ("Q", "K", "V"), "dV = P @ do", "dV = P.transpose(0, 2, 1) @ do", ("missing-transpose",), """
def by_hand(Q, K, V):
    s = np.einsum("bqd,bkd->bqk", Q, K)
    P = np.exp(s) / np.exp(s).sum(axis=-1, keepdims=True)
    do = 2 * (P @ V)
    dP = do @ V.transpose(0, 2, 1)
    dV = P @ do
    ds = P * (dP - (dP * P).sum(axis=-1, keepdims=True))
    return {"Q": ds @ K, "K": ds.transpose(0, 2, 1) @ Q, "V": dV}
"""),
    "a derivative called by its name": Wrong(
        two_layers, ("W", "V"), "dh_dz = 1 - np.tanh(z)", "", ("wrong-local-rule",), """
def by_hand(X, W, V, y):
    z = X @ W
    h = np.tanh(z)
    de = 2 * (h @ V - y) / 7
    dJ_dh = de @ V.T
    dh_dz = 1 - np.tanh(z)
    dJ_dz = dJ_dh * dh_dz
    return {"W": X.T @ dJ_dz, "V": h.T @ de}
"""),
    "a parenthesis that closes too late": Wrong(
        two_heads, ("W", "A", "B"), "dz = 2 * p @ A.T + 3 * q ** 2 @ B.T * (1 - h ** 2)",
        "dz = (2 * p @ A.T + 3 * q ** 2 @ B.T) * (1 - h ** 2)", ("missing-local-derivative",), """
def by_hand(X, W, A, B):
    h = np.tanh(X @ W)
    p, q = h @ A, h @ B
    dz = 2 * p @ A.T + 3 * q ** 2 @ B.T * (1 - h ** 2)
    return {"W": X.T @ dz, "A": h.T @ (2 * p), "B": h.T @ (3 * q ** 2)}
"""),
    "a factor as others have it on their way": Wrong(
        two_layers, ("W", "V"), 'return {"W": gW / (n * k), "V": gV / n}', '"W": gW / n', ("scale",), """
def by_hand(X, W, V, y):
    n, k = len(X), len(V)
    gW, gV = np.zeros_like(W), np.zeros_like(V)
    for i in range(n):
        h = np.tanh(X[i] @ W)
        e = 2 * (h @ V - y[i])
        gV += np.outer(h, e)
        gW += np.outer(X[i], V @ e * (1 - h ** 2))
    return {"W": gW / (n * k), "V": gV / n}
"""),
    "a list in the order of time": Wrong(
        recurrent, ("W", "U", "v"), "for h, before, x in steps:", "for h, before, x in reversed(steps):",
        ("wrong-operand", "wrong-axis", "dropped-path"), """
def by_hand(X, W, U, v, y):
    h, steps, total = np.full((7, 3), 0.3), [], 0
    for t in range(3):
        before, h = h, np.tanh(X[:, t:t + 1] * W + h @ U)
        steps.append((h, before, X[:, t:t + 1]))
        total = total + h
    a = np.tanh(total / 3 @ v)
    e = 2 * (a - y) / 7 * (1 - a ** 2)
    gW, gU = np.zeros(3), np.zeros((3, 3))
    carry = np.zeros((7, 3))
    for h, before, x in steps:
        delta = (e @ v.T / 3 + carry) * (1 - h ** 2)
        gW = gW + (delta * x).sum(axis=0)
        gU = gU + before.T @ delta
        carry = delta @ U.T
    return {"W": gW, "U": gU, "v": (total / 3).T @ e}
"""),
}


@pytest.mark.parametrize("name", CASES)
def test_the_first_wrong_line(name: str) -> None:
    case = CASES[name]
    report = compared(case.text, case.loss, case.wrt, **DATA[case.loss])
    reading = in_words(report)
    assert reading.first_wrong is not None and reading.first_wrong.text == case.line, report
    assert case.expected in reading.expected and (case.expected or reading.certain)
    assert report.explanations[0].kind in case.kinds
    assert report.explanations[0].confidence == "possible" or report.explanations[0].kind == case.kinds[0]


def test_a_size_or_a_number_that_was_given_is_a_factor() -> None:
    def loss(X: Any, W: Any, dt: Any) -> Any:
        return dt * (np.tanh(X @ W) ** 2).sum() / len(X)

    report = compared("""
def by_hand(X, W, dt):
    rows = len(X)
    h = np.tanh(X @ W)
    dh = 2 * h / rows
    return {"W": X.T @ (dh * (1 - h ** 2))}
""", loss, ("W",), X=RNG.normal(size=(5, 3)), W=RNG.normal(size=(3, 2)), dt=np.array(0.37))
    assert report.explanations[0].kind == "scale"
