"""The steps of Square, under both norms, for samples that are at different queries.

A sample's stream is read on from query to query: first the numbers of its start, then the same count of them for every
query. Only the squares themselves are computed (square_window.py), since they soon are a small part of the image.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robustprune.attacks.algorithms.square_patterns import pattern, patterns, whole
from robustprune.attacks.algorithms.square_window import Window
from robustprune.attacks.contract.losses import margin
from robustprune.attacks.contract.randomness import draws, signs, streams
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import Seen
from robustprune.attacks.contract.threat import rows
from robustprune.errors import InputError

HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The share of pixels that a square covers is halved after these queries (published for 10,000, and used for fewer)."""

SMALLEST_WINDOW, TILES = 3, 5
"""Under L2: pixels in the side of a window, at least, and how many tiles the start has in a column."""

TINY = 1e-12
"""Keeps divisors from 0 (the public code's number)."""


@dataclass(kw_only=True)
class SquareSteps(ABC):
    """Random search: a proposal that leads further towards a wrong class becomes the point to go on from."""

    steady, memory, retries = 0, True, 0
    gradient, roams = False, False
    eps: float
    p: float
    steps: int
    runs: int = 1
    eot: int = 1
    known: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict, repr=False)
    """Height and width of images -> the sides of the squares in them."""

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return the lead (m,) of the best wrong class."""
        return margin(logits, state["y"])

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin at the published start, with nothing known about it."""
        x = state["x"]
        state["stream"] = streams(seed, keys.to(x.device), state["run"])
        first = draws(state["stream"], 0, self.counts(x)[0])
        state["adv"] = state["best"] = self.begin(x, first)
        state["lead"] = x.new_full((len(x),), -torch.inf)

    def advance(self, state: State, seen: Seen) -> None:
        """Keep the better of the present point and the best one, and propose a change of that."""
        better = ~self.refused(seen.value, state)
        if bool(better.any()):
            state["lead"] = torch.where(better, seen.value.to(state["lead"]), state["lead"])
            state["best"] = torch.where(rows(better, state["adv"]), state["adv"], state["best"])
        query = state["step"] - 1
        before, each = self.counts(state["x"])
        halvings = torch.bucketize(query, whole(HALVED_AFTER, query.device))
        state["adv"] = self.propose(state, halvings, draws(state["stream"], before + each * query, each))

    def refused(self, value: Tensor, state: State) -> Tensor:
        """Return (m, bool) where no wrong class leads further than before."""
        return ~(value > state["lead"])

    def sides(self, x: Tensor) -> tuple[int, ...]:
        """Return the side of the square after each number of halvings."""
        height, width = x.shape[-2:]
        if (height, width) not in self.known:
            shares = [self.p / 2**halvings for halvings in range(len(HALVED_AFTER) + 1)]
            self.known[height, width] = tuple(self.side(share, height, width) for share in shares)
        return self.known[height, width]

    @abstractmethod
    def side(self, share: float, height: int, width: int) -> int:
        """Return the side of a square that covers this share of an image."""

    @abstractmethod
    def counts(self, x: Tensor) -> tuple[int, int]:
        """Return how many numbers a sample's start takes, and every query after it."""

    @abstractmethod
    def begin(self, x: Tensor, drawn: Tensor) -> Tensor:
        """Return the first images (m, C, H, W), given the numbers drawn for them."""

    @abstractmethod
    def propose(self, state: State, halvings: Tensor, drawn: Tensor) -> Tensor:
        """Return the next images (m, C, H, W) to ask about, given how often (m,) the share was halved."""


@dataclass(kw_only=True)
class SquareLinf(SquareSteps):
    """Stripes first, then squares (Algorithm 2): every value lies at the border of the ball, or of the box."""

    def side(self, share: float, height: int, width: int) -> int:
        """Return it, rounded."""
        return max(round(math.sqrt(share * height * width)), 1)

    def counts(self, x: Tensor) -> tuple[int, int]:
        """Return a sign for each channel of each column; row, column and a sign for each channel."""
        _, channels, _, width = x.shape
        return channels * width, 2 + channels

    def begin(self, x: Tensor, drawn: Tensor) -> Tensor:
        """Return upright stripes of one pixel's width."""
        stripes = signs(drawn).to(x).view(len(x), x.shape[1], 1, -1)
        return (x + self.eps * stripes).clamp_(0, 1)

    def propose(self, state: State, halvings: Tensor, drawn: Tensor) -> Tensor:
        """Move one square to the border, up or down, a sign for each channel."""
        x = state["x"]
        square = Window(x, whole(self.sides(x), x.device)[halvings], drawn[:, :2])
        border = square.of(x).add_((self.eps * signs(drawn[:, 2:]).to(x))[..., None])
        return square.put(state["best"].clone(), border.clamp_(0, 1))


