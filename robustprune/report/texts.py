"""Texts in place of pictures: what was written, which words were exchanged, and what the network made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustprune.report.markdown import Part
from robustprune.results.exchanged import exchanged
from robustprune.results.records import CaseResult

TITLE = "Texts that exchanged words broke"

ABOUT = (
    "One text a network, right before and wrong after: [word -> what stands for it]. Exchanges are of words that are "
    "used alike by the network's own word vectors; whether a text still says the same is for its reader to judge."
)


def parts(cases: Sequence[CaseResult]) -> Iterator[Part]:
    """Yield the texts; nothing where no words were exchanged."""
    found = [(case, texts[0]) for case in cases if (texts := exchanged(case))]
    if found:
        rows = [
            {"network": case.case, "true class": one.label, "taken for": one.taken_for, "text": one.marked()}
            for case, one in found
        ]
        yield TITLE, (ABOUT,), rows
