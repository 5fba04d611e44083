"""First-order importance: how much the loss would change if a block's gate were turned down (Taylor).

The gate of a block is y = skip(x) + a (block(x) - skip(x)): a = 1 is the network as it is, a = 0 the network
without the block. Where the skip path is the identity this is y = x + a f(x). Molchanov et al. (1906.10771)
put the gate on filters; a ReLU behind the sum, as in ResNets, here lies inside the block, so that a = 0 is
exactly the pruned network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robustprune.criteria.base import Array
from robustprune.criteria.probe import numpy64
from robustprune.criteria.replay import Handler, first, intercepted
from robustprune.errors import InputError
from robustprune.models.modes import frozen

if TYPE_CHECKING:
    from robustprune.criteria.context import ScoringContext


def gate_gradients(ctx: ScoringContext) -> dict[str, Array]:
    """Block -> (n,) derivatives of each sample's cross-entropy with respect to the block's gate, at gate 1.

    One forward and one backward pass for all blocks; parameters get no gradient. Raises InputError for a
    block that is never called, or one with NaN or Inf.
    """
    names = {module: name for name, module in ctx.modules.items()}
    parts: list[list[Array]] = []
    with frozen(ctx.model), torch.enable_grad():
        for x, y in ctx.batches():
            gates = {name: torch.ones(len(x), device=x.device, requires_grad=True) for name in ctx.modules}

            def gated(
                module: nn.Module,
                forward: Handler,
                *args: Any,
                gates: dict[str, Tensor] = gates,
                **kwargs: Any,
            ) -> Any:
                skipped = ctx.skips[names[module]](first(args, kwargs).clone())
                output = forward(*args, **kwargs)
                gate = gates[names[module]].reshape(-1, *[1] * (output.ndim - 1))
                return output + (gate - 1) * (output - skipped)

            with intercepted(names, gated):
                loss = cross_entropy(ctx.model(x), y, reduction="sum")
            grads = torch.autograd.grad(loss, list(gates.values()), allow_unused=True, materialize_grads=True)
            parts.append([numpy64(grad) for grad in grads])
    joined = {name: np.concatenate(part) for name, *part in zip(ctx.modules, *parts, strict=True)}
    for name, values in joined.items():
        if not np.isfinite(values).all():
            raise InputError(f"block {name}: the gradient of its gate is NaN or Inf, expected finite values")
    return joined


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
