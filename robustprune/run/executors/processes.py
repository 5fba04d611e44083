"""Work done by several processes of this machine: one process a core, one thread a process.

A suite has many small cases. Two processes with one thread each finish them sooner than one process with two threads,
and a case that always runs on one thread gives the same outcomes whatever else runs. The work travels as an object
(cloudpickle), so what is measured is what was given, not what stands in a file.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import SimpleQueue
from pathlib import Path
from typing import Any

import cloudpickle

from robustprune.errors import InputError
from robustprune.names import import_file, imported_files, module_name
from robustprune.run.bench import Listener
from robustprune.run.executors.local import Job, Value, Work
from robustprune.run.measurement import SAID

KILLED = (
    "a worker process was ended from outside, most likely for want of memory: give fewer --workers, or the suite a "
    "smaller attack_batch; what was finished is kept, and the same command goes on from there"
)


@dataclass(frozen=True, kw_only=True)
class Processes:
    """So many processes of this machine."""

    count: int

    def each(self, work: Work[Job, Value], items: Sequence[Job], listener: Listener) -> list[Value]:
        """See `Executor`. An interrupt, or an error, ends the processes."""
        if not items:
            return []
        context = multiprocessing.get_context("spawn")
        news = context.SimpleQueue()
        pool = ProcessPoolExecutor(
            min(self.count, len(items)), mp_context=context, initializer=_open, initargs=(_packed(work), news)
        )
        try:
            futures = {pool.submit(_do, _packed(item)): item.id for item in items}
            _drain(futures, news, listener)
        except BaseException as error:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise InputError(KILLED) from error
            raise
        pool.shutdown()
        return [_unpacked(future.result()) for future in futures]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _packed(thing: object) -> bytes:
    """Pickle a thing, with the list of files that were imported by their path: another process has to do that too."""
    return bytes(cloudpickle.dumps((imported_files(), cloudpickle.dumps(thing))))


def _unpacked(packed: bytes) -> Any:
    """The thing again, after the files that it comes from were imported."""
    files, thing = cloudpickle.loads(packed)
    for file in map(Path, files):
        if module_name(file) not in sys.modules:
            import_file(file)
    return cloudpickle.loads(thing)


def _drain(waiting: dict[Future[bytes], str], news: SimpleQueue[Any], listener: Listener) -> None:
    """Pass on what the workers say until all of them are done; the first error is raised."""
    pending = set(waiting)
    while pending:
        done, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
        for message in _messages(news):
            listener.stage(*message)
        for future in done:
            future.result()
            listener.finished(waiting[future])


def _messages(news: SimpleQueue[Any]) -> Iterator[Any]:
    while not news.empty():
        yield news.get()


_state: dict[str, Any] = {}
"""What a worker process keeps between items: the work, packed until the first item needs it."""


def _open(work: bytes, news: SimpleQueue[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _state.update(packed=work, news=_Forward(news))


def _end_with_parent() -> None:
    """Stop where the main process was killed: nobody is left to work for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(item: bytes) -> bytes:
    """Work on one item. The work is unpacked when the first arrives, so that errors have a way out."""
    import torch

    if "work" not in _state:
        torch.set_num_threads(1)
        _state["work"] = _unpacked(_state["packed"])
    job = _unpacked(item)
    return _packed(_state["work"](job, partial(_state["news"].stage, job.id)))


@dataclass(frozen=True)
class _Forward:
    """Sends what an item says to the main process, at most a few times a second."""

    news: SimpleQueue[Any]
    sent: dict[str, float] = field(default_factory=dict)

    def stage(self, case: str, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if total == SAID or now - self.sent.get(stage, 0.0) > 0.2:
            self.sent[stage] = now
            self.news.put((case, stage, done, total))
