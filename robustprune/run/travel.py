"""What a piece of work takes along to a machine that has no file of this one, and what it brings back.

A thing is pickled with the weight files that it names, the user's modules go as their sources, and a store remembers
which records were found or put, so that they can follow.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from robustprune.files import write_whole
from robustprune.names import imported_files
from robustprune.run.code import PACKAGE, closure
from robustprune.run.measurement import WEIGHTS
from robustprune.run.store import Store

Sources = Mapping[str, tuple[str, bytes]]
"""Path of a file -> the name of the module that was imported from it by its path, if any, and its content."""

BESIDE = 16 * 2**20
"""So many bytes of other files beside a user's modules go along at most, the smallest first."""

Records = dict[tuple[str, str], Mapping[str, Any]]
"""Kind and key -> record."""

Parcel = tuple[Records, dict[str, bytes]]
"""Records, and the weights that belong to them by their names below a store."""


@dataclass(frozen=True, kw_only=True)
class NodeStore(Store):
    """The store on a node: remembers which records were found or put since `seen` was emptied."""

    seen: Records = field(default_factory=dict)

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """See `Store`."""
        record = super().get(kind, key)
        if record is not None:
            self.seen[kind, key] = record
        return record

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """See `Store`."""
        super().put(kind, key, record)
        self.seen[kind, key] = record

    def contents(self, besides: Records | None = None) -> Parcel:
        """Return the records that were seen, and the weights that belong to them, by their names below the folder."""
        records = {name: record for name, record in self.seen.items() if (besides or {}).get(name) != record}
        files = [self.path(*name, WEIGHTS) for name in records]
        return records, {_name(file, self): file.read_bytes() for file in files if file.is_file()}


@dataclass(frozen=True, kw_only=True)
class Look(NodeStore):
    """Looks into the real store without measuring, and remembers what was found."""

    real: Store

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return what the real store has."""
        record = self.real.get(kind, key)
        if record is not None:
            self.seen[kind, key] = record
        return record


def sources() -> Sources:
    """Return the files that were imported by their path, all that those import, and what lies beside those.

    A module may read the latter: settings, class names. What is installed is not among them; a node has to have that.
    """
    mains = {file: name for name, file in imported_files().items()}
    files = {file for main in mains for file in closure(main) if not file.is_relative_to(PACKAGE)}
    files |= {*_beside({main.parent for main in mains})}
    return {str(file.relative_to(file.anchor)): (mains.get(file, ""), file.read_bytes()) for file in sorted(files)}


def _beside(folders: Iterable[Path]) -> Iterator[Path]:
    """The files, code excepted, that stand in some folders: not below them, none that is hidden, none too large."""
    there = (file for folder in folders for file in folder.iterdir() if file.suffix != ".py" and file.is_file())
    sizes = sorted((file.stat().st_size, file) for file in there if not file.name.startswith("."))
    total = 0
    for size, file in sizes:
        total += size
        if total > BESIDE:
            return
        yield file


def written(modules: Sources, folder: Path) -> dict[str, Path]:
    """Write the user's modules below a folder; return those that were imported by their path, by their names."""
    for path, (_, content) in modules.items():
        write_whole(folder / path, content)
    return {name: folder / path for path, (name, _) in modules.items() if name}


class _Packer(cloudpickle.Pickler):
    """Packs a thing; of a file that it names by its full path the content goes along."""

    def __init__(self, stream: io.BytesIO, store: Store) -> None:
        super().__init__(stream)
        self.store, self.files = store, dict[str, bytes]()

    def persistent_id(self, thing: object) -> str | None:
        """Name a file below the store by its place there, another by its content."""
        if not isinstance(thing, Path) or not thing.is_absolute() or thing.suffix == ".py" or not thing.is_file():
            return None
        content = thing.read_bytes()
        name = _name(thing, self.store) or f"given/{hashlib.sha256(content).hexdigest()}{thing.suffix}"
        self.files[name] = content
        return name


class _Unpacker(pickle.Unpickler):
    """Unpacks what `_Packer` packed; files lie below a store then."""

    def __init__(self, stream: io.BytesIO, store: Store) -> None:
        super().__init__(stream)
        self.store = store

    def persistent_load(self, name: str) -> Path:
        """Return where the file of that name lies now."""
        return self.store.folder / name


def packed(thing: object, store: Store) -> bytes:
    """Pickle a thing with the files that it names; those of `store` keep their place."""
    stream = io.BytesIO()
    packer = _Packer(stream, store)
    packer.dump(thing)
    return bytes(cloudpickle.dumps((packer.files, stream.getvalue())))


def unpacked(packed: bytes, store: Store) -> Any:
    """Return the thing again, its files below `store`."""
    files, thing = cloudpickle.loads(packed)
    for name, content in files.items():
        if not (store.folder / name).is_file():
            write_whole(store.folder / name, content)
    return _Unpacker(io.BytesIO(thing), store).load()


def _name(file: Path, store: Store) -> str:
    """Return what a file is called below a store; "" where it does not lie there."""
    return str(file.relative_to(store.folder)) if file.is_relative_to(store.folder) else ""
