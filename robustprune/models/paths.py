"""The skip path of a residual unit: whether there is one, and what stands on it.

A unit y = g(x) has a skip path if x reaches y through nothing but additions and activations, and at least one
of these additions puts something on top that was computed from x with weights. Taking the unit out leaves
that path: y = x, or y = relu(x) for the block y = relu(x + f(x)), whose relu stands after the addition.

On its way x may be reshaped, transposed, shifted, cut and put together, as long as all of it is undone at the end: the
positions of its elements are carried along, and in y each must be where it was in x.

A layer on the path that has weights or mixes values (BatchNorm, a 1x1 projection) means: no skip path. A layer
normalisation may follow each addition, as in post-norm Transformers (BERT): of a unit whose input comes out of one
already, it goes with the unit. Zeros that a branch that is gone leaves behind are added without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from robustprune.models.activations import Activation, activation_of
from robustprune.models.recorder import Operation, Value

NEUTRAL = {"add": 0, "sub": 0, "mul": 1, "div": 1}
SAME = {"clone", "alias", "detach", "contiguous", "lift_fresh"}
RESHAPED = {"view", "_unsafe_view", "reshape"}
MOVED = {
    *("permute", "transpose", "t", "numpy_T", "mT", "unsqueeze", "squeeze", "expand", "slice", "select", "narrow"),
    *("unbind", "split", "split_with_sizes", "unsafe_split", "chunk", "unfold", "roll", "flip", "pixel_shuffle"),
    *("pixel_unshuffle", "channel_shuffle", "repeat", "_reshape_alias", "cat", "stack"),
}
"""Operations that move elements and change none."""

LAYER_NORM = "native_layer_norm"
PRODUCTS = {"mul", "mm", "bmm", "matmul"}
KEPT_ZERO = {"neg", "div", "_to_copy", "relu", "gelu", "silu", "tanh", "mish", "hardswish", "leaky_relu", "elu", "mean"}


def zero_with(operation: Operation) -> list[Value]:
    """The values each of which alone, where it is zero everywhere, makes all that the operation returns zero."""
    name, args = operation.name, operation.args
    if name in PRODUCTS:
        return [value for value in args if isinstance(value, Value)]
    whole = bool(args) and isinstance(args[0], Value)
    padded = name == "constant_pad_nd" and args[2:] in ((), (0,))
    return [args[0]] if whole and (padded or name in SAME | RESHAPED | MOVED | KEPT_ZERO) else []


@dataclass(frozen=True)
class SkipPath:
    """From x to a value on its skip path.

    `joins` are the numbers of the additions on the way; `layout` holds, at the place of every element, where in x it
    comes from (-1: from nowhere). `norms` layer normalisations follow as many additions.
    """

    layout: Tensor
    activations: tuple[Activation, ...] = ()
    joins: frozenset[int] = frozenset()
    norms: int = 0

    @property
    def undone(self) -> bool:
        """Whether every element is back where it was."""
        return torch.equal(self.layout.reshape(-1), torch.arange(self.layout.numel()))


class Flow:
    """How x spreads: `reached` depends on it, `weighted` through weights; `paths` are on a skip path."""

    def __init__(self, x: Value, weights: set[Value], zeros: frozenset[Value] = frozenset()) -> None:
        size = 1
        for length in x.shape:
            size *= length
        self.paths = {x: SkipPath(torch.arange(size).reshape(x.shape))}
        self.reached = {x}
        self.weighted: set[Value] = set()
        self.weights = set(weights)
        self.zeros = set(zeros)

    def follow(self, operations: Sequence[Operation], start: int, end: int) -> None:
        """Spread through operations `start` to `end`, exclusive."""
        for index in range(start, end):
            self._through(index, operations[index])

    def _through(self, index: int, operation: Operation) -> None:
        inputs = set(operation.inputs)
        if not self.zeros.isdisjoint(zero_with(operation)):
            self.zeros.update(operation.outputs)
        reached = not inputs.isdisjoint(self.reached)
        with_weights = not inputs.isdisjoint(self.weights) or not inputs.isdisjoint(self.weighted)
        paths = self._onward(index, operation) if reached else []
        for value in operation.outputs:
            if reached:
                self.reached.add(value)
            if with_weights:
                (self.weighted if reached else self.weights).add(value)
        self.paths.update(zip(operation.outputs, paths, strict=False))

    def _onward(self, index: int, operation: Operation) -> list[SkipPath]:
        """The paths to the operation's outputs; none where it is no part of a skip path."""
        name, args = operation.name, operation.args
        if name in MOVED or name in RESHAPED:
            return self._moved(operation)
        if len(args) >= 2 and isinstance(args[1], Value):
            return self._joined(index, operation) if name in ("add", "sub", "addcmul") else []
        path = self.paths.get(args[0]) if args and isinstance(args[0], Value) else None
        if path is None:
            return []
        if name in SAME:
            return [path]
        if name == LAYER_NORM:
            return [replace(path, norms=path.norms + 1)] if len(path.joins) == path.norms + 1 else []
        if name in NEUTRAL:
            return [path] if args[1:] == (NEUTRAL[name],) and not operation.options else []
        if name == "constant_pad_nd":
            return [replace(path, layout=torch.constant_pad_nd(path.layout, args[1], -1))]
        activation = activation_of(operation)
        return [replace(path, activations=(*path.activations, activation))] if activation else []

    def _joined(self, index: int, operation: Operation) -> list[SkipPath]:
        """x + f(x) in either order, x - f(x), x + s f(x), x + 0; none for 2x, x + constant and f(x) + g(x)."""
        first, *rest = operation.args
        if self.zeros and not self.zeros.isdisjoint(operation.args):
            return self._unchanged(operation)
        if first in self.paths:
            alone = not any(other in self.paths for other in rest)
            fits = alone and any(other in self.weighted for other in rest)
            return self._added(index, operation, first) if fits else []
        swappable = operation.name == "add" and operation.options.get("alpha", 1) == 1
        fits = swappable and first in self.weighted and rest[0] in self.paths
        return self._added(index, operation, rest[0]) if fits else []

    def _unchanged(self, operation: Operation) -> list[SkipPath]:
        """The path of x in x + 0 or 0 + x, where the sum is not larger than x."""
        swappable = operation.name == "add" and operation.options.get("alpha", 1) == 1
        places = operation.args if swappable else operation.args[:1]
        known = [value for value in places if value in self.paths and value not in self.zeros]
        return [self.paths[known[0]]] if len(known) == 1 and operation.outputs[0].like(known[0]) else []

    def _added(self, index: int, operation: Operation, value: Value) -> list[SkipPath]:
        """The path goes on where the sum is not larger than what it was added to."""
        path = self.paths[value]
        whole = operation.outputs[0].like(value)
        return [replace(path, joins=path.joins | {index})] if whole else []

    def _moved(self, operation: Operation) -> list[SkipPath]:
        """Do to the positions what the operation does to the elements; all parts must have come the same way."""
        taken, *rest = operation.args
        parts = [self.paths.get(value) for value in (taken if isinstance(taken, tuple) else (taken,))]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) or len({(part.activations, part.norms) for part in known}) > 1:
            return []
        layouts = [part.layout for part in known]
        try:
            moved = _done(operation, layouts if isinstance(taken, tuple) else layouts[0], rest)
        except (RuntimeError, IndexError):
            return []
        joins = frozenset[int]().union(*(part.joins for part in known))
        results = moved if isinstance(moved, list | tuple) else [moved]
        return [replace(known[0], layout=layout, joins=joins) for layout in results]


def _done(operation: Operation, layout: Any, rest: Sequence[Any]) -> Any:
    if operation.name in RESHAPED:
        return layout.reshape(rest[0])
    assert operation.function is not None
    return operation.function(layout, *rest, **operation.options)
