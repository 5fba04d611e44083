"""The attack unit test (Zimmermann et al., NeurIPS 2022): networks with planted answers, and are they found?

Both networks see an image only through t = u . x - u . 0.5, with u drawn at random, and both tell class 0 from class 1;
further classes are there for attacks that need them, with logits so low that they never win.

- *linear*: class 1 where t > 0. The distance of a point with t < 0 is |t| / |u|, |u| in the dual norm.
- *slab*: class 1 where |t| < width, a network of two layers: z_1 - z_0 = width - relu(t) - relu(-t). Points are planted
  beside it, closer to it than eps, and the slab is thinner than eps: a single step of full length jumps over it, as may
  any attack with a step that is too long, or that returns its last iterate instead of looking on the way.

Images lie around 0.5, so that the box [0,1] plays no part, and an eps above the largest of its norm (scales.py; 0.1
under Linf) is tested at that: the answer is then exact and does not depend on the budget. Half of the points lie inside
the budget (at 0.5 to 0.9 eps) and half outside (at 1.1 to 2 eps); the first must be found, the second must not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.engine.evaluate import evaluate
from robustprune.evidence.scales import SCALES
from robustprune.results.records import BROKEN

Kind = Literal["linear", "slab"]

KINDS: tuple[Kind, ...] = ("linear", "slab")

SHAPE, POINTS = (1, 8, 8), 40
"""One image, and how many there are."""

FAR = -30.0
"""Logit of the classes that never win; the two that matter stay within a few units of 0."""

SEARCHING = ("white box", "logits by query", "labels by query")
"""What attacks know that search on the network itself."""


class Planted(nn.Module):
    """Maps images (n, 1, 8, 8) to logits (n, k) through t = u . (x - 0.5) alone; |u| = 1 in the dual norm."""

    u: Tensor

    def __init__(self, u: Tensor, kind: Kind, width: float, k: int) -> None:
        super().__init__()
        self.register_buffer("u", u)
        self.kind, self.width, self.k = kind, width, k

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        t = (x - 0.5).flatten(1) @ self.u
        lead = t if self.kind == "linear" else self.width - F.relu(t) - F.relu(-t)
        gap = (lead / self.width)[:, None]
        rest = gap.new_full((len(gap), self.k - 2), FAR) - torch.arange(self.k - 2, device=gap.device)
        return torch.cat((-gap / 2, gap / 2, rest), 1)


@dataclass(frozen=True)
class Findings:
    """What the attacks found on one planted network, of what is there; `invented` of what is not."""

    kind: Kind
    found: int
    there: int
    invented: int
    outside: int

    @property
    def error(self) -> float:
        """Share missed, or share reported broken that cannot be."""
        return max(1 - self.found / self.there, self.invented / self.outside)

    def __str__(self) -> str:
        return f"{self.kind}: found {self.found} of {self.there}, invented {self.invented} of {self.outside}"


def findings(attacks: tuple[Attack, ...], k: int = 10) -> list[Findings]:
    """Run the attacks of one threat model, as a chain, on both networks with `k` classes.

    Attacks that do not search on it (noise, transfer) are left out; an empty list where no other is left. The same
    attacks give the same findings, so they are remembered.

    >>> from robustprune.attacks.algorithms.pgd import PGD
    >>> [str(one) for one in findings((PGD(eps=8/255, steps=20, loss="margin"),))]
    ['linear: found 20 of 20, invented 0 of 20', 'slab: found 20 of 20, invented 0 of 20']
    """
    searching = tuple(a for a in attacks if a.knowledge in SEARCHING and not a.alone)
    return list(_findings(searching, max(k, 2))) if searching else []


def planted(kind: Kind, norm: str, eps: float, k: int = 10, seed: int = 0) -> tuple[Planted, Tensor, Tensor]:
    """Return a network, images (40, 1, 8, 8) of class 0, and their distances (40,) to class 1 in `norm`.

    >>> net, x, distance = planted("slab", "L2", 0.5)
    >>> int((net(x).argmax(1) == 0).sum()), int((distance < 0.5).sum())
    (40, 20)
    """
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(SHAPE[1] * SHAPE[2], generator=generator)
    scale = SCALES[norm]
    u = u / scale.dual(u)
    half = POINTS // 2
    near = torch.linspace(0.5, 0.9, half)
    distance = torch.cat((near, torch.linspace(1.1, 2.0, half))) * eps
    width = eps / 5 if kind == "slab" else eps
    t = -distance - (width if kind == "slab" else 0.0)
    across = torch.randn((POINTS, len(u)), generator=generator)
    across = across - (across @ u)[:, None] * u / (u @ u)
    across = 0.05 * across / across.abs().amax(1, keepdim=True)
    x = 0.5 + t[:, None] * scale.steepest(u) + across
    return Planted(u, kind, width, k).eval(), x.reshape(POINTS, *SHAPE), distance


@lru_cache(maxsize=64)
def _findings(attacks: tuple[Attack, ...], k: int) -> tuple[Findings, ...]:
    norm, eps = attacks[0].norm, min(attacks[0].eps, SCALES[attacks[0].norm].largest)
    scaled = [_scaled(attack, eps) for attack in attacks]
    results = []
    for kind in KINDS:
        net, x, distance = planted(kind, norm, eps, k)
        there = distance <= eps
        y = torch.zeros(len(x), dtype=torch.int64)
        found = evaluate(net, x[there], y[there], scaled, batch_size=POINTS)
        broken = sum(BROKEN in column for column in zip(*(one.status for one in found.outcomes), strict=True))
        cheapest = min(scaled, key=lambda attack: attack.effort)
        beyond = evaluate(net, x[~there], y[~there], [cheapest], batch_size=POINTS).outcomes[0].status
        results.append(Findings(kind, broken, int(there.sum()), beyond.count(BROKEN), len(beyond)))
    return tuple(results)


def _scaled(attack: Attack, eps: float) -> Attack:
    """The same attack at `eps`, its fixed step size scaled with it."""
    if isinstance(attack, PGD) and attack.alpha is not None and attack.eps:
        return attack.change(eps=eps, alpha=attack.alpha * eps / attack.eps)
    return attack.change(eps=eps)
