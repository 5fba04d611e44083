"""What lies in a store, and what of it no suite needs any more. Nothing outside the store is ever touched."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robustprune.errors import InputError
from robustprune.run.store import RECORD, NotMeasured, Store
from robustprune.suite.cases import Suite

NAME = re.compile(r"[0-9a-f]{32}\.(json|safetensors|lock)")
"""What a file of a store is called."""

LONG = 3600.0
"""Seconds after which nobody is writing a file any more that has a passing name."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """Some files of a store."""

    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes on disk; a file that somebody else has removed has none."""
        found = 0
        for path in self.files:
            with contextlib.suppress(OSError):
                found += path.lstat().st_size
        return found

    def __str__(self) -> str:
        """Count and size.

        >>> str(Content(files=()))
        '0 records, 0 files of 0.0 MB in all'
        """
        records = sum(path.suffix == RECORD and not path.name.startswith(".") for path in self.files)
        return f"{records:,} records, {len(self.files):,} files of {self.size / 1e6:,.1f} MB in all"


def content(store: Path) -> Content:
    """Return all files of a store. InputError where a folder holds what no store does."""
    return Content(files=tuple(_files(store)))


def told(store: Path) -> str:
    """Say where a store is and what is in it."""
    try:
        return f"{store}: {content(store)}"
    except InputError as error:
        return str(error)


def needed(suite: Suite, store: Store, device: str) -> tuple[set[str], list[str]]:
    """Return `<kind>/<key>` of each record that a run of a suite would find, and the cases that it could not finish."""
    from robustprune.run.executors import Local
    from robustprune.run.suite import CaseWork, results_of

    looking, unfinished = replace(store, readonly=True, origin={}), []
    work = CaseWork(suite=suite, store=looking, device=device)
    for case in suite.cases:
        parents = [case.parent_case] if case.parent_case is not None else []
        try:
            results_of([*parents, case], work, Local(), Nobody())
        except NotMeasured:
            unfinished.append(case.id)
    return {*looking.origin}, unfinished


def spare(store: Path, keys: set[str]) -> Content:
    """Return what belongs to none of these records, and what was left half-written an hour ago or more."""
    return Content(files=tuple(path for path in _files(store) if f"{path.parent.name}/{path.stem}" not in keys))


def remove(files: Sequence[Path]) -> None:
    """Remove files of a store, records before their weights: a killed removal leaves no record without them."""
    for path in sorted(files, key=lambda path: path.suffix != RECORD):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


class Nobody:
    """A listener that tells nobody."""

    def stage(self, case: str, stage: str, done: int, total: int) -> None:
        """See `Listener`."""

    def finished(self, case: str) -> None:
        """See `Listener`."""


def _files(store: Path) -> Iterator[Path]:
    """The files of a store; passing ones that may still be written, and folders that were put aside, are left out."""
    if not store.exists():
        return
    for kind in _entries(store):
        if kind.name.startswith("."):
            continue
        if kind.is_symlink() or not kind.is_dir():
            raise InputError(f"{store}: no store of robustprune, {kind.name} is in it")
        for path in _entries(kind):
            passing = path.name.startswith(".")
            if not passing and not NAME.fullmatch(path.name):
                raise InputError(f"{store}: no store of robustprune, {kind.name}/{path.name} is in it")
            with contextlib.suppress(OSError):
                old = time.time() - path.lstat().st_mtime > LONG
                if not path.is_dir() and (old or not passing):
                    yield path


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: no store of robustprune, {error.strerror}") from None
