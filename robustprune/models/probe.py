"""An input to try a network on where none is given: enough to see its structure, not to measure."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.models.device import device_of
from robustprune.models.lending import shown
from robustprune.models.modes import evaluating

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
    """A copy of the example on the model's device, in the type of its weights."""
    return shown(model, example.to(device_of(model, example.device)))


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
