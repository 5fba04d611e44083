"""Where weights come from: a file, or training from scratch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robustprune.data import Split
from robustprune.finetune import Epoch, Keeper, Recipe, finetune
from robustprune.models import as_network, load_weights, save_weights, weights_hash
from robustprune.results.words import percent
from robustprune.run.checkpoint import Checkpoint
from robustprune.run.fits import one_line
from robustprune.run.measurement import ASIDE, SAID, WEIGHTS, Measurement, Tick
from robustprune.run.store import Store


@dataclass(frozen=True, kw_only=True)
class Loaded(Measurement[str]):
    """The hash of the weights that a file gives a network."""

    kind: ClassVar[str] = "loaded"
    structure: str
    initial: str
    """What the network holds and answers before: what a file does not hold, such as a normalisation, stays."""
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
    """The hash of the weights that training begins with, and what the network answers with them."""
    recipe: Recipe
    seed: int
    data: Split
    device: str
    net: nn.Module = field(metadata=ASIDE)
    name: str = field(metadata=ASIDE)
    store: Store = field(metadata=ASIDE)

    def make(self, place: Path, tick: Tick) -> str:
        """Train a copy."""
        net = copy.deepcopy(self.net).to(torch.device(self.device))
        keeper = Checkpoint(store=self.store, place=place, tick=tick)
        told = telling(tick, f"train {self.name}", self.data)
        train(net, self.recipe, self.seed, self.data, told, keeper=keeper)
        save_weights(net, place.with_suffix(WEIGHTS))
        keeper.remove()
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
    told: Callable[[Epoch], None],
    teacher: nn.Module | None = None,
    near: Sequence[str] = (),
    keeper: Keeper | None = None,
) -> None:
    """Train `net` in place, where there is a recipe; it ends in eval mode."""
    if recipe is not None:
        finetune(net, data, recipe, seed, teacher=teacher, tick=told, near=near, keeper=keeper)
    net.eval()


def telling(tick: Tick, stage: str, data: Split) -> Callable[[Epoch], None]:
    """Return what says how a training on `data` goes, epoch by epoch.

    What ends no better than always saying the most frequent class is said: what is measured of it means nothing.
    """
    return partial(_tell, tick, stage, _chance(data))


def _tell(tick: Tick, stage: str, chance: float, epoch: Epoch) -> None:
    held = "" if epoch.held_out is None else f", held out {percent(epoch.held_out)}"
    tick(f"{stage}, loss {epoch.loss:.3g}, accuracy {percent(epoch.accuracy)}{held}", epoch.done, epoch.total)
    if epoch.last and epoch.accuracy <= chance:
        seen = f"accuracy {percent(epoch.accuracy)} on what was shown, {percent(chance)} is chance"
        tick(f"warning: {stage} ended at chance: {seen}; another recipe may be needed", 0, SAID)


def _chance(data: Split) -> float:
    """The share of the most frequent class, and twice the error with which a guess comes near it."""
    most = float(data.y.bincount().max()) / len(data)
    return min(1.0, most + 2 * math.sqrt(most * (1 - most) / len(data)))


def seeded(build: Callable[[], nn.Module], seed: int, name: str, example: Tensor) -> nn.Module:
    """Build a model of that name with seeded initial weights, without touching the global generator.

    `example` is a batch of its input, see `as_network`.
    """
    with torch.random.fork_rng(devices=[]), one_line(f"model {name!r} cannot be built"):
        torch.manual_seed(seed)
        net: object = build()
    return as_network(net, f"model {name!r}", example)
