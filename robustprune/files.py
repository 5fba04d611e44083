"""Files that are whole or not there; and where a folder can be written at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path

from robustprune.errors import InputError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part. InputError where it cannot be."""
    write_all(path.parent, {path.name: content})


def write_all(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write several files of a folder, all or none: none takes its place before every one of them is written."""
    written: dict[str, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name[:50]}.")
            written[temporary] = folder / name
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o644)
        wrong = next((path for path in written.values() if path.is_dir()), None)
        if wrong is not None:
            raise InputError(f"{wrong}: cannot be written: it is a folder")
        for temporary, path in written.items():
            os.replace(temporary, path)
    except (OSError, ValueError) as error:
        where = f"{folder / next(iter(contents))}"
        shown = where if len(where) <= 200 else f"{where[:197]}..."
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{shown}: cannot be written: {reason}; what was finished before is kept") from error
    finally:
        for temporary in written:
            _remove(Path(temporary))


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read it. OSError for a folder, a link or a pipe, which would never end."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    flags = ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")
    return os.fdopen(os.open(path, sum((getattr(os, name, 0) for name in flags), os.O_RDONLY)), "rb")


def set_aside(path: Path) -> None:
    """Rename what stands at a place, to a hidden name beside it; a link is removed. Nothing where that cannot be."""
    with contextlib.suppress(OSError):
        if path.is_symlink():
            path.unlink()
        else:
            path.rename(path.with_name(f".{path.name}.{secrets.token_hex(4)}"))


def writable(folder: Path) -> bool:
    """Whether files can be written below a folder, which may not be there yet.

    >>> writable(Path(tempfile.gettempdir()) / "new"), writable(Path(__file__) / "below")
    (True, False)
    """
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def elsewhere(folder: Path) -> Path:
    """Choose a folder of the user's cache that stands in for one that cannot be written; the same one each time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    base = cache if writable(cache) else Path(tempfile.gettempdir())
    return base / "robustprune" / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
