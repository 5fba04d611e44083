"""Which blocks a strategy takes out, and by which scores."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from robustprune.criteria import Criterion, ScoringContext
from robustprune.data import Split
from robustprune.errors import InputError
from robustprune.finetune import Recipe, next_to
from robustprune.models import Block, UnitSize, find_blocks, save_weights, weights_hash
from robustprune.prune import check_count, choose, choose_run, count_to_remove, eligible, remove
from robustprune.run.checkpoint import Checkpoint
from robustprune.run.measurement import ASIDE, WEIGHTS, Measurement, Tick
from robustprune.run.network import Network
from robustprune.run.original import AgainstOriginal
from robustprune.run.store import Store
from robustprune.run.training import telling, train

if TYPE_CHECKING:
    from robustprune.suite.cases import Case
    from robustprune.suite.strategies import Strategy

Scores = Mapping[str, Mapping[str, float]]
"""Criterion -> block -> score; higher = keep."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The blocks that go, in the order of the network, the first scores, and the hash of what is left untrained.

    `file` holds these weights where they are no longer the parent's, because the strategy fine-tunes in between.
    """

    removed: tuple[str, ...]
    scores: Scores
    weights: str
    file: Path | None


@dataclass(frozen=True, kw_only=True)
class Scored(Measurement[Scores]):
    """Scores of the blocks of one network, shared by all strategies that look at it with the same eyes."""

    kind: ClassVar[str] = "scores"
    network: list[Any]
    """What the network is (`Network.content_key`)."""
    against: list[Any] | None
    """What the network is that its features are compared with; None: it itself."""
    criterion: Criterion
    sample: Split
    seed: int
    protect_first: bool
    unit: UnitSize
    device: str
    net: nn.Module = field(metadata=ASIDE)
    original: nn.Module | None = field(metadata=ASIDE)

    def make(self, place: Path, tick: Tick) -> Scores:
        """Score."""
        place_of = torch.device(self.device)
        x, y = self.sample.x.to(place_of), self.sample.y.to(place_of)
        blocks = eligible(find_blocks(self.net, x[:1], self.unit), protect_first=self.protect_first)
        ctx = ScoringContext(model=self.net, blocks=blocks, x=x, y=y, seed=self.seed)
        if self.original is not None:
            ctx = AgainstOriginal(model=self.net, blocks=blocks, x=x, y=y, seed=self.seed, original=self.original)
        return score(self.criterion, ctx)

    def write(self, value: Scores) -> Mapping[str, Any]:
        """As they are."""
        return {"scores": value}

    def read(self, record: Mapping[str, Any], place: Path) -> Scores:
        """As they are."""
        scores: Scores = record["scores"]
        return scores


@dataclass(frozen=True, kw_only=True)
class Chosen(Measurement[Choice]):
    """What a strategy does to a network, before the last fine-tuning."""

    kind: ClassVar[str] = "chosen"
    start: Network
    strategy: Strategy | None
    seed: int
    data: Split
    device: str
    score: Callable[[Scored], Scores] = field(metadata=ASIDE)
    """Finds scores, or makes them."""
    store: Store = field(metadata=ASIDE)

    def make(self, place: Path, tick: Tick) -> Choice:
        """Remove blocks, all at once or a few at a time, each time by scores of the network as it then is.

        Trainings in between are kept until all are done: one that was killed finds those before it, and their scores.
        """
        net, gone, first = copy.deepcopy(self.start.model), list[str](), dict[str, Mapping[str, float]]()
        strategy, keepers = self.strategy, list[Checkpoint]()
        unit: UnitSize = "outermost" if strategy is None else strategy.unit
        whole = find_blocks(net, self.start.example, unit)
        total = 0 if strategy is None else blocks_to_remove(strategy, whole)
        while strategy is not None and len(gone) < total:
            tick(f"score by {strategy.criterion.name}", len(gone), total)
            once = strategy.scored == "once" and gone
            scores = first if once else self.score(self._scored(net, gone, strategy))
            names = _lowest(scores, find_blocks(net, self.start.example, unit), strategy, total - len(gone))
            net, gone, first = remove(net, names, self.start.example), gone + names, first or dict(scores)
            if len(gone) < total and len(gone) % (strategy.step or total) == 0:
                keepers.append(Checkpoint(store=self.store, place=place, tick=tick, number=len(gone)))
                self._tune(net, strategy.between, gone, tick, keepers[-1])
        order = [block.name for block in whole if block.name in gone]
        file = place.with_suffix(WEIGHTS) if strategy is not None and strategy.step is not None else None
        if file is not None:
            save_weights(net, file)
        for keeper in keepers:
            keeper.remove()
        return Choice(removed=tuple(order), scores=first, weights=weights_hash(net), file=file)

    def _tune(self, net: nn.Module, recipe: Recipe | None, gone: list[str], tick: Tick, keeper: Checkpoint) -> None:
        """Fine-tune between removals, where the strategy has a recipe for that."""
        parent, told = self.start.model, telling(tick, "fine-tune between removals", self.data)
        train(net, recipe, self.seed, self.data, told, teacher=parent, near=next_to(parent, gone), keeper=keeper)

    def write(self, value: Choice) -> Mapping[str, Any]:
        """All but the place of the file."""
        record = {"removed": list(value.removed), "scores": value.scores, "weights": value.weights}
        return {**record, "trained": value.file is not None}

    def read(self, record: Mapping[str, Any], place: Path) -> Choice:
        """With the place of the file."""
        return Choice(
            removed=tuple(record["removed"]),
            scores=record["scores"],
            weights=record["weights"],
            file=place.with_suffix(WEIGHTS) if record["trained"] else None,
        )

    def _scored(self, net: nn.Module, gone: list[str], strategy: Strategy) -> Scored:
        original = strategy.scored == "original" and bool(gone)
        return Scored(
            network=[self.start.structure, self.start.behaviour, gone, weights_hash(net)],
            against=self.start.content_key if original else None,
            criterion=strategy.criterion,
            sample=scoring_sample(self.data, strategy, self.seed),
            seed=self.seed,
            protect_first=strategy.protect_first,
            unit=strategy.unit,
            device=self.device,
            net=net,
            original=self.start.model if original else None,
        )


def _lowest(scores: Scores, blocks: list[Block], strategy: Strategy, left: int) -> list[str]:
    """The blocks that go next, of those that are `left` to remove."""
    at_once = 1 if strategy.schedule == "greedy" else strategy.step or left
    return (choose_run if strategy.schedule == "contiguous" else choose)(
        scores[strategy.criterion.name],
        blocks,
        min(at_once, left),
        keep_per_stage=strategy.keep_per_stage,
        protect_first=strategy.protect_first,
    )


def score(criterion: Criterion, ctx: ScoringContext) -> Scores:
    """Scores of one criterion, those of its voters beside it where it is a consensus."""
    voters = criterion.votes(ctx) if hasattr(criterion, "votes") else {}
    return {criterion.name: criterion(ctx), **voters}


def scoring_sample(train_data: Split, strategy: Strategy, seed: int) -> Split:
    """The class-balanced training images that a strategy looks at."""
    return train_data.balanced(min(strategy.samples, len(train_data)), seed=seed)


def check_removals(cases: Sequence[Case], found: Callable[[UnitSize], list[Block]]) -> None:
    """Refuse a case that wants more blocks of a network to go than can: before anything is trained for it.

    `found` gives the blocks of the network, for a unit.
    """
    known: dict[UnitSize, list[Block]] = {}
    for case in cases:
        if case.strategy is not None:
            strategy = case.strategy
            if strategy.unit not in known:
                known[strategy.unit] = found(strategy.unit)
            blocks = known[strategy.unit]
            count = blocks_to_remove(strategy, blocks)
            try:
                check_count(count, blocks, strategy.keep_per_stage, strategy.protect_first)
            except InputError as error:
                raise InputError(f"{case.id}: {error}") from None


def blocks_to_remove(strategy: Strategy, blocks: list[Block]) -> int:
    """Blocks to remove: as stated, or the stated share of those that may go."""
    return count_to_remove(strategy.remove, blocks, strategy.protect_first)
