"""Differences over samples AND training runs: what a claim about a strategy, or about training anew, rests on.

A network that is trained again comes out different, so a strategy is seen through two random factors: the samples, and
the runs (a run is one training: a parent where several were pruned, else a seed). Every run sees every sample, so the
two are crossed: the difference of run k on sample i is the true one + a sample's share + a run's share + the rest.

Estimator (analysis of variance; Obuchowski and Rockette, Commun. Stat. Simul. 24, 1995, who call the runs readers): the
mean over all runs and samples has the variance S²/R + C/n, where S² is the variance of the R run means and C the
covariance of two runs over the n samples. The samples' part is taken as Tango's score interval takes it, so that
without variance between runs this IS Tango's interval (`statistics.paired_seeds`); where a variance comes out negative
it is 0. The quantile is Student's, with V² / ((S²/R)² / df(S²)) degrees of freedom (Hillis, Stat. Med. 26, 2007). The
p-value is that of the score test, or the exact one over samples alone where that is larger.

S² of R runs has R - 1 degrees of freedom, few. The comparisons of one table may lend each other theirs (`pooled_pair`,
`pooled_change`), as the source does; a comparison whose own S² is larger, by an F-test at the level GATE, keeps its
own. All this needs two runs; one says nothing about training again, and then there is no p-value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean, variance

from robustprune.errors import InputError
from robustprune.results.statistics import Paired, Scored, paired_seeds

Row = Sequence[bool]

GATE = 0.05
"""Level of the F-test by which a comparison is seen to vary more between runs than the others."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """An estimated variance between runs, and its degrees of freedom."""

    variance: float
    df: float


@dataclass(frozen=True, kw_only=True)
class Components:
    """Where the variance of a mean difference comes from: samples, runs, and the rest; each of a single value."""

    samples: float
    runs: float
    rest: float

    def settles(self, gap: float, quantile: float, n: int, runs: int) -> tuple[int | None, int | None]:
        """Say how many samples (with these runs), and how many runs (with these samples), settle a gap to a margin.

        The size at which the observed difference settles, as `statistics.needed_n`; None where no number does.
        """
        allowed = (gap / quantile) ** 2
        by_samples, by_runs = allowed - self.runs / runs, allowed - self.samples / n
        more = math.floor((self.samples + self.rest / runs) / by_samples) + 1 if by_samples > 0 else None
        again = math.floor((self.runs + self.rest / n) / by_runs) + 1 if by_runs > 0 else None
        return more, again


@dataclass(frozen=True, kw_only=True)
class Crossed(Paired):
    """A comparison over `runs` training runs; the interval has `df` degrees of freedom.

    Without a second run `df` is infinite and `p` is nan: interval and counts speak of these very networks.
    """

    runs: int
    df: float
    quantile: float
    components: Components


def crossed(
    olds: Sequence[Row],
    news: Sequence[Row],
    runs: Sequence[object] | None = None,
    *,
    confidence: float = 0.95,
    spread: Spread | None = None,
) -> Crossed:
    """Compare networks over samples and runs: `news` minus `olds`, pair by pair, each a row of right or wrong.

    `runs` names the run of each pair (None: every pair is one); pairs of one run are averaged. `spread` is a pooled
    variance between runs, used unless these runs vary more than it.

    >>> ups, downs = [True] * 9 + [False], [False] * 3 + [True] * 7
    >>> found = crossed([downs, downs], [ups, ups])
    >>> found.difference, found.runs, found.df
    (0.2, 2, inf)
    """
    whole = paired_seeds(olds, news, confidence)
    rows = differences(olds, news, range(len(olds)) if runs is None else runs)
    parts, own = _parts(rows)
    if len(rows) == 1:
        z = _quantile((1 + confidence) / 2, math.inf)
        return Crossed(**{**vars(whole), "p": math.nan}, runs=1, df=math.inf, quantile=z, components=parts)
    used = _chosen(own, spread)
    extra = max(0.0, used.variance - parts.rest / whole.n) / len(rows)
    parts = replace(parts, runs=extra * len(rows))
    scored = Scored.of([fmean(column) for column in zip(*rows, strict=True)])
    total = scored.variance(whole.difference) + extra
    share = (used.variance / len(rows)) ** 2 / used.df
    df = total**2 / share if share > 0 else math.inf
    quantile = _quantile((1 + confidence) / 2, df)
    low, high = scored.interval(quantile, extra)
    found = {**vars(whole), "low": low, "high": high, "p": max(whole.p, _p_value(scored, extra, df))}
    return Crossed(**found, runs=len(rows), df=df, quantile=quantile, components=parts)


def differences(olds: Sequence[Row], news: Sequence[Row], runs: Sequence[object]) -> list[list[float]]:
    """Return the difference of every run on every sample, from -1 to 1; pairs of one run are averaged.

    >>> differences([[True, True]] * 2, [[False, True], [True, True]], ["a", "a"])
    [[-0.5, 0.0]]
    """
    if not len(olds) == len(news) == len(runs):
        raise InputError("crossed: expected one parent and one run for every child")
    found: dict[object, list[list[int]]] = {}
    for old, new, run in zip(olds, news, runs, strict=True):
        found.setdefault(run, []).append([int(b) - int(a) for a, b in zip(old, new, strict=True)])
    return [[fmean(column) for column in zip(*rows, strict=True)] for rows in found.values()]


def pooled_pair(means: Sequence[Sequence[float]]) -> Spread | None:
    """Return the variance between runs of the difference of two of G strategies, from the accuracies of all, (G, R).

    It is twice the mean square of strategy x run, (G - 1)(R - 1) degrees of freedom: what a run does to all strategies
    alike plays no part in a difference. Strategies that are equal in every run (the same blocks) count once.

    >>> pooled_pair([[0.5, 0.7], [0.6, 0.8], [0.9, 0.9]]).df
    2
    """
    square, df = _interaction(means)
    return Spread(variance=2 * square, df=df) if df else None


def pooled_change(changes: Sequence[Sequence[float]]) -> Spread | None:
    """Return the variance between runs of one of G mean changes, (G, R), each from what its run began with.

    A run's beginning, such as the parent, is in all of its changes; so it is the variance of the runs' means over the
    strategies (R - 1 degrees of freedom) plus (G - 1)/G of the mean square of strategy x run, its degrees of freedom
    by Satterthwaite. With G = 1 it is the plain variance.

    >>> spread = pooled_change([[-0.1, -0.3], [-0.2, -0.2]])
    >>> round(spread.variance, 6), round(spread.df, 6)
    (0.01, 2.0)
    """
    square, df = _interaction(changes)
    rows = [*dict.fromkeys(map(tuple, changes))]
    if not rows or len(rows[0]) < 2:
        return None
    main = variance([fmean(column) for column in zip(*rows, strict=True)])
    rest = square * (1 - 1 / len(rows))
    share = main**2 / (len(rows[0]) - 1) + (rest**2 / df if df else 0.0)
    return Spread(variance=main + rest, df=(main + rest) ** 2 / share if share > 0 else len(rows[0]) - 1)


def _interaction(means: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the mean square of strategy x run and its degrees of freedom; equal rows count once."""
    rows = [*dict.fromkeys(map(tuple, means))]
    runs = len(rows[0]) if rows else 0
    df = (len(rows) - 1) * (runs - 1)
    if df <= 0:
        return 0.0, 0
    overall = fmean(fmean(row) for row in rows)
    columns = [fmean(column) - overall for column in zip(*rows, strict=True)]
    squares = [(x - fmean(row) - column) ** 2 for row in rows for x, column in zip(row, columns, strict=True)]
    return math.fsum(squares) / df, df


