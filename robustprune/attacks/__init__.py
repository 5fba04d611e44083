"""Attacks that can be believed: each declares what it is, one engine runs, counts and judges them.

contract/ says what an attack, a threat and a step are, algorithms/ holds the attacks, engine/ runs them. The doors are
here: `evaluate` attacks a network, `robust_curve` does so over many eps. To add an attack: see algorithms/; one of your
own needs no name, pass the object (`TorchAttack` wraps any attack of torchattacks).
"""

from robustprune.attacks.algorithms.adaptive_pgd import AdaptivePGD
from robustprune.attacks.algorithms.apgd import APGD
from robustprune.attacks.algorithms.apgdt import APGDT
from robustprune.attacks.algorithms.autoattack import autoattack_standard
from robustprune.attacks.algorithms.catalogue import ATTACKS
from robustprune.attacks.algorithms.corruptions import Corruptions
from robustprune.attacks.algorithms.cw import CW
from robustprune.attacks.algorithms.fab import FABT
from robustprune.attacks.algorithms.fgsm import FGSM
from robustprune.attacks.algorithms.fmn import FMN
from robustprune.attacks.algorithms.hopskipjump import HopSkipJump
from robustprune.attacks.algorithms.mifgsm import MIFGSM
from robustprune.attacks.algorithms.noise import Noise
from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.algorithms.spatial import RotateTranslate
from robustprune.attacks.algorithms.square import Square
from robustprune.attacks.algorithms.targeted_pgd import TargetedPGD
from robustprune.attacks.algorithms.texts.embedded import EmbeddingPGD
from robustprune.attacks.algorithms.texts.substitution import Substitution
from robustprune.attacks.algorithms.tiers import tier
from robustprune.attacks.algorithms.torchattack import TorchAttack
from robustprune.attacks.algorithms.transfer import Transfer
from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.found import Evaluation, Found
from robustprune.attacks.contract.library import LibraryAttack
from robustprune.attacks.engine.curves import robust_curve
from robustprune.attacks.engine.evaluate import evaluate

__all__ = [
    "APGD",
    "APGDT",
    "ATTACKS",
    "CW",
    "FABT",
    "FGSM",
    "FMN",
    "MIFGSM",
    "PGD",
    "AdaptivePGD",
    "Attack",
    "Corruptions",
    "EmbeddingPGD",
    "Evaluation",
    "Found",
    "HopSkipJump",
    "LibraryAttack",
    "Noise",
    "RotateTranslate",
    "Square",
    "Substitution",
    "TargetedPGD",
    "TorchAttack",
    "Transfer",
    "autoattack_standard",
    "evaluate",
    "robust_curve",
    "tier",
]
