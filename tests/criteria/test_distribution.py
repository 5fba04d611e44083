"""Wasserstein against optimal transport, Jensen-Shannon against scipy and closed forms."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from robustprune.criteria import js_divergence, wasserstein
from robustprune.errors import InputError


@pytest.fixture
def pair():
    return np.random.default_rng(3).normal(size=(2, 6, 4)) * [[[1.0]], [[2.5]]]


def test_wasserstein_is_optimal_transport(pair):
    ot = pytest.importorskip("ot", reason="POT is not installed")
    x, y = pair
    assert wasserstein(x, y) == pytest.approx(float(ot.wasserstein_1d(x.ravel(), y.ravel(), p=1)))
    assert wasserstein(x, y) == pytest.approx(ot.emd2_1d(x.ravel(), y.ravel(), metric="euclidean"))


def test_wasserstein_is_the_gap_of_sorted_values(pair):
    x, y = pair
    assert wasserstein(x, y) == pytest.approx(np.abs(np.sort(x, axis=None) - np.sort(y, axis=None)).mean())


def test_wasserstein_axioms(pair):
    x, y = pair
    z = x + y
    assert wasserstein(x, x) == 0
    assert wasserstein(x, y) == pytest.approx(wasserstein(y, x))
    assert wasserstein(x, z) <= wasserstein(x, y) + wasserstein(y, z)
    assert wasserstein(x, x + 3) == pytest.approx(3)
    assert wasserstein(2 * x, 2 * y) == pytest.approx(2 * wasserstein(x, y))


def test_wasserstein_forgets_where_a_value_was(pair):
    x, _ = pair
    assert wasserstein(x, np.random.default_rng(0).permutation(x.ravel()).reshape(x.shape)) == 0


def test_js_is_scipys_distance_squared(pair):
    x, y = pair
    slow = [jensenshannon(softmax(a), softmax(b)) ** 2 for a, b in zip(x, y, strict=True)]
    assert js_divergence(x, y) == pytest.approx(np.mean(slow))


def test_js_bounds(pair):
    x, y = pair
    assert js_divergence(x, x) == 0
    assert js_divergence(x, y) == pytest.approx(js_divergence(y, x))
    sure = np.array([[1e4, 0.0], [0.0, 1e4]])
    assert js_divergence(sure, sure[::-1]) == pytest.approx(np.log(2))


@pytest.mark.parametrize("distance", [wasserstein, js_divergence])
def test_bad_features_are_refused(distance):
    with pytest.raises(InputError, match="expected one"):
        distance(np.zeros((3, 2)), np.zeros((2, 2)))
    with pytest.raises(InputError, match="NaN or Inf"):
        distance(np.zeros((3, 2)), np.full((3, 2), np.inf))
