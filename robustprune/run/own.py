"""The secret with which a user's runs sign what they put into a store: nothing else there is believed. No torch.

A folder of measurements may come with a repository, and whoever wrote it could have written any number. So each record
is signed with a secret that lies in the user's state folder, readable by nobody else; a record without that signature
is measured anew, and that is said. A run on another machine, or in a fresh container, finds nothing.
"""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
import stat
from pathlib import Path

from robustprune.run.store import Store

LENGTH = 64
"""Hexadecimal digits of a secret."""


def own_store(folder: Path) -> Store:
    """Open a folder as a store of this user."""
    return Store(folder=folder, secret=secret())


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
