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
from robustprune.attacks.contract.samples import Samples
from robustprune.attacks.contract.stepped import SteppedAttack
from robustprune.attacks.contract.target import Target
from robustprune.attacks.engine.first_success import FirstSuccess
from robustprune.attacks.engine.foreign import attack_from_abroad, with_guides
from robustprune.attacks.engine.parallel import in_parallel
from robustprune.attacks.engine.precision import pays, time_ratio, worth_timing
from robustprune.attacks.engine.smallest_success import SmallestSuccess
from robustprune.attacks.engine.window import Guide


def run_stepped(attack: SteppedAttack, target: Target, samples: Samples, seed: int) -> Found:
    """Attack the samples, each on its own account.

    A first pass in low precision is made where it can be cut short: not by an attack that minimises, nor by one whose
    steps have a memory and adapt to how many there are.
    """
    share = attack_from_abroad if attack.needs_parent else attack_stepwise
    lent = with_guides(attack, target, samples.x) if attack.needs_parent else target
    if attack.minimises or attack.needs_parent or attack.stepper(target.model).memory:
        lent = replace(lent, low=None)

    def dealt(lent: Target, rows: Tensor) -> Found:
        some = samples.at(rows)
        return in_parallel(lent, keys(some.x), lambda mine, row: share(attack, mine, some.at(row), seed))

    if lent.low is not None and lent.on_trial and len(samples) > lent.batch_size:
        return on_trial(attack, target, samples.x, dealt)
    sure = replace(lent, low=None) if lent.on_trial else lent
    found = dealt(sure, torch.arange(len(samples)))
    target.batch_size = sure.batch_size
    if sure.low is None:
        found.notes = {**found.notes, "precision": "float32"}
    return found


def on_trial(attack: SteppedAttack, target: Target, x: Tensor, dealt: Callable[[Target, Tensor], Found]) -> Found:
    """Attack a first batch of `x` in float32, and the rest with a first pass in bfloat16 where that pays."""
    assert target.low is not None
    plain, rows = replace(target, low=None), keys(x).argsort(stable=True)
    first, rest = rows[: target.batch_size], rows[target.batch_size :]
    found = Found.nothing(x, target.keep, target.near)
    sample = dealt(plain, first)
    found.merge(first, sample)
    steps = attack.stepper(target.model).steps
    if not target.ratio and worth_timing(sample, steps, len(rest)):
        target.ratio.append(time_ratio(target.low, target.model, x[first[: plain.batch_size]].to(target.device)))
    use = any(ratio is not None and pays(sample, steps, ratio) for ratio in target.ratio)
    lent = replace(target, batch_size=plain.batch_size) if use else plain
    found.merge(rest, dealt(lent, rest))
    target.batch_size = lent.batch_size
    used = {"precision": "bfloat16, then float32, after a trial"} if use else {}
    found.notes = {**sample.notes, **used, **found.notes}
    return found


def attack_stepwise(attack: SteppedAttack, target: Target, samples: Samples, seed: int) -> Found:
    """Attack the samples: where a low-precision copy is at hand, first with that, the survivors in float32.

    What the low-precision copy could not do is no fault of the number: it is noted, and done in float32.
    """
    if attack.minimises:
        return SmallestSuccess(attack, target, samples, seed, Guide(target.model)).run()
    if target.low is None:
        return FirstSuccess(attack, target, samples, seed, Guide(target.model)).run()
    early = replace(target, tick=lambda decided: None)
    found = FirstSuccess(attack, early, samples, seed, Guide(target.low, hasty=True)).run()
    target.batch_size = early.batch_size
    found.notes |= found.forgiven("first pass in bfloat16 left out")
    left = (~found.success).nonzero().flatten()
    target.tick(len(samples) - len(left))
    if len(left):
        found.merge(left, FirstSuccess(attack, target, samples.at(left), seed, Guide(target.model)).run())
    return found
