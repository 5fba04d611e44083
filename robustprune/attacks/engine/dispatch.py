"""Which part of the engine runs which kind of attack."""

from __future__ import annotations

from robustprune.attacks.algorithms.texts.embedded import EmbeddingPGD
from robustprune.attacks.algorithms.texts.substitution import Substitution
from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.drawn import DrawnAttack
from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.library import LibraryAttack
from robustprune.attacks.contract.samples import Samples
from robustprune.attacks.contract.stepped import SteppedAttack
from robustprune.attacks.contract.target import Target
from robustprune.attacks.contract.transformed import TransformedAttack
from robustprune.attacks.engine.draws import run_drawn
from robustprune.attacks.engine.library import run_library
from robustprune.attacks.engine.random_parts import seed_generators, verdict
from robustprune.attacks.engine.stepwise import run_stepped
from robustprune.attacks.engine.texts.embedded import run_embedded
from robustprune.attacks.engine.texts.exchanged import run_exchanged
from robustprune.attacks.engine.transforms import run_transformed
from robustprune.errors import InputError


def run(attack: Attack, target: Target, samples: Samples, seed: int) -> Found:
    """Attack the samples.

    Everything tried goes through `target`, which counts. `seed` is the only source of randomness, that of a random
    network included. Samples that could not be attacked are written down as failed; InputError and interrupts pass.
    """
    if isinstance(attack, EmbeddingPGD):
        return run_embedded(target, samples, lambda inner, some: judged(attack, inner, some, seed))
    return judged(attack, target, samples, seed)


def judged(attack: Attack, target: Target, samples: Samples, seed: int) -> Found:
    """Attack the samples; of a random network keep what a majority of fresh passes confirms."""
    if not target.random:
        return search(attack, target, samples, seed)
    seed_generators(seed, target.device)
    found = search(attack, target, samples, seed)
    verdict(found, target, samples.x, samples.y, seed)
    return found


def search(attack: Attack, target: Target, samples: Samples, seed: int) -> Found:
    """Let the part of the engine that runs this kind of attack look for perturbations."""
    match attack:
        case Substitution():
            return run_exchanged(attack, target, samples)
        case SteppedAttack():
            return run_stepped(attack, target, samples, seed)
        case LibraryAttack():
            return run_library(attack, target, samples.x, samples.y, seed)
        case DrawnAttack():
            return run_drawn(attack, target, samples.x, samples.y, seed)
        case TransformedAttack():
            return run_transformed(attack, target, samples, seed)
    kinds = "SteppedAttack, LibraryAttack, DrawnAttack or TransformedAttack"
    raise InputError(f"{attack.name}: {type(attack).__name__} is no kind of attack the engine runs; expected a {kinds}")
