"""Running cases: what is found is found, what is missing is measured by an executor, and costs at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from robustprune.results.records import CaseResult
from robustprune.run.attacked import for_network
from robustprune.run.bench import Bench, Listener, open_bench
from robustprune.run.case import Finished, Measured, measure_case, price, result_of
from robustprune.run.executors import Executor, choose
from robustprune.run.measurement import Tick
from robustprune.run.networks import check_strategies
from robustprune.run.reach import SAMPLES, Reached
from robustprune.run.store import NotMeasured, Store
from robustprune.suite.cases import PARENT, Case, Suite


@dataclass(frozen=True, kw_only=True)
class Job:
    """One case to measure, with what was measured of its parent."""

    case: Case
    parent: Measured | None

    @property
    def id(self) -> str:
        """The name of the case."""
        return self.case.id


@dataclass(frozen=True, kw_only=True)
class CaseWork:
    """The work on the cases of one suite. It travels as it is; each process opens a bench of its own."""

    suite: Suite
    store: Store
    device: str

    @cached_property
    def bench(self) -> Bench:
        """Data and device, opened when they are first needed."""
        return open_bench(self.suite, self.store, self.device)

    def __call__(self, job: Job, tick: Tick) -> Measured:
        """Measure one case."""
        return measure_case(job.case, job.parent, self.bench.telling(tick))

    def found(self, job: Job) -> Measured | None:
        """The case where all of it is in the store, else None."""
        try:
            return measure_case(job.case, job.parent, self.bench.finding())
        except NotMeasured:
            return None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the bench behind."""
        return {name: value for name, value in self.__dict__.items() if name != "bench"}


def run_suite(
    suite: Suite,
    store: Store,
    listener: Listener,
    *,
    device: str = "cpu",
    workers: int | None = None,
    first: Callable[[], object] = lambda: None,
    cases: Sequence[Case] | None = None,
) -> list[CaseResult]:
    """Measure what is missing of a suite and return every case, parents first; or some `cases`, with their parents.

    Finished measurements are found in `store`, so a second run measures nothing. `first`: see `measure_cases`.
    """
    work = CaseWork(suite=suite, store=store, device=device)

    def begin() -> None:
        check_strategies(work.bench)
        first()

    executor = choose(work.bench.device.type, workers)
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
    """Measure cases, parents before those that are compared with them, then what each costs.

    `known` are cases that were measured before, such as the parent of those to measure. `first` is called before the
    first measurement, if one is made at all.
    """
    done, begun = {measured.case.id: measured for measured in known}, False
    for generation in _generations(cases):
        jobs = [Job(case=case, parent=done[case.parent_case.id] if case.parent_case else None) for case in generation]
        found = {job.id: measured for job in jobs if (measured := work.found(job)) is not None}
        missing = [job for job in jobs if job.id not in found]
        if missing and not begun:
            first()
            begun = True
        made = executor.each(work, missing, listener)
        done |= found | {measured.case.id: measured for measured in made}
    return list(_priced([done[case.id] for case in cases], work.bench, listener))


def _generations(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Parents, then the others."""
    yield [case for case in cases if case.parent_case is None]
    yield [case for case in cases if case.parent_case is not None]


def _priced(measured: Sequence[Measured], bench: Bench, listener: Listener) -> Iterator[Finished]:
    """Costs are measured by this process alone, when nothing else runs."""
    for one in measured:
        here = bench.telling(partial(listener.stage, one.case.id))
        yield Finished(measured=one, result=result_of(one, price(one, here), here))
        listener.finished(one.case.id)


def _with_reach(finished: Sequence[Finished], bench: Bench, listener: Listener) -> Iterator[CaseResult]:
    """The results, a family's first parent with what each attack breaks on its own; a quick look goes without."""
    parents = [case for case in bench.suite.cases if case.kind == PARENT]
    chosen = {case.model.family: case.id for case in reversed(parents)}
    for one in finished:
        case, sample = one.measured.case, bench.sample
        if case.id not in chosen.values() or bench.suite.quick:
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
