"""Models as a reviewer names them: code that builds the network, and a file with its weights.

The code is trusted: it is the reviewer's own, or was read. The weights are not: they are read as numbers
only (models/checkpoints.py). A file that `robustprune export` wrote says in its metadata which blocks went;
then the parent's factory, given by the reviewer, builds the pruned network. A factory NAMED in the metadata
is shown and never imported: a weight file must not decide which code runs.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from robustprune.data import data_root
from robustprune.errors import InputError, MissingData
from robustprune.models import as_network, file_hash, load_weights, read_metadata, weights_hash
from robustprune.names import import_file, load_object, names
from robustprune.prune import remove
from robustprune.run.keys import digest

Factory = Callable[[], nn.Module]


METADATA = "robustprune"
"""The key of a safetensors file's metadata under which the architecture is described, as JSON."""


_SPEC = re.compile(r"(?P<where>.+?:[A-Za-z_][\w.]*|[^@:]+)(?:@(?P<file>.+))?")


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What builds a network outside this program; `how`: file, module, named (of the library) or suite.

    `where` is the file or module, `name` what is called in it; `weights` says whether some are loaded into it.
    """

    how: str
    where: str
    name: str
    weights: bool = True
    removed: tuple[str, ...] = ()
    """Blocks that are taken out of what was built."""


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
        where = (self.built_by or self.spec).rpartition(":")[0]
        return Path(where).resolve() if where.endswith(".py") else None

    @property
    def loading(self) -> Loading | None:
        """How something else than this program would build it; None of a copy in another precision."""
        if self.ships is not None:
            return Loading(how="artefact", where=str(self.file), name="", weights=False) if self.file else None
        where, colon, name = (self.built_by or self.spec).rpartition(":")
        how = "file" if where.endswith(".py") else "module" if colon else "named"
        place = str(self.source) if how == "file" else where
        return Loading(how=how, where=place, name=name, weights=self.weights is not None, removed=self.removed)

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


def split_spec(text: str) -> tuple[str, str | None]:
    """Take SPEC@FILE apart.

    >>> split_spec("nets.py:small@a@b.pt"), split_spec("cifar10-resnet56")
    (('nets.py:small', 'a@b.pt'), ('cifar10-resnet56', None))
    """
    found = _SPEC.fullmatch(text)
    if found is None:
        raise InputError(
            f"model {text!r}: expected NAME, package.module:factory or file.py:factory, then perhaps @WEIGHTS"
        )
    return found["where"], found["file"]


def open_parent(text: str, weights: str | Path | None, example: Tensor) -> Given:
    """Open the model in service: SPEC, with its weights given apart or as SPEC@FILE."""
    spec, file = split_spec(text)
    return Given(spec=spec, factory=factory(spec), weights=_file(weights or file), example=example)


def open_candidate(text: str, weights: str | Path | None, parent: Given) -> Given:
    """Open the model that should replace it. A lone safetensors file that robustprune exported is enough.

    Its blocks are taken out of the parent's network. With a spec of its own, the metadata are not used.
    """
    if weights is None and text.endswith(".safetensors") and ":" not in text:
        text, weights = "", text
    spec, file = split_spec(text) if text else ("", None)
    where = _file(weights or file)
    if spec:
        return Given(spec=spec, factory=factory(spec), weights=where, example=parent.example)
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


def factory(spec: str) -> Factory:
    """Find what builds a model: a name in the registry, `package.module:factory` or `file.py:factory`."""
    module, colon, name = spec.rpartition(":")
    if not colon:
        known = names("models")
        if spec not in known:
            raise InputError(
                f"model {spec!r}: expected package.module:factory, file.py:factory, "
                f"or one of {', '.join(sorted(known))}"
            )
        return known[spec]
    found = _from_file(Path(module), name) if module.endswith(".py") else _from_package(spec)
    if not callable(found):
        raise InputError(
            f"{spec}: is {type(found).__name__}, expected a function without arguments that gives a network"
        )
    return partial(call, found, spec)


def call(make: Callable[[], object], spec: str) -> nn.Module:
    """Call a factory. InputError where it fails or gives something else than a network."""
    try:
        net = make()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{spec}: failed when called without arguments: {type(error).__name__}: {error}") from error
    return as_network(net, spec)


def _from_package(spec: str) -> Any:
    with _importable(Path.cwd()):
        return load_object(spec)


def _from_file(path: Path, name: str) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected path/to/file.py:{name}")
    module = import_file(path)
    if not hasattr(module, name):
        raise InputError(f"{path}: defines no {name!r}")
    return getattr(module, name)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let modules of `folder` be imported meanwhile, after everything that is installed."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _file(weights: str | Path | None) -> Path | None:
    """The weight file, as given or below the data folder."""
    if weights is None:
        return None
    for place in (Path(weights), data_root() / weights):
        if place.is_file():
            return place.resolve()
    raise MissingData(f"{weights}: no such weight file, neither from here nor in {data_root()}")
