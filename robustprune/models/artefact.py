"""What ships, as a network: the file itself answers, and its float twin lends it gradients.

Every logit is the runtime's, so an attack succeeds when the file itself is wrong, at every iterate, and an attack by
queries asks the file. Where gradients are recorded the way back is the twin's: the backward pass differentiable
approximation of Athalye, Carlini & Wagner (2018, arXiv 1802.00420), the usual attack on what has no gradients of its
own. Without a twin there are none.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from robustprune.models.runtimes import Runtime


class Artefact(nn.Module):
    """The logits (n, classes) of `runtime`, with the gradients of `twin` where one is given.

    >>> from robustprune.models.runtimes import Half
    >>> twin = nn.Linear(2, 2)
    >>> x, net = torch.rand(1, 2, requires_grad=True), Artefact(Half(twin, "bfloat16"), twin)
    >>> torch.autograd.grad(net(x)[0, 0], x)[0].equal(twin.weight[:1])
    True
    """

    content: Tensor

    def __init__(self, runtime: Runtime, twin: nn.Module | None = None) -> None:
        super().__init__()
        self.runtime, self.twin = runtime, twin
        name = torch.tensor(list(bytes.fromhex(runtime.sha256)), dtype=torch.uint8)
        self.register_buffer("content", name)  # so that the hash of its weights is not that of its twin

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images `x` (n, ...)."""
        logits = self.runtime(x)
        if self.twin is None or not (torch.is_grad_enabled() and x.requires_grad):
            return logits
        lent: Tensor = _AsIf.apply(self.twin(x).float(), logits)
        return lent


class _AsIf(torch.autograd.Function):
    """The value of `logits` as if it had been computed as `lent` was."""

    @staticmethod
    def forward(ctx: Any, lent: Tensor, logits: Tensor) -> Tensor:
        return logits.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None
