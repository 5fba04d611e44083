"""Gradients with respect to the input."""

from __future__ import annotations

import torch
from torch import Tensor


def input_gradient(value: Tensor, x: Tensor, retain: bool = False) -> Tensor:
    """Return the gradient of the scalar `value` at `x`; `retain` keeps what it came from, for another one.

    Raises RuntimeError where the network lets none through: an attack without it says nothing of robustness.

    >>> x = torch.tensor([3.0], requires_grad=True)
    >>> input_gradient((x * x).sum(), x)
    tensor([6.])
    """
    if value.requires_grad:
        grad = torch.autograd.grad(value, x, allow_unused=True, retain_graph=retain)[0]
        if grad is not None:
            return grad
    raise RuntimeError("no gradient reaches the input: the network detaches it or is not differentiable")
