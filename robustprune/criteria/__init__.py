"""Pruning criteria: every block gets a score, higher = keep.

context.py says what a criterion is and what it may ask; behaviour.py, distribution.py, gradient.py, similarity.py,
stochastic.py and weights.py hold them; consensus.py combines several into one. To add one: a frozen dataclass with
`name` and `__call__(ctx)` in any of these files (a `FeatureCriterion` from base.py where it is a distance of features),
and a line in CRITERIA here for its name. One of your own needs no name: pass the object. `OnInputs` scores any of them
on other inputs. What looks at the network attacked is in adversarial.py and boundary.py, which alone depend on attacks;
catalogue.py has all names.

The eight voters of the paper (`EIGHT`) are about three families, by what they measure and by how they rank:
on the published ResNet-56 and 200 training images, the same for all, Spearman's correlation is .96 or more
among cka, procrustes-cca, procrustes and permutation, .91 or more among the three gaussians, and .75 to .83
between wasserstein and the first four. Eight votes are therefore about three opinions at most;
`robustprune.consensus.family_weights` counts them as such.
"""

from __future__ import annotations

from collections.abc import Callable

from robustprune.criteria.base import FeatureCriterion
from robustprune.criteria.behaviour import AblationLoss, AngularDistance, BlockInfluence, OnInputs
from robustprune.criteria.context import Criterion, ScoringContext
from robustprune.criteria.distribution import JsDivergence, Wasserstein, js_divergence, wasserstein
from robustprune.criteria.gradient import Taylor
from robustprune.criteria.similarity import Cka, Permutation, Procrustes, cka, permutation, procrustes
from robustprune.criteria.stochastic import Gaussian, gaussian
from robustprune.criteria.weights import BnGamma, DepthFirst, DepthLast, Random, WeightNorm

EIGHT: tuple[Criterion, ...] = (
    Cka(),
    Procrustes(alpha=0.0),
    Procrustes(alpha=1.0),
    Permutation(),
    Gaussian(alpha=0.0),
    Gaussian(alpha=1.0),
    Gaussian(alpha=2.0),
    Wasserstein(),
)
"""The voters of the paper, in its order."""


def procrustes_cca() -> Criterion:
    """Procrustes angle of the features after full whitening (CCA-like)."""
    return Procrustes(alpha=0.0)


def gaussian_0() -> Criterion:
    """Distance of the features' class-conditional Gaussians, covariances only."""
    return Gaussian(alpha=0.0)


def gaussian_1() -> Criterion:
    """Distance of the features' class-conditional Gaussians, means and covariances (2-Wasserstein)."""
    return Gaussian(alpha=1.0)


def gaussian_2() -> Criterion:
    """Distance of the features' class-conditional Gaussians, means only."""
    return Gaussian(alpha=2.0)


CRITERIA: dict[str, Callable[[], Criterion]] = {
    "random": Random,
    "depth-first": DepthFirst,
    "depth-last": DepthLast,
    "weight-norm": WeightNorm,
    "bn-gamma": BnGamma,
    "taylor": Taylor,
    "block-influence": BlockInfluence,
    "angular-distance": AngularDistance,
    "js-divergence": JsDivergence,
    "ablation-loss": AblationLoss,
    "cka": Cka,
    "procrustes-cca": procrustes_cca,
    "procrustes": Procrustes,
    "permutation": Permutation,
    "gaussian-0": gaussian_0,
    "gaussian-1": gaussian_1,
    "gaussian-2": gaussian_2,
    "wasserstein": Wasserstein,
}
"""Name -> what makes the criterion; the first line of the factory's docstring describes it."""

__all__ = [
    "CRITERIA",
    "EIGHT",
    "AblationLoss",
    "AngularDistance",
    "BlockInfluence",
    "BnGamma",
    "Cka",
    "Criterion",
    "DepthFirst",
    "DepthLast",
    "FeatureCriterion",
    "Gaussian",
    "JsDivergence",
    "OnInputs",
    "Permutation",
    "Procrustes",
    "Random",
    "ScoringContext",
    "Taylor",
    "Wasserstein",
    "WeightNorm",
    "cka",
    "gaussian",
    "js_divergence",
    "permutation",
    "procrustes",
    "wasserstein",
]
