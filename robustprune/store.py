"""Finished measurements on disk, keyed by the content that determines them. No torch.

A measurement is named by a digest of everything it depends on: weights, samples, settings, the source of the code that
made it, versions of the libraries. So nothing is measured twice, and nothing stale is ever found. Files are written
whole or not at all (a temporary file, then an atomic rename): many writers may share one store, and a run that was
killed goes on where it was.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import inspect
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def describe(thing: Any) -> Any:
    """Turn settings into plain data that is the same in every process: dataclasses, functions, paths, containers.

    >>> describe({"b": (1, 2.0), "a": None})
    {'a': None, 'b': [1, 2.0]}
    """
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, Path):
        return str(thing)
    if isinstance(thing, Mapping):
        return {str(key): describe(thing[key]) for key in sorted(thing, key=str)}
    if isinstance(thing, list | tuple | set | frozenset):
        items = [describe(item) for item in thing]
        return sorted(items, key=str) if isinstance(thing, set | frozenset) else items
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        fields = {f.name: describe(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
        return {"type": _name(type(thing)), **fields}
    if isinstance(thing, functools.partial):
        return [describe(thing.func), describe(thing.args), describe(thing.keywords)]
    if inspect.ismethod(thing):
        return [describe(thing.__self__), thing.__name__, _source_digest(thing)]
    if callable(thing):
        return {"code": _name(thing), "source": _source_digest(thing)}
    return {"type": _name(type(thing)), **describe(vars(thing))}


def digest(thing: Any) -> str:
    """Return 32 hexadecimal digits that name `thing` by its content (see `describe`)."""
    text = json.dumps(describe(thing), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def _source_digest(thing: Any) -> str:
    """Digest the source, and for a closure or lambda also what it closes over."""
    thing = getattr(thing, "__func__", thing)
    known: Any = thing if inspect.isfunction(thing) or inspect.isclass(thing) else None
    source = _source(known) if known else _name(thing)
    cells = [describe(cell.cell_contents) for cell in getattr(thing, "__closure__", None) or ()]
    return hashlib.sha256(f"{source}{cells}".encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=4096)
def _source(thing: Any) -> str:
    """Read the source of a function or class, once: Python parses its whole file each time."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        return _name(thing)


@functools.cache
def code_version(*parts: str) -> str:
    """Digest the source files of the named parts of this package, e.g. `code_version("attacks", "models")`.

    Versions of torch, torchvision and torchattacks belong to it: another library may give other numbers.
    """
    state = hashlib.sha256()
    for part in parts:
        folder = PACKAGE / part
        for file in sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]:
            state.update(file.relative_to(PACKAGE).as_posix().encode() + file.read_bytes())
    for library in ("torch", "torchvision", "torchattacks"):
        state.update(f"{library} {importlib.metadata.version(library)}".encode())
    return state.hexdigest()[:16]


class NotMeasured(Exception):
    """A read-only store was asked for a record that it does not have."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Store:
    """A folder of finished records, `<kind>/<key>.json`, and files that belong to them.

    Records older than `since` (seconds since the epoch) count as missing: that is how a run is forced to measure anew.
    A `readonly` store makes nothing: `once` raises NotMeasured where a record is missing.
    """

    folder: Path
    since: float = 0.0
    readonly: bool = False

    def path(self, kind: str, key: str, suffix: str = ".json") -> Path:
        """Where the record, or a file beside it, is or would be."""
        return self.folder / kind / f"{key}{suffix}"

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The record, or None where there is none that is whole and new enough."""
        path = self.path(kind, key)
        try:
            if path.stat().st_mtime < self.since:
                return None
            record = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return record if isinstance(record, dict) else None

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """Keep a record."""
        write_whole(self.path(kind, key), json.dumps(record, separators=(",", ":")).encode())

    def once(self, kind: str, settings: Any, make: Callable[[str], Mapping[str, Any]]) -> dict[str, Any]:
        """Return the record that `settings` determine; `make(key)` is called only if there is none yet."""
        key = digest(settings)
        record = self.get(kind, key)
        if record is None:
            if self.readonly:
                raise NotMeasured(f"{kind}/{key}")
            record = dict(make(key))
            self.put(kind, key, record)
        return record
