"""Extra attacks, made through the engine and remembered, so that no check attacks twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.losses import margin
from robustprune.attacks.contract.stepped import SteppedAttack
from robustprune.attacks.engine.evaluate import evaluate
from robustprune.attacks.engine.fingerprint import Fingerprint
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.luck import by_iterate, undecided
from robustprune.evidence.probes import share
from robustprune.evidence.sizes import SEED
from robustprune.models.lending import shown
from robustprune.results.records import Outcomes

CLEARLY_WRONG = 1e-4
"""Share of the largest logit by which a wrong class must lead on a path: copies differ by less in rounding."""


def alone(ctx: EvidenceContext, attack: Attack) -> list[bool]:
    """Return which images of the subset resist this one attack, run on its own, outside any chain."""
    key = ("alone", repr(attack))
    if key not in ctx.memo:
        ctx.memo[key] = outcomes_of(ctx, ctx.model, ctx.few, [attack])[0].robust
    resist: list[bool] = ctx.memo[key]
    return resist


def outcomes_of(
    ctx: EvidenceContext, net: nn.Module, samples: tuple[Tensor, Tensor], attacks: Sequence[Attack], seed: int = SEED
) -> list[Outcomes]:
    """Run attacks on these images and labels, as the evaluation would."""
    x, y = samples
    transferred = any(attack.needs_parent for attack in attacks)
    found = evaluate(
        net,
        x,
        y,
        attacks,
        seed=seed,
        batch_size=ctx.batch_size,
        parent=ctx.parent if transferred else None,
        device=ctx.device,
        prepared=ctx.ready,
    )
    return found.outcomes


def allowed(n: int, points: float) -> float:
    """Return how many of n samples `points` (a proportion) are; at least one, which is no evidence of anything.

    >>> allowed(64, 0.005), allowed(1000, 0.005)
    (1.0, 5.0)
    """
    return max(1.0, points * n)


def slack(ctx: EvidenceContext, points: float) -> float:
    """Return how many images of the subset `points` are, and those whose verdict is a matter of luck."""
    return allowed(len(ctx.chosen), points) + undecided(ctx)


def averaging(ctx: EvidenceContext, attack: Attack) -> Attack:
    """Return the attack with as many passes averaged at an iterate as the reference averages."""
    return attack.change(eot=ctx.reference.eot) if isinstance(attack, SteppedAttack) else attack


def robust_share(resist: list[bool]) -> str:
    """Write robust accuracy as a count and a share."""
    return share(sum(resist), len(resist))


@dataclass
class Log:
    """What went through a watched network; one entry a batch, of one value an image."""

    place: list[Tensor] = field(default_factory=list)
    """Which image of the subset it belongs to."""
    margin: list[Tensor] = field(default_factory=list)
    """Positive where it is misclassified."""
    adversarial: list[Tensor] = field(default_factory=list)
    """Whether it is clearly misclassified, and inside the budget."""
    key: list[Tensor] = field(default_factory=list)
    """A name for its bits."""

    def __deepcopy__(self, memo: Any) -> Log:
        return self


class Watching(nn.Module):
    """A network that remembers of every image shown to it whose perturbation it is, and whether it is adversarial.

    An image belongs to the sample that is nearest in the largest pixel difference, so it works however an attack
    packs its batches. Copies write into the same log.
    """

    x: Tensor
    y: Tensor

    def __init__(self, net: nn.Module, x: Tensor, y: Tensor, attack: Attack) -> None:
        super().__init__()
        self.net, self.log, self.attack = net, Log(), attack
        self.names = Fingerprint(x[0].numel(), x.device)
        self.register_buffer("x", x)
        self.register_buffer("y", y)

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's logits; write down what was seen."""
        logits: Tensor = self.net(shown(self.net, images))
        with torch.no_grad():
            self._note(images.detach().float(), logits.detach().float())
        return logits

    def _note(self, images: Tensor, logits: Tensor) -> None:
        flat = images.flatten(1)
        nearest = torch.stack([(self.x.flatten(1) - row).abs().amax(1).argmin() for row in flat])
        lead = margin(logits, self.y[nearest])
        clearly = lead > CLEARLY_WRONG * logits.abs().amax(1)
        within = self.attack.ball.inside(images, self.x[nearest])
        moved = (images != self.x[nearest]).flatten(1).any(1)
        self.log.place.append(nearest[moved].cpu())
        self.log.margin.append(lead[moved].cpu())
        self.log.adversarial.append((clearly & within)[moved].cpu())
        self.log.key.append(self.names(images)[moved].cpu())


@dataclass
class Path:
    """One watched run of the reference attack on the subset."""

    margins: list[Tensor]
    """For each image the margins on its path, in order."""
    met: list[bool]
    """For each image, whether anything adversarial was met on its path."""
    status: str
    """What the attack reports, a letter an image."""


def watched_path(ctx: EvidenceContext) -> Path:
    """Run the reference attack on the subset with a watched network."""
    if "path" not in ctx.memo:
        net = Watching(ctx.model, *ctx.few, ctx.reference)
        status = outcomes_of(ctx, net, ctx.few, [ctx.reference])[0].status
        log = net.log
        columns = (torch.cat(part) for part in (log.place, log.margin, log.adversarial, log.key))
        place, value, bad, key = columns
        if ctx.reference.eot > 1:
            place, value, bad = by_iterate(place, value, bad, key)
        margins = [value[place == i] for i in range(len(status))]
        met = [bool(bad[place == i].any()) for i in range(len(status))]
        ctx.memo["path"] = Path(margins, met, status)
    path: Path = ctx.memo["path"]
    return path
