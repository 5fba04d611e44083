"""Which strategy keeps more? A consensus against every strategy of one criterion at the same budget, paired.

The networks compared saw the same samples and were fine-tuned with the same seeds, so they are compared
sample by sample within each seed. p-values are adjusted (Holm) over all comparisons of one measure in which
the networks differ: at the structural limit every strategy ends in the same network, and nothing is tested
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robustprune.report.groups import Group, group
from robustprune.results.claims import CLEAN, WORST, right
from robustprune.results.records import CaseResult
from robustprune.results.significance import holm
from robustprune.results.statistics import Paired, paired_seeds

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One strategy against another: same model, recipe, budget and seeds, by one measure."""

    ours: Group
    theirs: Group
    measure: str
    seeds: tuple[int, ...]
    pair: Paired
    """The other strategy is the parent of the comparison: difference is ours minus theirs."""
    same_blocks: bool
    """Both removed the same blocks for every seed: there is nothing to compare."""


def strategies(cases: Sequence[CaseResult], confidence: float = 0.95) -> DataFrame:
    """Compare every strategy that combines criteria with all that do not: worst-case robust and clean accuracy.

    Columns: model, recipe, removed, strategy, other, measure, seeds, n, difference, low, high, p, p_holm,
    same_blocks and result (better, worse, no difference shown, same blocks). An empty
    frame if there is nothing to compare.
    """
    from pandas import DataFrame

    found: list[dict[str, Any]] = []
    for measure in (WORST, CLEAN):
        contests = list(_contests(group(cases), measure, confidence))
        adjusted = iter(holm([contest.pair.p for contest in contests if not contest.same_blocks]))
        found += [_row(one, 1.0 if one.same_blocks else next(adjusted), confidence) for one in contests]
    return DataFrame(found)


def _contests(groups: Sequence[Group], measure: str, confidence: float) -> Iterator[Contest]:
    pruned = [one for one in groups if one.parents is not None and one.removed]
    for mine in (one for one in pruned if one.first.combines):
        for other in pruned:
            if other.first.combines or _setting(other) != _setting(mine):
                continue
            contest = _contest(mine, other, measure, confidence)
            if contest is not None:
                yield contest


def _setting(one: Group) -> tuple[str, str, int]:
    return one.first.model, one.first.recipe, one.removed


def _contest(mine: Group, other: Group, measure: str, confidence: float) -> Contest | None:
    """Compare over the seeds that both have; None where there are none, or where a measure is missing."""
    left, right_ = ({case.seed: case for case in one.cases} for one in (mine, other))
    seeds = tuple(sorted(left.keys() & right_.keys()))
    news = [right(left[seed], measure) for seed in seeds]
    olds = [right(right_[seed], measure) for seed in seeds]
    if not seeds or not all(news) or not all(olds):
        return None
    pair = paired_seeds([row for row in olds if row], [row for row in news if row], confidence)
    same = all(set(left[seed].removed) == set(right_[seed].removed) for seed in seeds)
    return Contest(ours=mine, theirs=other, measure=measure, seeds=seeds, pair=pair, same_blocks=same)


def _row(contest: Contest, p: float, confidence: float) -> dict[str, Any]:
    case, pair = contest.ours.first, contest.pair
    result = "no difference shown"
    if contest.same_blocks:
        result = "same blocks"
    elif p < 1 - confidence:
        result = "better" if pair.difference > 0 else "worse"
    return {
        "model": case.model,
        "recipe": case.recipe,
        "removed": contest.ours.removed,
        "strategy": case.strategy,
        "other": contest.theirs.first.strategy,
        "measure": contest.measure,
        "seeds": len(contest.seeds),
        "n": pair.n,
        "difference": pair.difference,
        "low": pair.low,
        "high": pair.high,
        "p": pair.p,
        "p_holm": p,
        "same_blocks": contest.same_blocks,
        "result": result,
    }
