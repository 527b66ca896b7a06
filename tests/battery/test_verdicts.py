"""Every derivation of the battery: no right one is called wrong, and every wrong one is. Run on one model with -k."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff as ad
from tests.battery.slips import PARTS, Case, cases

ALL = {f"{part} {case.name}": case for part in PARTS for case in cases(part)}
RIGHT = {name: case for name, case in ALL.items() if case.slip is None}
WRONG = {name: case for name, case in ALL.items() if case.slip is not None}
both = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def called_wrong(case: Case, seed: int, dtype: type) -> bool:
    loss, values = case.recorded(seed, dtype)
    return any(entry.verdict == "differs" for entry in ad.compare(loss, case.gradients(values), explain=False))


@both
@pytest.mark.parametrize("case", RIGHT.values(), ids=RIGHT)
def test_right_ones_are_not_called_wrong(case: Case, dtype: type) -> None:
    assert not any(called_wrong(case, seed, dtype) for seed in range(3))


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_wrong_ones_differ(case: Case) -> None:
    assert called_wrong(case, 0, np.float64)


@pytest.mark.slow
@both
@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_more_points(case: Case, dtype: type) -> None:
    for seed in range(3, 8):
        assert called_wrong(case, seed, dtype) == (case.slip is not None), f"seed {seed}"
