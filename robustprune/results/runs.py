"""Training runs: which cases are one run, and what the runs of several strategies say of the variance between them.

A run is a parent where a family has several, since what was pruned from one parent shares that parent's luck; the seeds
of a parent are then averaged. Where there is one parent only a run is a seed, and what is said holds for that parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from robustprune.results.claims import right, share
from robustprune.results.crossed import Crossed, Spread, crossed, pooled_change, pooled_pair
from robustprune.results.records import CaseResult
from robustprune.results.words import plural

ENOUGH = 3
"""Runs that a claim about a strategy needs."""

Runs = tuple[str, ...]
Pair = tuple[CaseResult, CaseResult]
"""A case, and the one that it is compared with."""


def run_names(cases: Sequence[CaseResult]) -> Runs:
    """Name the run of each case of one subject, in their order."""
    several = len({case.model for case in cases}) > 1
    return tuple(case.model if several else f"seed {case.seed}" for case in cases)


def counted(cases: Sequence[CaseResult]) -> str:
    """Say in words how many runs there are and of what.

    >>> counted([])
    '0 runs'
    """
    parents, seeds = len({case.model for case in cases}), len({(case.model, case.seed) for case in cases})
    if parents > 1:
        return f"{parents} parents" if seeds == parents else f"{parents} parents, {seeds} networks"
    return f"{plural(seeds, 'seed')} of one parent" if cases else "0 runs"


def compared(
    pairs: Sequence[Pair], claim: str, confidence: float = 0.95, spread: Spread | None = None
) -> Crossed | None:
    """Compare cases with others over samples and runs; None without cases, or where one lacks the claim."""
    news, olds = ([right(pair[side], claim) for pair in pairs] for side in (0, 1))
    if not pairs or not all(news) or not all(olds):
        return None
    old_rows, new_rows = ([row for row in rows if row] for rows in (olds, news))
    return crossed(old_rows, new_rows, run_names([new for new, _ in pairs]), confidence=confidence, spread=spread)


def spread_of_changes(subjects: Sequence[Sequence[Pair]], claim: str) -> Mapping[tuple[str, Runs], Spread]:
    """Pool the variance between runs of changes, over the subjects of a family that have the same runs.

    Copies in another format are left out, here and in `spread_of_pairs`: they vary as what they are copies of.
    """
    found: dict[tuple[str, Runs], list[list[float]]] = {}
    for pairs in subjects:
        if any(new.twin is not None for new, _ in pairs):
            continue
        shares = [_change(pair, claim) for pair in pairs]
        _collect(found, [new for new, _ in pairs], shares)
    spreads = {key: pooled_change(rows) for key, rows in found.items()}
    return {key: spread for key, spread in spreads.items() if spread is not None}


def spread_of_pairs(subjects: Sequence[Sequence[CaseResult]], claim: str) -> Mapping[tuple[str, Runs], Spread]:
    """Pool the variance between runs of differences of two subjects, over those of a family with the same runs."""
    found: dict[tuple[str, Runs], list[list[float]]] = {}
    for cases in subjects:
        if any(case.twin is not None for case in cases):
            continue
        rows = [right(case, claim) for case in cases]
        _collect(found, cases, [share(row) if row else None for row in rows])
    spreads = {key: pooled_pair(rows) for key, rows in found.items()}
    return {key: spread for key, spread in spreads.items() if spread is not None}


def key_of(cases: Sequence[CaseResult]) -> tuple[str, Runs]:
    """Return the family of these cases and their runs: with which other subjects they may be pooled."""
    return (cases[0].family, tuple(sorted(set(run_names(cases))))) if cases else ("", ())


def _change(pair: Pair, claim: str) -> float | None:
    new, old = (right(case, claim) for case in pair)
    return share(new) - share(old) if new and old else None


def _collect(
    found: dict[tuple[str, Runs], list[list[float]]], cases: Sequence[CaseResult], shares: Sequence[float | None]
) -> None:
    """Add the mean of each run, in the order of their names; nothing where a case lacks the claim."""
    runs: dict[str, list[float]] = {}
    for run, value in zip(run_names(cases), shares, strict=True):
        if value is None:
            return
        runs.setdefault(run, []).append(value)
    found.setdefault(key_of(cases), []).append([fmean(runs[run]) for run in sorted(runs)])
