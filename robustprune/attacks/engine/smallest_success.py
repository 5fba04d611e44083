"""Attacks that minimise: the smallest success of all runs is looked for, also beyond the budget."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from robustprune.attacks.contract.losses import margin
from robustprune.attacks.contract.state import State, size, take
from robustprune.attacks.contract.threat import rows
from robustprune.attacks.engine.window import Window

LEADS, RANDOM_LEADS = (0.0, 1e-3), (1 / 8, 1 / 2)
"""The lead of the wrong class that is demanded of a success in a first and in a second run, of the largest logit.

The second is made where the original has not confirmed the smallest success of the first. A random network is right in
half of its passes where the lead is 0, and so its verdict would hang on luck.
"""


class SmallestSuccess(Window):
    """The smallest success of all runs is looked for, also beyond the budget."""

    @property
    def leads(self) -> tuple[float, float]:
        """The leads demanded in a first and in a second run."""
        return RANDOM_LEADS if self.target.random else LEADS

    def prepare(self, state: State) -> None:
        """Start without a success; keep the lead demanded of one."""
        self.reach = replace(self.ball, eps=torch.inf)
        state["best"] = torch.full_like(state["step"], torch.inf, dtype=torch.float32)
        state["best_adv"] = state["x"]
        state["slack"] = torch.full_like(state["best"], self.leads[0])

    def sort(self, state: State, adv: Tensor, logits: Tensor, wrong: Tensor) -> None:
        """Remember the smallest adversarial iterate; leave when the one after the last step has been looked at."""
        distance = self.ball.size(adv - state["x"])
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
        row, distance = batch["row"].cpu(), self.ball.size(batch["candidate"] - batch["x"])
        known = self.found.distance[row].nan_to_num(torch.inf).to(distance)
        smaller = take(batch, distance < known)
        row, distance = smaller["row"].cpu(), distance[distance < known].cpu()
        self.found.distance[row] = distance
        self.found.success[row] |= distance <= self.attack.eps
        if self.found.adversarial is not None:
            self.found.adversarial[row] = smaller["candidate"].cpu()
        enough = self.found.success[batch["row"].cpu()].to(batch["step"].device) & (not self.attack.exhaustive)
        self.book(take(batch, enough))
        self.close(batch["row"][enough])
        self.end_run(take(batch, ~enough))

    def refuse(self, batch: State) -> None:
        """Make the run again with a lead demanded of a success; the second time, give the run up."""
        first = batch["slack"] == self.leads[0]
        again = take(batch, first)
        if size(again):
            self.book(again)
            state = self.begin(again["row"].cpu(), again["run"].cpu())
            state["slack"] = torch.full_like(state["slack"], self.leads[1])
            self.parked.append(state)
        self.end_run(take(batch, ~first))
