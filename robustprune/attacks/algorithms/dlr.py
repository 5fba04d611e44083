"""The difference of logits ratio (Croce & Hein 2020, arXiv 2003.01690), blind to shift and scale.

The cross-entropy of a very confident network vanishes in float32; this does not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robustprune.errors import InputError

TINY = 1e-12


def dlr_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Return the difference of logits ratio, (m,): higher = nearer to a wrong class, above 0 = wrong.

    -(z_y - max_{i != y} z_i) / (z_(1) - z_(3)), z sorted downwards (equation 6). `logits` is (m, k) with k >=
    3. It changes neither with a shift nor with a positive scaling of the logits.

    >>> dlr_loss(torch.tensor([[4.0, 3.0, 0.0]]), torch.tensor([0]))
    tensor([-0.2500])
    """
    top = _top(logits, 3)
    right = logits.gather(1, y[:, None])[:, 0]
    other = torch.where(logits.argmax(1) == y, top[:, 1], top[:, 0])
    return -(right - other) / (top[:, 0] - top[:, 2] + TINY)


def targeted_dlr_loss(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """Return the targeted difference of logits ratio, (m,): higher = nearer to `target`.

    -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2), z sorted downwards (equation 7). `logits` is (m, k), k >= 4.

    >>> targeted_dlr_loss(torch.tensor([[4.0, 3.0, 1.0, 1.0]]), torch.tensor([0]), torch.tensor([2]))
    tensor([-1.])
    """
    top = _top(logits, 4)
    right, wanted = (logits.gather(1, which[:, None])[:, 0] for which in (y, target))
    return -(right - wanted) / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + TINY)


def _top(logits: Tensor, k: int) -> Tensor:
    if logits.shape[1] < k:
        raise InputError(
            f"DLR loss on {logits.shape[1]} classes: expected at least {k}; the cross-entropy needs only 2"
        )
    return logits.topk(k, dim=1).values
