"""Entering functions into the list of validity checks; `results/checks.py` says what each is and if it blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from robustprune.errors import InputError
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.sizes import Tier
from robustprune.results.checks import CATALOGUE, Entry
from robustprune.results.records import Check
from robustprune.results.trust import APPLIES


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a check saw. `blocking` None means as listed."""

    status: Literal["pass", "fail", "skipped"]
    evidence: str
    blocking: bool | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One check of the list, and what makes it from which tier on."""

    entry: Entry
    tier: Tier
    run: Callable[[EvidenceContext], Check]


CHECKS: dict[int, Spec] = {}
"""All checks by number; filled when the modules that hold them are imported."""


def holds(
    condition: bool, evidence: str, blocking: bool | None = None, figures: Mapping[str, Any] | None = None
) -> Seen:
    """Return a pass or a failure with the same line of evidence."""
    status: Literal["pass", "fail"] = "pass" if condition else "fail"
    return Seen(status=status, evidence=evidence, blocking=blocking, figures=figures or {})


def skipped(reason: str) -> Seen:
    """Return a check that could not be made; never a pass."""
    return Seen(status="skipped", evidence=reason)


NO_BALL = Seen(
    status="skipped",
    evidence="the threat is a list of transforms, no ball of a norm: there are no steps, gradients or sizes to look at",
    figures={APPLIES: False},
)
"""What such a check sees where it makes no sense."""


def entered(number: int, seen: Seen) -> Check:
    """Return what was seen as the check of that number."""
    entry = CATALOGUE[number]
    return Check(
        number=number,
        name=entry.name,
        status=seen.status,
        evidence=" ".join(seen.evidence.split()),
        blocking=entry.blocking if seen.blocking is None else seen.blocking,
        figures=dict(seen.figures),
    )


def check(
    number: int, *, tier: Tier = "quick", in_a_ball: bool = False
) -> Callable[[Callable[[EvidenceContext], Seen]], Callable[[EvidenceContext], Check]]:
    """Enter a function as the check of that number; it then returns a `results.Check`.

    One that is about a ball of a norm is skipped, with that reason, for a threat that is none, such as corruptions.
    """
    entry = CATALOGUE[number]

    def enter(look: Callable[[EvidenceContext], Seen]) -> Callable[[EvidenceContext], Check]:
        def run(ctx: EvidenceContext) -> Check:
            return entered(number, NO_BALL if in_a_ball and not ctx.in_a_ball else look(ctx))

        if number in CHECKS:
            raise InputError(f"validity check {number} ({entry.name}) is made twice")
        run.__doc__, run.__name__ = look.__doc__, look.__name__
        CHECKS[number] = Spec(entry=entry, tier=tier, run=run)
        return run

    return enter
