"""Where the work is done: this process (local.py), several of this machine (processes.py), or a cluster of Ray's.

local.py says what an executor promises: it does one work for items that need each other, tells a listener, returns the
values. To add one: a file here with a class that has `each`, and a line in `choose`, or an option.
"""

from __future__ import annotations

import os

import torch

from robustprune.run.executors.local import Executor, Local
from robustprune.run.executors.processes import CUDA, Processes, cores, visible


def choose(device: str, workers: int | None = None, gpus: int | None = None) -> Executor:
    """One process a core that this one may use, or a GPU: where the device is "cuda" and names none, of all `gpus`.

    None counts them. A process keeps to one thread: more would round otherwise, and cores are not over-booked.
    """
    count = torch.cuda.device_count() if gpus is None and device == "cuda" else gpus or 1
    seen = visible(count, os.environ.get(CUDA)) if device == "cuda" and count > 1 else ()
    workers = workers or (cores() if device == "cpu" else count if device == "cuda" else 1)
    return Processes(count=workers, gpus=seen) if workers > 1 else Local()


__all__ = ["Executor", "Local", "Processes", "choose"]
