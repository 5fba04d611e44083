"""How surprised a language model is by the token that follows each sample; image suites never ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustprune.data import Split
from robustprune.models import evaluating
from robustprune.models.lending import shown
from robustprune.run.measurement import Measurement, Tick
from robustprune.run.network import Network

BATCH = 128
"""Samples at a time."""


@dataclass(frozen=True, kw_only=True)
class Surprised(Measurement[list[float]]):
    """The negative log-likelihood of the label of every sample, in nats, of a network that is not attacked."""

    kind: ClassVar[str] = "surprise"
    network: Network
    sample: Split
    device: str

    def make(self, place: Path, tick: Tick) -> list[float]:
        """Ask."""
        return surprise(self.network.model, self.sample.x.to(self.device), self.sample.y)

    def write(self, value: list[float]) -> Mapping[str, Any]:
        """One number a sample."""
        return {"surprise": value}

    def read(self, record: Mapping[str, Any], place: Path) -> list[float]:
        """One number a sample."""
        found: list[float] = record["surprise"]
        return found


@torch.no_grad()
def surprise(net: nn.Module, x: Tensor, y: Tensor) -> list[float]:
    """Return the negative log-likelihood of labels y (n,), in nats, by a network in eval mode that sees x (n, ...)."""
    found: list[float] = []
    with evaluating(net):
        for some, labels in zip(x.split(BATCH), y.split(BATCH), strict=True):
            logits = net(shown(net, some)).double().cpu()
            found += functional.cross_entropy(logits, labels.cpu(), reduction="none").tolist()
    return found
