"""How many samples are attacked together on a GPU where nobody says: as many as half of its free memory holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.library import LibraryAttack
from robustprune.attacks.engine.lean import backward
from robustprune.attacks.engine.prepared import Prepared
from robustprune.attacks.engine.settings import BATCH, Settings
from robustprune.models.lending import is_text

LARGEST = 2048
"""More samples at once keep no GPU busier."""


def fitting_batch(found: Prepared, x: Tensor, samples: int) -> int:
    """Return the batch size for attacks on so many samples by the lean copy's gradients; `x` (m, ...) are some of them.

    It is `BATCH` but on a GPU, and there too for texts, for no more samples than that, for a network that is random or
    cannot be copied, and where a pass fails. It resets torch's peak of memory.
    """
    usual = x.device.type != "cuda" or is_text(x) or samples <= BATCH or found.fresh > 1 or not found.lean.copied
    try:
        return BATCH if usual else batch_for(bytes_each(found.lean.net, x), free_bytes(x.device), samples)
    except Exception:
        return BATCH


def with_fixed_batch(settings: Settings, attacks: Sequence[Attack]) -> Settings:
    """Return the settings with a batch size that does not hang on memory, where attacks draw for a batch as a whole.

    Those of torchattacks do, so what they find depends on how large their batches are.
    """
    drawn = settings.batch_size is None and any(isinstance(attack, LibraryAttack) for attack in attacks)
    return replace(settings, batch_size=BATCH) if drawn else settings


def batch_for(each: float, free: float, samples: int) -> int:
    """Return how many samples of `each` bytes take at most half of `free` bytes: a power of two.

    It is at most `LARGEST`, and no more than there are `samples`; but never less than `BATCH`, which is halved where
    memory does run out.

    >>> batch_for(1e6, 1e9, 10_000), batch_for(1e6, 1e12, 10_000), batch_for(1e6, 1e12, 700), batch_for(1e9, 1e8, 700)
    (256, 2048, 512, 128)
    """
    most = min(LARGEST, samples, int(free / 2 // max(each, 1.0)))
    return 1 << (max(most, BATCH).bit_length() - 1)


def bytes_each(net: nn.Module, x: Tensor) -> float:
    """Return the bytes that a forward and backward pass of `x` (m, ...), on a GPU, takes at its peak, for each sample.

    What a pass takes whatever the batch is counted too, so it is rather too much for few samples.
    """
    backward(net, x)
    torch.cuda.synchronize(x.device)
    torch.cuda.reset_peak_memory_stats(x.device)
    before = torch.cuda.memory_allocated(x.device)
    backward(net, x)
    return (torch.cuda.max_memory_allocated(x.device) - before) / len(x)


def free_bytes(device: torch.device) -> float:
    """Return the bytes that are free on a GPU, with those that torch holds in reserve."""
    reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float(torch.cuda.mem_get_info(device)[0] + reserve)
