"""What a report says beneath its table, one part after another; a new part is a line here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustprune.report import attackers, ships, texts, voters
from robustprune.report.markdown import Part
from robustprune.results.records import CaseResult


def parts(cases: Sequence[CaseResult]) -> Iterator[Part]:
    """Yield the parts that these results have something for."""
    for told in (ships, attackers, texts, voters):
        yield from told.parts(cases)
