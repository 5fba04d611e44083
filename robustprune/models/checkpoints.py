"""Weights on disk: read without running anything that a file brings along, and written whole or not at all.

A pickle can run any code when it is opened, so torch files are read with `weights_only=True`, which knows
tensors and plain containers and refuses the rest; safetensors files hold numbers only. What was read is
checked completely before the first weight of the model changes.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from robustprune.errors import InputError, MissingData
from robustprune.files import write_whole

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts put the weights in their files."""

OPTIONAL = "num_batches_tracked"
"""BatchNorm's counter: files from before PyTorch 0.4.1 lack it, and no prediction depends on it."""


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> nn.Module:
    """Put the weights of a .safetensors, .th, .pt or .pth file into `model`; returns the model.

    A dict around the weights ({"state_dict": ...}) and a "module." before all names (DataParallel) are taken
    off. Every weight must be there, none may be left over, shapes must agree, and numbers must be finite;
    otherwise the model is left as it is.
    Raises MissingData if there is no such file, InputError if it needs code to open, is damaged or does not
    fit.
    """
    where = Path(path)
    weights = _plain(_read(where), where)
    present = model.state_dict()
    _check_names(present, weights, where)
    _check_numbers(present, weights, where)
    kept = {name: tensor for name, tensor in present.items() if name not in weights}
    model.load_state_dict({**weights, **kept}, strict=True)
    return model


def save_weights(model: nn.Module, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write `model.state_dict()` as safetensors, with `metadata` (text to text), whole or not at all.

    The file is written beside its place and moved there at the end: a reader never sees half of it, and a
    killed writer leaves the old one. Folders are made. Raises InputError for metadata that is not text.
    """
    where = Path(path)
    facts = dict(metadata or {})
    if not all(isinstance(part, str) for pair in facts.items() for part in pair):
        raise InputError(f"metadata of {where}: expected text to text, got {facts}")
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
    write_whole(where, safetensors.torch.save(tensors, facts))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text that `save_weights` put into a safetensors file. Raises MissingData or InputError."""
    where = _existing(Path(path))
    try:
        with safetensors.safe_open(where, framework="pt") as file:
            return dict(file.metadata() or {})
    except safetensors.SafetensorError as error:
        raise InputError(f"{where}: not a safetensors file ({error})") from error


def weights_hash(model: nn.Module) -> str:
    """SHA-256 (hex) over name, type, shape and bytes of every parameter and buffer, in order of their names.

    Buffers that are not saved, such as the normalisation, count too: another mean is another network.

    >>> weights_hash(nn.ReLU()) == hashlib.sha256().hexdigest()
    True
    """
    tensors: dict[str, Tensor] = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 (hex) of a file's bytes. Raises MissingData if there is no such file."""
    with _existing(Path(path)).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise MissingData(f"no weights at {path}; expected a .safetensors, .th, .pt or .pth file")
    return path


def _read(path: Path) -> Any:
    try:
        if _existing(path).suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with warnings.catch_warnings():  # on a pickle of another kind, which fails anyway or holds plain tensors
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: refused, opening it would run code or it is no weight file ({_reason(error)}); "
            "expected tensors only: save model.state_dict(), or a safetensors file"
        ) from error
    except MissingData:
        raise
    except Exception as error:  # a damaged file fails in many ways, all of them the same to the user
        raise InputError(f"{path}: cannot be read as weights ({type(error).__name__}: {_reason(error)})") from error


def _reason(error: Exception) -> str:
    """The one line of torch's message that says what was in the file."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "unsupported" in line.lower()]
    return (telling or lines or [type(error).__name__])[0].split(". ")[0][:200]


def _plain(content: Any, path: Path) -> dict[str, Tensor]:
    """The weights by name, without what training scripts put around them."""
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path}: holds {type(content).__name__}; expected weights by name")
    odd = [name for name, tensor in content.items() if not _dense(tensor)]
    if odd:
        raise InputError(f"{path}: {_some(odd)} is no dense tensor; expected weights by name")
    prefix = "module." if all(str(name).startswith("module.") for name in content) else ""
    return {str(name).removeprefix(prefix): tensor for name, tensor in content.items()}


def _dense(tensor: Any) -> bool:
    return isinstance(tensor, Tensor) and tensor.layout == torch.strided and not tensor.is_meta


def _check_names(present: Mapping[str, Tensor], weights: Mapping[str, Tensor], path: Path) -> None:
    missing = [name for name in present if name not in weights and not name.endswith(OPTIONAL)]
    unexpected = [name for name in weights if name not in present]
    if missing or unexpected:
        raise InputError(
            f"{path} does not fit the model: {len(missing)} weights missing ({_some(missing)}), "
            f"{len(unexpected)} unexpected ({_some(unexpected)}); expected the model's {len(present)} only"
        )


def _check_numbers(present: Mapping[str, Tensor], weights: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in weights.items():
        if tensor.shape != present[name].shape:
            raise InputError(f"{path}: {name} has shape {tuple(tensor.shape)}; expected {tuple(present[name].shape)}")
        if tensor.is_floating_point() != present[name].is_floating_point():
            raise InputError(f"{path}: {name} has type {tensor.dtype}; expected {present[name].dtype}")
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{path}: {name} holds NaN or infinity; expected finite weights")


def _some(names: Sequence[Any], count: int = 3) -> str:
    shown = ", ".join(str(name) for name in names[:count])
    return f"{shown}, ..." if len(names) > count else shown or "none"
