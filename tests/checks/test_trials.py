"""Small changes tried one by one: heads of loops, caches, branches, indices, whose values nobody knows."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.checks.reading import trials
from autodiff.checks.reading.edits import additions, changes, local, substitutions
from autodiff.checks.reading.line_kinds import kind_of
from autodiff.checks.reading.reader import read
from tests.battery.rates import quoted
from tests.battery.slips import Case, cases

SECONDS = 20               # much more than it takes, on a machine that is busy
WRONG = {case.name: case for case in cases("dev2") if case.slip is not None}


@pytest.mark.parametrize(("name", "expected"), [
    ("lstm_unrolled: loop starts one step late", "for t in reversed(range(T)):"),
    ("lstm_unrolled: loop ends before the first step", "range("),
    ("lstm_unrolled: cache of the step before", "caches[t]"),
    ("lstm_unrolled: cache holds the cell after the step twice", "c_prev, c)"),
    ("lstm_unrolled: h at index t of the step itself", "hs[t - 1].T @ da"),
    ("lstm_unrolled: sigmoid' of the wrong gate", "df * f * (1 - f)"),
    ("conv1d_loops: first sample never visited", "range("),
    ("conv1d_loops: relu' at the sign of the weights", "if pre[f, j] > 0:"),
    ("clipped_policy: the larger of the two", "<="),
])
def test_the_line_that_was_changed_is_found_and_put_right(name: str, expected: str,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "SECONDS", SECONDS)
    case: Case = WRONG[name]
    loss, values = case.recorded()
    reading = read(case.function, ad.Tape(loss), values, seconds=SECONDS)
    assert reading.first_wrong is not None
    assert quoted(case, reading.first_wrong.text), reading.sentence
    assert reading.small
    assert expected in reading.expected.replace(" + 1 - 1", "")           # the same, as it may be found first


@pytest.mark.parametrize(("wrong", "right", "kind"), [
    ("for t in range(1, T):", "for t in range(T):", "dropped-path"),
    ("for t in range(T):", "for t in range(1, T):", "extra-term"),
    ("for t in range(T):", "for t in reversed(range(T)):", "wrong-operand"),
    ("if act[f] > 0:", "if pre[f] > 0:", "wrong-argument"),
    ("g[r2 == 0] = 0", "g[r1 == 0] = 0", "wrong-argument"),
    ("m = x.size", "m = x.shape[0]", "scale"),
    ('return {"W": gW, "b": gb}', '"W": gW.T', "transposed-result"),
    ("g = e * (a + a ** 2)", "g = e * (a - a ** 2)", "wrong-local-rule"),
    ("z = (y[i - 1] - p) / s", "z = (y[i] - p) / s", "wrong-operand"),
    ("g = np.einsum('ij,jk->ki', a, b)", "g = np.einsum('ij,jk->ik', a, b)", "transposed-result"),
])
def test_the_kind_of_a_changed_line(wrong: str, right: str, kind: str) -> None:
    assert kind_of(wrong, right) == kind


def test_a_mask_that_nobody_needs_to_subtract() -> None:
    x, w = np.random.default_rng(0).normal(size=(9, 3)), ad.Tensor([0.3, -0.2, 0.5], requires_grad=True, name="w")
    X = ad.Tensor(x, name="x")
    loss = ad.relu(X @ w).sum()

    def by_hand(x, w):
        open_ = x @ w < 0
        return {"w": x.T @ open_}

    reading = read(by_hand, ad.Tape(loss))
    assert reading.left_numpy is None
    assert reading.first_wrong is not None
    assert reading.first_wrong.text == "open_ = x @ w < 0"


def test_a_pair_is_never_more_than_possible() -> None:
    case = WRONG["clipped_policy: no sum over the batch for b, entropy dropped"]
    loss, values = case.recorded()
    found = ad.compare(loss, case.gradients(values)).explanations
    assert all(e.confidence == "possible" for e in found if e.kind == "two")


@pytest.mark.parametrize("texts", [local, substitutions, additions, trials.completions, changes])
def test_no_change_makes_a_shape_of_many_axes(texts):
    """np.full(p.shape * 7, 0) would fill the memory of any machine."""
    others = [("p", np.ones((7, 3))), ("m", 7), ("n", 3)]
    tried = list(texts("np.full(p.shape, 0.1 / n) + np.zeros(np.shape(p))", others, (7, 3)))
    assert tried or texts is trials.completions
    for text in tried:
        for node in ast.walk(ast.parse(text, mode="eval")):
            shapes = [n for n in ast.walk(node) if getattr(n, "attr", "") == "shape"]
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and any(
                n in (node.left, node.right) for n in shapes)), text


RNG = np.random.default_rng(5)
NET = {"x": RNG.normal(size=(7, 4)), "W": RNG.normal(size=(4, 5)), "v": RNG.normal(size=(5, 2)),
       "y": RNG.normal(size=(7, 2))}


def of_net(x: Any, W: Any, v: Any, y: Any) -> Any:
    n = x @ W
    h = np.maximum(n, 0)
    s = h @ v
    return ((s - y) ** 2).sum() / len(y)


def forward(x: Any, W: Any, v: Any) -> Any:
    n = x @ W
    h = np.maximum(n, 0)
    return n, h, h @ v


def with_a_helper(x: Any, W: Any, v: Any, y: Any) -> Any:
    n, h, s = forward(x, W, v)
    ds = 2 * (s - y)
    dh = ds @ v.T
    dn = dh * (n > 0)
    dW = x.T @ dn / len(y)
    dv = n.T @ ds / len(y)
    return {"W": dW, "v": dv}


def with_another_name(x: Any, W: Any, v: Any, y: Any) -> Any:
    n, h, s = forward(x, W, v)
    ds = 2 * (s - y)
    dh = ds @ v.T
    dn = dh
    dW = x.T @ dn / len(y)
    return {"W": dW, "v": h.T @ ds / len(y)}


@pytest.mark.parametrize(("function", "line", "expected"), [
    (with_a_helper, "dv = n.T @ ds / len(y)", "h.T @ ds"), (with_another_name, "dn = dh", "dh * (n > 0)")])
def test_right_lines_before_the_wrong_one_are_not_changed(function: Any, line: str, expected: str) -> None:
    """What a helper hands back, by its own name, and what a line gives another name to, are not to blame."""
    tensors = {name: ad.Tensor(value, requires_grad=name in "Wv", name=name) for name, value in NET.items()}
    reading = ad.compare(of_net(**tensors), function, inputs=NET).reading
    assert reading is not None and reading.first_wrong is not None
    assert reading.first_wrong.text == line
    assert expected in reading.expected
