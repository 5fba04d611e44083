"""Did anything become weaker than what was approved? One answer for a case and a claim.

Old and new outcomes of a claim (`results.claims`) are paired sample by sample. With many claims some would look weaker
by chance, so FAIL needs an interval that lies below zero at a level divided by the number of claims compared together
(Bonferroni); everything else is judged by non-inferiority at the policy's margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustprune.errors import InputError
from robustprune.policy.findings import Decision
from robustprune.policy.policy import Policy
from robustprune.results.claims import claims, right, share
from robustprune.results.records import CaseResult
from robustprune.results.statistics import needed_n, paired
from robustprune.results.words import percent, points_between


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became of one claim. `difference` and its interval are (now - before), in shares of the n samples."""

    case: str
    claim: str
    verdict: Decision
    before: float
    now: float
    difference: float
    low: float
    high: float
    newly_broken: tuple[int, ...]
    newly_fixed: tuple[int, ...]
    n: int
    needed: int | None = None

    def __str__(self) -> str:
        """Write the change as one line for people."""
        line = (
            f"{self.case}, {self.claim}: {self.verdict}, {percent(self.before)} before, {percent(self.now)} now, "
            f"difference {self._interval}, n = {self.n}"
        )
        if self.newly_broken:
            shown = ", ".join(map(str, self.newly_broken[:12])) + ", ..." * (len(self.newly_broken) > 12)
            line += f"; {len(self.newly_broken)} samples newly broken: {shown}; {len(self.newly_fixed)} newly fixed"
        return line + (f"; about {self.needed} samples would settle it" if self.needed else "")

    @property
    def facts(self) -> dict[str, str]:
        """Write the change in pieces of text, as a JUnit file and a summary show it."""
        return {
            "verdict": self.verdict,
            "case": self.case,
            "claim": self.claim,
            "before": percent(self.before),
            "now": percent(self.now),
            "difference": self._interval,
            "n": str(self.n),
            "newly broken": ", ".join(map(str, self.newly_broken)) or "none",
            "samples needed": str(self.needed or "-"),
        }

    @property
    def _interval(self) -> str:
        return f"{points_between(self.difference, self.low, self.high)} points"


def change(now: CaseResult, before: CaseResult, claim: str, policy: Policy, together: int = 1) -> Change:
    """Compare one claim of two results of one case; `together` claims are looked at in the same breath."""
    if now.sample_hash != before.sample_hash:
        raise InputError(f"{now.case}: measured on other samples than before ({before.sample_hash}); approve it anew")
    old, new = (right(result, claim) for result in (before, now))
    if old is None or new is None:
        raise InputError(
            f"{now.case}: {claim!r} was not measured {'before' if old is None else 'now'}; approve it anew"
        )
    margin = policy.margin(claim)
    usual, strict = paired(old, new, 0.95), paired(old, new, 1 - 0.05 / together)
    verdict: Decision = "INCONCLUSIVE"
    if strict.high < 0:
        verdict = "FAIL"
    elif usual.low > -margin or old == new:
        verdict = "PASS"
    return Change(
        case=now.case,
        claim=claim,
        verdict=verdict,
        before=share(old),
        now=share(new),
        difference=usual.difference,
        low=usual.low,
        high=usual.high,
        newly_broken=tuple(i for i, (was, is_) in enumerate(zip(old, new, strict=True)) if was and not is_),
        newly_fixed=tuple(i for i, (was, is_) in enumerate(zip(old, new, strict=True)) if is_ and not was),
        n=len(old),
        needed=needed_n(usual.fixed, usual.broken, usual.n, margin) if verdict == "INCONCLUSIVE" else None,
    )


def changes(now: Sequence[CaseResult], before: Sequence[CaseResult], policy: Policy) -> list[Change]:
    """Compare every claim of every case that both hold."""
    old = {case.case: case for case in before}
    pairs = [(case, old[case.case], claim) for case in now if case.case in old for claim in claims(case)]
    return [change(case, base, claim, policy, len(pairs)) for case, base, claim in pairs]


def environment_differences(now: Sequence[CaseResult], before: Sequence[CaseResult]) -> list[str]:
    """List what differs between the machines and libraries of two result sets, one line each; times depend on it."""
    lines = []
    here, there = ({str(k): v for case in side for k, v in case.environment.items()} for side in (now, before))
    for key in sorted(here.keys() | there.keys()):
        if here.get(key) != there.get(key):
            lines.append(f"{key} differs: {there.get(key)} before, {here.get(key)} now")
    return lines
