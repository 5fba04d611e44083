"""Looking without measuring: does a suite fit together, what is installed, what would be needed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from robustprune.errors import InputError, MissingData
from robustprune.suite.cases import Case, Suite
from robustprune.suite.files import load_suite, suite_files

if TYPE_CHECKING:
    from torch import Tensor, nn


LIBRARIES = ("torch", "torchvision", "torchattacks", "pandas", "matplotlib", "jinja2", "onnx", "onnxruntime", "pyarrow")


def inspected(suite: Suite, device: str) -> list[str]:
    """Load the data, pass one image through every model, look whether the blocks to remove are there.

    One line a finding. InputError for what would stop a run.
    """
    from robustprune.data import count_shared
    from robustprune.machine import pick_device
    from robustprune.run.fits import check_fits

    data = suite.data()
    shared = count_shared(data.test, data.train)
    if shared:
        raise InputError(f"{suite.name}: {shared} test images are among the training images; remove them from one side")
    found = [
        f"{suite.name}: {len(suite.cases)} cases, about {suite.minutes:g} minutes cold on two cores",
        f"data: {data.name}, {len(data.train)} training and {len(data.test)} test images; {data.source}",
    ]
    example = data.test.x[:1].to(pick_device(device))
    for model in {case.model.name: case.model for case in suite.cases}.values():
        net = model.build().to(example.device)
        check_fits(net, example, len(data.classes), f"model {model.name!r}")
        found.append(f"model {model.name}: {_removable(net, example, [c for c in suite.cases if c.model == model])}")
    return [*found, f"attacks: {', '.join(f'{attack.name} ({attack.threat})' for attack in suite.attacks)}"]


def list_suites(folder: Path) -> dict[str, str]:
    """Suite name -> the first line of its file's documentation."""
    lines = {}
    for file in suite_files(folder):
        text = file.read_text().lstrip()
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


def _removable(net: nn.Module, example: Tensor, cases: list[Case]) -> str:
    """Count the blocks, and refuse a strategy that wants more than can go."""
    from robustprune.models import find_blocks
    from robustprune.prune import most_removable

    blocks = find_blocks(net, example)
    for case in cases:
        if case.strategy is not None and isinstance(case.strategy.remove, int):
            most = most_removable(blocks, case.strategy.keep_per_stage, case.strategy.protect_first)
            if case.strategy.remove > most:
                raise InputError(f"{case.id}: {case.strategy.remove} blocks to remove, at most {most} can go")
    return f"{len(blocks)} removable blocks"


def _lacks(file: Path) -> str:
    from robustprune.run.networks import locate

    try:
        suite = load_suite(file)
        suite.data()
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
