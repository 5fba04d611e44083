"""A criterion made of criteria: several rankings become one.

The published form is the sum of ranks over eight metrics, unweighted (Mugnaini et al. 2411.14345). The eight
are about three families (see `robustprune.criteria`), so an unweighted sum gives the four shape metrics half
of the votes; `family_weights` lets every family count once. The text of the paper asks for more than a sum,
namely that the metrics agree on a block before it may go: rule "agreement".

All functions take votes: criterion -> block -> score, higher = keep, and return block -> score, higher =
keep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from robustprune.criteria import EIGHT, Criterion, ScoringContext
from robustprune.criteria.arrays import Array
from robustprune.errors import InputError

Votes = Mapping[str, Mapping[str, float]]
"""Criterion -> block -> score; higher = keep."""

Rule = Literal["rank-sum", "weighted", "agreement"]


def rank_sum(votes: Votes, weights: Mapping[str, float] | None = None) -> dict[str, float]:
    """Sum over criteria of each block's rank, 1 for the lowest score; ties share their mean rank (Borda).

    `weights`: criterion -> factor of its ranks; 1 each by default. Raises InputError for votes that do not
    cover the same blocks or are not finite, and for weights that do not fit the criteria.

    >>> rank_sum({"a": {"x": 0.1, "y": 0.5}, "b": {"x": 3.0, "y": 3.0}})
    {'x': 2.5, 'y': 3.5}
    """
    blocks, scores = _table(votes)
    total = _factors(votes, weights) @ rankdata(scores, axis=1)
    return dict(zip(blocks, total.tolist(), strict=True))


def weighted_sum(votes: Votes, weights: Mapping[str, float] | None = None) -> dict[str, float]:
    """Weighted mean over criteria of scores scaled to [0, 1] by their smallest and largest; in [0, 1].

    A criterion that gives all blocks one score contributes 0.5 to each. Raises InputError as `rank_sum`.

    >>> weighted_sum({"a": {"x": 1.0, "y": 5.0}, "b": {"x": 3.0, "y": 3.0}}, {"a": 3.0, "b": 1.0})
    {'x': 0.125, 'y': 0.875}
    """
    blocks, scores = _table(votes)
    factors = _factors(votes, weights)
    low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    flat = high == low
    scaled = np.where(flat, 0.5, (scores - low) / np.where(flat, 1.0, high - low))
    return dict(zip(blocks, (factors @ scaled / factors.sum()).tolist(), strict=True))


def candidates(votes: Votes, fraction: float = 0.5) -> list[str]:
    """The blocks that EVERY criterion has in its lowest `fraction`, in the order of the votes; may be empty.

    Of n blocks a criterion's lowest fraction is the floor(fraction * n) lowest (at least one), and whatever
    is tied with the last of them. Raises InputError as `rank_sum`, and for a fraction outside (0, 1].

    >>> votes = {"a": {"x": 1.0, "y": 2.0, "z": 3.0, "w": 4.0}, "b": {"x": 2.0, "y": 9.0, "z": 1.0, "w": 5.0}}
    >>> candidates(votes)
    ['x']
    """
    if not 0 < fraction <= 1:
        raise InputError(f"consensus: fraction = {fraction}, expected a number above 0 and up to 1")
    blocks, scores = _table(votes)
    allowed = max(1, int(fraction * len(blocks) + 1e-9))
    worst = rankdata(scores, method="min", axis=1).max(axis=0)
    return [block for block, rank in zip(blocks, worst.tolist(), strict=True) if rank <= allowed]


def agreement(votes: Votes, fraction: float = 0.5, weights: Mapping[str, float] | None = None) -> dict[str, float]:
    """Scores that put all `candidates` before all other blocks, each group in order of its rank sum.

    Candidates keep their rank sum; every other block gets the largest possible rank sum on top of its own.
    Raises InputError as `candidates`.

    >>> votes = {"a": {"x": 1.0, "y": 2.0, "z": 3.0, "w": 4.0}, "b": {"x": 2.0, "y": 9.0, "z": 1.0, "w": 5.0}}
    >>> agreement(votes)
    {'x': 3.0, 'y': 14.0, 'z': 12.0, 'w': 15.0}
    """
    chosen = set(candidates(votes, fraction))
    sums = rank_sum(votes, weights)
    behind = float(_factors(votes, weights).sum()) * len(sums)
    return {block: total if block in chosen else total + behind for block, total in sums.items()}


def family_weights(voters: Sequence[Criterion]) -> dict[str, float]:
    """Criterion -> weight, so that every family counts the same; the weights sum to the number of criteria.

    The family is the criterion's `family`, or its own name if it has none.

    >>> {name: round(w, 3) for name, w in family_weights(EIGHT).items()}["wasserstein"]
    2.667
    """
    families = {voter.name: str(getattr(voter, "family", voter.name)) for voter in voters}
    sizes = Counter(families.values())
    share = len(families) / len(sizes)
    return {name: share / sizes[family] for name, family in families.items()}


@dataclass(frozen=True, kw_only=True)
class Consensus:
    """Several criteria as one; `rule` combines their votes, higher = keep.

    `weights`: criterion -> weight (all 1 by default), used by every rule; `fraction` by "agreement" only.
    With the default voters, eight votes are about three opinions: `weights=family_weights(EIGHT)` evens that
    out.

    Raises InputError for no voters, two of one name, an unknown rule, weights that do not fit, or a fraction
    outside (0, 1].
    """

    name: str = "consensus"
    voters: tuple[Criterion, ...] = EIGHT
    rule: Rule = "rank-sum"
    weights: Mapping[str, float] | None = field(default=None, hash=False)
    fraction: float = 0.5

    def __post_init__(self) -> None:
        names = [voter.name for voter in self.voters]
        if not names or len(set(names)) < len(names):
            raise InputError(f"consensus: voters {names}, expected at least one, each with a name of its own")
        if self.rule not in ("rank-sum", "weighted", "agreement"):
            raise InputError(f"consensus: no rule {self.rule!r}, expected rank-sum, weighted or agreement")
        if not 0 < self.fraction <= 1:
            raise InputError(f"consensus: fraction = {self.fraction}, expected a number above 0 and up to 1")
        _factors({name: {} for name in names}, self.weights)

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """The combined scores of all blocks of the context; higher = keep."""
        return self.combine(self.votes(ctx))

    def votes(self, ctx: ScoringContext) -> dict[str, dict[str, float]]:
        """Criterion -> block -> score, for every voter; a context computes them once."""
        return {voter.name: ctx.score(voter) for voter in self.voters}

    def combine(self, votes: Votes) -> dict[str, float]:
        """What `rule` makes of `votes`."""
        if self.rule == "agreement":
            return agreement(votes, self.fraction, self.weights)
        return (rank_sum if self.rule == "rank-sum" else weighted_sum)(votes, self.weights)


def weighted() -> Consensus:
    """Consensus of the eight metrics by the mean of their scores, each scaled to [0, 1]."""
    return Consensus(name="consensus-weighted", rule="weighted")


def agreeing() -> Consensus:
    """Consensus of the eight metrics by rank sum, blocks first that all metrics have in their lower half."""
    return Consensus(name="consensus-agreement", rule="agreement")


def by_family() -> Consensus:
    """Consensus of the eight metrics by rank sum, in which each of their three families counts the same."""
    return Consensus(name="consensus-families", weights=family_weights(EIGHT))


def published() -> Consensus:
    """Consensus of the eight metrics by unweighted rank sum, the published form."""
    return Consensus()


CONSENSUS: dict[str, Callable[[], Consensus]] = {
    "consensus": published,
    "consensus-weighted": weighted,
    "consensus-agreement": agreeing,
    "consensus-families": by_family,
}
"""Name -> what makes the consensus; the first line of the factory's docstring describes it."""


