"""Which answers a fair and strict reader accepts, for each slip of the battery."""

from __future__ import annotations

from tests.battery.labels import blind_first, blind_second, dev_first, dev_second, dev_third
from tests.battery.slips import Label, models

Labels = dict[tuple[str, str], Label]


def beside(part: str) -> Labels:
    """The labels that stand with the slips of a part."""
    return {(model.__name__.rpartition(".")[2], slip.name): slip.label for model in models(part) for slip in model.SLIPS
            if slip.label is not None}


LABELS: dict[str, Labels] = {
    "blind": {**blind_first.LABELS, **blind_second.LABELS},
    "dev": {**dev_first.LABELS, **dev_second.LABELS, **dev_third.LABELS},
    "dev2": beside("dev2"),
    "dev3": beside("dev3"),
    "dev4": beside("dev4"),
    "dev5": beside("dev5"),
    "dev6": beside("dev6"),
    "held": beside("held"),
}
