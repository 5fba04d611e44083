"""What a finished network was trained on, as its owner states it: a file of hashes, for data hygiene (check 27)."""

from __future__ import annotations

import re
from pathlib import Path

from robustprune.errors import InputError

DIGITS = 16
"""Hexadecimal digits that name an image, as `robustprune.data.Split.hashes` gives them."""

HASH = re.compile(rf"[0-9a-f]{{{DIGITS}}}|[0-9a-f]{{64}}")
"""One image: the sha256 of its pixels as they are loaded (float32, channel by channel), or how it begins."""


def read_hashes(path: Path) -> list[str]:
    """Read the hashes of training images, one a line, for `EvidenceContext.used_hashes["training"]`.

    `robustprune hashes` writes such a file. Raises InputError where it is missing, empty, or holds something else.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected hashes of training images, one a line (robustprune hashes)")
    lines = [line.strip().lower() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    for number, line in enumerate(lines, 1):
        if line and not HASH.fullmatch(line):
            raise InputError(f"{path}, line {number}: {line[:40]!r}, expected 16 hexadecimal digits")
    found = [line[:DIGITS] for line in lines if line]
    if not found:
        raise InputError(f"{path}: no hashes in it; expected one a line for every training image (robustprune hashes)")
    return found
