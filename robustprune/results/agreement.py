"""How far several orders of the same things agree: Spearman's correlation, Kendall's W, and who is in the lowest half.

Pure functions of plain numbers; in all of them things that are tied share the mean of their ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from statistics import fmean

from robustprune.errors import InputError

Votes = Mapping[str, Mapping[str, float]]
"""Criterion -> block -> score, higher = keep; all of the same blocks."""

EVEN = 1e-12
"""Rounding in sums of ranks and in a share of a number."""


def ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, 1 for the lowest; equal values share the mean of theirs.

    >>> ranks([0.3, 0.1, 0.3, 0.9])
    [2.5, 1.0, 2.5, 4.0]
    """
    below = [sum(other < value for other in values) for value in values]
    alike = [sum(other == value for other in values) for value in values]
    return [low + (same + 1) / 2 for low, same in zip(below, alike, strict=True)]


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the correlation of two orders' ranks, in [-1, 1]; nan where one of them has a single value.

    >>> spearman([1, 2, 3], [10, 30, 20])
    0.5
    """
    a, b = ([rank - (len(values) + 1) / 2 for rank in ranks(values)] for values in (first, second))
    size = (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
    return sum(x * y for x, y in zip(a, b, strict=True)) / size if size else nan


def kendall_w(orders: Sequence[Sequence[float]]) -> float:
    """Return Kendall's coefficient of concordance of m orders of n things: 1 for one order, 0 for no agreement at all.

    W = 12 S / (m² (n³ - n) - m T), S the sum of squares of the things' rank sums about their mean, T the sum over the
    orders' ties of t³ - t (Kendall & Babington Smith 1939, corrected for ties; Siegel & Castellan 1988, 9.4). The mean
    of Spearman's correlation over all pairs is then (m W - 1) / (m - 1), where nothing is tied. nan where every order
    has a single value. Raises InputError unless there are two orders of the same two things or more.

    >>> kendall_w([[1, 2, 3], [2, 3, 4], [0, 5, 9]]), kendall_w([[1, 2, 3], [2, 3, 1], [3, 1, 2]])
    (1.0, 0.0)
    """
    m, n = len(orders), len(orders[0]) if orders else 0
    if m < 2 or n < 2 or any(len(order) != n for order in orders):
        raise InputError(f"concordance: orders of {[*map(len, orders)]} things, expected two or more of the same two")
    sums = [sum(column) for column in zip(*map(ranks, orders), strict=True)]
    spread = sum((one - m * (n + 1) / 2) ** 2 for one in sums)
    ties = sum(order.count(value) ** 3 - order.count(value) for order in map(list, orders) for value in {*order})
    most = m * m * (n**3 - n) - m * ties
    return 12 * spread / most if most else nan


def mean_correlations(runs: Sequence[Votes]) -> dict[str, dict[str, float]]:
    """Return Spearman's correlation of every two criteria, the mean over the runs that have both; nan where none has.

    >>> votes = {"a": {"x": 1, "y": 2, "z": 3}, "b": {"x": 1, "y": 3, "z": 2}}
    >>> mean_correlations([votes, {"a": votes["a"]}])["a"]
    {'a': 1.0, 'b': 0.5}
    """
    names = [*dict.fromkeys(name for votes in runs for name in votes)]
    return {one: {other: _mean_correlation(runs, one, other) for other in names} for one in names}


def _mean_correlation(runs: Sequence[Votes], one: str, other: str) -> float:
    both = [(votes[one], votes[other]) for votes in runs if one in votes and other in votes]
    found = [spearman([*first.values()], [second[block] for block in first]) for first, second in both]
    found = [value for value in found if value == value]
    return fmean(found) if found else nan


def lowest(scores: Mapping[str, float], fraction: float = 0.5) -> set[str]:
    """Return the lowest blocks, the floor of `fraction` of all and at least one, with what is tied with the last.

    These are what a consensus by agreement calls a criterion's candidates.

    >>> sorted(lowest({"a": 1.0, "b": 3.0, "c": 2.0, "d": 2.0, "e": 4.0}))
    ['a', 'c', 'd']
    """
    allowed = max(1, int(fraction * len(scores) + EVEN))
    return {block for block, score in scores.items() if sum(other < score for other in scores.values()) < allowed}


def rank_sums(votes: Votes, weights: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the sum of each block's ranks over the criteria, each times its weight (None: one vote each).

    >>> rank_sums({"a": {"x": 0.1, "y": 0.5}, "b": {"x": 3.0, "y": 3.0}})
    {'x': 2.5, 'y': 3.5}
    """
    blocks = [*next(iter(votes.values()))]
    shares = [1.0 if weights is None else weights[name] for name in votes]
    orders = [
        [share * rank for rank in ranks([scores[block] for block in blocks])]
        for share, scores in zip(shares, votes.values(), strict=True)
    ]
    return dict(zip(blocks, map(sum, zip(*orders, strict=True)), strict=True))


def taken(scores: Mapping[str, float], count: int, keep: int = 0) -> set[str]:
    """Return the `count` lowest blocks, the earlier of equal ones, where each stage keeps `keep` of those scored.

    A stage is taken to be the blocks of one container, the name without its last part; fewer go where no more may.

    >>> sorted(taken({"one.1": 1.0, "one.2": 2.0, "two.1": 3.0, "two.2": 3.0}, 2, keep=1))
    ['one.1', 'two.1']
    """
    stages = [name.rpartition(".")[0] for name in scores]
    free = {stage: stages.count(stage) - keep for stage in stages}
    found: set[str] = set()
    for block in sorted(scores, key=scores.__getitem__):
        stage = block.rpartition(".")[0]
        if len(found) < count and free[stage] > 0:
            free[stage] -= 1
            found.add(block)
    return found
