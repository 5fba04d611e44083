"""Randomness that belongs to a sample: drawn from the seed and its content, never from its place in a batch."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor


def keys(x: Tensor) -> Tensor:
    """Return (m, int64) a fingerprint of every sample's content.

    What is drawn from it is the same alone, in any order and in any batch.

    >>> keys(torch.zeros(2, 1, 2, 2)).unique().numel()
    1
    """
    data = x.detach().to("cpu", torch.float32).contiguous().numpy()
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in data]
    return torch.from_numpy(np.array([int.from_bytes(d, "little") >> 1 for d in digests], dtype=np.int64))


def generators(seed: int, keys: Tensor, *more: Tensor) -> list[np.random.Generator]:
    """Return one generator a sample, a function of the seed, the sample's key and further numbers (the restart).

    >>> one, other, third = (g.random() for g in generators(0, torch.tensor([5, 5, 6])))
    >>> one == other, one == third
    (True, False)
    """
    columns = [keys.tolist(), *(m.tolist() for m in more)]
    return [np.random.default_rng([seed, *row]) for row in zip(*columns, strict=True)]
