"""What the network shows at the iterates of a batch, and, for a random search, at several iterates of each at once.

As long as its proposals are refused, such a search goes on from the same point, and what it will ask is known: the next
queries of every sample are asked together, and those behind the first that is not refused are dropped. So the iterates
are those of one query after the other; what was dropped was computed, but it is no query of the attack.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustprune.attacks.contract.gradients import input_gradient
from robustprune.attacks.contract.state import State, join, size, take
from robustprune.attacks.contract.stepped import Patient, Seen, Stepper
from robustprune.attacks.contract.target import Counted, misclassified

MOST = 16
"""Queries of a sample that are asked at once, at most."""

GOOD, POOR = 0.95, 0.85
"""Where this share of the answers was of use, twice as many are asked the next time; below the other half as many."""


def look(net: Counted, stepper: Stepper, batch: State) -> tuple[Seen, Tensor]:
    """Return what the network shows at the iterates of `batch`, and its logits (m, classes), over `eot` passes.

    Objective, gradient and logits are the means of all passes; an iterate is wrong where most of them are, as for the
    judge: one pass with huge logits shall not outvote the others.
    """
    value, grad, logits = one_pass(net, stepper, batch)
    wrong = misclassified(logits, batch["y"])
    if stepper.eot == 1:
        return Seen(value, grad, wrong), logits
    votes = wrong.long()
    for _ in range(stepper.eot - 1):
        more = one_pass(net, stepper, batch)
        value, grad, logits = value + more[0], grad.add_(more[1]), logits + more[2]
        votes += misclassified(more[2], batch["y"])
    value, grad, logits = value / stepper.eot, grad.div_(stepper.eot), logits / stepper.eot
    with torch.no_grad():
        stepper.objective(logits, batch)
    return Seen(value, grad, 2 * votes > stepper.eot), logits


def one_pass(net: Counted, stepper: Stepper, batch: State) -> tuple[Tensor, Tensor, Tensor]:
    """Return the objective (m,) at the iterates of `batch`, its gradient (m, ...), and the logits (m, classes).

    The gradient lies in memory as the iterates do, whatever the network's own order: mixing orders makes steps slow.
    """
    if not stepper.gradient:
        with torch.no_grad():
            logits = net(batch["adv"])
            return stepper.objective(logits, batch), logits.new_empty(len(logits), 0), logits
    adv = batch["adv"].detach().requires_grad_()
    logits = net(adv)
    value = stepper.objective(logits, batch)
    grad = torch.nan_to_num(input_gradient(value.sum(), adv), 0.0, out=torch.empty_like(batch["adv"]))
    return value.detach(), grad, logits.detach()


@dataclass
class Ahead:
    """How far a random search looks ahead: as far as most answers are of use, and a batch has places."""

    stepper: Patient
    wanted: int = 2

    @classmethod
    def of(cls, stepper: Stepper) -> Ahead | None:
        """Return it for a search whose queries are known beforehand and asked once each; None for all other attacks."""
        return cls(stepper) if isinstance(stepper, Patient) and stepper.eot == 1 else None

    def room(self, batch: State, batch_size: int) -> int:
        """Return how many queries of every sample of `batch` are asked at once."""
        return min(self.wanted, batch_size // size(batch))

    @torch.no_grad()
    def look(self, net: Counted, batch: State, steps: int, batch_size: int) -> tuple[State, Seen, Tensor]:
        """Return the state of `batch` at the first iterate of every sample that matters, what was seen, and the logits.

        That iterate is not refused, or misclassified, or the first or last of its run; else it is the last asked about.
        """
        lanes = self.room(batch, batch_size)
        wide = join([batch, self.later(batch, lanes - 1)])
        logits = net(wide["adv"])
        value, wrong = self.stepper.objective(logits, wide), misclassified(logits, wide["y"])
        end = (wide["step"] == 0) | (wide["step"] + 1 >= steps)
        matters = (~self.stepper.refused(value, wide) | wrong | end).view(lanes, -1)
        matters[-1] = True
        lane = matters.int().argmax(0)
        self.count(net, int(lane.sum()) + len(lane), len(logits), lanes)
        place = lane * len(lane) + torch.arange(len(lane), device=lane.device)
        seen = Seen(value[place], logits.new_empty(len(place), 0), wrong[place])
        return take(wide, place), seen, logits[place]

    def later(self, batch: State, more: int) -> State:
        """Return where `batch` is after one, two, ... `more` further iterates, all refused, one behind another."""
        state = {name: value.repeat(more, *[1] * (value.ndim - 1)) for name, value in batch.items()}
        further = torch.arange(1, more + 1, device=state["step"].device).repeat_interleave(size(batch))
        state["step"] = state["step"] + further
        refused = torch.full(state["step"].shape, -torch.inf, device=further.device)
        self.stepper.advance(state, Seen(refused, refused[:, None], refused > 0))
        return state

    def count(self, net: Counted, used: int, asked: int, lanes: int) -> None:
        """Count what was of use alone, and look further or less far the next time."""
        net.passes.forwards -= asked - used
        if used >= GOOD * asked and lanes == self.wanted:
            self.wanted = min(2 * self.wanted, MOST)
        elif used < POOR * asked:
            self.wanted = max(self.wanted // 2, 2)
