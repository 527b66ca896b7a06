"""Right rules that read something computed wrongly, and what was kept of another time of a loop."""

from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.checks.doctor.explanation import Explanation

RNG = np.random.default_rng(5)


def first(loss: Any, given: dict[str, Any]) -> Explanation:
    report = ad.compare(loss, given)
    assert not report.ok and report.explanations
    return report.explanations[0]


def names(e: Explanation) -> set[str]:
    return {e.kind, *(m.kind for m in e.members)}


def test_a_kernel_turned_round() -> None:
    x, k = (ad.Tensor(RNG.normal(size=s), True, name=n) for n, s in (("x", (4, 2, 7)), ("k", (3, 2, 3))))
    z = np.einsum("nctr,fcr->nft", np.stack([x[:, :, i:i + 5] for i in range(3)], axis=-1), k)
    dx = np.zeros(x.shape)
    for i in range(3):
        dx[:, :, i:i + 5] += np.einsum("nft,fc->nct", 2 * z.data, k.data[:, :, 2 - i])
    e = first((z ** 2).sum(), {"x": dx})
    assert names(e) == {"wrong-operand", "scatter"} and "k turned round along axis 2" in e.sentence
    assert "the contribution to the gradient of the result of stack" in e.sentence


def test_a_derivative_at_an_argument_that_lacks_a_term() -> None:
    x, u = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 4))
    W, b = (ad.Tensor(RNG.normal(size=s), True, name=n) for n, s in (("W", (3, 4)), ("b", (4,))))
    a = x @ W
    z = a + b
    loss = (np.tanh(z) * u).sum()
    dz = u * (1 - np.tanh(a.data) ** 2)
    e = first(loss, {"W": x.T @ dz, "b": dz.sum(0)})
    assert names(e) & {"wrong-argument", "wrong-operand"} and e.confidence in ("is", "possible")
    assert {name for place in e.places for name in (place.tensor, place.operand)} & {"z", "a"}


class Recurrent:
    """h = tanh(x W + h U), and the way back by hand with a choice of what each time reads."""

    T = 4

    def __init__(self) -> None:
        self.x = RNG.normal(size=(self.T, 3, 2))
        self.W, self.U = (ad.Tensor(0.7 * RNG.normal(size=s), True, name=n) for n, s in (("W", (2, 5)), ("U", (5, 5))))
        self.hs, h = [], np.zeros((3, 5))
        loss: Any = 0
        for t in range(self.T):
            h = np.tanh(self.x[t] @ self.W + h @ self.U)
            self.hs.append(h)
            loss = loss + (h ** 2).sum()
        self.loss = loss

    def by_hand(self, at: Any, times: Any) -> dict[str, Any]:
        hs = [np.zeros((3, 5)), *(h.data for h in self.hs)]
        dW, dU, dh = np.zeros((2, 5)), np.zeros((5, 5)), np.zeros((3, 5))
        for t in times:
            k = at(t)
            dz = (2 * hs[k + 1] + dh) * (1 - hs[k + 1] ** 2)
            dW, dU, dh = dW + self.x[k].T @ dz, dU + hs[k].T @ dz, dz @ self.U.data.T
        return {"W": dW, "U": dU}


def test_the_loop_that_is_right() -> None:
    net = Recurrent()
    assert ad.compare(net.loss, net.by_hand(lambda t: t, range(3, -1, -1))).ok


def test_the_last_times_passed_over() -> None:
    net = Recurrent()
    e = first(net.loss, net.by_hand(lambda t: t, range(2, -1, -1)))
    assert names(e) & {"dropped-path", "stale-value"}


@pytest.mark.parametrize("at", [lambda t: 3, lambda t: 3 - t, lambda t: min(t + 1, 3)],
                         ids=["the last", "the other order", "the time after"])
def test_the_cache_of_another_time_read_at_each(at: Any) -> None:
    net = Recurrent()
    e = first(net.loss, net.by_hand(at, range(3, -1, -1)))
    assert names(e) & {"stale-value", "wrong-operand", "wrong-argument"}, e.sentence
