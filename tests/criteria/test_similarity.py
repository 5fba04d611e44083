"""CKA, Procrustes and permutation against theory (invariances, metric axioms) and slow independent forms."""

from itertools import permutations

import numpy as np
import pytest
from numpy.linalg import inv, norm, svd
from scipy.linalg import fractional_matrix_power
from scipy.stats import ortho_group

from robustprune.criteria import Permutation, Procrustes, cka, permutation, procrustes
from robustprune.criteria.similarity import principal
from robustprune.errors import InputError


def cca(x, y):
    return procrustes(x, y, alpha=0.0)


def half(x, y):
    return procrustes(x, y, alpha=0.5)


ALL = [cka, procrustes, cca, half, permutation]


@pytest.fixture
def features():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(40, 5)) * [3, 1, 1, 0.5, 2] + rng.normal(size=5)
    return x, x @ rng.normal(size=(5, 5)) + rng.normal(size=(40, 5))


@pytest.fixture
def turn():
    return ortho_group.rvs(5, random_state=3)


@pytest.mark.parametrize("distance", ALL)
def test_identical_is_zero_symmetric_and_positive(distance, features):
    x, y = features
    assert distance(x, x) == pytest.approx(0, abs=1e-12)
    assert distance(x, y) == pytest.approx(distance(y, x), abs=1e-12)
    assert distance(x, y) > 0.05


@pytest.mark.parametrize("distance", ALL)
def test_translation_and_isotropic_scaling_cost_nothing(distance, features):
    x, y = features
    scale = 1 if distance is half else 3.5  # between the two ends, whitening depends on the scale
    assert distance(x, scale * x - 20) == pytest.approx(0, abs=1e-12)
    assert distance(x, scale * y + 4) == pytest.approx(distance(x, y), abs=1e-12)


@pytest.mark.parametrize("distance", [cka, procrustes, cca, half])
def test_rotation_costs_nothing(distance, features, turn):
    x, y = features
    assert distance(x, x @ turn) == pytest.approx(0, abs=1e-7)
    assert distance(x @ turn, y) == pytest.approx(distance(x, y), abs=1e-10)


def test_permutation_knows_order_but_not_rotation(features, turn):
    x, y = features
    order = [3, 0, 4, 1, 2]
    assert permutation(x, x[:, order]) == pytest.approx(0, abs=1e-12)
    assert permutation(x, y[:, order]) == pytest.approx(permutation(x, y), abs=1e-12)
    assert permutation(x, x @ turn) > 0.1


def test_whitening_undoes_any_invertible_map_and_rotation_does_not(features):
    x, y = features
    linear = np.random.default_rng(0).normal(size=(5, 5)) + np.eye(5)
    assert cca(x, x @ linear) == pytest.approx(0, abs=1e-9)
    assert cca(x @ linear, y) == pytest.approx(cca(x, y), abs=1e-9)
    assert procrustes(x, x @ linear) > 0.1
    assert cka(x, x @ linear) > 0.01


@pytest.mark.parametrize("distance", [procrustes, cca, half, permutation, lambda x, y: np.arccos(1 - cka(x, y))])
def test_triangle_inequality(distance):
    rng = np.random.default_rng(11)
    for _ in range(60):
        base = rng.normal(size=(12, 3))
        x, y, z = (base + rng.uniform(0, 2) * rng.normal(size=base.shape) for _ in range(3))
        assert distance(x, z) <= distance(x, y) + distance(y, z) + 1e-12


