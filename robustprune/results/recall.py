"""Sensitivity and specificity: with two classes, the share of each that is right, clean and in the worst case.

The second class is the one looked for (pneumonia): its recall is the sensitivity, that of the first the specificity.
"""

from __future__ import annotations

from collections.abc import Iterable

from robustprune.results.claims import CLEAN, WORST, right
from robustprune.results.records import CaseResult

SPECIFICITY, SENSITIVITY = "specificity", "sensitivity"
WORDS = {1: SENSITIVITY, 0: SPECIFICITY}
"""Number of a class of two -> what its recall is called, in the order of a table."""


def word(case: CaseResult, label: int) -> str | None:
    """Return what the recall of a class is called; None where there are not two classes."""
    return WORDS.get(label) if len(case.classes) == 2 else None


def measures(cases: Iterable[CaseResult]) -> list[tuple[str, int, str]]:
    """List the recalls that have a name in every case: title, number of the class, claim (`results.claims`)."""
    every = list(cases)
    if not every or any(word(case, 0) is None or {*case.labels} != {*WORDS} for case in every):
        return []
    claims = [CLEAN, *([WORST] if any(case.outcomes for case in every) else [])]
    return [(f"{what}, {claim}", label, claim) for label, what in WORDS.items() for claim in claims]


def recalled(case: CaseResult, label: int, claim: str) -> list[bool] | None:
    """Say for the samples of one class whether a claim holds; None where it was not measured."""
    row = right(case, claim)
    return None if row is None else [ok for ok, one in zip(row, case.labels, strict=True) if one == label]
