"""Distance between class-conditional Gaussians up to rotation (stochastic shape metrics, 2211.11665).

A network's features are read as one Gaussian per class. The rotation T is found by alternation, from two
starts of which the better one is followed: Procrustes on the class means (the published start), and
Procrustes on the paired features themselves, which we add: with fewer classes than neurons the means leave
most of T open, and only the second start finds distance 0 for a rotated copy.

Covariances enter through factors S_k = F_kᵀF_k with at most min(n_k, d) rows, so no square root of a (near)
singular matrix is taken, and Bures² is summed from residuals, which keeps small distances exact to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustprune.criteria.arrays import Array, Labels, paired
from robustprune.criteria.base import FeatureCriterion
from robustprune.criteria.similarity import principal, rotation
from robustprune.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Gaussians:
    """K class-conditional Gaussians: means (K, d) and covariance factors (K, m, d), S_k = F_kᵀ F_k."""

    means: Array
    factors: Array


def gaussian(
    x: Array, y: Array, labels: Labels, alpha: float = 1.0, tolerance: float = 1e-7, iterations: int = 200
) -> float:
    """Distance between the class-conditional Gaussians of `x` and `y`, both (n, d); in units of the features.

    d² is the minimum over orthogonal T of the mean over classes k of
    alpha |M_k - M'_k T|² + (2 - alpha) Bures²(S_k, TᵀS'_k T), Bures²(A, B) = tr A + tr B - 2 |A^½ B^½|_*.
    alpha 2 compares means only, alpha 0 covariances only, alpha 1 gives the 2-Wasserstein distances.
    Covariances are unbiased (1 / (n_k - 1)). Invariant to rotation, not to translation or scale. The
    alternation never raises d² and ends when d² falls by less than `tolerance` times the total; like every
    alternation it may end in a local minimum: the value is an upper bound of the metric.

    Raises InputError as `paired`, for alpha outside [0, 2], for labels of another length, and, unless alpha
    is 2, for a class with a single sample.

    >>> x = np.array([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0], [5.0, 7.0]])
    >>> y = np.array([0, 0, 1, 1])
    >>> round(gaussian(x, x[:, ::-1], y), 9), round(gaussian(x, x * 0, y, alpha=2) ** 2, 6)
    (0.0, 62.0)
    """
    return float(np.sqrt(descent(x, y, labels, alpha, tolerance, iterations)[-1]))


def descent(
    x: Array, y: Array, labels: Labels, alpha: float, tolerance: float = 1e-7, iterations: int = 200
) -> list[float]:
    """d² of `gaussian` after every step of the alternation, from the better start on; never rising.

    >>> x = np.array([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0], [5.0, 7.0]])
    >>> steps = descent(x, x[[1, 0, 3, 2]] * [1, 3], np.array([0, 0, 1, 1]), alpha=1)
    >>> steps == sorted(steps, reverse=True)
    True
    """
    paired(x, y)
    if not 0 <= alpha <= 2:
        raise InputError(f"gaussian: alpha = {alpha}, expected a number from 0 (covariances) to 2 (means)")
    a, b = _axes(x, y)
    ours, theirs = gaussians(a, labels, alpha < 2), gaussians(b, labels, alpha < 2)
    starts = [rotation(b.T @ a), rotation(theirs.means.T @ ours.means)]
    costs = [_cost(ours, theirs, turn, alpha) for turn in starts]
    turn, values = starts[int(np.argmin(costs))], [min(costs)]
    scale = _size(ours, alpha) + _size(theirs, alpha)
    for _ in range(iterations):
        turn = _better(ours, theirs, turn, alpha)
        values.append(min(values[-1], _cost(ours, theirs, turn, alpha)))
        if values[-2] - values[-1] <= tolerance * scale:
            break
    return values


def gaussians(x: Array, labels: Labels, covariances: bool = True) -> Gaussians:
    """Fit one Gaussian per class to `x` (n, d); without `covariances` the factors are empty (K, 0, d).

    Raises InputError if `labels` has another length than `x`, or a covariance is needed of a class with one
    sample.

    >>> fit = gaussians(np.array([[0.0], [2.0], [5.0], [9.0]]), np.array([0, 0, 1, 1]))
    >>> fit.means.ravel().tolist(), (fit.factors**2).sum(axis=(1, 2)).round(9).tolist()
    ([1.0, 7.0], [2.0, 8.0])
    """
    if labels.shape != x.shape[:1]:
        raise InputError(f"gaussian: labels of shape {labels.shape}, expected {x.shape[:1]}, one a sample")
    classes, counts = np.unique(labels, return_counts=True)
    means = np.stack([x[labels == c].mean(axis=0) for c in classes])
    if not covariances:
        return Gaussians(means=means, factors=np.zeros((len(classes), 0, x.shape[1])))
    if counts.min() < 2:
        lonely = classes[counts.argmin()]
        raise InputError(f"gaussian: class {lonely} has a single sample, expected at least 2 a class for a covariance")
    parts = [_factor(x[labels == c] - mean) for c, mean in zip(classes, means, strict=True)]
    rows = max(len(part) for part in parts)
    return Gaussians(means=means, factors=np.stack([np.pad(p, ((0, rows - len(p)), (0, 0))) for p in parts]))


def _factor(centred: Array) -> Array:
    """F (min(n, d), d) with FᵀF the unbiased covariance of the centred rows."""
    scaled = centred / np.sqrt(len(centred) - 1)
    factor: Array = scaled if len(scaled) <= scaled.shape[1] else np.linalg.qr(scaled).R
    return factor


def _axes(x: Array, y: Array) -> tuple[Array, Array]:
    """Both sides in their own principal axes, padded to one width: nothing that T could not undo."""
    sides = [u * s for u, s in (principal(x), principal(y))]
    width = max(1, *(side.shape[1] for side in sides))
    a, b = (np.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in sides)
    return a, b


def _matching(ours: Gaussians, theirs: Gaussians, turn: Array) -> Array:
    """R_k (K, m, m), the rotations of factor rows that minimise |F_k - R_kᵀ F'_k T|."""
    return rotation(theirs.factors @ turn @ ours.factors.transpose(0, 2, 1))


