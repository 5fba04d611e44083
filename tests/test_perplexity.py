"""Perplexities and their ratio: known values, an independent test, and how often the interval covers the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from robustprune.errors import InputError
from robustprune.results.perplexity import Perplexity, ratio


def of(surprise, tokens=10):
    return Perplexity(surprise=tuple(map(float, surprise)), tokens=tokens)


def test_guessing_costs_the_vocabulary():
    assert of([10 * math.log(50)] * 3).value == pytest.approx(50)


def test_the_ratio_is_a_paired_t_test_of_logarithms():
    draws = np.random.default_rng(0)
    theirs = draws.gamma(40, 1, 30)
    ours = theirs + draws.normal(0.6, 1.5, 30)
    found, expected = ratio(of(ours), of(theirs)), stats.ttest_rel(ours / 10, theirs / 10)
    low, high = expected.confidence_interval(0.95)
    assert found.value == pytest.approx(of(ours).value / of(theirs).value)
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert found.p == pytest.approx(expected.pvalue)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draws, truth, covered = np.random.default_rng(1), 0.05, 0
    for _ in range(1000):
        theirs = draws.gamma(40, 1, 25)
        ours = theirs + 10 * truth + draws.normal(0, 2, 25)
        found = ratio(of(ours), of(theirs))
        covered += found.low <= math.exp(truth) <= found.high
    assert 930 <= covered <= 970


@pytest.mark.parametrize(
    "wrong", [([1.0], 10, [1.0], 10), ([1.0, 2.0], 10, [1.0], 10), ([1.0, 2.0], 9, [1.0, 2.0], 10)]
)
def test_other_windows_are_refused(wrong):
    with pytest.raises(InputError, match="expected the same windows, two or more"):
        ratio(of(*wrong[:2]), of(*wrong[2:]))


@pytest.mark.parametrize("surprise", [[], [math.nan], [math.inf, 1.0]])
def test_what_is_no_surprise_is_refused(surprise):
    with pytest.raises(InputError, match="finite surprises"):
        of(surprise)
