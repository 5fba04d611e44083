"""Differences over samples and runs: against analysis of variance done otherwise, and against what it promises."""

from math import inf, isinf, isnan, sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import f as fisher
from scipy.stats import t as student

from robustprune.errors import InputError
from robustprune.results.crossed import GATE, Components, Spread, crossed, pooled_change, pooled_pair
from robustprune.results.records import load
from robustprune.results.runs import spread_of_pairs
from robustprune.results.significance import mcnemar
from robustprune.results.statistics import paired_seeds, tango

LEAST, RUN_SD, MOST, NOISE = 0.075, 0.12, 0.175, 0.55
"""Of the simulated strategies, in the units of a latent score whose spread over samples is 1.5. How much a difference
varies between runs is taken from results/replication: LEAST is its calmest accuracy, MOST its most restless."""

TRIALS = 500
"""Of every simulation of a rule that errs in 5 % of them: what is counted has a standard deviation of 1 %."""

STUDY = Path(__file__).parents[1] / "results" / "replication" / "digits"


def networks(rng, strategies, runs, n, run_sd=RUN_SD, shift=0.0, own=None):
    """Robust or not, (strategies, runs, n): hard samples are hard for all, and each training has a level of its own."""
    sample = 1.5 * rng.normal(size=n)
    parent = 0.2 * rng.normal(size=(1, runs, 1))
    level = run_sd * rng.normal(size=(strategies, runs, 1))
    if own is not None:
        level *= np.asarray(own)[:, None, None]
    score = sample + parent + level + NOISE * rng.normal(size=(strategies, runs, n))
    score[0] += shift
    return score > 0


def two_way(d):
    """Mean squares of runs, samples and the rest of a table (runs, n), as textbooks have them."""
    runs, n = d.shape
    rows, columns, mean = d.mean(1), d.mean(0), d.mean()
    rest = d - rows[:, None] - columns + mean
    return (
        n * ((rows - mean) ** 2).sum() / (runs - 1),
        runs * ((columns - mean) ** 2).sum() / (n - 1),
        (rest**2).sum() / ((runs - 1) * (n - 1)),
    )


def as_rows(table):
    return [row.tolist() for row in table]


def test_without_variance_between_runs_it_is_tangos_interval():
    rng = np.random.default_rng(0)
    for _ in range(50):
        old, new = networks(rng, 2, 1, 200)
        found = crossed(as_rows(old) * 4, as_rows(new) * 4)
        fixed, broken = int((new & ~old).sum()), int((old & ~new).sum())
        assert (found.low, found.high) == pytest.approx(tango(fixed, broken, 200), abs=1e-9)
        assert isinf(found.df)
        assert found.p >= mcnemar(fixed, broken) - 1e-12


def test_where_runs_differ_by_chance_alone_the_interval_is_tangos_within_two_tenths_of_a_point():
    """No variance between runs but that of single samples, the variance pooled over a suite of eleven strategies.

    The median: in five per cent the F-test sees more variance than there is, and the interval is much wider.
    """
    rng = np.random.default_rng(1)
    gaps = []
    for _ in range(200):
        table = networks(rng, 11, 4, 300, run_sd=0.0)
        spread = pooled_pair(table.mean(2).tolist())
        found = crossed(as_rows(table[1]), as_rows(table[0]), spread=spread)
        plain = paired_seeds(as_rows(table[1]), as_rows(table[0]))
        gaps += [abs(found.low - plain.low), abs(found.high - plain.high)]
    assert np.median(gaps) < 0.002


