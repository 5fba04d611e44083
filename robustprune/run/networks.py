"""Making the network that a case is about: load or train the parent, prune it, fine-tune what is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from robustprune.data import data_root
from robustprune.errors import InputError, MissingData
from robustprune.models import Named, UnitSize, file_hash, find_blocks, load_weights, weights_hash
from robustprune.run.behaviour import answers, probe, route
from robustprune.run.bench import Bench
from robustprune.run.choice import Choice, Chosen, check_removals
from robustprune.run.finetuned import Blocks, FineTuned
from robustprune.run.fits import one_line
from robustprune.run.keys import digest
from robustprune.run.network import Network
from robustprune.run.shipping import shipped
from robustprune.run.training import Loaded, Trained, seeded
from robustprune.suite.cases import Case, Model, Suite


def parent_network(model: Model, bench: Bench) -> Network:
    """Load the weights of an unpruned model, or train it from scratch once."""
    factory = partial(seeded, builder(model, bench.suite), model.seed, model.name, bench.example)
    net, images = factory(), probe(bench.data)
    with one_line(f"model {model.name!r} does not run"):
        structure = digest([net, route(net, images)])
        initial = f"{weights_hash(net)} {answers(net, images)}"
    if model.weights is not None:
        file = locate(model, bench.suite)
        hashed = file_hash(file)
        weights = bench.obtain(Loaded(structure=structure, initial=initial, file_hash=hashed, net=net, file=file))
    else:
        assert model.recipe is not None
        wanted = Trained(
            structure=structure,
            initial=initial,
            recipe=model.recipe,
            seed=model.seed,
            data=bench.data.train,
            device=str(bench.device),
            net=net,
            name=model.name,
            store=bench.store,
        )
        weights, file = bench.obtain(wanted), bench.file_of(wanted)
    behaviour = answers(load_weights(net.cpu(), file), images)
    return Network(
        structure=structure,
        behaviour=behaviour,
        weights=weights,
        factory=factory,
        file=file,
        example=bench.example,
    )


def case_network(case: Case, start: Network, bench: Bench) -> Network:
    """The network of a case that begins with `start`: itself, its fine-tuned control, or a pruned net."""
    if case.ships is not None:
        return shipped(case_network(replace(case, ships=None), start, bench), case.ships, bench)
    if case.strategy is None and case.recipe is None:
        return start
    choice = chosen(case, start, bench)
    wanted = FineTuned(
        start=start,
        removed=choice.removed,
        before=choice.weights,
        recipe=case.recipe,
        seed=case.seed,
        data=bench.data.train,
        device=str(bench.device),
        file_before=choice.file,
        store=bench.store,
        unit=case.strategy.unit if case.strategy is not None else "outermost",
    )
    weights, similarity = bench.obtain(wanted)
    return Network(
        structure=start.structure,
        behaviour=start.behaviour,
        weights=weights,
        removed=choice.removed,
        scores=choice.scores,
        similarity=similarity,
        factory=start.factory,
        file=bench.file_of(wanted),
        example=bench.example,
    )


def chosen(case: Case, start: Network, bench: Bench) -> Choice:
    """What the strategy of a case does to `start`."""
    return bench.obtain(
        Chosen(
            start=start,
            strategy=case.strategy,
            seed=case.seed,
            data=bench.data.train,
            device=str(bench.device),
            score=bench.obtain,
            store=bench.store,
        )
    )


def check_strategies(bench: Bench) -> None:
    """Refuse a strategy that wants more blocks to go than its model has, before anything is trained."""
    pruned = [case for case in bench.suite.cases if case.strategy is not None]
    for model in {case.model.name: case.model for case in pruned}.values():
        build = builder(model, bench.suite)
        net = seeded(build, model.seed, model.name, bench.example).to(bench.device)
        check_removals([case for case in pruned if case.model == model], partial(find_blocks, net, bench.example))


def blocks_of(network: Network, bench: Bench, unit: UnitSize = "outermost") -> list[str]:
    """Names of the removable blocks of a network."""
    return bench.obtain(Blocks(shape=network.shape, input=tuple(bench.example.shape), unit=unit, network=network))


def builder(model: Model, suite: Suite) -> Callable[[], nn.Module]:
    """Return what builds a model; a library's network gets the classes and channels of its weight file."""
    if isinstance(model.build, Named) and model.weights is not None:
        return model.build.for_file(locate(model, suite))
    return model.build


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
