"""Making the checks, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from robustprune.errors import InputError
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.registry import CHECKS, Spec
from robustprune.evidence.sizes import SIZES, TIERS, Tier
from robustprune.results.records import Check, Trust

ESSENTIAL = (2, 3, 4, 5, 8, 12, 21, 28)
"""Without a pass in each of these there is no evidence that the number is one: it is SUSPECT at best."""

LONGEST = 300
"""Characters of a foreign error message that are kept."""


def gather(ctx: EvidenceContext, tier: Tier = "quick", tick: Callable[[int, int], None] | None = None) -> list[Check]:
    """Make all checks of `tier` ("quick", "standard" or "full"); all come back, in order of their numbers.

    A check of a higher tier is 'skipped'. One that cannot be carried out counts as failed, with the reason: a
    network on which evidence cannot be had is not trusted. `tick(done, total)` is called after each.

    Raises InputError for an unknown tier.
    """
    if tier not in TIERS:
        raise InputError(f"evidence tier {tier!r}: expected one of {', '.join(TIERS)}")
    sized = ctx.resized(SIZES[tier])
    made = []
    for number in sorted(CHECKS):
        made.append(_make(CHECKS[number], sized, tier))
        if tick is not None:
            tick(len(made), len(CHECKS))
    return made


def trust(checks: Sequence[Check]) -> Trust:
    """Return what the checks add up to.

    INVALID: a blocking check failed. SUSPECT: another one failed, or one of `ESSENTIAL` was not made. Else
    TRUSTED.

    >>> trust([Check(number=9, name="loss is smooth enough", status="fail", evidence="0.3")])
    'SUSPECT'
    >>> trust([])
    'SUSPECT'
    """
    failed = [check for check in checks if check.status == "fail"]
    if any(check.blocking for check in failed):
        return "INVALID"
    made = {check.number for check in checks if check.status != "skipped"}
    return "SUSPECT" if failed or not made.issuperset(ESSENTIAL) else "TRUSTED"


def _make(spec: Spec, ctx: EvidenceContext, tier: Tier) -> Check:
    status: Literal["skipped", "fail"] = "skipped"
    evidence = f"made from tier {spec.tier} on"
    if TIERS.index(spec.tier) <= TIERS.index(tier):
        try:
            return spec.run(ctx)
        except Exception as error:
            reason = f"could not be carried out: {type(error).__name__}: {error}"
            status, evidence = "fail", " ".join(reason.split())[:LONGEST]
    return Check(number=spec.number, name=spec.name, status=status, evidence=evidence, blocking=spec.blocking)
