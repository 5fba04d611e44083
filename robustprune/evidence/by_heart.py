"""Did a network learn the evaluation samples by heart? Its loss on them beside that on others drawn like them.

Within a class the samples were drawn at random from the test images, so a network that never saw them does as well on
the rest of these, up to chance: every way of dealing a class's images out again is as likely as the one at hand
(a permutation test, Fisher 1935; Good, Permutation Tests, 2000, chapter 3). So the test is exact, whatever the network
is, and two are made: of the loss itself, and of the loss beside the parent's on the same image, in which hard images
weigh nothing. Who learned the others by heart too is not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustprune.evidence.registry import Seen, skipped

Numbers = NDArray[np.float64]

FEWEST = 20
"""Images on either side, without which nothing can be said."""

CHANCE, SUSPICIOUS = 0.0001, 0.01
"""How rarely an honest network is called one that learned by heart, and one that may have."""

LEAST = 0.1
"""Smallest gap of its own that counts, as a share of its loss on the others."""

DEALS, TOGETHER, ENOUGH = 19_999, 200, 100
"""Ways of dealing out that are looked at, how many at a time, and after how many as low ones no more are needed."""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Cross-entropy (n,) of candidate and parent on the same images, their classes, and which are `samples`."""

    candidate: Numbers
    parent: Numbers
    labels: NDArray[np.int64]
    samples: NDArray[np.bool_]

    def gap(self, losses: Numbers) -> float:
        """Return how much lower losses are on the samples, where every class weighs as it does among these."""
        weights = within_classes(self.labels, self.samples)
        return float(losses @ weights)


def by_heart(losses: Losses) -> Seen:
    """Say whether the candidate learned the samples by heart: a failure, which blocks where chance is ruled out."""
    inside, outside = int(losses.samples.sum()), int((~losses.samples).sum())
    if min(inside, outside) < FEWEST:
        return skipped(f"cannot be known: {outside} images like the samples are held out, expected {FEWEST} or more")
    own, parents = losses.gap(losses.candidate), losses.gap(losses.parent)
    beside = losses.candidate - losses.parent
    p = min(1.0, 2 * min(chance(losses.candidate, losses), chance(beside, losses)))
    here, others = (float(losses.candidate[rows].mean()) for rows in (losses.samples, ~losses.samples))
    learned = p <= SUSPICIOUS and own > LEAST * others
    seen = f"loss {here:.3g} on the {inside} samples, {others:.3g} on {outside} others"
    seen += f" (lower by {own:.2g} in equal classes, the parent's by {parents:.2g}; p = {p:.2g})"
    return Seen(
        status="fail" if learned else "pass",
        evidence=seen + ("; it learned the samples by heart" if learned and p <= CHANCE else ""),
        blocking=p <= CHANCE if learned else None,
        figures={"p": p, "gap": own, "parent_gap": parents, "held_out": outside},
    )


def within_classes(labels: NDArray[np.int64], samples: NDArray[np.bool_]) -> Numbers:
    """Return weights (n,) whose product with losses is how much higher these are on the others than on the samples.

    Class by class, a class counting for as many as it has on its smaller side: one that lies on one side says nothing.

    >>> within_classes(np.array([0, 0, 1]), np.array([True, False, True])).tolist()
    [-1.0, 1.0, 0.0]
    """
    weights = np.zeros(len(labels))
    for label in np.unique(labels):
        inside, outside = (labels == label) & samples, (labels == label) & ~samples
        count = min(inside.sum(), outside.sum())
        if count:
            weights[inside], weights[outside] = -count / inside.sum(), count / outside.sum()
    weights /= max(weights[weights > 0].sum(), 1)
    return weights


def chance(values: Numbers, losses: Losses, seed: int = 0) -> float:
    """Return the share of ways to deal out every class in which `values` (n,) are as much lower on the samples.

    Where it is large a few ways tell (Besag and Clifford, Biometrika 78, 1991).
    """
    generator = np.random.default_rng(seed)
    weights = within_classes(losses.labels, losses.samples)
    classes = [np.flatnonzero(losses.labels == label) for label in np.unique(losses.labels)]
    seen, made = float(values @ weights), 0
    as_low = 1
    while made < DEALS and as_low < ENOUGH:
        some = min(TOGETHER, DEALS - made)
        dealt = np.tile(weights, (some, 1))
        for members in classes:
            dealt[:, members] = generator.permuted(dealt[:, members], axis=1)
        as_low += int((dealt @ values >= seen - 1e-12).sum())
        made += some
    return as_low / (made + 1)
