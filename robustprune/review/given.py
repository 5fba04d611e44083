"""Models as a reviewer names them: code that builds the network, and a file with its weights.

The code is trusted: it is the reviewer's own, or was read. The weights are not: they are read as numbers
only (models/checkpoints.py). A file that `robustprune export` wrote says in its metadata which blocks went;
then the parent's factory, given by the reviewer, builds the pruned network. A factory NAMED in the metadata
is shown and never imported: a weight file must not decide which code runs.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.models import Named, as_network, file_hash, load_weights, read_metadata, weights_hash
from robustprune.prune import remove
from robustprune.run.keys import digest
from robustprune.suite.specs import Factory, call, found_file, opened, split_spec

METADATA = "robustprune"
"""The key of a safetensors file's metadata under which the architecture is described, as JSON."""


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What builds a network outside this program; `how`: file, module, named (of this program), library or suite.

    `where` is the file or module, `name` what is called in it; `weights` says whether some are loaded into it.
    """

    how: str
    where: str
    name: str
    weights: bool = True
    removed: tuple[str, ...] = ()
    """Blocks that are taken out of what was built."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """The fields of what builds a library's network (`how` is then library)."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A model that was handed in: `factory` builds it, `weights` is its file (None: the factory fills it in).

    `removed` are the blocks that the file's metadata say went from the factory's network; `described` is
    all that they say. `example` is a real input, (1, C, H, W).
    """

    spec: str
    factory: Factory
    weights: Path | None
    example: Tensor
    removed: tuple[str, ...] = ()
    built_by: str = ""
    """The spec of the factory, where `spec` says more than that."""
    described: Mapping[str, Any] = field(default_factory=dict)
    ships: Path | None = None
    """What ships, where it is reviewed itself: the file that `factory` opens, or the precision of a copy."""

    @property
    def name(self) -> str:
        """A short name: the weight file's or that of what ships, else the last part of the spec."""
        if self.ships is not None:
            return self.ships.name
        if isinstance(self.factory, Named) and not self.weights:
            return self.factory.title
        return self.weights.stem if self.weights else re.split(r"[:/.]", self.spec.partition("@")[0])[-1]

    @cached_property
    def sha256(self) -> str | None:
        """The hash of the file."""
        return file_hash(self.file) if self.file else None

    @property
    def file(self) -> Path | None:
        """The file that holds it, with its program or without: None where there is none."""
        return self.weights or (self.ships if self.ships is not None and self.ships.is_file() else None)

    @property
    def source(self) -> Path | None:
        """The file whose factory builds it; None where that is a module or a name."""
        if isinstance(self.factory, Named):
            return None
        where = (self.built_by or self.spec).rpartition(":")[0]
        return Path(where).resolve() if where.endswith(".py") else None

    @property
    def loading(self) -> Loading | None:
        """How something else than this program would build it; None of a copy in another precision."""
        if self.ships is not None:
            return Loading(how="artefact", where=str(self.file), name="", weights=False) if self.file else None
        held = self.weights is not None
        if isinstance(self.factory, Named):
            told = dataclasses.asdict(self.factory)
            return Loading(how="library", where="", name="", weights=held, removed=self.removed, arguments=told)
        where, colon, name = (self.built_by or self.spec).rpartition(":")
        how = "file" if where.endswith(".py") else "module" if colon else "named"
        place = str(self.source) if how == "file" else where
        return Loading(how=how, where=place, name=name, weights=held, removed=self.removed)

    def shape(self) -> nn.Module:
        """Build the architecture, weights not yet loaded."""
        net = as_network(call(self.factory, self.spec), self.spec, self.example)
        return remove(net, self.removed, self.example) if self.removed else net

    def load(self) -> nn.Module:
        """Build the network with its weights, in eval mode."""
        net = self.shape()
        return (load_weights(net, self.weights) if self.weights else net).eval()

    @cached_property
    def fingerprint(self) -> str:
        """Name what this model computes: its weights, its structure, and the source of its own classes.

        The weight file alone does not: the same file in another architecture is another network. InputError
        where the factory gives other weights each time it is called.
        """
        net = self.load()
        if self.weights is None and weights_hash(net) != weights_hash(self.load()):
            raise InputError(f"{self.spec}: gives other weights each time it is called; give a weight file with it")
        return digest([weights_hash(net), net])


def open_parent(text: str, weights: str | Path | None, example: Tensor) -> Given:
    """Open the model in service: SPEC, with its weights given apart or as SPEC@FILE."""
    spec, file = split_spec(text)
    build, where = opened(spec, weights or file)
    return Given(spec=spec, factory=build, weights=where, example=example)


def open_candidate(text: str, weights: str | Path | None, parent: Given) -> Given:
    """Open the model that should replace it. A lone safetensors file that robustprune exported is enough.

    Its blocks are taken out of the parent's network. With a spec of its own, the metadata are not used.
    """
    if weights is None and text.endswith(".safetensors") and ":" not in text:
        text, weights = "", text
    spec, file = split_spec(text) if text else ("", None)
    if spec:
        build, where = opened(spec, weights or file)
        return Given(spec=spec, factory=build, weights=where, example=parent.example)
    where = found_file(weights)
    if where is None:
        raise InputError("the candidate has no name; expected NAME, package.module:factory or file.py:factory")
    described = description(where)
    if not described:
        raise InputError(
            f"{where}: was not exported by robustprune; say what builds it: package.module:factory@{where}"
        )
    removed = tuple(described["removed"])
    given = f"{parent.spec} without {len(removed)} block{'' if len(removed) == 1 else 's'}"
    return Given(
        spec=given,
        factory=parent.factory,
        weights=where,
        example=parent.example,
        removed=removed,
        built_by=parent.built_by or parent.spec,
        described=described,
    )


def description(path: Path) -> dict[str, Any]:
    """Read what `robustprune export` wrote about the architecture; empty where it did not write this file."""
    if path.suffix != ".safetensors":
        return {}
    try:
        found = json.loads(read_metadata(path).get(METADATA, "{}"))
        if found and not all(isinstance(name, str) for name in found["removed"]):
            raise TypeError("removed holds no names")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: its description of the architecture is damaged ({error})") from None
    return dict(found)
