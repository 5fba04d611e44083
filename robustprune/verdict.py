"""Findings: one measure of a pruned network judged against its parent, with the line of text that says why.

`policy.judge` puts them together; its docstring explains the rule and its level.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from robustprune.errors import InputError
from robustprune.results import FAILED, CaseResult, Outcomes
from robustprune.statistics import Paired, needed_n, paired

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
        """Size of the evaluation set that would settle every inconclusive finding; None if unknown."""
        open_ones = [finding for finding in self.findings if finding.verdict == "INCONCLUSIVE"]
        sizes = [finding.needed_n for finding in open_ones if finding.needed_n is not None]
        return max(sizes) if sizes and len(sizes) == len(open_ones) else None

    @property
    def reasons(self) -> list[str]:
        """The findings that made the verdict what it is, one line each; for PASS all of them."""
        return [finding.text for finding in self.findings if finding.verdict == self.verdict]


def check_same_samples(candidate: CaseResult, parent: CaseResult) -> None:
    """Raise InputError unless both results are about the same samples in the same order."""
    where = f"{candidate.case} against {parent.case}"
    hashes = {one.sample_hash for one in (candidate, parent)} - {""}
    if candidate.labels != parent.labels or len(hashes) > 1:
        raise InputError(f"{where}: not the same samples; measure both on the same data, in the same order")
    if not candidate.labels:
        raise InputError(f"{where}: no samples; expected at least one")
    for one in (candidate, parent):
        lengths = {len(one.clean), *(len(outcome.status) for outcome in one.outcomes)}
        if lengths != {len(one.labels)}:
            raise InputError(f"{one.case}: {len(one.labels)} labels but outcomes for {sorted(lengths)}")


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


def robustness(candidate: CaseResult, parent: CaseResult, margin: float, confidence: float) -> Iterator[Finding]:
    """Judge the worst case over all attacks, then every attack that ran on both."""
    if not candidate.outcomes or not parent.outcomes:
        return
    yield _with_something_to_lose(
        accuracy("robust accuracy, worst case", parent.worst, candidate.worst, margin, confidence),
        parent.worst,
    )
    theirs = {_key(outcome): outcome for outcome in parent.outcomes}
    for outcome in candidate.outcomes:
        if _key(outcome) in theirs:
            before = theirs[_key(outcome)].robust
            found = accuracy(f"robust accuracy, {_title(outcome)}", before, outcome.robust, margin, confidence)
            yield _with_something_to_lose(found, before)


def classes(candidate: CaseResult, parent: CaseResult, margin: float, confidence: float) -> Iterator[Finding]:
    """Judge every class, clean and worst-case robust; one finding each, for the class that stands worst."""
    measures = [("clean", parent.clean, candidate.clean)]
    if candidate.outcomes and parent.outcomes:
        measures.append(("robust", parent.worst, candidate.worst))
    for kind, before, after in measures:
        found = []
        for label in sorted(set(parent.labels)):
            rows = [index for index, other in enumerate(parent.labels) if other == label]
            name = parent.classes[label] if label < len(parent.classes) else str(label)
            old, new = [before[i] for i in rows], [after[i] for i in rows]
            finding = accuracy(f"{kind} accuracy, worst class ({name})", old, new, margin, confidence)
            found.append(_for_whole_set(finding, len(parent.labels)))
        yield min(found, key=lambda one: (ORDER.index(one.verdict), one.low or 0.0))


def evidence(case: CaseResult, blocking: tuple[int, ...] | None, role: str) -> Iterator[Finding]:
    """Return an UNTRUSTED finding for every blocking validity check that does not hold."""
    known = {check.number: check for check in case.checks}
    if blocking is None:
        bad = [check.number for check in case.checks if check.blocking and check.status == "fail"]
        if case.trust == "INVALID" and not bad:
            yield _untrusted(f"evidence, {role}", "its measurement is marked INVALID")
    else:
        bad = [number for number in blocking if number not in known or known[number].status != "pass"]
    for number in bad:
        check = known.get(number)
        seen = f"{check.name}: {check.status}: {check.evidence}" if check else "was not made"
        yield _untrusted(f"validity check {number}, {role}", seen)


def comparable(candidate: CaseResult, parent: CaseResult) -> Iterator[Finding]:
    """Return an UNTRUSTED finding for every attack that did not run whole and alike on both networks."""
    if not candidate.outcomes and not parent.outcomes:
        yield _untrusted("attacks", "none ran, so nothing is known about robustness")
    for case in (candidate, parent):
        for outcome in case.outcomes:
            failed = outcome.status.count(FAILED)
            if failed or outcome.error:
                reason = f" ({outcome.error})" if outcome.error else ""
                yield _untrusted(_title(outcome), f"could not attack {failed} samples of {case.case}{reason}")
    ours, theirs = ({_key(one): one for one in case.outcomes} for case in (candidate, parent))
    for key in dict.fromkeys([*theirs, *ours]):
        if key not in ours or key not in theirs:
            missing = candidate if key not in ours else parent
            yield _untrusted(_title((ours | theirs)[key]), f"did not run on {missing.case}")
        elif ours[key].settings != theirs[key].settings:
            names = sorted(
                name
                for name in ours[key].settings.keys() | theirs[key].settings.keys()
                if ours[key].settings.get(name) != theirs[key].settings.get(name)
            )
            yield _untrusted(_title(ours[key]), f"ran with another {', '.join(names)} on the parent")


def saving(candidate: CaseResult, parent: CaseResult, least: float) -> Iterator[Finding]:
    """Judge the share of the parent's MACs that is gone. It is counted, not sampled: no interval."""
    if parent.cost.macs <= 0:
        if least > 0:
            text = "saving: the MACs were not counted"
            yield Finding(measure="saving", verdict="INCONCLUSIVE", text=text, margin=least)
        return
    saved = 1 - candidate.cost.macs / parent.cost.macs
    yield Finding(
        measure="saving",
        verdict="PASS" if saved >= least else "FAIL",
        text=f"saving: {100 * saved:.2f} % fewer MACs than the parent, at least {_points(least)} % asked for",
        difference=saved,
        margin=least,
    )


