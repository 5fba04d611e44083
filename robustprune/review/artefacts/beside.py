"""What stands beside what ships in a review: its float twin on the same samples, and how fast each runs. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robustprune.results.claims import CLEAN, WORST, named, title
from robustprune.results.records import CaseResult, load
from robustprune.results.speeds import Speeds, speeds_from
from robustprune.results.words import between, percent, points, points_between
from robustprune.review.shifts import Shift, shifts, transfer

GAIN = 0.002
"""By so much more than its float twin what ships may resist before the review has to say why."""

HEAD = ("", "parent", "float twin", "what ships", "change from the parent", "what the file alone changes")


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The float twin as it was measured (None: none was given), and the times of what ships beside PyTorch's."""

    twin: CaseResult | None = None
    speeds: Speeds | None = None

    def alone(self, candidate: CaseResult, confidence: float) -> tuple[Shift, ...]:
        """Return what changed from the twin to what ships, sample by sample; nothing where there is no twin.

        Images made on others are left out: to what ships its twin is one of these others.
        """
        moved = {title(one) for one in candidate.outcomes if one.transferred}
        found = () if self.twin is None else shifts(candidate, self.twin, confidence)
        return tuple(one for one in found if one.claim not in moved)


def beside_record(beside: Beside, candidate: CaseResult, confidence: float) -> dict[str, Any]:
    """Return it as the part `artefact` of verdict.json."""
    alone = beside.alone(candidate, confidence)
    plain = [{**asdict(one), "broken": [*one.broken], "fixed": [*one.fixed]} for one in alone]
    return {
        "twin": None if beside.twin is None else {"case": beside.twin.case, "weights_hash": beside.twin.weights_hash},
        "alone": plain,
        "speeds": None if beside.speeds is None else asdict(beside.speeds),
    }


def beside_of(cases: Path, written: Mapping[str, Any]) -> Beside | None:
    """Rebuild it from verdict.json and the cases of a bundle; None where the candidate is no file that ships."""
    if "artefact" not in written:
        return None
    twin, found = written["artefact"]["twin"], written["artefact"]["speeds"]
    named = {case.case: case for case in load(cases)}
    return Beside(
        twin=None if twin is None else named[twin["case"]], speeds=None if found is None else speeds_from(found)
    )


def wide_rows(
    rows: Sequence[tuple[str, str, str, str]], beside: Beside, candidate: CaseResult, confidence: float
) -> list[tuple[str, ...]]:
    """Return the rows of a review's table with the twin beside the parent, and what the file alone changes."""
    alone = {named(one.claim): one for one in beside.alone(candidate, confidence)}
    wide: list[tuple[str, ...]] = [HEAD]
    for name, before, now, change in rows[1:]:
        one = alone.get(name)
        old, lost = ("", "") if one is None else (percent(one.before), _points(one))
        wide.append((name, before, old, now, change, lost))
    return wide


def _points(one: Shift) -> str:
    return f"{points_between(one.difference, one.low, one.high)} points"


def alone_lines(beside: Beside, candidate: CaseResult, confidence: float) -> Iterator[str]:
    """Say what the file alone loses, and why it resists more than its twin where it does."""
    if beside.twin is None:
        yield "no float twin was given: only queries attacked the file, and what it alone loses is not known"
    for one in beside.alone(candidate, confidence):
        if one.claim in (CLEAN, WORST):
            yield (
                f"{named(one.claim)}: {points(one.difference)} points beside the float twin; the file alone loses "
                f"{len(one.broken)} of {one.n} samples and wins {len(one.fixed)}"
            )
        if one.claim == WORST and one.difference > GAIN:
            yield _why(one)
    for outcome in candidate.outcomes:
        if outcome.transferred:
            found = transfer(outcome, confidence)
            makers = "the parent alone" if beside.twin is None else "parent and twin"
            robust = between(found.robust, found.low, found.high)
            yield f"{title(outcome)}, made on {makers}: {found.fooled} of {found.right} fooled, {robust} robust"
    if beside.speeds is not None:
        yield from beside.speeds.lines


def _why(one: Shift) -> str:
    """Say why a file resists more than its twin: chance at the border, or gradients that its rounding hides."""
    chance = "which chance explains" if one.low <= 0 else "more than chance explains"
    return (
        f"{named(one.claim)}: above its twin's, {chance} (p {one.p:.2g}): rounding moves samples at the border either "
        "way, and hides slopes; checks 8 and 16 say whether gradients lead, and whether queries broke what they left"
    )
