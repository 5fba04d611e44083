"""Where data lies: the folder given, else the folder $ROBUSTPRUNE_DATA names, else the user's cache."""

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
