"""Finished measurements on disk, one file each, with what tells a damaged one from a whole one. No torch.

Files are written whole or not at all (a temporary file, then an atomic rename): many writers may share one store, and
a run that was killed goes on where it was. Under each record stands a signature over its bytes and its name: a flipped
bit, a record under another's name and one that somebody else wrote are all known by it (own.py says whose it is).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustprune.files import open_regular, set_aside, write_whole

RUN = "made by run"
"""Key under which a record of a forced run says which one made it."""

RECORD, LOCK = ".json", ".lock"
"""Suffixes of a record, and of the file that is locked while it is made."""

HEAD, MIDDLE, END = b'{"signature":"', b'","record":', b"}"
"""What stands around the signature and the record in a file."""

DIGITS = 64
"""Hexadecimal digits of a signature."""


class NotMeasured(Exception):
    """A read-only store was asked for a record that it does not have."""


class Damaged(Exception):
    """A file of a store is not what was kept there; the message says which one, and what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder of finished records, `<kind>/<key>.json`, and files that belong to them.

    Records are signed with `secret`; without one the signature still tells damage, but not who wrote them. With a
    `run`, records that another run made count as missing: that is how a run is forced to measure anew, without asking
    any clock. Whoever asks a `readonly` store for a record that it does not have gets NotMeasured. `origin` says of
    each record asked for if it was found or measured.
    """

    folder: Path
    secret: str = field(default="", repr=False)
    run: str = ""
    readonly: bool = False
    origin: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def path(self, kind: str, key: str, suffix: str = RECORD) -> Path:
        """Where the record, or a file beside it, is or would be."""
        return self.folder / kind / f"{key}{suffix}"

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return the record; None where there is none, or none of this run where one is asked for.

        Raises Damaged for a file that is no whole record with this name and a signature by this store's secret.
        """
        path = self.path(kind, key)
        try:
            with open_regular(path) as file:
                content = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Damaged(f"{path} is damaged ({error.strerror or error})") from None
        record = self._opened(kind, key, content)
        made_by = record.pop(RUN, "")
        if self.run and made_by != self.run:
            return None
        self.origin.setdefault(f"{kind}/{key}", "found")
        return record

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """Keep a record, signed."""
        text = json.dumps({**record, RUN: self.run} if self.run else record, separators=(",", ":")).encode()
        signature = self._signature(kind, key, text)
        self.origin[f"{kind}/{key}"] = "measured"
        write_whole(self.path(kind, key), HEAD + signature + MIDDLE + text + END)

    def make_room(self, kind: str, key: str, *suffixes: str) -> None:
        """Take out of the way what stands where files will be written, and is none: a folder, a pipe, a link."""
        if not (self.folder / kind).is_dir():
            set_aside(self.folder / kind)
        for path in (self.path(kind, key, suffix) for suffix in suffixes):
            if path.is_symlink() or not path.is_file():
                set_aside(path)

    def _opened(self, kind: str, key: str, content: bytes) -> dict[str, Any]:
        """The record in the content of a file, where its signature holds."""
        start = len(HEAD) + DIGITS + len(MIDDLE)
        text = content[start : -len(END)]
        wanted = HEAD + self._signature(kind, key, text) + MIDDLE + text + END
        path = self.path(kind, key)
        if not hmac.compare_digest(content, wanted):
            raise Damaged(f"{path} is damaged (not what this user's runs wrote)")
        record = json.loads(text)
        if not isinstance(record, dict):
            raise Damaged(f"{path} is damaged ({type(record).__name__}, expected an object)")
        return record

    def _signature(self, kind: str, key: str, text: bytes) -> bytes:
        return signed(f"{kind}/{key}\n".encode() + text, self.secret).encode()


def origins(store: Store) -> dict[str, dict[str, int]]:
    """Return by kind how many records were measured, and how many found, since a store was opened.

    >>> origins(Store(folder=Path(), origin={"cost/a": "found", "cost/b": "measured"}))
    {'cost': {'found': 1, 'measured': 1}}
    """
    found: dict[str, dict[str, int]] = {}
    for name, origin in sorted(store.origin.items()):
        counts = found.setdefault(name.partition("/")[0], {})
        counts[origin] = counts.get(origin, 0) + 1
    return found


def signed(content: bytes, key: str) -> str:
    """Return what only a holder of the key can write under a content."""
    return hmac.new(key.encode(), content, hashlib.sha256).hexdigest()
