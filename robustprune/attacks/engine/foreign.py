"""Runs a stepped attack with the gradients of other networks (transfer): every iterate is tried on the attacked one."""

from __future__ import annotations

import copy
from dataclasses import replace

from torch import Tensor

from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.samples import Samples
from robustprune.attacks.contract.stepped import SteppedAttack
from robustprune.attacks.contract.target import Counted, Target
from robustprune.attacks.engine.first_success import FirstSuccess
from robustprune.attacks.engine.fold import SAMPLES, attack_copy
from robustprune.attacks.engine.window import Guide
from robustprune.errors import InputError


def with_guides(attack: SteppedAttack, target: Target, x: Tensor) -> Target:
    """Return the target with lean copies of its parents. Raises InputError without a parent."""
    if not target.parents:
        raise InputError(f"{attack.name}: needs the network to transfer from; call evaluate(..., parent=network)")
    sample = x[:SAMPLES].to(target.device)
    return replace(target, parents=tuple(attack_copy(parent, sample)[0] for parent in target.parents))


def attack_from_abroad(attack: SteppedAttack, target: Target, samples: Samples, seed: int) -> Found:
    """Attack one worker's share of the samples, the parents one after the other, on those that resist."""
    found = Found.nothing(samples.x, target.keep)
    quiet = replace(target, near=False, tick=lambda decided: None)
    for parent in target.parents:
        left = (~found.success).nonzero().flatten()
        if len(left):
            guide = Guide(Counted(copy.deepcopy(parent), target.passes, target.device).eval(), foreign=True)
            window = FirstSuccess(attack, quiet, samples.at(left), seed, guide)
            found.merge(left, window.run())
    target.batch_size = quiet.batch_size
    target.tick(len(samples))
    return found
