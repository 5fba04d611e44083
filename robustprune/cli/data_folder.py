"""Where the loaders look, for as long as a command lasts. Apart from robustprune.data, whose import brings torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "ROBUSTPRUNE_DATA"


@contextmanager
def looking_in(folder: str | Path | None) -> Iterator[None]:
    """Point the loaders at a folder, those of worker processes included; then as before. None: nothing changes.

    >>> with looking_in("here"):
    ...     os.environ[VARIABLE]
    'here'
    """
    if folder is None:
        yield
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder)
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
