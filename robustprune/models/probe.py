"""An input to try a network on where none is given: enough to see its structure, not to measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.models.device import device_of
from robustprune.models.lending import shown
from robustprune.models.modes import evaluating

Example = Tensor | tuple[Any, ...] | Mapping[str, Any]
"""A batch of a network's input: one tensor, or all arguments in order, or by name."""

SIZES = (32, 28, 64, 224, 8, 16, 96, 128, 256)
"""Heights of square images to try, most usual first."""


def probe_input(model: nn.Module) -> Tensor:
    """Two images of noise in [0,1] that the model accepts, with as many channels as its first convolution has.

    For a network that begins with a linear layer, two vectors. Always the same for the same network. Raises InputError
    where nothing tried fits: then the caller has to give an example.

    >>> probe_input(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 26 * 26, 10))).shape
    torch.Size([2, 1, 28, 28])
    """
    for example in _candidates(model):
        try:
            with evaluating(model), torch.no_grad():
                model(shown(model, example))
        except Exception:  # what a network raises on a wrong size is its own affair
            continue
        return example
    raise InputError(
        f"{type(model).__name__}: no input of noise fits it (tried square images of {SIZES}); "
        "expected an example batch: pass example="
    )


def at_home(model: nn.Module, example: Tensor) -> Tensor:
    """A copy of the example on the model's device, in the type of its weights; whole numbers stay what they are."""
    there = example.to(device_of(model, example.device))
    return shown(model, there) if there.is_floating_point() else there.clone()


def call_of(model: nn.Module, example: Example) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call, by position and by name, for the first two samples of an example.

    >>> call_of(nn.Linear(2, 1), {"ids": torch.arange(3), "use_cache": False})
    ([], {'ids': tensor([0, 1]), 'use_cache': False})
    """
    if isinstance(example, Mapping):
        return [], {name: _first_two(model, part) for name, part in example.items()}
    parts = example if isinstance(example, tuple) else (example,)
    return [_first_two(model, part) for part in parts], {}


def shape_of(example: Example) -> Any:
    """The shape of an example, or of each of its tensors, for messages."""
    if isinstance(example, Tensor):
        return tuple(example.shape)
    parts = example.items() if isinstance(example, Mapping) else enumerate(example)
    return {name: tuple(part.shape) for name, part in parts if isinstance(part, Tensor)}


def _first_two(model: nn.Module, part: Any) -> Any:
    return at_home(model, part[:2]) if isinstance(part, Tensor) else part


def _candidates(model: nn.Module) -> Iterator[Tensor]:
    convolution = next((m for m in model.modules() if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d)), None)
    linear = next((m for m in model.modules() if isinstance(m, nn.Linear)), None)
    if convolution is not None:
        axes = len(convolution.kernel_size)
        for size in SIZES:
            yield _noise((convolution.in_channels, *[size] * axes), convolution.weight)
    elif linear is not None:
        yield _noise((linear.in_features,), linear.weight)


def _noise(shape: tuple[int, ...], like: Tensor) -> Tensor:
    noise = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    return noise.to(like.device, like.dtype)
