"""Every derivation of the battery: right ones agree, wrong ones do not. Run on one model with -k."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff as ad
from tests.battery.slips import Case, cases

ALL = [*cases("blind"), *cases("dev")]


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_the_verdict(case: Case, dtype: type) -> None:
    for seed in range(3):
        loss, values = case.recorded(seed, dtype)
        report = ad.compare(loss, case.gradients(values))
        assert report.ok == (case.slip is None), f"seed {seed}\n{report}"
