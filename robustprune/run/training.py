"""Where weights come from: a file, or training from scratch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from robustprune.data import Split
from robustprune.finetune import Recipe, finetune
from robustprune.models import load_weights, save_weights, weights_hash
from robustprune.run.measurement import ASIDE, Measurement, Tick


@dataclass(frozen=True, kw_only=True)
class Loaded(Measurement[str]):
    """The hash of the weights that a file gives a network."""

    kind: ClassVar[str] = "loaded"
    structure: str
    initial: str
    """The hash of what the network holds before: what a file does not hold, such as a normalisation, stays."""
    file_hash: str
    net: nn.Module = field(metadata=ASIDE)
    file: Path = field(metadata=ASIDE)

    def make(self, place: Path, tick: Tick) -> str:
        """Load them."""
        return weights_hash(load_weights(self.net, self.file))

    def write(self, value: str) -> Mapping[str, Any]:
        """The hash."""
        return {"weights": value}

    def read(self, record: Mapping[str, Any], place: Path) -> str:
        """The hash."""
        return str(record["weights"])


@dataclass(frozen=True, kw_only=True)
class Trained(Measurement[str]):
    """A network trained from scratch: the hash of its weights, which lie beside the record."""

    kind: ClassVar[str] = "trained"
    structure: str
    initial: str
    """The hash of the weights that training begins with."""
    recipe: Recipe
    seed: int
    data: Split
    device: str
    net: nn.Module = field(metadata=ASIDE)
    name: str = field(metadata=ASIDE)

    def make(self, place: Path, tick: Tick) -> str:
        """Train a copy."""
        net = self.net.to(torch.device(self.device))
        train(net, self.recipe, self.seed, self.data, partial(tick, f"train {self.name}"))
        save_weights(net, place.with_suffix(".safetensors"))
        return weights_hash(net)

    def write(self, value: str) -> Mapping[str, Any]:
        """The hash."""
        return {"weights": value}

    def read(self, record: Mapping[str, Any], place: Path) -> str:
        """The hash."""
        return str(record["weights"])


def train(
    net: nn.Module,
    recipe: Recipe | None,
    seed: int,
    data: Split,
    tick: Callable[[int, int], None],
    teacher: nn.Module | None = None,
) -> None:
    """Train `net` in place, where there is a recipe; it ends in eval mode."""
    if recipe is not None:
        finetune(net, data, recipe, seed, teacher=teacher, tick=tick)
    net.eval()


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build with seeded initial weights, without touching the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
