"""Networks of Hugging Face's transformers: `hf:FOLDER` or `hf:org/network`, from safetensors alone, never with code.

`TASKS` says which architectures are opened, and how: classifiers of images and of texts. To add another kind of
network, a file beside this one that says what its input is, and a line there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustprune.errors import InputError, MissingData
from robustprune.models.libraries.hf_folders import CONFIG, fetch, folder_of, read_json
from robustprune.models.libraries.hf_images import normalisation, preprocessing, side_lengths
from robustprune.models.libraries.hf_texts import classifier
from robustprune.models.libraries.library import Arguments, Card, Library

GENERIC = "LABEL_"
"""How labels begin that nobody named."""


def _card(name: str, arguments: Arguments) -> Card:
    folder, config = _opened(name, arguments)
    names = [str(config.id2label[key]) for key in sorted(config.id2label)]
    known = bool(names) and not any(one.startswith(GENERIC) for one in names)
    labels = tuple(names) if known else ()
    if _task(name, config) == TEXTS:
        return Card(mean=(), std=(), size=(), classes=int(config.num_labels), labels=labels)
    told = preprocessing(folder, f"hf:{name}")
    channels = int(getattr(config, "num_channels", 3))
    mean, std = normalisation(told, channels)
    return Card(
        mean=mean,
        std=std,
        size=(channels, *side_lengths(told, getattr(config, "image_size", None))),
        classes=int(config.num_labels),
        labels=labels,
    )


def _bare(name: str, arguments: Arguments) -> nn.Module:
    folder, config = _opened(name, arguments)
    with _quiet() as transformers:
        net: nn.Module = getattr(transformers, _task(name, config)).from_config(config, dtype=torch.float32)
    return _read(_unplaced(net), name, arguments, folder)


def _fetch(name: str) -> None:
    if not Path(name).expanduser().is_dir():
        fetch(name)


def _own(name: str, arguments: Arguments) -> nn.Module:
    folder, config = _opened(name, arguments)
    if not any(folder.glob("*.safetensors")):
        raise MissingData(
            f"hf:{name}: {folder} holds no .safetensors; expected model.safetensors there, or hf:{name}@FILE "
            "(pickles such as pytorch_model.bin are never opened)"
        )
    with _quiet() as transformers:
        net, found = getattr(transformers, _task(name, config)).from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    lacking = sorted(map(str, found["missing_keys"]))
    if lacking:
        raise InputError(
            f"hf:{name}: {len(lacking)} weights are not in its file ({lacking[0]}, ...): they would be random; "
            "expected a network that was trained for its task"
        )
    return _read(_unplaced(net), name, arguments, folder)


def _read(net: nn.Module, name: str, arguments: Arguments, folder: Path) -> nn.Module:
    """Return a classifier of texts as a network of texts, any other as it is."""
    config: Any = net.config
    if _task(name, config) != TEXTS:
        return net
    with _quiet():
        return classifier(net, folder, _card(name, arguments).labels, f"hf:{name}")


def _opened(name: str, arguments: Arguments) -> tuple[Path, Any]:
    """The folder of a network and its configuration, with what the arguments say instead."""
    folder = folder_of(name)
    told = read_json(folder / CONFIG)
    with _quiet() as transformers:
        if "auto_map" in told and told.get("model_type") not in transformers.CONFIG_MAPPING:
            raise InputError(f"hf:{name}: {folder} brings code of its own, which is never run; expected safetensors")
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    for key, value in arguments.items():
        if not hasattr(config, key):
            raise InputError(
                f"hf:{name}: {type(config).__name__} has no {key!r}; expected a field of its configuration"
            )
        setattr(config, key, value)
    _task(name, config)
    return folder, config


IMAGES, TEXTS = "AutoModelForImageClassification", "AutoModelForSequenceClassification"
TASKS: Mapping[str, str] = {"ForImageClassification": IMAGES, "ForSequenceClassification": TEXTS}
"""What the name of an architecture holds -> the class of transformers that opens it."""


def _task(name: str, config: Any) -> str:
    """The class that opens a network. InputError for one of another kind."""
    architectures = list(config.architectures or ())
    for part, opener in TASKS.items():
        if not architectures or any(part in one for one in architectures):
            return opener
    raise InputError(
        f"hf:{name}: is {', '.join(architectures)}; expected one of {', '.join(f'*{part}' for part in TASKS)}"
    )


def _unplaced(net: Any) -> nn.Module:
    """Take out of a network where its files lie, which says nothing about what it computes."""
    found: nn.Module = net
    for module in (one for one in found.modules() if hasattr(one, "config")):
        for place, name in ((module.config, "_name_or_path"), (module, "name_or_path")):
            if hasattr(place, name):
                setattr(place, name, "")
    return found


@contextmanager
def _quiet() -> Iterator[Any]:
    """Give transformers, without its bars and its warnings on stderr."""
    import transformers
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield transformers
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


HF = Library(
    package="transformers",
    extra="hf",
    classes="num_labels",
    channels="num_channels",
    card=_card,
    bare=_bare,
    own=_own,
    fetch=_fetch,
)
