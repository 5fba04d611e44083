"""The run of Auto-PGD (Croce & Hein 2020, arXiv 2003.01690), shared by its two kinds on torchattacks' two classes.

torchattacks keeps what it does well: the loops over restarts and target classes, on the samples still right.
The run itself is written anew, because that of torchattacks 3.5.1 departs from the published algorithm and
from our contract:

- in APGDT under L2 every sample moves by the step size of the FIRST sample of the batch (`step_size[0]`), so
  halving acts on the wrong samples and neighbours change outcomes; early public code had this slip too;
- its start is drawn for the whole batch, so outcomes depend on the batch size. Here a start is drawn from the
  seed, the content of the image and the number of the run: neither place nor neighbours matter;
- a sample already broken is carried along to the last iteration; here it leaves at its first clearly
  adversarial iterate, which changes nothing for the others: every quantity of the algorithm belongs to one
  sample.

Under Linf and from the same start the iterates equal those of torchattacks (a test holds that).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.attacks.algorithms.apgd_balls import BALLS, Ball
from robustprune.attacks.algorithms.dlr import TINY
from robustprune.attacks.algorithms.targets import check_targets
from robustprune.attacks.contract.randomness import generators, keys
from robustprune.attacks.contract.threat import rows

CLEARLY = 1e-4
"""A sample leaves the run once a wrong class leads by this share of the largest logit.

