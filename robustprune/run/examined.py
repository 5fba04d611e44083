"""The evidence that the attacks on a network were strong enough to be believed, for one threat model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch

from robustprune.attacks.engine.settings import BATCH
from robustprune.data import Split
from robustprune.evidence import EvidenceContext, gather
from robustprune.evidence.sizes import Tier
from robustprune.results.records import Check
from robustprune.run.attacked import Attacked, Result
from robustprune.run.measurement import ASIDE, Measurement, Tick
from robustprune.run.network import Network
from robustprune.run.ready import ready


@dataclass(frozen=True, kw_only=True)
class Examined(Measurement[list[Check]]):
    """The validity checks of one threat model. `result` and `parent_result` are what the two attacks gave."""

    kind: ClassVar[str] = "evidence"
    attacked: Attacked
    against: str | None
    """The key of the same attacks on the network that it is compared with."""
    parent: Network | None
    tier: Tier
    margin: float
    runs: int | None
    pooled: int
    used: Mapping[str, Split]
    """The images that the network learned from, by use."""
    result: Result = field(metadata=ASIDE)
    parent_result: Result | None = field(metadata=ASIDE)
    classes: Sequence[str] = field(metadata=ASIDE)
    surroundings: Mapping[str, Any] = field(metadata=ASIDE)

    def make(self, place: Path, tick: Tick) -> list[Check]:
        """Gather it."""
        tick(f"check {self.attacked.attacks[0].threat}", 0, 1)
        network, sample = self.attacked.network, self.attacked.sample
        device = torch.device(self.attacked.device)
        ctx = EvidenceContext(
            model=network.model,
            x=sample.x.to(device),
            y=sample.y.to(device),
            clean=self.result.clean,
            outcomes=self.result.outcomes,
            attacks=self.attacked.attacks,
            batch_size=self.attacked.batch_size or BATCH,
            parent=None if self.parent is None else self.parent.model,
            parent_robust=None if self.parent_result is None else self.parent_result.worst,
            margin=self.margin,
            runs=self.runs,
            pooled=self.pooled,
            classes=self.classes,
            weights_before=network.weights,
            sample_hashes=sample.hashes(),
            used_hashes={use: split.hashes() for use, split in self.used.items()},
            provenance={"weights": network.weights, "samples": sample.hash, **self.surroundings},
            prepared=[ready(one, sample) for one in (network, self.parent) if one is not None],
        )
        return gather(ctx, self.tier)

    def write(self, value: list[Check]) -> Mapping[str, Any]:
        """One record a check."""
        return {"checks": [dataclasses.asdict(check) for check in value]}

    def read(self, record: Mapping[str, Any], place: Path) -> list[Check]:
        """One check a record."""
        return [Check(**check) for check in record["checks"]]
