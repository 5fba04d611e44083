"""Several cases at once: one process a core, one thread a process, so that the numbers do not depend on how many.

A suite has many small cases. Two processes with one thread each finish them sooner than one process with two threads,
and a case that always runs on one thread gives the same outcomes whatever else runs. Costs are measured afterwards, by
the main process alone, when the machine is quiet.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustprune.store import Store
from robustprune.subject import Listener, listening
from robustprune.suite import Case, load_suite


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker needs to open the same bench as the main process."""

    file: Path
    quick: bool
    store: Store
    device: str


def default_workers(device: str) -> int:
    """One process a core that this process may use; one for an accelerator, which does not like to be shared."""
    return len(os.sched_getaffinity(0)) if device == "cpu" and hasattr(os, "sched_getaffinity") else 1


def prepare_all(order: Order, cases: Sequence[Case], workers: int, listener: Listener) -> None:
    """Train, prune and attack `cases` in `workers` processes; parents first, since the others build on them."""
    if not cases:
        return
    parents = [case for case in cases if case.parent_case is None]
    others = [case for case in cases if case.parent_case is not None]
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        news = manager.Queue()
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_open, initargs=(order, news))
        try:
            for batch in (parents, others):
                _drain({pool.submit(_prepare, case.id): case.id for case in batch}, news, listener)
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()


def _drain(waiting: dict[Future[None], str], news: Any, listener: Listener) -> None:
    """Pass on what the workers say until all of them are done; the first error is raised."""
    pending = set(waiting)
    while pending:
        done, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
        for message in _messages(news):
            listener.stage(*message)
        for future in done:
            future.result()
            listener.finished(waiting[future])


def _messages(news: Any) -> Iterator[Any]:
    while True:
        try:
            yield news.get_nowait()
        except queue.Empty:
            return


_state: dict[str, Any] = {}
"""What a worker process keeps between cases: the bench and its cases by name."""


def _open(order: Order, news: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _state.update(order=order, news=_Forward(news))


def _end_with_parent() -> None:
    """Stop where the main process was killed: nobody is left to work for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _prepare(case_id: str) -> None:
    """Work on one case. Suite and data are loaded when the first case arrives, so that errors have a way out."""
    import torch

    from robustprune.runner import open_bench, prepare_case

    order: Order = _state["order"]
    if "bench" not in _state:
        torch.set_num_threads(1)
        suite = load_suite(order.file)
        suite = suite.quickly() if order.quick else suite
        _state["bench"] = open_bench(suite, order.store, order.device)
        _state["cases"] = {case.id: case for case in suite.cases}
    case = _state["cases"][case_id]
    prepare_case(case, listening(_state["bench"], case, _state["news"]))


@dataclass(frozen=True)
class _Forward:
    """Sends what a case says to the main process, at most a few times a second."""

    news: Any
    sent: dict[str, float] = field(default_factory=dict)

    def stage(self, case: str, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.sent.get(stage, 0.0) > 0.2:
            self.sent[stage] = now
            self.news.put((case, stage, done, total))

    def finished(self, case: str) -> None:
        """Nothing: the main process sees that the work has returned."""
