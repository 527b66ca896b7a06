"""Every derivation of the battery: right ones agree, wrong ones do not. Run on one model with -k."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff as ad
from tests.battery.slips import Case, cases

ALL = {f"{part} {case.name}": case for part in ("blind", "dev") for case in cases(part)}
RIGHT = {name: case for name, case in ALL.items() if case.slip is None}
WRONG = {name: case for name, case in ALL.items() if case.slip is not None}
both = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def agrees(case: Case, seed: int, dtype: type) -> bool:
    loss, values = case.recorded(seed, dtype)
    return ad.compare(loss, case.gradients(values), explain=False).ok


@both
@pytest.mark.parametrize("case", RIGHT.values(), ids=RIGHT)
def test_right_ones_agree(case: Case, dtype: type) -> None:
    assert all(agrees(case, seed, dtype) for seed in range(3))


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_wrong_ones_differ(case: Case) -> None:
    assert not agrees(case, 0, np.float64)


@pytest.mark.slow
@both
@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_more_points(case: Case, dtype: type) -> None:
    for seed in range(3, 8):
        assert agrees(case, seed, dtype) == (case.slip is None), f"seed {seed}"
