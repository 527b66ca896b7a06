"""What a mistake may fairly be called: the names of one mistake, and the same mistake made twice."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff as ad
from autodiff.checks import mistakes
from autodiff.checks.doctor.explanation import Explanation, Place
from autodiff.checks.doctor.fair import AS_FAIR, LIKELIER, fairly
from autodiff.checks.reading.line_kinds import changed, kinds_of

RNG = np.random.default_rng(5)
X, W, V, Y = RNG.normal(size=(6, 3)), RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2)), RNG.normal(size=(6, 2))


def kinds_in(report):
    first = report.explanations[0]
    return [first.kind, *(member.kind for member in first.members)], first.confidence


def test_the_names_are_kinds_and_never_sure():
    for (kind, op), other in {**LIKELIER, **AS_FAIR}.items():
        assert {kind, other} <= set(mistakes.KINDS) and kind != other
        found = Explanation(kind, "what was done", op or "tanh", (Place("add", "z", "x"),))
        named = fairly(found)
        assert named.confidence == "possible" and {named.kind, *(m.kind for m in named.members)} >= {kind, other}
        assert named.kind == (LIKELIER.get((kind, op)) or kind)
        assert fairly(named) == named and named.places == found.places
    plain = Explanation("sign", "the wrong sign", "tanh", ())
    assert fairly(plain) == plain


def test_a_root_that_was_forgotten_is_no_wrong_tensor():
    loss = np.sqrt(1 + ad.Tensor(X, requires_grad=True, name="x") ** 2).sum()
    kinds, confidence = kinds_in(ad.compare(loss, {"x": X / (1 + X ** 2)}))
    assert kinds[0] == "wrong-local-rule" and confidence == "possible"


def test_a_path_that_ends_at_a_joint_is_a_dropped_path():
    x, w = ad.Tensor(X, requires_grad=True, name="x"), ad.Tensor(RNG.normal(size=6), requires_grad=True, name="w")
    both = np.concatenate([np.tanh(x), np.sin(x)], axis=1)
    loss = ((both @ w) ** 2).sum()
    error = 2 * (both.data @ w.data)
    half = error[:, None] * w.data[:3] * (1 - np.tanh(X) ** 2)
    kinds, confidence = kinds_in(ad.compare(loss, {"x": half, "w": both.data.T @ error}))
    assert kinds[0] == "dropped-path" and (confidence == "possible") == (len(set(kinds)) > 1)


def test_one_change_in_two_lines_is_one_mistake():
    def by_hand(x, y, W, V, b):
        h = x @ W + b
        a = np.where(h > 0, h, 0.2 * h)
        e = 2 * (a @ V - y)
        da = e @ V.T
        dh = da * np.where(h > 0, 1.0, 0.2)
        return {"W": x.T @ da, "b": da.sum(0), "V": a.T @ e, "h": dh}

    leaves = {"W": ad.Tensor(W, True, name="W"), "V": ad.Tensor(V, True, name="V"),
              "b": ad.Tensor(RNG.normal(size=4), True, name="b")}
    h = X @ leaves["W"] + leaves["b"]
    loss = ((ad.leaky_relu(h, negative_slope=0.2) @ leaves["V"] - Y) ** 2).sum()
    kinds, _ = kinds_in(ad.compare(loss, by_hand, inputs={"x": X, "y": Y}))
    assert kinds[0] in ("missing-local-derivative", "wrong-operand")


@pytest.mark.parametrize(("wrong", "right", "kind"), [
    ("dz = d * (z * (1 - z)) ** 2", "dz = d * (z * (1 - z))", "double-derivative"),
    ("d, n = x.shape", "d, n = x.T.shape", "scale"),
    ("ds += da @ W", "ds += da @ W - ds", "extra-term"),
    ("a, b = 0, lam * w", "a, b = 0, (lam - lam) * w", "extra-term"),
    ("g = e / np.cosh(h) ** 2", "g = e / np.cosh(x @ W + b) ** 2", "wrong-argument"),
    ("p = np.exp(a + b)", "p = np.exp(a + b + c)", "wrong-operand"),
])
def test_changes_of_a_line(wrong, right, kind):
    assert kinds_of(wrong, right)[0] == kind


def test_a_tensor_that_is_called_like_a_number_is_none():
    assert changed("g = 1 - k", "g = 1 - k / lam") == ["number"]
    assert changed("g = 1 - k", "g = 1 - k / lam", {"lam"}) == ["derivative"]
