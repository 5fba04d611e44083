"""What the validity checks may look at. Whatever is not given makes the checks that need it 'skipped', never
a pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from robustprune.attacks.base import Attack, Norm
from robustprune.attacks.evidence.registry import Tier
from robustprune.attacks.pgd import PGD
from robustprune.errors import InputError
from robustprune.results import Outcomes


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much the checks that attack may spend. All of it is on a seeded subset of `samples` images."""

    samples: int
    directions: int
    """Random directions a sample for the smoothness of the loss (check 9)."""
    sweep: tuple[float, ...]
    """eps in units of 1/255 for check 13; under L2 in eighths of a unit."""
    unbounded_steps: int
    longer: int
    restarts: int
    """For check 15 the steps are multiplied by `longer`, and started this often."""
    queries: int
    single: int
    """Samples that are attacked one by one (check 25)."""


SIZES: dict[Tier, Sizes] = {
    "quick": Sizes(
        samples=32,
        directions=10,
        sweep=(0, 4, 16),
        unbounded_steps=200,
        longer=1,
        restarts=5,
        queries=100,
        single=2,
    ),
    "standard": Sizes(
        samples=64,
        directions=100,
        sweep=(0, 1, 2, 4, 8, 16, 32),
        unbounded_steps=200,
        longer=10,
        restarts=1,
        queries=1000,
        single=16,
    ),
    "full": Sizes(
        samples=128,
        directions=100,
        sweep=(0, 1, 2, 4, 8, 16, 32),
        unbounded_steps=500,
        longer=10,
        restarts=5,
        queries=5000,
        single=32,
    ),
}


@dataclass(frozen=True, kw_only=True)
class EvidenceContext:
    """A network, the images it was attacked on, and what is known about the attack.

    `model` maps images (n, C, H, W) in [0,1] to logits (n, k). `outcomes`, `clean` and `adversarials` are
    what the evaluation returned for all of `x`, in its order, `attacks` what it was asked to run. The rest is
    optional:

    - `bare`, `mean`, `std`: the same network without its normalisation, for check 2; not needed where the
      model holds a `Normalize` layer.
    - `parent`: the network that transferred attacks are made on; `parent_robust`: whether the parent
      resisted, sample by sample; `claim`: what is said of the model beside its parent.
    - `margin`: the policy's margin, a proportion; `seeds`: how many seeds the claim rests on; `classes`:
      their names.
    - `weights_before`: `models.weights_hash` of the model before it was attacked.
    - `sample_hashes`: one hash for each of `x`; `used_hashes`: by use ("scoring", "fine-tuning") those of
      other samples.
    - `provenance`: hashes, versions, device, precision, as the results record them.
    - `artefact`: what ships (an ONNX session, a half-precision network) as a function from images to logits.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    outcomes: Sequence[Outcomes] = ()
    clean: Sequence[bool] | None = None
    adversarials: Sequence[Tensor | None] = ()
    attacks: Sequence[Attack] = ()
    seed: int = 0
    batch_size: int = 128
    sizes: Sizes = SIZES["quick"]
    bare: Callable[[Tensor], Tensor] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    parent: nn.Module | None = None
    parent_robust: Sequence[bool] | None = None
    claim: Literal["better", "worse"] | None = None
    margin: float | None = None
    seeds: int | None = None
    classes: Sequence[str] = ()
    weights_before: str | None = None
    sample_hashes: Sequence[str] | None = None
    used_hashes: Mapping[str, Collection[str]] | None = None
    provenance: Mapping[str, Any] | None = None
    artefact: Callable[[Tensor], Tensor] | None = None
    memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    """What several checks share, so that nothing is attacked twice."""

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or not len(self.x):
            raise InputError(f"evidence: {len(self.x)} images and {len(self.y)} labels; expected as many, at least one")

    def resized(self, sizes: Sizes) -> EvidenceContext:
        """Return the same context with other sizes and nothing remembered."""
        return replace(self, sizes=sizes, memo={})

    @cached_property
    def chosen(self) -> list[int]:
        """The images that the checks look at: a seeded subset, in the order of the data."""
        mixed = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(self.seed))
        return sorted(mixed[: self.sizes.samples].tolist())

    @cached_property
    def few(self) -> tuple[Tensor, Tensor]:
        """The images and labels of `chosen`, on the model's device."""
        x, y = self.x[self.chosen], self.y[self.chosen]
        return x.to(self.device), y.to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the model is; where the images are for one without parameters and buffers."""
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            return tensor.device
        return self.x.device

    @property
    def threat(self) -> tuple[Norm, float]:
        """Norm and eps that the checks attack under: those of the dearest PGD, else of the dearest attack.

        InputError where neither attacks nor outcomes are given.
        """
        if self.attacks:
            descents = [attack for attack in self.attacks if isinstance(attack, PGD) and not attack.alone]
            dearest = max(descents or self.attacks, key=lambda attack: attack.effort)
            return dearest.norm, dearest.eps
        if self.outcomes:
            return self.outcomes[-1].norm, self.outcomes[-1].eps
        raise InputError("evidence: give `attacks` or `outcomes`; without them there is no threat model to check")

    @property
    def reference(self) -> PGD:
        """The white-box attack that the checks try: the dearest PGD of this threat model, or PGD-20.

        Of two as dear the one on the margin, which saturates less. With one start and no retries, because the
        checks that look at convergence and effort are about a single run.
        """
        norm, eps = self.threat
        mine = [a for a in self.attacks if isinstance(a, PGD) and not a.alone and (a.norm, a.eps) == (norm, eps)]
        if not mine:
            return PGD(eps=eps, norm=norm, steps=20, retries=0)
        return max(mine, key=lambda a: (a.effort, a.loss == "margin")).change(restarts=1, retries=0)

    @property
    def of_threat(self) -> list[Outcomes]:
        """The outcomes under `threat`."""
        return [one for one in self.outcomes if (one.norm, one.eps) == self.threat]
