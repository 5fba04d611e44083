"""The skip path of a residual unit: whether there is one, and what stands on it.

A unit y = g(x) has a skip path if x reaches y through nothing but additions and activations, and at least one
of these additions puts something on top that was computed from x with weights. Taking the unit out leaves
that path: y = x, or y = relu(x) for the block y = relu(x + f(x)), whose relu stands after the addition.

A layer on the path that has weights or mixes values (BatchNorm, a 1x1 projection, LayerNorm after the
addition as in post-norm Transformers) means: no skip path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.models.recorder import Operation, Value
from robustprune.models.trace import Call, Trace, first_argument

NEUTRAL = {"add": 0, "sub": 0, "mul": 1, "div": 1}


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


@dataclass(frozen=True)
class SkipPath:
    """The activations between x and y, and whether something was added on the way."""

    activations: tuple[Activation, ...] = ()
    joined: bool = False


class Skip(nn.Sequential):
    """What stands in for a block that is gone: its skip path, without parameters.

    Whatever the block was called with, the first argument goes on, through the path's activations if it has
    any.

    >>> Skip()(torch.tensor(-1.0), "mask", dropout=None).item()
    -1.0
    >>> Skip(nn.ReLU())(torch.tensor(-1.0)).item()
    0.0
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The first argument, through the activations."""
        x = first_argument(*args, **kwargs)
        for activation in self:
            x = activation(x)
        return x


def make_skip(activations: Sequence[Activation]) -> Skip:
    """The module that computes these activations one after the other."""
    return Skip(*(activation.module() for activation in activations))


def skip_path(trace: Trace, call: Call) -> tuple[Activation, ...] | None:
    """The activations on the skip path of one call, or None if there is no such path."""
    if call.input is None or call.output is None:
        return None
    flow = _Flow(call.input, set(trace.weights.values()))
    for operation in trace.operations[call.start : call.end]:
        flow.follow(operation)
    path = flow.paths.get(call.output)
    return path.activations if path is not None and path.joined else None


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


class _Flow:
    """How x spreads: `reached` depends on it, `weighted` through weights; `paths` are on a skip path."""

    def __init__(self, x: Value, weights: set[Value]) -> None:
        self.paths = {x: SkipPath()}
        self.reached = {x}
        self.weighted: set[Value] = set()
        self.weights = weights

    def follow(self, operation: Operation) -> None:
        """Spread through one operation."""
        inputs = set(operation.inputs)
        reached = not inputs.isdisjoint(self.reached)
        with_weights = not inputs.isdisjoint(self.weights) or not inputs.isdisjoint(self.weighted)
        path = self._onward(operation) if reached and operation.outputs else None
        for value in operation.outputs:
            if reached:
                self.reached.add(value)
            if with_weights:
                (self.weighted if reached else self.weights).add(value)
        if path is not None:
            self.paths[operation.outputs[0]] = path

    def _onward(self, operation: Operation) -> SkipPath | None:
        name, args = operation.name, operation.args
        if len(args) >= 2 and isinstance(args[1], Value):
            return self._joined(operation) if name in ("add", "sub", "addcmul") else None
        path = self.paths.get(args[0]) if args and isinstance(args[0], Value) else None
        if path is None or name == "clone":
            return path
        if name in NEUTRAL:
            return path if args[1:] == (NEUTRAL[name],) and not operation.options else None
        activation = _activation(operation)
        return SkipPath((*path.activations, activation), path.joined) if activation else None

    def _joined(self, operation: Operation) -> SkipPath | None:
        """x + f(x) in either order, x - f(x), x + s f(x); None for 2x, x + constant and f(x) + g(x)."""
        first, *rest = operation.args
        if first in self.paths:
            alone = not any(other in self.paths for other in rest)
            return self._add(first) if alone and any(other in self.weighted for other in rest) else None
        swappable = operation.name == "add" and operation.options.get("alpha", 1) == 1
        return self._add(rest[0]) if swappable and first in self.weighted and rest[0] in self.paths else None

    def _add(self, value: Value) -> SkipPath:
        return SkipPath(self.paths[value].activations, joined=True)


def _between(extremes: Tensor) -> Tensor:
    low, high = extremes.cpu().double()
    share = torch.linspace(0, 1, 101, dtype=torch.float64)
    return torch.cat([low + share * (high - low), torch.stack([low, high])])


def _activation(operation: Operation) -> Activation | None:
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
