"""All criteria by name: the single ones, those that see the network attacked, and consensus of them.

This table stands apart from `robustprune.criteria`, so that a criterion which looks at no attack does not depend on the
code of attacks: its stored scores stay as they are when an attack is changed.
"""

from __future__ import annotations

from collections.abc import Callable

from robustprune.criteria import CRITERIA as SINGLE
from robustprune.criteria import EIGHT, Criterion
from robustprune.criteria.adversarial import LocalLipschitz, adversarial_ablation_loss, adversarial_cka
from robustprune.criteria.boundary import GradientAlignment, MarginDrop
from robustprune.criteria.consensus import CONSENSUS, Consensus, family_weights

ROBUST: dict[str, Callable[[], Criterion]] = {
    "cka@adversarial": adversarial_cka,
    "ablation-loss@adversarial": adversarial_ablation_loss,
    "gradient-alignment": GradientAlignment,
    "margin-drop": MarginDrop,
    "local-lipschitz": LocalLipschitz,
}
"""Name -> what makes a criterion that sees the network attacked, or how near that is."""


def robust_consensus() -> Consensus:
    """Consensus of the eight metrics and the five under attack, by rank sum, every family of them counting the same."""
    voters = (*EIGHT, *(make() for make in ROBUST.values()))
    return Consensus(name="robust-consensus", voters=voters, weights=family_weights(voters))


CRITERIA: dict[str, Callable[[], Criterion]] = {**SINGLE, **ROBUST, **CONSENSUS, "robust-consensus": robust_consensus}
"""All names of criteria, single and combined -> what makes them."""
