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
from robustprune.models.external import initialisers
from robustprune.models.weight_names import OPTIONAL, fitting

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts put the weights in their files."""


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> nn.Module:
    """Put the weights of a .safetensors, .th, .pt, .pth or .onnx file into `model`; returns the model.

    A dict around the weights ({"state_dict": ...}) is taken off. Names that fit as they stand are taken so; else what
    stands before all of them in the file or in the model ("module." of DataParallel, "net." of Normalized) is taken off
    or put on where they then fit. Every weight must be there, none may be left over, shapes must agree, and numbers
    must be finite; otherwise the model is left as it is.
    Raises MissingData if there is no such file, InputError if it needs code to open, is damaged or does not
    fit.
    """
    where = Path(path)
    present = _state(model, f"{where}: cannot be loaded into")
    weights = fitting(_plain(_read(where), where, present), present)
    _check_names(present, weights, where)
    _check_numbers(present, weights, where)
    present.update(weights)  # in place: what the modules' versions are stands beside the tensors
    model.load_state_dict(present, strict=True)
    return model


def save_weights(model: nn.Module, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write `model.state_dict()` as safetensors, with `metadata` (text to text), whole or not at all.

    The file is written beside its place and moved there at the end: a reader never sees half of it, and a
    killed writer leaves the old one. Folders are made. Raises InputError for metadata that is not text, and for a
    network with packed weights (quantised layers), which the format does not hold.
    """
    where = Path(path)
    facts = dict(metadata or {})
    if not all(isinstance(part, str) for pair in facts.items() for part in pair):
        raise InputError(f"metadata of {where}: expected text to text, got {facts}")
    state = _state(model, f"{where}: cannot be written from")
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    # an empty map beside no tensors would make a file that cannot be read
    write_whole(where, safetensors.torch.save(tensors, facts if tensors or facts else None))


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

    Buffers that are not saved, such as the normalisation, count too: another mean is another network. So do weights
    that a layer packs into what it saves besides (quantised layers). Of a network without any of these its layers are
    hashed, since the hash of nothing would be the same for all.

    >>> weights_hash(nn.ReLU()) == weights_hash(nn.ReLU()), weights_hash(nn.ReLU()) == weights_hash(nn.Tanh())
    (True, False)
    """
    tensors: dict[str, Any] = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    packed = {name: value for name, value in model.state_dict().items() if name not in tensors}
    digest = hashlib.sha256() if tensors or packed else hashlib.sha256(repr(model).encode())
    for name, value in sorted({**tensors, **packed}.items()):
        _hash(digest, name, value)
    return digest.hexdigest()


def _hash(digest: hashlib._Hash, name: str, value: Any) -> None:
    """Add one saved thing to a hash: a tensor, a packed one with its scales, or what holds such things."""
    if isinstance(value, tuple | list):
        for index, part in enumerate(value):
            _hash(digest, f"{name}.{index}", part)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            _hash(digest, f"{name}.{key}", value[key])
    elif hasattr(value, "__getstate__") and isinstance(value, torch.ScriptObject):
        _hash(digest, name, value.__getstate__())
    elif isinstance(value, Tensor) and value.is_quantized:
        _hash(digest, name, (value.int_repr(), *_scales(value)))
    elif isinstance(value, Tensor):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    else:
        digest.update(f"{name}\0{value!r}\0".encode())


def _scales(tensor: Tensor) -> tuple[Any, ...]:
    """What the integers of a quantised tensor mean: scale and zero point, of all or of each channel."""
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return tensor.q_scale(), tensor.q_zero_point()
    return tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points(), tensor.q_per_channel_axis()


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 (hex) of a file's bytes. Raises MissingData if there is no such file."""
    with _existing(Path(path)).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise MissingData(f"no weights at {path}; expected a .safetensors, .th, .pt, .pth or .onnx file")
    return path


def _read(path: Path) -> Any:
    try:
        if _existing(path).suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if path.suffix == ".onnx":
            return initialisers(path)
        with warnings.catch_warnings():  # on a pickle of another kind, which fails anyway or holds plain tensors
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: refused, opening it would run code or it is no weight file ({_reason(error)}); "
            "expected tensors only: save model.state_dict(), or a safetensors file"
        ) from error
    except (MissingData, InputError):
        raise
    except Exception as error:  # a damaged file fails in many ways, all of them the same to the user
        raise InputError(f"{path}: cannot be read as weights ({type(error).__name__}: {_reason(error)})") from error


def _reason(error: Exception) -> str:
    """The one line of torch's message that says what was in the file."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "unsupported" in line.lower()]
    return (telling or lines or [type(error).__name__])[0].split(". ")[0][:200]


def _plain(content: Any, path: Path, present: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by name, without what training scripts put around them."""
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or (present and not content):
        raise InputError(f"{path}: holds {type(content).__name__}; expected weights by name")
    odd = [name for name, tensor in content.items() if not _dense(tensor)]
    if odd:
        raise InputError(f"{path}: {_some(odd)} is no dense tensor; expected weights by name")
    return {str(name): tensor for name, tensor in content.items()}


def _state(model: nn.Module, what: str) -> dict[str, Tensor]:
    """What a model saves. Raises InputError, beginning with `what`, where that is more than dense tensors."""
    state: dict[str, Any] = model.state_dict()
    odd = [name for name, value in state.items() if not isinstance(value, Tensor) or value.is_quantized]
    if odd:
        raise InputError(f"{what} {type(model).__name__}: {_some(odd)} is packed (a quantised layer); expected tensors")
    return state


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
