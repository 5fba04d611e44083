"""A suite as a graph of small tasks: the network of a case, chunks of the attacks on it, the evidence.

A task names those that it needs and is handed their values. So a pruned network waits for its parent's, the attacks
for the network, and the evidence for the attacks on both; whatever else is ready runs meanwhile.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robustprune.attacks.engine.settings import BATCH
from robustprune.run.attacked import Attacked, Result, chains, for_network
from robustprune.run.bench import Bench
from robustprune.run.case import Made, Measured, Resisted, attack_on, examine, make_network
from robustprune.run.chunks import chunk, chunks, joined
from robustprune.suite.cases import Case, Suite


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A piece of the work on one case."""

    case: Case

    @property
    @abstractmethod
    def id(self) -> str:
        """Its name, unique in the suite."""

    @property
    @abstractmethod
    def needs(self) -> tuple[str, ...]:
        """The tasks whose values it gets."""

    @property
    def light(self) -> bool:
        """Whether it costs so little that who looks for its value makes it: a network that lies in a file."""
        return False

    @abstractmethod
    def do(self, needed: Sequence[Any], bench: Bench) -> Any:
        """Return its value: found in the store, or measured."""


@dataclass(frozen=True, kw_only=True)
class MakeNetwork(Task):
    """Makes the network."""

    @property
    def id(self) -> str:
        """See `Task`."""
        return network_of(self.case)

    @property
    def needs(self) -> tuple[str, ...]:
        """The parent's network, where there is a parent."""
        return tuple(map(network_of, parents(self.case)))

    @property
    def light(self) -> bool:
        """See `Task`."""
        made = self.case.strategy is not None or self.case.recipe is not None or self.case.ships is not None
        return self.case.model.weights is not None and not made

    def do(self, needed: Sequence[Any], bench: Bench) -> Made:
        """See `Task`."""
        return make_network(self.case, needed[0] if needed else None, bench)


@dataclass(frozen=True, kw_only=True)
class AttackChunk(Task):
    """Makes the attacks of one threat model on one chunk of the samples."""

    threat: str
    number: int
    count: int

    @property
    def id(self) -> str:
        """See `Task`."""
        return f"{self.case.id}: attack {self.threat}, {self.number + 1} of {self.count}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Its network, and the parent's, which attacks may be transferred from."""
        return tuple(map(network_of, [self.case, *parents(self.case)]))

    def do(self, needed: Sequence[Any], bench: Bench) -> Result:
        """See `Task`."""
        return bench.obtain(chunk(whole(self.threat, needed, bench), self.number, self.count))


@dataclass(frozen=True, kw_only=True)
class GatherEvidence(Task):
    """Joins the chunks of one threat model and gathers the evidence."""

    threat: str
    attacks: tuple[AttackChunk, ...]

    @property
    def id(self) -> str:
        """See `Task`."""
        return resisted_by(self.case, self.threat)

    @property
    def needs(self) -> tuple[str, ...]:
        """The networks, what the parent resisted, and the chunks."""
        others = parents(self.case)
        networks = map(network_of, [self.case, *others])
        return (*networks, *(resisted_by(one, self.threat) for one in others), *(one.id for one in self.attacks))

    def do(self, needed: Sequence[Any], bench: Bench) -> Resisted:
        """See `Task`."""
        values, parts = needed[: -len(self.attacks)], needed[-len(self.attacks) :]
        parent = (values[1].network, values[2]) if len(values) > 1 else None
        return examine(self.case, whole(self.threat, values[:2], bench), joined(parts), parent, bench)


def tasks(cases: Sequence[Case], suite: Suite, samples: int) -> Iterator[Task]:
    """Give the tasks of the cases, parents first, where `samples` are attacked."""
    for case in sorted(cases, key=lambda one: one.parent_case is not None):
        yield MakeNetwork(case=case)
        for chain in chains(suite.attacks):
            threat = chain[0].threat
            count = chunks(samples, for_network(chain, bool(parents(case))), suite.attack_batch or BATCH)
            parts = tuple(AttackChunk(case=case, threat=threat, number=part, count=count) for part in range(count))
            yield from (*parts, GatherEvidence(case=case, threat=threat, attacks=parts))


def measured(case: Case, values: Mapping[str, Any], suite: Suite) -> Measured:
    """Put the values of a case's tasks together, and those of its parent's."""
    return Measured(
        case=case,
        parent=next((measured(one, values, suite) for one in parents(case)), None),
        made=values[network_of(case)],
        resisted={chain[0].threat: values[resisted_by(case, chain[0].threat)] for chain in chains(suite.attacks)},
    )


def values_of(one: Measured) -> dict[str, Any]:
    """Return what the tasks of a measured case gave, as far as others need it."""
    return {
        network_of(one.case): one.made,
        **{resisted_by(one.case, threat): value for threat, value in one.resisted.items()},
    }


def whole(threat: str, made: Sequence[Made], bench: Bench) -> Attacked:
    """Return the attacks of one threat model on all samples; `made` are the network and its parent's, if any."""
    attacks = next(chain for chain in chains(bench.suite.attacks) if chain[0].threat == threat)
    return attack_on(made[0].network, made[1].network if len(made) > 1 else None, attacks, bench)


def network_of(case: Case) -> str:
    """Name the task that makes the network of a case."""
    return f"{case.id}: network"


def resisted_by(case: Case, threat: str) -> str:
    """Name the task that says what a case resisted."""
    return f"{case.id}: {threat}"


def parents(case: Case) -> list[Case]:
    """Return the case that this one is compared with; none for a parent."""
    return [] if case.parent_case is None else [case.parent_case]
