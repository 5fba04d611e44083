"""How far the curve of an attack that minimises lies above attacks that are made at one eps.

One run towards the nearest boundary stands for all eps, and may end at a boundary that is not the nearest. So what the
curve calls robust at one eps is attacked there, by PGD towards the three nearest classes. The share that breaks is by
how much, at least, the curve is too high at that eps; the curve itself stays what its attack found.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from robustprune.attacks.algorithms.targeted_pgd import TargetedPGD
from robustprune.attacks.contract.randomness import keys
from robustprune.attacks.contract.samples import Samples
from robustprune.attacks.contract.target import Target
from robustprune.attacks.contract.threat import Threat
from robustprune.attacks.engine.dispatch import run

CHECKED = 128
"""So many samples are looked at, at most, drawn by their content."""

STEPS = 20
"""Of PGD towards each class, as in the everyday tier of attacks."""


def checked(target: Target, x: Tensor, y: Tensor, robust: Tensor, ball: Threat, seed: int) -> dict[str, Any]:
    """Attack what a curve calls `robust` (n, bool) in `ball`; return attack, samples, robust ones before and after.

    `gap` is the difference as a share of the samples looked at.
    """
    attack = TargetedPGD(eps=ball.eps, norm=ball.norm, steps=STEPS)
    some = keys(x).argsort(stable=True)[:CHECKED]
    rows = some[robust[some]]
    broken = int(run(attack, target, Samples(x[rows], y[rows]), seed).success.sum()) if len(rows) else 0
    counts = {"samples": len(some), "robust": len(rows), "robust beside": len(rows) - broken}
    return {"attack": attack.name, **counts, "gap": broken / len(some)}
