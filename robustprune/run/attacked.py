"""What attacks do to a network; the attacks of one threat model are one measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from robustprune.attacks import Attack, evaluate
from robustprune.data import Split
from robustprune.models.artefact import Artefact
from robustprune.results.records import Outcomes, outcomes_from, outcomes_record
from robustprune.run.measurement import ASIDE, Measurement, Tick
from robustprune.run.network import Network
from robustprune.run.ready import ready

Attacks = tuple[Attack, ...]


@dataclass(frozen=True, kw_only=True)
class Result:
    """Per sample whether the network is right, and per attack what happened to every sample."""

    clean: list[bool]
    outcomes: list[Outcomes]

    @property
    def worst(self) -> list[bool]:
        """Per sample, whether it resisted every one of these attacks."""
        return [all(column) for column in zip(*(outcome.robust for outcome in self.outcomes), strict=True)]


@dataclass(frozen=True, kw_only=True)
class Attacked(Measurement[Result]):
    """A network attacked on a sample; `parent` is the network that attacks are transferred from, if any are."""

    kind: ClassVar[str] = "attacked"
    network: Network
    parent: Network | None
    sample: Split
    attacks: Attacks
    device: str
    seed: int = 0
    """Of the random starts."""
    batch_size: int | None = field(default=None, metadata=ASIDE)

    def make(self, place: Path, tick: Tick) -> Result:
        """Attack."""
        device = torch.device(self.device)
        found = evaluate(
            self.network.model,
            self.sample.x.to(device),
            self.sample.y.to(device),
            self.attacks,
            device=device,
            parent=None if self.parent is None else guides(self.network.model, self.parent.model),
            tick=partial(tick, f"attack {self.attacks[0].threat}" if self.attacks else "clean pass"),
            seed=self.seed,
            batch_size=self.batch_size,
            prepared=[ready(one, self.sample) for one in (self.network, self.parent) if one is not None],
        )
        return Result(clean=found.clean, outcomes=found.outcomes)

    def write(self, value: Result) -> Mapping[str, Any]:
        """Verdicts and outcomes."""
        return {"clean": value.clean, "outcomes": [outcomes_record(outcome) for outcome in value.outcomes]}

    def read(self, record: Mapping[str, Any], place: Path) -> Result:
        """Verdicts and outcomes."""
        return Result(clean=record["clean"], outcomes=[outcomes_from(outcome) for outcome in record["outcomes"]])


def guides(model: nn.Module, parent: nn.Module) -> list[nn.Module]:
    """Return the networks that images are transferred from: the parent, and the float twin of what ships."""
    twin = model.twin if isinstance(model, Artefact) else None
    return [parent, *([] if twin is None else [twin])]


def chains(attacks: Sequence[Attack]) -> list[Attacks]:
    """Group attacks by threat model, in the order in which the threat models first appear."""
    threats = dict.fromkeys(attack.threat for attack in attacks)
    return [tuple(attack for attack in attacks if attack.threat == threat) for threat in threats]


def for_network(attacks: Attacks, has_parent: bool) -> Attacks:
    """The attacks that make sense for a network: without a parent nothing can be transferred from it."""
    return tuple(attack for attack in attacks if has_parent or not attack.needs_parent)
