"""How much each block changes its input, watched while the network runs: the cosine, and the angle, token by token.

A block changes what it is given. A branch that is added outside itself changes the skip path: there the addition is
watched, x before it and x + f(x) after it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from robustprune.criteria.replay import Handler, intercepted
from robustprune.errors import InputError
from robustprune.models.branches import ADDITIONS
from robustprune.models.skip import Skip
from robustprune.models.trace import unfused_attention
from robustprune.models.units import Sum


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Means over samples, and over tokens: 1 - cosine of input and output, and their angle as a share of pi."""

    influence: float
    angle: float


class Changes:
    """Sums up, per block, how far its output is from its input.

    `blocks` are watched themselves, with their `skips`; of a branch in `sums` the addition in the module that holds it.
    """

    def __init__(
        self,
        blocks: Mapping[str, nn.Module],
        skips: Mapping[str, Skip],
        sums: Mapping[str, tuple[nn.Module, Sum]] | None = None,
    ) -> None:
        self._skips, self._blocks, self._sums = skips, dict(blocks), dict(sums or {})
        self._totals = {name: np.zeros(2) for name in (*self._blocks, *self._sums)}
        self._counts = dict.fromkeys(self._totals, 0)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Forward passes inside are counted."""
        holders: dict[nn.Module, dict[str, Sum]] = {}
        for name, (holder, one) in self._sums.items():
            holders.setdefault(holder, {})[name] = one
        with ExitStack() as stack:
            for name, block in self._blocks.items():
                stack.enter_context(intercepted([block], partial(self._watch, name)))
            for holder, sums in holders.items():
                stack.enter_context(intercepted([holder], partial(self._watch_sums, sums)))
            yield

    def means(self) -> dict[str, Moved]:
        """Block -> means over samples. Raises InputError for a block never called, or one with NaN or Inf."""
        for name, total in self._totals.items():
            if not self._counts[name]:
                raise InputError(f"block {name}: the forward pass never calls it, expected a block that is used")
            if not np.isfinite(total).all():
                raise InputError(f"block {name}: its activations hold NaN or Inf, expected finite values")
        means = {name: total / self._counts[name] for name, total in self._totals.items()}
        return {name: Moved(influence=float(mean[0]), angle=float(mean[1])) for name, mean in means.items()}

    def _watch(self, name: str, module: nn.Module, forward: Handler, *args: Any, **kwargs: Any) -> Any:
        skip = self._skips[name]
        before = skip.taken(*args, **kwargs).clone()
        output = forward(*args, **kwargs)
        self._count(name, before, skip.given(output))
        return output

    def _watch_sums(
        self, sums: Mapping[str, Sum], module: nn.Module, forward: Handler, *args: Any, **kwargs: Any
    ) -> Any:
        watching = Additions({one.number: one.argument for one in sums.values()})
        with unfused_attention(), watching:
            output = forward(*args, **kwargs)
        for name, one in sums.items():
            if one.number in watching.seen:
                self._count(name, *watching.seen[one.number])
        return output

    def _count(self, name: str, before: Tensor, after: Tensor) -> None:
        self._totals[name] += [float(relative_change(before, after).sum()), float(turn(before, after).sum())]
        self._counts[name] += len(before)


class Additions(TorchDispatchMode):
    """While active, keeps of the additions of certain numbers the argument of that place and the sum."""

    def __init__(self, wanted: Mapping[int, int]) -> None:
        TorchDispatchMode.__init__(self)
        self._wanted, self._count = wanted, 0
        self.seen: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name.removeprefix("aten::").rstrip("_") not in ADDITIONS:
            return func(*args, **(kwargs or {}))
        place = self._wanted.get(self._count)
        self._count += 1
        before = None if place is None else args[place].clone()
        result = func(*args, **(kwargs or {}))
        if before is not None:
            self.seen[self._count - 1] = before, result.clone()
        return result


def relative_change(before: Tensor, after: Tensor) -> Tensor:
    """1 - cosine of two activations, per sample, (n,), in [0, 2]; tokens (n, tokens, d) are averaged.

    Written as |u - v|² / 2 of the unit vectors: exactly 0 for an unchanged activation, also an all-zero one;
    from or to an all-zero activation it is 1/2.

    >>> relative_change(Tensor([[3, 0], [1, 0]]), Tensor([[1, 0], [0, 2]])).tolist()
    [0.0, 1.0]
    """
    return ((_units(before) - _units(after)).square().sum(2) / 2).mean(1)


def turn(before: Tensor, after: Tensor) -> Tensor:
    """The angle between two activations as a share of pi, per sample, (n,), in [0, 1]; tokens are averaged.

    From the chord of the unit vectors, which near 0 keeps the digits that an arc cosine loses.

    >>> turn(Tensor([[3, 0], [1, 0]]), Tensor([[1, 0], [0, 2]])).tolist()
    [0.0, 0.5]
    """
    chord = (_units(before) - _units(after)).norm(dim=2)
    return 2 / math.pi * torch.arcsin((chord / 2).clamp(max=1)).mean(1)


def _units(x: Tensor) -> Tensor:
    """Unit vectors (n, tokens, d); everything but tokens (n, tokens, d) is one vector a sample."""
    return normalize(x if x.ndim == 3 else x.flatten(1).unsqueeze(1), dim=2)
