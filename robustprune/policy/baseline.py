"""Did anything become weaker than what was approved? One answer for every claim of every subject.

A subject is what the runs of one strategy share (`CaseResult.subject`). Where its networks are the approved ones,
weight for weight, the outcomes are compared one by one: a difference can only come from rounding, and it FAILs beyond
what the exact test allows; the same outcomes PASS, however few. Where they were trained again, now and before are
compared over samples and runs (`results.crossed`), the variance between runs pooled over the subjects of a family: FAIL
where now is significantly lower, PASS where the interval lies above minus the policy's margin, else INCONCLUSIVE. With
one run there is no claim. p-values are adjusted (Holm) over all claims that are looked at together. A claim of an
attack with other settings than approved is UNTRUSTED: it is another claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import fmean

from robustprune.policy.findings import Decision
from robustprune.policy.policy import Policy
from robustprune.policy.settings import check_same_sample, unlike
from robustprune.results.claims import claims, measures, right, share
from robustprune.results.crossed import Crossed
from robustprune.results.records import CaseResult
from robustprune.results.runs import Pair, compared, key_of, spread_of_changes
from robustprune.results.significance import holm, sign_flip
from robustprune.results.words import percent, plural, points_between


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became of one claim. `difference` and its interval are (now - before), in shares of the n samples."""

    subject: str
    claim: str
    verdict: Decision
    exact: bool
    """The same networks, compared outcome by outcome."""
    before: float
    now: float
    difference: float
    low: float
    high: float
    p: float
    """Adjusted; nan where one run cannot be tested."""
    newly_broken: tuple[int, ...]
    """Samples that went wrong in any run."""
    newly_fixed: tuple[int, ...]
    n: int
    runs: int
    needed_n: int | None = None
    needed_runs: int | None = None
    unlike: str = ""
    """Why it cannot be compared; then the shares are nan."""

    def __str__(self) -> str:
        """Write the change as one line for people."""
        if self.unlike:
            return f"{self.subject}, {self.claim}: {self.verdict}, {self.unlike}; approve it anew"
        how = "the same networks" if self.exact else f"trained again, {plural(self.runs, 'run')}"
        line = (
            f"{self.subject}, {self.claim}: {self.verdict}, {percent(self.before)} before, {percent(self.now)} now, "
            f"difference {self._interval}, n = {self.n}, {how}"
        )
        if self.newly_broken:
            shown = ", ".join(map(str, self.newly_broken[:12])) + ", ..." * (len(self.newly_broken) > 12)
            line += f"; {len(self.newly_broken)} samples newly broken: {shown}; {len(self.newly_fixed)} newly fixed"
        return line + (f"; {self.needed}" if self.verdict == "INCONCLUSIVE" else "")

    @property
    def needed(self) -> str:
        """Say what would settle the claim."""
        if not self.exact and self.runs < 2:
            return "one run says nothing about training again: give the suite more seeds, or ship the weights"
        ways = {"samples": self.needed_n, "runs": self.needed_runs}
        found = [f"about {count:,} {what}" for what, count in ways.items() if count is not None]
        return f"{' or '.join(found)} would settle it" if found else "neither samples nor runs alone would settle it"

    @property
    def facts(self) -> dict[str, str]:
        """Write the change in pieces of text, as a JUnit file and a summary show it."""
        needed = self.needed if self.verdict == "INCONCLUSIVE" else "-"
        return {
            "verdict": self.verdict,
            "case": self.subject,
            "claim": self.claim,
            "before": percent(self.before) if not self.unlike else "-",
            "now": percent(self.now) if not self.unlike else "-",
            "difference": self._interval if not self.unlike else "-",
            "n": str(self.n),
            "runs": "the same networks" if self.exact else str(self.runs),
            "newly broken": ", ".join(map(str, self.newly_broken)) or "none",
            "needed": f"{self.unlike}; approve it anew" if self.unlike else needed,
        }

    @property
    def _interval(self) -> str:
        return f"{points_between(self.difference, self.low, self.high)} points"


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """One claim of one subject, not yet judged."""

    subject: str
    claim: str
    pairs: Sequence[Pair]
    exact: bool
    found: Crossed

    @property
    def steps(self) -> list[list[int]]:
        """Per network and sample: 1 where it came right, -1 where it went wrong, else 0."""
        rows = [(right(now, self.claim) or [], right(before, self.claim) or []) for now, before in self.pairs]
        return [[int(is_) - int(was) for is_, was in zip(new, old, strict=True)] for new, old in rows]

    def share(self, side: int) -> float:
        """Return the mean share of samples for which the claim holds now (0) or held before (1)."""
        return fmean(share(right(pair[side], self.claim) or []) for pair in self.pairs)

    @property
    def p(self) -> float:
        """What the comparison has for itself; nan where it cannot be tested."""
        return sign_flip([sum(column) for column in zip(*self.steps, strict=True)]) if self.exact else self.found.p


