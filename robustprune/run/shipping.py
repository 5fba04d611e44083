"""A case as it ships: its network in the format of service, made once and kept, with the float network as its twin.

The copy itself answers in every attack, its twin lends it gradients (models/artefact.py), and two attacks that only ask
are added to those of the suite. What a file is made of is calibrated on training samples alone.
"""

from __future__ import annotations

import copy
import importlib.metadata
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from robustprune.data import Split
from robustprune.errors import InputError
from robustprune.models import weights_hash
from robustprune.models.artefact import Artefact
from robustprune.models.exports.int8 import CALIBRATION, quantize
from robustprune.models.exports.onnx import write_onnx
from robustprune.models.runtimes import HALVES, Half, OnnxBytes, Runtime
from robustprune.run.bench import Bench
from robustprune.run.measurement import WEIGHTS, Measurement, Tick
from robustprune.run.network import Network, holding
from robustprune.suite.cases import INT8, SHIPS, Case, Ships

CONTENT = "content"
"""The name of a file's bytes where they are kept as a tensor, beside other weights."""

MAKERS = ("onnx", "onnxscript", "onnxruntime")
"""Libraries that make and run ONNX files."""


@dataclass(frozen=True, kw_only=True)
class Shipped(Network):
    """A copy of `twin` in the format `form`, which has the hash `content` and was made, and is run, by `makers`."""

    twin: Network
    form: Ships
    content: str
    makers: str

    @property
    def content_key(self) -> list[Any]:
        """What measurements of it are keyed by."""
        return [*self.twin.content_key, self.form, self.content, self.makers]

    @property
    def shape(self) -> list[Any]:
        """What its cost is keyed by."""
        return [*self.twin.shape, self.form, self.makers]

    @cached_property
    def model(self) -> nn.Module:
        """What ships, as a network. InputError where its file no longer holds what was measured."""
        net = self.twin.model
        runtime = Half(net, self.form) if self.form in HALVES else _kept(self.file)
        if runtime.sha256 != self.content:
            raise InputError(f"{self.file}: not the {SHIPS[self.form]} copy that was measured")
        holding(self)
        return Artefact(runtime, net).to(self.example.device).eval()


@dataclass(frozen=True, kw_only=True)
class Copied(Measurement[tuple[str, str]]):
    """The hash of a network's copy in a format, and that of the copy with its twin; a file's bytes are kept."""

    kind: ClassVar[str] = "ships"
    twin: Network
    form: Ships
    makers: str
    calibration: Split | None
    """The training samples by which scales are found, where some are."""

    def make(self, place: Path, tick: Tick) -> tuple[str, str]:
        """Make the copy."""
        tick(f"make {SHIPS[self.form]}", 0, 1)
        net = copy.deepcopy(self.twin.model).cpu()
        if self.form in HALVES:
            runtime: Runtime = Half(net, self.form)
        else:
            content = self._file(net)
            save_file({CONTENT: np.frombuffer(content, dtype=np.uint8)}, place.with_suffix(WEIGHTS))
            runtime = OnnxBytes(content)
        return runtime.sha256, weights_hash(Artefact(runtime, net))

    def write(self, value: tuple[str, str]) -> Mapping[str, Any]:
        """Both hashes."""
        return {"content": value[0], "weights": value[1]}

    def read(self, record: Mapping[str, Any], place: Path) -> tuple[str, str]:
        """Both hashes."""
        return record["content"], record["weights"]

    def _file(self, net: nn.Module) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            file, int8 = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            write_onnx(net, file, torch.cat([self.twin.example.cpu()] * 2))
            if self.calibration is None:
                return file.read_bytes()
            quantize(file, int8, self.calibration.x)
            return int8.read_bytes()


def shipped(twin: Network, form: Ships, bench: Bench) -> Shipped:
    """Return a network as it ships, in one of the formats of `SHIPS`. InputError where it cannot be made."""
    train = bench.data.train
    some = train.balanced(min(CALIBRATION, len(train)), seed=0) if form == INT8 else None
    wanted = Copied(twin=twin, form=form, makers=makers(form), calibration=some)
    content, weights = bench.obtain(wanted)
    return Shipped(
        structure=twin.structure,
        behaviour=twin.behaviour,
        weights=weights,
        removed=twin.removed,
        similarity=twin.similarity,
        factory=twin.factory,
        file=bench.file_of(wanted),
        example=twin.example,
        twin=twin,
        form=form,
        content=content,
        makers=wanted.makers,
    )


def check_makers(cases: Sequence[Case]) -> None:
    """Refuse cases that ship in a format whose libraries are not installed."""
    for form in {case.ships for case in cases if case.ships is not None}:
        makers(form)


def _kept(file: Path) -> OnnxBytes:
    return OnnxBytes(load_file(file)[CONTENT].tobytes())


def makers(form: Ships) -> str:
    """Name the libraries, with their versions, that a format needs. InputError where one is not installed."""
    if form in HALVES:
        return ""
    try:
        return " ".join(f"{name} {importlib.metadata.version(name)}" for name in MAKERS)
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(f"cases that ship as ONNX need {error.name}: pip install 'robustprune[onnx]'") from None
