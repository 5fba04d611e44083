"""The time of what ships by its own runtime, beside its twin in PyTorch and under torch.compile, as a measurement."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from robustprune.cost.ways import COMPILED, compiled, speeds
from robustprune.models.artefact import Artefact
from robustprune.results.speeds import Speeds, speeds_from
from robustprune.run.bench import Bench
from robustprune.run.measurement import ASIDE, Measurement, Tick
from robustprune.run.network import Network

EAGER = "PyTorch"


@dataclass(frozen=True, kw_only=True)
class Raced(Measurement[Speeds]):
    """How fast what ships runs. `content` names it, `shape` its twin; `processor` is what is true of one machine."""

    kind: ClassVar[str] = "speeds"
    content: str
    shape: list[Any]
    batches: tuple[int, ...]
    seconds: float
    threads: int
    processor: str
    compiles: bool
    network: Network = field(metadata=ASIDE)

    def make(self, place: Path, tick: Tick) -> Speeds:
        """Time."""
        tick("time what ships", 0, 1)
        net = copy.deepcopy(self.network.model).cpu()
        assert isinstance(net, Artefact)
        ways: dict[str, nn.Module] = {f"the file ({net.runtime.kind})": net}
        if net.twin is not None:
            ways[EAGER] = net.twin
            ways |= {COMPILED: compiled(net.twin)} if self.compiles else {}
        found = speeds(ways, self.network.example.cpu(), self.batches, self.seconds, self.threads)
        left = {} if net.twin is None or self.compiles else {COMPILED: "not asked for"}
        return dataclasses.replace(found, missing={**found.missing, **left})

    def write(self, value: Speeds) -> Mapping[str, Any]:
        """Every field."""
        return dataclasses.asdict(value)

    def read(self, record: Mapping[str, Any], place: Path) -> Speeds:
        """Every field."""
        return speeds_from(record)


def raced(candidate: Network, bench: Bench, compiles: bool) -> Speeds:
    """Return how fast a candidate that ships runs, by the batch sizes and the time of the review."""
    return bench.obtain(
        Raced(
            content=candidate.weights,
            shape=candidate.shape,
            batches=tuple(bench.suite.batches),
            seconds=bench.suite.timing_seconds,
            threads=bench.suite.timing_threads or torch.get_num_threads(),
            processor=str(bench.surroundings["processor"]),
            compiles=compiles,
            network=candidate,
        )
    )
