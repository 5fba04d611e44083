"""Looking without measuring: does a suite fit together, what is installed, what would be needed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from robustprune.errors import InputError, MissingData
from robustprune.suite.cases import Case, Model, Suite
from robustprune.suite.files import load_suite, suite_files

if TYPE_CHECKING:
    from torch import Tensor, nn

    from robustprune.data import Data


LIBRARIES = (
    "torch",
    "torchvision",
    "torchattacks",
    "pandas",
    "matplotlib",
    "jinja2",
    "onnx",
    "onnxruntime",
    "pyarrow",
    "timm",
    "transformers",
)


def inspected(suite: Suite, device: str) -> list[str]:
    """Do all that costs no training: load data and weights, build the networks, pass one image, count the blocks.

    One line a finding. InputError for what would stop a run.
    """
    from robustprune.data import count_shared
    from robustprune.machine import pick_device
    from robustprune.run.bench import load_data
    from robustprune.run.shipping import check_makers

    data = load_data(suite)
    shared = count_shared(data.test, data.train)
    if shared:
        raise InputError(f"{suite.name}: {shared} test images are among the training images; remove them from one side")
    found = [
        f"{suite.name}: {len(suite.cases)} cases, about {suite.minutes:g} minutes cold on two cores",
        f"data: {data.name}, {len(data.train)} training and {len(data.test)} test images; {data.source}",
    ]
    example = data.test.x[:1].to(pick_device(device))
    for model in {case.model.name: case.model for case in suite.cases}.values():
        _check_recipe(model, len(data.train))
        net = _opened(model, suite, data, example)
        found.append(f"model {model.name}: {_removable(net, example, [c for c in suite.cases if c.model == model])}")
    for case in suite.cases:
        if case.recipe is not None and (case.recipe.samples or 1) > len(data.train):
            raise InputError(f"{case.id}: its recipe wants {case.recipe.samples} of {len(data.train)} training images")
    _check_budgets(suite, example)
    check_makers(suite.cases)
    return [*found, f"attacks: {', '.join(f'{attack.name} ({attack.threat})' for attack in suite.attacks)}"]


def list_suites(folder: Path) -> dict[str, str]:
    """Suite name -> the first line of its file's documentation."""
    lines = {}
    for file in suite_files(folder):
        text = file.read_text(encoding="utf-8", errors="replace").lstrip()
        lines[file.stem] = text.lstrip('"').partition("\n")[0] if text.startswith('"""') else ""
    return lines


def diagnose(folder: Path) -> Iterator[str]:
    """Versions, devices, the data folder, and for each suite what it lacks."""
    from robustprune.data import data_root
    from robustprune.machine import available_devices

    for library in LIBRARIES:
        yield f"{library:<14}{_version(library)}"
    yield f"{'devices':<14}{', '.join(available_devices())}"
    yield f"{'data folder':<14}{data_root()} ({'found' if data_root().is_dir() else 'absent'})"
    for file in suite_files(folder):
        yield f"suite {file.stem}: {_lacks(file)}"


def _check_recipe(model: Model, images: int) -> None:
    """Refuse a recipe by which a network cannot be trained from scratch."""
    recipe = model.recipe if model.weights is None else None
    if recipe is not None and recipe.distill:
        raise InputError(f"model {model.name!r}: its recipe distils, and from scratch there is no teacher")
    if recipe is not None and not recipe.epochs:
        raise InputError(f"model {model.name!r}: its recipe has 0 epochs, so that nothing is learned from scratch")
    if recipe is not None and (recipe.samples or 1) > images:
        raise InputError(f"model {model.name!r}: its recipe wants {recipe.samples} of {images} training images")


def _opened(model: Model, suite: Suite, data: Data, example: Tensor) -> nn.Module:
    """Build a model, with its weights where it has a file, and pass one image."""
    from robustprune.models import load_weights
    from robustprune.run.fits import check_fits, check_labels
    from robustprune.run.networks import builder, locate
    from robustprune.run.training import seeded

    net = seeded(builder(model, suite), model.seed, model.name, example)
    if model.weights is not None:
        load_weights(net, locate(model, suite))
    net = net.to(example.device)
    check_fits(net, example, len(data.classes), f"model {model.name!r}")
    check_labels(net, data.classes, f"model {model.name!r}")
    return net


def _check_budgets(suite: Suite, example: Tensor) -> None:
    """Refuse an attack whose budget reaches from a black image to a white one, and one on another kind of samples.

    eps is in units of [0,1] pixels.
    """
    import torch

    from robustprune.attacks.contract.texts import check_kind
    from robustprune.models.lending import is_text

    check_kind(example, suite.attacks)
    balls = () if is_text(example) else [attack for attack in suite.attacks if attack.in_a_ball]
    for attack in balls:
        most = float(attack.ball.size(torch.ones_like(example)))
        if attack.eps > most:
            raise InputError(
                f"attack {attack.name!r}: eps={attack.eps:g} in {attack.norm}, a black image and a white one are "
                f"{most:g} apart; expected [0,1] pixel units, such as 8/255"
            )


def _removable(net: nn.Module, example: Tensor, cases: list[Case]) -> str:
    """Count the blocks, and refuse a strategy that wants more than can go."""
    from robustprune.models import find_blocks, survey
    from robustprune.run.choice import check_removals
    from robustprune.run.fits import one_line

    with one_line(f"{cases[0].model.name!r}: its blocks cannot be found"):
        found = survey(net, example)
    check_removals(cases, lambda unit: found.blocks if unit == "outermost" else find_blocks(net, example, unit))
    units = {case.strategy.units: case.strategy.unit for case in cases if case.strategy is not None}
    smaller = [
        f", {len(find_blocks(net, example, unit))} {name}" for name, unit in units.items() if unit != "outermost"
    ]
    return f"{len(found.blocks)} removable blocks{''.join(smaller)}" + (f": {found.remark}" if found.remark else "")


def _lacks(file: Path) -> str:
    from robustprune.run.bench import load_data
    from robustprune.run.networks import locate

    try:
        suite = load_suite(file)
        load_data(suite)
        for case in suite.cases:
            if case.model.weights is not None:
                locate(case.model, suite)
    except MissingData as missing:
        return f"skipped: {missing}"
    except InputError as error:
        return f"wrong: {error}"
    return f"ready, {len(suite.cases)} cases, about {suite.minutes:g} minutes cold on two cores"


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
