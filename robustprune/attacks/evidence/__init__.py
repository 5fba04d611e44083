"""Evidence that an attack was strong enough to be believed: thirty validity checks, and what follows from
them.

`gather(ctx, tier)` makes the checks; `trust(checks)` says TRUSTED, SUSPECT or INVALID; `explain(checks)`
names what failed; `open_points()` says what no check can settle. registry.py tells which failures block.

Sources: Carlini et al. 1902.06705; Athalye et al. 1802.00420; Tramer et al. 2002.08347; Pintor et al.
2106.09947; the flags of AutoAttack (2003.01690); Zimmermann et al., NeurIPS 2022.
"""

from robustprune.attacks.evidence import claims, comparison, gradients, model, soundness, strength
from robustprune.attacks.evidence.claims import open_points
from robustprune.attacks.evidence.context import SIZES, EvidenceContext, Sizes
from robustprune.attacks.evidence.gathering import ESSENTIAL, explain, gather, trust
from robustprune.attacks.evidence.planted import Findings, findings
from robustprune.attacks.evidence.registry import CHECKS, TIERS, Spec, Tier

__all__ = [
    "CHECKS",
    "ESSENTIAL",
    "SIZES",
    "TIERS",
    "EvidenceContext",
    "Findings",
    "Sizes",
    "Spec",
    "Tier",
    "claims",
    "comparison",
    "explain",
    "findings",
    "gather",
    "gradients",
    "model",
    "open_points",
    "soundness",
    "strength",
    "trust",
]
