"""The table beside what PyTorch and JAX answered when `record.py` was run; neither is needed here.

A line that is new, or whose arguments have changed, has no recording to be compared with: it is counted, not an error.
A line that now means something else fails: then run `python tests/oracles/record.py` (its first lines say where).
"""

import json
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad
from tests.oracles import record
from tests.table import TABLE, gradients_or_zeros, recorded, weight

HERE = Path(__file__).parent
LINES = {case.name: case for case in TABLE}
RECORDINGS = {name: json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")) for name in ("torch", "jax")}
AT_LEAST = {"torch": 500, "jax": 500}

# Where a library answers something else on purpose, and why.
CONVENTIONS = {
    ("torch", "index_update_rows"): "a row written twice holds the last value; theirs gives both a gradient",
}


def current(oracle):
    """The lines recorded with the arguments they have today."""
    known = RECORDINGS[oracle]["lines"]
    return [name for name, case in LINES.items()
            if name in known and known[name][0] == pytest.approx(record.fingerprint(case), rel=1e-13)]


PAIRS = [(oracle, name) for oracle in RECORDINGS for name in current(oracle)]


def ours(case):
    """Value, gradient of the weighted sum, and its derivative along the directions: as `record.py` asks for them."""
    xs = case.arrays()
    loss, ts, y = recorded(case, xs)
    first = ad.gradients(loss, ts, record=True)
    total = sum((g * v).sum() for g, v in zip(first, record.directions(case, xs)))
    return y.numpy(), [g.numpy() for g in first], gradients_or_zeros(total, ts)


@pytest.mark.parametrize(("oracle", "name"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_answers_are_those_recorded(oracle, name):
    case = LINES[name]
    _, shape, value, first, second = RECORDINGS[oracle]["lines"][name]
    y, gs, hs = ours(case)
    assert list(y.shape) == shape
    exact = 1e-6 if "rounds" in case.tags else max(1e-11, 10 * case.rtol)
    for what, found, expected in [("value", [y], [value]), ("gradient", gs, first), ("second derivative", hs, second)]:
        for i, (a, p) in enumerate(zip(found, expected, strict=True)):
            error = abs(record.projected(a) - p) / max(record.projected(a, scale=True), 1e-3)
            if error > exact and (oracle, name) in CONVENTIONS:
                return
            assert error <= exact, f"{what} {i} is not what {oracle} answered: relative difference {error:.1e}\n{a}"
    assert (oracle, name) not in CONVENTIONS, "no difference any more"


@pytest.mark.parametrize("oracle", RECORDINGS)
def test_how_much_is_covered(oracle, capsys):
    covered, refused = set(current(oracle)), RECORDINGS[oracle]["not expressed"]
    new = [name for name in LINES if name not in covered and name not in refused]
    with capsys.disabled():
        print(f" {oracle}: {len(covered)} of {len(LINES)} lines, {len(refused)} not expressed, {len(new)} new ", end="")
    assert len(covered) >= AT_LEAST[oracle]
    assert all(refused.values())
    assert all(name in covered for pair, name in CONVENTIONS if pair == oracle)


def test_a_number_per_array_notices_every_element():
    a = np.random.default_rng(0).normal(size=(3, 4))
    for index in np.ndindex(a.shape):
        b = a.copy()
        b[index] += 1e-9
        assert abs(record.projected(a) - record.projected(b)) > 1e-11 * record.projected(a, scale=True)
    assert record.projected(a) != record.projected(a.T)
    assert record.projected(np.zeros((0, 3))) == 0


def test_a_wrong_rule_is_noticed():
    """The recording, not the table, decides: a line whose f computes something else does not pass."""
    case = LINES["tanh"]
    value = RECORDINGS["torch"]["lines"]["tanh"][2]
    slip = np.tanh(case.arrays()[0]) * (1 + 1e-9)
    assert abs(record.projected(slip) - value) > 1e-11 * record.projected(slip, scale=True)


def test_the_recordings_say_what_made_them():
    for oracle, recording in RECORDINGS.items():
        assert {"python", "numpy", oracle} <= set(recording["made with"])
        assert (HERE / f"{oracle}.json").stat().st_size < 150_000


def test_weights_depend_on_shapes_alone():
    assert np.array_equal(weight(np.ones((2, 3))), weight(np.zeros((2, 3))))
