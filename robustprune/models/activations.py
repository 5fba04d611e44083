"""Elementwise functions that may stand on a skip path, as operations and as layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustprune.models.recorder import Operation


@dataclass(frozen=True)
class Activation:
    """An elementwise function on a skip path: ATen's name and constants; ReLU6 is hardtanh (0, 6)."""

    name: str
    constants: tuple[float | str, ...] = ()

    def module(self) -> nn.Module:
        """The layer that computes it. Raises KeyError for a function that is not an activation."""
        if self.name == "gelu":
            return nn.GELU(*map(str, self.constants))
        numbers = [float(constant) for constant in self.constants]
        return _LAYERS[self.name](*numbers)


def needed(activations: tuple[Activation, ...], extremes: Tensor | None) -> tuple[Activation, ...]:
    """The activations that change anything between the extremes (low, high) of the unit's input.

    A ReLU changes nothing on the input of a block that comes after a ReLU. An input that is constant shows
    nothing, so all are kept then.
    """
    kept: list[Activation] = []
    for position, activation in enumerate(activations):
        if extremes is None or not extremes[0] < extremes[1]:
            return (*kept, *activations[position:])
        points = _between(extremes)
        images = activation.module()(points)
        if not torch.equal(images, points):
            kept.append(activation)
            extremes = torch.stack(images.aminmax())
    return tuple(kept)


def _between(extremes: Tensor) -> Tensor:
    low, high = extremes.cpu().double()
    share = torch.linspace(0, 1, 101, dtype=torch.float64)
    return torch.cat([low + share * (high - low), torch.stack([low, high])])


def activation_of(operation: Operation) -> Activation | None:
    """The activation that an operation is, else None."""
    name, constants = operation.name, operation.args[1:] or tuple(operation.options.values())
    if name in ("clamp", "clamp_min", "clamp_max"):
        low, high = (None, *constants) if name == "clamp_max" else (*constants, None)[:2]
        infinite = float("inf")
        name, constants = "hardtanh", (-infinite if low is None else low, infinite if high is None else high)
    activation = Activation(name, constants)
    try:
        activation.module()
    except (KeyError, TypeError, ValueError, AssertionError):
        return None
    return activation


def _elu(alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> nn.Module:
    if (scale, input_scale) == (1, 1):
        return nn.ELU(alpha)
    if input_scale == 1 and (round(alpha, 6), round(scale, 6)) == (1.673263, 1.050701):
        return nn.SELU()
    raise ValueError("a scaled ELU that is no SELU has no layer")


_LAYERS: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "hardtanh": nn.Hardtanh,
    "leaky_relu": nn.LeakyReLU,
    "elu": _elu,
    "celu": nn.CELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
