"""Work done by a Ray cluster: every item is a task of Ray's, and what it needs are references to what others gave.

So the graph, the retries where a node is lost, and the moving of data are Ray's. No disk is shared: the work, with the
data and the sources of the user's modules, is put into the object store once; a value takes along the weight files
that it names. On a node the store is a temporary folder; what a task has found or measured there comes back beside its
value, and this process alone writes it into the real store.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle

from robustprune.errors import InputError
from robustprune.files import write_whole
from robustprune.names import files_imported
from robustprune.run.bench import Listener
from robustprune.run.executors.local import Work, on_threads
from robustprune.run.executors.processes import Forward, cores
from robustprune.run.measurement import SAID, WEIGHTS
from robustprune.run.store import RECORD, Damaged, NotMeasured, Store
from robustprune.run.travel import Look, NodeStore, Parcel, Sources, packed, sources, unpacked, written

HERE = "local"
"""The address that stands for a cluster of this machine alone, started for the run."""

SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_worker_niceness": "0"}
"""What Ray is told before it starts here: report to nobody, hide no GPU, let workers be as quick as other processes."""

RETRIES = 3
"""So often a task is made again whose node or process was lost."""


@dataclass(frozen=True, kw_only=True)
class RayCluster:
    """A Ray cluster, and the share of a GPU that a task gets; a task has one CPU."""

    address: str
    gpus: float = 0

    def each(
        self, work: Work, items: Sequence[Any], listener: Listener, known: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """See `Executor`. An interrupt, or an error, ends the tasks."""
        if not items:
            return {}
        with _interrupts() as stop, _connected(self.address) as ray:
            if ray.cluster_resources().get("GPU", 0) < self.gpus:
                listener.stage(items[0].id, f"warning: no node has {self.gpus:g} GPUs yet; waiting for one", 0, SAID)
            try:
                return _graph(ray, self.gpus, work, items, listener, known or {}, stop)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                said = " ".join(str(error).split())[:200]
                raise InputError(f"the Ray cluster lost a task for good ({said}); what was finished is kept") from error


def _graph(
    ray: Any,
    gpus: float,
    work: Work,
    items: Sequence[Any],
    listener: Listener,
    known: Mapping[str, Any],
    stop: Callable[[], object],
) -> dict[str, Any]:
    """Hand all items to Ray, pass on what the tasks say, and keep what they measured; return the values.

    `stop` is asked now and then, and raises where somebody wants an end.
    """
    folder = Path(tempfile.gettempdir()) / f"robustprune-{uuid.uuid4().hex}"
    pack = partial(packed, store=work.store)
    load = [ray.put(cloudpickle.dumps((folder, sources(), pack(work.carried(NodeStore(folder=folder))))))]
    here = _at(ray, str(ray.get_runtime_context().get_node_id()))
    news = ray.remote(_News).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
    task, how = ray.remote(_do), {"num_cpus": 1, "num_gpus": gpus, "max_retries": RETRIES, "num_returns": 2}
    given = {name for item in items for name in item.needs if name in known}
    values = {name: ray.put(pack(known[name])) for name in given}
    running = {}
    for item in items:
        load_of_item = pack((item, _found(work, item, known)))
        needed = [values[name] for name in item.needs]
        values[item.id], back = task.options(name=item.id, **how).remote(load, news, load_of_item, *needed)
        running[back] = item.id
    made = {}
    try:
        while running:
            done, _ = ray.wait(list(running), timeout=0.2)
            stop()
            for message in _heard(ray, news):
                listener.stage(*message)
            for back in done:
                name = running.pop(back)
                made[name] = _kept(ray.get(back), ray.get(values[name]), work.store)
                listener.finished(name)
    finally:
        _clear(ray, folder)
    return {item.id: made[item.id] for item in items}


@contextmanager
def _interrupts() -> Iterator[Callable[[], object]]:
    """Hold interrupts back inside, and lend what hands them on: Ray would raise an exception of its own for them."""
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def stop() -> None:
        if pressed and callable(before):
            before(pressed.pop(), None)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
    stop()


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Lend Ray, connected to a cluster, or to one that is started here and ended again; it reports to nobody."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise InputError("--ray needs Ray, which is not installed: pip install 'robustprune[ray]'") from None
    _check(address)
    here: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False} if address == HERE else {}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, address=address, **here)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"--ray {address}: no Ray cluster can be reached there ({said})") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check(address: str) -> None:
    """Refuse an address where nobody listens; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address:
        raise InputError(f"--ray {address}: expected HOST:PORT of a cluster that this machine is in, auto or local")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise InputError(f"--ray {address}: no Ray cluster can be reached there ({error})") from error


