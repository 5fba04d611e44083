"""What a finished network was trained on, as its owner states it: a file of hashes, for data hygiene (check 27)."""

from __future__ import annotations

import re
from pathlib import Path

from robustprune.errors import InputError

HASH = re.compile(r"[0-9a-f]{16}")
"""One image, as `robustprune.data.Split.hashes` gives it."""


def read_hashes(path: Path) -> list[str]:
    """Read the hashes of training images, one a line, for `EvidenceContext.used_hashes["training"]`.

    Raises InputError where the file is missing, empty, or holds something else.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected hashes of training images, one a line (Split.hashes)")
    lines = [line.strip().lower() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    for number, line in enumerate(lines, 1):
        if line and not HASH.fullmatch(line):
            raise InputError(f"{path}, line {number}: {line[:40]!r}, expected 16 hexadecimal digits (Split.hashes)")
    found = [line for line in lines if line]
    if not found:
        raise InputError(f"{path}: no hashes in it; expected one a line for every training image (Split.hashes)")
    return found
