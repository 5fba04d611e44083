"""Pictures need more than outcomes: samples that broke, with their perturbations, and accuracy over eps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from robustprune.attacks import PGD, Attack, evaluate, robust_curve
from robustprune.data import Split
from robustprune.models import evaluating
from robustprune.report.figures import Point, Sample
from robustprune.results.records import BROKEN, CaseResult
from robustprune.run.bench import Bench
from robustprune.run.case import Finished
from robustprune.run.measurement import Measurement, Tick
from robustprune.run.network import Network

SHOWN = 6
"""Newly broken samples that are shown."""

SWEEP = (0.25, 0.5, 1.0, 2.0)
"""Multiples of the suite's eps at which the curves over eps are measured."""


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


def gallery(parent: Finished, candidate: Finished, bench: Bench) -> tuple[Sample, ...]:
    """Attack the newly broken samples again with what broke them: the same seed, the same perturbation."""
    by_attack: dict[int, list[int]] = {}
    for row, place in newly_broken(candidate.result, parent.result):
        by_attack.setdefault(place, []).append(row)
    shown: list[Sample] = []
    for place, rows in by_attack.items():
        name, threat = candidate.result.outcomes[place].attack, candidate.result.outcomes[place].threat
        attack = next(one for one in bench.suite.attacks if (one.name, one.threat) == (name, threat))
        shown += _shown(parent.network, candidate.network, rows, attack, bench)
    return tuple(sorted(shown, key=lambda one: int(one.name.rpartition(" ")[2])))


@dataclass(frozen=True, kw_only=True)
class Curve(Measurement[tuple[Point, ...]]):
    """Robust accuracy of a network over several eps, under one attack."""

    kind: ClassVar[str] = "curve"
    network: Network
    sample: Split
    attack: Attack
    budgets: tuple[float, ...]
    device: str

    def make(self, place: Path, tick: Tick) -> tuple[Point, ...]:
        """Attack."""
        device = torch.device(self.device)
        x, y = self.sample.x.to(device), self.sample.y.to(device)
        done = robust_curve(self.network.model, x, y, self.attack, self.budgets, device=device)
        return tuple(Point(eps=one.eps, k=sum(one.robust), n=len(self.sample)) for one in done)

    def write(self, value: tuple[Point, ...]) -> Mapping[str, Any]:
        """eps, how many resist, of how many."""
        return {"points": [(point.eps, point.k, point.n) for point in value]}

    def read(self, record: Mapping[str, Any], place: Path) -> tuple[Point, ...]:
        """The points."""
        return tuple(Point(eps=eps, k=k, n=n) for eps, k, n in record["points"])


def curves(networks: Mapping[str, Network], bench: Bench, most: int, steps: int) -> dict[str, tuple[Point, ...]]:
    """Robust accuracy over multiples of the suite's first eps; eps 0 is clean accuracy.

    PGD with `steps` steps on `most` samples at most. Nothing where no attack of the suite has an eps in a norm.
    """
    sample, first = bench.sample, next((attack for attack in bench.suite.attacks if attack.in_a_ball), None)
    if first is None:
        return {}
    n = min(most, len(sample))
    some = sample if n == len(sample) else sample.balanced(n, seed=0)
    attack = PGD(eps=first.eps, norm=first.norm, steps=steps)
    budgets = (0.0, *(first.eps * factor for factor in SWEEP))
    return {
        name: bench.obtain(
            Curve(network=network, sample=some, attack=attack, budgets=budgets, device=str(bench.device))
        )
        for name, network in networks.items()
    }


def _shown(parent: Network, candidate: Network, rows: list[int], attack: Attack, bench: Bench) -> Iterator[Sample]:
    """The samples that `attack` breaks, with their perturbations; one that it does not break is left out."""
    some = bench.sample.take(rows)
    x, y = some.x.to(bench.device), some.y.to(bench.device)
    net, classes = candidate.model, bench.data.classes
    guide = parent.model if attack.needs_parent else None
    done = evaluate(net, x, y, [attack], device=bench.device, keep=True, parent=guide)
    images, status = done.adversarials[0], done.outcomes[0].status
    if images is None:
        return
    with evaluating(net), torch.no_grad():
        says = net(images.to(bench.device, copy=True)).argmax(1).tolist()
    for place, row in enumerate(rows):
        if status[place] == BROKEN:
            yield Sample(
                original=some.x[place].cpu().numpy(),
                adversarial=images[place].numpy(),
                label=classes[int(some.y[place])],
                candidate_says=classes[says[place]],
                name=f"sample {row}",
            )
