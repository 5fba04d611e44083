"""Verdicts as the HTML page shows them, as plain values: the template only lays them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from robustprune.policy.findings import Decision, Finding, Verdict, summary
from robustprune.policy.policy import Policy
from robustprune.report.views import View, typeset

SIGNS: dict[Decision, str] = {"PASS": "✓", "FAIL": "✕", "INCONCLUSIVE": "?", "UNTRUSTED": "!"}

MEANINGS: dict[Decision, str] = {
    "PASS": "Every measure is shown to lie within the margins of the policy.",
    "FAIL": "At least one measure is shown to lie outside the margins of the policy.",
    "INCONCLUSIVE": "The samples are too few to show that every measure lies within its margin.",
    "UNTRUSTED": "The evidence does not hold, so the numbers decide nothing.",
}

MOST_REASONS = 4


def verdict_view(verdict: Verdict) -> View:
    """Prepare a verdict: sign, meaning, reasons, and its findings with their interval pictures."""
    scale = _scale(verdict.findings)
    meaning = MEANINGS[verdict.verdict]
    if verdict.needed_n:
        meaning += f" About {verdict.needed_n:,} samples would settle differences like these."
    return {
        "case": verdict.case,
        "parent": verdict.parent,
        "verdict": verdict.verdict,
        "sign": SIGNS[verdict.verdict],
        "meaning": meaning,
        "reasons": _reasons(verdict),
        "findings": [_finding_view(finding, scale) for finding in verdict.findings],
    }


def _reasons(verdict: Verdict) -> list[str]:
    """Give the reasons in full while they are few, else the measures they are about; none for a PASS."""
    decisive = [finding for finding in verdict.findings if finding.verdict == verdict.verdict]
    if verdict.verdict == "PASS":
        return []
    if len(decisive) <= MOST_REASONS:
        return [typeset(finding.text) for finding in decisive]
    return ["; ".join(finding.measure for finding in decisive)]


def counts(verdicts: Sequence[Verdict]) -> list[View]:
    """Count verdicts for the head of the page, leaving out what did not occur."""
    return [
        {"verdict": decision, "sign": SIGNS[decision], "count": count}
        for decision, count in summary(verdicts).items()
        if count
    ]


def policy_rows(policy: Policy) -> list[tuple[str, str]]:
    """Write the policy as name and value."""
    return [(name, "not judged" if value in (None, {}) else f"{value}") for name, value in asdict(policy).items()]


def _scale(findings: Sequence[Finding]) -> tuple[float, float]:
    """Return the ends of a scale on which every interval, every margin and 0 have room."""
    ends = [0.0]
    for finding in findings:
        if finding.low is not None and finding.high is not None:
            ends += [finding.low, finding.high, -(finding.margin or 0.0)]
    room = 0.06 * (max(ends) - min(ends)) or 0.01
    return min(ends) - room, max(ends) + room


def _finding_view(finding: Finding, scale: tuple[float, float]) -> View:
    """Prepare a finding; where it has an interval, the places of its marks from 0 to 100 along the scale."""
    place: Mapping[str, float] = {}
    if finding.low is not None and finding.high is not None and finding.difference is not None:
        marks = {"low": finding.low, "high": finding.high, "middle": finding.difference, "zero": 0.0}
        marks["margin"] = -(finding.margin or 0.0)
        left, right = scale
        place = {name: round(100 * (value - left) / (right - left), 2) for name, value in marks.items()}
    text = finding.text.removeprefix(f"{finding.measure}: ").removeprefix(f"{finding.measure} ")
    return {
        "measure": finding.measure,
        "verdict": finding.verdict,
        "sign": SIGNS[finding.verdict],
        "text": typeset(text),
        "place": place,
    }
