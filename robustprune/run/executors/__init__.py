"""Where cases are worked on: this process (local.py), or several of this machine (processes.py).

local.py says what an executor promises: it does one work for many items, tells a listener, returns the values. To add
one: a file here with a class that has `each`, and a line in `choose`.
"""

from __future__ import annotations

from robustprune.run.executors.local import Executor, Local
from robustprune.run.executors.processes import Processes, cores


def choose(device: str, workers: int | None = None) -> Executor:
    """One process a core that this one may use; this process for an accelerator, which does not like to be shared."""
    count = workers or (cores() if device == "cpu" else 1)
    return Processes(count=count) if count > 1 else Local()


__all__ = ["Executor", "Local", "Processes", "choose"]
