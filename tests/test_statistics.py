"""The statistics against published examples, closed forms, brute force and simulation."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from scipy import optimize, stats

from robustprune.errors import InputError
from robustprune.results import statistics as st
from robustprune.results.significance import holm, mcnemar, sign_flip

Z = stats.norm.ppf(0.975)


@pytest.mark.parametrize(
    ("fixed", "broken", "n", "low", "high"),
    [
        (6, 16, 161, -0.1240, -0.0054),  # complete response, Cavo 2012, in Fagerland, Lydersen, Laake 2017
        (1, 7, 21, -0.517, -0.026),  # airway hyper-responsiveness, Bentur 2009, in Fagerland et al. 2014
    ],
)
def test_tango_gives_published_intervals(fixed, broken, n, low, high):
    assert st.tango(fixed, broken, n) == pytest.approx((low, high), abs=6e-4)


@pytest.mark.parametrize("n", [1, 2, 10, 1000, 10**6])
def test_tango_without_discordant_samples_has_a_closed_form(n):
    end = Z**2 / (n + Z**2)
    assert st.tango(0, 0, n) == pytest.approx((-end, end), abs=1e-9)


@pytest.mark.parametrize("n", [1, 5, 40, 1000])
def test_tango_with_every_sample_broken_has_a_closed_form(n):
    end = (n - Z**2) / (n + Z**2)
    assert st.tango(n, 0, n) == pytest.approx((end, 1.0), abs=1e-9)
    assert st.tango(0, n, n) == pytest.approx((-1.0, -end), abs=1e-9)


def _profile_likelihood_score(fixed, broken, n, d):
    """The score statistic, its nuisance parameter found by numerical maximisation, not the closed form."""

    def loss(q):  # q = share broken, q + d = share fixed
        shares = ((fixed, q + d), (broken, q), (n - fixed - broken, 1 - 2 * q - d))
        return -sum(count * math.log(max(share, 1e-300)) for count, share in shares if count)

    bounds = (max(0.0, -d), (1 - d) / 2)
    q = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    return (fixed - broken - n * d) / math.sqrt(n * (2 * q + d - d * d))


@pytest.mark.parametrize(("fixed", "broken", "n"), [(3, 9, 32), (40, 20, 160), (0, 7, 60), (7, 0, 60), (5, 5, 10)])
def test_ends_solve_the_score_equation_with_a_numerically_maximised_likelihood(fixed, broken, n):
    low, high = st.tango(fixed, broken, n)
    assert _profile_likelihood_score(fixed, broken, n, low) == pytest.approx(Z, abs=1e-4)
    assert _profile_likelihood_score(fixed, broken, n, high) == pytest.approx(-Z, abs=1e-4)


def test_tango_is_ordered_and_mirrored_for_every_small_table():
    for n in range(1, 9):
        for fixed, broken in itertools.product(range(n + 1), repeat=2):
            if fixed + broken <= n:
                low, high = st.tango(fixed, broken, n)
                assert -1 <= low <= (fixed - broken) / n <= high <= 1
                assert low < high
                assert st.tango(broken, fixed, n) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize(
    ("n", "share_fixed", "share_broken"),
    [(100, 0.03, 0.05), (360, 0.01, 0.03), (1000, 0.005, 0.005), (50, 0.2, 0.3)],
)
def test_tango_covers_at_its_nominal_rate(n, share_fixed, share_broken):
    rng = np.random.default_rng(7)
    interval = cache(lambda b, c: st.tango(b, c, n))
    tables = rng.multinomial(n, [share_fixed, share_broken, 1 - share_fixed - share_broken], size=4000)
    truth = share_fixed - share_broken
    covered = [low <= truth <= high for low, high in (interval(int(b), int(c)) for b, c, _ in tables)]
    assert 0.935 <= np.mean(covered) <= 0.985


def test_mcnemar_is_the_binomial_tail_counted_by_hand():
    # 2 of 10: (1 + 10 + 45) / 1024, twice
    assert mcnemar(2, 8) == pytest.approx(2 * 56 / 1024)
    assert mcnemar(5, 5) == pytest.approx(1.0)


def test_sign_flip_is_mcnemar_for_one_seed_and_brute_force_for_more():
    for fixed, broken in [(0, 6), (3, 11), (20, 9)]:
        assert sign_flip([1] * fixed + [-1] * broken + [0] * 4) == pytest.approx(mcnemar(fixed, broken))
    values = [3, -2, -2, 1, -3, -1, -1, 2, -3]
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in itertools.product([1, -1], repeat=9)
    ]
    assert sign_flip(values) == pytest.approx(np.mean([s >= abs(sum(values)) for s in sums]))


def test_holm_by_hand():
    assert holm([0.02, 0.001, 0.5, 0.013]) == pytest.approx([0.04, 0.004, 0.5, 0.039])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("fixed", "broken", "n", "margin"),
    [(0, 0, 50, 0.01), (3, 9, 100, 0.02), (10, 12, 400, 0.02), (0, 9, 100, 0.2)],
)
def test_needed_n_is_where_the_interval_of_the_same_shares_just_leaves_the_margin(fixed, broken, n, margin):
    needed = st.needed_n(fixed, broken, n, margin)

    def settled(size):
        low, high = st.tango(fixed * size / n, broken * size / n, size)
        return low > -margin or high < -margin

    assert settled(needed)
    assert not settled(needed - 1)


def test_needed_n_is_none_on_the_margin():
    assert st.needed_n(2, 4, 100, 0.02) is None
    assert st.needed_n(0, 0, 100, 0.0) is None


def test_paired_counts_by_hand():
    parent = [True] * 6 + [False] * 4
    child = [True] * 3 + [False] * 3 + [True] + [False] * 3
    result = st.paired(parent, child)
    assert (result.n, result.fixed, result.broken, result.difference) == (10, 1, 3, -0.2)
    assert (result.low, result.high) == st.tango(1, 3, 10)
    assert result.p == pytest.approx(2 * (1 + 4) / 16)


def test_seeds_that_agree_are_worth_one_seed():
    rng = np.random.default_rng(0)
    parent = (rng.random(200) < 0.8).tolist()
    child = (rng.random(200) < 0.7).tolist()
    one, three = st.paired(parent, child), st.paired_seeds([parent] * 3, [child] * 3)
    assert (three.low, three.high, three.difference) == pytest.approx((one.low, one.high, one.difference))
    assert three.p == pytest.approx(one.p)


@pytest.mark.parametrize(
    ("shared", "own_loss", "own_gain"),
    [(0.04, 0.0, 0.0), (0.0, 0.04, 0.04), (0.03, 0.03, 0.01), (0.0, 0.01, 0.0)],
)
def test_the_interval_over_seeds_covers_whether_seeds_agree_or_not(shared, own_loss, own_gain):
    """`shared` samples are lost by all three seeds together, the others by each seed for itself."""
    rng = np.random.default_rng(3)
    n, covered, widths = 250, [], []
    parent = [i % 2 == 0 for i in range(n)]
    truth = -(shared + (1 - shared) * own_loss) / 2 + own_gain / 2
    for _ in range(300):
        together = rng.random(n) < shared
        children = [
            np.where(parent, ~together & (rng.random(n) >= own_loss), rng.random(n) < own_gain).tolist()
            for _ in range(3)
        ]
        result = st.paired_seeds([parent] * 3, children)
        covered.append(result.low <= truth <= result.high)
        single = st.paired(parent, children[0])
        widths.append((result.high - result.low) / (single.high - single.low))
    assert np.mean(covered) >= 0.93
    if shared == 0 and own_gain:  # independent seeds carry more information than one
        assert np.mean(widths) < 0.8


def test_three_seeds_by_hand():
    """Sample sums over the seeds: -3, -1, +2; a = (1 + 1/9 + 4/9 + 1) / (1 + 1/3 + 2/3 + 1)."""
    parents = [[True, True, False, True]] * 3
    children = [[False, False, True, True], [False, True, True, True], [False, True, False, True]]
    result = st.paired_seeds(parents, children)
    a = (23 / 9) / 3
    assert (result.low, result.high) == pytest.approx(
        tuple(a * end for end in st.tango(2 / 3 / a, 4 / 3 / a, 4)), abs=1e-12
    )
    assert result.difference == pytest.approx(-2 / 3 / 4)
    assert (result.fixed, result.broken) == pytest.approx((2 / 3, 4 / 3))
    assert result.p == pytest.approx(sign_flip([-3, -1, 2, 0]))


@pytest.mark.parametrize(
    "call",
    [
        lambda: st.wilson(5, 4),
        lambda: st.wilson(0, 0),
        lambda: st.tango(3, 3, 5),
        lambda: st.tango(-1, 0, 5),
        lambda: st.tango(1, 1, 5, confidence=95),
        lambda: st.paired([True], [True, False]),
        lambda: st.paired([], []),
        lambda: st.paired_seeds([[True]], []),
    ],
)
def test_wrong_counts_are_refused(call):
    with pytest.raises(InputError, match="expected"):
        call()


def test_wilson_ends_solve_the_score_equation():
    low, high = st.wilson(7, 40, confidence=0.9)
    z = stats.norm.ppf(0.95)
    for end in (low, high):
        assert abs(7 - 40 * end) / math.sqrt(40 * end * (1 - end)) == pytest.approx(z)
    assert st.wilson(0, 10)[0] == 0.0
    assert st.wilson(10, 10)[1] == 1.0
