"""Where values get strange: single samples and steps are known for what they are, and a right line is not blamed."""

from __future__ import annotations

import linecache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
from autodiff.checks.reading.edits import substitutions
from autodiff.checks.reading.elsewhere import other_values
from autodiff.checks.reading.known import Knowledge
from autodiff.checks.reading.quantities import COTANGENT, Known
from autodiff.checks.reading.reader import read
from autodiff.checks.reading.samples import Samples


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def known(value: Any) -> Known:
    leaf = ad.Tensor(1.0, requires_grad=True)
    return Known(value, COTANGENT, leaf.record, "")


@given(shape=st.lists(st.integers(2, 4), min_size=1, max_size=3), seed=st.integers(0, 1000), data=st.data())
def test_each_part_along_any_axes_is_found_and_nothing_else(shape: list[int], seed: int, data: st.DataObject) -> None:
    value = np.random.default_rng(seed).normal(size=shape)
    k = known(value)
    samples = Samples([k])
    held = data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    at = (data.draw(st.integers(0, n - 1)) if h else slice(None) for n, h in zip(shape, held, strict=True))
    part = value[tuple(at)]
    assert samples.holder(part) is k
    assert samples.holder(np.transpose(part)) is k
    assert samples.holder(part, [k]) is k
    assert samples.holder(part, []) is None
    assert samples.holder(part * 1.001) is None
    assert samples.holder(-part) is None


def test_nothing_that_is_no_number_is_found() -> None:
    samples = Samples([known(np.array([[1.0, np.nan], [np.inf, 0.0]]))])
    for value in (np.nan, np.inf, 0.0, np.zeros(2), np.empty((0, 3)), np.array([np.inf, 1.0])):
        assert samples.holder(value) is None


def test_steps_together_are_recognised_in_their_order_only() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 5)), ad.Tensor(rng.normal(size=5), requires_grad=True, name="w")
    h: Any = w
    for t in range(4):
        h = np.tanh(h * x[t])
    knowledge = Knowledge(ad.Tape((h ** 2).sum()))
    steps = [g for r, g in knowledge.cotangents.items() if r.op is not None and r.op.name == "tanh"]
    assert knowledge.recognised(np.stack(steps)) and knowledge.recognised(np.stack(steps, axis=1))
    assert not knowledge.recognised(np.stack([steps[0]] * 4))             # one of them, four times
    assert not knowledge.recognised(np.stack([*steps[:3], 2 * steps[3]]))


WRONG_LINES = [("d_h = W2 @ d_out * h * (1 - h)", "d_h = W2 @ d_out * (1 - h)"),
               ("d_out = (out - y[i]) / len(x)", "d_out = (out + y[i]) / len(x)"),
               ("dW1 += np.outer(x[i], d_h)", "dW1 += np.outer(x[i], h)")]


@pytest.mark.parametrize(("right", "wrong"), WRONG_LINES, ids=[wrong for _, wrong in WRONG_LINES])
def test_the_wrong_line_of_a_loop_over_samples(right: str, wrong: str) -> None:
    text = """
def by_hand(x, y, W1, W2):
    dW1, dW2 = np.zeros_like(W1), np.zeros_like(W2)
    for i in range(len(x)):
        h = sigmoid(x[i] @ W1)
        out = h @ W2
        d_out = (out - y[i]) / len(x)
        dW2 += np.outer(h, d_out)
        d_h = W2 @ d_out * h * (1 - h)
        dW1 += np.outer(x[i], d_h)
    return {"W1": dW1, "W2": dW2}
""".replace(right, wrong)
    file = f"<samples {wrong}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, Any] = {"np": np, "sigmoid": sigmoid}
    exec(compile(text, file, "exec"), space)
    rng = np.random.default_rng(0)
    values = {"x": rng.normal(size=(5, 3)), "y": rng.normal(size=(5, 2)), "W1": rng.normal(size=(3, 4)),
              "W2": rng.normal(size=(4, 2))}
    t = {k: ad.Tensor(v, requires_grad=k[0] == "W", name=k) for k, v in values.items()}
    loss = ((ad.sigmoid(t["x"] @ t["W1"]) @ t["W2"] - t["y"]) ** 2).sum() / 10
    reading = read(space["by_hand"], ad.Tape(loss), values)
    assert reading.first_wrong is not None
    assert reading.first_wrong.text == wrong, reading.sentence


def test_two_operands_in_each_others_place() -> None:
    a, b = np.ones((2, 2)), np.ones((2, 2))
    assert "A @ y + B @ x" in set(substitutions("A @ x + B @ y", [("A", a), ("B", b), ("x", a[0]), ("y", b[0])]))


def test_numbers_off_the_tape_are_not_moved() -> None:
    ridge, w = ad.Tensor(0.35, name="ridge"), ad.Tensor([1.0, 2.0], requires_grad=True, name="w")
    b = ad.Tensor(0.7, requires_grad=True, name="b")
    loss = 0.5 * ridge * (w @ w) + b * b * ridge
    moved = {r.name for r in other_values(ad.Tape(loss))}
    assert moved == {"w", "b"}
