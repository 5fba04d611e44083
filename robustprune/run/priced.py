"""What a network costs beside its parent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from robustprune.cost import measure
from robustprune.results.costs import Cost, cost_from
from robustprune.run.measurement import ASIDE, Measurement, Tick
from robustprune.run.network import Network


@dataclass(frozen=True, kw_only=True)
class Priced(Measurement[Cost]):
    """The cost of a network. Values of weights do not matter: networks of one shape share a cost.

    `beside` is the shape that it is timed in turn with, None for a parent. `device` and `processor` are their names:
    what is true of one machine is not found on another.
    """

    kind: ClassVar[str] = "cost"
    shape: list[Any]
    beside: list[Any] | None
    input: tuple[int, ...]
    batches: tuple[int, ...]
    seconds: float
    threads: int
    device: str
    processor: str
    network: Network = field(metadata=ASIDE)
    parent: Network = field(metadata=ASIDE)

    def make(self, place: Path, tick: Tick) -> Cost:
        """Count and time."""
        tick("time", 0, 1)
        return measure(
            self.network.model,
            self.network.example,
            parent=None if self.beside is None else self.parent.model,
            batches=self.batches,
            seconds=self.seconds,
            threads=self.threads,
        )

    def write(self, value: Cost) -> Mapping[str, Any]:
        """Every field."""
        return dataclasses.asdict(value)

    def read(self, record: Mapping[str, Any], place: Path) -> Cost:
        """Every field."""
        return cost_from(record)