The copy that gradients are taken from may differ from the original by as much, and the original has the last word.
"""

MOMENTUM = 0.75
"""alpha of equation (1): the share of the new step; the rest repeats the last move."""

FIRST_CHECK, SHRINK, SHORTEST = 0.22, 0.03, 0.06
"""Checkpoints (section 3.1): after 22 % of the iterations, then at gaps shrinking by 3 % down to 6 %."""


def checkpoints(steps: int) -> list[int]:
    """Return the iterations after which the step size may be halved (section 3.1, rounded as public code does).

    >>> checkpoints(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    gap, shrink, shortest = (max(int(share * steps), 1) for share in (FIRST_CHECK, SHRINK, SHORTEST))
    found, at = [], gap
    while at <= steps:
        found.append(at)
        gap = max(gap - shrink, shortest)
        at += gap
    return found


class Run:
    """The state of one run; every tensor has a row for each sample that is still right."""

    def __init__(self, x: Tensor, y: Tensor, target: Tensor | None, start: Tensor, ball: Ball) -> None:
        self.x, self.y, self.target, self.ball = x, y, target, ball
        self.at = self.before = start
        self.row = torch.arange(len(x), device=x.device)
        self.step = torch.full((len(x), *[1] * (x.ndim - 1)), 2 * ball.eps, device=x.device)
        self.risen = torch.zeros(len(x), device=x.device)
        self.halved = torch.ones(len(x), dtype=torch.bool, device=x.device)

    def begin(self, loss: Tensor, grad: Tensor) -> None:
        """Take the start as the best point so far."""
        self.grad, self.best, self.best_grad = grad, self.at, grad
        self.best_loss, self.checked_loss, self.last_loss = loss, loss, torch.zeros_like(loss)

    def keep(self, chosen: Tensor) -> None:
        """Drop the samples that are not in `chosen` (bool)."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[chosen])

    def move(self, first: bool) -> None:
        """Make one step with momentum (equation 1), each half of it projected."""
        share = 1.0 if first else MOMENTUM
        plain = self.ball.project(self.at + self.step * self.ball.steepest(self.grad, self.at), self.x)
        there = self.at + share * (plain - self.at) + (1 - share) * (self.at - self.before)
        self.before, self.at = self.at, self.ball.project(there, self.x)

    def learn(self, loss: Tensor, grad: Tensor) -> None:
        """Remember the best point; count how often the loss rose since the last checkpoint.

        The first loss is compared with 0, an unused row of the public code's table, and so it is here: one
        more or one less rise in the first 22.
        """
        self.risen = self.risen + (loss > self.last_loss)
        self.grad, self.last_loss = grad, loss
        better = loss > self.best_loss
        wide = rows(better, self.at)
        self.best = torch.where(wide, self.at, self.best)
        self.best_grad = torch.where(wide, grad, self.best_grad)
        self.best_loss = torch.where(better, loss, self.best_loss)

    def check(self, length: int, rho: float) -> None:
        """Halve the step and go back to the best point where progress was poor (conditions 1 and 2)."""
        stuck = ~self.halved & (self.checked_loss >= self.best_loss)
        halve = (self.risen <= rho * length) | stuck
        wide = rows(halve, self.at)
        self.step = torch.where(wide, self.step / 2, self.step)
        self.at = torch.where(wide, self.best, self.at)
        self.grad = torch.where(wide, self.best_grad, self.grad)
        self.halved, self.checked_loss, self.risen = halve, self.best_loss, torch.zeros_like(self.risen)


class SingleRun(ABC):
    """Replaces `attack_single_run` of torchattacks' APGD and APGDT."""

    model: nn.Module
    norm: str
    eps: float
    steps: int
    seed: int
    eot_iter: int
    thr_decr: float
    get_logits: Callable[[Tensor], Tensor]
    perturb: Callable[..., Any]
    target_class: int | None = None

    @property
    def ball(self) -> Ball:
        """The threat, in APGD's formulae."""
        return BALLS[self.norm](eps=self.eps)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Attack a batch; what comes back carries no gradients."""
        self._runs = 0
        with torch.no_grad():
            _, found = self.perturb(images.detach(), labels)
        return torch.as_tensor(found).detach()

    def attack_single_run(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (adversarial or last point, still right, best loss, the first again), a row a sample."""
        target = None if self.target_class is None else self._target(x, self.target_class)
        found, right = x.clone(), torch.ones(len(x), dtype=torch.bool, device=x.device)
        best_loss = torch.zeros_like(x[:, 0, 0, 0])
        run = Run(x, y, target, self._random_start(x), self.ball)
        marks, last = checkpoints(self.steps), 0
        for step in range(self.steps + 1):
            if step:
                run.move(first=step == 1)
            loss, grad, gap = self._look(run)
            run.begin(loss, grad) if step == 0 else run.learn(loss, grad)
            best_loss[run.row] = run.best_loss
            shown = (gap > 0) | right[run.row]
            found[run.row[shown]] = run.at[shown]
            right[run.row[gap > 0]] = False
            if step in marks:
                run.check(step - last, self.thr_decr)
                last = step
            if bool((gap > CLEARLY).any()):
                run.keep(gap <= CLEARLY)
            if not len(run.row):
                break
        return found, right, best_loss, found

    def _target(self, x: Tensor, place: int) -> Tensor:
        """Return the class (m,) whose logit on the clean image is the `place`-th largest."""
        logits = self.get_logits(x)
        check_targets(place - 1, logits)
        return logits.argsort(1)[:, -place]

    def _look(self, run: Run) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss (m,), its input gradient averaged over `eot_iter` passes, and the gap (m,) to a wrong class.

        The gap is that of the largest logit over the true one, as a share of the largest in magnitude;
        infinite for logits that are not a number. A gradient that is not a number does not move the sample.
        """
        total = torch.zeros_like(run.at)
        for _ in range(self.eot_iter):
            point = run.at.detach().requires_grad_()
            with torch.enable_grad():
                logits = self.get_logits(point)
                loss = self._loss(logits, run.y, run.target)
                (grad,) = torch.autograd.grad(loss.sum(), point)
            total += grad
        logits = logits.detach()
        gap = logits.amax(1) - logits.gather(1, run.y[:, None])[:, 0]
        gap = (gap / (logits.abs().amax(1) + TINY)).nan_to_num(nan=torch.inf)
        return loss.detach(), (total / self.eot_iter).nan_to_num(), gap

    @abstractmethod
    def _loss(self, logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
        """Return (m,) what is maximised, from logits (m, classes)."""

    def _random_start(self, x: Tensor) -> Tensor:
        """Return a random point on the surface of every sample's ball, cut to [0,1]."""
        self._runs += 1
        return self.ball.start(x, generators(self.seed, keys(x), torch.full((len(x),), self._runs)))
