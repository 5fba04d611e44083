"""Making the network that a case is about: load or train the parent, prune it, fine-tune what is left."""

from __future__ import annotations

from pathlib import Path

from robustprune.data import data_root
from robustprune.errors import InputError, MissingData
from robustprune.models import file_hash, weights_hash
from robustprune.run.bench import Bench
from robustprune.run.choice import Choice, Chosen
from robustprune.run.finetuned import Blocks, FineTuned
from robustprune.run.keys import digest
from robustprune.run.network import Network
from robustprune.run.training import Loaded, Trained, seeded
from robustprune.suite.cases import Case, Model, Suite


def parent_network(model: Model, bench: Bench) -> Network:
    """Load the weights of an unpruned model, or train it from scratch once."""
    net = seeded(model.build, model.seed)
    structure, initial = digest(net), weights_hash(net)
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
        )
        weights, file = bench.obtain(wanted), bench.file_of(wanted)
    return Network(structure=structure, weights=weights, factory=model.build, file=file, example=bench.example)


def case_network(case: Case, start: Network, bench: Bench) -> Network:
    """The network of a case that begins with `start`: itself, its fine-tuned control, or a pruned net."""
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
    )
    weights, similarity = bench.obtain(wanted)
    return Network(
        structure=start.structure,
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
        )
    )


def blocks_of(network: Network, bench: Bench) -> list[str]:
    """Names of the removable blocks of a network."""
    return bench.obtain(Blocks(shape=network.shape, input=tuple(bench.example.shape), network=network))


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
