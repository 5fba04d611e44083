"""Extra attacks on the subset, made through the engine and remembered, so that no check attacks twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.attacks.base import Attack
from robustprune.attacks.engine import evaluate
from robustprune.attacks.evidence.context import EvidenceContext
from robustprune.attacks.evidence.probes import share
from robustprune.attacks.stepped import margin
from robustprune.attacks.target import inside
from robustprune.results import Outcomes

CLEARLY_WRONG = 1e-4
"""Share of the largest logit by which a wrong class must lead on a path: copies differ by less in
rounding."""


def alone(ctx: EvidenceContext, attack: Attack) -> list[bool]:
    """Return which images of the subset resist this one attack, run on its own, outside any chain."""
    return trial(ctx, attack).robust


def trial(ctx: EvidenceContext, attack: Attack) -> Outcomes:
    """Return the outcomes of this one attack on the subset."""
    key = ("alone", repr(attack))
    if key not in ctx.memo:
        x, y = ctx.few
        found = evaluate(
            ctx.model,
            x,
            y,
            [attack],
            seed=ctx.seed,
            batch_size=ctx.batch_size,
            parent=ctx.parent,
            device=ctx.device,
        )
        ctx.memo[key] = found.outcomes[0]
    outcome: Outcomes = ctx.memo[key]
    return outcome


def survivors(ctx: EvidenceContext) -> tuple[list[int], str]:
    """Return the images of the subset (places in it) that the evaluation left robust, and after which
    attacks.

    Without outcomes the reference attack stands in for the evaluation.
    """
    chain = ctx.of_threat
    if not chain:
        resist = alone(ctx, ctx.reference)
        return [i for i, ok in enumerate(resist) if ok], ctx.reference.name
    left = [i for i, j in enumerate(ctx.chosen) if all(one.status[j] == "r" for one in chain)]
    return left, "all attacks"


def newly_broken(ctx: EvidenceContext, attack: Attack) -> tuple[int, str]:
    """Return how many images that the evaluation left robust this attack breaks, and a line about it."""
    left, after = survivors(ctx)
    if not left:
        return 0, f"nothing in the subset of {len(ctx.chosen)} resists {after}"
    key = ("survivors", repr(attack))
    if key not in ctx.memo:
        x, y = (part[left] for part in ctx.few)
        found = evaluate(
            ctx.model,
            x,
            y,
            [attack],
            seed=ctx.seed + 1,
            batch_size=ctx.batch_size,
            parent=ctx.parent,
            device=ctx.device,
        )
        ctx.memo[key] = sum(letter == "b" for letter in found.outcomes[0].status)
    count: int = ctx.memo[key]
    return (
        count,
        f"{attack.name} breaks {count} of the {len(left)} (of {len(ctx.chosen)}) that resist {after}",
    )


def allowed(n: int, points: float) -> float:
    """Return how many of n samples `points` (a proportion) are; at least one, which is no evidence of
    anything.

    >>> allowed(64, 0.005), allowed(1000, 0.005)
    (1.0, 5.0)
    """
    return max(1.0, points * n)


def robust_share(resist: list[bool]) -> str:
    """Write robust accuracy as a count and a share."""
    return share(sum(resist), len(resist))


@dataclass
class Log:
    """What went through a watched network: place in the subset, margin (positive = wrong), clearly wrong,
    inside."""

    place: list[Tensor] = field(default_factory=list)
    margin: list[Tensor] = field(default_factory=list)
    adversarial: list[Tensor] = field(default_factory=list)

    def __deepcopy__(self, memo: Any) -> Log:
        return self


class Watching(nn.Module):
    """A network that remembers, for every image shown to it, whose perturbation it is and whether it is
    adversarial.

    An image belongs to the sample that is nearest in the largest pixel difference, so it works however an
    attack packs its batches. Copies write into the same log.
    """

    def __init__(self, net: nn.Module, x: Tensor, y: Tensor, attack: Attack) -> None:
        super().__init__()
        self.net, self.log, self.attack = net, Log(), attack
        self.register_buffer("x", x)
        self.register_buffer("y", y)

    x: Tensor
    y: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's logits; write down what was seen."""
        logits: Tensor = self.net(images)
        with torch.no_grad():
            self._note(images.detach().float(), logits.detach().float())
        return logits

    def _note(self, images: Tensor, logits: Tensor) -> None:
        flat = images.flatten(1)
        nearest = torch.stack([(self.x.flatten(1) - row).abs().amax(1).argmin() for row in flat])
        lead = margin(logits, self.y[nearest])
        clearly = lead > CLEARLY_WRONG * logits.abs().amax(1)
        within = inside(images, self.x[nearest], self.attack.norm, self.attack.eps)
        moved = (images != self.x[nearest]).flatten(1).any(1)
        self.log.place.append(nearest[moved].cpu())
        self.log.margin.append(lead[moved].cpu())
        self.log.adversarial.append((clearly & within)[moved].cpu())


@dataclass
class Path:
    """One watched run of the reference attack: for each image of the subset its margins in order, and its
    outcome."""

    margins: list[Tensor]
    met: list[bool]
    status: str


def watched_path(ctx: EvidenceContext) -> Path:
    """Run the reference attack on the subset with a watched network."""
    if "path" not in ctx.memo:
        x, y = ctx.few
        attack = ctx.reference
        net = Watching(ctx.model, x, y, attack)
        found = evaluate(net, x, y, [attack], seed=ctx.seed, batch_size=ctx.batch_size, device=ctx.device)
        place, value, bad = (torch.cat(part) for part in (net.log.place, net.log.margin, net.log.adversarial))
        margins = [value[place == i] for i in range(len(x))]
        met = [bool(bad[place == i].any()) for i in range(len(x))]
        ctx.memo["path"] = Path(margins, met, found.outcomes[0].status)
    path: Path = ctx.memo["path"]
    return path
