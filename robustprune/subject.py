"""Making the network that a case is about: load or train the parent, prune it, fine-tune what is left.

Everything made here is kept in the store, so a network is trained once; its weights are read only when something has
still to be measured on it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from robustprune.criteria import Criterion, ScoringContext, cka
from robustprune.data import Data, Split, data_root
from robustprune.errors import InputError, MissingData
from robustprune.finetune import Recipe, finetune
from robustprune.models import (
    Block,
    evaluating,
    file_hash,
    find_blocks,
    load_weights,
    save_weights,
    weights_hash,
)
from robustprune.prune import choose, eligible, remove
from robustprune.store import Store, code_version
from robustprune.suite import Case, Model, Strategy, Suite

Tick = Callable[[str, int, int], None]
"""Called with the stage, what is done and what there is to do."""


class Listener(Protocol):
    """Told what runs: `stage` while a case is worked on, `finished` when it is done."""

    def stage(self, case: str, stage: str, done: int, total: int) -> None:
        """A case is at `stage`, `done` of `total` done."""

    def finished(self, case: str) -> None:
        """A case is measured."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What every case of one run shares."""

    suite: Suite
    data: Data
    store: Store
    device: torch.device
    surroundings: Mapping[str, Any]
    """Commit, versions, machine and data source, as results record them."""
    tick: Tick = lambda stage, done, total: None

    def example(self) -> Tensor:
        """One input, for shapes."""
        return self.data.test.x[:1].to(self.device)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network under test; `model` is built from disk the first time it is asked for.

    `weights` is the hash of its weights. With `factory` (the same weights in another architecture are another
    network) and `removed` it names the network.
    """

    weights: str
    factory: Callable[[], nn.Module]
    removed: tuple[str, ...] = ()
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    similarity: Mapping[str, float] = field(default_factory=dict)
    build: Callable[[], nn.Module]

    @property
    def identity(self) -> dict[str, Any]:
        """What measurements of this network are keyed by."""
        return {"weights": self.weights, "factory": self.factory, "removed": self.removed}

    @cached_property
    def model(self) -> nn.Module:
        """The network, on the run's device, in eval mode."""
        return self.build().eval()


def parent_subject(model: Model, bench: Bench) -> Subject:
    """Load the weights of an unpruned model, or train it from scratch once."""
    if model.weights is not None:
        kind, file = "loaded", locate(model, bench.suite)
        settings = {"factory": model.build, "file": file_hash(file), "code": code_version("models")}
    else:
        kind, file = "parents", None
        code = code_version("models", "data", "finetune")
        settings = {"model": model, "data": bench.data.train.hash, "code": code, "device": bench.device.type}

    def make(key: str) -> dict[str, Any]:
        if file is not None:
            return {"weights": weights_hash(load_weights(_initial(model), file))}
        net = _initial(model).to(bench.device)
        _train(net, model.recipe, model.seed, bench, f"train {model.name}", teacher=None)
        save_weights(net, bench.store.path("parents", key, ".safetensors"))
        return {"weights": weights_hash(net), "file": key}

    record = bench.store.once(kind, settings, make)
    place = file or bench.store.path("parents", record["file"], ".safetensors")

    def build() -> nn.Module:
        return load_weights(_initial(model), place).to(bench.device)

    return Subject(weights=record["weights"], factory=model.build, build=build)