def latency(candidate: CaseResult, most: float) -> Iterator[Finding]:
    """Judge the median latency relative to the parent's, at every batch size measured."""
    if not candidate.cost.latency_ratio:
        text = f"latency: not measured, at most {most:g} of the parent's asked for"
        yield Finding(measure="latency", verdict="INCONCLUSIVE", text=text, margin=most)
    for batch, ratio in candidate.cost.latency_ratio.items():
        yield Finding(
            measure=f"latency, batch {batch}",
            verdict="PASS" if ratio <= most else "FAIL",
            text=f"latency, batch {batch}: {ratio:.2f} of the parent's, at most {most:g} allowed",
            difference=ratio,
            margin=most,
        )


def summary(verdicts: Iterable[Verdict]) -> dict[Decision, int]:
    """Count the verdicts, worst first.

    >>> summary([])
    {'UNTRUSTED': 0, 'FAIL': 0, 'INCONCLUSIVE': 0, 'PASS': 0}
    """
    seen = [verdict.verdict for verdict in verdicts]
    return {decision: seen.count(decision) for decision in ORDER}


def _untrusted(measure: str, text: str) -> Finding:
    return Finding(measure=measure, verdict="UNTRUSTED", text=f"{measure}: {text}")


def _key(outcome: Outcomes) -> tuple[str, str, float]:
    return outcome.attack, outcome.norm, outcome.eps


def _title(outcome: Outcomes) -> str:
    return outcome.attack if outcome.threat in outcome.attack else f"{outcome.attack}, {outcome.threat}"


def _with_something_to_lose(finding: Finding, before: Sequence[bool]) -> Finding:
    """Turn a PASS into INCONCLUSIVE where the parent is no better than the margin: no drop could fail."""
    if finding.verdict != "PASS" or finding.margin is None or sum(before) / len(before) > finding.margin:
        return finding
    kept = 100 * sum(before) / len(before)
    text = f"{finding.measure}: the parent keeps {kept:.1f} %, too little to lose; attack with a smaller eps"
    return replace(finding, verdict="INCONCLUSIVE", text=text)


def _for_whole_set(finding: Finding, n: int) -> Finding:
    """Scale the needed samples of one class to the whole evaluation set, at its mix of classes."""
    if finding.needed_n is None or not finding.n:
        return finding
    whole = math.ceil(finding.needed_n * n / finding.n)
    text = f"{finding.text} of this class ({whole:,} in all, at this mix of classes)"
    return replace(finding, needed_n=whole, text=text)


def _change(before: Sequence[bool], after: Sequence[bool], pair: Paired, confidence: float) -> str:
    old, new = (100 * sum(row) / len(row) for row in (before, after))
    ends = f"{100 * confidence:g} % interval {100 * pair.low:+.2f} to {100 * pair.high:+.2f}"
    return f"{old:.1f} % -> {new:.1f} %, {100 * pair.difference:+.1f} points ({ends}, n = {pair.n:,})"


def _reason(verdict: Decision, margin: float, n: int, needed: int | None) -> str:
    allowed = f"the {_points(margin)} points allowed"
    if verdict == "PASS":
        return f"within {allowed}"
    if verdict == "FAIL":
        return f"lost more than {allowed}"
    if needed is None:
        return f"on {allowed} exactly, which no number of samples settles"
    return f"{n:,} samples cannot tell if it is within {allowed}; a difference like this takes about {needed:,}"


def _points(share: float) -> str:
    return f"{round(100 * share, 4):g}"
