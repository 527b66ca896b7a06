"""The wrong line by what a mistake found on the tape makes of the values on the way."""

from typing import Any

import numpy as np

import autodiff as ad
from autodiff.checks.budget import Budget
from autodiff.checks.doctor.backprop import Backprop
from autodiff.checks.doctor.consequences import consequences
from autodiff.checks.doctor.suspects import Suspect, nothing
from autodiff.checks.reading.reader import Reader
from autodiff.checks.reading.retold import Made
from tests.written import compared, in_words

RNG = np.random.default_rng(7)


def test_carried_gradient_thrown_away_in_a_loop() -> None:
    values = {"x": RNG.normal(size=(5, 4, 3)), "W": RNG.normal(size=(3, 6)), "U": 0.4 * RNG.normal(size=(6, 6))}

    def loss(x: Any, W: Any, U: Any) -> Any:
        h = np.tanh(x[0] @ W)
        for t in range(1, 5):
            h = np.tanh(x[t] @ W + h @ U)
        return (h ** 2).sum()

    report = compared("""
def by_hand(x, W, U):
    hs = [np.tanh(x[0] @ W)]
    for t in range(1, 5):
        hs.append(np.tanh(x[t] @ W + hs[-1] @ U))
    dW, dU = np.zeros_like(W), np.zeros_like(U)
    dh = 2 * hs[-1]
    for t in range(4, -1, -1):
        dz = dh * (1 - hs[t] ** 2)
        dW += x[t].T @ dz
        if t:
            dU += hs[t - 1].T @ dz
        dh = np.zeros_like(dh)
    return {"W": dW, "U": dU}
""", loss, ("W", "U"), **values)
    line = in_words(report).first_wrong
    assert line is not None and line.text == "dh = np.zeros_like(dh)"


def test_slices_of_what_was_summed_together_exchanged() -> None:
    values = {"x": RNG.normal(size=(6, 4)), "U": RNG.normal(size=(4, 3)), "V": RNG.normal(size=(4, 3)),
              "bu": RNG.normal(size=3), "bv": RNG.normal(size=3)}

    def loss(x: Any, U: Any, V: Any, bu: Any, bv: Any) -> Any:
        return (np.tanh(x @ U + bu) * ad.sigmoid(x @ V + bv)).sum()

    report = compared("""
def by_hand(x, U, V, bu, bv):
    p, q = np.tanh(x @ U + bu), 1 / (1 + np.exp(-(x @ V + bv)))
    delta = np.hstack([q * (1 - p ** 2), p * q * (1 - q)])
    both = x.T @ delta
    ends = delta.sum(axis=0)
    return {
        "U": both[:, :3],
        "V": both[:, 3:],
        "bu": ends[3:],
        "bv": ends[:3],
    }
""", loss, ("U", "V", "bu", "bv"), **values)
    reading = in_words(report)
    assert reading.first_wrong is not None and reading.first_wrong.text == '"bu": ends[3:],'
    assert reading.again is None


def test_made_on_the_way_is_what_follows_by_hand() -> None:
    x, w = RNG.normal(size=(5, 3)), ad.Tensor(RNG.normal(size=3), requires_grad=True, name="w")
    a = np.tanh(x @ w)
    loss = (a ** 2).sum()
    bp = Backprop(ad.Tape(loss), [w.record])

    def among(found: list[Any] | None, value: Any) -> bool:
        return found is not None and any(np.shape(v) == np.shape(value) and np.allclose(v, value) for v in found)

    edge = next(e for e in bp.edges if e.r.op is not None and e.r.op.name == "tanh")
    g = 2 * a.data
    lost = consequences(Suspect("missing-local-derivative", 1.0, edge, {edge: lambda g, y, *x, **o: g}), bp)
    assert among(lost, g) and among(lost, x.T @ g) and not among(lost, g * (1 - a.data ** 2))
    changed = consequences(Suspect("x", 1.0, edge, change={edge.x: g * a.data ** 2}), bp)
    assert among(changed, g) and among(changed, x.T @ g)
    dropped = consequences(Suspect("dropped-path", 1.0, edge, {edge: nothing}), bp)
    assert dropped and not any(map(np.any, dropped))
    assert consequences(Suspect("wrong-argument", 1.7, None), bp) is None
    assert consequences(Suspect("swapped", 0.8, None, param=bp.wanted[0]), bp) == []


def test_only_what_the_mistake_makes_is_found() -> None:
    x, w = RNG.normal(size=(5, 3)), ad.Tensor(RNG.normal(size=3), requires_grad=True, name="w")
    loss = (np.tanh(x @ w) ** 2).sum()

    def by_hand(x: Any, w: Any) -> dict[str, Any]:
        a = np.tanh(x @ w)
        strange = np.cos(a)
        da = 2 * a
        return {"w": x.T @ (da * strange)}

    a = np.tanh(x @ w.data)
    repairs = Reader(by_hand, ad.Tape(loss), {}, Budget(5), {}).repairs
    found = [Made(repairs, [value]).first() for value in (np.cos(a), 2 * a, np.sin(a))]
    assert [event and event.spot.kind for event in found] == ["value", "key", "key"]       # right, and made by nobody
    assert found[0] is not None and found[0].spot.name == "strange"
