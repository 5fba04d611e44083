"""Gaussian stochastic distances against matrix square roots, closed forms and theory."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import expm, sqrtm
from scipy.optimize import minimize
from scipy.stats import ortho_group

from robustprune.criteria import Gaussian, gaussian, stochastic
from robustprune.criteria.stochastic import descent, gaussians
from robustprune.errors import InputError

ALPHAS = [0.0, 0.7, 1.0, 2.0]


@pytest.fixture
def sample():
    rng = np.random.default_rng(4)
    labels = np.repeat(np.arange(3), [9, 12, 15])
    x = rng.normal(size=(36, 4)) * rng.uniform(0.5, 2, size=(3, 4))[labels] + 3 * rng.normal(size=(3, 4))[labels]
    return x, x @ rng.normal(size=(4, 4)) + rng.normal(size=(36, 4)), labels


def bures_slow(a, b):
    root = sqrtm(a)
    return np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(root @ b @ root)).real


def cost_slow(x, y, labels, alpha, turn):
    total = 0.0
    for k in set(labels):
        ours, theirs = x[labels == k], y[labels == k] @ turn
        total += alpha * np.sum((ours.mean(0) - theirs.mean(0)) ** 2)
        total += (2 - alpha) * bures_slow(np.cov(ours.T), np.cov(theirs.T))
    return total / len(set(labels))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_identical_is_zero_and_symmetric(alpha, sample):
    x, y, labels = sample
    assert gaussian(x, x, labels, alpha) == pytest.approx(0, abs=1e-12)
    assert gaussian(x, y, labels, alpha) == pytest.approx(gaussian(y, x, labels, alpha), rel=1e-4)
    assert gaussian(x, y, labels, alpha) > 0.1


@pytest.mark.parametrize("alpha", ALPHAS)
def test_rotation_costs_nothing_even_with_fewer_classes_than_neurons(alpha, sample):
    x, y, labels = sample
    turn = ortho_group.rvs(4, random_state=0)
    assert gaussian(x, x @ turn, labels, alpha) == pytest.approx(0, abs=1e-7)
    assert gaussian(x @ turn, y, labels, alpha) == pytest.approx(gaussian(x, y, labels, alpha), rel=1e-6)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_alternation_never_rises_and_starts_no_worse_than_the_published_start(alpha, sample):
    steps = descent(*sample, alpha)
    assert all(later <= earlier for earlier, later in pairwise(steps))
    x, y, labels = sample
    u, _, vt = np.linalg.svd(gaussians(y, labels).means.T @ gaussians(x, labels).means)
    assert steps[0] <= cost_slow(x, y, labels, alpha, u @ vt) + 1e-6
    assert gaussian(*sample, alpha) == pytest.approx(np.sqrt(steps[-1]))


def test_unchecked_steps_do_not_rise_either(sample):
    """`descent` reports a running minimum; the raw objective must fall by itself."""
    x, y, labels = sample
    ours, theirs = gaussians(x, labels), gaussians(y, labels)
    turn = ortho_group.rvs(4, random_state=5)
    costs = []
    for _ in range(30):
        costs.append(stochastic._cost(ours, theirs, turn, 0.5))
        turn = stochastic._better(ours, theirs, turn, 0.5)
    assert all(b <= a + 1e-12 for a, b in pairwise(costs))
    assert costs[-1] < 0.9 * costs[0]


@pytest.mark.parametrize("alpha", [0.3, 1.0, 1.8])
def test_the_alternation_ends_where_no_small_turn_helps(alpha, sample):
    x, y, labels = sample
    ours, theirs = gaussians(x, labels), gaussians(y, labels)
    turn = ortho_group.rvs(4, random_state=5)
    for _ in range(500):
        turn = stochastic._better(ours, theirs, turn, alpha)
    best = stochastic._cost(ours, theirs, turn, alpha)
    for skew in np.random.default_rng(0).normal(size=(50, 4, 4)):
        for size in (1e-4, 1e-2):
            near = turn @ expm(size * (skew - skew.T))
            assert stochastic._cost(ours, theirs, near, alpha) >= best - 1e-12


@pytest.mark.parametrize("alpha", ALPHAS)
def test_objective_by_matrix_square_roots(alpha, sample):
    x, y, labels = sample
    ours, theirs = gaussians(x, labels), gaussians(y, labels)
    for seed in range(3):
        turn = ortho_group.rvs(4, random_state=seed)
        assert stochastic._cost(ours, theirs, turn, alpha) == pytest.approx(
            cost_slow(x, y, labels, alpha, turn), rel=1e-6
        )


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_in_the_plane_no_angle_is_better(alpha):
    """With two neurons every rotation and reflection can be tried."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 20)
    x = rng.normal(size=(60, 2)) * [2, 0.5] + 2 * rng.normal(size=(3, 2))[labels]
    y = x @ np.array([[1.0, 0.3], [-0.2, 0.8]]) + 0.3 * rng.normal(size=(60, 2))

    def turn(angle, sign):
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, -s], [s, c]]) @ np.diag([1, sign])

    grid = [(a, s) for a in np.linspace(0, 2 * np.pi, 41) for s in (1, -1)]
    angle, sign = min(grid, key=lambda at: cost_slow(x, y, labels, alpha, turn(*at)))
    best = minimize(lambda a: cost_slow(x, y, labels, alpha, turn(a[0], sign)), [angle], method="Nelder-Mead").fun
    assert gaussian(x, y, labels, alpha) ** 2 == pytest.approx(best, rel=1e-3)


