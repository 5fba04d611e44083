"""Making the weight files that a suite ships: its parents, trained by their recipes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from robustprune.data import Data
from robustprune.errors import InputError
from robustprune.machine import pick_device
from robustprune.models import save_weights, weights_hash
from robustprune.run.bench import load_data
from robustprune.run.measurement import Tick
from robustprune.run.training import seeded, telling, train
from robustprune.suite.cases import Model, Suite


def trained_parents(suite: Suite, device: str, tick: Tick) -> Iterator[str]:
    """Train every model of a suite that has a weight file and a recipe, and write the file; one line for each.

    `tick(stage, done, total)` is told of every epoch. Another processor rounds differently, so the file that it makes
    is another network of the same kind.
    """
    models = {case.model.name: case.model for case in suite.cases}.values()
    mine = [model for model in models if model.weights is not None and model.recipe is not None]
    if not mine:
        raise InputError(f"{suite.name}: no model has both a weight file and a recipe, so there is nothing to train")
    for model in mine:
        wanted = Path(str(model.weights))
        if wanted.is_absolute() or ".." in wanted.parts:
            raise InputError(
                f"model {model.name!r}: weights={model.weights!r}, expected a file below the suite's folder"
            )
    data, folder = load_data(suite), suite.file.parent if suite.file else Path()
    for model in mine:
        yield _trained(model, data, folder, device, tick)


def _trained(model: Model, data: Data, folder: Path, device: str, tick: Tick) -> str:
    net = seeded(model.build, model.seed, model.name, data.test.x[:1]).to(pick_device(device))
    train(net, model.recipe, model.seed, data.train, telling(tick, model.name, data.train))
    file = folder / str(model.weights)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_weights(net, file)
    return f"{model.name}: {file}, weights {weights_hash(net)[:12]}"