@dataclass(kw_only=True)
class SquareL2(SquareSteps):
    """Windows with bumps (Algorithm 3): one gets a new bump and what another one's perturbation was worth.

    As in AutoAttack's code that worth is the sum over the channels, and in the end all is scaled to length eps.
    """

    def side(self, share: float, height: int, width: int) -> int:
        """Return an odd number; a larger one than the image has does not exist."""
        side = max(round(math.sqrt(share * height * width)), SMALLEST_WINDOW)
        least = min(height, width)
        return min(side + 1 - side % 2, least - 1 + least % 2)

    def counts(self, x: Tensor) -> tuple[int, int]:
        """Return how a bump lies and a sign a channel, for each tile; the same and two places."""
        channels, high, wide = x.shape[1], *tiles(x)
        return high * wide * (1 + channels), 4 + 1 + channels

    def begin(self, x: Tensor, drawn: Tensor) -> Tensor:
        """Return the image under tiles of bumps, scaled to length eps."""
        (high, wide), side = tiles(x), tile_side(x)
        drawn = drawn.view(len(x), high, wide, -1)
        bumps = pattern(side).to(x)
        bumps = torch.stack((bumps, bumps.T))[(drawn[..., 0] < 0).long()]
        bumps = bumps[:, None] * signs(drawn[..., 1:]).to(x).movedim(3, 1)[..., None, None]
        tiled = bumps.transpose(3, 4).flatten(4, 5).flatten(2, 3)
        edge = (x.shape[2] - TILES * side) // 2
        delta = torch.zeros_like(x)
        part = delta[:, :, edge : edge + tiled.shape[2], edge : edge + tiled.shape[3]]
        part.copy_(tiled[:, :, : part.shape[2], : part.shape[3]])
        return self.scaled(x, delta)

    def propose(self, state: State, halvings: Tensor, drawn: Tensor) -> Tensor:
        """Clear two windows and put into the first its old perturbation and a new bump, as long as both were."""
        x, sides = state["x"], self.sides(state["x"])
        side = whole(sides, x.device)[halvings]
        first, second = Window(x, side, drawn[:, :2]), Window(x, side, drawn[:, 2:4])
        bump = first.pattern(patterns(sides, x.dtype, x.device), halvings, (drawn[:, 4] < 0).long())
        delta = state["best"] - x
        old, lost = first.of(delta), second.of(delta)
        worth = first.total(old.square())
        both = (worth + second.total(lost.square_() * ~second.meets(first))).sum(1, keepdim=True)
        new = bump * signs(drawn[:, 5:]).to(x)[..., None]
        new += old / (TINY + worth.sqrt())
        unused = (self.eps**2 - rows(delta.flatten(1).norm(dim=1), both).square()).clamp_(min=0) / x.shape[1]
        new *= (unused + both).sqrt() / (TINY + first.total(new.square()).sqrt())
        return self.scaled(x, first.put(second.put(delta, 0.0), new))

    def scaled(self, x: Tensor, delta: Tensor) -> Tensor:
        """Return `x` moved along `delta` by eps, cut to [0,1]; `delta` is used up."""
        length = rows(delta.flatten(1).norm(dim=1), x)
        return delta.mul_(self.eps / (length + TINY)).add_(x).clamp_(0, 1)


def tile_side(x: Tensor) -> int:
    """Return the side of the tiles of the start. Raises InputError for images that are smaller than their number."""
    if min(x.shape[-2:]) < TILES:
        raise InputError(f"Square under L2: images {min(x.shape[-2:])} pixels wide; expected {TILES} or more")
    return int(x.shape[-2]) // TILES


def tiles(x: Tensor) -> tuple[int, int]:
    """Return how many tiles the start has, from top to bottom and from left to right."""
    return x.shape[-2] // tile_side(x), x.shape[-1] // tile_side(x)