def test_variance_and_degrees_of_freedom_are_those_of_the_analysis_of_variance():
    """MS(run) - MS(rest) and MS(sample) - MS(rest) are positive here, so nothing is cut off at 0."""
    table = networks(np.random.default_rng(2), 2, 5, 400, run_sd=0.5)
    table[0, :, :40] = True
    d = table[0].astype(float) - table[1]
    by_run, by_sample, rest = two_way(d)
    assert min(by_run, by_sample) > rest
    found = crossed(as_rows(table[1]), as_rows(table[0]))
    variance = (by_run + by_sample - rest) / d.size
    df = variance**2 / ((by_run / d.size) ** 2 / 4)
    assert found.df == pytest.approx(df, rel=0.02)  # the samples' part is Tango's, a little larger
    assert found.quantile == pytest.approx(student.ppf(0.975, found.df))
    half = (found.high - found.low) / 2
    assert half == pytest.approx(student.ppf(0.975, df) * sqrt(variance), rel=0.02)
    parts = found.components
    assert parts.runs == pytest.approx((by_run - rest) / 400)
    assert parts.samples == pytest.approx((by_sample - rest) / 5)
    assert parts.rest == pytest.approx(rest)


def test_the_other_way_round_is_the_mirror_image():
    table = networks(np.random.default_rng(3), 2, 4, 150)
    there, back = (crossed(as_rows(table[a]), as_rows(table[b])) for a, b in ((0, 1), (1, 0)))
    assert (there.difference, there.low, there.high) == pytest.approx((-back.difference, -back.high, -back.low))
    assert (there.p, there.df) == pytest.approx((back.p, back.df))


def test_one_run_has_an_interval_over_samples_and_no_test():
    found = crossed([[True, True, False, True]], [[True, False, False, True]])
    assert (found.low, found.high) == pytest.approx(tango(0, 1, 4))
    assert isnan(found.p)
    assert (found.runs, found.df) == (1, inf)


def test_seeds_of_one_parent_are_one_run():
    table = networks(np.random.default_rng(4), 2, 6, 100)
    olds, news = as_rows(table[0]), as_rows(table[1])
    found = crossed(olds, news, ["a", "a", "b", "b", "c", "c"])
    means = (table[1].mean(1) - table[0].mean(1)).reshape(3, 2).mean(1)
    assert found.runs == 3
    assert found.difference == pytest.approx(means.mean())
    assert found.df < 50
    with pytest.raises(InputError, match="one run for every child"):
        crossed(olds, news, ["a"])


def test_pooled_variances_are_those_of_the_two_way_table():
    rng = np.random.default_rng(5)
    means = rng.normal(size=(7, 4))
    _, _, rest = two_way(means)
    pair = pooled_pair(means.tolist())
    assert (pair.variance, pair.df) == (pytest.approx(2 * rest), 18)
    change = pooled_change(means.tolist())
    main = means.mean(0).var(ddof=1)
    assert change.variance == pytest.approx(main + rest * 6 / 7)
    assert change.variance == pytest.approx(np.mean([row.var(ddof=1) for row in means]))
    share = main**2 / 3 + (rest * 6 / 7) ** 2 / 18
    assert change.df == pytest.approx(change.variance**2 / share)


def test_equal_strategies_count_once_and_one_run_lends_nothing():
    rows = [[0.5, 0.6, 0.4], [0.7, 0.6, 0.6]]
    assert pooled_pair([*rows, rows[0]]) == pooled_pair(rows)
    assert pooled_pair([[0.5], [0.6]]) is None
    assert pooled_change([[0.5]]) is None
    assert pooled_change([[0.1, 0.3]]).variance == pytest.approx(0.02)


def test_runs_that_vary_more_than_the_others_keep_their_own_variance():
    table = networks(np.random.default_rng(6), 2, 4, 300, run_sd=0.6)
    olds, news = as_rows(table[0]), as_rows(table[1])
    own = crossed(olds, news)
    variance = (table[1].mean(1) - table[0].mean(1)).var(ddof=1)
    edge = variance / fisher.isf(GATE, 3, 30)
    assert crossed(olds, news, spread=Spread(variance=0.99 * edge, df=30)) == own
    assert crossed(olds, news, spread=Spread(variance=1.01 * edge, df=30)).df > own.df


