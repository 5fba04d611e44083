"""Networks of timm: `timm:resnet18`, or with the tag of its weights `timm:resnet18.a1_in1k`.

Names are those of timm's registry alone: its other schemes (hf-hub:, local-dir:) would read what a name points at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustprune.errors import InputError, MissingData
from robustprune.models.libraries.hf_folders import fetch
from robustprune.models.libraries.library import Arguments, Card, Library, unknown

NAMES = ("model.safetensors", "open_clip_model.safetensors")
"""What a weight file is called in a repository of the hub."""


def _card(name: str, arguments: Arguments) -> Card:
    config = _config(name)
    classes = int(arguments.get("num_classes", config.num_classes))
    size = (int(arguments.get("in_chans", config.input_size[0])), *_sides(config.input_size, arguments))
    labels = _labels(config) if classes == config.num_classes else ()
    return Card(mean=tuple(config.mean), std=tuple(config.std), size=size, classes=classes, labels=labels)


def _bare(name: str, arguments: Arguments) -> nn.Module:
    import timm

    _config(name)
    net: nn.Module = timm.create_model(name, pretrained=False, **arguments)
    return net


def _fetch(name: str) -> None:
    config = _config(name)
    if not config.hf_hub_id:
        raise InputError(f"timm:{name}: timm names no repository of the hub for it; expected timm:{name}@FILE")
    fetch(config.hf_hub_id, NAMES)


def _own(name: str, arguments: Arguments) -> nn.Module:
    import timm

    config = _config(name)
    places = list(_places(config))
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        where = " and ".join(map(str, places)) or "no place: timm has no weights of it"
        raise MissingData(
            f"timm:{name}: its weights are not here, looked for {where}; expected timm:{name}@FILE, "
            "or @download to get them, or @random"
        )
    overlay = {"file": str(file), "custom_load": config.custom_load and file.suffix == ".npz"}
    net: nn.Module = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    return net


def _config(name: str) -> Any:
    """The configuration of a name or name.tag. InputError where the registry does not have it."""
    import timm

    base, dot, tag = name.partition(".")
    if not timm.is_model(base) or ":" in name:
        raise unknown(f"timm:{name}", base, timm.list_models())
    tags = timm.list_pretrained(f"{base}.*") if dot else []
    if dot and name not in tags:
        raise unknown(f"timm:{name}", name, tags)
    return timm.get_pretrained_cfg(base if not tag else name)


def _sides(size: tuple[int, ...], arguments: Arguments) -> tuple[int, ...]:
    given = arguments.get("img_size", size[1:])
    return (given, given) if isinstance(given, int) else tuple(given)


def _labels(config: Any) -> tuple[str, ...]:
    """Names of the classes: the configuration's own, or those of the part of ImageNet that it says."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    if config.label_names:
        return tuple(map(str, config.label_names))
    subset = infer_imagenet_subset(config.to_dict())
    info = ImageNetInfo(subset) if subset else None
    return tuple(info.index_to_description(k) for k in range(info.num_classes())) if info else ()


def _places(config: Any) -> Iterator[Path]:
    """Where timm would have put a downloaded file: the hub's cache, and torch's."""
    from huggingface_hub import constants, try_to_load_from_cache

    if config.hf_hub_id:
        found = [try_to_load_from_cache(config.hf_hub_id, name) for name in NAMES]
        cached = [Path(one) for one in found if isinstance(one, str)]
        yield from cached or [Path(constants.HF_HUB_CACHE) / f"models--{config.hf_hub_id.replace('/', '--')}"]
    if config.url:
        yield Path(torch.hub.get_dir()) / "checkpoints" / config.url.rpartition("/")[2]


TIMM = Library(
    package="timm",
    extra="timm",
    classes="num_classes",
    channels="in_chans",
    card=_card,
    bare=_bare,
    own=_own,
    fetch=_fetch,
)
