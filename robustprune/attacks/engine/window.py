"""The hot loop: a batch whose places are refilled, so that it stays full of samples that still resist.

What leaves the batch as a success is collected and judged by the original model in full batches; what the
original does not confirm goes on where it was. Memory that runs out halves the batch, and nothing is lost,
since all state is per sample. Which samples leave, and when, is for the two kinds of attack to say
(first_success.py, smallest_success.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.randomness import keys
from robustprune.attacks.contract.samples import Samples
from robustprune.attacks.contract.state import State, join, size, take
from robustprune.attacks.contract.stepped import Seen, SteppedAttack
from robustprune.attacks.contract.target import MAJORITY, Counted, Target, misclassified
from robustprune.attacks.engine.looking import Ahead, look
from robustprune.attacks.engine.precision import HASTY

CLEARLY = 0.8
"""The share of fresh passes that a random network has to get wrong for a sample to leave: 17 of 21."""


@dataclass(frozen=True)
class Guide:
    """The network that gives the gradients, and how it is used.

    `foreign`: it is another network than the attacked one (transfer), whose own copy is asked about every iterate.
    `hasty`: a first look, one run of fewer steps.
    """

    net: Counted
    foreign: bool = False
    hasty: bool = False


class Window(ABC):
    """One stepped attack on m samples.

    `reach` is the ball that the judge accepts a candidate in. `planned` holds the runs that wait to be begun, as
    (sample numbers, run numbers); `closed` (m,) says which samples are done.
    """

    def __init__(self, attack: SteppedAttack, target: Target, samples: Samples, seed: int, guide: Guide) -> None:
        self.attack, self.target, self.seed, self.guide = attack, target, seed, guide
        self.x, self.y, self.warm = samples.x, samples.y, samples.warm
        self.stepper = attack.stepper(guide.net)
        self.memory = self.stepper.memory or target.random
        self.ahead = None if target.random else Ahead.of(self.stepper)
        self.steps = max(1, self.stepper.steps // HASTY) if guide.hasty else self.stepper.steps
        self.runs = 1 if guide.hasty else self.stepper.runs
        self.retries = 0 if guide.hasty else self.stepper.retries
        self.found = Found.nothing(self.x, target.keep, target.near)
        self.keys = keys(self.x)
        self.ball = self.reach = attack.ball
        self.closed = torch.zeros(len(self.x), dtype=torch.bool)
        self.planned = [(torch.arange(len(self.x)), torch.zeros(len(self.x), dtype=torch.int64))]
        self.active: State = {}
        self.parked: list[State] = []
        self.leaving: list[State] = []

    def run(self) -> Found:
        """Step until every sample is decided."""
        while not self.target.stop.is_set():
            waiting = sum(size(state) for state in self.leaving)
            if waiting < self.target.batch_size and self.refill():
                batch, self.active = self.active, {}
                self.attempt(self.step, batch, self.parked)
            elif waiting:
                everything = join(self.leaving)
                self.leaving = [take(everything, slice(self.target.batch_size, None))]
                batch = take(everything, slice(self.target.batch_size))
                self.attempt(self.judge, batch, self.leaving)
            else:
                break
        return self.found

    def attempt(self, work: Callable[[State], None], batch: State, queue: list[State]) -> None:
        """Do `work` on `batch`; where memory runs out halve the batch size and queue it again, else it has failed."""
        try:
            work(batch)
            return
        except Exception as error:
            reason = error.with_traceback(None)
        if self.target.shrink(reason):
            queue.append(batch)
        else:
            self.found.fail(batch["row"], reason)
            self.close(batch["row"])

    def refill(self) -> bool:
        """Fill the free places, first with runs that wait half-way, then with new ones; whether any is taken."""
        room = self.target.batch_size - size(self.active)
        parts = [self.active]
        while room > 0 and self.parked:
            waiting = self.parked.pop()
            parts.append(take(waiting, slice(room)))
            if size(waiting) > room:
                self.parked.append(take(waiting, slice(room, None)))
            room -= size(parts[-1])
        while self.planned and (room := self.target.batch_size - sum(size(part) for part in parts)) > 0:
            row, run = self.planned.pop(0)
            wanted = ~self.closed[row]
            row, run = row[wanted], run[wanted]
            if len(row) > room:
                self.planned.insert(0, (row[room:], run[room:]))
            if len(row):
                parts.append(self.enter(row[:room], run[:room]))
        self.active = join(parts)
        return size(self.active) > 0

    def enter(self, row: Tensor, run: Tensor) -> State:
        """Return what `begin` does, empty where it fails; where memory ran out the runs are planned again.

        A stepper may ask the network before its first step, for a class to aim at.
        """
        begun: list[State] = []
        again: list[State] = []

        def work(batch: State) -> None:
            begun.append(self.begin(batch["row"], batch["run"]))

        self.attempt(work, {"row": row, "run": run}, again)
        self.planned[:0] = [(batch["row"], batch["run"]) for batch in again]
        return join([*begun, {}])

    def begin(self, row: Tensor, run: Tensor) -> State:
        """Return the state of the samples `row` (k,) before the first step of their runs `run`."""
        device = self.target.device
        state = {"row": row, "run": run, "step": torch.zeros_like(row), "x": self.x[row], "y": self.y[row]}
        if self.warm is not None:
            state["warm"] = self.warm[row]
        state = {name: value.to(device) for name, value in state.items()}
        self.stepper.start(state, self.keys[row], self.seed)
        state.pop("warm", None)
        self.prepare(state)
        return state

    def step(self, batch: State) -> None:
        """Take one step with every sample of the batch, then let go of those that are done."""
        batch, seen, logits = self.look(batch)
        with torch.no_grad():
            if self.guide.foreign:
                seen, logits = self.abroad(seen, batch)
            state = batch | {"step": batch["step"] + 1}
            self.stepper.advance(state, seen)
            self.sort(state, batch["adv"], logits, seen.wrong)

    def look(self, batch: State) -> tuple[State, Seen, Tensor]:
        """Return what the network shows at iterates of `batch`, which for the patient may be further on, with these."""
        if self.ahead is not None and self.ahead.room(batch, self.target.batch_size) > 1:
            return self.ahead.look(self.guide.net, batch, self.steps, self.target.batch_size)
        return batch, *look(self.guide.net, self.stepper, batch)

    def abroad(self, seen: Seen, batch: State) -> tuple[Seen, Tensor]:
        """Return what the guide showed with the verdicts of the attacked network, and that one's mean logits."""
        passes = torch.stack([self.target.model(batch["adv"]) for _ in range(self.stepper.eot)])
        votes = torch.stack([misclassified(logits, batch["y"]) for logits in passes]).sum(0)
        return replace(seen, wrong=2 * votes > self.stepper.eot), passes.mean(0)

    def judge(self, batch: State) -> None:
        """Let the original model decide on the candidates of `batch`.

        A random network has to be clearly wrong for a sample to leave before the end of its run: the steps that are
        left may carry it further over the border, where its verdict (random_parts.py) does not hang on luck.
        """
        confirmed = self.reach.inside(batch["candidate"], batch["x"])
        share = torch.where(batch["final"], MAJORITY, CLEARLY)
        confirmed &= self.target.wrong(batch["candidate"], batch["y"], share)
        self.accept(take(batch, confirmed))
        self.refuse(take(batch, ~confirmed))

    def leave(self, state: State, where: Tensor, candidate: Tensor, final: Tensor) -> None:
        """Queue the samples `where` (k, bool) for the judge; if it says no, those of `final` end their run."""
        if bool(where.any()):
            self.leaving.append(take(state | {"candidate": candidate, "final": final}, where))

    def end_run(self, state: State) -> None:
        """Plan the next run (value of c) of the samples of `state`; those without one have resisted."""
        self.book(state)
        row, run = state["row"].cpu(), state["run"].cpu() + 1
        more = run < self.runs
        self.planned.append((row[more], run[more]))
        self.close(row[~more])

    def book(self, state: State) -> None:
        """Write down the steps spent in a run that is over."""
        self.found.steps.index_add_(0, state["row"].cpu(), state["step"].cpu())

    def close(self, row: Tensor) -> None:
        """Nothing more is done with the samples `row` (k,), whatever else of them is still under way."""
        row = row.cpu().unique()
        news = int((~self.closed[row]).sum())
        self.closed[row] = True
        if news:
            self.target.tick(news)

    @abstractmethod
    def prepare(self, state: State) -> None:
        """Add to the state of samples that begin a run what `sort` keeps there."""

    @abstractmethod
    def sort(self, state: State, adv: Tensor, logits: Tensor, wrong: Tensor) -> None:
        """Part the samples that go on (into `active`) from those that leave.

        `logits` and `wrong` belong to the iterates `adv`; `state` is one step further.
        """

    @abstractmethod
    def accept(self, batch: State) -> None:
        """Take note of successes that the original model has confirmed."""

    @abstractmethod
    def refuse(self, batch: State) -> None:
        """Go on with samples whose candidate the original model did not confirm."""
