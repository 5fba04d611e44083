"""What a clean room is shown: clean samples, random in the ball, and adversarial, a few of each threat model.

Of texts it is shown clean ones, and those whose words were exchanged: no service is given what an embedding hides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustprune.attacks import PGD, Attack, evaluate
from robustprune.results.exchanged import EMBEDDING, WORDS
from robustprune.results.records import BROKEN, Outcomes
from robustprune.run.attacked import chains
from robustprune.run.bench import Bench
from robustprune.run.case import Finished

STEPS = 10
"""Of the PGD that makes images on the parent."""

SEED = 31


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Images (n, C, H, W) or texts (n, T) with labels (n,), each made of a row of the sample under a threat model."""

    images: Tensor
    labels: Tensor
    rows: list[int]
    threats: list[str]
    """The threat model of each of them; "" for a clean one."""
    clean: Tensor
    """A few clean ones, on which copies are compared."""
    order: list[int]
    """In which the service gets them."""
    graded: list[int]
    """Those whose gradients are compared."""


def shown(parent: Finished, candidate: Finished, bench: Bench, count: int, graded: int) -> Shown:
    """Choose and make the images: `count` rows of the sample, and as many again of each kind and threat model."""
    generator = torch.Generator().manual_seed(SEED)
    rows = torch.randperm(len(bench.sample), generator=generator)[:count].sort().values.tolist()
    some = bench.sample.take(rows)
    parts: list[tuple[Tensor, list[int], str]] = [(some.x.cpu(), rows, "")]
    for chain in chains([attack for attack in bench.suite.attacks if attack.norm != EMBEDDING]):
        name = chain[0].threat
        if chain[0].norm == WORDS:
            parts.append((_on_the_parent(parent, rows, chain[0], bench), rows, name))
        elif chain[0].in_a_ball:
            parts.append((_noisy(some.x.cpu()[: count // 2], chain[0]), rows[: count // 2], name))
            parts.append((_on_the_parent(parent, rows, chain[0], bench), rows, name))
        parts += [(images, found, name) for images, found in _found(candidate, chain, bench, count // 2)]
    images = torch.cat([part for part, _, _ in parts])
    places = [row for _, found, _ in parts for row in found]
    return Shown(
        images=images,
        labels=bench.sample.y.cpu()[places],
        rows=places,
        threats=[name for part, _, name in parts for _ in range(len(part))],
        clean=bench.sample.x[:graded],
        order=torch.randperm(len(images), generator=generator).tolist(),
        graded=torch.randperm(len(images), generator=generator)[:graded].tolist(),
    )


def _noisy(x: Tensor, attack: Attack) -> Tensor:
    """Return random images of the ball around each of `x` (m, C, H, W)."""
    return attack.ball.start(x, [np.random.default_rng([SEED, place]) for place in range(len(x))])


def _on_the_parent(parent: Finished, rows: Sequence[int], attack: Attack, bench: Bench) -> Tensor:
    """Return images that PGD makes on the parent, or texts that `attack` does; where it finds none, the clean ones."""
    some = bench.sample.take(rows)
    words = attack.norm == WORDS
    made = attack if words else PGD(eps=attack.eps, norm=attack.norm, steps=STEPS, retries=0)
    done = evaluate(parent.network.model, some.x, some.y, [made], device=bench.device, keep=True)
    images = done.adversarials[0]
    return some.x.cpu() if images is None else images


def _found(candidate: Finished, chain: Sequence[Attack], bench: Bench, most: int) -> Iterator[tuple[Tensor, list[int]]]:
    """Make again the images that the cheapest attack of a chain broke the candidate with."""
    able = [attack for attack in chain if not attack.warm and not attack.needs_parent]
    outcomes = {(one.attack, one.threat): one for one in candidate.result.outcomes}
    for attack in sorted(able, key=lambda one: one.effort)[:1]:
        rows = _rows(outcomes.get((attack.name, attack.threat)), most)
        if rows:
            some = bench.sample.take(rows)
            done = evaluate(candidate.network.model, some.x, some.y, [attack], device=bench.device, keep=True)
            if done.adversarials[0] is not None:
                yield done.adversarials[0], rows


def _rows(outcome: Outcomes | None, most: int) -> list[int]:
    return [] if outcome is None else [row for row, one in enumerate(outcome.status) if one == BROKEN][:most]
