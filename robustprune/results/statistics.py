"""Intervals and tests for proportions on the same samples: what every verdict and table rests on.

Robust accuracy is a proportion, and every comparison here is paired: two networks see the same samples, so what counts
is the samples on which they disagree ("discordant"): `fixed` (wrong before, right now) and `broken` (right before,
wrong now). Their difference over n is the change in accuracy, and its interval is much narrower than that of two
independent samples. Tango's score interval is used because it keeps its level where the usual one collapses: with few
or no discordant samples, which is just what a good pruned network produces. scipy is imported where it is used, so that
importing this module costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, fmean

from robustprune.errors import InputError
from robustprune.results.significance import mcnemar, sign_flip

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The comparison of two networks on the same n samples; `difference` is child minus parent, a proportion.

    `low` and `high` bound the difference (Tango), `p` is the exact two-sided p-value for "they differ". Over several
    seeds `fixed`, `broken` and `difference` are means per seed.
    """

    n: int
    fixed: float
    broken: float
    difference: float
    low: float
    high: float
    p: float


@cache
def wilson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of the proportion k / n (Wilson, JASA 22, 1927).

    >>> low, high = wilson(81, 263)
    >>> round(low, 4), round(high, 4)
    (0.2553, 0.3662)
    """
    from scipy.stats import binomtest

    if not 0 <= k <= n or n == 0:
        raise InputError(f"wilson: {k} of {n}: expected 0 <= k <= n and n >= 1")
    interval = binomtest(k, n).proportion_ci(_level(confidence), method="wilson")
    return max(float(interval.low), 0.0), min(float(interval.high), 1.0)


@cache
def tango(fixed: float, broken: float, n: int, confidence: float = 0.95) -> Interval:
    """Return Tango's score interval of the paired difference (fixed - broken) / n, within [-1, 1].

    The ends are the differences that the score test (`tango_score`) just does not reject (Tango, Stat. Med. 17, 1998,
    891-908). With no discordant sample they are -+ z² / (n + z²): sameness on n samples is no proof of sameness.

    >>> low, high = tango(6, 16, 161)  # a published example: -0.0621, 95 % interval -0.1240 to -0.0054
    >>> round(low, 4), round(high, 4)
    (-0.124, -0.0054)
    """
    _check_counts(fixed, broken, n)
    return _tango_ends(fixed, broken, n, _z(confidence))


def tango_score(fixed: float, broken: float, n: int, difference: float) -> float:
    """Return the score statistic for a true paired difference: observed minus assumed, in standard errors.

    `(fixed - broken - n d) / sqrt(n (2 q + d (1 - d)))`, where q is the maximum-likelihood share of broken samples
    under the assumed difference d. Where the variance is 0 it is 0 for a perfect fit, else infinite.
    """
    gap = fixed - broken - n * difference
    spread = math.sqrt(_null_variance(fixed, broken, n, difference))
    if spread == 0:
        return 0.0 if gap == 0 else math.copysign(math.inf, gap)
    return gap / spread


def needed_n(fixed: float, broken: float, n: int, margin: float, confidence: float = 0.95) -> int | None:
    """Return the smallest sample size that settles a difference like the observed one against -margin.

    At constant shares of fixed and broken samples the score statistic T at -margin grows with sqrt(n), so the interval
    leaves -margin when n exceeds n (z / T)². It is the size at which the OBSERVED difference settles; a new sample
    comes out a little different, so expect to need up to twice as many. None where the observed difference sits on the
    margin: no sample size settles that.

    >>> needed_n(0, 0, 50, margin=0.01), needed_n(1, 2, 100, margin=0.01)
    (381, None)
    """
    _check_counts(fixed, broken, n)
    score = tango_score(fixed, broken, n, -margin)
    if abs(score) < 1e-9:
        return None
    return math.floor(n * (_z(confidence) / score) ** 2) + 1


def paired(parent: Sequence[bool], child: Sequence[bool], confidence: float = 0.95) -> Paired:
    """Compare two networks sample by sample: True where a network is right (or robust).

    >>> result = paired([True, True, True, False], [True, False, False, True])
    >>> result.fixed, result.broken, result.difference
    (1, 2, -0.25)
    """
    if len(parent) != len(child) or not parent:
        raise InputError(f"paired: {len(parent)} and {len(child)} samples: expected the same samples, at least one")
    fixed, broken = _discordant(parent, child)
    n = len(parent)
    low, high = tango(fixed, broken, n, confidence)
    p = mcnemar(fixed, broken)
    return Paired(n=n, fixed=fixed, broken=broken, difference=(fixed - broken) / n, low=low, high=high, p=p)


def paired_seeds(
    parents: Sequence[Sequence[bool]], children: Sequence[Sequence[bool]], confidence: float = 0.95
) -> Paired:
    """Compare over seeds: the mean difference of children from parents, pair by pair, on the same samples.

    The seeds share their samples, so pooling their counts would pass one sample seen by three networks off as three.
    Here the sample is the unit: its difference d is the mean over the seeds, between -1 and 1 (`Scored`). For one
    seed, and for seeds that agree everywhere, this is Tango's interval. The test is `sign_flip`. Both speak of these
    trained networks on new samples, not of networks trained anew: crossed.py is for that.
    """
    if len(parents) != len(children) or not parents or len({len(row) for row in [*parents, *children]}) != 1:
        raise InputError("paired_seeds: expected one parent for every child, all on the same samples")
    olds, news = zip(*parents, strict=True), zip(*children, strict=True)
    sums = [sum(new) - sum(old) for old, new in zip(olds, news, strict=True)]
    if not sums:
        raise InputError("paired_seeds: no samples; expected at least one")
    means = [value / len(parents) for value in sums]
    low, high = Scored.of(means).interval(_z(confidence))
    counts = [_discordant(old, new) for old, new in zip(parents, children, strict=True)]
    return Paired(
        n=len(sums),
        fixed=fmean(fixed for fixed, _ in counts),
        broken=fmean(broken for _, broken in counts),
        difference=fmean(means),
        low=low,
        high=high,
        p=sign_flip(sums),
    )


@dataclass(frozen=True)
class Scored:
    """The mean of n differences, each from -1 to 1, as Tango's score method sees it.

    Tango's interval is taken for a variable with the values -a, 0 and a that has the mean of the differences d and
    their second moment, so a = sum d² / sum |d|; one sample with d² = |d| = 1 is added to both sums, so that few
    discordant samples do not pass for certainty. Differences of -1, 0 and 1 have a = 1: this is Tango's interval.
    """

    up: float
    down: float
    n: int
    scale: float

    @classmethod
    def of(cls, means: Sequence[float]) -> Scored:
        """Look at these differences."""
        up, down = math.fsum(d for d in means if d > 0), -math.fsum(d for d in means if d < 0)
        scale = (math.fsum(d * d for d in means) + 1) / (up + down + 1)
        return cls(up / scale, down / scale, len(means), scale)

    @property
    def estimate(self) -> float:
        """Their mean."""
        return self.scale * (self.up - self.down) / self.n

    def variance(self, difference: float) -> float:
        """Return the variance of their mean, if `difference` were the true one."""
        wanted = max(-1.0, min(1.0, difference / self.scale))
        return self.scale**2 * _null_variance(self.up, self.down, self.n, wanted) / self.n**2

    def interval(self, quantile: float, extra: float = 0.0) -> Interval:
        """Return the score interval; `extra` is added to the variance of the mean."""
        if not extra:
            low, high = _tango_ends(self.up, self.down, self.n, quantile)
            return self.scale * low, self.scale * high

        def excess(sign: int) -> Callable[[float], float]:
            return lambda d: sign * (self.estimate - d) - quantile * math.sqrt(self.variance(d) + extra)

        beyond = abs(self.estimate) + 1 + 2 * quantile * math.sqrt(extra + 1)
        low = _root(excess(1), -beyond, self.estimate - 1e-12)
        return max(-1.0, low), min(1.0, _root(excess(-1), self.estimate + 1e-12, beyond))


def _discordant(parent: Sequence[bool], child: Sequence[bool]) -> tuple[int, int]:
    """Count the samples that came right and those that went wrong."""
    fixed = sum(new and not old for old, new in zip(parent, child, strict=True))
    broken = sum(old and not new for old, new in zip(parent, child, strict=True))
    return fixed, broken


def _tango_ends(fixed: float, broken: float, n: int, z: float) -> Interval:
    """Solve once, for fixed >= broken: exchanging the two turns the interval around."""
    if fixed < broken:
        low, high = _tango_interval(broken, fixed, n, z)
        return -high, -low
    return _tango_interval(fixed, broken, n, z)


def _tango_interval(fixed: float, broken: float, n: int, z: float) -> Interval:
    """Solve for both ends, for fixed >= broken."""
    estimate = (fixed - broken) / n

    def excess(sign: int) -> Callable[[float], float]:
        """How far observed and assumed difference lie apart beyond z standard errors; 0 at an end."""
        return lambda d: sign * (fixed - broken - n * d) - z * math.sqrt(_null_variance(fixed, broken, n, d))

    low = _root(excess(1), -1.0, estimate - 1e-12)
    return low, 1.0 if fixed == n else _root(excess(-1), estimate + 1e-12, 1.0)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-13, rtol=1e-13))


def _null_variance(fixed: float, broken: float, n: int, d: float) -> float:
    """Variance of fixed - broken if the true difference were d: n (2 q + d (1 - d)).

    q is the positive root of 2n q² + B q + C = 0, the constrained maximum-likelihood share of broken samples; for
    positive B in the form that does not subtract two nearly equal numbers.
    """
    B = (2 * n - fixed + broken) * d - fixed - broken
    C = -broken * d * (1 - d)
    root = math.sqrt(max(B * B - 8 * n * C, 0.0))
    q = -2 * C / (B + root) if B > 0 else (root - B) / (4 * n)
    return max(n * (2 * q + d * (1 - d)), 0.0)


def _check_counts(fixed: float, broken: float, n: int) -> None:
    if n < 1 or fixed < 0 or broken < 0 or fixed + broken > n:
        raise InputError(
            f"paired counts: fixed={fixed}, broken={broken}, n={n}: expected 0 or more, their sum at most n"
        )


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + _level(confidence)) / 2)


def _level(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise InputError(f"confidence={confidence!r}: expected a level between 0 and 1, such as 0.95")
    return confidence