def test_cka_is_normalised_hsic_of_gram_matrices(features):
    def hsic(one, other):
        centring = np.eye(len(one)) - 1 / len(one)
        return np.trace(one @ centring @ other @ centring)

    wide = np.random.default_rng(2).normal(size=(2, 8, 30))
    for x, y in (features, wide):
        a, b = x @ x.T, y @ y.T
        assert cka(x, y) == pytest.approx(1 - hsic(a, b) / np.sqrt(hsic(a, a) * hsic(b, b)), abs=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_procrustes_is_the_nuclear_norm_of_whitened_features(alpha, features):
    def whitened(x):
        x = x - x.mean(axis=0)
        return x @ (alpha * np.eye(5) + (1 - alpha) * fractional_matrix_power(x.T @ x, -0.5))

    a, b = map(whitened, features)
    expected = np.arccos(svd(a.T @ b, compute_uv=False).sum() / norm(a) / norm(b))
    assert procrustes(*features, alpha) == pytest.approx(expected, abs=1e-9)


def test_cca_by_canonical_correlations(features):
    x, y = (side - side.mean(axis=0) for side in features)
    squared = np.linalg.eigvals(inv(x.T @ x) @ x.T @ y @ inv(y.T @ y) @ y.T @ x).real
    assert cca(x, y) == pytest.approx(np.arccos(np.sqrt(squared).mean()), abs=1e-9)


def test_hungarian_beats_every_permutation(features):
    x, y = (side - side.mean(axis=0) for side in features)
    best = max(np.vdot(x, y[:, order]) for order in permutations(range(5)))
    assert permutation(*features) == pytest.approx(np.arccos(best / norm(x) / norm(y)), abs=1e-9)


def test_no_rotation_found_at_random_beats_procrustes(features):
    x, y = (side - side.mean(axis=0) for side in features)
    turns = ortho_group.rvs(5, size=200, random_state=1)
    best = max(np.vdot(x, y @ q) for q in turns) / norm(x) / norm(y)
    assert procrustes(*features) <= np.arccos(best)


def test_dead_neurons_and_rounding_noise_change_nothing(features):
    x, y = features
    rng = np.random.default_rng(5)
    noisy = [np.hstack([side, np.zeros((40, 2)), 1e-8 * rng.normal(size=(40, 1))]) for side in features]
    for distance in (cka, procrustes, cca):  # a dead neuron is one more to match with, for the permutation
        assert distance(*noisy) == pytest.approx(distance(x, y), abs=1e-6)


def test_small_changes_keep_their_digits(features):
    x, _ = features
    noise = np.random.default_rng(0).normal(size=x.shape)
    for distance in (procrustes, cca, permutation):
        near, nearer = distance(x, x + 1e-9 * noise), distance(x, x + 1e-10 * noise)
        assert near / nearer == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize(
    ("distance", "far"), [(cka, 1), (procrustes, np.pi / 2), (cca, np.pi / 2), (permutation, np.pi / 2)]
)
def test_features_without_variance(distance, far, features):
    x, _ = features
    flat = np.full_like(x, 0.1)
    assert distance(flat, flat + 5) == 0
    assert distance(x, flat) == distance(flat, x) == pytest.approx(far)


def test_whitening_with_few_samples_needs_fewer_directions():
    x, y = np.random.default_rng(0).normal(size=(2, 20, 64))
    assert cca(x, y) == pytest.approx(0, abs=1e-9), "any 20 points span the same centred space"
    assert procrustes(x, y, 0.0, directions=5) > 0.5
    assert Procrustes(alpha=0.0).distance(x, y, np.zeros(20, int)) > 0.5


def test_principal_axes_keep_every_inner_product(features):
    x, _ = features
    u, s = principal(np.hstack([x, x]))
    assert u.shape == (40, 5)
    np.testing.assert_allclose((u * s) @ (u * s).T, 2 * x @ x.T, atol=1e-9)


def test_names():
    names = [Procrustes(alpha=a).name for a in (0.0, 0.5, 1.0)] + [Permutation().name]
    assert names == ["procrustes-cca", "procrustes-0.5", "procrustes", "permutation"]


@pytest.mark.parametrize("distance", ALL)
@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.zeros((3, 2)), np.zeros((3, 4)), "expected one"),
        (np.zeros(3), np.zeros(3), "expected one"),
        (np.zeros((1, 2)), np.zeros((1, 2)), "at least 2 samples"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), "NaN"),
    ],
)
def test_bad_features_are_refused(distance, x, y, said):
    with pytest.raises(InputError, match=said):
        distance(x, y)


@pytest.mark.parametrize("settings", [{"alpha": -0.1}, {"alpha": 1.5}, {"directions": 0}])
def test_bad_settings_are_refused(settings):
    with pytest.raises(InputError, match="procrustes"):
        procrustes(np.eye(3), np.eye(3), **settings)
