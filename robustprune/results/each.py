"""What samples withstood of a list of transforms, one by one: its mean, and the worst by name.

An attack that tries every transform on every right sample notes how many withstood each. Shares are over all n samples,
so that a clean error counts as an error under every transform, as it does under every attack; Hendrycks and Dietterich
(1903.12261) count a sample that only its corruption makes right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from robustprune.results.records import Outcomes

WITHSTOOD = "withstood"
"""The note that holds, by the name of a transform, how many samples were right and stayed right."""


@dataclass(frozen=True, kw_only=True)
class Each:
    """By the name of a transform, how many of n samples withstood it."""

    withstood: Mapping[str, int]
    n: int

    @property
    def shares(self) -> dict[str, float]:
        """The accuracy under each transform."""
        return {name: count / self.n for name, count in self.withstood.items()}

    @property
    def mean(self) -> float:
        """The mean accuracy over the transforms."""
        return fmean(self.shares.values())

    @property
    def worst(self) -> tuple[str, float]:
        """The transform that fewest samples withstood, and its accuracy; of equals the first."""
        return min(self.shares.items(), key=lambda one: one[1])


def each(outcome: Outcomes) -> Each | None:
    """Return what samples withstood one by one; None where that was not looked at."""
    found = outcome.notes.get(WITHSTOOD)
    if not isinstance(found, dict) or not found or not outcome.status:
        return None
    return Each(withstood=found, n=len(outcome.status))


def added(notes: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up what was withstood in the parts of one sample.

    >>> added([{"blur": 2, "noise": 1}, {"blur": 1, "noise": 0}])
    {'blur': 3, 'noise': 1}
    """
    total: dict[str, int] = {}
    for one in notes:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total