def case_subject(case: Case, bench: Bench) -> Subject:
    """The network of a case: the parent itself, its fine-tuned control, a pruned net, or a finished artefact.

    Strategies that chose the same blocks share one fine-tuned network: it is trained, attacked and checked once.
    """
    start = parent_subject(case.model, bench)
    if case.strategy is None and case.recipe is None:
        return start
    choice = _choice(case, start, bench)
    settings = {
        "start": start.identity,
        "pruned": choice["weights"],
        "removed": choice["removed"],
        "recipe": case.recipe,
        "seed": case.seed,
        "data": bench.data.train.hash,
        "code": code_version("models", "data", "prune", "finetune", "subject"),
        "device": bench.device.type,
    }

    def make(key: str) -> dict[str, Any]:
        net = remove(start.model, choice["removed"], bench.example())
        if choice["file"]:
            load_weights(net, bench.store.path("chosen", choice["file"], ".safetensors"))
        _train(net, case.recipe, case.seed, bench, "fine-tune", teacher=start.model)
        save_weights(net, bench.store.path("pruned", key, ".safetensors"))
        similarity = layer_similarity(start.model, net, bench)
        return {"weights": weights_hash(net), "file": key, "similarity": similarity}

    record = bench.store.once("pruned", settings, make)

    def build() -> nn.Module:
        net = remove(start.model, choice["removed"], bench.example())
        return load_weights(net, bench.store.path("pruned", record["file"], ".safetensors")).to(bench.device)

    return Subject(
        weights=record["weights"],
        factory=case.model.build,
        removed=tuple(choice["removed"]),
        scores=choice["scores"],
        similarity=record["similarity"],
        build=build,
    )


def _choice(case: Case, start: Subject, bench: Bench) -> dict[str, Any]:
    """Which blocks a strategy removes, in the order of the network, and by which scores; kept in the store.

    `weights` is the hash of what is left before the last fine-tuning. Where the strategy fine-tunes between removals
    these weights are no longer the parent's, and `file` is the key of their file.
    """
    settings = {
        "start": start.identity,
        "strategy": case.strategy,
        "seed": case.seed,
        "data": bench.data.train.hash,
        "code": code_version("models", "data", "criteria", "consensus", "prune", "finetune", "subject"),
        "device": bench.device.type,
    }

    def make(key: str) -> dict[str, Any]:
        net, gone, scores = _pruned(case, start, bench)
        order = [name for name in _block_names(start.model, bench) if name in gone]
        trained = case.strategy is not None and case.strategy.step is not None
        if trained:
            save_weights(net, bench.store.path("chosen", key, ".safetensors"))
        return {"removed": order, "scores": scores, "weights": weights_hash(net), "file": key if trained else None}

    return bench.store.once("chosen", settings, make)


def locate(model: Model, suite: Suite) -> Path:
    """Find a model's weight file beside the suite file or in the data folder, and check its hash."""
    wanted = Path(str(model.weights))
    places = [folder / wanted for folder in (suite.file.parent if suite.file else Path(), data_root())]
    for place in places:
        if place.is_file():
            if model.sha256 is not None and file_hash(place) != model.sha256:
                raise InputError(f"{place}: sha256 is {file_hash(place)}, expected {model.sha256} ({model.name})")
            return place
    raise MissingData(f"weights of {model.name!r} not found: looked for {' and '.join(map(str, places))}")


def score(criterion: Criterion, ctx: ScoringContext) -> dict[str, dict[str, float]]:
    """Scores of one criterion, those of its voters beside it where it is a consensus."""
    voters = criterion.votes(ctx) if hasattr(criterion, "votes") else {}
    return {criterion.name: criterion(ctx), **voters}


def layer_similarity(parent: nn.Module, child: nn.Module, bench: Bench, n: int = 256) -> dict[str, float]:
    """Linear CKA (1 = the same representation) between the outputs of every block that stayed and the parent's.

    Outputs are averaged over space. Block names agree because removal keeps names.
    """
    x = bench.data.train.balanced(min(n, len(bench.data.train)), seed=0).x.to(bench.device)
    names = _block_names(child, bench)
    ours, theirs = (_block_outputs(net, names, x) for net in (child, parent))
    return {name: 1 - cka(ours[name].numpy(), theirs[name].numpy()) for name in names}


