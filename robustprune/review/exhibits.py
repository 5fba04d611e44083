"""What is shown needs more than outcomes: samples that broke, with what broke them, and accuracy over eps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from robustprune.attacks import PGD, Attack, EmbeddingPGD, evaluate, robust_curve
from robustprune.data import Split
from robustprune.models import evaluating
from robustprune.models.lending import is_text
from robustprune.report.figures import Point, Sample
from robustprune.results.exchanged import EMBEDDING, WORDS, BrokenText, Exchanged, paired
from robustprune.results.records import BROKEN, CaseResult
from robustprune.run.bench import Bench
from robustprune.run.case import Finished
from robustprune.run.measurement import Measurement, Tick
from robustprune.run.network import Network

Points = tuple[Point, ...]

SHOWN = 6
"""Newly broken samples that are shown."""

SWEEP = (0.25, 0.5, 1.0, 2.0)
"""Multiples of the suite's eps at which the curves over eps are measured."""

MORE_WORDS = 2
"""So many times as many words as the suite's are exchanged at most for a curve over their number."""


def newly_broken(
    candidate: CaseResult, parent: CaseResult, most: int = SHOWN, norm: str | None = None
) -> list[tuple[int, int]]:
    """(sample, position of the attack) where the parent withstood all and an attack broke the candidate.

    The attack is the first of the suite that did; with a `norm`, the first under it.
    """
    found = []
    for row, (was, is_) in enumerate(zip(parent.worst, candidate.worst, strict=True)):
        letters = [outcome.status[row] if norm in (None, outcome.norm) else "" for outcome in candidate.outcomes]
        if was and not is_ and candidate.clean[row] and BROKEN in letters:
            found.append((row, letters.index(BROKEN)))
    return found[:most]


def gallery(parent: Finished, candidate: Finished, bench: Bench) -> tuple[Sample, ...]:
    """The newly broken images with their perturbations; of texts nothing."""
    if is_text(bench.sample.x):
        return ()
    return tuple(
        Sample(
            original=one.x.numpy(),
            adversarial=one.adversarial.numpy(),
            label=one.label,
            candidate_says=one.says,
            name=f"sample {one.row}",
        )
        for one in _again(parent, candidate, bench)
    )


def broken_texts(parent: Finished, candidate: Finished, bench: Bench) -> tuple[BrokenText, ...]:
    """The newly broken texts in words; nothing of images, and where nobody says how token numbers are written."""
    write = bench.data.text
    if write is None or not is_text(bench.sample.x):
        return ()
    return tuple(_in_words(one, write) for one in _again(parent, candidate, bench, WORDS))


@dataclass(frozen=True, kw_only=True)
class Again:
    """A sample that was broken again: `x` and `adversarial` as they lie in a batch, the true class, what is said."""

    row: int
    attack: str
    x: Tensor
    adversarial: Tensor
    label: str
    says: str


def _in_words(one: Again, write: Callable[[Tensor], str]) -> BrokenText:
    before, after = paired(write(one.x), write(one.adversarial))
    text = Exchanged(before=(*before,), after=(*after,), label=one.label, taken_for=one.says)
    return BrokenText(sample=one.row, attack=one.attack, text=text)


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


def curves(networks: Mapping[str, Network], bench: Bench, most: int, steps: int) -> dict[str, dict[str, Points]]:
    """Robust accuracy by norm and network, over multiples of the suite's first eps; eps 0 is clean accuracy.

    PGD with `steps` steps on `most` samples at most. Texts have a curve over the number of exchanged words too, by the
    suite's own search. Nothing where no attack of the suite has an eps in a norm.
    """
    sample, found = bench.sample, {}
    n = min(most, len(sample))
    some = sample if n == len(sample) else sample.balanced(n, seed=0)
    for attack, budgets in _swept(bench.suite.attacks, steps):
        found[attack.norm] = {
            name: bench.obtain(
                Curve(network=network, sample=some, attack=attack, budgets=budgets, device=str(bench.device))
            )
            for name, network in networks.items()
        }
    return found


def _swept(attacks: Sequence[Attack], steps: int) -> Iterator[tuple[Attack, tuple[float, ...]]]:
    """Yield the attacks whose curves are measured, with their budgets: one in a ball, one that exchanges words."""
    balls = [attack for attack in attacks if attack.in_a_ball and attack.norm != WORDS]
    words = [attack for attack in attacks if attack.norm == WORDS]
    for first in balls[:1]:
        eps = (0.0, *(first.eps * factor for factor in SWEEP))
        if first.norm == EMBEDDING:
            yield EmbeddingPGD(eps=first.eps, steps=steps), eps
        else:
            yield PGD(eps=first.eps, norm=first.norm, steps=steps), eps
    for first in words[:1]:
        yield first, tuple(map(float, range(MORE_WORDS * int(first.eps) + 1)))


def _again(parent: Finished, candidate: Finished, bench: Bench, norm: str | None = None) -> list[Again]:
    """Attack the newly broken samples again with what broke them: the same seed, the same perturbation."""
    by_attack: dict[int, list[int]] = {}
    for row, place in newly_broken(candidate.result, parent.result, norm=norm):
        by_attack.setdefault(place, []).append(row)
    found: list[Again] = []
    for place, rows in by_attack.items():
        name, threat = candidate.result.outcomes[place].attack, candidate.result.outcomes[place].threat
        attack = next(one for one in bench.suite.attacks if (one.name, one.threat) == (name, threat))
        found += _broken(parent.network, candidate.network, rows, attack, bench)
    return sorted(found, key=lambda one: one.row)


def _broken(parent: Network, candidate: Network, rows: list[int], attack: Attack, bench: Bench) -> Iterator[Again]:
    """The samples that `attack` breaks, with what broke them; one that it does not break is left out."""
    some = bench.sample.take(rows)
    x, y = some.x.to(bench.device), some.y.to(bench.device)
    net, classes = candidate.model, bench.data.classes
    guide = parent.model if attack.needs_parent else None
    done = evaluate(net, x, y, [attack], device=bench.device, keep=True, parent=guide)
    changed, status = done.adversarials[0], done.outcomes[0].status
    if changed is None:
        return
    with evaluating(net), torch.no_grad():
        says = net(changed.to(bench.device, copy=True)).argmax(1).tolist()
    for place, row in enumerate(rows):
        if status[place] == BROKEN:
            yield Again(
                row=row,
                attack=attack.name,
                x=some.x[place].cpu(),
                adversarial=changed[place],
                label=classes[int(some.y[place])],
                says=classes[says[place]],
            )
