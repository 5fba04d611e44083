"""Making the checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from robustprune.errors import InputError
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.registry import CHECKS, Spec
from robustprune.evidence.sizes import SIZES, TIERS, Tier
from robustprune.evidence.texts import check_text
from robustprune.models.lending import Memory, is_text
from robustprune.results.records import Check

LONGEST = 300
"""Characters of a foreign error message that are kept."""


def gather(ctx: EvidenceContext, tier: Tier = "quick", tick: Callable[[int, int], None] | None = None) -> list[Check]:
    """Make all checks of `tier` ("quick", "standard" or "full"); all come back, in order of their numbers.

    A check of a higher tier is 'skipped'. One that cannot be carried out counts as failed, with the reason: a
    network on which evidence cannot be had is not trusted. `tick(done, total)` is called after each. The network comes
    back as it was.

    Raises InputError for an unknown tier.
    """
    if tier not in TIERS:
        raise InputError(f"evidence tier {tier!r}: expected one of {', '.join(TIERS)}")
    sized, before = ctx.resized(SIZES[tier]), Memory.of(ctx.model)
    made = []
    for number in sorted(CHECKS):
        made.append(_make(CHECKS[number], sized, tier, before))
        if tick is not None:
            tick(len(made), len(CHECKS))
    return made


def _make(spec: Spec, ctx: EvidenceContext, tier: Tier, before: Memory) -> Check:
    status: Literal["skipped", "fail"] = "skipped"
    evidence = f"made from tier {spec.tier} on"
    if TIERS.index(spec.tier) <= TIERS.index(tier):
        try:
            return check_text(spec.entry.number, ctx) if is_text(ctx.x) else spec.run(ctx)
        except Exception as error:
            reason = f"could not be carried out: {type(error).__name__}: {error}"
            status, evidence = "fail", " ".join(reason.split())[:LONGEST]
        finally:
            before.restore()
    entry = spec.entry
    return Check(number=entry.number, name=entry.name, status=status, evidence=evidence, blocking=entry.blocking)
