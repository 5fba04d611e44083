"""Runs a stepped attack with the gradients of other networks (transfer): every iterate is tried on the attacked one."""

from __future__ import annotations

import copy
from dataclasses import replace

from torch import Tensor, nn

from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.samples import Samples
from robustprune.attacks.contract.stepped import SteppedAttack
from robustprune.attacks.contract.target import Counted, Target
from robustprune.attacks.engine.first_success import FirstSuccess
from robustprune.attacks.engine.guard import forked_generators
from robustprune.attacks.engine.lean import SAMPLES, attack_copy
from robustprune.attacks.engine.random_parts import is_random
from robustprune.attacks.engine.window import Guide
from robustprune.errors import InputError


def with_guides(attack: SteppedAttack, target: Target, x: Tensor) -> Target:
    """Return the target with lean copies of its parents. Raises InputError without a parent."""
    if not target.parents:
        raise InputError(f"{attack.name}: needs the network to transfer from; call evaluate(..., parent=network)")
    sample = x[:SAMPLES].to(target.device)
    lean = [target.guides.get(parent) or guide(parent, sample) for parent in target.parents]
    return replace(target, parents=tuple(lean))


def guide(parent: nn.Module, sample: Tensor) -> nn.Module:
    """Return a lean copy of a parent, by a few real samples (m, C, H, W)."""
    with forked_generators(sample.device):
        random = is_random(parent, sample)
    return attack_copy(parent, sample, random).net


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
