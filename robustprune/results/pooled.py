"""Two strategies over several suites: their difference over samples, parents and seeds, with everything counted once.

A stratum is a family of parents on one set of images; it is fixed, and all strata count the same. Within it runs
(parents) are drawn, and every run sees every sample. The difference is the mean over strata of the mean over runs. Its
variance has two parts, as in crossed.py: the samples', from the mean difference on each sample over all strata with
these images, by Tango's score method with each set of images shifted alike; and the runs', from how the runs of a
stratum differ. With one stratum this is `crossed` itself, but for its exact test over samples.

The runs' part has few degrees of freedom: the runs less the strata, weighed by Satterthwaite. Comparisons that are made
side by side lend each other theirs (moderated.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustprune.results.crossed import Spread
from robustprune.results.moderated import alone, own
from robustprune.results.statistics import Scored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """What one stratum says of a comparison: for every run and sample the mean difference, from -1 to 1."""

    samples: str
    """Which images; strata of the same ones share them."""
    rows: NDArray[np.float64]
    """(runs, samples)."""

    @property
    def chance(self) -> float:
        """What the samples' chance adds to the variance of the mean over runs; the samples' part counts it already."""
        runs, n = self.rows.shape
        rest = self.rows - self.rows.mean(axis=0) - self.rows.mean(axis=1, keepdims=True) + self.rows.mean()
        left = (rest * rest).sum() / ((runs - 1) * max(n - 1, 1))
        return float(left / (n * runs))


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """The difference of two strategies over all strata, as a share, with its interval and two-sided p-value."""

    difference: float
    low: float
    high: float
    p: float
    df: float
    n: int
    """Samples, each image once."""
    runs: int
    strata: int


def pooled(strata: Sequence[Stratum], spread: Spread | None = None, confidence: float = 0.95) -> Pooled:
    """Compare over all strata; `spread` is the runs' part of the variance (None: from these runs alone).

    >>> import numpy as np
    >>> rows = np.array([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    >>> found = pooled([Stratum(samples="a", rows=rows)])
    >>> found.difference, found.runs, found.n
    (0.375, 2, 4)
    """
    used = spread or alone(own([stratum.rows.mean(axis=1) for stratum in strata]))
    images = [_Images.of(strata, name) for name in dict.fromkeys(stratum.samples for stratum in strata)]
    chance = sum(stratum.chance for stratum in strata) / len(strata) ** 2
    extra = max(0.0, used.variance - chance)
    middle = math.fsum(one.weight * one.scored.estimate for one in images)
    total = _variance(images, 0.0) + extra
    df = used.df * (total / used.variance) ** 2 if used.variance > 0 else math.inf
    quantile = _quantile((1 + confidence) / 2, df)
    return Pooled(
        difference=middle,
        low=middle - _reach(images, extra, quantile, -1),
        high=middle + _reach(images, extra, quantile, 1),
        p=_p_value(middle, _variance(images, -middle) + extra, df),
        df=df,
        n=sum(one.scored.n for one in images),
        runs=sum(len(stratum.rows) for stratum in strata),
        strata=len(strata),
    )


@dataclass(frozen=True)
class _Images:
    """The mean difference on each sample of one set of images, over all strata that have them."""

    weight: float
    scored: Scored

    @classmethod
    def of(cls, strata: Sequence[Stratum], name: str) -> _Images:
        own_rows = [stratum.rows.mean(axis=0) for stratum in strata if stratum.samples == name]
        return cls(len(own_rows) / len(strata), Scored.of((sum(own_rows) / len(own_rows)).tolist()))


def _variance(images: Sequence[_Images], shift: float) -> float:
    """Return the samples' part of the variance, if every set's true difference were the estimate plus `shift`."""
    return math.fsum(one.weight**2 * one.scored.variance(one.scored.estimate + shift) for one in images)


def _reach(images: Sequence[_Images], extra: float, quantile: float, sign: int) -> float:
    """Return how far an end of the interval lies from the difference: where the score test just rejects."""
    from scipy.optimize import brentq

    middle = math.fsum(one.weight * one.scored.estimate for one in images)

    def excess(distance: float) -> float:
        return distance - quantile * math.sqrt(_variance(images, sign * distance) + extra)

    most = 2.0 + 2 * quantile * math.sqrt(extra + 1)
    found = float(brentq(excess, 1e-12, most, xtol=1e-13, rtol=1e-13)) if excess(1e-12) < 0 else 0.0
    return min(found, 1 - sign * middle)


def _quantile(share: float, df: float) -> float:
    from scipy.stats import norm, t

    return float(norm.ppf(share) if math.isinf(df) else t.ppf(share, df))


def _p_value(difference: float, variance: float, df: float) -> float:
    from scipy.stats import norm, t

    if variance <= 0:
        return 1.0 if difference == 0 else 0.0
    score = abs(difference) / math.sqrt(variance)
    return float(2 * (norm.sf(score) if math.isinf(df) else t.sf(score, df)))
