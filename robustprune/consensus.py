"""The door to consensus, a criterion made of criteria; it lives in `robustprune.criteria.consensus`."""

from robustprune.criteria.catalogue import CRITERIA, ROBUST, robust_consensus
from robustprune.criteria.consensus import (
    CONSENSUS,
    Consensus,
    agreement,
    candidates,
    family_weights,
    rank_sum,
    weighted_sum,
)
from robustprune.criteria.fitted import fitted_weights

__all__ = [
    "CONSENSUS",
    "CRITERIA",
    "ROBUST",
    "Consensus",
    "agreement",
    "candidates",
    "family_weights",
    "fitted_weights",
    "rank_sum",
    "robust_consensus",
    "weighted_sum",
]
