"""Every operation of the declared table printed, run and compared: as the tape takes it, and on paper."""

import numpy as np
import pytest

import autodiff as ad
from tests.table import TABLE

CASES = [pytest.param(case, id=case.name) for case in TABLE]


def total(case, dtype=np.float64):
    """A loss in which every element of the result has a weight of its own."""
    values = case.arrays(dtype)
    for i in case.wrt:
        values[i] = ad.Tensor(values[i], requires_grad=True, name=f"x{i}")
    y = case.f(np, *values)
    weights = np.random.default_rng(3).uniform(0.5, 1.5, np.shape(y))
    loss = (y * weights).sum()
    return loss


@pytest.mark.parametrize("case", CASES)
def test_every_operation_prints_and_runs(case):
    loss = total(case)
    assert ad.source(loss, simplify=False).checked == "to the last bit"
    assert ad.source(loss).checked in ("within rounding", "to the last bit")
