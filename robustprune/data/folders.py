"""Where data lies: the folder given, else the folder $ROBUSTPRUNE_DATA names, else the user's cache; what is in it."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "ROBUSTPRUNE_DATA"


def data_root(root: str | Path | None = None) -> Path:
    """Return the data folder, which may not exist: `root`, else $ROBUSTPRUNE_DATA, else the user's cache.

    >>> data_root("here").name
    'here'
    """
    chosen = root or os.environ.get(VARIABLE) or "~/.cache/robustprune/data"
    return Path(chosen).expanduser()


def files_in(folder: Path, ending: str) -> list[Path]:
    """List the files of a folder that have an ending, such as .npz or .NPZ, without hidden ones, by name."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() == ending and file.name[0] != ".")
