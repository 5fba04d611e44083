"""Evidence that an attack was strong enough to be believed: the validity checks, and what they add up to.

`gather(ctx, tier)` makes the checks 1 to 29, `trust(checks)` says TRUSTED, SUSPECT or INVALID; registry.py tells which
failures block. The checks stand in network.py and gradients.py (is this the network, has it gradients), soundness.py,
strength.py and distance.py (does the attack work, is it strong enough, how far is it from AutoAttack), claims.py and
comparison.py (is what is said covered); texts.py says which of them are made of texts. A review adds 30 (the file that
ships), 31 (the clean room), 32 (by_heart.py).

To add one: write a function with `@check(number, name)` in one of these files; a new file is also imported here.
A new threat is one entry in scales.py.

Sources: Carlini et al. 1902.06705; Athalye et al. 1802.00420; Tramer et al. 2002.08347; Pintor et al. 2106.09947; the
flags of AutoAttack (2003.01690); Zimmermann et al., NeurIPS 2022.
"""

from robustprune.evidence import claims, comparison, distance, gradients, network, soundness, strength
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.gathering import gather
from robustprune.evidence.registry import CHECKS
from robustprune.evidence.sizes import SIZES, TIERS, Sizes, Tier
from robustprune.results.trust import ESSENTIAL, trust

__all__ = [
    "CHECKS",
    "ESSENTIAL",
    "SIZES",
    "TIERS",
    "EvidenceContext",
    "Sizes",
    "Tier",
    "claims",
    "comparison",
    "distance",
    "gather",
    "gradients",
    "network",
    "soundness",
    "strength",
    "trust",
]
