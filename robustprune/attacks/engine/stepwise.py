"""Runs attacks cut open into steps, several batches side by side.

A step is taken for all samples in the batch together, but every sample has its own step count, its own
restart and its own optimiser state, so what happens to it does not depend on who else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.randomness import keys
from robustprune.attacks.contract.stepped import SteppedAttack
from robustprune.attacks.contract.target import Target
from robustprune.attacks.engine.first_success import FirstSuccess
from robustprune.attacks.engine.foreign import attack_from_abroad, with_guides
from robustprune.attacks.engine.parallel import in_parallel
from robustprune.attacks.engine.precision import pays, time_ratio
from robustprune.attacks.engine.smallest_success import SmallestSuccess
from robustprune.attacks.engine.window import Guide


def run_stepped(attack: SteppedAttack, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
    """Attack the samples `x` (m, C, H, W) of class `y`, each on its own account."""
    share = attack_from_abroad if attack.needs_parent else attack_stepwise
    lent = with_guides(attack, target, x) if attack.needs_parent else target

    def dealt(lent: Target, rows: Tensor) -> Found:
        x_, y_ = x[rows], y[rows]
        return in_parallel(lent, keys(x_), lambda mine, row: share(attack, mine, x_[row], y_[row], seed))

    if lent.on_trial and not attack.minimises and not attack.needs_parent and len(x) > lent.batch_size:
        return on_trial(attack, target, x, dealt)
    sure = replace(lent, low=None) if lent.on_trial else lent
    found = dealt(sure, torch.arange(len(x)))
    target.batch_size = sure.batch_size
    return found


def on_trial(attack: SteppedAttack, target: Target, x: Tensor, dealt: Callable[[Target, Tensor], Found]) -> Found:
    """Attack a first batch of `x` in float32, and the rest with a first pass in bfloat16 where that pays."""
    assert target.low is not None
    plain, rows = replace(target, low=None), keys(x).argsort(stable=True)
    first, rest = rows[: target.batch_size], rows[target.batch_size :]
    found = Found.nothing(x, target.keep)
    sample = dealt(plain, first)
    found.merge(first, sample)
    ratio = time_ratio(target.low, target.model, x[first[: plain.batch_size]].to(target.device))
    use = pays(sample, attack.stepper(target.model).steps, ratio)
    lent = replace(target, batch_size=plain.batch_size) if use else plain
    found.merge(rest, dealt(lent, rest))
    target.batch_size = lent.batch_size
    found.notes = {**sample.notes, **({"precision": "bfloat16, then float32, after a trial"} if use else {})}
    return found


def attack_stepwise(attack: SteppedAttack, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
    """Attack `x` (m, C, H, W): where a low-precision copy is at hand, first with that, the survivors in float32."""
    if attack.minimises:
        return SmallestSuccess(attack, target, x, y, seed, Guide(target.model)).run()
    if target.low is None:
        return FirstSuccess(attack, target, x, y, seed, Guide(target.model)).run()
    early = replace(target, tick=lambda decided: None)
    found = FirstSuccess(attack, early, x, y, seed, Guide(target.low, hasty=True)).run()
    target.batch_size = early.batch_size
    left = (~found.success).nonzero().flatten()
    target.tick(len(x) - len(left))
    if len(left):
        found.merge(left, FirstSuccess(attack, target, x[left], y[left], seed, Guide(target.model)).run())
    return found
