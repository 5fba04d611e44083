"""The door to consensus, a criterion made of criteria; it lives in `robustprune.criteria.consensus`."""

from robustprune.criteria.consensus import (
    CONSENSUS,
    CRITERIA,
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
    "Consensus",
    "agreement",
    "candidates",
    "family_weights",
    "fitted_weights",
    "rank_sum",
    "weighted_sum",
]
