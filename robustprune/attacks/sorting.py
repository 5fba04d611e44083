"""When a sample leaves the batch: at its first success inside a budget, or with the smallest success it has
seen.

An attack with a budget (FGSM, PGD) also stops where an iterate comes back: steps of fixed length are
deterministic, so from there on it would go round in a circle (arXiv 2503.19347).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from robustprune.attacks.base import Found
from robustprune.attacks.distance import Fingerprint, norms, rows
from robustprune.attacks.losses import margin
from robustprune.attacks.state import State, size, take
from robustprune.attacks.target import Target, misclassified
from robustprune.attacks.window import Window

if TYPE_CHECKING:
    from robustprune.attacks.stepped import SteppedAttack

SLACK = 1e-3
"""Where the original does not confirm a smallest success, the run is made again with this lead of the wrong
class, as a share of the largest logit."""


class FirstSuccess(Window):
    """Any success inside the budget ends the attack on a sample."""

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Names iterates by their bits."""
        return Fingerprint(self.x[0].numel(), self.target.device)

    def prepare(self, state: State) -> None:
        """Start the history of the iterates' fingerprints."""
        history = torch.zeros(size(state), self.steps + 1, dtype=torch.int64, device=self.target.device)
        history[:, 0] = self.fingerprint(state["adv"])
        state["history"] = history

    def sort(self, state: State, adv: Tensor, logits: Tensor) -> None:
        """Send adversarial iterates to the judge; stop after the last step or where an iterate comes back."""
        wrong = misclassified(logits, state["y"])
        code = self.fingerprint(state["adv"])[:, None]
        circle = self.came_back(state, code)
        state["history"] = state["history"].scatter(1, state["step"][:, None], code)
        last = state["step"] >= self.steps
        out = wrong | circle | last
        if not bool(out.any()):
            self.active = state
            return
        self.leave(state, wrong, adv, final=circle)
        self.leave(state, last & ~wrong & ~circle, state["adv"], final=last)
        self.end_run(take(state, circle & ~wrong))
        self.active = take(state, ~out)

    def came_back(self, state: State, code: Tensor) -> Tensor:
        """Return (k, bool) where the iterate named `code` (k, 1) will go round in a circle.

        It was there before, at a step since when all steps are of one length; or it did not move: then every
        pixel is held by the border of the ball or has no gradient, and shorter steps will not move it either.
        """
        before = state["history"][:, self.stepper.steady :]
        still = state["history"].gather(1, state["step"][:, None] - 1) == code
        return (before == code).any(1) | still[:, 0]

    def accept(self, batch: State) -> None:
        """Write the success down; the sample is done."""
        distance = norms(batch["candidate"] - batch["x"], self.attack.norm)
        broken = torch.ones_like(distance, dtype=torch.bool)
        self.found.put(batch["row"], batch["candidate"], broken, distance, batch["spent"])
        self.decide(batch)

    def refuse(self, batch: State) -> None:
        """Go on with the next iterate, which may be the last one and then still wants judging."""
        final = batch["final"]
        last = (batch["step"] >= self.steps) & ~final
        self.leave(batch, last, batch["adv"], final=last)
        rest = {name: value for name, value in batch.items() if name not in ("candidate", "final")}
        self.parked.append(take(rest, ~last & ~final))
        self.end_run(take(rest, final))


class SmallestSuccess(Window):
    """The smallest success of all runs is looked for, also beyond the budget."""

    def prepare(self, state: State) -> None:
        """Start without a success; keep the lead demanded of one."""
        self.reach = torch.inf
        state["best"] = torch.full_like(state["step"], torch.inf, dtype=torch.float32)
        state["best_adv"] = state["x"]
        state["slack"] = torch.zeros_like(state["best"])

    def sort(self, state: State, adv: Tensor, logits: Tensor) -> None:
        """Remember the smallest adversarial iterate; leave when the one after the last step has been looked
        at.
        """
        distance = norms(adv - state["x"], self.attack.norm)
        lead = margin(logits, state["y"]) - state["slack"] * logits.abs().amax(1)
        better = (lead > 0) & (distance < state["best"])
        state["best"] = torch.where(better, distance, state["best"])
        state["best_adv"] = torch.where(rows(better, adv), adv, state["best_adv"])
        out = state["step"] > self.steps
        if self.attack.stop_early:
            out = out | (state["best"] <= self.attack.eps)
        if not bool(out.any()):
            self.active = state
            return
        some = state["best"].isfinite()
        self.leave(state, out & some, state["best_adv"], final=out)
        self.end_run(take(state, out & ~some))
        self.active = take(state, ~out)

    def accept(self, batch: State) -> None:
        """Keep the smaller of this success and what earlier runs found; go on unless that is good enough."""
        row, distance = batch["row"].cpu(), norms(batch["candidate"] - batch["x"], self.attack.norm)
        known = self.found.distance[row].nan_to_num(torch.inf).to(distance)
        smaller = take(batch, distance < known)
        row, distance = smaller["row"].cpu(), distance[distance < known].cpu()
        self.found.distance[row] = distance
        self.found.success[row] |= distance <= self.attack.eps
        if self.found.adversarial is not None:
            self.found.adversarial[row] = smaller["candidate"].cpu()
        enough = self.found.success[batch["row"].cpu()].to(batch["step"].device) & (not self.attack.exhaustive)
        self.decide(take(batch, enough))
        self.end_run(take(batch, ~enough))

    def refuse(self, batch: State) -> None:
        """Make the run again with a lead demanded of a success; the second time, give the run up."""
        first = batch["slack"] == 0
        again = take(batch, first)
        if size(again):
            state = self.begin(again["row"], again["run"], again["spent"])
            state["slack"] = torch.full_like(state["slack"], SLACK)
            self.parked.append(state)
        self.end_run(take(batch, ~first))


def attack_stepwise(attack: SteppedAttack, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
    """Attack `x` (m, C, H, W): where a low-precision copy is at hand, first with that, the survivors in
    float32.
    """
    if attack.minimises:
        return SmallestSuccess(attack, target, x, y, seed, guide=target.model).run()
    if target.low is None:
        return FirstSuccess(attack, target, x, y, seed, guide=target.model).run()
    early = replace(target, tick=lambda decided: None)
    found = FirstSuccess(attack, early, x, y, seed, guide=target.low, hasty=True).run()
    target.batch_size = early.batch_size
    left = (~found.success).nonzero().flatten()
    target.tick(len(x) - len(left))
    if len(left):
        found.merge(left, FirstSuccess(attack, target, x[left], y[left], seed, guide=target.model).run())
    return found