def _heard(ray: Any, news: Any) -> list[Any]:
    """Return what tasks have said; nothing where it was lost with a node."""
    try:
        heard: list[Any] = ray.get(news.heard.remote())
    except ray.exceptions.RayActorError:
        return []
    return heard


def _at(ray: Any, node: str) -> Any:
    """Return what makes Ray run something on that node, if it is there."""
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node_id=node, soft=True)


def _clear(ray: Any, folder: Path) -> None:
    """Take the temporary folder of every node away; one that does not answer keeps its own."""
    task = ray.remote(shutil.rmtree)
    with suppress(Exception):
        alive = [_at(ray, node["NodeID"]) for node in ray.nodes() if node["Alive"]]
        ray.get([task.options(num_cpus=0, scheduling_strategy=at).remote(folder, True) for at in alive], timeout=5)


class _News:
    """Keeps what tasks say until it is heard."""

    def __init__(self) -> None:
        self.lines: list[Any] = []

    def say(self, line: Any) -> None:
        self.lines.append(line)

    def heard(self) -> list[Any]:
        lines, self.lines = self.lines, []
        return lines


def _found(work: Work, item: Any, known: Mapping[str, Any]) -> Parcel:
    """Return the records that an item would find in the real store, before something has to be measured for it."""
    look = Look(folder=work.store.folder, readonly=True, real=work.store)
    if known.keys() >= {*item.needs}:
        with suppress(NotMeasured, Damaged), on_threads(1):
            work.carried(look)(item, [known[name] for name in item.needs], lambda stage, done, total: None)
    return look.contents()


def _kept(back: Parcel, value: bytes, real: Store) -> Any:
    """Write what came back from a node into the real store, and return the value with the files as they lie here."""
    records, files = back
    for name in records:
        real.make_room(*name, RECORD, WEIGHTS)
    for file, content in files.items():
        write_whole(real.folder / file, content)
    for name, record in records.items():
        real.put(*name, record)
    return unpacked(value, real)


_opened: dict[Any, Work] = {}
"""What a process of a node keeps between tasks: the work."""


def _do(load: Sequence[Any], news: Any, item: bytes, *needed: bytes) -> tuple[bytes, Any]:
    """Do one item on a node; return its value, and the records and weights that it has found or measured."""
    import ray

    (ref,) = load
    if ref not in _opened:
        _opened[ref] = _unloaded(*cloudpickle.loads(ray.get(ref)))
    work = _opened[ref]
    store: Any = work.store
    job, (records, files) = unpacked(item, store)
    for name, content in files.items():
        write_whole(store.folder / name, content)
    for one, record in records.items():
        store.put(*one, record)
    store.seen.clear()
    value = work(job, [unpacked(one, store) for one in needed], partial(Forward(news.say.remote).stage, job.id))
    return packed(value, store), store.contents(besides=records)


def _unloaded(folder: Path, modules: Sources, load: bytes) -> Work:
    """Write the user's modules into the folder of a node's store, import them, and unpack the work."""
    import torch

    torch.set_num_threads(1)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with files_imported(written(modules, folder / "sources")):
        work: Work = unpacked(load, Store(folder=folder))
    return work