def test_the_sizes_that_settle_are_where_the_interval_leaves_the_margin():
    parts = Components(samples=0.1, runs=0.0004, rest=0.05)
    n, runs = parts.settles(gap=0.05, quantile=2.0, n=300, runs=4)

    def half(n, runs):
        return 2.0 * sqrt(parts.samples / n + parts.runs / runs + parts.rest / (n * runs))

    assert half(n, 4) <= 0.05 < half(n - 1, 4)
    assert half(300, runs) <= 0.05 < half(300, runs - 1)
    assert parts.settles(gap=0.001, quantile=2.0, n=300, runs=4) == (None, None)


@pytest.mark.parametrize(("run_sd", "twice"), [(LEAST, 0), (MOST, 0), (RUN_SD, 6)])
def test_no_true_difference_is_called_one_in_five_per_cent_of_the_trials_at_most(run_sd, twice):
    """500 suites of eleven equally robust strategies, of which the last `twice` vary twice as much between runs.

    The first and the last are compared; "more robust" or "less robust" is said where p < .05.
    """
    rng = np.random.default_rng(7)
    said = inside = 0
    for _ in range(TRIALS):
        table = networks(rng, 11, 4, 200, run_sd=run_sd, own=[1] * (11 - twice) + [2] * twice)
        spread = pooled_pair(table.mean(2).tolist())
        found = crossed(as_rows(table[-1]), as_rows(table[0]), spread=spread)
        said += found.p < 0.05
        inside += found.low <= 0 <= found.high
    assert said <= 0.05 * TRIALS
    assert twice or 0.93 * TRIALS <= inside <= 0.97 * TRIALS


@pytest.mark.skipif(not STUDY.is_dir(), reason="a checkout without results/replication/digits")
def test_the_simulated_runs_vary_as_those_of_the_study():
    """The standard deviation between runs of a difference of two strategies, by family and measure: within a point."""
    seen: dict[tuple[str, str], list[float]] = {}
    for number in range(1, 7):
        subjects: dict[str, list] = {}
        for case in load(STUDY / f"run-{number}.json.gz"):
            if case.recipe:
                subjects.setdefault(case.subject, []).append(case)
        for claim in ("clean", "worst case"):
            for (family, _), spread in spread_of_pairs([*subjects.values()], claim).items():
                seen.setdefault((family, claim), []).append(spread.variance)
    real = sorted(np.mean(variances) ** 0.5 for variances in seen.values())
    rng = np.random.default_rng(10)
    made = [
        np.mean([pooled_pair(networks(rng, 11, 4, 300, run_sd=sd).mean(2).tolist()).variance for _ in range(100)])
        for sd in (LEAST, MOST)
    ]
    assert np.sqrt(made) == pytest.approx([real[0], real[-1]], abs=0.01)


def test_the_interval_covers_a_true_difference():
    rng = np.random.default_rng(8)
    truth = np.mean([(t := networks(rng, 2, 1, 20_000, shift=0.3))[0].mean() - t[1].mean() for _ in range(300)])
    inside = 0
    for _ in range(TRIALS):
        table = networks(rng, 11, 4, 200, shift=0.3)
        spread = pooled_pair(table[1:].mean(2).tolist())
        found = crossed(as_rows(table[-1]), as_rows(table[0]), spread=spread)
        inside += found.low <= truth <= found.high
    assert 0.93 * TRIALS <= inside <= 0.97 * TRIALS


def test_the_sample_as_the_only_unit_calls_differences_that_another_training_would_not_show():
    """The rule that this one replaces, on the same simulated suites."""
    rng = np.random.default_rng(9)
    said = 0
    for _ in range(300):
        table = networks(rng, 2, 4, 200)
        said += paired_seeds(as_rows(table[1]), as_rows(table[0])).p < 0.05
    assert said > 0.1 * 300
