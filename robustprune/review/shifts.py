"""What the findings do not say: which samples broke, which class is worst, what transfers. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustprune.results.claims import by_class, share, shared
from robustprune.results.records import BROKEN, BROKEN_EARLIER, CLEAN_ERROR, CaseResult, Outcomes
from robustprune.results.statistics import paired, wilson


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One claim (`results.claims`) on both networks: shares of n samples, candidate minus parent.

    `broken` and `fixed` are positions in the evaluation sample: right (or robust) before and not now, and
    the reverse.
    """

    claim: str
    n: int
    before: float
    now: float
    difference: float
    low: float
    high: float
    p: float
    broken: tuple[int, ...]
    fixed: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ClassShift:
    """One class under one claim: its `n` samples, the shares before and now, the paired interval."""

    claim: str
    name: str
    n: int
    before: float
    now: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What adversarial images made on the parent do to the candidate.

    `robust` is the share of all n samples that the candidate gets right and that withstand them, with its
    interval; `fooled` of the `right` samples did not.
    """

    attack: str
    threat: str
    n: int
    right: int
    fooled: int
    robust: float
    low: float
    high: float


def shifts(candidate: CaseResult, parent: CaseResult, confidence: float = 0.95) -> tuple[Shift, ...]:
    """Compare every claim that both networks have, sample by sample."""
    rows = shared(candidate, parent)
    return tuple(_shift(claim, before, now, confidence) for claim, (before, now) in rows.items())


def class_shifts(
    claim: str, candidate: CaseResult, parent: CaseResult, confidence: float = 0.95
) -> tuple[ClassShift, ...]:
    """Compare one claim class by class; the class that is worst on the candidate comes first."""
    before, now = shared(candidate, parent)[claim]
    found = []
    for name, rows in by_class(parent):
        old, new = [before[row] for row in rows], [now[row] for row in rows]
        pair = paired(old, new, confidence)
        shares = {"before": share(old), "now": share(new)}
        found.append(ClassShift(claim=claim, name=name, n=len(rows), **shares, low=pair.low, high=pair.high))
    return tuple(sorted(found, key=lambda one: (one.now, one.now - one.before)))


def transfer(outcomes: Outcomes, confidence: float = 0.95) -> Transfer:
    """Count what a transferred attack did.

    >>> one = Outcomes(attack="transfer PGD-20", norm="Linf", eps=8/255, settings={}, status="erbr",
    ...                distance=[0.0] * 4, steps=[0] * 4)
    >>> transfer(one).robust, transfer(one).fooled, transfer(one).right
    (0.5, 1, 3)
    """
    n, held = len(outcomes.status), sum(outcomes.robust)
    count = outcomes.status.count
    low, high = wilson(held, n, confidence)
    return Transfer(
        attack=outcomes.attack,
        threat=outcomes.threat,
        n=n,
        right=n - count(CLEAN_ERROR),
        fooled=count(BROKEN) + count(BROKEN_EARLIER),
        robust=held / n,
        low=low,
        high=high,
    )


def _shift(claim: str, before: Sequence[bool], now: Sequence[bool], confidence: float) -> Shift:
    pair = paired(before, now, confidence)
    both = list(enumerate(zip(before, now, strict=True)))
    return Shift(
        claim=claim,
        n=pair.n,
        before=share(before),
        now=share(now),
        difference=pair.difference,
        low=pair.low,
        high=pair.high,
        p=pair.p,
        broken=tuple(row for row, (was, is_) in both if was and not is_),
        fixed=tuple(row for row, (was, is_) in both if is_ and not was),
    )
