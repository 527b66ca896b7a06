"""What was changed in a line, by its numbers alone."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff as ad
from autodiff.checks.reading.known import Knowledge
from autodiff.checks.reading.measured import measured
from autodiff.checks.reading.reader import read

RNG = np.random.default_rng(3)
X, C, D = RNG.normal(size=(5, 4)), RNG.normal(size=(5, 4)), RNG.normal(size=(5, 4))
A = np.tanh(X)
DA = 2 * A * C + np.exp(A) * D
DX = DA * (1 - A ** 2)


def forward():
    x = ad.Tensor(X, requires_grad=True, name="x")
    a = np.tanh(x)
    return (a ** 2 * C + np.exp(a) * D).sum()


@pytest.mark.parametrize(("yours", "wanted", "word"), [
    (2 * A * C, DA, "term"),
    (DA, DX, "derivative"),
    (DX, DA, "extra derivative"),
    (0.3 * X ** 2, X, "power"),
    (DA * (A > 0), DA, "path"),
    (DA[::-1], DA, "layout of blocks"),
    (DA.T, DA, "layout of blocks"),
    # what says nothing: the same, other numbers, too few of them, none
    (DA, DA, ""),
    (RNG.normal(size=(5, 4)), DA, ""),
    (DA + np.eye(5, 4)[:, :1] * [1, 0, 0, 0], DA, ""),
    (np.full((5, 4), np.nan), DA, ""),
    (DA.sum(0), DA, ""),
    (np.zeros(0), np.zeros(0), ""),
])
def test_by_the_numbers(yours, wanted, word):
    assert measured(yours, wanted, Knowledge(ad.Tape(forward()))) == word


def test_numbers_where_nobody_can_write_the_line():
    """What belongs in a line is known, but none of their names makes it."""
    def by_hand(x):
        a = np.tanh(x)
        da = 2 * a * C
        return {"x": da * (1 - a ** 2)}

    loss = forward()
    reading = read(by_hand, ad.Tape(loss))
    assert reading.expected or reading.measured == "term", reading
    report = ad.compare(loss, by_hand)
    assert {e.kind for first in report.explanations[:1] for e in (first, *first.members)} & {
        "dropped-path", "missing-term"}
