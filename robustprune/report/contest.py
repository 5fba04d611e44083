"""Which strategy keeps more? A consensus against every strategy of one criterion at the same budget, paired.

The networks compared saw the same samples, began with the same parents and were fine-tuned with the same seeds, so they
are compared sample by sample within each run, and the difference is over samples and runs (`results.crossed`), the
variance between runs pooled over all strategies of the family. p-values are adjusted (Holm) over all comparisons of one
measure in which the networks differ: at the structural limit every strategy ends in the same network, and nothing is
tested there. Fewer than three runs support no claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robustprune.report.groups import Group, group
from robustprune.results.claims import CLEAN, WORST
from robustprune.results.crossed import Crossed
from robustprune.results.records import CaseResult
from robustprune.results.runs import ENOUGH, Pair, compared, counted, key_of, spread_of_pairs
from robustprune.results.significance import holm

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One strategy against another: same family, recipe, budget and runs, by one measure."""

    ours: Group
    theirs: Group
    measure: str
    pairs: tuple[Pair, ...]
    """Ours and theirs, run by run."""
    found: Crossed
    """Difference is ours minus theirs."""

    @property
    def same_blocks(self) -> bool:
        """Both removed the same blocks in every run: there is nothing to compare."""
        return all(set(mine.removed) == set(other.removed) for mine, other in self.pairs)

    @property
    def tested(self) -> bool:
        """Whether there are runs enough, and networks that differ."""
        return self.found.runs >= ENOUGH and not self.same_blocks


def strategies(cases: Sequence[CaseResult], confidence: float = 0.95) -> DataFrame:
    """Compare every strategy that combines criteria with all that do not: worst-case robust and clean accuracy.

    Columns: model, recipe, removed, strategy, other, measure, runs, of (the runs in words), n, difference, low, high,
    p, p_holm, same_blocks and result (better, worse, no difference shown, same blocks, too few runs). An empty frame if
    there is nothing to compare.
    """
    from pandas import DataFrame

    found: list[dict[str, Any]] = []
    for measure in (WORST, CLEAN):
        contests = list(contests_of(group(cases), measure, confidence))
        adjusted = iter(holm([contest.found.p for contest in contests if contest.tested]))
        found += [_row(one, next(adjusted) if one.tested else 1.0, confidence) for one in contests]
    return DataFrame(found)


def contests_of(groups: Sequence[Group], measure: str, confidence: float = 0.95) -> Iterator[Contest]:
    """Yield every contest by one measure."""
    pruned = [one for one in groups if one.parents is not None and one.removed and one.first.twin is None]
    trained = [one for one in groups if one.parents is not None and not one.first.as_given]
    spreads = spread_of_pairs([one.cases for one in trained], measure)
    for mine in (one for one in pruned if one.first.combines):
        for other in pruned:
            if other.first.combines or _setting(other) != _setting(mine):
                continue
            pairs = _matched(mine, other)
            found = compared(pairs, measure, confidence, spreads.get(key_of([case for case, _ in pairs])))
            if found is not None:
                yield Contest(ours=mine, theirs=other, measure=measure, pairs=pairs, found=found)


def _setting(one: Group) -> tuple[str, str, int]:
    return one.first.family, one.first.recipe, one.removed


def _matched(mine: Group, other: Group) -> tuple[Pair, ...]:
    """Put beside each other what was pruned from one parent with one seed."""
    theirs = {(case.model, case.seed): case for case in other.cases}
    return tuple((case, theirs[key]) for case in mine.cases if (key := (case.model, case.seed)) in theirs)


def _row(contest: Contest, p: float, confidence: float) -> dict[str, Any]:
    case, pair = contest.ours.first, contest.found
    result = "no difference shown"
    if not contest.tested:
        result = "same blocks" if contest.same_blocks else "too few runs"
    elif p < 1 - confidence:
        result = "better" if pair.difference > 0 else "worse"
    return {
        "model": case.family,
        "recipe": case.recipe,
        "removed": contest.ours.removed,
        "strategy": case.strategy,
        "other": contest.theirs.first.strategy,
        "measure": contest.measure,
        "runs": pair.runs,
        "of": counted([mine for mine, _ in contest.pairs]),
        "n": pair.n,
        "difference": pair.difference,
        "low": pair.low,
        "high": pair.high,
        "p": pair.p,
        "p_holm": p,
        "same_blocks": contest.same_blocks,
        "result": result,
    }
