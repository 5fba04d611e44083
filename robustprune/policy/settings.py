"""The samples and attacks that were approved: other ones make numbers that cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator

from robustprune.errors import InputError
from robustprune.results.claims import CLEAN, WORST, title
from robustprune.results.records import CaseResult, Outcomes


def check_same_sample(now: CaseResult, before: CaseResult) -> None:
    """Raise InputError unless a case was measured on the approved samples."""
    if now.sample_hash != before.sample_hash:
        raise InputError(f"{now.case}: measured on other samples than before ({before.sample_hash}); approve it anew")


def unlike(now: CaseResult, before: CaseResult, claim: str) -> str:
    """Say why a claim of two results cannot be compared; "" where it can.

    An attack made weaker under the same name leaves more robust accuracy, which is no gain. A claim depends on every
    attack of its threat model, since a later one sees only what those before left standing; the worst case on all.
    """
    if claim == CLEAN:
        return ""
    new, old = ({title(outcome): outcome for outcome in case.outcomes} for case in (now, before))
    threats = {outcome.threat for name, outcome in (old | new).items() if claim in (WORST, name)}
    for name, outcome in (old | new).items():
        if outcome.threat not in threats:
            continue
        if name not in new or name not in old:
            return f"{name} was not measured {'now' if name not in new else 'before'}"
        differing = "; ".join(_differing(new[name], old[name]))
        if differing:
            return f"{name} is not the attack that was approved ({differing})"
    return ""


def _differing(new: Outcomes, old: Outcomes) -> Iterator[str]:
    """Name what an attack may and does otherwise, with its value before and now."""
    here, there = (
        {"knowledge": one.knowledge, "objective": one.objective, **one.budget, **one.settings} for one in (new, old)
    )
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            yield f"{name} {there.get(name, '-')} before, {here.get(name, '-')} now"
