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


def normed(x: Any, W: Any, gain: Any) -> Any:
    u = x @ W
    v = u / np.sqrt((u * u).sum(axis=1, keepdims=True))
    return ((gain * v) ** 3).sum()


NORMED = {"x": RNG.normal(size=(6, 4)), "W": RNG.normal(size=(4, 3)), "gain": RNG.normal(size=3)}
NORM_BACK = """
def by_hand(x, W, gain):
    u = x @ W
    s = np.sqrt((u * u).sum(axis=1, keepdims=True))
    v = u / s
    g = 3 * (gain * v) ** 2 * gain
    part = v * (g * v).sum(axis=1, keepdims=True)
    back = {back}
    return {{"W": x.T @ back, "gain": (3 * (gain * v) ** 2 * v).sum(axis=0)}}
"""


def logistic(X: Any, w: Any, b: Any, y: Any) -> Any:
    a = ad.sigmoid(X @ w + b)
    return -(y * np.log(a) + (1 - y) * np.log(1 - a)).mean()


def test_two_lines_that_no_number_tells_apart_are_both_named() -> None:
    report = compared("""
def by_hand(X, w, b, y):
    sign = 2 * y - 1
    margin = sign * (X @ w + b)
    delta = -sign / (1 + np.exp(-margin))
    return {"w": X.T @ delta / len(y), "b": delta.mean()}
""", logistic, ("w", "b"), X=RNG.normal(size=(7, 3)), w=RNG.normal(size=3), b=np.array(0.2),
                      y=np.array([0.0, 1, 1, 0, 1, 0, 0]))
    reading = in_words(report)
    assert reading.first_wrong is not None and len(reading.others) == 1
    named = {reading.first_wrong.text, reading.others[0].text}
    assert named == {"margin = sign * (X @ w + b)", "delta = -sign / (1 + np.exp(-margin))"}
    assert "The first wrong line may be" in str(report) and "It may as well be" in str(report)
    assert reading.others[0].expected and reading.others[0].expected in str(report)
    assert report.explanations[0].confidence == "possible"
    assert [line["text"] for line in reading.to_dict()["others"]] == [reading.others[0].text]


def test_a_line_that_reads_what_the_tape_knows_is_named_alone() -> None:
    for back in ("(g - part) * s", "2 * (g - part) / s", "(g + part) / s"):
        reading = in_words(compared(NORM_BACK.format(back=back), normed, ("W", "gain"), **NORMED))
        assert reading.first_wrong is not None and reading.first_wrong.text == f"back = {back}" and not reading.others
