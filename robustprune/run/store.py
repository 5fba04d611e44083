"""Finished measurements on disk, one file each. No torch.

Files are written whole or not at all (a temporary file, then an atomic rename): many writers may share one store, and
a run that was killed goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustprune.files import write_whole

RUN = "made by run"
"""Key under which a record of a forced run says which one made it."""


class NotMeasured(Exception):
    """A read-only store was asked for a record that it does not have."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder of finished records, `<kind>/<key>.json`, and files that belong to them.

    With a `run`, records that another run made count as missing: that is how a run is forced to measure anew, without
    asking any clock. Whoever asks a `readonly` store for a record that it does not have gets NotMeasured.
    """

    folder: Path
    run: str = ""
    readonly: bool = False

    def path(self, kind: str, key: str, suffix: str = ".json") -> Path:
        """Where the record, or a file beside it, is or would be."""
        return self.folder / kind / f"{key}{suffix}"

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The record, or None where there is none that is whole, and of this run where one is asked for."""
        try:
            record = json.loads(self.path(kind, key).read_bytes())
        except (FileNotFoundError, ValueError, RecursionError):
            return None
        if not isinstance(record, dict) or (self.run and record.get(RUN) != self.run):
            return None
        return {name: value for name, value in record.items() if name != RUN}

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """Keep a record."""
        stamped = {**record, RUN: self.run} if self.run else record
        write_whole(self.path(kind, key), json.dumps(stamped, separators=(",", ":")).encode())