def _parts(rows: Sequence[Sequence[float]]) -> tuple[Components, Spread]:
    """Return the components of the variance, that of the runs still 0, and the runs' own spread."""
    runs, n = len(rows), len(rows[0])
    means = [fmean(column) for column in zip(*rows, strict=True)]
    overall = fmean(means)
    between_samples = math.fsum((x - overall) ** 2 for x in means) / max(n - 1, 1)
    if runs == 1:
        return Components(samples=between_samples, runs=0.0, rest=0.0), Spread(variance=0.0, df=0)
    ends = [fmean(row) - overall for row in rows]
    left = (x - mean - end for row, end in zip(rows, ends, strict=True) for x, mean in zip(row, means, strict=True))
    rest = math.fsum(x * x for x in left) / ((runs - 1) * max(n - 1, 1))
    own = Spread(variance=math.fsum(end * end for end in ends) / (runs - 1), df=runs - 1)
    return Components(samples=max(0.0, between_samples - rest / runs), runs=0.0, rest=rest), own


def _chosen(own: Spread, pooled: Spread | None) -> Spread:
    """Take the pooled variance, unless these runs vary more than the others."""
    from scipy.stats import f

    if pooled is None or pooled.df <= own.df:
        return own
    if pooled.variance <= 0:
        return own if own.variance > 0 else pooled
    return own if f.sf(own.variance / pooled.variance, own.df, pooled.df) < GATE else pooled


def _quantile(share: float, df: float) -> float:
    from scipy.stats import t

    return NormalDist().inv_cdf(share) if math.isinf(df) else float(t.ppf(share, df))


def _p_value(scored: Scored, extra: float, df: float) -> float:
    """Return the two-sided p-value of the score test of no difference."""
    from scipy.stats import norm, t

    spread = math.sqrt(scored.variance(0.0) + extra)
    if spread == 0:
        return 1.0 if scored.estimate == 0 else 0.0
    score = abs(scored.estimate) / spread
    return float(2 * (norm.sf(score) if math.isinf(df) else t.sf(score, df)))
