"""What comes back: what one attack found, what was spent, and what one evaluation returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustprune.results.records import Outcomes


@dataclass
class Found:
    """What one attack found on m samples, in the order given to it.

    `success` (m, bool): the original model in float32 is wrong on a checked perturbation inside the budget.
    `distance` (m, float32): norm of the smallest perturbation known to break the sample, nan where none is
    known. An attack that minimises (CW) may know one beyond the budget: then `success` is False and
    `distance` > eps. `steps` (m, int64): iterations spent. `failed` (m, bool): the attack could not be
    carried out, `error` says why. `adversarial` (m, ...): the perturbed images where `success`, the clean
    ones elsewhere; None unless asked for.
    """

    success: Tensor
    distance: Tensor
    steps: Tensor
    failed: Tensor
    adversarial: Tensor | None = None
    error: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    """What else the results should record about this attack."""
    near: Tensor | None = None
    """(m, ...) the iterate at which the true class led by least, where a later attack begins; None unless asked for."""
    lead: Tensor | None = None
    """(m,) that lead, in logits; inf where no iterate was looked at."""

    @classmethod
    def nothing(cls, x: Tensor, keep: bool = False, near: bool = False) -> Found:
        """Return the state before an attack of the samples `x`: nothing found, nothing spent, all on the CPU."""
        n = len(x)
        return cls(
            near=x.detach().cpu().clone() if near else None,
            lead=torch.full((n,), torch.inf) if near else None,
            success=torch.zeros(n, dtype=torch.bool),
            distance=torch.full((n,), float("nan")),
            steps=torch.zeros(n, dtype=torch.int64),
            failed=torch.zeros(n, dtype=torch.bool),
            adversarial=x.detach().cpu().clone() if keep else None,
        )

    def put(self, rows: Tensor, adv: Tensor, success: Tensor, distance: Tensor, steps: Tensor) -> None:
        """Write down the results of the samples `rows` (k,): `adv` (k, ...), the rest (k,)."""
        rows = rows.cpu()
        self.success[rows] = success.cpu()
        self.distance[rows] = torch.where(success, distance, float("nan")).cpu()
        self.steps[rows] = steps.cpu()
        if self.adversarial is not None:
            self.adversarial[rows] = adv.detach().cpu()

    def came_near(self, rows: Tensor, lead: Tensor, adv: Tensor) -> None:
        """Remember the iterates `adv` (k, ...) of the samples `rows` (k,) whose lead (k,) is the smallest so far."""
        if self.near is None or self.lead is None:
            return
        order = lead.argsort(stable=True)
        best = order[np.unique(rows[order].numpy(), return_index=True)[1]]
        best = best[lead[best] < self.lead[rows[best]]]
        self.lead[rows[best]], self.near[rows[best]] = lead[best], adv[best]

    def merge(self, rows: Tensor, later: Found) -> None:
        """Put what a later attempt found on the samples `rows` (k,) over what was known; steps add up."""
        self.success[rows], self.distance[rows] = later.success, later.distance
        self.steps[rows] += later.steps
        self.failed[rows] = later.failed
        self.error = self.error or later.error
        if self.adversarial is not None and later.adversarial is not None:
            self.adversarial[rows] = later.adversarial
        if later.near is not None and later.lead is not None:
            self.came_near(rows, later.lead, later.near)

    def forgiven(self, what: str) -> dict[str, str]:
        """Forget that the attack could not be carried out; return a note under the name `what` if that was so.

        >>> found = Found.nothing(torch.zeros(1, 1, 2, 2))
        >>> found.fail(torch.tensor([0]), RuntimeError("no kernel"))
        >>> found.forgiven("first pass"), found.failed.tolist(), found.error
        ({'first pass': 'RuntimeError: no kernel'}, [False], None)
        """
        note = {what: self.error} if self.error else {}
        self.failed, self.error = torch.zeros_like(self.failed), None
        return note

    def fail(self, rows: Tensor, reason: BaseException) -> None:
        """Mark `rows` as not attacked; never robust. The first reason is kept.

        >>> found = Found.nothing(torch.zeros(2, 1, 2, 2))
        >>> found.fail(torch.tensor([1]), RuntimeError("no kernel"))
        >>> found.failed.tolist(), found.error
        ([False, True], 'RuntimeError: no kernel')
        """
        self.failed[rows.cpu()] = True
        self.error = self.error or f"{type(reason).__name__}: {reason}".splitlines()[0]


@dataclass
class Passes:
    """What was spent, in samples that went through the network."""

    forwards: int = 0
    backwards: int = 0

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forwards + other.forwards, self.backwards + other.backwards)

    def since(self, earlier: Passes) -> Passes:
        """Return the difference to an earlier reading.

        >>> Passes(forwards=5, backwards=3).since(Passes(forwards=1, backwards=1))
        Passes(forwards=4, backwards=2)
        """
        return Passes(self.forwards - earlier.forwards, self.backwards - earlier.backwards)

    def copy(self) -> Passes:
        """Return a reading that stays as it is."""
        return Passes(self.forwards, self.backwards)


@dataclass
class Evaluation:
    """What `evaluate` returns: per sample the clean verdict, per attack the outcomes."""

    clean: list[bool]
    outcomes: list[Outcomes] = field(default_factory=list)
    adversarials: list[Tensor | None] = field(default_factory=list)
    """One entry an attack: the perturbed images (n, C, H, W) on the CPU, clean where not broken; None unless kept."""
    notes: dict[str, Any] = field(default_factory=dict)
    """How it was done: whether BatchNorm was folded, the precision, the batch size in the end."""
