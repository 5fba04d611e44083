"""Networks with random parts: how they are noticed, and the verdict on what was found on them.

Such a network answers otherwise at every pass, so one wrong answer breaks nothing: a sample counts as broken when it is
misclassified in the majority of `FRESH` passes that had no part in finding the perturbation. While an attack looks, it
asks again and again, and would at some time be told what it wants to hear; so each sample gets one verdict an attack,
in the end, with draws of its own. Where about half of the passes are wrong the verdict is a matter of luck; so a step
is not left for the verdict before most passes are wrong (window.py), and the chain's next attack may try again.
"""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor, nn

from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.target import Target
from robustprune.attacks.engine.batches import in_batches
from robustprune.models.lending import shown

FRESH = 21
"""Passes of a verdict on a random network; odd, so that there is a majority."""

PASSES, SAMPLES = 4, 8
"""Passes that have to agree, and on how many real samples."""

RANDOM_GAP = 1e-4
"""Largest difference of normalised logits that is rounding, not randomness."""

TINY = 1e-10


@torch.no_grad()
def is_random(model: nn.Module, x: Tensor) -> bool:
    """Whether passes of `model` on the first samples of `x` (n, C, H, W) differ by more than rounding.

    A network that cannot be asked is not random; what is wrong with it shows in the clean pass.

    >>> x = torch.rand(2, 1, 2, 2)
    >>> is_random(nn.Flatten(), x), is_random(nn.Sequential(nn.Flatten(), nn.Dropout()), x)
    (False, True)
    """
    few = x[:SAMPLES]
    try:
        first = model(shown(model, few)).clone()
        return any(spread([first, model(shown(model, few))]) > RANDOM_GAP for _ in range(PASSES - 1))
    except Exception:
        return False


def spread(passes: list[Tensor]) -> float:
    """Return the largest difference between the first pass and the others, logits (m, classes) each.

    The Euclidean distance of two rows, each divided by its own length, or both by that of the longest if that is more:
    two classes with opposite logits would hide what does not change the sign.

    >>> round(spread([torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])]), 3)
    0.283
    >>> round(spread([torch.tensor([[2.0, -2.0]]), torch.tensor([[1.0, -1.0]])]), 3)
    0.5
    """
    first, *others = (logits.float() for logits in passes)
    longest = first.norm(dim=1).max() + TINY
    gaps = [(first / longest - other / longest).norm(dim=1).max() for other in others]
    gaps += [(normalised(first) - normalised(other)).norm(dim=1).max() for other in others]
    return max(map(float, gaps))


def normalised(logits: Tensor) -> Tensor:
    """Return each row (m, classes) divided by its length."""
    return torch.as_tensor(logits / (logits.norm(dim=1, keepdim=True) + TINY))


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the global generators of torch, numpy and Python, which the parts of a random network draw from.

    For a network on the CPU those of other devices are left alone, as `forked_generators` does not put them back.
    """
    seed_torch = torch.default_generator.manual_seed if device.type == "cpu" else torch.manual_seed
    seed_torch(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def verdict(found: Found, target: Target, x: Tensor, y: Tensor, seed: int) -> None:
    """Keep of what was found on the samples `x` (m, C, H, W) what a majority of fresh passes confirms.

    `found` must hold the perturbed images. A sample whose verdict fails counts as not attacked.
    """
    assert found.adversarial is not None
    images, rows = found.adversarial, found.distance.isfinite().nonzero().flatten()
    lost = Found.nothing(x[rows])
    seed_generators(seed + 1, target.device)

    def batch(row: Tensor) -> None:
        mine = rows[row]
        wrong = target.wrong(images[mine].to(target.device), y[mine].to(target.device)).cpu()
        refused = mine[~wrong]
        found.success[refused], found.distance[refused] = False, torch.nan
        images[refused] = x[refused].cpu()

    in_batches(target, len(rows), lost, batch)
    failed = rows[lost.failed]
    found.success[failed], found.failed[failed], found.distance[failed] = False, True, torch.nan
    found.error = found.error or lost.error
