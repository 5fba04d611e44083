"""Work done in this process, one piece after the other; and what every executor promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from robustprune.run.bench import Listener
from robustprune.run.measurement import Tick
from robustprune.run.store import Store


class Item(Protocol):
    """A piece of work: `id` is its name, unique among the items, `needs` names those whose values it gets."""

    @property
    def id(self) -> str:
        """What the listener calls it."""
        ...

    @property
    def needs(self) -> Sequence[str]:
        """The items, or what was known before, that have to be done first."""
        ...


class Work(Protocol):
    """What is done for every item. It travels as an object; what it keeps in `store` is there for the next run."""

    @property
    def store(self) -> Store:
        """Where it finds, and keeps, what it measures."""
        ...

    def __call__(self, item: Any, needed: Sequence[Any], tick: Tick) -> Any:
        """Return the value of an item, given the values of what it needs, in that order."""
        ...

    def carried(self, store: Store) -> Work:
        """Return the same work for a machine that has no file of this one, with a store there."""
        ...


class Executor(Protocol):
    """Does one work for many items that need each other, wherever it does it."""

    def each(
        self, work: Work, items: Sequence[Any], listener: Listener, known: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the value of every item by its name; the first error is raised.

        An item stands behind those that it needs, which may also be `known`: values of what was done before. The
        listener is told of every stage and of every item that is finished. Values do not depend on the executor.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Local:
    """This process. `threads` that torch computes on meanwhile; None: as many as it does now."""

    threads: int | None = 1

    def each(
        self, work: Work, items: Sequence[Any], listener: Listener, known: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """See `Executor`."""
        values = dict(known or {})
        with on_threads(self.threads):
            for item in items:
                needed = [values[name] for name in item.needs]
                values[item.id] = work(item, needed, partial(listener.stage, item.id))
                listener.finished(item.id)
        return {item.id: values[item.id] for item in items}


@contextmanager
def on_threads(count: int | None) -> Iterator[None]:
    """Compute on `count` threads of the CPU inside; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
