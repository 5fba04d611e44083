"""What each attack of a suite breaks on its own, over many eps: which of them carries the verdict, which is for show.

In a chain an attack sees only what those before left. Here each is made on all of a few samples, from its own start,
with nothing known from the others. It is made at the largest eps first, and what broke is sought at smaller ones; what
did not is attacked anew at the next smaller eps, since a weak attack overshoots at a large one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, ClassVar

import torch

from robustprune.attacks import Attack, robust_curve
from robustprune.attacks.engine.prepared import Prepared
from robustprune.data import Split
from robustprune.results.optimality import Reach, with_optimality
from robustprune.results.records import BROKEN, CLEAN_ERROR, Outcomes
from robustprune.run.attacked import Attacks
from robustprune.run.measurement import ASIDE, Measurement, Tick
from robustprune.run.network import Network
from robustprune.run.ready import ready

SAMPLES = 64
"""So many samples are attacked, at most."""

SMALLER, LARGER = (1 / 4, 1 / 2), (2, 4)
"""Multiples of the suite's smallest eps under a norm, and of its largest, that are tried beside its own."""

LARGEST = 16
"""While some sample resists all attacks, eps is doubled up to this multiple of the suite's largest."""

WHOLE = {"Linf": 1.0}
"""The eps that leaves nothing of the box out, where no attack takes a larger one."""

Curve = Callable[[Attack, Sequence[float], Sequence[int]], list[Outcomes]]
"""Makes an attack at several eps on some of the samples."""


@dataclass(frozen=True, kw_only=True)
class Reached(Measurement[list[Reach]]):
    """Each of `attacks` on its own on `sample`, under every norm at eps around those that they have.

    Attacks whose threat is no ball of a norm have nothing to compare over eps, and are left out.
    """

    kind: ClassVar[str] = "reach"
    network: Network
    sample: Split
    attacks: Attacks
    device: str
    seed: int = 0
    """Of the random starts."""
    batch_size: int | None = field(default=None, metadata=ASIDE)

    def make(self, place: Path, tick: Tick) -> list[Reach]:
        """Attack, norm by norm."""
        norms = dict.fromkeys(attack.norm for attack in self.attacks if attack.in_a_ball)
        known = ready(self.network, self.sample)
        return [reach for norm in norms for reach in self.under(norm, partial(self.curve, known), tick)]

    def under(self, norm: str, curve: Curve, tick: Tick) -> list[Reach]:
        """Make the attacks of one norm."""
        mine = [attack for attack in self.attacks if attack.norm == norm]
        top = WHOLE.get(norm, inf)
        grid = around((attack.eps for attack in mine), top)
        searches = [Search(attack, curve, [None] * len(self.sample)) for attack in alike(mine)]
        end = LARGEST * max(attack.eps for attack in mine)
        while grid and grid[-1] <= end:
            for number, search in enumerate(searches):
                tick(f"{norm} attacks alone", number, len(searches))
                search.descend(grid)
            resisting = any(set(column) == {None} for column in zip(*(one.breaks for one in searches), strict=True))
            grid = [min(2 * grid[-1], top)] if resisting and grid[-1] < top else []
        return with_optimality([search.reach for search in searches])

    def curve(self, known: Prepared, attack: Attack, grid: Sequence[float], rows: Sequence[int]) -> list[Outcomes]:
        """Make an attack at the eps of `grid` on the samples `rows`."""
        device, some = torch.device(self.device), self.sample.take(rows)
        return robust_curve(
            self.network.model,
            some.x.to(device),
            some.y.to(device),
            attack,
            grid,
            check=False,
            anew=True,
            device=device,
            seed=self.seed,
            batch_size=self.batch_size,
            prepared=(known,),
        )

    def write(self, value: list[Reach]) -> Mapping[str, Any]:
        """One record an attack."""
        return {"reach": [dict(vars(one)) for one in value]}

    def read(self, record: Mapping[str, Any], place: Path) -> list[Reach]:
        """One record an attack."""
        return [Reach(**one) for one in record["reach"]]


@dataclass
class Search:
    """The smallest eps at which one attack breaks each sample, as far as it is known; 0 where it is wrong anyway."""

    attack: Attack
    curve: Curve
    breaks: list[float | None]
    tried: list[float] = field(default_factory=list)
    forwards: int = 0
    backwards: int = 0

    def descend(self, grid: Sequence[float]) -> None:
        """Try the eps, which rise, from the largest down on what is not broken."""
        self.tried += grid
        left = [row for row, eps in enumerate(self.breaks) if eps is None]
        if left:
            self.look(grid, left)

    def look(self, grid: Sequence[float], rows: Sequence[int]) -> None:
        """Attack the samples `rows` and write down what broke, and where first.

        What is wrong anyway shows where all are looked at, for all attacks alike: a random network has other samples
        wrong the next time.
        """
        for outcome in self.curve(self.attack, grid, rows):
            self.forwards += outcome.forwards
            self.backwards += outcome.backwards
            for row, letter in zip(rows, outcome.status, strict=True):
                if letter == CLEAN_ERROR and len(rows) == len(self.breaks):
                    self.breaks[row] = 0.0
                elif letter == BROKEN and self.breaks[row] is None:
                    self.breaks[row] = outcome.eps

    @property
    def reach(self) -> Reach:
        """What was found, as a record."""
        return Reach(
            attack=self.attack.name,
            norm=self.attack.norm,
            grid=self.tried,
            breaks=self.breaks,
            forwards=self.forwards,
            backwards=self.backwards,
            minimises=self.attack.minimises,
        )


def around(budgets: Iterable[float], top: float) -> list[float]:
    """Return the eps to try, rising: those given, and multiples of the smallest and the largest; none for eps 0 alone.

    None is above `top`.

    >>> around([0.5], 4), around([0.5, 1.0], 4), around([0.5], 1)
    ([0.125, 0.25, 0.5, 1.0, 2.0], [0.125, 0.25, 0.5, 1.0, 2.0, 4.0], [0.125, 0.25, 0.5, 1.0])
    """
    given = sorted({eps for eps in budgets if eps > 0})
    if not given:
        return []
    below, above = [given[0] * part for part in SMALLER], [given[-1] * times for times in LARGER]
    return sorted({min(eps, top) for eps in (*below, *given, *above)})


def alike(attacks: Iterable[Attack]) -> list[Attack]:
    """Return one of those attacks each that differ in nothing but eps."""
    return [*{attack.name: attack for attack in attacks}.values()]
