"""Functions given as text, as a person would have written them in a file, for the doctor to read."""

import itertools
import linecache
from typing import Any

import numpy as np

import autodiff as ad
from autodiff.checks.reading.findings import Reading
from autodiff.checks.report import Report

numbers = itertools.count()


def compared(text: str, loss: Any, parameters: tuple[str, ...], **values: Any) -> Report:
    """What the doctor says of a function, given as text with the name `by_hand`."""
    file = f"<written {next(numbers)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, Any] = {"np": np}
    exec(compile(text, file, "exec"), space)
    tensors = {k: ad.Tensor(v, requires_grad=k in parameters, name=k) for k, v in values.items()}
    return ad.compare(loss(**tensors), space["by_hand"], inputs=values)


def in_words(report: Report) -> Reading:
    assert report.reading is not None and not report.ok
    return report.reading
