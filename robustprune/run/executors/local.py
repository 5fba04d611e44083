"""Work done in this process, one piece after the other; and what every executor promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import torch

from robustprune.run.bench import Listener
from robustprune.run.measurement import Tick


class Item(Protocol):
    """A piece of work; `id` is what the listener calls it."""

    @property
    def id(self) -> str:
        """Its name, unique among the items."""
        ...


Job = TypeVar("Job", bound=Item)
Value = TypeVar("Value")
Work = Callable[[Job, Tick], Value]


class Executor(Protocol):
    """Does one work for many items, wherever it does it."""

    def each(self, work: Work[Job, Value], items: Sequence[Job], listener: Listener) -> list[Value]:
        """Return `work(item, tick)` for every item, in their order; the first error is raised.

        `listener` is told of every stage and of every item that is finished. Values do not depend on the executor.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Local:
    """This process. `threads` that torch computes on meanwhile; None: as many as it does now."""

    threads: int | None = 1

    def each(self, work: Work[Job, Value], items: Sequence[Job], listener: Listener) -> list[Value]:
        """See `Executor`."""
        values = []
        with on_threads(self.threads):
            for item in items:
                values.append(work(item, partial(listener.stage, item.id)))
                listener.finished(item.id)
        return values


@contextmanager
def on_threads(count: int | None) -> Iterator[None]:
    """Compute on `count` threads of the CPU inside; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
