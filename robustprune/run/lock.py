"""One process at a time: a lock of the system, which takes it back when its holder ends, however that happens.

Where a file system, or the system, knows no such locks, nobody waits: work may then be done twice, but not wrongly.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_held: set[tuple[int, Path]] = set()
"""The locks of this process: thread and file."""


@contextmanager
def alone(path: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Keep other processes from doing what is done inside at the same time; `path` is the file that is locked.

    `waiting` is called where another one is at it already. The file is gone afterwards. Whoever waited for it may go
    on together with somebody who came later and made a new one: so look again inside whether there is still work.
    """
    mine = (threading.get_ident(), path)
    handle = None if mine in _held else _locked(path, waiting)
    if handle is None:
        yield
        return
    _held.add(mine)
    try:
        yield
    finally:
        _held.discard(mine)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path, waiting: Callable[[], object]) -> int | None:
    """An open file that is locked; None where there can be none."""
    if sys.platform == "win32":
        return None
    import fcntl

    handle = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
    except BaseException as error:
        if handle is not None:
            os.close(handle)
        if isinstance(error, OSError):
            return None
        raise
    return handle
