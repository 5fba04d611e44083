"""Norms, projections and fingerprints of perturbations."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from robustprune.attacks.base import Norm


def norms(delta: Tensor, norm: Norm) -> Tensor:
    """Return (m,) the norm of every row of `delta` (m, ...), in units of [0,1] pixels.

    >>> norms(torch.tensor([[3.0, -4.0]]), "L2").item(), norms(torch.tensor([[3.0, -4.0]]), "Linf").item()
    (5.0, 4.0)
    """
    flat = delta.flatten(1)
    return flat.norm(dim=1) if norm == "L2" else flat.abs().amax(1)


def project(adv: Tensor, x: Tensor, norm: Norm, eps: float) -> Tensor:
    """Return the point nearest to `adv` in the eps-ball around `x` (scaled for L2), cut to [0,1].

    Cutting to [0,1] moves every pixel towards `x`, which lies inside, so the result stays in the ball.

    >>> project(torch.tensor([[3.0, -4.0]]), torch.zeros(1, 2), "L2", 0.5)
    tensor([[0.3000, 0.0000]])
    """
    delta = adv - x
    if norm == "Linf":
        delta.clamp_(-eps, eps)
    else:
        factor = (eps / norms(delta, "L2").clamp(min=1e-12)).clamp(max=1)
        delta = delta * rows(factor, delta)
    return (x + delta).clamp_(0, 1)


def rows(values: Tensor, like: Tensor) -> Tensor:
    """Reshape one value a row (m,) so that it broadcasts over `like` (m, ...).

    >>> rows(torch.ones(2), torch.ones(2, 3, 4, 4)).shape
    torch.Size([2, 1, 1, 1])
    """
    return values.view(-1, *[1] * (like.ndim - 1))


def keys(x: Tensor) -> Tensor:
    """Return (m, int64) a fingerprint of every sample's content; randomness is drawn from it, not from its
    place.

    So a sample is attacked in the same way alone, in any order and in any batch.

    >>> keys(torch.zeros(2, 1, 2, 2)).unique().numel()
    1
    """
    data = x.detach().to("cpu", torch.float32).contiguous().numpy()
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in data]
    return torch.from_numpy(np.array([int.from_bytes(d, "little") >> 1 for d in digests], dtype=np.int64))


def generators(seed: int, keys: Tensor, *more: Tensor) -> list[np.random.Generator]:
    """Return one generator a sample, a function of the seed, the sample's key and further numbers (the
    restart).

    >>> one, other, third = (g.random() for g in generators(0, torch.tensor([5, 5, 6])))
    >>> one == other, one == third
    (True, False)
    """
    columns = [keys.tolist(), *(m.tolist() for m in more)]
    return [np.random.default_rng([seed, *row]) for row in zip(*columns, strict=True)]


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
        mixed = bits ^ (bits >> 32)  # every bit reaches the low half, where an odd factor keeps it
        return mixed.mul_(self.weights).sum(1)
