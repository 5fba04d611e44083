"""All attacks on all samples of one network, in the order that costs least.

Samples that are wrong without any attack are never attacked. The attacks of one threat model (norm and eps)
form a chain, cheapest first; a later one sees the survivors only. Whatever an attack claims, a sample is
broken only when the original model in float32 says so, inside the budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.found import Evaluation, Found
from robustprune.attacks.contract.samples import Samples
from robustprune.attacks.contract.target import Target
from robustprune.attacks.engine.batches import in_batches
from robustprune.attacks.engine.dispatch import run
from robustprune.errors import InputError
from robustprune.results.records import BROKEN, BROKEN_EARLIER, CLEAN_ERROR, FAILED, ROBUST, Outcomes


@dataclass
class Session:
    """One call of `evaluate`: which samples are right, and which are broken under which threat model.

    `near`: threat model -> for every sample the iterate (n, C, H, W) that came nearest to success, and the true class's
    lead (n,) there; kept where an attack begins with them.
    """

    target: Target
    x: Tensor
    y: Tensor
    seed: int
    count: int
    tick: Callable[[int, int], None] | None
    keep: bool = False
    done: int = 0
    broken: dict[str, Tensor] = field(default_factory=dict)
    near: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def run(self, attacks: Sequence[Attack], on_outcome: Callable[[Outcomes], None] | None) -> Evaluation:
        """Make the clean pass, then the attacks, the cheapest first."""
        self.target.tick = self.advance
        self.clean, self.lost = clean_pass(self.target, self.x, self.y)
        outcomes: list[Outcomes | None] = [None] * len(attacks)
        images: list[Tensor | None] = [None] * len(attacks)
        order = sorted(range(len(attacks)), key=lambda i: attacks[i].effort)
        for number, place in enumerate(order):
            later = [attacks[i] for i in order[number + 1 :] if attacks[i].warm]
            self.target.near = any(one.threat == attacks[place].threat for one in later)
            outcome, images[place] = self.attack(attacks[place])
            outcomes[place] = outcome
            if on_outcome is not None:
                on_outcome(outcome)
        notes = {**self.target.notes, "batch_size": self.target.batch_size}
        done = [outcome for outcome in outcomes if outcome is not None]
        return Evaluation(clean=self.clean.tolist(), outcomes=done, adversarials=images, notes=notes)

    def attack(self, attack: Attack) -> tuple[Outcomes, Tensor | None]:
        """Run one attack on what the chain has left of the samples, and write down what happened to each."""
        started, before = time.perf_counter(), self.target.passes.copy()
        earlier = torch.zeros_like(self.clean)
        if not attack.alone:
            earlier = self.broken.setdefault(attack.threat, earlier)
        row = (self.clean & ~earlier).nonzero().flatten()
        self.advance(len(self.x) - len(row))
        found = self.carried_out(attack, row)
        spent = self.target.passes.since(before)
        status = self.letters(row, found, earlier)
        outcome = Outcomes(
            attack=attack.name,
            norm=attack.norm,
            eps=attack.eps,
            settings={"seed": self.seed, **attack.settings},
            notes={**self.target.notes, **found.notes},
            knowledge=attack.knowledge,
            objective=attack.objective,
            budget=attack.budget,
            **attack.allowance,
            status=status,
            distance=scatter(found.distance, row, len(self.x), float("nan")),
            steps=scatter(found.steps, row, len(self.x), 0),
            forwards=spent.forwards,
            backwards=spent.backwards,
            seconds=time.perf_counter() - started,
            error=found.error or self.lost.error,
        )
        if not attack.alone:
            self.broken[attack.threat] = earlier | torch.tensor([letter == BROKEN for letter in status])
        return outcome, self.images(row, found)

    def carried_out(self, attack: Attack, row: Tensor) -> Found:
        """Run the attack on the samples `row`; one that falls over as a whole has failed on all of them."""
        found = Found.nothing(self.x[row], self.target.keep)
        if not len(row):
            return found
        try:
            warm = self.near[attack.threat][0][row] if attack.warm and attack.threat in self.near else None
            found = run(attack, self.target, Samples(self.x[row], self.y[row], warm), self.seed)
            self.remember(attack, row, found)
            return found
        except InputError:
            raise
        except Exception as error:
            found.fail(torch.arange(len(row)), error)
        return found

    def remember(self, attack: Attack, row: Tensor, found: Found) -> None:
        """Keep where the samples `row` came nearest to success, for attacks that begin there."""
        if found.near is None or found.lead is None:
            return
        image, lead = self.near.setdefault(attack.threat, (self.x.clone(), torch.full((len(self.x),), torch.inf)))
        closer = found.lead < lead[row]
        image[row[closer]], lead[row[closer]] = found.near[closer], found.lead[closer]

    def letters(self, row: Tensor, found: Found, earlier: Tensor) -> str:
        """Return one letter a sample (results/records.py)."""
        letters = [BROKEN_EARLIER if gone else CLEAN_ERROR for gone in earlier.tolist()]
        for place in self.lost.failed.nonzero().flatten().tolist():
            letters[place] = FAILED
        for place, hit, lost in zip(row.tolist(), found.success.tolist(), found.failed.tolist(), strict=True):
            letters[place] = BROKEN if hit else FAILED if lost else ROBUST
        return "".join(letters)

    def images(self, row: Tensor, found: Found) -> Tensor | None:
        """Return the perturbed images (n, C, H, W), clean where there is none; None unless wanted."""
        if not self.keep:
            return None
        images = self.x.clone()
        if found.adversarial is not None:
            images[row] = found.adversarial
        return images

    def advance(self, decided: int) -> None:
        """Tell the caller how far we are."""
        self.done += decided
        if self.tick is not None:
            self.tick(self.done, self.count * len(self.x))


@torch.no_grad()
def clean_pass(target: Target, x: Tensor, y: Tensor) -> tuple[Tensor, Found]:
    """Return which samples (n, bool) the original gets right, and which could not even be asked about.

    Raises InputError where that is all of them: a network that never runs has no accuracy.
    """
    lost = Found.nothing(x)
    right = torch.zeros(len(x), dtype=torch.bool)

    def batch(row: Tensor) -> None:
        right[row] = ~target.wrong(x[row].to(target.device), y[row].to(target.device)).cpu()
        check_classes(y, target.judge.classes)

    in_batches(target, len(x), lost, batch, passing=(InputError,))
    if lost.failed.all():
        shape = tuple(x.shape[1:])
        raise InputError(f"model: its forward pass fails on all {len(x)} samples of shape {shape}: {lost.error}")
    return right, lost


def check_classes(y: Tensor, classes: int) -> None:
    """Refuse class numbers that the network has no logit for."""
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        raise InputError(f"y: expected classes 0..{classes - 1} as the model has logits, found {low}..{high}")


def scatter(values: Tensor, row: Tensor, n: int, empty: float) -> list[Any]:
    """Return `values` (m,) at the places `row` of a list of n, `empty` elsewhere."""
    full = torch.full((n,), empty, dtype=values.dtype)
    full[row] = values
    listed: list[Any] = full.tolist()
    return listed
