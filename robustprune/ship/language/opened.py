"""A causal model and its tokenizer from a folder as `save_pretrained` writes it; nothing is fetched, no code is run."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from robustprune.errors import InputError, MissingData

NEEDED = ("config.json", "tokenizer.json")
"""What such a folder holds, beside weights as safetensors."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A causal model in eval mode, and what turns text into its ids."""

    model: nn.Module
    tokenizer: Any

    def ids(self, text: str) -> list[int]:
        """Return the numbers of the tokens of a text, without special ones."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def save(self, model: Any, folder: Path) -> None:
        """Write another model with the same tokenizer, for the library to open."""
        with quiet():
            model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)


def open_causal(folder: Path) -> Opened:
    """Open a folder. MissingData where a file is not there, InputError where the library cannot open it."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    missing += [] if [*folder.glob("*.safetensors")] else ["*.safetensors"]
    if missing:
        raise MissingData(f"{folder}: no {missing[0]} there; expected a folder that save_pretrained wrote")
    library = _transformers()
    only = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():
            tokenizer = library.AutoTokenizer.from_pretrained(folder, **only)
            model = library.AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, **only)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{folder}: cannot be opened as a causal language model ({reason})") from error
    return Opened(model=model.float().eval(), tokenizer=tokenizer)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the library says of its own to itself: bars, advice, warnings."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise InputError("language models need transformers: pip install 'robustprune[hf]'") from error
