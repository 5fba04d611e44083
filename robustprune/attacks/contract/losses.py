"""Losses of single samples; the larger, the nearer to a misclassification."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Return (m,) the largest other logit minus the true class's: positive where misclassified.

    Unlike the mask of torchattacks' CW it does not multiply, so it is right for negative logits.

    >>> margin(torch.tensor([[-101.0, -100.0], [5.0, 2.0]]), torch.tensor([0, 0])).tolist()
    [1.0, -3.0]
    """
    true = functional.one_hot(y, logits.shape[1]).bool()
    return logits.masked_fill(true, -torch.inf).amax(1) - logits.gather(1, y[:, None])[:, 0]


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return (m,) the cross-entropy of every sample, in nats."""
    return functional.cross_entropy(logits, y, reduction="none")
