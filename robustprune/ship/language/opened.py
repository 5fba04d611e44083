"""A causal model and its tokenizer from a folder as `save_pretrained` writes it; nothing is fetched, no code is run."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.errors import InputError, MissingData
from robustprune.models.texts.causal import surprise

NEEDED = ("config.json", "tokenizer.json")
"""What such a folder holds, beside weights as safetensors."""

UNMATCHED = {
    "missing_keys": "are not in its file and would be random",
    "unexpected_keys": "of its file have no place in the model and would be left out",
}
"""What the library says of weights that it did not match, and what that means."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A causal model in eval mode, and what turns text into its ids."""

    model: nn.Module
    tokenizer: Any

    def ids(self, text: str) -> list[int]:
        """Return the numbers of the tokens of a text, without special ones."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def fits(self, windows: Tensor) -> None:
        """Raise InputError where the model has no word vector for a token of the windows, or no position for it."""
        model: Any = self.model
        positions, length = getattr(model.config, "max_position_embeddings", None), windows.shape[1]
        if isinstance(positions, int) and 0 < positions < length:
            raise InputError(f"windows of {length} tokens: the model has {positions} positions, expected no more")
        known = model.get_input_embeddings().num_embeddings
        if int(windows.max()) >= known:
            raise InputError(
                f"token {int(windows.max())} of the text: the model knows {known}, expected the tokenizer of this model"
            )

    def save(self, model: Any, folder: Path, windows: Tensor) -> None:
        """Write another model with the same tokenizer, once the library opens it and it computes the same."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name[:50]}.") as place, quiet():
            written = Path(place) / "net"
            model.save_pretrained(written)
            self.tokenizer.save_pretrained(written)
            self._same(model, written, folder, windows)
            written.rename(folder)

    def _same(self, model: nn.Module, written: Path, folder: Path, windows: Tensor) -> None:
        """Raise InputError where the library opens another model than was written."""
        nothing = f"{folder}: nothing was written: the library does not open this model as it is without these layers"
        try:
            again, _ = surprise(open_causal(written).model, windows.cpu())
        except InputError as error:
            raise InputError(f"{nothing} ({str(error).removeprefix(f'{written}: ')})") from None
        expected, _ = surprise(model, windows)
        if not torch.allclose(torch.tensor(again), torch.tensor(expected), rtol=1e-3):
            raise InputError(f"{nothing} (it says {again[0]:.4g} where {expected[0]:.4g} was expected)")


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
            model, told = library.AutoModelForCausalLM.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, **only
            )
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{folder}: cannot be opened as a causal language model ({reason})") from error
    for key, what in UNMATCHED.items():
        if names := sorted(map(str, told[key])):
            raise InputError(f"{folder}: {len(names)} weights {what} ({names[0]}); expected those of its configuration")
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