def _cost(ours: Gaussians, theirs: Gaussians, turn: Array, alpha: float) -> float:
    matched = _matching(ours, theirs, turn).transpose(0, 2, 1) @ theirs.factors @ turn
    means = np.sum((ours.means - theirs.means @ turn) ** 2)
    bures = np.sum((ours.factors - matched) ** 2)
    return float(alpha * means + (2 - alpha) * bures) / len(ours.means)


def _better(ours: Gaussians, theirs: Gaussians, turn: Array, alpha: float) -> Array:
    """One alternation: the best R_k for this T, then the best T for these R_k."""
    matched = _matching(ours, theirs, turn).transpose(0, 2, 1) @ theirs.factors
    crossed = (matched.transpose(0, 2, 1) @ ours.factors).sum(axis=0)
    return rotation(alpha * theirs.means.T @ ours.means + (2 - alpha) * crossed)


def _size(side: Gaussians, alpha: float) -> float:
    return float(alpha * np.sum(side.means**2) + (2 - alpha) * np.sum(side.factors**2)) / len(side.means)


@dataclass(frozen=True, kw_only=True)
class Gaussian(FeatureCriterion):
    """Distance of the class-conditional Gaussians of the features; alpha 0 covariances, 2 means, 1 both."""

    alpha: float = 1.0
    family: ClassVar[str] = "gaussian"

    @property
    def name(self) -> str:
        """`gaussian-<alpha>`."""
        return f"gaussian-{self.alpha:g}"

    def distance(self, x: Array, y: Array, labels: Labels) -> float:
        """`gaussian(x, y, labels, alpha)`."""
        return gaussian(x, y, labels, self.alpha)
