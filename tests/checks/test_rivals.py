"""Two lines that can be put right equally well: which is quoted."""

from typing import Any

import numpy as np

import autodiff as ad
from tests.written import compared, in_words

RNG = np.random.default_rng(11)


def test_the_repair_that_leaves_fewer_lines_unexplained() -> None:
    def loss(x: Any, y: Any, mu: Any, W: Any) -> Any:
        z = mu + np.tanh(x @ W)
        return ((z - y) ** 2).sum() / 5 + 0.5 * (mu ** 2).sum() / 5

    reading = in_words(compared("""
def by_hand(x, y, mu, W):
    t = np.tanh(x @ W)
    rec = 2 * (mu + t - y)
    kl = 2 * mu
    dmu = (rec + kl) / 5
    dW = x.T @ (rec / 5 * (1 - t ** 2))
    return {"mu": dmu, "W": dW}
""", loss, ("mu", "W"), x=RNG.normal(size=(5, 3)), y=RNG.normal(size=(5, 4)), mu=RNG.normal(size=(5, 4)),
                   W=RNG.normal(size=(3, 4))))
    assert reading.first_wrong is not None and reading.first_wrong.text == "kl = 2 * mu"
    assert reading.expected == "kl = mu" and reading.certain


def test_what_only_one_line_reads_is_turned_round() -> None:
    def loss(x: Any, k: Any) -> Any:
        z = sum(k[:, i:i + 1] * np.tanh(x)[:, i:i + 4] for i in range(3))
        return (np.asarray(z) ** 2).sum() if not isinstance(z, ad.Tensor) else (z ** 2).sum()

    reading = in_words(compared("""
def by_hand(x, k):
    t = np.tanh(x)
    z = sum(k[:, i:i + 1] * t[:, i:i + 4] for i in range(3))
    g = np.pad(2 * z, ((0, 0), (2, 2)))
    turned = k
    dt = sum(turned[:, i:i + 1] * g[:, i:i + 6] for i in range(3))
    return {"x": dt * (1 - t ** 2)}
""", loss, ("x",), x=RNG.normal(size=(3, 6)), k=RNG.normal(size=(3, 3))))
    assert reading.first_wrong is not None and reading.first_wrong.text == "turned = k"
    assert reading.expected == "turned = k[..., ::-1]"


def squares(x: Any, W: Any, b: Any) -> Any:
    z = x @ W + b
    return (z * z).mean()


LINEAR = {"x": RNG.normal(size=(2, 3, 5)), "W": RNG.normal(size=(5, 5)), "b": RNG.normal(size=5)}


def test_what_a_line_makes_and_another_only_returns_is_quoted_where_it_is_made() -> None:
    reading = in_words(compared("""
def by_hand(x, W, b):
    z = x @ W + b
    d = 2 * z / z.size
    dW = d[0].T @ x[0] + d[1].T @ x[1]
    return {"W": dW, "b": d.sum(axis=(0, 1))}
""", squares, ("W", "b"), **LINEAR))
    assert reading.first_wrong is not None and reading.first_wrong.text == "dW = d[0].T @ x[0] + d[1].T @ x[1]"


def test_so_is_a_factor_of_what_bears_the_name_of_a_gradient() -> None:
    reading = in_words(compared("""
def by_hand(x, W, b):
    def forward():
        z = x @ W + b
        return z, x

    z, kept = forward()
    d = 2 * z / z.size
    db = d.sum(axis=1).mean(axis=0)
    return {"W": np.einsum("nti,ntj->ij", kept, d), "b": db}
""", squares, ("W", "b"), **LINEAR))
    assert reading.first_wrong is not None and reading.first_wrong.text == "db = d.sum(axis=1).mean(axis=0)"
    assert reading.expected == "db = d.sum(axis=1).sum(axis=0)"
