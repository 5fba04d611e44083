"""Cases that differ only in their run form one row of a table: grouping, order and measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from robustprune.errors import InputError
from robustprune.policy.measures import check_same_samples
from robustprune.results.claims import right, share
from robustprune.results.crossed import Crossed, Spread
from robustprune.results.overstated import over_runs, pooled
from robustprune.results.records import CaseResult, Trust
from robustprune.results.runs import Pair, compared, key_of
from robustprune.results.significance import mcnemar
from robustprune.results.statistics import wilson
from robustprune.results.trust import ORDER, findings, skipped, trusts


@dataclass(frozen=True, kw_only=True)
class Group:
    """The runs of one (family, strategy, recipe, blocks removed), each with its parent (None: is one)."""

    cases: tuple[CaseResult, ...]
    parents: tuple[CaseResult, ...] | None

    @property
    def first(self) -> CaseResult:
        """Any of the cases, for what the runs share."""
        return self.cases[0]

    @property
    def pairs(self) -> list[Pair]:
        """Every case with its parent; none for a parent."""
        return [*zip(self.cases, self.parents or (), strict=self.parents is not None)]

    @property
    def removed(self) -> int:
        """Number of blocks that are gone."""
        return len(self.first.removed)

    @property
    def trusts(self) -> list[Trust]:
        """What the number of each run is worth."""
        return trusts(self.cases)

    @property
    def trust(self) -> Trust:
        """The worst trust of the runs."""
        return min(self.trusts, key=ORDER.index)

    @property
    def findings(self) -> list[str]:
        """What failed in the runs and says nothing about the attack: of the network, or of the sample."""
        return findings(self.cases)

    @property
    def skipped(self) -> int:
        """How many checks of the attack were skipped in any of the runs."""
        return skipped(self.cases)

    @property
    def overstated(self) -> Overstatement | None:
        """How far its mean robust accuracy may be above a stronger attack's, where that is most over the threats."""
        found = [
            Overstatement(
                bound=pooled(runs),
                found=fmean(run.found for run in runs),
                beside=runs[0].beside,
                bounded=any(run.bounded for run in runs),
            )
            for runs in over_runs(self.cases).values()
        ]
        return max(found, key=lambda one: one.bound, default=None)

    @property
    def label(self) -> str:
        """Strategy and budget in a few words."""
        pruned = f", {self.removed} blocks" if self.removed else ""
        return f"{self.first.strategy}{pruned}"


@dataclass(frozen=True, kw_only=True)
class Overstatement:
    """By how much a mean robust accuracy is too high: at most, and what of it was found. Proportions."""

    bound: float
    found: float
    beside: str
    """The stronger attack."""
    bounded: bool
    """Whether anything is known but that all survivors might break."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A proportion over runs: mean, interval (means of the runs' Wilson ends), and the runs' range."""

    mean: float
    low: float
    high: float
    least: float
    most: float


def group(cases: Sequence[CaseResult]) -> list[Group]:
    """Group cases over runs. Family by family: the parent, unpruned controls, then strategies by budget.

    InputError where a parent is not among the cases or saw other samples.
    """
    by_name = {case.case: case for case in cases}
    found: dict[tuple[str, str, str, int], list[CaseResult]] = {}
    for case in cases:
        found.setdefault((case.family, case.strategy, case.recipe, len(case.removed)), []).append(case)
    families = [*dict.fromkeys(case.family for case in cases)]
    strategies = [*dict.fromkeys(case.strategy for case in cases)]
    groups = [Group(cases=tuple(members), parents=_parents(members, by_name)) for members in found.values()]
    return sorted(
        groups,
        key=lambda one: (
            families.index(one.first.family),
            one.parents is not None,
            one.removed,
            strategies.index(one.first.strategy),
        ),
    )


def accuracy(group: Group, measure: str, confidence: float = 0.95) -> Accuracy | None:
    """Return the accuracy of a group by a measure; None unless every seed has it."""
    return over_rows([right(case, measure) for case in group.cases], confidence)


def over_rows(rows: Sequence[list[bool] | None], confidence: float = 0.95) -> Accuracy | None:
    """Return the share of samples for which something holds, a row a run; None unless every run has it."""
    whole = [row for row in rows if row]
    if len(whole) < len(rows):
        return None
    shares = [share(row) for row in whole]
    ends = [wilson(sum(row), len(row), confidence) for row in whole]
    return Accuracy(
        mean=fmean(shares),
        low=fmean(low for low, _ in ends),
        high=fmean(high for _, high in ends),
        least=min(shares),
        most=max(shares),
    )


def difference(
    group: Group,
    measure: str,
    confidence: float = 0.95,
    spreads: Mapping[tuple[str, tuple[str, ...]], Spread] | None = None,
) -> Crossed | None:
    """Compare a group with its parents over samples and runs; None for a parent or without the measure.

    `spreads` are pooled variances between runs. A finished artefact is compared for itself: its samples decide.
    """
    pooled = (spreads or {}).get(key_of(group.cases))
    found = compared(group.pairs, measure, confidence, pooled)
    if found is None or not group.first.as_given:
        return found
    return replace(found, p=mcnemar(round(found.fixed), round(found.broken)))


def _parents(members: Sequence[CaseResult], by_name: Mapping[str, CaseResult]) -> tuple[CaseResult, ...] | None:
    if all(case.parent is None for case in members):
        return None
    found = []
    for case in members:
        if case.parent is None or case.parent not in by_name:
            raise InputError(f"{case.case}: its parent {case.parent!r} is not among the cases; pass both")
        parent = by_name[case.parent]
        check_same_samples(case, parent)
        found.append(parent)
    return tuple(found)
