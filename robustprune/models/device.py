"""Where a model is."""

from __future__ import annotations

import torch
from torch import nn

CPU = torch.device("cpu")


def device_of(model: nn.Module, otherwise: torch.device = CPU) -> torch.device:
    """Return where the model's first parameter or buffer lies; `otherwise` for a model that has neither.

    >>> device_of(nn.Flatten())
    device(type='cpu')
    """
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return otherwise
