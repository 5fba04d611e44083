"""The steps of HopSkipJump: four phases, every sample in its own.

START tries random images until one is misclassified. SEARCH halves the way from there to the sample, down to the
decision boundary. FEEL asks about random points around the boundary, and JUMP goes along the mean direction of those
that were misclassified, half as far whenever that leads back to the right class. Then SEARCH begins anew from there.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from robustprune.attacks.contract.randomness import draws, normal, streams, uniform
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import Seen
from robustprune.attacks.contract.threat import Threat, rows

START, SEARCH, FEEL, JUMP = range(4)

BLOCKS = (1, 2, 4, 8, 16, 32)
"""The sides of the blocks of which random images are made, in turn."""

MOST = 10_000
"""A direction is estimated from at most so many points (the public code's number)."""

FINEST, SHORTEST = 2.0**-20, 2.0**-22
"""A probe changes a value by this on average, at least; a search ends, and a jump too, at such a share of the way."""


@dataclass(kw_only=True)
class Jumps(ABC):
    """The steps; nothing but `seen.wrong` is looked at.

    `anchor` is the misclassified image that a search comes from, later the point of the boundary that it found. `low`
    and `high` are the radii that it lies between. `tally` and `moves` are the sums of the probes' directions, the first
    with the signs of their answers, and `votes` the sum of these signs; in a jump, `tally` is where it leads.
    """

    steady, memory, retries = 0, True, 0
    gradient, roams = False, True
    ball: Threat
    steps: int
    runs: int = 1
    b0: int = 100
    gamma: float = 1.0
    eot: int = 1

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return nothing (m,): labels are all that is seen."""
        return logits.new_zeros(len(logits))

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin with a random image."""
        x, step = state["x"], state["step"]
        state["stream"] = streams(seed, keys.to(x.device), state["run"])
        state["phase"], state["round"], state["left"] = (torch.zeros_like(step) for _ in range(3))
        for name in ("low", "high", "probe", "length", "votes"):
            state[name] = x.new_zeros(len(x))
        state["anchor"] = x
        state["tally"] = state["moves"] = torch.zeros_like(x)
        state["adv"] = self.ask_start(state, torch.arange(len(x), device=x.device))

    def advance(self, state: State, seen: Seen) -> None:
        """Take every sample's answer in, and ask its next question."""
        phase, hear = state["phase"], (self.hear_start, self.hear_search, self.hear_feel, self.hear_jump)
        for number, one in enumerate(hear):
            row = (phase == number).nonzero().flatten()
            if len(row):
                one(state, row, seen.wrong[row])
        adv = torch.empty_like(state["adv"])
        for number, ask in enumerate((self.ask_start, self.ask_search, self.ask_feel, self.ask_jump)):
            row = (state["phase"] == number).nonzero().flatten()
            if len(row):
                adv.index_copy_(0, row, ask(state, row))
        state["adv"] = adv

    def ask_start(self, state: State, row: Tensor) -> Tensor:
        """Return random images of blocks, the side of the blocks by the number of the query."""
        x, step, stream = pick(state, row, "x", "step", "stream")
        channels, height, width = x.shape[1:]
        side = torch.tensor(BLOCKS, device=x.device)[step % len(BLOCKS)][:, None]
        high, wide = (torch.arange(size, device=x.device) // side * side for size in (height, width))
        corner = (high[:, :, None] * width + wide[:, None, :]).flatten(1)[:, None].expand(-1, channels, -1)
        size = x[0].numel()
        values = uniform(draws(stream, step * size, (size + 1) // 2))[:, :size].to(x)
        return values.reshape(len(x), channels, -1).gather(2, corner).view_as(x)

    def hear_start(self, state: State, row: Tensor, wrong: Tensor) -> None:
        """Search from a misclassified image."""
        row = row[wrong]
        self.search_from(state, row, state["adv"].index_select(0, row))

    def search_from(self, state: State, row: Tensor, far: Tensor) -> None:
        """Begin a search between the misclassified images `far` (k, ...) and the samples."""
        radius = self.ball.size(far - state["x"].index_select(0, row))
        size = state["x"][0].numel()
        probe = (self.gamma / size * radius).clamp(min=FINEST * math.sqrt(size))
        put(state, row, anchor=far, low=torch.zeros_like(radius), high=radius, probe=probe)
        put(state, row, phase=torch.full_like(row, SEARCH))

    def ask_search(self, state: State, row: Tensor) -> Tensor:
        """Return the image half-way between the radii."""
        anchor, x = pick(state, row, "anchor", "x")
        return self.ball.project(anchor, x, self.middle(state)[row])

    def middle(self, state: State) -> Tensor:
        """Return the radius (m,) half-way."""
        return torch.lerp(state["low"], state["high"], 0.5)

    def hear_search(self, state: State, row: Tensor, wrong: Tensor) -> None:
        """Go on in the half that has the boundary; close enough to it, begin to feel."""
        middle, low, high = self.middle(state)[row], state["low"][row], state["high"][row]
        low, high = torch.where(wrong, low, middle), torch.where(wrong, middle, high)
        put(state, row, low=low, high=high)
        near = (state["probe"][row] * self.closeness(state["x"][0].numel())).maximum(high * SHORTEST)
        row = row[high - low <= near]
        count, anchor, x, radius = pick(state, row, "round", "anchor", "x", "high")
        anchor, count = self.ball.project(anchor, x, radius), count + 1
        put(state, row, anchor=anchor, round=count, left=self.probes(count), phase=torch.full_like(row, FEEL))
        nothing = torch.zeros_like(anchor)
        put(state, row, tally=nothing, moves=nothing, votes=state["votes"].new_zeros(len(row)))

    def probes(self, count: Tensor) -> Tensor:
        """Return how many probes the estimate number `count` (k,) takes, beginning with 1."""
        return torch.as_tensor(self.b0 * count.sqrt()).long().clamp(max=MOST)

    def ask_feel(self, state: State, row: Tensor) -> Tensor:
        """Return the point of the boundary, moved by a probe in a random direction."""
        anchor, stream, step, probe = pick(state, row, "anchor", "stream", "step", "probe")
        size = anchor[0].numel()
        noise = self.noise(stream, step * size, size)
        length = probe / torch.as_tensor(noise.norm(dim=1))
        return noise.to(anchor).mul_(length[:, None]).reshape(anchor.shape).add_(anchor).clamp_(0, 1)

    def hear_feel(self, state: State, row: Tensor, wrong: Tensor) -> None:
        """Add the answer up; after the last one, jump along the estimate (equation 16, with the baseline)."""
        adv, anchor, tally, moves, votes, left = pick(state, row, "adv", "anchor", "tally", "moves", "votes", "left")
        sign, move = torch.where(wrong, 1.0, -1.0).to(votes), adv - anchor
        votes, left = votes + sign, left - 1
        tally.addcmul_(move, rows(sign, move))
        put(state, row, tally=tally, moves=moves.add_(move), votes=votes, left=left)
        last = left == 0
        if bool(last.any()):
            self.aim(state, row[last])

    def aim(self, state: State, row: Tensor) -> None:
        """Estimate the way into the wrong class, and jump along it."""
        x, anchor, tally, moves, votes, count = pick(state, row, "x", "anchor", "tally", "moves", "votes", "round")
        probes = self.probes(count)
        mean = torch.where(votes.abs() < probes, votes / probes, 0.0)
        ahead = self.ball.steepest(tally - rows(mean, tally) * moves, anchor)
        length = self.ball.size(anchor - x) / count.sqrt()
        put(state, row, tally=ahead, length=length, phase=torch.full_like(row, JUMP))

    def ask_jump(self, state: State, row: Tensor) -> Tensor:
        """Return where the jump leads."""
        anchor, ahead, length = pick(state, row, "anchor", "tally", "length")
        return (anchor + rows(length, anchor) * ahead).clamp_(0, 1)

    def hear_jump(self, state: State, row: Tensor, wrong: Tensor) -> None:
        """Search from where the class is wrong, else halve the jump; one that has shrunk away is given up."""
        adv, anchor, length, high = pick(state, row, "adv", "anchor", "length", "high")
        shorter = torch.where(wrong, length, length / 2)
        put(state, row, length=shorter)
        over = wrong | (shorter <= SHORTEST * high)
        self.search_from(state, row[over], torch.where(rows(wrong, adv), adv, anchor)[over])

    @abstractmethod
    def noise(self, stream: Tensor, first: Tensor, count: int) -> Tensor:
        """Return (m, count) random directions, of any length."""

    @abstractmethod
    def closeness(self, size: int) -> float:
        """Return how near to the boundary a search ends, as a share of the probe's length."""


class JumpsLinf(Jumps):
    """Searches shrink a cube."""

    def noise(self, stream: Tensor, first: Tensor, count: int) -> Tensor:
        """Return uniform values of [-1,1)."""
        return uniform(draws(stream, first, (count + 1) // 2))[:, :count].mul_(2).sub_(1)

    def closeness(self, size: int) -> float:
        """Return 1/d: the published threshold is 1/d^2 of the way, and a probe 1/d."""
        return 1 / size


class JumpsL2(Jumps):
    """Searches go along the straight line to the sample."""

    def noise(self, stream: Tensor, first: Tensor, count: int) -> Tensor:
        """Return normal values."""
        return normal(draws(stream, first, (count + 1) // 2))[:, :count]

    def closeness(self, size: int) -> float:
        """Return d^-1/2: the published threshold is d^-3/2 of the way, and a probe 1/d."""
        return 1 / math.sqrt(size)


def pick(state: State, row: Tensor, *names: str) -> list[Tensor]:
    """Return copies of what the samples `row` (k,) have under these names."""
    return [state[name].index_select(0, row) for name in names]


def put(state: State, row: Tensor, **values: Tensor) -> None:
    """Replace what the samples `row` (k,) have under these names; the old tensors stay as they are."""
    for name, value in values.items():
        state[name] = state[name].index_copy(0, row, value)
