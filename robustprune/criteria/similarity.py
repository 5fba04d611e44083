"""Distances between features up to rotation, linear map or re-ordering: CKA, Procrustes, permutation.

All take the features of the same samples, rows = samples, columns = neurons, and centre every column. All are
0 for identical features and grow with the change, so the score of a block is the distance itself: higher =
keep.

The angle between aligned features is computed from the chord, 2 arcsin(|a - b| / 2) with |a| = |b| = 1, not
as an arc cosine: near 0 the arc cosine keeps only half of the digits, and there the least important blocks
are told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import linear_sum_assignment

from robustprune.criteria.arrays import Array, Labels, paired
from robustprune.criteria.base import FeatureCriterion
from robustprune.errors import InputError

RANK_TOLERANCE = 1e-6
"""Singular values below this fraction of the largest count as 0.

Features come from float32 arithmetic, and full whitening would blow the rounding noise up to unit variance.
"""


def cka(x: Array, y: Array) -> float:
    """1 - linear centred kernel alignment, in [0, 1] (Kornblith et al. 1905.00414: linear CKA, biased HSIC).

    1 - |XᵀY|_F² / (|XᵀX|_F |YᵀY|_F) for column-centred `x`, `y`, both (n, d). Invariant to rotation,
    translation and isotropic scaling; no metric (the arc cosine of the alignment is one). Features without
    variance: 0 if both have none, 1 if one has. Raises InputError as `paired`.

    >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> round(cka(x, 3 * x[:, ::-1] + 5), 12), round(cka(x, x * [1, 0]), 4)
    (0.0, 0.2929)
    """
    paired(x, y)
    a, b = _unit(_centred(x)), _unit(_centred(y))
    if not (a.any() and b.any()):
        return float(a.any() or b.any())
    if len(x) < x.shape[1]:
        kernels = a @ a.T, b @ b.T
        alignment = np.vdot(*kernels) / np.linalg.norm(kernels[0]) / np.linalg.norm(kernels[1])
    else:
        alignment = np.vdot(a.T @ b, a.T @ b) / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
    return float(np.clip(1 - alignment, 0, 1))


def procrustes(x: Array, y: Array, alpha: float = 1.0, directions: int | None = None) -> float:
    """Angle in radians, in [0, π/2], between partially whitened features after the best rotation.

    Williams et al. 2110.14739, partial whitening: X is centred and mapped to X (alpha I + (1 - alpha)
    (XᵀX)^-½), then min over orthogonal Q of arccos <X, YQ> / (|X| |Y|). alpha 1: orthogonal Procrustes; alpha
    0: full whitening, the CCA-like end, invariant to every invertible linear map. A metric for every alpha
    (up to these invariances).

    Rank-deficient features (dead neurons) are whitened on their own row space: the inverse root is the
    pseudo-inverse root, with `RANK_TOLERANCE`. Each of the r directions then has unit length, r may differ
    between `x` and `y`, and the distance stays a metric. `directions` keeps at most so many principal
    directions of each side (as SVCCA, Raghu et al. 2017): with n - 1 <= d full whitening turns any features
    into a basis of the same space, and every distance is 0.

    Features without variance: 0 if both have none, π/2 if one has. Raises InputError as `paired`, for alpha
    outside [0, 1] and for directions < 1.

    >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> round(procrustes(x, x @ np.array([[0.6, 0.8], [-0.8, 0.6]])), 9)
    0.0
    >>> round(procrustes(x, x * [1, 3], alpha=0), 9), round(procrustes(x, x * [1, 3], alpha=1), 4)
    (0.0, 0.4636)
    """
    paired(x, y)
    if not 0 <= alpha <= 1:
        raise InputError(f"procrustes: alpha = {alpha}, expected a number from 0 (whitening) to 1 (rotation only)")
    if directions is not None and directions < 1:
        raise InputError(f"procrustes: directions = {directions}, expected at least 1 or None")
    a, b = _whitened(x, alpha, directions), _whitened(y, alpha, directions)
    width = max(a.shape[1], b.shape[1])
    a, b = _padded(a, width), _padded(b, width)
    return _angle(a, b @ rotation(b.T @ a))


def permutation(x: Array, y: Array) -> float:
    """Angle in radians, in [0, π], between centred features after the best re-ordering of neurons.

    Hungarian matching of the columns of `y` with those of `x`, both (n, d), by inner product (Williams et al.
    2110.14739 with the permutation group). A metric, invariant to permutation, translation and isotropic
    scaling, not to rotation. Without variance: 0 if both have none, π/2 if one has. Raises InputError as
    `paired`.

    >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> permutation(x, x[:, ::-1]), round(permutation(x, x @ np.array([[0.6, 0.8], [-0.8, 0.6]])), 4)
    (0.0, 0.9273)
    """
    paired(x, y)
    a, b = _centred(x), _centred(y)
    _, order = linear_sum_assignment(a.T @ b, maximize=True)
    return _angle(a, b[:, order])


def rotation(m: Array) -> Array:
    """The orthogonal factor UVᵀ of the SVD of `m` (..., d, d): the orthogonal Q that maximises tr(QᵀM).

    >>> rotation(np.diag([4.0, -2.0])).round(9).tolist()
    [[1.0, 0.0], [0.0, -1.0]]
    """
    u, _, vt = np.linalg.svd(m)
    product: Array = u @ vt
    return product


def principal(x: Array, tolerance: float = RANK_TOLERANCE) -> tuple[Array, Array]:
    """Left singular vectors (n, r) and singular values (r,) of `x` on its numerical rank r.

    `u * s` is `x` rotated to its principal axes: everything a rotation-invariant distance can see, with r <=
    min(n, d) columns.

    >>> principal(np.array([[3.0, 0.0], [0.0, 0.0]]))[1].tolist()
    [3.0]
    """
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    rank = int((s > tolerance * s[0]).sum()) if s[0] > 0 else 0
    return u[:, :rank], s[:rank]


def _whitened(x: Array, alpha: float, directions: int | None) -> Array:
    u, s = principal(_centred(x))
    weights = (1 - alpha) + alpha * s
    return (u * weights)[:, :directions]


def _padded(x: Array, width: int) -> Array:
    return np.pad(x, ((0, 0), (0, width - x.shape[1])))


def _centred(x: Array) -> Array:
    """Columns without their mean; a column that does not vary beyond rounding becomes exactly 0."""
    centred = x - x.mean(axis=0)
    noise = 4 * np.finfo(np.float64).eps * np.abs(x).max(axis=0)
    return np.where(np.abs(centred).max(axis=0) > noise, centred, 0.0)


def _unit(x: Array) -> Array:
    size = np.linalg.norm(x)
    return x / size if size > 0 else x


def _angle(a: Array, b: Array) -> float:
    a, b = _unit(a), _unit(b)
    if not (a.any() and b.any()):
        return np.pi / 2 if a.any() or b.any() else 0.0
    return float(2 * np.arcsin(min(1.0, float(np.linalg.norm(a - b)) / 2)))


@dataclass(frozen=True, kw_only=True)
class Cka(FeatureCriterion):
    """Linear CKA distance of the penultimate features with and without the block."""

    family: ClassVar[str] = "shape"
    name = "cka"

    def distance(self, x: Array, y: Array, labels: Labels) -> float:
        """`cka(x, y)`."""
        return cka(x, y)


@dataclass(frozen=True, kw_only=True)
class Procrustes(FeatureCriterion):
    """Procrustes angle of the features; alpha 0 whitens them (CCA-like), alpha 1 only rotates.

    With fewer than 2 samples a neuron, whitening keeps the first n // 4 principal directions (see
    `procrustes`).
    """

    alpha: float = 1.0
    family: ClassVar[str] = "shape"

    @property
    def name(self) -> str:
        """`procrustes` (alpha 1), `procrustes-cca` (alpha 0) or `procrustes-<alpha>`."""
        return {1.0: "procrustes", 0.0: "procrustes-cca"}.get(self.alpha, f"procrustes-{self.alpha:g}")

    def distance(self, x: Array, y: Array, labels: Labels) -> float:
        """`procrustes(x, y, alpha)`."""
        few = self.alpha < 1 and len(x) < 2 * x.shape[1]
        return procrustes(x, y, self.alpha, directions=max(1, len(x) // 4) if few else None)


@dataclass(frozen=True, kw_only=True)
class Permutation(FeatureCriterion):
    """Angle of the features after the best one-to-one matching of neurons (Hungarian)."""

    family: ClassVar[str] = "shape"
    name = "permutation"

    def distance(self, x: Array, y: Array, labels: Labels) -> float:
        """`permutation(x, y)`."""
        return permutation(x, y)
