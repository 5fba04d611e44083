"""Work done by several processes of this machine: one process a core, one thread a process.

A suite has many small cases. Two processes with one thread each finish them sooner than one process with two threads,
and a case that always runs on one thread gives the same outcomes whatever else runs. The work travels as an object
(cloudpickle), so what is measured is what was given, not what stands in a file.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import SimpleQueue
from typing import Any

import cloudpickle

from robustprune.errors import InputError
from robustprune.names import files_imported, imported_files
from robustprune.run.bench import Listener
from robustprune.run.executors.local import Work
from robustprune.run.lifeline import begin
from robustprune.run.measurement import SAID

CUDA = "CUDA_VISIBLE_DEVICES"
"""Says which GPUs a process sees, before it looks. It calls the first of them its device, whichever that is."""

KILLED = (
    "a worker process was ended from outside, most likely for want of memory: give fewer --workers, or the suite a "
    "smaller attack_batch; what was finished is kept, and the same command goes on from there"
)


@dataclass(frozen=True, kw_only=True)
class Processes:
    """So many processes of this machine; of `gpus`, by the names that CUDA knows them by, each sees one."""

    count: int
    gpus: tuple[str, ...] = ()

    def each(
        self, work: Work, items: Sequence[Any], listener: Listener, known: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """See `Executor`. An interrupt, or an error, ends the processes."""
        if not items:
            return {}
        context = multiprocessing.get_context("spawn")
        news = context.SimpleQueue()
        count = min(self.count, len(items))
        seen = context.SimpleQueue()
        for gpu in assigned(count, self.gpus):
            seen.put(gpu)
        given = (f"{__name__}:_open", _packed(work), news, seen if self.gpus else None)
        pool = ProcessPoolExecutor(count, mp_context=context, initializer=begin, initargs=given)
        try:
            values = _drain(pool, count, items, _wanted(items, known or {}), news, listener)
        except BaseException as error:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise InputError(KILLED) from error
            raise
        pool.shutdown()
        return {item.id: _unpacked(values[item.id]) for item in items}


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def assigned(count: int, gpus: Sequence[str]) -> list[str]:
    """Return the GPU that each of `count` processes sees; they take turns.

    >>> assigned(3, ("0", "2")), assigned(3, ())
    (['0', '2', '0'], [])
    """
    return [gpus[number % len(gpus)] for number in range(count)] if gpus else []


def visible(count: int, given: str | None) -> tuple[str, ...]:
    """Return the names of `count` GPUs; `given` is what the environment says of those that may be seen.

    >>> visible(2, None), visible(2, "3, GPU-5d"), visible(1, "")
    (('0', '1'), ('3', 'GPU-5d'), ('0',))
    """
    names = [name.strip() for name in (given or "").split(",") if name.strip()]
    return tuple(names or map(str, range(count)))[:count]


def _packed(thing: object) -> bytes:
    """Pickle a thing, with the list of files that were imported by their path: another process has to do that too."""
    return bytes(cloudpickle.dumps((imported_files(), cloudpickle.dumps(thing))))


def _unpacked(packed: bytes) -> Any:
    """The thing again, after the files that it comes from were imported."""
    files, thing = cloudpickle.loads(packed)
    with files_imported(files):
        return cloudpickle.loads(thing)


def _wanted(items: Sequence[Any], known: Mapping[str, Any]) -> dict[str, bytes]:
    """Pack those of the known values that one of the items needs."""
    names = {name for item in items for name in item.needs if name in known}
    return {name: _packed(known[name]) for name in names}


def _drain(
    pool: ProcessPoolExecutor,
    count: int,
    items: Sequence[Any],
    values: dict[str, bytes],
    news: SimpleQueue[Any],
    listener: Listener,
) -> dict[str, bytes]:
    """Hand out what is ready, the first items first, and pass on what the workers say; the first error is raised.

    What an item needs is asked for once: this process turns round often, and has thousands of items in a large suite.
    """
    waiting, running = {item.id: item for item in items}, dict[Future[bytes], str]()
    needs = {name: tuple(item.needs) for name, item in waiting.items()}
    while waiting or running:
        ready = (name for name in waiting if all(one in values for one in needs[name]))
        for name in [*islice(ready, count - len(running))]:
            given = [values[one] for one in needs[name]]
            running[pool.submit(_do, _packed(waiting.pop(name)), given)] = name
        done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
        for message in _messages(news):
            listener.stage(*message)
        _check(pool)
        for future in done:
            name = running.pop(future)
            values[name] = future.result()
            listener.finished(name)
    return values


def _check(pool: ProcessPoolExecutor) -> None:
    """Raise BrokenProcessPool where a worker has ended: the pool itself may not see it before another is done."""
    if any(process.exitcode is not None for process in list((pool._processes or {}).values())):
        raise BrokenProcessPool("a worker has ended")


def _messages(news: SimpleQueue[Any]) -> Iterator[Any]:
    while not news.empty():
        yield news.get()


_state: dict[str, Any] = {}
"""What a worker process keeps between items: the work, packed until the first item needs it."""


def _open(work: bytes, news: SimpleQueue[Any], gpus: SimpleQueue[str] | None) -> None:
    if gpus is not None:
        os.environ[CUDA] = gpus.get()
    _state.update(packed=work, news=Forward(news.put))


def _do(item: bytes, needed: Sequence[bytes]) -> bytes:
    """Work on one item. The work is unpacked when the first arrives, so that errors have a way out."""
    import torch

    if "work" not in _state:
        torch.set_num_threads(1)
        gc.disable()  # what is imported here stays: looking through it for cycles is a sixth of the time
        try:
            _state["work"] = _unpacked(_state["packed"])
        finally:
            gc.enable()
    job = _unpacked(item)
    return _packed(_state["work"](job, [*map(_unpacked, needed)], partial(_state["news"].stage, job.id)))


@dataclass(frozen=True)
class Forward:
    """Sends what an item says to the main process, at most a few times a second."""

    send: Callable[[Any], object]
    sent: dict[str, float] = field(default_factory=dict)

    def stage(self, case: str, stage: str, done: int, total: int) -> None:
        """See `Listener`."""
        now = time.monotonic()
        if total == SAID or now - self.sent.get(stage, 0.0) > 0.2:
            self.sent[stage] = now
            self.send((case, stage, done, total))
