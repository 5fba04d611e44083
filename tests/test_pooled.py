"""Differences over several suites: against the statistics of one, a known distribution, and what they promise."""

from itertools import combinations
from math import inf, isinf, sqrt

import numpy as np
import pytest
from scipy.stats import chi2, norm

from robustprune.results.crossed import Spread, crossed
from robustprune.results.moderated import LEAST, alone, moderated, own
from robustprune.results.pooled import Stratum, pooled
from robustprune.results.statistics import tango


def networks(rng, strategies, runs, n, run_sd=0.1, shift=0.0):
    """Robust or not, (strategies, runs, n); hard samples are hard for all, strategies vary each in its own measure."""
    score = 1.5 * rng.normal(size=n) + 0.5 * rng.normal(size=(strategies, runs, n))
    level = np.broadcast_to(np.asarray(run_sd), strategies)[:, None, None] * rng.normal(size=(strategies, runs, 1))
    effect = np.broadcast_to(np.asarray(shift), strategies)[:, None, None]
    return (score + level + 0.2 * rng.normal(size=(1, runs, 1)) + effect > 0).astype(float)


def stratum(table, one, other, samples="a"):
    return Stratum(samples=samples, rows=table[one] - table[other])


@pytest.mark.parametrize("spread", [None, Spread(variance=0.002, df=20)], ids=["own", "lent"])
def test_one_stratum_is_the_comparison_of_one_suite(spread):
    rng = np.random.default_rng(1)
    for _ in range(20):
        table = networks(rng, 2, 4, 150, run_sd=0.3)
        rows = [[list(map(bool, row)) for row in side] for side in table]
        one = crossed(rows[1], rows[0], spread=spread)
        lent = spread and Spread(variance=spread.variance / 4, df=spread.df)
        if spread is not None and one.df < 20:
            continue  # these runs vary more than what was lent, and `crossed` keeps their own
        many = pooled([stratum(table, 0, 1)], lent)
        found = (many.difference, many.low, many.high, many.df)
        assert found == pytest.approx((one.difference, one.low, one.high, one.df), abs=1e-9)
        assert many.p <= one.p + 1e-12


def test_without_variance_between_runs_one_set_of_images_is_counted_once():
    rng = np.random.default_rng(2)
    d = networks(rng, 2, 1, 300)
    rows = np.repeat(d[0] - d[1], 3, axis=0)
    fixed, broken = int((rows[0] > 0).sum()), int((rows[0] < 0).sum())
    alike = pooled([Stratum(samples="a", rows=rows)] * 2)
    apart = pooled([Stratum(samples=name, rows=rows) for name in "ab"])
    assert (alike.low, alike.high) == pytest.approx(tango(fixed, broken, 300))
    assert isinf(alike.df)
    assert (alike.n, apart.n, alike.runs, alike.strata) == (300, 600, 6, 2)
    assert (apart.low, apart.high) == pytest.approx(tango(2 * fixed, 2 * broken, 600))


def test_the_variance_of_several_strata_is_that_of_their_mean():
    rng = np.random.default_rng(3)
    strata = [stratum(networks(rng, 2, 3, 4000, run_sd=0.2), 0, 1, samples=name) for name in "abc"]
    found = pooled(strata, Spread(variance=0.01, df=inf))
    parts = [s.rows.mean(axis=0).var(ddof=1) / 4000 for s in strata]
    rest = [s.rows - s.rows.mean(0) - s.rows.mean(1, keepdims=True) + s.rows.mean() for s in strata]
    chance = sum((r**2).sum() / (2 * 3999) / 4000 / 3 for r in rest) / 9
    half = 1.959964 * sqrt(sum(parts) / 9 + 0.01 - chance)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.01)
    assert found.difference == pytest.approx(np.mean([s.rows.mean() for s in strata]))


def test_own_terms_are_the_variance_of_a_mean_over_strata():
    ends = [np.array([0.1, 0.3, 0.2]), np.array([0.0, 0.4])]
    assert [term.variance for term in own(ends)] == pytest.approx([0.01 / 3 / 4, 0.08 / 2 / 4])
    assert [term.df for term in own(ends)] == [2, 1]
    a, b = (term.variance for term in own(ends))
    assert alone(own(ends)).df == pytest.approx((a + b) ** 2 / (a**2 / 2 + b**2))


