"""A network after pruning and fine-tuning, and the blocks that a network has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from robustprune.data import Split
from robustprune.finetune import Recipe, next_to
from robustprune.models import UnitSize, find_blocks, load_weights, save_weights, weights_hash
from robustprune.prune import remove
from robustprune.run.checkpoint import Checkpoint
from robustprune.run.measurement import ASIDE, WEIGHTS, Measurement, Tick
from robustprune.run.network import Network
from robustprune.run.similarity import IMAGES, layer_similarity
from robustprune.run.store import Store
from robustprune.run.training import telling, train


@dataclass(frozen=True, kw_only=True)
class FineTuned(Measurement[tuple[str, Mapping[str, float]]]):
    """A pruned network after its last fine-tuning: the hash of its weights, and how similar its blocks still are.

    What was chosen counts, not who chose it: strategies that chose the same blocks share one network, which is then
    trained, attacked and checked once.
    """

    kind: ClassVar[str] = "fine-tuned"
    start: Network
    removed: tuple[str, ...]
    before: str
    """The hash of the weights that fine-tuning begins with."""
    recipe: Recipe | None
    seed: int
    data: Split
    device: str
    unit: UnitSize
    """Of whose outputs the similarity is given."""
    file_before: Path | None = field(metadata=ASIDE)
    store: Store = field(metadata=ASIDE)

    def make(self, place: Path, tick: Tick) -> tuple[str, Mapping[str, float]]:
        """Prune and fine-tune; the weights go into a file."""
        net = remove(self.start.model, self.removed, self.start.example)
        if self.file_before is not None:
            load_weights(net, self.file_before)
        parent, told = self.start.model, telling(tick, "fine-tune", self.data)
        keeper, near = Checkpoint(store=self.store, place=place, tick=tick), next_to(parent, self.removed)
        train(net, self.recipe, self.seed, self.data, told, teacher=parent, near=near, keeper=keeper)
        save_weights(net, place.with_suffix(WEIGHTS))
        x = self.data.balanced(min(IMAGES, len(self.data)), seed=0).x.to(self.start.example.device)
        keeper.remove()
        return weights_hash(net), layer_similarity(parent, net, x, self.unit)

    def write(self, value: tuple[str, Mapping[str, float]]) -> Mapping[str, Any]:
        """Hash and similarities."""
        return {"weights": value[0], "similarity": value[1]}

    def read(self, record: Mapping[str, Any], place: Path) -> tuple[str, Mapping[str, float]]:
        """Hash and similarities."""
        return record["weights"], record["similarity"]


@dataclass(frozen=True, kw_only=True)
class Blocks(Measurement[list[str]]):
    """Names of the removable blocks of a network, in order of depth."""

    kind: ClassVar[str] = "blocks"
    shape: list[Any]
    input: tuple[int, ...]
    unit: UnitSize
    network: Network = field(metadata=ASIDE)

    def make(self, place: Path, tick: Tick) -> list[str]:
        """Look."""
        return [block.name for block in find_blocks(self.network.model, self.network.example, self.unit)]

    def write(self, value: list[str]) -> Mapping[str, Any]:
        """The names."""
        return {"blocks": value}

    def read(self, record: Mapping[str, Any], place: Path) -> list[str]:
        """The names."""
        return list(record["blocks"])
