"""What some weights are worth: choose blocks by them, fine-tune shortly, count what is right on held-out samples.

It is made of the measurements of a suite, on other data: what learns sees the training samples but the held-out ones,
and these stand where a suite has its test samples. So nothing here can look at an image that a suite is judged on.
Weights that choose the same blocks share one network: it is made, and paid for, once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from robustprune.criteria.consensus import Consensus
from robustprune.data import Data
from robustprune.data.base import holdout
from robustprune.errors import InputError
from robustprune.models import find_blocks, weights_hash
from robustprune.prune import choose, remove
from robustprune.run.attacked import Attacked, Result, chains, for_network
from robustprune.run.bench import Bench
from robustprune.run.choice import Scored, blocks_to_remove, scoring_sample
from robustprune.run.finetuned import FineTuned
from robustprune.run.network import Network
from robustprune.run.networks import parent_network
from robustprune.suite.cases import Case, Suite
from robustprune.suite.strategies import Strategy

Objective = Literal["clean", "robust"]
"""Clean accuracy, or accuracy under the attacks of a suite's first threat."""


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What weights gave: the share of held-out samples that is right, the mean over models, and the blocks that go."""

    value: float
    removed: tuple[tuple[str, ...], ...]
    """By model."""
    passes: int
    """Forwards and backwards of one sample that the attacks took; 0 for what was known before."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """One question: which weights for the consensus of these cases, measured on held-out training samples?"""

    bench: Bench
    cases: tuple[Case, ...]
    """One a model, each with a consensus and the recipe that a trial uses."""
    objective: Objective

    @property
    def consensus(self) -> Consensus:
        """Whose weights are looked for; all cases have the same voters."""
        return consensus_of(self.cases[0])

    @cached_property
    def starts(self) -> list[Network]:
        """The networks that are pruned."""
        return [parent_network(case.model, self.bench) for case in self.cases]

    @cached_property
    def votes(self) -> list[Mapping[str, Mapping[str, float]]]:
        """By model, criterion -> block -> score."""
        return [self._votes(case, start) for case, start in zip(self.cases, self.starts, strict=True)]

    def choice(self, weights: Mapping[str, float]) -> list[tuple[str, ...]]:
        """Return, by model, the blocks that a consensus with these weights gives up, in the order of the network."""
        by = dataclasses.replace(self.consensus, weights=dict(weights))
        return [
            self._choice(by, case, start, votes)
            for case, start, votes in zip(self.cases, self.starts, self.votes, strict=True)
        ]

    def worth(self, removed: Sequence[tuple[str, ...]]) -> Worth:
        """Return what it is worth to take these blocks out, by model."""
        results = [
            self._result(case, start, gone) for case, start, gone in zip(self.cases, self.starts, removed, strict=True)
        ]
        right = [result.worst if self.objective == "robust" else result.clean for result in results]
        shares = [sum(one) / len(one) for one in right]
        passes = sum(one.forwards + one.backwards for result in results for one in result.outcomes)
        return Worth(value=sum(shares) / len(shares), removed=tuple(removed), passes=passes)

    def _votes(self, case: Case, start: Network) -> Mapping[str, Mapping[str, float]]:
        strategy, bench = _strategy(case), self.bench
        wanted = Scored(
            network=[start.structure, start.behaviour, [], start.weights],
            against=None,
            criterion=self.consensus,
            sample=scoring_sample(bench.data.train, strategy, case.seed),
            seed=case.seed,
            protect_first=strategy.protect_first,
            unit=strategy.unit,
            device=str(bench.device),
            net=start.model,
            original=None,
        )
        scores = bench.obtain(wanted)
        return {voter.name: scores[voter.name] for voter in self.consensus.voters}

    def _choice(
        self, by: Consensus, case: Case, start: Network, votes: Mapping[str, Mapping[str, float]]
    ) -> tuple[str, ...]:
        strategy = _strategy(case)
        blocks = find_blocks(start.model, self.bench.example, strategy.unit)
        count = blocks_to_remove(strategy, blocks)
        gone = choose(by.combine(votes), blocks, count, strategy.keep_per_stage, strategy.protect_first)
        return tuple(block.name for block in blocks if block.name in gone)

    def _result(self, case: Case, start: Network, removed: tuple[str, ...]) -> Result:
        """Prune, fine-tune, and count on the held-out samples."""
        bench, strategy = self.bench, _strategy(case)
        wanted = FineTuned(
            start=start,
            removed=removed,
            before=weights_hash(remove(start.model, removed, bench.example)),
            recipe=case.recipe,
            seed=case.seed,
            data=bench.data.train,
            device=str(bench.device),
            file_before=None,
            unit=strategy.unit,
            store=bench.store,
        )
        weights, _ = bench.obtain(wanted)
        network = dataclasses.replace(start, weights=weights, removed=removed, file=bench.file_of(wanted))
        attacks = for_network(chains(bench.suite.attacks)[0], has_parent=False) if self.objective == "robust" else ()
        return bench.obtain(
            Attacked(
                network=network,
                parent=None,
                sample=bench.sample,
                attacks=attacks,
                device=str(bench.device),
                seed=bench.suite.seed,
                batch_size=bench.suite.attack_batch,
            )
        )


def consensus_of(case: Case) -> Consensus:
    """Return the criterion of a case that `consensus_cases` gave."""
    criterion = _strategy(case).criterion
    assert isinstance(criterion, Consensus)
    return criterion


def consensus_cases(suite: Suite, models: Sequence[str] = ()) -> tuple[Case, ...]:
    """Return the first one-shot case with a consensus of every model, or of those that are named.

    Raises InputError where a model has none, or where their consensus or what is removed differ.
    """
    found = {case.model.name: case for case in reversed(suite.cases) if _fits(case)}
    known = [name for name in dict.fromkeys(case.model.name for case in suite.cases) if name in found]
    missing = [name for name in models if name not in found]
    if missing or not known:
        raise InputError(
            f"suite {suite.name!r}: no one-shot case with a consensus for {', '.join(missing) or 'any model'}; "
            f"known: {', '.join(known) or 'none'}"
        )
    cases = tuple(found[name] for name in known if name in (models or known))
    for case in cases[1:]:
        if case.strategy != cases[0].strategy:
            raise InputError(
                f"suite {suite.name!r}: {cases[0].model.name} and {case.model.name} have another strategy with a "
                "consensus; expected one for all models, --model names those that share it"
            )
    return cases


def held_out_bench(bench: Bench, share: float, seed: int) -> Bench:
    """Return a bench on which a share of the training samples stands where the test samples stood.

    Of each class that share, drawn by `seed`; what is also among the test samples is left out of both.
    """
    if not 0 < share < 1:
        raise InputError(f"--held-out {share:g}: expected a share of the training samples, above 0 and below 1")
    known, train = {*bench.data.test.hashes()}, bench.data.train
    own = train.take([place for place, name in enumerate(train.hashes()) if name not in known])
    learned, held = holdout(own, share, seed)
    data = Data(
        name=bench.data.name,
        classes=bench.data.classes,
        train=learned,
        test=held,
        source=f"{bench.data.source}; of the training images {len(held)} held out",
    )
    return dataclasses.replace(bench, data=data, sample=held)


def _strategy(case: Case) -> Strategy:
    assert case.strategy is not None
    return case.strategy


def _fits(case: Case) -> bool:
    strategy = case.strategy
    one_shot = strategy is not None and strategy.step is None and strategy.schedule == "lowest"
    return one_shot and strategy is not None and isinstance(strategy.criterion, Consensus)
