"""What a random network leaves to luck: images that it gets right in some passes and wrong in others.

Of a deterministic network all shares are 0 or 1, a verdict takes one pass, and nothing is left to luck.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.probes import logits_of

UNDECIDED = 0.25
"""An image that more than this share of passes gets right, and more than this share wrong, is settled by luck."""


def undecided(ctx: EvidenceContext) -> int:
    """Return how many images of the subset a random network gets right in about half of its passes; else 0."""
    right = right_share(ctx)
    return int(((right > UNDECIDED) & (right < 1 - UNDECIDED)).sum())


def right_share(ctx: EvidenceContext) -> Tensor:
    """Return (n,) in which share of the passes of a verdict each image of the subset is predicted right."""
    if "right" not in ctx.memo:
        x, y = ctx.few
        passes = ctx.logits[None] if ctx.passes == 1 else passes_of(ctx, x, ctx.batch_size)
        ctx.memo["right"] = predicted_shares(passes).gather(1, y.cpu()[:, None])[:, 0]
    right: Tensor = ctx.memo["right"]
    return right


def passes_of(ctx: EvidenceContext, x: Tensor, batch_size: int) -> Tensor:
    """Return the logits (passes, n, k) of `x` in as many passes as a verdict takes."""
    return torch.stack([logits_of(ctx.model, x, batch_size, seed) for seed in range(ctx.passes)])


def predicted_shares(passes: Tensor) -> Tensor:
    """Return (n, k) in which share of the passes, logits (passes, n, k), each class is predicted.

    >>> predicted_shares(torch.tensor([[[0.0, 1.0]], [[2.0, 1.0]], [[0.0, 3.0]], [[0.0, 1.0]]]))
    tensor([[0.2500, 0.7500]])
    """
    return functional.one_hot(passes.argmax(2), passes.shape[2]).float().mean(0)


def by_iterate(place: Tensor, value: Tensor, bad: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Put all passes (m,) of one image of one sample together: its mean margin, and whether it surely is `bad`.

    In the order in which the images were first shown; three passes in four have to be bad.

    >>> where, passes = torch.tensor([0, 0, 0, 0]), torch.tensor([1.0, 4.0, 3.0, 2.0])
    >>> by_iterate(where, passes, passes > 1, torch.tensor([9, 7, 9, 9]))
    (tensor([0, 0]), tensor([2., 4.]), tensor([False,  True]))
    """
    rows: dict[tuple[int, int], list[int]] = {}
    for row, name in enumerate(zip(place.tolist(), key.tolist(), strict=True)):
        rows.setdefault(name, []).append(row)
    together = list(rows.values())
    means = torch.stack([value[some].mean() for some in together])
    surely = torch.stack([bad[some].float().mean() >= 1 - UNDECIDED for some in together])
    return torch.tensor([sample for sample, _ in rows]), means, surely
