"""Processes end with the one that they work for, whatever happened to it. Nothing that takes time is imported here.

So a process has its lifeline before it imports torch, which takes seconds.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from typing import Any

from robustprune.names import load_object

DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux' prctl."""


def end_with_parent() -> None:
    """End this process as soon as its parent is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    threading.Thread(target=_watch, daemon=True).start()


def begin(where: str, *args: Any) -> None:
    """Begin a worker process: its end is its parent's, its interrupts are its parent's to hear of; then call `where`.

    `where` is `package.module:function`, imported only now.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    load_object(where)(*args)


def _watch() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
