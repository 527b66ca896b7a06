"""What was changed in a line, by its numbers: of a line that nobody can write right the right values may be known.

The words are those of `line_kinds.KINDS`. A term is missing if the difference is a quantity of the tape, a factor if
the quotient is one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from autodiff.checks.reading.known import Knowledge
from autodiff.checks.reading.quantities import COTANGENT, INNER, LOCAL, STEP, VALUE

FEWEST = 3                 # numbers that must differ
NOISE = 1e-9               # what is nothing, relative to the largest
EXACT = 1e-6               # by how much a factor may be off
CONTRIBUTIONS = {COTANGENT, STEP, INNER}         # what is added up
FACTORS = {VALUE, LOCAL}                         # what is multiplied by


def measured(yours: Any, wanted: Any, knowledge: Knowledge) -> str:
    """What was changed from the values that are wanted to theirs; "" if their numbers do not tell.

    Parameters
    ----------
    yours, wanted : array
        Of one line, the first time that it is wrong.
    knowledge : Knowledge
        What the tape knows.
    """
    yours, wanted = (np.asarray(x, np.float64) for x in (yours, wanted))
    if yours.size != wanted.size or yours.size < FEWEST or not np.all(np.isfinite(yours)):
        return ""
    wanted = wanted.reshape(yours.shape)
    missing = wanted - yours
    nothing = NOISE * np.max(np.abs(wanted))
    differs = np.abs(missing) > nothing
    if np.sum(differs) < FEWEST:
        return ""
    if np.all(np.abs(np.sort(yours, None) - np.sort(wanted, None)) <= nothing):
        return "layout of blocks"
    if not np.all(differs) and np.all(yours[differs] == 0):
        return "path"                                            # right where it is something
    if any(abs(abs(factor) - 1) < EXACT for factor in known(missing, knowledge, CONTRIBUTIONS)):
        return "term"
    if np.all(np.abs(yours) > nothing) and known(wanted / yours, knowledge, FACTORS):
        return "derivative"
    if np.all(np.abs(wanted) > nothing) and known(yours / wanted, knowledge, FACTORS):
        share = yours / wanted ** 2                              # x ** 2 for x
        return "power" if np.ptp(share) <= EXACT * np.max(np.abs(share)) else "extra derivative"
    return ""


def known(value: Any, knowledge: Knowledge, kinds: Collection[str]) -> list[float]:
    """How many times a quantity of some kinds this is, for each that it is a multiple of."""
    return [match.factor for match in knowledge.matches(value) if match.known.kind in kinds]
