"""Adversarial weight perturbation (Wu et al. 2020, arXiv 2004.05884): learn where the weights are attacked as well.

Before each step every weight matrix moves uphill by `gamma` times its own norm; the gradient that is learned from is
taken there, and the weights come back before the step. As there vectors (biases, norm layers) stay. Unlike there the
first gradient leaves BatchNorm's running statistics alone, and weight decay acts on the weights themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from robustprune.finetune.losses import Batch, batch_loss
from robustprune.finetune.recipe import Recipe
from robustprune.models.lending import restored

TINY = 1e-12
"""Keeps a gradient of nothing from being divided by its norm."""


@contextmanager
def perturbed(
    model: nn.Module, parameters: Sequence[nn.Parameter], batch: Batch, recipe: Recipe, gamma: float
) -> Iterator[None]:
    """Inside, weights stand uphill of where they were; afterwards, also after an error, bit by bit where they were.

    With a `gamma` of 0 nothing happens.
    """
    if not gamma:
        yield
        return
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    with restored(model):
        loss, _ = batch_loss(model, batch, recipe)
        slopes = torch.autograd.grad(loss, weights, allow_unused=True) if weights else ()
    before = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                if slope is not None:
                    weight.add_(uphill(weight, slope, gamma))
        yield
    finally:
        with torch.no_grad():
            for weight, was in zip(weights, before, strict=True):
                weight.copy_(was)


def uphill(weight: Tensor, slope: Tensor, gamma: float) -> Tensor:
    """Return a step along `slope` whose length is `gamma` times that of `weight` (Frobenius).

    >>> uphill(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 9.0]]), 0.1)
    tensor([[0.0000, 0.5000]])
    """
    length: Tensor = gamma * weight.norm() / (slope.norm() + TINY)
    return slope * length
