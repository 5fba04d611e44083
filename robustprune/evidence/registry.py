"""The list of validity checks: number, name, what a failure means, and from which tier on a check runs.

A failed check BLOCKS (the number is INVALID) where it shows that the number cannot be what it says: it was
not measured on this network or these images (2, 4, 21, 27, 28), the budget was broken (3), the gradients that
the attacks rest on are missing, false or random (5, 6, 7, 8), or an attack was seen to miss what is there
(12, 13, 16, 18, 20). All others weaken it (SUSPECT): they bound by how much the number may be off, or concern
what is claimed from it.

Two checks decide for themselves. 8 blocks only where many samples have no usable gradient and no attack that
goes without it ran. 5 passes a network with random parts when all attacks averaged passes (EOT) and fresh ones judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from robustprune.errors import InputError
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.sizes import Tier
from robustprune.results.records import Check


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a check saw. `blocking` None means as listed."""

    status: Literal["pass", "fail", "skipped"]
    evidence: str
    blocking: bool | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One line of the list of checks."""

    number: int
    name: str
    blocking: bool
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


def check(
    number: int, name: str, *, blocking: bool = False, tier: Tier = "quick"
) -> Callable[[Callable[[EvidenceContext], Seen]], Callable[[EvidenceContext], Check]]:
    """Enter a function into the list of checks. The function then returns a `results.Check`."""

    def enter(look: Callable[[EvidenceContext], Seen]) -> Callable[[EvidenceContext], Check]:
        def run(ctx: EvidenceContext) -> Check:
            seen = look(ctx)
            grave = blocking if seen.blocking is None else seen.blocking
            evidence = " ".join(seen.evidence.split())
            return Check(
                number=number,
                name=name,
                status=seen.status,
                evidence=evidence,
                blocking=grave,
                figures=dict(seen.figures),
            )

        if number in CHECKS:
            raise InputError(f"validity check {number} is already {CHECKS[number].name!r}")
        run.__doc__, run.__name__ = look.__doc__, look.__name__
        CHECKS[number] = Spec(number=number, name=name, blocking=blocking, tier=tier, run=run)
        return run

    return enter
