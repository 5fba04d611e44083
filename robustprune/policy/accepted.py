"""What was accepted although the policy does not pass it, and whether a verdict of today is covered by that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from robustprune.policy.findings import ORDER, Decision, Verdict
from robustprune.results.records import Accepted


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """A case before the suite's own policy: `verdict` is what a test says, `line` why."""

    verdict: Decision
    line: str


def acceptance(verdicts: Iterable[Verdict], *, who: str, when: str, why: str) -> list[Accepted]:
    """Write down every verdict that is not PASS."""
    return [
        Accepted(case=one.case, verdict=one.verdict, reasons=one.reasons, who=who, when=when, why=why)
        for one in verdicts
        if one.verdict != "PASS"
    ]


def ruling(verdict: Verdict, accepted: Sequence[Accepted], approved: bool) -> Ruling:
    """Hold a verdict against what was accepted when the baseline was made.

    What was accepted passes while it is no worse. A FAIL where INCONCLUSIVE was accepted stays undecided: the limit
    lies within the noise, and what truly became weaker fails by its own claim. Where nothing was approved yet it
    stands as it is.
    """
    said = f"{verdict.case}: {verdict.verdict} by the suite's policy: {'; '.join(verdict.reasons)}"
    if verdict.verdict == "PASS":
        return Ruling(verdict="PASS", line=said)
    known = next((one for one in accepted if one.case == verdict.case), None)
    if known is None:
        hint = "it PASSed when it was approved" if approved else "never approved"
        return Ruling(verdict=verdict.verdict, line=f"{said}; {hint}")
    line = f"{said}; {known.verdict} was accepted by {known.who} on {known.when}: {known.why or 'no reason given'}"
    if ORDER.index(verdict.verdict) >= ORDER.index(_decision(known.verdict)):
        return Ruling(verdict="PASS", line=line)
    return Ruling(verdict="INCONCLUSIVE" if verdict.verdict == "FAIL" else verdict.verdict, line=line)


def _decision(text: str) -> Decision:
    return next(decision for decision in ORDER if decision == text)
