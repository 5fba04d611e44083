"""Classifiers of torchvision: `torchvision:resnet50`, or with its weights `torchvision:resnet50.IMAGENET1K_V1`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustprune.errors import InputError, MissingData
from robustprune.models.checkpoints import outline
from robustprune.models.libraries.library import Arguments, Card, Library, unknown


def _card(name: str, arguments: Arguments) -> Card:
    weights = _weights(name)
    labels, preset = tuple(map(str, weights.meta["categories"])), weights.transforms()
    classes = int(arguments.get("num_classes", len(labels)))
    side = int(arguments.get("image_size", preset.crop_size[0]))
    return Card(
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        size=(len(preset.mean), side, side),
        classes=classes,
        labels=labels if classes == len(labels) else (),
    )


def _bare(name: str, arguments: Arguments) -> nn.Module:
    return _made(name, None, arguments)


def _fetch(name: str) -> None:
    torch.hub.load_state_dict_from_url(_weights(name).url, check_hash=True, weights_only=True, progress=False)


def _own(name: str, arguments: Arguments) -> nn.Module:
    weights = _weights(name)
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if not file.is_file():
        raise MissingData(
            f"torchvision:{name}: its weights are not here, looked for {file}; expected torchvision:{name}@FILE, "
            "or @download to get them, or @random"
        )
    outline(file)  # torchvision would open a pickle that needs code
    return _made(name, weights, arguments)


def _made(name: str, weights: Any, arguments: Arguments) -> nn.Module:
    from torchvision import models

    _weights(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net: nn.Module = models.get_model(name.partition(".")[0], weights=weights, **arguments)
    return net


def _weights(name: str) -> Any:
    """The entry of torchvision's table of weights. InputError where it does not have the network, or these weights."""
    from torchvision import models

    base, dot, tag = name.partition(".")
    known = models.list_models(module=models)
    if base not in known:
        raise unknown(f"torchvision:{name}", base, known)
    table = models.get_model_weights(base)
    if dot and tag not in table.__members__:
        raise InputError(f"torchvision:{name}: no such weights; expected one of {', '.join(table.__members__)}")
    return table[tag] if dot else table.DEFAULT


TORCHVISION = Library(
    package="torchvision", extra="", classes="num_classes", channels="", card=_card, bare=_bare, own=_own, fetch=_fetch
)
