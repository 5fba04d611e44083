"""What became of a candidate since the last review: claim by claim, from the outcomes in the last bundle. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robustprune import results
from robustprune.errors import InputError
from robustprune.policy.settings import unlike
from robustprune.results.claims import claims, right, share
from robustprune.results.records import CaseResult
from robustprune.results.statistics import paired
from robustprune.results.words import percent, points, points_between
from robustprune.review.files import CASES, VERDICT, plain, read
from robustprune.review.verify import verify


@dataclass(frozen=True, kw_only=True)
class Last:
    """The last review: its candidate, what was said of it, and when."""

    candidate: CaseResult
    verdict: str
    made: str


def last(folder: Path) -> Last:
    """Read a bundle that was written before. InputError where it is none, or does not hold."""
    said = read(folder / VERDICT)
    _sound(folder)
    try:
        cases = {case.case: case for case in results.load(folder / CASES)}
        candidate = cases[said["candidate"]["case"]]
        return Last(candidate=candidate, verdict=str(said["verdict"]), made=str(said["made"]))
    except (LookupError, TypeError, InputError) as error:
        raise InputError(f"{folder}: no bundle of a review before ({type(error).__name__}: {error})") from None


def _sound(folder: Path) -> None:
    """Refuse a bundle that is not as it was written: what it says of the last review would be repeated."""
    if not (plain(folder / VERDICT) and plain(folder / CASES)):
        raise InputError(f"{folder}: no bundle of a review before: it has no {VERDICT} and {CASES}")
    problem = next(iter(verify(folder).problems), None)
    if problem is not None:
        raise InputError(f"{folder}: the bundle of the review before does not hold: {problem}; see `verify`")


def since(now: CaseResult, before: Last, claim: str, confidence: float = 0.95) -> str:
    """Write what became of one claim; the interval is over the samples, so it needs the same ones."""
    row, old = right(now, claim), right(before.candidate, claim)
    if row is None or old is None:
        return "not measured before" if old is None else "not measured now"
    reason = unlike(now, before.candidate, claim)
    if reason:
        return f"cannot be compared: {reason}"
    if now.sample_hash != before.candidate.sample_hash or len(row) != len(old):
        return f"{percent(share(old))} before, on other samples ({points(share(row) - share(old))} points)"
    if row == old and now.weights_hash == before.candidate.weights_hash != "":
        return "unchanged, the same weights"
    pair = paired(old, row, confidence)
    return f"{points_between(pair.difference, pair.low, pair.high)} points"


def all_since(now: CaseResult, before: Last, confidence: float = 0.95) -> dict[str, str]:
    """Write what became of every claim that was measured now."""
    return {claim: since(now, before, claim, confidence) for claim in claims(now)}
