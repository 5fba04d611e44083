"""Running cases: what is found is found, what is missing is measured by an executor, and costs at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from robustprune.data import Data
from robustprune.machine import pick_device
from robustprune.models.lending import is_text
from robustprune.results.records import CaseResult
from robustprune.run.attacked import for_network
from robustprune.run.bench import Bench, Listener, open_bench
from robustprune.run.case import Finished, Measured, price, result_of
from robustprune.run.executors import Executor, choose
from robustprune.run.measurement import SAID, Tick
from robustprune.run.networks import check_strategies
from robustprune.run.reach import SAMPLES, Reached
from robustprune.run.shipping import check_makers
from robustprune.run.store import NotMeasured, Store
from robustprune.run.tasks import Task, measured, parents, tasks, values_of
from robustprune.suite.cases import PARENT, Case, Suite


@dataclass(frozen=True, kw_only=True)
class CaseWork:
    """The work on the cases of one suite. It travels as it is; each process opens a bench of its own."""

    suite: Suite
    store: Store
    device: str
    opened: Bench | None = None
    """What another machine has opened; None: this one opens it."""

    @cached_property
    def bench(self) -> Bench:
        """Data and device, opened when they are first needed."""
        if self.opened is None:
            return open_bench(self.suite, self.store, self.device)
        return replace(self.opened, store=self.store, device=pick_device(self.device))

    def carried(self, store: Store) -> CaseWork:
        """Return the same work with its data, for a machine that has no file of this one, with a store there."""
        suite = replace(self.suite, data=partial(_given, self.bench.data))
        return replace(self, suite=suite, store=store, opened=replace(self.bench, suite=suite, store=store))

    def __call__(self, item: Task, needed: Sequence[Any], tick: Tick) -> Any:
        """Do one task."""
        return item.do(needed, self.bench.telling(tick))

    def found(self, cases: Sequence[Case], known: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of those tasks that need no measuring, beside those that are known."""
        values, finding = dict(known), self.bench.finding()
        for task in self.tasks(cases):
            if task.id not in values and values.keys() >= {*task.needs}:
                bench = self.bench if task.light else finding
                try:
                    values[task.id] = task.do([values[name] for name in task.needs], bench)
                except NotMeasured:
                    continue
        return values

    def tasks(self, cases: Sequence[Case]) -> list[Task]:
        """Return the tasks of some cases."""
        return [*tasks(cases, self.suite, len(self.bench.sample))]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the bench behind."""
        return {name: value for name, value in self.__dict__.items() if name != "bench"}


def _given(data: Data) -> Data:
    return data


def run_suite(
    suite: Suite,
    store: Store,
    listener: Listener,
    *,
    device: str = "cpu",
    workers: int | None = None,
    executor: Executor | None = None,
    first: Callable[[], object] = lambda: None,
    cases: Sequence[Case] | None = None,
) -> list[CaseResult]:
    """Measure what is missing of a suite and return every case, parents first; or some `cases`, with their parents.

    Finished measurements are found in `store`, so a second run measures nothing. Without an `executor`, `workers`
    processes of this machine do it. `first`: see `measure_cases`.
    """
    work = CaseWork(suite=suite, store=store, device=device)

    def begin() -> None:
        check_strategies(work.bench)
        check_makers(suite.cases)
        first()

    executor = executor or choose(str(work.bench.device), workers)
    return results_of(suite.cases if cases is None else cases, work, executor, listener, first=begin)


def results_of(
    cases: Sequence[Case],
    work: CaseWork,
    executor: Executor,
    listener: Listener,
    first: Callable[[], object] = lambda: None,
) -> list[CaseResult]:
    """Return the results of some cases of a suite, among which are their parents; `first`: see `measure_cases`."""
    finished = measure_cases(cases, work, executor, listener, first=first)
    return [*_with_reach(finished, work.bench, listener)]


def measure_cases(
    cases: Sequence[Case],
    work: CaseWork,
    executor: Executor,
    listener: Listener,
    known: Sequence[Measured] = (),
    first: Callable[[], object] = lambda: None,
) -> list[Finished]:
    """Measure cases, then what each costs; a case that is compared with another is handed what that gave.

    `known` are cases that were measured before, such as the parent of those to measure. `first` is called before the
    first measurement, if one is made at all.
    """
    done = work.found(cases, {name: value for one in known for name, value in values_of(one).items()})
    missing = [task for task in work.tasks(cases) if task.id not in done]
    if missing:
        first()
        done |= executor.each(work, missing, ByCase(missing, listener), done)
    return list(_priced([measured(case, done, work.suite) for case in cases], work.bench, listener))


def recall(case: Case, work: CaseWork) -> Measured | None:
    """Return a case where all of it, and of its parent, is in the store, else None."""
    done = work.found([*parents(case), case], {})
    whole = all(task.id in done for task in work.tasks([*parents(case), case]))
    return measured(case, done, work.suite) if whole else None


class ByCase:
    """Tells of tasks as stages of their cases; a case is finished with its last task.

    Chunks of one attack are one stage: what is done of them adds up.
    """

    def __init__(self, missing: Sequence[Task], listener: Listener) -> None:
        self.listener = listener
        self.case = {task.id: task.case.id for task in missing}
        self.open = Counter(self.case.values())
        self.told: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}

    def stage(self, case: str, stage: str, done: int, total: int) -> None:
        """See `Listener`; `case` is the name of a task."""
        name = self.case[case]
        if total == SAID:
            self.listener.stage(name, stage, done, total)
            return
        parts = self.told.setdefault((name, stage), {})
        parts[case] = done, total
        self.listener.stage(name, stage, *map(sum, zip(*parts.values(), strict=True)))

    def finished(self, case: str) -> None:
        """See `Listener`; `case` is the name of a task."""
        name = self.case[case]
        self.open[name] -= 1
        if not self.open[name]:
            self.listener.finished(name)


def _priced(cases: Sequence[Measured], bench: Bench, listener: Listener) -> Iterator[Finished]:
    """Costs are measured by this process alone, when nothing else runs."""
    for one in cases:
        here = bench.telling(partial(listener.stage, one.case.id))
        yield Finished(measured=one, result=result_of(one, price(one, here), here))
        listener.finished(one.case.id)


def _with_reach(finished: Sequence[Finished], bench: Bench, listener: Listener) -> Iterator[CaseResult]:
    """The results, a family's first parent with what each attack breaks alone; quick looks and texts go without."""
    parents = [case for case in bench.suite.cases if case.kind == PARENT]
    chosen = {case.model.family: case.id for case in reversed(parents)}
    for one in finished:
        case, sample = one.measured.case, bench.sample
        if case.id not in chosen.values() or bench.suite.quick or is_text(sample.x):
            yield one.result
            continue
        wanted = Reached(
            network=one.network,
            sample=sample if len(sample) <= SAMPLES else sample.balanced(SAMPLES, seed=0),
            attacks=for_network(tuple(bench.suite.attacks), has_parent=False),
            device=str(bench.device),
            seed=bench.suite.seed,
            batch_size=bench.suite.attack_batch,
        )
        yield replace(one.result, reach=bench.telling(partial(listener.stage, case.id)).obtain(wanted))
        listener.finished(case.id)
