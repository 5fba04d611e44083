"""A store that believes only what this user's own runs have put there. No torch.

A folder of measurements may come with a repository, and whoever wrote it could have written any number. So each record
is signed with a secret that lies in the user's state folder, readable by nobody else; a record without that signature
counts as missing and is measured anew. A run on another machine, or in a fresh container, finds nothing.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustprune.run.store import Store

SIGNATURE = "signature"
LENGTH = 64
"""Hexadecimal digits of a secret."""


@dataclass(frozen=True, kw_only=True)
class OwnStore(Store):
    """A store whose records are signed with `secret`; `origin` says of each record asked for if it was found."""

    secret: str = field(repr=False)
    origin: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return the record, or None where there is none that this user's own runs have signed."""
        record = super().get(kind, key)
        if record is None:
            return None
        said = str(record.pop(SIGNATURE, ""))
        if not hmac.compare_digest(said.encode(errors="replace"), self._signature(kind, key, record).encode()):
            return None
        self.origin.setdefault(f"{kind}/{key}", "found")
        return record

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """Keep a record, signed."""
        plain = json.loads(json.dumps(dict(record)))
        self.origin[f"{kind}/{key}"] = "measured"
        super().put(kind, key, {**plain, SIGNATURE: self._signature(kind, key, plain)})

    def _signature(self, kind: str, key: str, record: Mapping[str, Any]) -> str:
        text = json.dumps([kind, key, record], sort_keys=True, separators=(",", ":"))
        return signed(text.encode(), self.secret)


def origins(store: Store) -> dict[str, dict[str, int]]:
    """Return by kind how many records were measured, and how many found, since a store was opened.

    >>> origins(OwnStore(folder=Path(), secret="", origin={"cost/a": "found", "cost/b": "measured"}))
    {'cost': {'found': 1, 'measured': 1}}
    """
    found: dict[str, dict[str, int]] = {}
    for name, origin in sorted((store.origin if isinstance(store, OwnStore) else {}).items()):
        counts = found.setdefault(name.partition("/")[0], {})
        counts[origin] = counts.get(origin, 0) + 1
    return found


def own_store(folder: Path) -> OwnStore:
    """Open a folder as a store of this user."""
    return OwnStore(folder=folder, secret=secret())


def signed(content: bytes, key: str) -> str:
    """Return what only a holder of the key can write under a content."""
    return hmac.new(key.encode(), content, hashlib.sha256).hexdigest()


def named(key: str) -> str:
    """Return a name for a key that does not give it away."""
    return hashlib.sha256(f"robustprune {key}".encode()).hexdigest()[:16]


@functools.cache
def secret() -> str:
    """Return this user's secret, made the first time; one for this process alone where none can be kept."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    path = Path(base) / "robustprune" / "secret"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = _kept(path)
        if not found:
            _make(path)
            found = _kept(path)
    except OSError:
        found = ""
    return found or secrets.token_hex(LENGTH // 2)


def _kept(path: Path) -> str:
    """Return the secret in a file; "" where there is none, or where others could have read or written it."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        return ""
    foreign = hasattr(os, "getuid") and (about.st_uid != os.getuid() or bool(about.st_mode & 0o077))
    if not stat.S_ISREG(about.st_mode) or foreign:
        return ""
    text = path.read_text(errors="replace")
    return text if len(text) == LENGTH else ""


def _make(path: Path) -> None:
    """Write a new secret; where another process does so at the same moment, the first one stays."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    beside.write_text("")
    beside.chmod(0o600)
    beside.write_text(secrets.token_hex(LENGTH // 2))
    try:
        if path.exists() or path.is_symlink():
            beside.replace(path)
        else:
            os.link(beside, path)
    except FileExistsError:
        return
    finally:
        beside.unlink(missing_ok=True)
