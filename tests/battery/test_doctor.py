"""What the doctor says of the battery: floors. The figures for all of it stand in docs/where-is-my-mistake.md."""

from __future__ import annotations

import time

import numpy as np
import pytest

import autodiff as ad
from tests.battery.rates import rates, wrong_cases

SAMPLE = 30              # one case in so many


@pytest.mark.parametrize(("part", "as_function", "kind", "listed"), [
    ("dev", True, 0.85, 0.9), ("dev", False, 0.7, 0.7), ("dev2", True, 0.8, 0.85), ("dev3", True, 0.8, 0.85),
    ("dev4", True, 0.85, 0.9), ("dev5", True, 0.7, 0.8), ("dev6", True, 0.7, 0.75), ("held", True, 0.8, 0.8),
    ("blind", True, 0.8, 0.85), ("blind", False, 0.6, 0.6)])
def test_a_sample_of_the_battery(part: str, as_function: bool, kind: float, listed: float) -> None:
    total, seconds = rates(wrong_cases(part, SAMPLE), as_function)
    assert total["right kind first"] >= kind * total["n"]
    assert total["right kind in the list"] >= listed * total["n"]
    assert total["confidently wrong"] <= 1 + 0.2 * total["n"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("part", "kind", "line", "sure"), [
    ("dev", 0.9, 0.9, 0.02), ("dev2", 0.9, 0.86, 0.02), ("dev3", 0.9, 0.88, 0.02), ("dev4", 0.92, 0.88, 0.02),
    ("dev5", 0.9, 0.86, 0.02), ("dev6", 0.8, 0.8, 0.05), ("held", 0.88, 0.9, 0.03), ("blind", 0.88, 0.86, 0.02)])
def test_the_whole_battery(part: str, kind: float, line: float, sure: float, dtype: type) -> None:
    total, seconds = rates(wrong_cases(part), True, 0, dtype)
    assert total["right kind first"] >= kind * total["n"]
    assert total["wrong line quoted"] >= line * total["n"]
    assert total["confidently wrong"] <= sure * total["n"]


def test_a_deep_and_wide_net_is_diagnosed_in_time() -> None:
    rng = np.random.default_rng(0)
    depth, width = 28, 256
    x, y = rng.normal(size=(32, width)), rng.normal(size=(32, width))
    W = [ad.Tensor(rng.normal(size=(width, width)) / 16, True, name=f"W{i}") for i in range(depth)]
    b = [ad.Tensor(rng.normal(size=width) / 10, True, name=f"b{i}") for i in range(depth)]
    a = [ad.Tensor(x)]
    for i in range(depth):
        a.append(np.tanh(a[-1] @ W[i].T + b[i]))
    loss = ((a[-1] - y) ** 2).mean()
    assert len(ad.Tape(loss)) > 85
    yours, d = {}, 2 * (a[-1].data - y) / y.size
    for i in reversed(range(depth)):
        dz = d if i == 10 else d * (1 - a[i + 1].data ** 2)         # tanh' forgotten once
        yours |= {f"W{i}": dz.T @ a[i].data, f"b{i}": dz.sum(0)}
        d = dz @ W[i].data
    started = time.perf_counter()
    ad.compare(loss, yours, explain=False)
    verdict = time.perf_counter() - started
    started = time.perf_counter()
    report = ad.compare(loss, yours)
    assert report.explanations[0].kind == "missing-local-derivative"
    assert time.perf_counter() - started - verdict < 4              # 0.1 s to 1 s on a free machine
