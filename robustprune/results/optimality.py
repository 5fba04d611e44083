"""How much of the strength of all attacks together one attack has on its own: AttackBench's local optimality.

(Cina et al. 2024, arXiv 2404.19460.) rho_a(eps) is robust accuracy under the attack a, made with the budget eps, and
rho_* that under the best of all attacks, taken sample by sample. eps_0 is the smallest eps where rho_* is 0, or the
largest that was tried. Then

    xi_a = (rho(0) eps_0 - area under rho_a) / (rho(0) eps_0 - area under rho_*), both areas from 0 to eps_0.

It is 1 where the attack is as strong as all together at every eps, and 0 where it breaks nothing.

The curves are known at the eps of a grid, from 0 on, and taken to be straight in between, so that their areas are exact
sums of trapezoids. All attacks of a norm stand on one grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

from robustprune.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What an attack breaks on its own: every sample attacked by it alone, with nothing known from another attack.

    `breaks` holds for every sample the smallest eps of the `grid` at which it was broken: 0 where it is wrong without
    an attack, None where none of them broke it. Passes are those spent on all samples and eps.
    """

    attack: str
    norm: str
    grid: list[float]
    breaks: list[float | None]
    forwards: int = 0
    backwards: int = 0
    minimises: bool = False
    """Whether one run, towards the nearest boundary, stands for all eps."""
    optimality: float | None = None
    """Its local optimality among the attacks of its norm; None where they break nothing together."""

    @property
    def smallest(self) -> list[float]:
        """`breaks` as numbers: infinite where nothing broke a sample."""
        return [inf if eps is None else eps for eps in self.breaks]


def with_optimality(attacks: Sequence[Reach]) -> list[Reach]:
    """Return what attacks of one norm break, on one grid, with the local optimality of each among them."""
    found = optimality({one.attack: one.smallest for one in attacks}, attacks[0].grid)
    return [replace(one, optimality=found[one.attack]) for one in attacks]


def best(attacks: Sequence[Sequence[float]]) -> list[float]:
    """Return for every sample the smallest eps at which any attack breaks it.

    >>> best([[0.1, 0.4], [0.2, 0.3]])
    [0.1, 0.3]
    """
    return [min(column) for column in zip(*attacks, strict=True)]


def area(breaks: Sequence[float], grid: Sequence[float]) -> float:
    """Return the area under robust accuracy from eps = 0 to the end of the rising `grid`, straight between its points.

    Of two samples one breaks at 1: robust accuracy is 1, 1/2 and 1/2 at 0, 1 and 2.

    >>> area([1.0, float("inf")], [1.0, 2.0])
    1.25
    """
    points = [0.0, *grid]
    robust = [sum(eps > at for eps in breaks) / len(breaks) for at in points]
    sides = zip(pairwise(points), pairwise(robust), strict=True)
    return sum((right - left) * (before + after) / 2 for (left, right), (before, after) in sides)


def optimality(breaks: Mapping[str, Sequence[float]], grid: Sequence[float]) -> dict[str, float | None]:
    """Return every attack's local optimality, in [0,1]; None for all where they break nothing together.

    `grid`: the eps, rising and above 0, that all attacks were made at. `breaks`: attack -> for every sample the
    smallest of them at which the attack breaks it; 0 where the sample is wrong without one (under every attack alike),
    infinite where none does. Raises InputError where the attacks saw other samples.

    Of four samples one is wrong anyway; one attack breaks the others at 1, 2 and 4, the other at 2, 4 and never. So
    eps_0 = 4, and of rho(0) eps_0 = 3 the first leaves an area of 1.25, the second one of 2.125.

    >>> optimality({"strong": [0.0, 1.0, 2.0, 4.0], "weak": [0.0, 2.0, 4.0, float("inf")]}, [1.0, 2.0, 4.0])
    {'strong': 1.0, 'weak': 0.5}
    """
    wrong = {tuple(eps == 0 for eps in one) for one in breaks.values()}
    if len(wrong) != 1 or not all(breaks.values()):
        raise InputError("optimality: expected at least one attack, and the same samples under all of them")
    together = best([*breaks.values()])
    grid = [eps for eps in grid if eps <= max(together)]
    whole = sum(eps > 0 for eps in together) / len(together) * max(grid, default=0.0)
    won = {name: whole - area(one, grid) for name, one in breaks.items()}
    most = whole - area(together, grid)
    return {name: mine / most if most > 0 else None for name, mine in won.items()}
