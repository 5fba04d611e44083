"""Cases that differ only in their seed form one row of a table: grouping, order and measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from robustprune.errors import InputError
from robustprune.policy.measures import check_same_samples
from robustprune.results.claims import right, share
from robustprune.results.records import CaseResult
from robustprune.results.statistics import Paired, paired_seeds, wilson

TRUST_ORDER = ("INVALID", "SUSPECT", "TRUSTED")


@dataclass(frozen=True, kw_only=True)
class Group:
    """The seeds of one (model, strategy, recipe, blocks removed), each with its parent (None: is one)."""

    cases: tuple[CaseResult, ...]
    parents: tuple[CaseResult, ...] | None

    @property
    def first(self) -> CaseResult:
        """Any of the cases, for what the seeds share."""
        return self.cases[0]

    @property
    def removed(self) -> int:
        """Number of blocks that are gone."""
        return len(self.first.removed)

    @property
    def trust(self) -> str:
        """The worst trust of the seeds."""
        return min((case.trust for case in self.cases), key=TRUST_ORDER.index)

    @property
    def label(self) -> str:
        """Strategy and budget in a few words."""
        pruned = f", {self.removed} blocks" if self.removed else ""
        return f"{self.first.strategy}{pruned}"


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A proportion over seeds: mean, interval (means of the seeds' Wilson ends), and the seeds' range."""

    mean: float
    low: float
    high: float
    least: float
    most: float


def group(cases: Sequence[CaseResult]) -> list[Group]:
    """Group cases over seeds. Model by model: the parent, unpruned controls, then strategies by budget.

    InputError where a parent is not among the cases or saw other samples.
    """
    by_name = {case.case: case for case in cases}
    found: dict[tuple[str, str, str, int], list[CaseResult]] = {}
    for case in cases:
        found.setdefault((case.model, case.strategy, case.recipe, len(case.removed)), []).append(case)
    models = [*dict.fromkeys(case.model for case in cases)]
    strategies = [*dict.fromkeys(case.strategy for case in cases)]
    groups = [Group(cases=tuple(members), parents=_parents(members, by_name)) for members in found.values()]
    return sorted(
        groups,
        key=lambda one: (
            models.index(one.first.model),
            one.parents is not None,
            one.removed,
            strategies.index(one.first.strategy),
        ),
    )


def accuracy(group: Group, measure: str, confidence: float = 0.95) -> Accuracy | None:
    """Return the accuracy of a group by a measure; None unless every seed has it."""
    rows = [right(case, measure) for case in group.cases]
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


def difference(group: Group, measure: str, confidence: float = 0.95) -> Paired | None:
    """Compare a group with its parents, sample by sample; None for a parent or without the measure."""
    if group.parents is None:
        return None
    olds = [row for row in (right(parent, measure) for parent in group.parents) if row]
    news = [row for row in (right(case, measure) for case in group.cases) if row]
    if len(olds) < len(group.parents) or len(news) < len(group.cases):
        return None
    return paired_seeds(olds, news, confidence)


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
