"""Findings: one measure of a pruned network judged against its parent, with the line of text that says why.

measures.py makes them, `policy.judge` puts them together; its docstring explains the rule and its level.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from robustprune.results.claims import share
from robustprune.results.statistics import Paired, needed_n, paired
from robustprune.results.words import percent, points

Decision = Literal["PASS", "FAIL", "INCONCLUSIVE", "UNTRUSTED"]


ORDER: tuple[Decision, ...] = ("UNTRUSTED", "FAIL", "INCONCLUSIVE", "PASS")
"""The first of these that any finding carries is the verdict."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One measure judged. Differences, bounds and margins are proportions; `text` says it all in one line.

    `n` counts the samples behind the measure; `needed_n` is the size of the whole evaluation set that would
    settle an INCONCLUSIVE one if the shares stay as observed (see `statistics.needed_n`).
    """

    measure: str
    verdict: Decision
    text: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    n: int | None = None
    needed_n: int | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The judgement of one case against its parent, with the finding for every measure."""

    case: str
    parent: str
    verdict: Decision
    findings: tuple[Finding, ...]

    @property
    def needed_n(self) -> int | None:
        """Size of the evaluation set that would settle an INCONCLUSIVE verdict; None if unknown, or for another one."""
        if self.verdict != "INCONCLUSIVE":
            return None
        open_ones = [finding for finding in self.findings if finding.verdict == "INCONCLUSIVE"]
        sizes = [finding.needed_n for finding in open_ones if finding.needed_n is not None]
        return max(sizes) if sizes and len(sizes) == len(open_ones) else None

    @property
    def reasons(self) -> list[str]:
        """The findings that made the verdict what it is, one line each; for PASS all of them."""
        return [finding.text for finding in self.findings if finding.verdict == self.verdict]

    def finding(self, measure: str) -> Finding | None:
        """Return the finding about a measure; None where it was not judged."""
        return next((finding for finding in self.findings if finding.measure == measure), None)


def accuracy(
    measure: str, before: Sequence[bool], after: Sequence[bool], margin: float, confidence: float = 0.95
) -> Finding:
    """Judge the paired difference of two rows of right/wrong against a margin.

    >>> accuracy("clean accuracy", [True] * 50, [True] * 50, margin=0.01).needed_n
    381
    """
    pair = paired(before, after, confidence)
    verdict: Decision = "PASS" if pair.low > -margin else "FAIL" if pair.high < -margin else "INCONCLUSIVE"
    needed = None
    if verdict == "INCONCLUSIVE":
        needed = needed_n(pair.fixed, pair.broken, pair.n, margin, confidence)
    change = _change(before, after, pair, confidence)
    return Finding(
        measure=measure,
        verdict=verdict,
        text=f"{measure} {change}: {_reason(verdict, margin, pair.n, needed)}",
        difference=pair.difference,
        low=pair.low,
        high=pair.high,
        margin=margin,
        n=pair.n,
        needed_n=needed,
    )


def summary(verdicts: Iterable[Verdict]) -> dict[Decision, int]:
    """Count the verdicts, worst first.

    >>> summary([])
    {'UNTRUSTED': 0, 'FAIL': 0, 'INCONCLUSIVE': 0, 'PASS': 0}
    """
    seen = [verdict.verdict for verdict in verdicts]
    return {decision: seen.count(decision) for decision in ORDER}


def whole_points(share: float) -> str:
    """Write a margin in points, without digits that say nothing.

    >>> whole_points(0.02), whole_points(0.125)
    ('2', '12.5')
    """
    return f"{round(100 * share, 4):g}"


def _change(before: Sequence[bool], after: Sequence[bool], pair: Paired, confidence: float) -> str:
    """Write what became of a row; the ends of the interval to two digits, since they are held against a margin."""
    ends = f"{100 * confidence:g} % interval {100 * pair.low:+.2f} to {100 * pair.high:+.2f}"
    shares = f"{percent(share(before))} -> {percent(share(after))}"
    return f"{shares}, {points(pair.difference)} points ({ends}, n = {pair.n:,})"


def _reason(verdict: Decision, margin: float, n: int, needed: int | None) -> str:
    allowed = f"the {whole_points(margin)} points allowed"
    if verdict == "PASS":
        return f"within {allowed}"
    if verdict == "FAIL":
        return f"lost more than {allowed}"
    if needed is None:
        return f"on {allowed} exactly, which no number of samples settles"
    return f"{n:,} samples cannot tell if it is within {allowed}; a difference like this takes about {needed:,}"