def drawn(rng, variances, runs=5):
    """Own terms of comparisons with these variances, in one stratum of so many runs."""
    return [own([row]) for row in np.sqrt(variances)[:, None] * rng.normal(size=(len(variances), runs))]


def test_the_distribution_of_variances_is_found_again():
    rng = np.random.default_rng(4)
    terms = drawn(rng, 2.0 * 6 / chi2.rvs(6, size=4000, random_state=rng))
    low = min(terms, key=lambda some: some[0].variance)
    found = moderated(low, terms, 4000)
    assert found.df == pytest.approx(4 + 6, rel=0.15)
    prior = (found.variance * found.df - 4 * low[0].variance) / (found.df - 4)
    assert prior == pytest.approx(2.0 / 5, rel=0.05)


def test_moderated_variances_are_nearer_the_truth_than_each_comparisons_own():
    rng = np.random.default_rng(5)
    truth = 2.0 * 6 / chi2.rvs(6, size=150, random_state=rng)
    terms = drawn(rng, truth)
    better = np.array([moderated(some, terms, 150).variance for some in terms])
    single = np.array([some[0].variance for some in terms])
    error = [np.mean((np.log(values) - np.log(truth / 5)) ** 2) for values in (better, single)]
    assert error[0] < 0.6 * error[1]
    assert (better >= single).all()


def test_equal_variances_become_one_and_few_stay_their_own():
    rng = np.random.default_rng(6)
    terms = drawn(rng, np.full(300, 0.5))
    low = min(terms, key=lambda some: some[0].variance)
    assert moderated(low, terms, 300).variance == pytest.approx(0.5 / 5, rel=0.1)
    assert moderated(low, terms, 300).df > 40
    assert moderated(low, terms, 5).df <= 16
    few = moderated(low, terms[: LEAST - 2], LEAST)
    assert few == Spread(variance=low[0].variance, df=4)


def simulated(trials, seed, shift, run_sd, strata):
    """How often intervals hold the true difference, theirs and those over samples alone, and how often p < .05."""
    rng = np.random.default_rng(seed)
    truth = norm.cdf(np.asarray(shift) / np.sqrt(1.5**2 + 0.5**2 + 0.2**2 + np.asarray(run_sd) ** 2))
    held, blind, significant = [], [], []
    for _ in range(trials):
        tables = [(name, networks(rng, len(shift), 2, 150, run_sd, shift)) for name in strata]
        ends = [[table[g].mean(axis=1) for _, table in tables] for g in range(len(shift))]
        terms = {
            pair: own([a - b for a, b in zip(*(ends[g] for g in pair), strict=True)])
            for pair in combinations(range(len(shift)), 2)
        }
        for other in range(1, len(shift)):
            parts = [stratum(table, 0, other, name) for name, table in tables]
            beside = [some for pair, some in terms.items() if 0 in pair or other in pair]
            found = pooled(parts, moderated(terms[0, other], beside, len(shift)))
            gap = truth[0] - truth[other]
            held.append(found.low <= gap <= found.high)
            if other == 1:
                samples = pooled(parts, Spread(variance=0.0, df=inf))
                blind.append(samples.low <= gap <= samples.high)
            significant.append(found.p < 0.05)
    return np.mean(held), np.mean(blind), np.mean(significant)


WILD = [0.25] * 4 + [0.1] * 4
"""How much runs vary in eight strategies; the first, which all others are set beside, is among the restless ones."""


def test_intervals_hold_a_known_difference_in_95_percent():
    held, blind, significant = simulated(150, 7, [0.5, *[0.0] * 7], WILD, "abc")
    assert 0.92 <= held <= 0.98
    assert blind < 0.85
    assert significant > 0.8


@pytest.mark.parametrize(("run_sd", "most"), [(WILD, 0.08), ([0.15] * 8, 0.065)], ids=["unlike", "alike"])
def test_no_difference_is_significant_in_about_5_percent(run_sd, most):
    held, blind, significant = simulated(120, 8, [0.0] * 8, run_sd, "abc")
    assert 0.02 <= significant <= most
    assert held >= 1 - most
    assert blind < 0.87
