"""What all cases of one run share: the suite, its data, the store, the device, and who is told what runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from robustprune.data import Data, Split
from robustprune.data.next_tokens import NextTokens
from robustprune.errors import InputError
from robustprune.machine import environment, pick_device
from robustprune.run.fits import one_line
from robustprune.run.measurement import WEIGHTS, Measurement, Tick, Value, obtain
from robustprune.run.store import Store
from robustprune.suite.cases import Suite
from robustprune.typed import Label, mismatch


class Listener(Protocol):
    """Told what runs: `stage` while a case is worked on, `finished` when it is done."""

    def stage(self, case: str, stage: str, done: int, total: int) -> None:
        """A case is at `stage`, `done` of `total` done."""

    def finished(self, case: str) -> None:
        """A case is measured."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What every case of one run shares."""

    suite: Suite
    data: Data
    sample: Split
    """The test images that are attacked, the same for every network."""
    store: Store
    device: torch.device
    surroundings: Mapping[str, Any]
    """Commit, versions, machine and data source, as results record them."""
    tick: Tick = lambda stage, done, total: None

    @property
    def example(self) -> Tensor:
        """One input, for shapes."""
        return self.data.test.x[:1].to(self.device)

    def obtain(self, wanted: Measurement[Value]) -> Value:
        """Find the value of a measurement, or make it."""
        return obtain(wanted, self.store, self.tick)

    def file_of(self, wanted: Measurement[Any]) -> Path:
        """The weight file that belongs to a measurement."""
        return self.store.path(wanted.kind, wanted.key, WEIGHTS)

    def telling(self, tick: Tick) -> Bench:
        """The same bench with another listener."""
        return dataclasses.replace(self, tick=tick)

    def finding(self) -> Bench:
        """The same bench, which measures nothing: what is not there raises NotMeasured."""
        return dataclasses.replace(self, store=dataclasses.replace(self.store, readonly=True))


def open_bench(suite: Suite, store: Store, device: str) -> Bench:
    """Load the data of a suite and choose the device."""
    data, place = load_data(suite), pick_device(device)
    surroundings = {**environment(place, suite.file.parent if suite.file else None), "data": data.source}
    sample = evaluation_sample(data, suite.samples, suite.seed)
    return Bench(suite=suite, data=data, sample=sample, store=store, device=place, surroundings=surroundings)


def load_data(suite: Suite) -> Data:
    """Load the data of a suite. InputError where its factory fails, gives something else, or class names are odd."""
    with one_line(f"the data of suite {suite.name!r} cannot be loaded"):
        data: object = suite.data()
    if not isinstance(data, Data):
        raise InputError(f"suite {suite.name!r}: its data are {type(data).__name__}, expected robustprune.data.Data")
    found = mismatch(data.classes, tuple[Label, ...])
    if found is not None or len({*data.classes}) < len(data.classes):
        raise InputError(f"data {data.name}: {found.below('classes') if found else 'two classes share a name'}")
    return data


def evaluation_sample(data: Data, n: int | None, seed: int) -> Split:
    """The test images that are attacked: all, or a class-balanced share; of the next tokens a share as the text is."""
    if n is None or n >= len(data.test):
        return data.test
    if isinstance(data, NextTokens):
        drawn = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(seed))[:n]
        return data.test.take(drawn.sort().values)
    return data.test.balanced(n, seed=seed)
