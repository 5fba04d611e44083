"""All attacks on all samples of one network, in the order that costs least.

Samples that are wrong without any attack are never attacked. The attacks of one threat model (norm and eps)
form a chain, cheapest first; a later one sees the survivors only. Whatever an attack claims, a sample is
broken only when the original model in float32 says so, inside the budget.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.attacks.base import Attack, Evaluation, Found, Passes
from robustprune.attacks.context import attacking, check_samples, device_of
from robustprune.attacks.fold import SAMPLES, attack_copy
from robustprune.attacks.precision import InBfloat16, Precision, wants_bfloat16
from robustprune.attacks.target import Counted, Target, misclassified
from robustprune.errors import InputError
from robustprune.results import BROKEN, BROKEN_EARLIER, CLEAN_ERROR, FAILED, ROBUST, Outcomes


def evaluate(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attacks: Sequence[Attack],
    *,
    seed: int = 0,
    batch_size: int = 128,
    device: torch.device | str | None = None,
    parent: nn.Module | Sequence[nn.Module] | None = None,
    tick: Callable[[int, int], None] | None = None,
    on_outcome: Callable[[Outcomes], None] | None = None,
    keep: bool = False,
    precision: Precision = "auto",
) -> Evaluation:
    """Attack `model` on the images `x` (n, C, H, W) in [0,1] with true classes `y` (n,); return per-sample
    outcomes.

    `model` returns logits (n, classes); it is used in eval mode and comes back exactly as it was. The
    outcomes stand in the order of `attacks`. The same seed gives the same outcomes; order and batch size of
    the samples play no part, since randomness is drawn from each sample's content. `parent`: network(s) for
    transfer attacks. `tick(done, total)` counts samples times attacks. `on_outcome` gets each attack's
    outcomes as soon as they are there, so that nothing is lost when a later attack is interrupted. `keep`:
    also return the perturbed images. `precision`: "auto" makes a first pass in bfloat16 where the processor
    computes in it; float32 confirms and repeats, whatever is set.

    Raises InputError for images outside [0,1], NaN, wrong shapes, no logits, or two attacks of one name and
    budget.

    >>> from robustprune.attacks.pgd import PGD
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    >>> _ = net[1].weight.data.copy_(torch.tensor([[-1.0], [0.0]]))  # class 0 at x = 0, class 1 above
    >>> result = evaluate(net, torch.tensor([0.5]).view(1, 1, 1, 1), torch.tensor([1]), [PGD(eps=0.1)])
    >>> result.clean, result.outcomes[0].status
    ([True], 'r')
    """
    check_samples(x, y)
    check_attacks(attacks)
    x, y = x.detach().to("cpu", torch.float32), y.detach().to("cpu", torch.int64)
    parents = tuple([parent] if isinstance(parent, nn.Module) else parent or ())
    with target_for(model, x, device, batch_size, precision, parents) as target:
        target.keep = keep
        return Session(target, x, y, seed, len(attacks), tick).run(attacks, on_outcome)


def check_attacks(attacks: Sequence[Attack]) -> None:
    """Refuse attacks whose results could not be told apart."""
    labels = [f"{attack.name} at {attack.threat}" for attack in attacks]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InputError(f"attacks: {twice[0]} is there twice; give one of them another name=...")


def moved(model: nn.Module, device: torch.device) -> nn.Module:
    """Return `model` itself where it lies on `device` already, else a copy there."""
    here = device_of(model)
    same = here.type == device.type and (device.index is None or device.index == here.index)
    return model if same else copy.deepcopy(model).to(device)


@contextmanager
def target_for(
    model: nn.Module,
    x: Tensor,
    device: torch.device | str | None,
    batch_size: int,
    precision: Precision = "float32",
    parents: tuple[nn.Module, ...] = (),
) -> Iterator[Target]:
    """Lend what attacks see of `model` on `device`: a lean copy for gradients, and the original as judge.

    `x` (n, C, H, W) are samples on which the copy is compared with the original. `model` and `parents` come
    back as they were.
    """
    place = torch.device(device) if device is not None else device_of(model)
    model, parents = moved(model, place), tuple(moved(one, place) for one in parents)
    passes, low = Passes(), wants_bfloat16(precision, place)
    with ExitStack() as stack:
        for network in (model, *parents):
            stack.enter_context(attacking(network))
        lean, folded = attack_copy(model, x[:SAMPLES].to(place))
        yield Target(
            model=Counted(lean, passes, place).eval(),
            judge=Counted(model, passes, place),
            low=Counted(InBfloat16(lean, place), passes, place).eval() if low else None,
            device=place,
            batch_size=batch_size,
            passes=passes,
            parents=parents,
            notes={"batchnorm_folded": folded, "precision": "bfloat16, then float32" if low else "float32"},
        )


@dataclass
class Session:
    """One call of `evaluate`: which samples are right, and which are broken under which threat model."""

    target: Target
    x: Tensor
    y: Tensor
    seed: int
    count: int
    tick: Callable[[int, int], None] | None
    done: int = 0
    broken: dict[str, Tensor] = field(default_factory=dict)

    def run(self, attacks: Sequence[Attack], on_outcome: Callable[[Outcomes], None] | None) -> Evaluation:
        """Make the clean pass, then the attacks, the cheapest first."""
        self.target.tick = self.advance
        self.clean, self.lost = clean_pass(self.target, self.x, self.y)
        outcomes: list[Outcomes | None] = [None] * len(attacks)
        images: list[Tensor | None] = [None] * len(attacks)
        for place in sorted(range(len(attacks)), key=lambda i: attacks[i].effort):
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
            return attack.run(self.target, self.x[row], self.y[row], self.seed)
        except InputError:
            raise
        except Exception as error:
            found.fail(torch.arange(len(row)), error)
        return found

    def letters(self, row: Tensor, found: Found, earlier: Tensor) -> str:
        """Return one letter a sample (results.py)."""
        letters = [BROKEN_EARLIER if gone else CLEAN_ERROR for gone in earlier.tolist()]
        for place in self.lost.failed.nonzero().flatten().tolist():
            letters[place] = FAILED
        for place, hit, lost in zip(row.tolist(), found.success.tolist(), found.failed.tolist(), strict=True):
            letters[place] = BROKEN if hit else FAILED if lost else ROBUST
        return "".join(letters)

    def images(self, row: Tensor, found: Found) -> Tensor | None:
        """Return the perturbed images (n, C, H, W), clean where there is none; None unless wanted."""
        if not self.target.keep:
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
    """Return which samples (n, bool) the original gets right, and which could not even be asked about."""
    lost = Found.nothing(x)
    right = torch.zeros(len(x), dtype=torch.bool)
    start = 0
    while start < len(x):
        row = torch.arange(start, min(start + target.batch_size, len(x)))
        try:
            logits = target.judge(x[row].to(target.device)).cpu()
            check_classes(y, logits.shape[1])
            right[row] = ~misclassified(logits, y[row])
        except InputError:
            raise
        except Exception as error:
            if target.shrink(error):
                continue
            lost.fail(row, error)
        start += len(row)
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
