"""Work done by a Ray cluster: every item is a task of Ray's, and what it needs are references to what others gave.

So the graph, the retries where a node is lost, and the moving of data are Ray's. No disk is shared: the work, with the
data and the sources of the user's modules, is put into the object store once; a value takes along the weight files
that it names. On a node the store is a temporary folder; what a task has found or measured there comes back beside its
value, and this process alone writes it into the real store.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle

from robustprune.errors import InputError
from robustprune.files import write_whole
from robustprune.names import PREFIX, import_file
from robustprune.run.bench import Listener
from robustprune.run.code import PACKAGE, closure
from robustprune.run.executors.local import Work, on_threads
from robustprune.run.executors.processes import Forward, cores
from robustprune.run.measurement import SAID, WEIGHTS
from robustprune.run.store import NotMeasured, Store

HERE = "local"
"""The address that stands for a cluster of this machine alone, started for the run."""

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
}
"""What Ray is told before it starts here: report to nobody, hide no GPU, let workers be as quick as other processes."""

RETRIES = 3
"""So often a task is made again whose node or process was lost."""

Records = dict[tuple[str, str], Mapping[str, Any]]
"""Kind and key -> record."""

Parcel = tuple[Records, dict[str, bytes]]
"""Records, and the weights that belong to them by their names below a store."""


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
        with _connected(self.address) as ray:
            if ray.cluster_resources().get("GPU", 0) < self.gpus:
                listener.stage(items[0].id, f"warning: no node has {self.gpus:g} GPUs yet; waiting for one", 0, SAID)
            try:
                return _graph(ray, self.gpus, work, items, listener, known or {})
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                said = " ".join(str(error).split())[:200]
                raise InputError(f"the Ray cluster lost a task for good ({said}); what was finished is kept") from error


def _graph(
    ray: Any, gpus: float, work: Work, items: Sequence[Any], listener: Listener, known: Mapping[str, Any]
) -> dict[str, Any]:
    """Hand all items to Ray, pass on what the tasks say, and keep what they measured; return the values."""
    node = _NodeStore(folder=Path(tempfile.gettempdir()) / f"robustprune-{uuid.uuid4().hex}")
    pack, real = partial(_packed, store=work.store), work.store
    load = [ray.put(cloudpickle.dumps((node.folder, _sources(), pack(work.carried(node)))))]
    news = ray.remote(_News).options(num_cpus=0, scheduling_strategy=_at(ray, _here(ray))).remote()
    task, how = ray.remote(_do), {"num_cpus": 1, "num_gpus": gpus, "max_retries": RETRIES, "num_returns": 2}
    given = {name: value for name, value in known.items() if any(name in item.needs for item in items)}
    values = {name: ray.put(pack(value)) for name, value in given.items()}
    running = {}
    for item in items:
        found = _found(work, item, known)
        needed = [values[name] for name in item.needs]
        values[item.id], back = task.options(name=item.id, **how).remote(load, news, pack((item, found)), *needed)
        running[back] = item.id
    made = {}
    while running:
        done, _ = ray.wait(list(running), timeout=0.2)
        for message in ray.get(news.heard.remote()):
            listener.stage(*message)
        for back in done:
            name = running.pop(back)
            made[name] = _kept(ray.get(back), ray.get(values[name]), real)
            listener.finished(name)
    ray.get([_cleared(ray, node.folder, one["NodeID"]) for one in ray.nodes() if one["Alive"]])
    return {item.id: made[item.id] for item in items}


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Lend Ray, connected to a cluster, or to one that is started here and ended again; it reports to nobody."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise InputError("--ray needs Ray, which is not installed: pip install 'robustprune[ray]'") from None
    where = {"num_cpus": cores(), "include_dashboard": False} if address == HERE else {"address": address}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **where)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"--ray {address}: no Ray cluster can be reached there ({said})") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _here(ray: Any) -> str:
    return str(ray.get_runtime_context().get_node_id())


def _at(ray: Any, node: str) -> Any:
    """Return what makes Ray run something on that node, if it is there."""
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node_id=node, soft=True)


def _cleared(ray: Any, folder: Path, node: str) -> Any:
    """Take the temporary folder of a node away."""
    return ray.remote(shutil.rmtree).options(num_cpus=0, scheduling_strategy=_at(ray, node)).remote(folder, True)


class _News:
    """Keeps what tasks say until it is heard."""

    def __init__(self) -> None:
        self.lines: list[Any] = []

    def say(self, line: Any) -> None:
        self.lines.append(line)

    def heard(self) -> list[Any]:
        lines, self.lines = self.lines, []
        return lines


@dataclass(frozen=True, kw_only=True)
class _NodeStore(Store):
    """The store on a node: remembers which records were found or put since `seen` was emptied."""

    seen: Records = field(default_factory=dict)

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        record = super().get(kind, key)
        if record is not None:
            self.seen[kind, key] = record
        return record

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        super().put(kind, key, record)
        self.seen[kind, key] = record

    def contents(self, besides: Records | None = None) -> Parcel:
        """Return the records that were seen, and the weights that belong to them, by their names below the folder."""
        records = {name: record for name, record in self.seen.items() if (besides or {}).get(name) != record}
        files = [self.path(*name, WEIGHTS) for name in records]
        return records, {_name(file, self): file.read_bytes() for file in files if file.is_file()}


@dataclass(frozen=True, kw_only=True)
class _Look(_NodeStore):
    """Looks into the real store without measuring, and remembers what was found."""

    real: Store

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        record = self.real.get(kind, key)
        if record is not None:
            self.seen[kind, key] = record
        return record


def _found(work: Work, item: Any, known: Mapping[str, Any]) -> Parcel:
    """Return the records that an item would find in the real store, before something has to be measured for it."""
    look = _Look(folder=work.store.folder, readonly=True, real=work.store)
    if known.keys() >= {*item.needs}:
        with suppress(NotMeasured), on_threads(1):
            work.carried(look)(item, [known[name] for name in item.needs], lambda stage, done, total: None)
    return look.contents()


def _kept(back: Parcel, value: bytes, real: Store) -> Any:
    """Write what came back from a node into the real store, and return the value with the files as they lie here."""
    records, files = back
    for file, content in files.items():
        write_whole(real.folder / file, content)
    for name, record in records.items():
        real.put(*name, record)
    return _unpacked(value, real)


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
    job, (records, files) = _unpacked(item, store)
    for name, content in files.items():
        write_whole(store.folder / name, content)
    for one, record in records.items():
        store.put(*one, record)
    store.seen.clear()
    value = work(job, [_unpacked(one, store) for one in needed], partial(Forward(news.say.remote).stage, job.id))
    return _packed(value, store), store.contents(besides=records)


def _unloaded(folder: Path, sources: Mapping[str, tuple[str, bytes]], packed: bytes) -> Work:
    """Write the user's modules into the folder of a node's store, import them, and unpack the work."""
    import torch

    torch.set_num_threads(1)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, (_, content) in sources.items():
        write_whole(folder / "sources" / path, content)
    for path, (name, _) in sources.items():
        if name and name not in sys.modules:
            import_file(folder / "sources" / path, name)
    work: Work = _unpacked(packed, Store(folder=folder))
    return work


def _sources() -> dict[str, tuple[str, bytes]]:
    """Return the files that were imported by their path, and all that those import: path -> module name and content.

    What is installed is not among them; a node has to have that too.
    """
    mains = {Path(str(one.__file__)): name for name, one in list(sys.modules.items()) if name.startswith(PREFIX)}
    files = {file for main in mains for file in closure(main) if not file.is_relative_to(PACKAGE)}
    return {str(file.relative_to(file.anchor)): (mains.get(file, ""), file.read_bytes()) for file in sorted(files)}


class _Packer(cloudpickle.Pickler):
    """Packs a thing; of a file that it names by its full path the content goes along."""

    def __init__(self, stream: io.BytesIO, store: Store) -> None:
        super().__init__(stream)
        self.store, self.files = store, dict[str, bytes]()

    def persistent_id(self, thing: object) -> str | None:
        """Name a file below the store by its place there, another by its content."""
        if not isinstance(thing, Path) or not thing.is_absolute() or thing.suffix == ".py" or not thing.is_file():
            return None
        content = thing.read_bytes()
        name = _name(thing, self.store) or f"given/{hashlib.sha256(content).hexdigest()}{thing.suffix}"
        self.files[name] = content
        return name


class _Unpacker(pickle.Unpickler):
    """Unpacks what `_Packer` packed; files lie below a store then."""

    def __init__(self, stream: io.BytesIO, store: Store) -> None:
        super().__init__(stream)
        self.store = store

    def persistent_load(self, name: str) -> Path:
        """Return where the file of that name lies now."""
        return self.store.folder / name


def _packed(thing: object, store: Store) -> bytes:
    stream = io.BytesIO()
    packer = _Packer(stream, store)
    packer.dump(thing)
    return bytes(cloudpickle.dumps((packer.files, stream.getvalue())))


def _unpacked(packed: bytes, store: Store) -> Any:
    files, thing = cloudpickle.loads(packed)
    for name, content in files.items():
        if not (store.folder / name).is_file():
            write_whole(store.folder / name, content)
    return _Unpacker(io.BytesIO(thing), store).load()


def _name(file: Path, store: Store) -> str:
    """Return what a file is called below a store; "" where it does not lie there."""
    return str(file.relative_to(store.folder)) if file.is_relative_to(store.folder) else ""
