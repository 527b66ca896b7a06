"""The labels of the part for tuning: one for each slip, in words that exist, and every kind in several models."""

from __future__ import annotations

import collections
from types import ModuleType

import numpy as np
import pytest

import autodiff as ad
from tests.battery.labels import LABELS
from tests.battery.slips import PARTS, Case, models

OURS = [part for part in PARTS if part != "blind"]
MODELS = [model for part in OURS for model in models(part)]
KINDS = {"sign", "scale", "missing-local-derivative", "wrong-argument", "wrong-local-rule", "double-derivative",
         "missing-transpose", "transposed-result", "dropped-path", "overwritten-accumulation", "treated-as-constant",
         "missing-broadcast-reduction", "wrong-axis", "softmax-diagonal", "stale-value", "swapped", "missing-term",
         "extra-term", "wrong-operand", "scatter", "two"}


def name(model: ModuleType) -> str:
    return model.__name__.rpartition(".")[2]


@pytest.mark.parametrize("part", PARTS)
def test_every_slip_has_a_name_of_its_own_and_a_label(part: str) -> None:
    slips = [(name(model), slip.name) for model in models(part) for slip in model.SLIPS]
    assert len(slips) == len(set(slips))
    assert set(slips) == set(LABELS[part])
    assert {kind for label in LABELS[part].values() for kind in label.kinds} <= KINDS


@pytest.mark.parametrize("model", MODELS, ids=name)
def test_places_are_on_the_tape(model: ModuleType) -> None:
    loss, leaves = Case(model, model.RIGHT[0], None).recorded()
    records = ad.Tape(loss).all
    tensors = {r.name for r in records if r.name} | set(leaves)
    known = tensors | {f"d{t}" for t in tensors} | {r.op.name for r in records if r.op}
    for (of, slip), label in LABELS[model.__name__.split(".")[-2]].items():
        if of == name(model):
            assert label.places
            assert set(label.places) <= known, (slip, set(label.places) - known)


def test_every_kind_is_known_and_occurs_first_or_alone_in_two_models() -> None:
    labels = [(key, label) for part in OURS for key, label in LABELS[part].items()]
    assert {kind for _, label in labels for kind in label.kinds} == KINDS
    where = collections.defaultdict(set)
    for (model, _), label in labels:
        where[label.kinds[0]].add(model)
    assert {kind for kind in KINDS if len(where[kind]) < 2} == set()


@pytest.mark.parametrize("model", MODELS, ids=name)
def test_every_right_derivation_can_be_given_as_a_function(model: ModuleType) -> None:
    for right in model.RIGHT:
        loss, values = Case(model, right, None).recorded(1, np.float64)
        assert ad.compare(loss, right, inputs=values).ok, right.__name__
