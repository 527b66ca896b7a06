"""The wrong line where a value is right, but not there: of another step, overwritten, taken off, in another order."""

import ast
import itertools
import linecache
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.checks.reading.arrangements import layouts, ranges, shares, sizes
from autodiff.checks.reading.findings import Reading
from autodiff.checks.reading.hooks import takes
from autodiff.checks.reading.moments import unread
from autodiff.checks.reading.reader import read
from autodiff.checks.reading.replacing import factors

numbers = itertools.count()


def reading_of(text: str, loss: Any, parameters: tuple[str, ...], **values: Any) -> Reading:
    """What reading a function says, given as text with the name `by_hand`."""
    file = f"<moments {next(numbers)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, Any] = {"np": np}
    exec(compile(text, file, "exec"), space)
    tensors = {k: ad.Tensor(v, requires_grad=k in parameters, name=k) for k, v in values.items()}
    return read(space["by_hand"], ad.Tape(loss(**tensors)), values, seconds=10)


RNG = np.random.default_rng(3)
SEQUENCE = {"x": RNG.normal(size=(5, 3)), "W": 0.5 * RNG.normal(size=(4, 3)), "U": 0.5 * RNG.normal(size=(4, 4)),
            "h0": RNG.normal(size=4)}


def recurrent(x: Any, W: Any, U: Any, h0: Any) -> Any:
    h = h0
    for t in range(5):
        h = np.tanh(W @ x[t] + U @ h) + 0.5 * h
    return (h * h).sum()


RECURRENT = """
def by_hand(x, W, U, h0):
    tape, h = [], h0
    for t in range(len(x)):
        a = np.tanh(W @ x[t] + U @ h)
        tape.append((x[t], h, a))
        h = a + 0.5 * h
    dW, dU, dh = np.zeros_like(W), np.zeros_like(U), 2 * h
    while tape:
        cache = tape.pop()
        xt, before, a = cache
        dz = dh * (1 - a ** 2)
        dW += np.outer(dz, xt)
        dU += np.outer(dz, before)
        back = 0.5 * dh
        back += U.T @ dz
        dh = back
    return {"W": dW, "U": dU, "h0": dh}
"""


@pytest.mark.parametrize(("right", "wrong", "quoted"), [
    ("        tape.append((x[t], h, a))\n        h = a + 0.5 * h\n",
     "        h = a + 0.5 * h\n        tape.append((x[t], h, a))\n", "tape.append((x[t], h, a))"),
    ("tape.pop()", "tape.pop(0)", "cache = tape.pop(0)"),
    ("back += U.T @ dz", "back = U.T @ dz", "back = U.T @ dz"),
    ("        dh = back\n", "", "back += U.T @ dz"),
])
def test_a_value_of_another_moment(right: str, wrong: str, quoted: str) -> None:
    assert right in RECURRENT
    assert reading_of(RECURRENT, recurrent, ("W", "U", "h0"), **SEQUENCE).first_wrong is None
    reading = reading_of(RECURRENT.replace(right, wrong), recurrent, ("W", "U", "h0"), **SEQUENCE)
    assert reading.first_wrong is not None and reading.first_wrong.text == quoted, reading.sentence


def test_words_that_come_twice_are_added_twice() -> None:
    E, ids = RNG.normal(size=(4, 3)), np.array([0, 2, 0, 1])
    text = """
def by_hand(E, ids):
    g = 2 * E[ids]
    dE = np.zeros_like(E)
    dE[ids] += g
    return {"E": dE}
"""
    reading = reading_of(text, lambda E, ids: (E[ids.data] ** 2).sum(), ("E",), E=E, ids=ids)
    assert reading.first_wrong is not None and reading.first_wrong.text == "dE[ids] += g"
    assert reading.expected == "np.add.at(dE, ids, g)"


LINE = {"x": RNG.normal(size=(6, 3)), "y": RNG.normal(size=6), "w": RNG.normal(size=3)}


def ridge(x: Any, y: Any, w: Any) -> Any:
    return ((x @ w - y) ** 2).sum() / 6 + 0.1 * (w * w).sum()


def test_a_part_that_is_taken_off() -> None:
    text = """
def by_hand(x, y, w):
    dw = x.T @ (x @ w - y) / 3
    dw -= 0.2 * w
    return {"w": dw}
"""
    reading = reading_of(text, ridge, ("w",), **LINE)
    assert reading.first_wrong is not None and reading.first_wrong.text == "dw -= 0.2 * w", reading.sentence


def test_what_reaches_the_right_loss_is_right() -> None:
    text = """
def by_hand(x, w):
    e = np.exp(-(x @ w))
    slope = -1 / (1 + e)
    return {"w": x.T @ slope, "loss": np.log1p(e).sum()}
"""
    reading = reading_of(text, lambda x, w: np.log(1 + np.exp(-(x @ w))).sum(), ("w",), x=LINE["x"], w=LINE["w"])
    assert reading.first_wrong is not None and reading.first_wrong.text == "slope = -1 / (1 + e)", reading.sentence


def test_the_line_within_a_function_that_is_called() -> None:
    text = """
def by_hand(x, y, w):
    def back(r):
        g = 2 * r
        return x.T @ g / 3, r.sum()
    dw, total = back(x @ w - y)
    dw = dw + 0.2 * w
    return {"w": dw}
"""
    reading = reading_of(text, ridge, ("w",), **LINE)
    assert reading.first_wrong is not None and reading.certain, reading.sentence
    assert reading.first_wrong.text in ("g = 2 * r", "return x.T @ g / 3, r.sum()"), reading.sentence


def test_other_arrangements() -> None:
    x = np.zeros((2, 3, 4))

    def of(text: str, changes: Any, *more: Any) -> set[str]:
        return set(changes(ast.parse(text, mode="eval").body, *more))

    assert "x.transpose(0, 2, 1).reshape(2, -1)" in of("x.reshape(2, -1)", layouts, [("x", x)])
    assert "f(x).reshape(3, 2).transpose(1, 0)" in of("f(x).reshape(2, 3)", layouts, [])
    assert "x.transpose(2, 1, 0)" in of("x.transpose(0, 1, 2)", layouts, [])
    assert of("len(a)", sizes, [("x", x), ("n", np.array(3))]) == {"len(x)"}
    assert "W[n:]" in of("W[:k]", ranges, {"n", "k"})
    assert of("e", shares, {"e": (3,)}) == {"e / e.sum()"}
    assert "e / e.sum(1, keepdims=True)" in of("e", shares, {"e": (3, 2)})
    assert [ast.unparse(n) for n in factors(ast.parse("-2 * f(3) / n", mode="eval").body)] == ["2", "f(3)", "n"]
    assert takes(ast.parse("a.pop(0)", mode="eval").body) and not takes(ast.parse("a.sum()", mode="eval").body)


def test_what_is_overwritten_unread() -> None:
    text = "a = x * 2\na = x * 3\nb = x\nb = b + 1\nc = 0\nc = x\nif x:\n    d = x\n    d = y * x\n"
    assert [ast.unparse(s) for s in unread(ast.parse(text))] == ["a = x * 3", "d = y * x"]
