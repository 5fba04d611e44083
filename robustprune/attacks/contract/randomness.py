"""Randomness that belongs to a sample: drawn from the seed and its content, never from its place in a batch.

For few numbers a sample gets a generator of numpy's (`generators`). An attack that draws at every step has a stream a
sample instead (`streams`), and draws for the whole batch at once: the numbers of a stream are those of SplitMix64
(Steele, Lea & Flood 2014) begun there, a function of their place in it, so that samples may be at different places.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15 - 2**64
"""What SplitMix64 adds to its state at every draw: 2^64 over the golden ratio, as a signed number."""

FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
"""What it multiplies by to mix the bits of a state."""

FINE = 24
"""Bits of a draw that are used: as many as a float32 holds."""


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


def mixed(state: Tensor) -> Tensor:
    """Return SplitMix64's output for every state (int64): each is met once, and near ones are unlike each other."""
    state = (state ^ logical(state, 30)).mul_(FACTORS[0])
    state.bitwise_xor_(logical(state, 27)).mul_(FACTORS[1])
    return state.bitwise_xor_(logical(state, 31))


def logical(bits: Tensor, shift: int) -> Tensor:
    """Return `bits` (int64) moved to the right by `shift` places, zeros following."""
    return (bits >> shift).bitwise_and_((1 << (64 - shift)) - 1)


def streams(seed: int, keys: Tensor, *more: Tensor) -> Tensor:
    """Return (m, int64) a stream a sample, a function of the seed, the sample's key and further numbers (the restart).

    >>> one, other, third = streams(0, torch.tensor([5, 5, 6])).tolist()
    >>> one == other, one == third
    (True, False)
    """
    stream = torch.full_like(keys, seed % 2**63)
    for part in (keys, *more):
        stream = mixed(mixed(stream + GOLDEN) ^ part)
    return stream


def draws(stream: Tensor, first: Tensor | int, count: int) -> Tensor:
    """Return (m, count, int64) the numbers of the streams (m,) from the place `first` on, all 64 bits random.

    >>> draws(torch.tensor([1234567]), 0, 2)
    tensor([[6457827717110365317, 3203168211198807973]])
    """
    place = torch.arange(1, count + 1, device=stream.device)
    place = place + (first[:, None] if isinstance(first, Tensor) else first)
    return mixed(place.mul_(GOLDEN).add(stream[:, None]))


def uniform(bits: Tensor) -> Tensor:
    """Return two float32 of [0,1) for every draw (m, count), by its first and its last bits: (m, 2 count).

    >>> uniform(torch.tensor([[1 << 62, 1 << 23]])).tolist()
    [[0.25, 0.0, 0.0, 0.5]]
    """
    both = torch.cat((logical(bits, 64 - FINE), bits & ((1 << FINE) - 1)), 1)
    return both.float().mul_(2.0**-FINE)


def below(bits: Tensor, bound: Tensor | int) -> Tensor:
    """Return a whole number from 0 to `bound` - 1 for every draw.

    >>> below(torch.tensor([0, 1 << 62, -1]), 8).tolist()
    [0, 2, 7]
    """
    return (logical(bits, 64 - FINE) * bound) >> FINE


def signs(bits: Tensor) -> Tensor:
    """Return -1 or 1 (float32) for every draw, by its first bit.

    >>> signs(torch.tensor([0, 1 << 62, -1])).tolist()
    [1.0, 1.0, -1.0]
    """
    return torch.where(bits < 0, -1.0, 1.0)


def normal(bits: Tensor) -> Tensor:
    """Return two standard normal numbers (float32) for every draw (m, count): (m, 2 count), as Box and Muller do."""
    first, second = uniform(bits).chunk(2, 1)
    length, angle = (1 - first).log_().mul_(-2).sqrt_(), second * (2 * torch.pi)
    return torch.cat((length * angle.cos(), length * angle.sin()), 1)
