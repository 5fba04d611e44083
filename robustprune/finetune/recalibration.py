"""BatchNorm's running statistics, estimated anew without training: removing blocks changes what later layers see."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from robustprune.models.lending import shown
from robustprune.models.modes import evaluating


@torch.no_grad()
def recalibrate(
    model: nn.Module, x: Tensor, batch_size: int = 128, layout: torch.memory_format = torch.contiguous_format
) -> None:
    """Estimate BatchNorm's running statistics anew from images `x`, as the mean over equal batches.

    No weight moves and dropout stays off. A batch takes every k-th image, so that sorted data are mixed.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    device = next(model.parameters()).device
    with evaluating(model):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        batches = math.ceil(len(x) / batch_size) if norms else 0
        for first in range(batches):
            model(shown(model, x[first::batches].to(device, memory_format=layout)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