def test_alpha_two_is_procrustes_on_the_means(sample):
    x, y, labels = sample
    ours, theirs = (np.stack([side[labels == k].mean(0) for k in range(3)]) for side in (x, y))
    nuclear = np.linalg.svd(ours.T @ theirs, compute_uv=False).sum()
    expected = 2 * (np.sum(ours**2) + np.sum(theirs**2) - 2 * nuclear) / 3
    assert gaussian(x, y, labels, 2.0) ** 2 == pytest.approx(expected)


def test_one_dimension_in_closed_form():
    labels = np.repeat([0, 1], 3)
    x = np.array([1.0, 2, 3, 7, 9, 11])[:, None]
    y = np.array([1.0, 3, 5, 9, 9.5, 10])[:, None]
    means, spreads = (2 - 3) ** 2 + (9 - 9.5) ** 2, (1 - 2) ** 2 + (2 - 0.5) ** 2
    for alpha in ALPHAS:
        assert gaussian(x, y, labels, alpha) ** 2 == pytest.approx((alpha * means + (2 - alpha) * spreads) / 2)


def test_more_neurons_than_samples(sample):
    """Zero padding and a rotation into 40 dimensions change nothing; covariances are then singular."""
    x, y, labels = sample
    wide = [
        np.hstack([side, np.zeros((36, 36))]) @ ortho_group.rvs(40, random_state=s) for s, side in enumerate((x, y))
    ]
    for alpha in ALPHAS:
        assert gaussian(*wide, labels, alpha) == pytest.approx(gaussian(x, y, labels, alpha), rel=1e-6)


def test_factors_are_the_unbiased_covariances(sample):
    x, _, labels = sample
    fit = gaussians(x, labels)
    for k in range(3):
        np.testing.assert_allclose(fit.factors[k].T @ fit.factors[k], np.cov(x[labels == k].T), atol=1e-12)
        np.testing.assert_allclose(fit.means[k], x[labels == k].mean(0))


def test_label_names_do_not_matter(sample):
    x, y, labels = sample
    assert gaussian(x, y, 5 * labels + 2, 1.0) == gaussian(x, y, labels, 1.0)


def test_a_class_with_one_sample_needs_alpha_two(sample):
    x, y, labels = sample
    labels = np.where(np.arange(36) == 0, 8, labels)
    with pytest.raises(InputError, match="class 8 has a single sample"):
        gaussian(x, y, labels, 1.0)
    assert gaussian(x, y, labels, 2.0) > 0


def test_bad_settings_are_refused(sample):
    x, y, labels = sample
    with pytest.raises(InputError, match=r"alpha = 2\.5"):
        gaussian(x, y, labels, 2.5)
    with pytest.raises(InputError, match="one a sample"):
        gaussian(x, y, labels[:-1], 1.0)
    with pytest.raises(InputError, match="one a sample"):
        Gaussian(alpha=2.0).distance(x, y, labels[:-1])
