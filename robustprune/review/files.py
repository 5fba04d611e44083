"""The files of a bundle: their names, how they are written, and how they are read without following anything."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robustprune.errors import InputError

SCHEMA = 1
"""Of the manifest."""

MANIFEST, VERDICT, CASES = "manifest.json", "verdict.json", "cases.json.gz"
TRANSFER, SAMPLES, ENVIRONMENT = "transfer.json", "samples.json", "environment.json"
SUMMARY, REPORT, PICTURES = "summary.md", "report.html", "pictures"
TABLE, TABLE_CSV, CONTROLS = "table.md", "table.csv", "controls.md"
SEAL, SIGNATURE = "seal.json", "signature.json"

LARGEST, SHORT = 2**29, 2**20
"""Bytes: of a JSON file of a bundle, and of a small file that a user gives."""

LAST = (MANIFEST, SEAL, SIGNATURE)
"""Written after all others, so that the manifest cannot list them."""


def as_json(content: Any) -> bytes:
    """Write plain data as the JSON files of a bundle have it."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def sha256(path: Path) -> str:
    """Hash a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield everything below a folder, by name; links are not followed."""
    for path in sorted(folder.rglob("*")):
        yield path.relative_to(folder).as_posix(), path


def plain(path: Path) -> bool:
    """Whether there is a regular file: no link, no folder, nothing that is read without end."""
    return there(path) and stat.S_ISREG(path.lstat().st_mode)


def there(path: Path) -> bool:
    """Whether anything stands at a place, a link to nothing included."""
    return path.is_symlink() or path.exists()


def kind(path: Path) -> str:
    """Say what stands at a place."""
    mode = path.lstat().st_mode
    kinds = ((stat.S_ISLNK, "a link"), (stat.S_ISDIR, "a folder"), (stat.S_ISREG, "a file"))
    return next((name for is_one, name in kinds if is_one(mode)), "something else than a file")


def read(path: Path, most: int = LARGEST) -> Any:
    """Return the content of a JSON file; None where it cannot be read, or has more bytes than it may."""
    if not plain(path):
        return None
    try:
        return json.loads(path.read_bytes()) if path.lstat().st_size <= most else None
    except (OSError, ValueError, RecursionError):
        return None


def short(path: Path) -> bytes:
    """Return what stands in a small file of a user, such as a key. InputError, the reason, for anything else."""
    try:
        if not path.is_file():
            raise InputError("not a file" if path.exists() else "No such file")
        with path.open("rb") as file:
            content = file.read(SHORT + 1)
    except OSError as error:
        raise InputError(error.strerror or type(error).__name__) from None
    if len(content) > SHORT:
        raise InputError(f"larger than {SHORT:,} bytes")
    return content
