"""Which part of a network moves in a training. The rest stays bit by bit, BatchNorm's running statistics included.

What stays is in eval mode: its BatchNorm normalises with the statistics that it has and does not update them, and its
dropout is off. `recalibrate` in a recipe is a step before the training and reaches every BatchNorm: without it a frozen
one still has the statistics from before the cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from torch import nn

from robustprune.errors import InputError

Part = Literal["all", "norms", "head", "near"]
"""What moves: everything, the norm layers, the last linear or convolutional layer, or the modules next to a cut."""

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
HEADS = (nn.Linear, nn.modules.conv._ConvNd)
CONTAINERS = (nn.Sequential, nn.ModuleList)


@contextmanager
def moving(model: nn.Module, part: Part, near: Sequence[str] = ()) -> Iterator[list[nn.Parameter]]:
    """Yield the parameters that move; inside, whatever else there is takes no gradient and is in eval mode.

    `near` names the modules next to a cut. Without a cut "near" is "all": a control that was never cut is trained
    whole. Parameters that their owner froze do not move. Raises InputError where the network has no such part.
    """
    chosen = list(model.modules()) if part == "all" or (part == "near" and not near) else _modules(model, part, near)
    inside = {id(parameter) for module in chosen for parameter in module.parameters(recurse=False)}
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, wanted in before:
            parameter.requires_grad_(wanted and id(parameter) in inside)
        for module in {*model.modules()} - {*chosen}:
            module.training = False
        yield [parameter for parameter in model.parameters() if parameter.requires_grad]
    finally:
        for parameter, wanted in before:
            parameter.requires_grad_(wanted)


def next_to(parent: nn.Module, removed: Sequence[str]) -> tuple[str, ...]:
    """Names of the modules of `parent` right before and behind each removed one, as far as they stay.

    In the order in which modules are registered, which is that of execution in nearly all networks. A neighbour is the
    closest module beside it, or beside what holds it, that has parameters: a block, a projection block, a stem, a head.

    >>> from robustprune.models.resnet import CifarResNet
    >>> next_to(CifarResNet(20), ["layer1.1", "layer1.2"])
    ('layer1.0', 'layer2.0')
    """
    found = [_neighbour(parent, name, step, removed) for name in removed for step in (-1, 1)]
    return tuple(dict.fromkeys(name for name in found if name is not None))


def _modules(model: nn.Module, part: Part, near: Sequence[str]) -> list[nn.Module]:
    heads: list[nn.Module] = [module for module in model.modules() if isinstance(module, HEADS)]
    inside: dict[Part, list[nn.Module]] = {
        "norms": [module for module in model.modules() if isinstance(module, NORMS)],
        "head": heads[-1:],
        "near": [module for name in near for module in model.get_submodule(name).modules()],
    }
    found = inside[part]
    if not found:
        raise InputError(f"train={part!r}: {type(model).__name__} has no such layer, expected one with parameters")
    return found


def _neighbour(parent: nn.Module, name: str, step: int, removed: Sequence[str]) -> str | None:
    if not name:
        return None
    container, _, child = name.rpartition(".")
    siblings = _children(parent.get_submodule(container), step)
    beyond = siblings[siblings.index(child) + 1 :]
    found = (_end(parent, f"{container}.{sibling}".removeprefix("."), step, removed) for sibling in beyond)
    return next((one for one in found if one is not None), None) or _neighbour(parent, container, step, removed)


def _end(parent: nn.Module, name: str, step: int, removed: Sequence[str]) -> str | None:
    """The first module (seen in the direction of `step`) of what is called so; None where nothing of it stays."""
    module = parent.get_submodule(name)
    if name in removed or not any(True for _ in module.parameters()):
        return None
    if not isinstance(module, CONTAINERS):
        return name
    children = (_end(parent, f"{name}.{child}", step, removed) for child in _children(module, step))
    return next((one for one in children if one is not None), None)


def _children(module: nn.Module, step: int) -> list[str]:
    return [name for name, child in module._modules.items() if child is not None][::step]
