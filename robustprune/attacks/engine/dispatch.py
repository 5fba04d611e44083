"""Which part of the engine runs which kind of attack."""

from __future__ import annotations

from torch import Tensor

from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.drawn import DrawnAttack
from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.library import LibraryAttack
from robustprune.attacks.contract.stepped import SteppedAttack
from robustprune.attacks.contract.target import Target
from robustprune.attacks.engine.draws import run_drawn
from robustprune.attacks.engine.library import run_library
from robustprune.attacks.engine.stepwise import run_stepped
from robustprune.errors import InputError


def run(attack: Attack, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
    """Attack the samples `x` (m, C, H, W) in [0,1] of true class `y` (m,), all of them predicted right.

    Everything tried goes through `target`, which counts. `seed` is the only source of randomness. Samples that could
    not be attacked are written down as failed; InputError and interrupts pass.
    """
    match attack:
        case SteppedAttack():
            return run_stepped(attack, target, x, y, seed)
        case LibraryAttack():
            return run_library(attack, target, x, y, seed)
        case DrawnAttack():
            return run_drawn(attack, target, x, y, seed)
    kinds = "SteppedAttack, LibraryAttack or DrawnAttack"
    raise InputError(f"{attack.name}: {type(attack).__name__} is no kind of attack the engine runs; expected a {kinds}")
