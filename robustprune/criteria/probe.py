"""What is read off a forward pass while it runs: features, logits, how much each block changes its input."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
from torch import Tensor, nn

from robustprune.criteria.arrays import Array
from robustprune.criteria.replay import first
from robustprune.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What a network says about all n samples: penultimate features (n, d) and logits (n, k), float64."""

    features: Array
    logits: Array


class Probe:
    """Holds, after a forward pass, the input of the last linear layer called behind the last block, or None.

    A linear layer inside or before a block does not count: its input would tell nothing about the block.

    >>> net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    >>> with Probe(net, [net[0]]) as probe:
    ...     net(Tensor(5, 4).zero_()).shape, probe.features.shape
    (torch.Size([5, 2]), torch.Size([5, 3]))
    """

    def __init__(self, model: nn.Module, blocks: Iterable[nn.Module]) -> None:
        self.features: Tensor | None = None
        self._linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
        self._blocks, self._hooks = list(blocks), ExitStack()

    def __enter__(self) -> Self:
        handles = [layer.register_forward_pre_hook(self._see, with_kwargs=True) for layer in self._linear]
        handles += [block.register_forward_hook(self._forget) for block in self._blocks]
        for handle in handles:
            self._hooks.callback(handle.remove)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.close()

    def _see(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.features = first(args, kwargs)

    def _forget(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.features = None


@dataclass
class Parts:
    """Collects a pass batch by batch on the CPU; `whole` checks and joins it. `source` names it in errors."""

    source: str
    _features: list[Array] = field(default_factory=list)
    _logits: list[Array] = field(default_factory=list)

    def add(self, output: Any, features: Tensor | None, size: int) -> None:
        """Take one batch of `size` samples: the model's output, and the features if it has a linear head."""
        logits = numpy64(logits_of(output, size, self.source))
        self._logits.append(logits)
        self._features.append(logits if features is None else numpy64(pooled(features)))

    def whole(self) -> Pass:
        """All batches in order. Raises InputError for NaN or Inf."""
        whole = Pass(features=np.concatenate(self._features), logits=np.concatenate(self._logits))
        for what, values in (("features", whole.features), ("logits", whole.logits)):
            if not np.isfinite(values).all():
                count = int((~np.isfinite(values)).any(axis=1).sum())
                raise InputError(f"{self.source}: {what} of {count} samples are NaN or Inf, expected finite values")
        return whole


def pooled(features: Tensor) -> Tensor:
    """Input of a linear layer as (n, d): positions between the first and the last axis are averaged.

    >>> pooled(Tensor(2, 7, 7, 5)).shape
    torch.Size([2, 5])
    """
    return features.flatten(1, -2).mean(1) if features.ndim > 2 else features


def logits_of(output: Any, size: int, source: str) -> Tensor:
    """A network's output for `size` samples as logits (n, k); positions of (n, k, H, W) are averaged.

    Raises InputError, naming `source`, unless the output is one tensor with that many rows and a class axis.

    >>> logits_of(Tensor(2, 10, 1, 1), 2, "the network").shape
    torch.Size([2, 10])
    """
    if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != size:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(f"{source}: output {shape}, expected one tensor of logits (samples, classes)")
    return output.flatten(2).mean(2) if output.ndim > 2 else output


def numpy64(x: Tensor) -> Array:
    """As float64 on the CPU; the move comes first, since mps has no float64.

    >>> numpy64(Tensor([1, 2]).half()).dtype
    dtype('float64')
    """
    return np.asarray(x.detach().cpu().double().numpy(), dtype=np.float64)
