"""Did anything become weaker than what was approved? One answer for a case and a claim.

A claim is `clean`, the name of an attack with its threat model, or `worst case`. Old and new outcomes are paired sample
by sample. With many claims some would look weaker by chance, so FAIL needs an interval that lies below zero at a level
divided by the number of claims compared together (Bonferroni); everything else is judged by non-inferiority at the
policy's margin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robustprune.errors import InputError
from robustprune.policy import Decision, Policy
from robustprune.results import CaseResult
from robustprune.statistics import needed_n, paired

CLEAN, WORST = "clean", "worst case"


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
        """One line for people."""
        line = (
            f"{self.case}, {self.claim}: {self.verdict}, {self.before:.1%} before, {self.now:.1%} now, difference "
            f"{self.difference:+.1%} [{self.low:+.1%}, {self.high:+.1%}], n = {self.n}"
        )
        if self.newly_broken:
            shown = ", ".join(map(str, self.newly_broken[:12])) + ", ..." * (len(self.newly_broken) > 12)
            line += f"; {len(self.newly_broken)} samples newly broken: {shown}; {len(self.newly_fixed)} newly fixed"
        return line + (f"; about {self.needed} samples would settle it" if self.needed else "")

    @property
    def facts(self) -> dict[str, str]:
        """The same in pieces of text: what a JUnit file and a summary show."""
        return {
            "verdict": self.verdict,
            "case": self.case,
            "claim": self.claim,
            "before": f"{self.before:.1%}",
            "now": f"{self.now:.1%}",
            "difference": f"{self.difference:+.1%} [{self.low:+.1%}, {self.high:+.1%}]",
            "n": str(self.n),
            "newly broken": ", ".join(map(str, self.newly_broken)) or "none",
            "samples needed": str(self.needed or "-"),
        }


def claims(case: CaseResult) -> dict[str, list[bool]]:
    """Claim -> per sample, whether it held."""
    attacks = {f"{outcome.attack}, {outcome.threat}": outcome.robust for outcome in case.outcomes}
    return {CLEAN: case.clean, **attacks, WORST: case.worst}


def change(now: CaseResult, before: CaseResult, claim: str, policy: Policy, together: int = 1) -> Change:
    """Compare one claim of two results of one case; `together` is the number of claims looked at in the same breath."""
    if now.sample_hash != before.sample_hash:
        raise InputError(f"{now.case}: measured on other samples than before ({before.sample_hash}); approve it anew")
    old, new = (claims(result).get(claim) for result in (before, now))
    if old is None or new is None:
        raise InputError(
            f"{now.case}: {claim!r} was not measured {'before' if old is None else 'now'}; approve it anew"
        )
    margin = policy.max_clean_drop if claim == CLEAN else policy.max_robust_drop
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
        before=sum(old) / len(old),
        now=sum(new) / len(new),
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


def summary(facts: Sequence[Mapping[str, str]], left_out: Sequence[str] = ()) -> str:
    """Write what became of all claims (`Change.facts`) as Markdown, for a CI job to post; what passed is counted only.

    >>> print(summary([{"verdict": "PASS"}], ["cifar10: no data"]))
    ### robustprune: 1 PASS
    <BLANKLINE>
    - left out: cifar10: no data
    <BLANKLINE>
    """
    from pandas import DataFrame

    from robustprune.report.formats import pipe

    tally = Counter(one["verdict"] for one in facts)
    counts = ", ".join(f"{tally[verdict]} {verdict}" for verdict in ("FAIL", "INCONCLUSIVE", "PASS") if tally[verdict])
    parts = [f"### robustprune: {counts or 'nothing compared'}"]
    open_ = sorted((one for one in facts if one["verdict"] != "PASS"), key=lambda one: one["verdict"])
    if open_:
        parts.append(pipe(DataFrame(open_)))
    if left_out:
        parts.append("\n".join(f"- left out: {line}" for line in left_out))
    return "\n\n".join(parts) + "\n"


def environment_differences(now: Sequence[CaseResult], before: Sequence[CaseResult]) -> list[str]:
    """What differs between the machines and libraries of two result sets, one line each; times depend on it."""
    lines = []
    here, there = ({str(k): v for case in side for k, v in case.environment.items()} for side in (now, before))
    for key in sorted(here.keys() | there.keys()):
        if here.get(key) != there.get(key):
            lines.append(f"{key} differs: {there.get(key)} before, {here.get(key)} now")
    return lines
