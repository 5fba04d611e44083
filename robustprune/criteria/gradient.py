"""First-order importance: how much the loss would change if a block's gate were turned down (Taylor).

The gate of a block is y = skip(x) + a (block(x) - skip(x)): a = 1 is the network as it is, a = 0 the network
without the block. Where the skip path is the identity this is y = x + a f(x). Molchanov et al. (1906.10771)
put the gate on filters; a ReLU behind the sum, as in ResNets, here lies inside the block, so that a = 0 is
exactly the pruned network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robustprune.criteria.arrays import Array, known_classes
from robustprune.criteria.context import ScoringContext
from robustprune.criteria.probe import logits_of, numpy64
from robustprune.criteria.replay import Handler, intercepted
from robustprune.errors import InputError
from robustprune.models.modes import frozen


def gate_gradients(ctx: ScoringContext) -> dict[str, Array]:
    """Block -> (n,) derivatives of each sample's cross-entropy with respect to the block's gate, at gate 1.

    One forward and one backward pass for all blocks; parameters get no gradient. Raises InputError for a
    block that is never called, or one with NaN or Inf.
    """
    parts: dict[str, list[Array]] = {name: [] for name in ctx.modules}
    with frozen(ctx.model), torch.enable_grad():
        for x, y in ctx.batches():
            gates = _Gates(ctx, len(x), x.device)
            with intercepted(ctx.places.values(), gates.gated):
                logits = logits_of(ctx.model(x), len(x), "the network with gates")
            known_classes(ctx.labels, logits.shape[1])
            loss = cross_entropy(logits, y, reduction="sum")
            grads = torch.autograd.grad(loss, list(gates.values.values()), allow_unused=True)
            for name, grad in zip(gates.values, grads, strict=True):
                parts[name].append(_checked(name, grad))
    return {name: np.concatenate(part) for name, part in parts.items()}


class _Gates:
    """One gate a sample and block, all at 1, for one batch."""

    def __init__(self, ctx: ScoringContext, size: int, device: torch.device) -> None:
        self._names = {module: name for name, module in ctx.places.items()}
        self._skips = ctx.skips
        self.values = {name: torch.ones(size, device=device, requires_grad=True) for name in ctx.modules}

    def gated(self, module: nn.Module, forward: Handler, *args: Any, **kwargs: Any) -> Any:
        """The block's output, which does not change, but now depends on its gate."""
        name = self._names[module]
        skip = self._skips[name]
        skipped = skip.along(skip.taken(*args, **kwargs).clone())
        output = skip.given(forward(*args, **kwargs))
        gate = self.values[name].reshape(-1, *[1] * (output.ndim - 1))
        return skip.returned(output + (gate - 1) * (output - skipped))


def _checked(name: str, grad: Tensor | None) -> Array:
    if grad is None:
        raise InputError(f"block {name}: the forward pass never calls it, expected a block that is used")
    values = numpy64(grad)
    if not np.isfinite(values).all():
        raise InputError(f"block {name}: the gradient of its gate is NaN or Inf, expected finite values")
    return values


@dataclass(frozen=True, kw_only=True)
class Taylor:
    """Squared first-order effect of the block's gate on the loss, (dL/da · a)² at a = 1.

    L is the mean cross-entropy over all samples, so the batch size changes nothing. With `per_sample` the
    square is taken for each sample and then averaged (as Fisher pruning, Theis et al. 1801.05787): effects of
    opposite sign then do not cancel.
    """

    per_sample: bool = False
    family: ClassVar[str] = "gradient"

    @property
    def name(self) -> str:
        """`taylor`, or `taylor-per-sample`."""
        return "taylor-per-sample" if self.per_sample else "taylor"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """Squared gate gradient of each block; higher = keep."""
        gradients = gate_gradients(ctx)
        if self.per_sample:
            return {name: float(np.mean(values**2)) for name, values in gradients.items()}
        return {name: float(np.mean(values) ** 2) for name, values in gradients.items()}