def _pruned(case: Case, start: Subject, bench: Bench) -> tuple[nn.Module, list[str], dict[str, dict[str, float]]]:
    """Remove blocks, all at once or a few at a time, each time by scores of the network as it then is."""
    net, gone, first = copy.deepcopy(start.model), list[str](), dict[str, dict[str, float]]()
    strategy = case.strategy
    if strategy is None:
        return net, gone, first
    total = _count(strategy, find_blocks(net, bench.example()))
    while len(gone) < total:
        bench.tick(f"score by {strategy.criterion.name}", len(gone), total)
        scores = _scores(net, case.model.build, strategy, case.seed, bench)
        names = choose(
            scores[strategy.criterion.name],
            find_blocks(net, bench.example()),
            min(strategy.step or total, total - len(gone)),
            keep_per_stage=strategy.keep_per_stage,
            protect_first=strategy.protect_first,
        )
        net, gone, first = remove(net, names, bench.example()), gone + names, first or scores
        if len(gone) < total:
            _train(net, strategy.between, case.seed, bench, "fine-tune between removals", teacher=start.model)
    return net, gone, first


def _scores(
    net: nn.Module, factory: Callable[[], nn.Module], strategy: Strategy, seed: int, bench: Bench
) -> dict[str, dict[str, float]]:
    """Scores are shared by all cases that look at the same network with the same eyes, whatever they remove."""
    settings = {
        "net": (weights_hash(net), factory),
        "criterion": strategy.criterion,
        "samples": (strategy.samples, seed, bench.data.train.hash),
        "protect": strategy.protect_first,
        "code": code_version("models", "criteria", "consensus"),
        "device": bench.device.type,
    }

    def make(key: str) -> dict[str, Any]:
        sample = scoring_sample(bench.data, strategy, seed)
        blocks = eligible(find_blocks(net, bench.example()), protect_first=strategy.protect_first)
        ctx = ScoringContext(
            model=net, blocks=blocks, x=sample.x.to(bench.device), y=sample.y.to(bench.device), seed=seed
        )
        return score(strategy.criterion, ctx)

    return bench.store.once("scores", settings, make)


def scoring_sample(data: Data, strategy: Strategy, seed: int) -> Split:
    """The class-balanced training images that a strategy looks at."""
    return data.train.balanced(min(strategy.samples, len(data.train)), seed=seed)


def _count(strategy: Strategy, blocks: list[Block]) -> int:
    """Blocks to remove: as stated, or the stated share of those that may go."""
    if isinstance(strategy.remove, int):
        return strategy.remove
    return max(1, round(strategy.remove * len(eligible(blocks, protect_first=strategy.protect_first))))


def _train(
    net: nn.Module, recipe: Recipe | None, seed: int, bench: Bench, stage: str, teacher: nn.Module | None
) -> None:
    if recipe is not None:
        finetune(net, bench.data.train, recipe, seed, teacher=teacher, tick=partial(bench.tick, stage))
    net.eval()


def _initial(model: Model) -> nn.Module:
    """Build with seeded initial weights, without touching the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.seed)
        return model.build()


def _block_names(net: nn.Module, bench: Bench) -> list[str]:
    return [block.name for block in find_blocks(net, bench.example())]


def _block_outputs(net: nn.Module, names: list[str], x: Tensor) -> dict[str, Tensor]:
    """Outputs of the named modules, (n, channels) in float64: averaged over pixels (NCHW) or over tokens (NTC)."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            pooled = output.mean((2, 3)) if output.ndim == 4 else output.mean(1) if output.ndim == 3 else output
            kept[name] = pooled.detach().cpu().double()

        return hook

    handles = [net.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        with evaluating(net), torch.no_grad():
            net(x)
    finally:
        for handle in handles:
            handle.remove()
    return kept


def listening(bench: Bench, case: Case, listener: Listener) -> Bench:
    """The same bench, telling `listener` about the work on `case`."""
    return dataclasses.replace(bench, tick=lambda *what: listener.stage(case.id, *what))
