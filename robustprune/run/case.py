"""What is measured of one case: its network, the attacks on it, the evidence, its cost. Values are handed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from robustprune.data import Split
from robustprune.data.next_tokens import NextTokens
from robustprune.evidence import trust
from robustprune.results.costs import Cost
from robustprune.results.exchanged import in_words
from robustprune.results.records import CaseResult, Check, Outcomes
from robustprune.results.surprise import noted
from robustprune.results.words import BLOCKS
from robustprune.run.attacked import Attacked, Attacks, Result, for_network
from robustprune.run.bench import Bench
from robustprune.run.choice import scoring_sample
from robustprune.run.examined import Examined
from robustprune.run.network import Network
from robustprune.run.networks import blocks_of, case_network, parent_network
from robustprune.run.priced import Priced
from robustprune.run.queries import with_queries
from robustprune.run.shipping import Shipped
from robustprune.run.surprised import Surprised
from robustprune.suite.cases import Case


@dataclass(frozen=True, kw_only=True)
class Made:
    """The network of a case, and the removable blocks of its parent, in order of depth."""

    network: Network
    blocks: list[str]


@dataclass(frozen=True, kw_only=True)
class Resisted:
    """What the attacks of one threat model gave, the key of that measurement, and the evidence for it."""

    key: str
    result: Result
    checks: list[Check]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All of a case but its cost; it can be sent to another process."""

    case: Case
    parent: Measured | None
    """The case that it is compared with; None for a parent itself."""
    made: Made
    resisted: Mapping[str, Resisted]
    """By threat model."""

    @property
    def network(self) -> Network:
        """The network that it is about."""
        return self.made.network

    @property
    def clean(self) -> list[bool]:
        """Per sample, whether the network is right."""
        return next(one.result.clean for one in self.resisted.values())

    @property
    def outcomes(self) -> list[Outcomes]:
        """What happened to every sample under every attack."""
        return [outcome for one in self.resisted.values() for outcome in one.result.outcomes]

    @property
    def checks(self) -> list[Check]:
        """The evidence on every threat model."""
        return [check for one in self.resisted.values() for check in one.checks]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A case with its cost: what was measured, and the result that is written down."""

    measured: Measured
    result: CaseResult

    @property
    def network(self) -> Network:
        """The network that it is about."""
        return self.measured.network


def make_network(case: Case, parent: Made | None, bench: Bench) -> Made:
    """Make the network of a case, from that of its parent where it has one."""
    start = parent.network if parent is not None and case.parent is None else parent_network(case.model, bench)
    network = case_network(case, start, bench)
    unit = case.strategy.unit if case.strategy is not None else "outermost"
    blocks = parent.blocks if parent is not None and unit == "outermost" else blocks_of(start, bench, unit)
    return Made(network=network, blocks=blocks)


def attack_on(network: Network, parent: Network | None, attacks: Attacks, bench: Bench) -> Attacked:
    """The attacks of one threat model on a network, as a measurement."""
    mine = for_network(attacks, has_parent=parent is not None)
    if isinstance(network, Shipped):
        mine = with_queries(mine, bench.suite.tier, gradients=True)
    transferred = any(attack.needs_parent for attack in mine)
    return Attacked(
        network=network,
        parent=parent if transferred else None,
        sample=bench.sample,
        attacks=mine,
        device=str(bench.device),
        seed=bench.suite.seed,
        batch_size=bench.suite.attack_batch,
    )


def examine(
    case: Case, attacked: Attacked, result: Result, parent: tuple[Network, Resisted] | None, bench: Bench
) -> Resisted:
    """Gather the evidence on what the attacks of one threat model gave; without attacks there is none."""
    if not attacked.attacks:
        return Resisted(key=attacked.key, result=result, checks=[])
    network, against = parent or (None, None)
    runs = {(other.model.name, other.seed) for other in bench.suite.cases if other.subject == case.subject}
    wanted = Examined(
        attacked=attacked,
        against=None if against is None else against.key,
        parent=network,
        tier=bench.suite.tier,
        margin=bench.suite.policy.max_robust_drop,
        runs=len(runs) if case.strategy is not None else None,
        pooled=len(runs),
        used=_used(case, bench),
        result=result,
        parent_result=None if against is None else against.result,
        classes=bench.data.classes,
        surroundings=bench.surroundings,
    )
    return Resisted(key=attacked.key, result=result, checks=bench.obtain(wanted))


def price(measured: Measured, bench: Bench) -> Cost:
    """What the network of a case costs, timed in turn with its parent's where the two differ in shape."""
    network = measured.network
    parent = measured.parent.network if measured.parent is not None else network
    return bench.obtain(
        Priced(
            shape=network.shape,
            beside=parent.shape if parent.shape != network.shape else None,
            input=tuple(bench.example.shape),
            batches=tuple(bench.suite.batches),
            seconds=bench.suite.timing_seconds,
            threads=bench.suite.timing_threads or torch.get_num_threads(),
            device=f"{bench.device} ({bench.surroundings['device_name']})",
            processor=str(bench.surroundings["processor"]),
            network=network,
            parent=parent,
        )
    )


def result_of(measured: Measured, cost: Cost, bench: Bench) -> CaseResult:
    """Write down everything measured about one case."""
    case, network = measured.case, measured.network
    return CaseResult(
        suite=bench.suite.name,
        case=case.id,
        model=case.model.name,
        family=case.model.family,
        strategy=case.kind,
        recipe=case.recipe.name if case.recipe else "",
        seed=case.seed,
        parent=measured.parent.case.id if measured.parent is not None else None,
        blocks=measured.made.blocks,
        units=case.strategy.units if case.strategy is not None else BLOCKS,
        removed=list(network.removed),
        scores={name: dict(scores) for name, scores in network.scores.items()},
        combines=case.strategy is not None and hasattr(case.strategy.criterion, "votes"),
        twin=None if case.twin is None else case.twin.id,
        similarity=dict(network.similarity),
        cost=cost,
        classes=list(bench.data.classes),
        labels=bench.sample.y.tolist(),
        clean=measured.clean,
        outcomes=_outcomes(measured, bench),
        checks=measured.checks,
        trust=trust(measured.checks),
        sample_hash=bench.sample.hash,
        weights_hash=network.weights,
        environment=dict(bench.surroundings),
    )


def _outcomes(measured: Measured, bench: Bench) -> list[Outcomes]:
    """The outcomes with words for token numbers; of a language model with how surprised it was by each sample."""
    outcomes = [in_words(one, _written(bench), bench.data.classes) for one in measured.outcomes]
    if not outcomes or not isinstance(bench.data, NextTokens):
        return outcomes
    wanted = Surprised(network=measured.network, sample=bench.sample, device=str(bench.device))
    surprise = bench.obtain(wanted)
    return noted(outcomes, surprise)


def _written(bench: Bench) -> Callable[[Sequence[int]], str] | None:
    """What turns token numbers into words; None where the data are no texts."""
    text = bench.data.text
    return None if text is None else lambda ids: text(torch.tensor(ids))


def _used(case: Case, bench: Bench) -> dict[str, Split]:
    """The images that a case learned from, by use; the evaluation must share none of them."""
    used = {}
    if case.strategy is not None:
        used["scoring"] = scoring_sample(bench.data.train, case.strategy, case.seed)
    if case.recipe is not None or case.model.recipe is not None:
        used["training"] = bench.data.train
    return used
