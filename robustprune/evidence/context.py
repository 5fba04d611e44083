"""What the validity checks may look at. What is not given makes the checks that need it 'skipped', never a pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.stepped import SteppedAttack
from robustprune.attacks.contract.threat import Norm
from robustprune.attacks.engine.prepared import Prepared, prepared
from robustprune.attacks.engine.random_parts import FRESH, PASSES, RANDOM_GAP, spread
from robustprune.errors import InputError
from robustprune.evidence.probes import logits_of
from robustprune.evidence.sizes import SEED, SIZES, Sizes
from robustprune.models.device import device_of
from robustprune.results.records import Outcomes


@dataclass(frozen=True, kw_only=True)
class EvidenceContext:
    """A network, the images it was attacked on, and what is known about the attack.

    `model` maps images (n, C, H, W) in [0,1] to logits (n, k); `attacks` is what the evaluation was asked to run. The
    rest is optional:

    - `outcomes`, `clean`: what the evaluation returned for all of `x`, in its order.
    - `parent`: the network that transferred attacks are made on; `parent_robust`: whether the parent resisted, sample
      by sample.
    - `margin`: the policy's margin, a proportion; `runs`: how many training runs a claim about the strategy rests on;
      `pooled`: how many share one bound of the distance from AutoAttack; `classes`: their names.
    - `weights_before`: `models.weights_hash` of the model before it was attacked.
    - `sample_hashes`: one hash for each of `x`; `used_hashes`: by use ("scoring", "training") those of other samples.
    - `provenance`: hashes of weights and samples, versions, device, as the results record them.
    - `prepared`: what is known of the model and of the parent before they are attacked, where that was found out.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    attacks: Sequence[Attack]
    outcomes: Sequence[Outcomes] = ()
    clean: Sequence[bool] | None = None
    batch_size: int = 128
    sizes: Sizes = SIZES["quick"]
    parent: nn.Module | None = None
    parent_robust: Sequence[bool] | None = None
    margin: float | None = None
    runs: int | None = None
    pooled: int = 1
    classes: Sequence[str] = ()
    weights_before: str | None = None
    sample_hashes: Sequence[str] | None = None
    used_hashes: Mapping[str, Collection[str]] | None = None
    provenance: Mapping[str, Any] | None = None
    prepared: Sequence[Prepared] = ()
    memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    """What several checks share, so that nothing is attacked twice."""

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or not len(self.x):
            raise InputError(f"evidence: {len(self.x)} images and {len(self.y)} labels; expected as many, at least one")
        if not self.attacks:
            raise InputError("evidence: no attacks; expected those whose threat model is to be checked, at least one")

    def resized(self, sizes: Sizes) -> EvidenceContext:
        """Return the same context with other sizes and nothing remembered."""
        return replace(self, sizes=sizes, memo={})

    @cached_property
    def chosen(self) -> list[int]:
        """The images that the checks look at: a seeded subset, in the order of the data."""
        mixed = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(SEED))
        return sorted(mixed[: self.sizes.samples].tolist())

    @cached_property
    def few(self) -> tuple[Tensor, Tensor]:
        """The images and labels of `chosen`, on the model's device."""
        x, y = self.x[self.chosen], self.y[self.chosen]
        return x.to(self.device), y.to(self.device)

    @cached_property
    def ready(self) -> tuple[Prepared, ...]:
        """What has to be known of the model before an attack, and what is known of the parent."""
        found = any(one.model is self.model for one in self.prepared)
        return (*self.prepared, *(() if found else (prepared(self.model, self.few[0]),)))

    @cached_property
    def logits(self) -> Tensor:
        """The logits of one pass on `few`."""
        return logits_of(self.model, self.few[0], self.batch_size)

    @cached_property
    def passes(self) -> int:
        """Passes that a verdict takes: one, or that of a majority for a network with random parts."""
        others = [seed for seed in range(PASSES) if seed != SEED]
        logits = [self.logits, *(logits_of(self.model, self.few[0], self.batch_size, seed) for seed in others)]
        return FRESH if spread(logits) > RANDOM_GAP else 1

    @property
    def device(self) -> torch.device:
        """Where the model is; where the images are for one without parameters and buffers."""
        return device_of(self.model, self.x.device)

    @property
    def threat(self) -> tuple[Norm, float]:
        """Norm and eps that the checks attack under: those of the dearest PGD, else of the dearest attack."""
        dearest = max(self._descents or self.attacks, key=lambda attack: attack.effort)
        return dearest.norm, dearest.eps

    @property
    def in_a_ball(self) -> bool:
        """Whether `threat` is a ball of a norm, in which gradients, step sizes and an eps of 0 mean something."""
        return all(attack.in_a_ball for attack in self.attacks)

    @property
    def reference(self) -> PGD:
        """The white-box attack that the checks try: the dearest PGD of this threat model, or PGD-20.

        Of two as dear the one on the margin, which saturates less. With one start and no retries, because the
        checks that look at convergence and effort are about a single run.
        """
        norm, eps = self.threat
        mine = [attack for attack in self._descents if (attack.norm, attack.eps) == (norm, eps)]
        if not mine:
            averaged = [attack.eot for attack in self.attacks if isinstance(attack, SteppedAttack)]
            return PGD(eps=eps, norm=norm, steps=20, retries=0, eot=max(averaged, default=1))
        return max(mine, key=lambda a: (a.effort, a.loss == "margin")).change(restarts=1, retries=0)

    @property
    def _descents(self) -> list[PGD]:
        """Plain PGDs: those with a momentum, or with another network's gradients, are subclasses."""
        return [attack for attack in self.attacks if type(attack) is PGD]

    @property
    def of_threat(self) -> list[Outcomes]:
        """The outcomes under `threat`."""
        return [one for one in self.outcomes if (one.norm, one.eps) == self.threat]
