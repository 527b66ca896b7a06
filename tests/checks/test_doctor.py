"""What the doctor says of single mistakes, and what it never says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.checks.mistakes import KINDS, MISTAKES, add_mistake
from autodiff.checks.report import Report


class Net:
    """Two layers, its backward pass by hand with room for mistakes."""

    def __init__(self, seed: int = 0, dtype: Any = np.float64) -> None:
        rng = np.random.default_rng(seed)
        self.x, self.y = rng.normal(size=(7, 3)).astype(dtype), rng.normal(size=(7, 2)).astype(dtype)
        self.W1, self.b1, self.W2, self.b2 = (ad.Tensor(rng.normal(size=s).astype(dtype), True, name=name)
                                              for name, s in (("W1", (4, 3)), ("b1", 4), ("W2", (2, 4)), ("b2", 2)))
        z1 = self.x @ self.W1.T + self.b1
        a1 = np.tanh(z1)
        z2 = a1 @ self.W2.T + self.b2
        loss = ((z2 - self.y) ** 2).mean()
        self.loss, self.z1, self.a1, self.z2 = loss, z1, a1, z2

    def by_hand(self, **instead: Any) -> dict[str, Any]:
        """All steps, some of them replaced by functions of the steps so far."""
        v: dict[str, Any] = {"x": self.x, "y": self.y, "a1": self.a1.data, "z1": self.z1.data, "W1": self.W1.data,
                             "W2": self.W2.data, "m": self.y.size}
        steps = {"dz2": lambda v: 2 * (self.z2.data - v["y"]) / v["m"], "dW2": lambda v: v["dz2"].T @ v["a1"],
                 "db2": lambda v: v["dz2"].sum(axis=0), "da1": lambda v: v["dz2"] @ v["W2"],
                 "dz1": lambda v: v["da1"] * (1 - v["a1"] ** 2), "dW1": lambda v: v["dz1"].T @ v["x"],
                 "db1": lambda v: v["dz1"].sum(axis=0)}
        for name, step in {**steps, **instead}.items():
            v[name] = step(v)
        return v

    def report(self, keys: tuple[str, ...] = ("W1", "b1", "W2", "b2"), **instead: Any) -> Report:
        v = self.by_hand(**instead)
        return ad.compare(self.loss, {key: v[f"d{key}"] for key in keys})


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("kind", "slip", "place"), [
    ("missing-local-derivative", dict(dz1=lambda v: v["da1"]), "a1"),
    ("wrong-argument", dict(dz1=lambda v: v["da1"] * (1 - v["z1"] ** 2)), "a1"),
    ("wrong-local-rule", dict(dz1=lambda v: v["da1"] * (1 - v["a1"])), "a1"),
    ("double-derivative", dict(dz1=lambda v: v["da1"] * (1 - v["a1"] ** 2) ** 2), "a1"),
    ("scale", dict(db1=lambda v: v["dz1"].mean(axis=0)), "b1"),
    ("sign", dict(dW2=lambda v: -v["dz2"].T @ v["a1"]), "W2"),
    ("missing-broadcast-reduction", dict(db1=lambda v: v["dz1"]), "b1"),
    ("wrong-operand", dict(dW2=lambda v: v["dz2"].T @ v["z1"]), "z2"),
    ("overwritten-accumulation", dict(dW1=lambda v: np.outer(v["dz1"][-1], v["x"][-1])), "z1"),
    ("transposed-result", dict(dW1=lambda v: v["x"].T @ v["dz1"]), "W1"),
    ("extra-term", dict(dW1=lambda v: v["dz1"].T @ v["x"] + 0.37 * v["W1"]), "W1"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_one_mistake(kind: str, slip: dict[str, Any], place: str, dtype: type) -> None:
    for seed in range(3):
        first = Net(seed, dtype).report(**slip).explanations[0]
        assert first.kind == kind and first.confidence == "is"
        assert place in {name for p in first.places for name in (p.tensor, p.operand)}


def test_the_sentence_of_the_specification() -> None:
    report = Net().report(dz1=lambda v: v["da1"])
    text = str(report)
    assert "W1, b1 differ; W2, b2 agree. Both equal what you get by leaving out tanh′(z1) at a1 = np.tanh(z1)" in text
    assert "correct:      dz1 = da1 * (1 - a1 ** 2)" in text.replace("a1**2", "a1 ** 2")
    assert "yours equals: dz1 = da1\n" in text and "test_doctor.py:" in text
    entry = report["W1"].explanations[0]
    assert entry is report.explanations[0] and entry.params == ("W1", "b1") and "16 numbers" in entry.evidence
    assert entry.to_dict()["kind"] in KINDS
    with pytest.raises(AssertionError, match="leaving out tanh′"):
        report.raise_if_wrong()


def test_two_mistakes_are_both_told() -> None:
    report = Net().report(dz1=lambda v: v["da1"], db2=lambda v: v["dz2"].mean(axis=0))
    first = report.explanations[0]
    assert first.kind == "two" and "tanh′(z1)" in first.sentence and "1/7" in first.sentence


def test_intermediates_are_explained_one_by_one() -> None:
    report = Net().report(("W1", "b1", "W2", "b2", "z1", "a1", "z2"), dz1=lambda v: v["da1"],
                          db1=lambda v: -v["dz1"].sum(axis=0))
    assert [e.kind for e in (report["z1"].explanations[0], report["b1"].explanations[0])] == \
        ["missing-local-derivative", "sign"]
    assert report["W1"].explanations[0].kind == "missing-local-derivative"


def test_a_mistake_in_the_forward_pass() -> None:
    net = Net()
    a = np.tanh(net.x @ net.W1.data.T)                                  # without b1
    dz2 = 2 * (a @ net.W2.data.T + net.b2.data - net.y) / net.y.size
    dz1 = dz2 @ net.W2.data * (1 - a ** 2)
    report = ad.compare(net.loss, {"W1": dz1.T @ net.x, "b1": dz1.sum(0), "W2": dz2.T @ a, "b2": dz2.sum(0)})
    assert "in the forward pass: z1 without b1" in report.explanations[0].sentence


def test_what_nothing_explains_is_said_to_be_so() -> None:
    rng = np.random.default_rng(1)
    report = Net().report(dW1=lambda v: rng.normal(size=(4, 3)))
    assert not report.explanations and "no mistake of the catalogue, alone or in pairs" in report.diagnosis
    assert "the first wrong gradient, going back from the loss, is dW1" in report.diagnosis


def test_garbage_is_not_explained() -> None:
    rng = np.random.default_rng(2)
    explained = 0
    for seed in range(8):
        net = Net(seed)
        for garbage in (lambda g: rng.normal(size=g.shape), np.abs, np.sort, lambda g: g ** 2, np.exp, np.round):
            report = net.report(dW1=lambda v, garbage=garbage: garbage(v["dz1"].T @ v["x"]))
            explained += any(e.confidence == "is" for e in report.explanations) and garbage is not np.abs
    assert explained <= 2


def test_one_number_proves_nothing() -> None:
    w = ad.Tensor(np.array([1.5]), True, name="w")
    loss = (w ** 3 + 2 * w).sum()
    report = ad.compare(loss, {"w": [1.0]})
    assert all(e.confidence == "possible" for e in report.explanations)


def test_ties_are_told() -> None:
    w = ad.Tensor(np.arange(1.0, 6.0), True, name="w")
    loss = np.exp(np.negative(np.negative(w))).sum()
    first = ad.compare(loss, {"w": -np.exp(w.data)}).explanations[0]
    assert first.kind == "sign" and first.members
    assert "cannot be told apart" in str(ad.compare(loss, {"w": -np.exp(w.data)})).lower()


def test_an_operation_of_ones_own_gets_the_general_mistakes_and_those_added() -> None:
    @ad.op
    def cube(x: Any) -> Any:
        return x * x * x
    cube.derivative(lambda y, x: 3 * x * x)
    w = ad.Tensor(np.arange(1.0, 6.0) / 5, True, name="w")
    c = cube(w)
    loss = np.tanh(c).sum()
    g = 1 - np.tanh(c.data) ** 2
    assert ad.compare(loss, {"w": g}).explanations[0].kind == "missing-local-derivative"
    wrong = g * np.sqrt(w.data + 7)
    assert all(e.confidence == "possible" for e in ad.compare(loss, {"w": wrong}).explanations)
    add_mistake(cube, 0, "wrong-local-rule", lambda g, y, x: g * np.sqrt(x + 7))
    try:
        assert ad.compare(loss, {"w": wrong}).explanations[0].kind == "wrong-local-rule"
    finally:
        del MISTAKES[cube]


def test_shared_weights_overwritten() -> None:
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(5, 4)), np.zeros((5, 4))
    W = ad.Tensor(rng.normal(size=(4, 4)), True, name="W")
    hs = [h]
    for _ in range(3):
        h = np.tanh(x + h @ W)
        hs.append(h)
    loss = (h ** 2).mean()
    d, last = 2 * hs[-1].data / hs[-1].data.size, None
    for t in (2, 1, 0):
        dz = d * (1 - hs[t + 1].data ** 2)
        last = (hs[t].data if t else hs[0]).T @ dz                     # = where += is needed
        d = dz @ W.data.T
        if t == 1:
            kept = last
    report = ad.compare(loss, {"W": kept})
    assert report.explanations[0].kind in ("overwritten-accumulation", "dropped-path")


def test_a_nan_is_no_mistake_of_the_catalogue() -> None:
    report = Net().report(dW1=lambda v: np.full((4, 3), np.nan))
    assert report["W1"].verdict == "differs" and not report.explanations


def test_no_time_is_taken_if_none_is_given() -> None:
    net = Net()
    v = net.by_hand(dz1=lambda v: v["da1"])
    assert not ad.compare(net.loss, {"W1": v["dW1"]}, explain=False).explanations
