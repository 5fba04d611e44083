"""Robust accuracy over many eps for little more than the price of one.

For every sample the largest eps that it resists is looked for from above. At a large eps most samples break
within a few steps; the perturbation that broke one is then shrunk to the smaller eps, where a forward pass
often shows that it still works; only where it does not is the attack started again, at that eps. The search
ends at the first eps where the attack fails. So each sample costs one attack in full, its last, and a few
short ones.

What a point of the curve says: "broken" always rests on a perturbation inside that eps which the original
model gets wrong. "Robust" says that the attack, made at this eps or at a larger one (whose ball holds this
one), found nothing: an upper bound, as every robust accuracy by attack is. It can differ from an attack
made at this very eps where PGD misses in the large ball what it would find in the small one. The curve
falls with eps by construction.

An attack that minimises gives all points in one run, and may lie above attacks made at one eps. The curve says by how
much where that shows most (curve_check.py). FMN towards three classes left, on 400 images of the adversarially trained
resnet4b at four eps under Linf and four under L2, what the everyday tier leaves there, up to one sample; towards no
class in particular, on 200 of them, up to 3 points more. On the TRADES network of MNIST at .35 that left 81 of 100
images more; steps along signs (`FMN(signs=True)`) left none more, of 16 images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.samples import Samples
from robustprune.attacks.contract.target import Target
from robustprune.attacks.contract.texts import check_kind
from robustprune.attacks.engine.curve_check import checked
from robustprune.attacks.engine.dispatch import judged
from robustprune.attacks.engine.evaluate import target_for
from robustprune.attacks.engine.guard import check_samples
from robustprune.attacks.engine.memory import with_fixed_batch
from robustprune.attacks.engine.session import clean_pass
from robustprune.attacks.engine.settings import Basics, Settings
from robustprune.attacks.engine.texts.embedded import behind, embedded
from robustprune.errors import InputError
from robustprune.models.lending import is_text
from robustprune.results.exchanged import EMBEDDING, WORDS
from robustprune.results.records import BROKEN, CLEAN_ERROR, FAILED, ROBUST, Outcomes


def robust_curve(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    eps_list: Sequence[float],
    *,
    check: bool = True,
    anew: bool = False,
    tick: Callable[[int, int], None] | None = None,
    **settings: Unpack[Basics],
) -> list[Outcomes]:
    """Return the outcomes of `attack` at every eps of `eps_list`, in that order; its own eps plays no part.

    `x` (n, C, H, W) in [0,1], or texts (n, T) int64 with an attack on texts; `y` (n,). At eps 0 a sample is robust when
    it is right. A sample that is broken at one eps is broken at every larger one. An attack that minimises (CW) is run
    once, for all eps together, and with `check` it is compared with PGD at the eps where about half of the right
    samples resist: that point's notes say under "beside" what PGD left of the same samples, and the gap. With `anew` a
    sample that resists at one eps is attacked at smaller ones all the same, since a weak attack overshoots at a large
    one; the search goes on until it is broken, and from there until an attack fails.
    Passes and seconds are those spent for each eps; their sum is the cost of the curve, that of the check apart.
    `tick(done, total)` counts samples. `settings`: seed, batch_size, device, fresh, prepared (settings.py
    says what they mean).

    >>> from robustprune.attacks.algorithms.pgd import PGD
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    >>> _ = net[1].weight.data.copy_(torch.tensor([[1.0], [0.0]]))
    >>> _ = net[1].bias.data.copy_(torch.tensor([0.0, 0.5]))
    >>> x, y = torch.tensor([0.6, 0.9]).view(2, 1, 1, 1), torch.tensor([0, 0])  # 0.1 and 0.4 from the border
    >>> [o.status for o in robust_curve(net, x, y, PGD(eps=0), [0, 0.05, 0.2, 0.5])]
    ['rr', 'rr', 'br', 'bb']
    """
    check_samples(x, y)
    if not attack.in_a_ball:
        raise InputError(f"attack {attack.name!r}: {attack.threat} has no curve over eps; expected a threat of a norm")
    check_kind(x, [attack])
    if not eps_list or min(eps_list) < 0 or len(set(eps_list)) < len(eps_list):
        raise InputError(f"eps_list={list(eps_list)}: expected different numbers >= 0")
    x, y = x.detach().to("cpu", torch.int64 if is_text(x) else torch.float32), y.detach().to("cpu", torch.int64)
    given = with_fixed_batch(Settings(precision="float32", keep=True, **settings), [attack])
    with target_for(model, x, given) as target:
        clean, lost = clean_pass(target, x, y)
        if attack.norm == EMBEDDING:
            target, x = _behind(target, x)
        curve = Curve(target, x, y, attack, sorted(eps_list), clean, lost)
        curve.search(given.seed, tick, anew and not curve.once)
        if attack.minimises and check:
            curve.check(given.seed)
    points = {outcome.eps: outcome for outcome in map(curve.outcomes, range(len(eps_list)))}
    return [points[eps] for eps in eps_list]


def _behind(target: Target, x: Tensor) -> tuple[Target, Tensor]:
    """Return what takes embedded texts, and the texts `x` (n, T) as it takes them."""
    inner, net = behind(target)
    return inner, embedded(net, x, inner)


class Curve:
    """The search. Levels count the eps from the smallest (0) upwards.

    `best` (n,): norm of the smallest perturbation known to break a sample, inf for none. `unknown` (n,):
    the level up to which nothing can be said since the attack could not be carried out, -1 for none.
    """

    def __init__(
        self,
        target: Target,
        x: Tensor,
        y: Tensor,
        attack: Attack,
        eps: list[float],
        clean: Tensor,
        lost: Found,
    ) -> None:
        self.target, self.x, self.y, self.attack, self.eps, self.clean = target, x, y, attack, eps, clean
        self.words = attack.norm == WORDS
        """Whether sizes are numbers of words, and no ball's."""
        self.balls = [] if self.words else [type(attack.ball)(eps=one) for one in eps]
        self.limits = [*eps] if self.words else [ball.limit for ball in self.balls]
        self.best = torch.full((len(x),), torch.inf)
        self.unknown = torch.where(lost.failed, len(eps), -1)
        self.steps = torch.zeros(len(eps), len(x), dtype=torch.int64)
        self.spent = [(0, 0, 0.0)] * len(eps)
        self.error = lost.error
        self.beside: dict[int, dict[str, Any]] = {}

    def search(self, seed: int, tick: Callable[[int, int], None] | None, anew: bool = False) -> None:
        """Go down from the largest eps; a sample goes on as long as it breaks, with `anew` until it does, too."""
        falling = self.clean.clone()
        for level in reversed(range(len(self.eps))):
            wanted = falling | self.clean & self.best.isinf() if anew else falling
            row = (wanted & (self.best > self.limits[level])).nonzero().flatten()
            if self.eps[level] > 0 and len(row):
                falling[row] = self.attack_at(level, row, seed)
            if tick is not None:
                tick(len(self.x) - (int(falling.sum()) if level else 0), len(self.x))

    def attack_at(self, level: int, row: Tensor, seed: int) -> Tensor:
        """Attack the samples `row` (k,) at one eps; return which (k, bool) broke and may do so at smaller ones."""
        started, before = time.perf_counter(), self.target.passes.copy()
        least = min(eps for eps in self.eps if eps > 0)
        attack = self.attack.change(eps=least if self.attack.minimises else self.eps[level])
        found = judged(attack, self.target, Samples(self.x[row], self.y[row]), seed)
        self.best[row] = torch.minimum(self.best[row], found.distance.nan_to_num(torch.inf))
        self.steps[level, row] = found.steps
        self.unknown[row[found.failed]] = level
        self.error = self.error or found.error
        if found.adversarial is not None and not self.once:
            self.shrink(level, row[found.success], found.adversarial[found.success])
        spent = self.target.passes.since(before)
        self.spent[level] = (spent.forwards, spent.backwards, time.perf_counter() - started)
        return torch.zeros_like(found.success) if self.once else found.success

    @property
    def once(self) -> bool:
        """Whether one run says what breaks a sample at every eps."""
        return self.attack.minimises or self.words

    def shrink(self, level: int, row: Tensor, adv: Tensor) -> None:
        """Try the perturbed images `adv` (k, ...) at smaller and smaller eps, as long as they work."""
        for ball in reversed([ball for ball in self.balls[:level] if ball.eps > 0]):
            adv = ball.project(adv, self.x[row])
            works = self.wrong(adv, self.y[row])
            row, adv = row[works], adv[works]
            self.best[row] = torch.minimum(self.best[row], ball.size(adv - self.x[row]))

    def wrong(self, adv: Tensor, y: Tensor) -> Tensor:
        """Return (k, bool) what the original model gets wrong, in batches; it is never shown an empty one."""
        if not len(adv):
            return torch.zeros(0, dtype=torch.bool)
        pairs = zip(adv.split(self.target.batch_size), y.split(self.target.batch_size), strict=True)
        device = self.target.device
        return torch.cat([self.target.wrong(some.to(device), labels.to(device)).cpu() for some, labels in pairs])

    def check(self, seed: int) -> None:
        """Compare the level where the count of robust samples is nearest to half the right ones with PGD there."""
        robust = {level: self.robust(level) for level, eps in enumerate(self.eps) if eps > 0}
        if robust:
            level = min(robust, key=lambda one: abs(2 * int(robust[one].sum()) - int(self.clean.sum())))
            self.beside[level] = checked(self.target, self.x, self.y, robust[level], self.balls[level], seed)

    def robust(self, level: int) -> Tensor:
        """Return which samples (n, bool) nothing is known to break at this level."""
        return self.clean & (self.best > self.limits[level]) & (self.unknown < level)

    def outcomes(self, level: int) -> Outcomes:
        """Return what happened to every sample at one eps."""
        eps = self.eps[level]
        broken = (self.best <= self.limits[level]) & self.clean
        letters = [ROBUST if right else CLEAN_ERROR for right in self.clean]
        attacked = level if eps > 0 else len(self.eps)
        for place in (self.unknown >= attacked).nonzero().flatten().tolist():
            letters[place] = FAILED
        for place in broken.nonzero().flatten().tolist():
            letters[place] = BROKEN
        forwards, backwards, seconds = self.spent[level]
        return Outcomes(
            attack=self.attack.name,
            norm=self.attack.norm,
            eps=eps,
            settings={**self.attack.settings, "curve": self.eps},
            notes={**self.target.notes, **({"beside": self.beside[level]} if level in self.beside else {})},
            knowledge=self.attack.knowledge,
            objective=self.attack.objective,
            budget=self.attack.budget,
            **self.attack.allowance,
            status="".join(letters),
            distance=torch.where(broken, self.best, float("nan")).tolist(),
            steps=self.steps[level].tolist(),
            forwards=forwards,
            backwards=backwards,
            seconds=seconds,
            error=self.error,
        )