def changes(now: Sequence[CaseResult], before: Sequence[CaseResult], policy: Policy) -> list[Change]:
    """Compare every claim of every subject, over the cases that both hold.

    InputError where the samples are others than before: approve anew.
    """
    subjects = matched(now, before)
    found: list[_Comparison] = []
    every = [case for pairs in subjects.values() for pair in pairs for case in pair]
    other: list[Change] = []
    for claim in measures(every):
        trained = [pairs for pairs in subjects.values() if not same_networks(pairs)]
        spreads = spread_of_changes(trained, claim)
        for subject, pairs in subjects.items():
            reason = next((why for pair in pairs if (why := unlike(*pair, claim))), "")
            spread = spreads.get(key_of([case for case, _ in pairs]))
            one = None if reason else compared(pairs, claim, policy.confidence, spread)
            if reason and any(claim in claims(case) for pair in pairs for case in pair):
                other.append(_incomparable(subject, claim, reason, pairs))
            if one is not None:
                exact = same_networks(pairs)
                found.append(_Comparison(subject=subject, claim=claim, pairs=pairs, exact=exact, found=one))
    raw = [one.p for one in found]
    adjusted = iter(holm([p for p in raw if not isnan(p)]))
    judged = [_judged(one, p if isnan(p) else next(adjusted), policy) for one, p in zip(found, raw, strict=True)]
    order = [*subjects]
    return sorted([*judged, *other], key=lambda one: order.index(one.subject))


def matched(now: Sequence[CaseResult], before: Sequence[CaseResult]) -> Mapping[str, list[Pair]]:
    """Put the cases of each subject beside the approved ones of the same name."""
    old, found = {case.case: case for case in before}, dict[str, list[Pair]]()
    for case in now:
        base = old.get(case.case)
        if base is not None:
            check_same_sample(case, base)
            found.setdefault(case.subject, []).append((case, base))
    return found


def same_networks(pairs: Sequence[Pair]) -> bool:
    """Whether every network is the approved one, weight for weight."""
    return all(now.weights_hash and now.weights_hash == before.weights_hash for now, before in pairs)


def environment_differences(now: Sequence[CaseResult], before: Sequence[CaseResult]) -> list[str]:
    """List what differs between the machines and libraries of two result sets, one line each; times depend on it."""
    lines = []
    here, there = ({str(k): v for case in side for k, v in case.environment.items()} for side in (now, before))
    for key in sorted(here.keys() | there.keys()):
        if here.get(key) != there.get(key):
            lines.append(f"{key} differs: {there.get(key)} before, {here.get(key)} now")
    return lines


def _judged(one: _Comparison, p: float, policy: Policy) -> Change:
    found, gap = one.found, one.found.difference + policy.margin(one.claim)
    moved = [{i for step in one.steps for i, value in enumerate(step) if value == way} for way in (-1, 1)]
    verdict = _verdict(one, p, policy, moved=any(moved))
    needed_n = needed_runs = None
    if verdict == "INCONCLUSIVE" and found.runs > 1:
        needed_n, needed_runs = found.components.settles(gap, found.quantile, found.n, found.runs)
    return Change(
        subject=one.subject,
        claim=one.claim,
        verdict=verdict,
        exact=one.exact,
        before=one.share(1),
        now=one.share(0),
        difference=found.difference,
        low=found.low,
        high=found.high,
        p=p,
        newly_broken=tuple(sorted(moved[0])),
        newly_fixed=tuple(sorted(moved[1])),
        n=found.n,
        runs=found.runs,
        needed_n=needed_n,
        needed_runs=needed_runs,
    )


def _incomparable(subject: str, claim: str, reason: str, pairs: Sequence[Pair]) -> Change:
    return Change(
        subject=subject,
        claim=claim,
        verdict="UNTRUSTED",
        exact=same_networks(pairs),
        before=nan,
        now=nan,
        difference=nan,
        low=nan,
        high=nan,
        p=nan,
        newly_broken=(),
        newly_fixed=(),
        n=len(pairs[0][0].labels),
        runs=len(pairs),
        unlike=reason,
    )


def _verdict(one: _Comparison, p: float, policy: Policy, moved: bool) -> Decision:
    if p < 1 - policy.confidence and one.found.difference < 0:
        return "FAIL"
    within = one.found.runs > 1 and one.found.low > -policy.margin(one.claim)
    return "PASS" if one.exact or not moved or within else "INCONCLUSIVE"
