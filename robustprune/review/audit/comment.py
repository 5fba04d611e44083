"""A review as a comment on a pull request: the verdict, the claims, what changed since the last one. No torch.

The first line is a mark that is not shown; by it a job finds its last comment and writes over it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from robustprune.report.markdown import NONE, inline, paragraph, pipe
from robustprune.results.claims import claims, named
from robustprune.results.words import percent, points_between
from robustprune.review.audit.change import Last, all_since
from robustprune.review.record import Review
from robustprune.review.shifts import shifts
from robustprune.review.summary import headline, subject

MARK = "<!-- robustprune review -->"
HEAD = ("claim", "parent", "candidate", "change", "verdict")
SINCE = "since the last review"
SHOWN = 6
"""Longer lists of reasons are cut; the bundle has them whole."""


def comment(review: Review, last: Last | None = None, seal: str = "") -> str:
    """Write the comment; `last` is the review before, `seal` the sha256 of the bundle's manifest."""
    head = [*HEAD, *([SINCE] if last else [])]
    lines = [f"### robustprune: {headline(review)}", "", f"{paragraph(subject(review))}.", ""]
    lines += [pipe(head, _rows(review, last), padded=False), ""]
    lines += [*(f"- {inline(line)}" for line in _others(review)), ""]
    if last is not None:
        lines += [f"The last review, of {inline(last.made)}, said {inline(last.verdict)}.", ""]
    if seal:
        lines += [f"Evidence bundle: sha256 of its manifest `{seal}`."]
    text = re.sub("\n{3,}", "\n\n", "\n".join([MARK, *map(_calling_nobody, lines)]))
    return f"{text.rstrip()}\n"


def _calling_nobody(line: str) -> str:
    """Write a line so that no name in it calls a person or points at an issue, as @name and #1 would.

    >>> _calling_nobody("@team, #1")
    '@&#8203;team, #&#8203;1'
    """
    return re.sub(r"@(?=\w)|(?<!&)#(?=\d)", r"\g<0>&#8203;", line)


def _rows(review: Review, last: Last | None) -> Iterator[list[str]]:
    confidence = review.policy.confidence
    moved = all_since(review.candidate, last, confidence) if last is not None else {}
    found = {shift.claim: shift for shift in shifts(review.candidate, review.parent, confidence)}
    for claim in claims(review.candidate):
        shift, finding = found.get(claim), review.verdict.finding(named(claim))
        row = [named(claim), NONE, NONE, NONE]
        if shift is not None:
            change = f"{points_between(shift.difference, shift.low, shift.high)} points"
            row[1:] = percent(shift.before), percent(shift.now), change
        yield [*row, finding.verdict if finding else NONE, *([moved[claim]] if last else [])]


def _others(review: Review) -> Iterator[str]:
    """Yield why the verdict is not PASS, where the table does not show it: classes, floors, evidence."""
    shown = {named(claim) for claim in claims(review.candidate)}
    found = [one for one in review.verdict.findings if one.verdict != "PASS" and one.measure not in shown]
    yield from (f"{one.verdict}: {one.text}" for one in found[:SHOWN])
    if len(found) > SHOWN:
        yield f"and {len(found) - SHOWN} more, in the bundle"
