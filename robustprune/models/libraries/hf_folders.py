"""Where a network of Hugging Face lies: a folder of the user's, or one in the cache of huggingface_hub.

Only configurations, vocabularies and safetensors files are ever downloaded, and only when asked: no pickles, no code.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustprune.errors import InputError, MissingData

PATTERNS = ("*.json", "*.safetensors", "vocab.txt")
CONFIG = "config.json"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def folder_of(name: str) -> Path:
    """Return the folder of a network. InputError where there is none, with what would work."""
    place = Path(name).expanduser()
    if place.is_dir():
        if not (place / CONFIG).is_file():
            raise InputError(f"hf:{name}: {place} holds no {CONFIG}; expected a folder that save_pretrained wrote")
        return place.resolve()
    if not REPOSITORY.fullmatch(name) or ".." in name:
        raise InputError(f"hf:{name}: no such folder; expected a folder with {CONFIG}, or a name such as org/network")
    return _cached(name)


def _cached(name: str) -> Path:
    from huggingface_hub import constants, try_to_load_from_cache

    found = try_to_load_from_cache(name, CONFIG)
    if not isinstance(found, str):
        raise MissingData(
            f"hf:{name}: no such folder, and not in {constants.HF_HUB_CACHE}; expected a folder with {CONFIG} and "
            f"model.safetensors, or hf:{name}@download to get it"
        )
    return Path(found).parent


def fetch(repository: str, patterns: Sequence[str] = PATTERNS) -> None:
    """Download the files of a repository into the cache, without a word of each attempt."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import logging as hub

    level = hub.get_verbosity()
    hub.set_verbosity(logging.ERROR)
    try:
        snapshot_download(repository, allow_patterns=list(patterns))
    finally:
        hub.set_verbosity(level)


def read_json(file: Path) -> dict[str, Any]:
    """Read a configuration; empty where there is no such file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as JSON ({error})") from None
    if not isinstance(found, dict):
        raise InputError(f"{file}: holds {type(found).__name__}, expected a JSON object")
    return found
