"""Attacks that can be believed: torchattacks' attacks, run, counted and judged by us."""

from robustprune.attacks.adapter import LibraryAttack, TorchAttack
from robustprune.attacks.base import Attack, Evaluation, Found
from robustprune.attacks.catalogue import ATTACKS
from robustprune.attacks.curves import robust_curve
from robustprune.attacks.cw import CW
from robustprune.attacks.engine import evaluate
from robustprune.attacks.fgsm import FGSM
from robustprune.attacks.noise import Noise
from robustprune.attacks.pgd import PGD
from robustprune.attacks.transfer import Transfer

__all__ = [
    "ATTACKS",
    "CW",
    "FGSM",
    "PGD",
    "Attack",
    "Evaluation",
    "Found",
    "LibraryAttack",
    "Noise",
    "TorchAttack",
    "Transfer",
    "evaluate",
    "robust_curve",
]
