"""How often the doctor is right, on the battery: ``python -m tests.battery.rates blind`` prints the figures."""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

import autodiff as ad
from autodiff.checks.report import Report
from tests.battery.labels import LABELS
from tests.battery.slips import PARTS, Case, Label, cases

FAILED = "the search for the mistake failed"
KEYS = ("right kind first", "kind and place in the first class", "kind and place in the list", "right kind in the list",
        "nothing", "confidently wrong", "wrong line quoted", "wrong line among those named")


def label_of(case: Case) -> Label:
    """The label of a wrong case."""
    assert case.slip is not None
    _, part, model = case.model.__name__.rsplit(".", 2)
    return LABELS[part][model, case.slip.name]


def wrong_cases(part: str, step: int = 1) -> Iterator[Case]:
    """The wrong derivations of a part that a kind exists for, or one in `step` of them."""
    wrong = [case for case in cases(part) if case.slip is not None and label_of(case).kinds]
    yield from wrong[::step]


def outcome(case: Case, as_function: bool, seed: int = 0, dtype: Any = np.float64) -> tuple[dict[str, bool], Report]:
    """What the doctor says of a wrong derivation, and whether that is right."""
    label = label_of(case)
    loss, values = case.recorded(seed, dtype)
    report = ad.compare(loss, case.function, inputs=values) if as_function else ad.compare(loss, case.gradients(values))
    assert not report.ok and FAILED not in report.diagnosis, report.diagnosis
    first = [member for e in report.explanations[:1] for member in (e, *e.members)]
    everything = [member for e in report.explanations for member in (e, *e.members)]

    def fits(explanation: Any, place: bool) -> bool:
        named = {name for p in explanation.places for of in (p.tensor, p.operand) for name in (p.op, of, f"d{of}")}
        return explanation.kind in label.kinds and (not place or bool(named & set(label.places)))

    listed = any(fits(e, False) for e in everything)
    sure = bool(first) and first[0].confidence == "is"
    named = [line.text for line in (report.reading.first_wrong, *report.reading.others) if line is not None] \
        if report.reading is not None else []
    return {
        "right kind first": bool(first) and fits(first[0], False),
        "kind and place in the first class": any(fits(e, True) for e in first),
        "kind and place in the list": any(fits(e, True) for e in everything),
        "right kind in the list": listed,
        "nothing": not first,
        "confidently wrong": sure and not listed,
        "wrong line quoted": bool(named) and quoted(case, named[0]),
        "wrong line among those named": any(quoted(case, text) for text in named),
    }, report


def quoted(case: Case, text: str) -> bool:
    """Whether a quoted line is one that was changed; of a line left out, the next that uses what it made, or any."""
    assert case.slip is not None
    written = [line for line in case.wrong_lines if line not in ("", "pass")]
    if not written:
        made = {right.split("=")[0].strip(" +-*/") for right, _ in case.slip.changes}
        return any(name.split("[")[0] in text for name in made)
    return any(text.strip() in line or line in text for line in written)


def rates(chosen: Iterable[Case], as_function: bool, seed: int = 0,
          dtype: Any = np.float64) -> tuple[Counter[str], list[float]]:
    """How often each outcome, and how long each took."""
    total: Counter[str] = Counter()
    seconds = []
    for case in chosen:
        started = time.perf_counter()
        found, _ = outcome(case, as_function, seed, dtype)
        seconds.append(time.perf_counter() - started)
        total.update({key: int(value) for key, value in found.items()}, n=1)
    return total, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--functions", action="store_true", help="give the functions, not the arrays they return")
    parser.add_argument("--dtype", default="float64", choices=["float32", "float64"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--step", type=int, default=1, help="take one case in so many")
    given = parser.parse_args()
    total, seconds = rates(wrong_cases(given.part, given.step), given.functions, given.seed, np.dtype(given.dtype).type)
    n = total["n"]
    for key in KEYS:
        print(f"{key:<36} {total[key]:>4} of {n}  {100 * total[key] / n:5.1f} %")
    print(f"seconds: median {statistics.median(seconds):.3f}, worst {max(seconds):.2f}")


if __name__ == "__main__":
    main()