def _table(votes: Votes) -> tuple[list[str], Array]:
    """Blocks, and scores (criteria, blocks)."""
    if not votes or not next(iter(votes.values())):
        raise InputError("consensus: no votes, expected at least one criterion and one block")
    blocks = list(next(iter(votes.values())))
    for name, scores in votes.items():
        if set(scores) != set(blocks):
            other = sorted(set(scores) ^ set(blocks))
            raise InputError(f"consensus: {name} scores other blocks than {next(iter(votes))}: {', '.join(other)}")
        bad = [block for block in blocks if not np.isfinite(scores[block])]
        if bad:
            raise InputError(f"consensus: {name} gives NaN or Inf to {', '.join(bad)}, expected finite scores")
    return blocks, np.array([[scores[block] for block in blocks] for scores in votes.values()], dtype=np.float64)


def _factors(votes: Votes, weights: Mapping[str, float] | None) -> Array:
    if weights is None:
        return np.ones(len(votes))
    if set(weights) != set(votes):
        other = sorted(set(weights) ^ set(votes))
        raise InputError(f"consensus: weights and voters differ in {', '.join(other)}, expected one weight a voter")
    factors = np.array([weights[name] for name in votes], dtype=np.float64)
    if not np.isfinite(factors).all() or (factors < 0).any() or not factors.any():
        raise InputError(f"consensus: weights {dict(weights)}, expected finite numbers >= 0, at least one above 0")
    return factors
