"""The files of a bundle: their names, how they are written, and how they are read without following anything."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = 1
"""Of the manifest."""

MANIFEST, VERDICT, CASES = "manifest.json", "verdict.json", "cases.json.gz"
TRANSFER, SAMPLES, ENVIRONMENT = "transfer.json", "samples.json", "environment.json"
SUMMARY, REPORT, PICTURES = "summary.md", "report.html", "pictures"
TABLE, TABLE_CSV, CONTROLS = "table.md", "table.csv", "controls.md"
SEAL, SIGNATURE = "seal.json", "signature.json"

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


def read(path: Path) -> Any:
    """Return the content of a JSON file; None where it cannot be read."""
    if not plain(path):
        return None
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
