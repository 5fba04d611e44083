"""Names for iterates by their bits, so that one that comes back is noticed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Fingerprint:
    """A 64-bit fingerprint of every row's exact bits: a random projection in wrap-around integer arithmetic.

    Equal rows have equal fingerprints, on every device and in every batch; unequal ones collide with a chance
    of 2^-32 at most.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        draw = np.random.default_rng(0x5EED).integers(-(2**63), 2**63 - 1, (size + 1) // 2, dtype=np.int64)
        self.weights = torch.from_numpy(draw | 1).to(device)

    def __call__(self, x: Tensor) -> Tensor:
        """Return (m, int64) for float32 rows `x` (m, ...) of `size` values each.

        >>> f = Fingerprint(4, torch.device("cpu"))
        >>> a, b, c = f(torch.tensor([[0.0, 0.1, 0.2, 0.3], [0.0, 0.1, 0.2, 0.3], [0.1, 0, 1, 2]])).tolist()
        >>> a == b, a == c
        (True, False)
        """
        flat = x.flatten(1).contiguous()
        if flat.shape[1] % 2:
            flat = torch.nn.functional.pad(flat, (0, 1))
        bits = flat.view(torch.int64)
        mixed = (bits >> 32).bitwise_xor_(bits)  # every bit reaches the low half, where an odd factor keeps it
        return mixed.mul_(self.weights).sum(1)
