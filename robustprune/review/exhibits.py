"""Pictures need more than outcomes: samples that broke, with their perturbations, and accuracy over eps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from robustprune.attacks import PGD, Attack, evaluate, robust_curve
from robustprune.data import Split
from robustprune.models import evaluating
from robustprune.report.figures import Point, Sample
from robustprune.results import BROKEN, CaseResult
from robustprune.store import code_version
from robustprune.subject import Bench

SHOWN = 6
"""Newly broken samples that are shown."""

SWEEP = (0.25, 0.5, 1.0, 2.0)
"""Multiples of the suite's eps at which the curves over eps are measured."""

SWEEP_SAMPLES, SWEEP_STEPS = 256, 20
"""PGD on at most so many samples. A larger eps goes on where the smaller one left off (`robust_curve`)."""


def newly_broken(candidate: CaseResult, parent: CaseResult, most: int = SHOWN) -> list[tuple[int, int]]:
    """(sample, position of the attack) where the parent withstood all and an attack broke the candidate.

    The attack is the first of the suite that did.
    """
    found = []
    for row, (was, is_) in enumerate(zip(parent.worst, candidate.worst, strict=True)):
        letters = [outcome.status[row] for outcome in candidate.outcomes]
        if was and not is_ and candidate.clean[row] and BROKEN in letters:
            found.append((row, letters.index(BROKEN)))
    return found[:most]


def gallery(
    candidate: CaseResult, parent: CaseResult, net: nn.Module, sample: Split, bench: Bench
) -> tuple[Sample, ...]:
    """Attack the newly broken samples again with what broke them: the same seed, the same perturbation."""
    by_attack: dict[int, list[int]] = {}
    for row, place in newly_broken(candidate, parent):
        by_attack.setdefault(place, []).append(row)
    shown = [
        one
        for place, rows in by_attack.items()
        for one in _shown(net, sample, rows, bench.suite.attacks[place], candidate.classes, bench)
    ]
    return tuple(sorted(shown, key=lambda one: int(one.name.rpartition(" ")[2])))


def curves(
    nets: Mapping[str, nn.Module], keys: Mapping[str, str], sample: Split, bench: Bench
) -> dict[str, tuple[Point, ...]]:
    """Robust accuracy over multiples of the suite's first eps; eps 0 is clean accuracy."""
    n = min(SWEEP_SAMPLES, len(sample))
    some = sample if n == len(sample) else sample.balanced(n, seed=0)
    first = bench.suite.attacks[0]
    attack = PGD(eps=first.eps, norm=first.norm, steps=SWEEP_STEPS)
    budgets = [0.0, *(first.eps * factor for factor in SWEEP)]
    found = {}
    for name, net in nets.items():
        settings = {
            "network": keys[name],
            "sample": some.hash,
            "attack": (attack, budgets),
            "code": code_version("attacks", "models", "data"),
            "device": bench.device.type,
        }

        def make(key: str, net: nn.Module = net) -> dict[str, Any]:
            x, y = some.x.to(bench.device), some.y.to(bench.device)
            done = robust_curve(net, x, y, attack, budgets, device=bench.device)
            return {"points": [(outcome.eps, sum(outcome.robust)) for outcome in done]}

        points = bench.store.once("curve", settings, make)["points"]
        found[name] = tuple(Point(eps=eps, k=k, n=n) for eps, k in points)
    return found


def _shown(
    net: nn.Module, sample: Split, rows: list[int], attack: Attack, classes: Sequence[str], bench: Bench
) -> Iterator[Sample]:
    """The samples that `attack` breaks, with their perturbations; one that it does not break is left out."""
    some = sample.take(rows)
    x, y = some.x.to(bench.device), some.y.to(bench.device)
    done = evaluate(net, x, y, [attack], device=bench.device, keep=True)
    images, status = done.adversarials[0], done.outcomes[0].status
    if images is None:
        return
    with evaluating(net), torch.no_grad():
        says = net(images.to(bench.device)).argmax(1).tolist()
    for place, row in enumerate(rows):
        if status[place] == BROKEN:
            yield Sample(
                original=some.x[place].cpu().numpy(),
                adversarial=images[place].numpy(),
                label=classes[int(some.y[place])],
                candidate_says=classes[says[place]],
                name=f"sample {row}",
            )
