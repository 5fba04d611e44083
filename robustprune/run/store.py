"""Finished measurements on disk, one file each. No torch.

Files are written whole or not at all (a temporary file, then an atomic rename): many writers may share one store, and
a run that was killed goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustprune.files import write_whole


class NotMeasured(Exception):
    """A read-only store was asked for a record that it does not have."""


@dataclass(frozen=True, kw_only=True)
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

    def once(self, kind: str, key: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Return the record of that key; `make()` is called only if there is none yet."""
        record = self.get(kind, key)
        if record is None:
            if self.readonly:
                raise NotMeasured(f"{kind}/{key}")
            record = dict(make())
            self.put(kind, key, record)
        return record
