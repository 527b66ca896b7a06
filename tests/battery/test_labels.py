"""The labels of the part for tuning: one for each slip, in words that exist, and every kind in several models."""

from __future__ import annotations

import collections
from types import ModuleType

import numpy as np
import pytest

import autodiff as ad
from tests.battery.labels import BLIND
from tests.battery.labels import DEV as LABELS
from tests.battery.slips import Case, models

DEV = models("dev")
KINDS = {"sign", "scale", "missing-local-derivative", "wrong-argument", "wrong-local-rule", "double-derivative",
         "missing-transpose", "transposed-result", "dropped-path", "overwritten-accumulation", "treated-as-constant",
         "missing-broadcast-reduction", "wrong-axis", "softmax-diagonal", "stale-value", "swapped", "missing-term",
         "extra-term", "wrong-operand", "scatter", "two"}


def name(model: ModuleType) -> str:
    return model.__name__.rpartition(".")[2]


def test_every_slip_has_a_name_of_its_own_and_a_label() -> None:
    slips = [(name(model), slip.name) for model in DEV for slip in model.SLIPS]
    assert len(slips) == len(set(slips))
    assert set(slips) == set(LABELS)


def test_the_part_set_aside_has_labels_too() -> None:
    slips = {(name(model), slip.name) for model in models("blind") for slip in model.SLIPS}
    assert slips == set(BLIND) and {kind for label in BLIND.values() for kind in label.kinds} <= KINDS


@pytest.mark.parametrize("model", DEV, ids=name)
def test_places_are_on_the_tape(model: ModuleType) -> None:
    loss, leaves = Case(model, model.RIGHT[0], None).recorded()
    records = ad.Tape(loss).all
    tensors = {r.name for r in records if r.name} | set(leaves)
    known = tensors | {f"d{t}" for t in tensors} | {r.op.name for r in records if r.op}
    for (of, slip), label in LABELS.items():
        if of == name(model):
            assert label.places
            assert set(label.places) <= known, (slip, set(label.places) - known)


def test_every_kind_is_known_and_occurs_first_or_alone_in_two_models() -> None:
    assert {kind for label in LABELS.values() for kind in label.kinds} == KINDS
    where = collections.defaultdict(set)
    for (model, _), label in LABELS.items():
        where[label.kinds[0]].add(model)
    assert {kind for kind in KINDS if len(where[kind]) < 2} == set()


@pytest.mark.parametrize("model", DEV, ids=name)
def test_every_right_derivation_can_be_given_as_a_function(model: ModuleType) -> None:
    for right in model.RIGHT:
        loss, _ = Case(model, right, None).recorded(1, np.float64)
        assert ad.compare(loss, right).ok, right.__name__
