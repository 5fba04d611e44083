"""By how much is a robust accuracy too high? What a stronger attack does to a random part of the survivors bounds it.

A stronger attack (AutoAttack's standard set) runs on the first m survivors of a chain of attacks, in an order drawn at
random. If it breaks none of them that is all; else it goes on until 4m in all, or all of them, were attacked. The
largest share of survivors that it would break is the largest p under which what was seen, or fewer, has a chance of 5 %
(Clopper & Pearson, Biometrika 26, 1934), for this design of two stages: P(none of m) + P(some of m, at most K of M).

Runs are pooled by their first stages, which no result decides. Samples drawn without replacement break as often as
independent trials of different chances do (Vatutin & Mikhailov, Theory Probab. Appl. 27, 1982), and so do those of
several runs. Of all such sums with N p expected breaks the binomial has the heaviest lower tail, up to N p - 1
(Hoeffding, Ann. Math. Stat. 27, 1956), so its bound holds for them too. scipy is imported where it is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from robustprune.errors import InputError
from robustprune.results.records import CaseResult

NUMBER = 15
"""The validity check that holds it."""

STANDARD = "AutoAttack"
"""The stronger attack, where its published set can be made."""

MORE = 4
"""How often the first stage fits into the second, the first included."""

LEVEL = 0.05
"""Chance that the truth lies beyond a bound."""


@dataclass(frozen=True, kw_only=True)
class Overstated:
    """What a stronger attack broke among `survivors` of n samples: `broken` of the `attacked`, in two stages.

    `first` samples were attacked before anything was known, and `first_broken` of them broke.
    """

    n: int
    survivors: int
    first: int
    first_broken: int
    attacked: int
    broken: int
    threat: str = ""
    beside: str = STANDARD
    """The stronger attack."""
    margin: float | None = None
    """How much it may be, by the policy; a proportion."""
    draw: int = 0
    """What the order was drawn by: runs that share it are one."""

    def __post_init__(self) -> None:
        if not (
            self.n > 0
            and 0 <= self.first_broken <= self.first <= self.attacked <= self.survivors <= self.n
            and self.first_broken <= self.broken <= self.attacked
        ):
            raise InputError(f"{self}: expected 0 <= first <= attacked <= survivors <= n, and no more broken than that")

    @property
    def exact(self) -> bool:
        """Whether all survivors were attacked, so that nothing is left to estimate."""
        return self.attacked == self.survivors

    @property
    def bounded(self) -> bool:
        """Whether some were attacked, or all that might break are within the margin anyway."""
        return self.attacked > 0 or self.exact or (self.margin is not None and self.bound <= self.margin)

    @property
    def share(self) -> float:
        """The largest share of the survivors that the stronger attack breaks, at 95 %."""
        if self.exact:
            return self.broken / self.survivors if self.survivors else 0.0
        if self.attacked == self.first:
            return highest(self.broken, self.first)

        def chance(p: float) -> float:
            return _fewer(self.broken, self.attacked, p) + (1 - p) ** self.first * (
                1 - _fewer(self.broken, self.attacked - self.first, p)
            )

        return _last(chance, self.broken / self.attacked)

    @property
    def bound(self) -> float:
        """By how much robust accuracy is too high at most, at 95 %; a proportion of the n samples."""
        return min(self.share * self.survivors, self.possible) / self.n

    @property
    def found(self) -> float:
        """By how much it is too high at least: what was broken, as a proportion of the n samples."""
        return self.broken / self.n

    @property
    def possible(self) -> int:
        """How many survivors can break, whatever the chance: those that did, and those that were not attacked."""
        return self.broken + self.survivors - self.attacked

    @property
    def text(self) -> str:
        """Say it in one line.

        >>> Overstated(n=1000, survivors=402, first=60, first_broken=0, attacked=60, broken=0).text
        "at most 2.0 points above AutoAttack's (95 %): 0 of 60 survivors of 402 broken"
        >>> Overstated(n=1000, survivors=402, first=402, first_broken=4, attacked=402, broken=4).text
        "0.4 points above AutoAttack's: all 402 survivors attacked"
        """
        above = f"{100 * self.bound:.1f} points above {self.beside}'s"
        if not self.survivors:
            return f"{above}: nothing survived"
        if self.exact:
            return f"{above}: all {self.survivors} survivors attacked"
        if not self.bounded:
            return f"not bounded: {self.beside} attacked none of {self.survivors} survivors; tier standard attacks all"
        return f"at most {above} (95 %): {self.broken} of {self.attacked} survivors of {self.survivors} broken"


def highest(k: int, n: int) -> float:
    """Return the largest proportion under which k of n or fewer have a chance of 5 % (Clopper & Pearson, upper end).

    >>> round(highest(0, 60), 4) == round(1 - 0.05 ** (1 / 60), 4)
    True
    """
    from scipy.special import betaincinv

    return 1.0 if k >= n else float(betaincinv(k + 1, n - k, 1 - LEVEL))


def lowest(k: int, n: int) -> float:
    """Return the smallest proportion under which k of n or more have a chance of 5 % (Clopper & Pearson, lower end).

    It holds for two stages too: more stages can only make many breaks rarer.

    >>> lowest(0, 60), round(lowest(60, 60), 4) == round(0.05 ** (1 / 60), 4)
    (0.0, True)
    """
    from scipy.special import betaincinv

    return 0.0 if k <= 0 else float(betaincinv(k, n - k + 1, LEVEL))


def second_stage(first: int, first_broken: int, survivors: int) -> int:
    """Return how many survivors are to be attacked in all after the first stage.

    >>> second_stage(10, 0, 100), second_stage(10, 1, 100), second_stage(10, 1, 30)
    (10, 40, 30)
    """
    return min(MORE * first, survivors) if first_broken else first


def pooled(runs: Sequence[Overstated]) -> float:
    """Bound by how much the mean robust accuracy of several runs is too high, at 95 %; a proportion.

    The bound on the share of broken among all that were drawn is weighed by the most survivors that one of them stands
    for. Runs whose first stage was all of their survivors, or none, are counted as they are, and runs of one draw once.

    >>> seen = {"n": 100, "survivors": 40, "first": 10, "first_broken": 0, "attacked": 10, "broken": 0}
    >>> one, two = Overstated(**seen, draw=1), Overstated(**seen, draw=2)
    >>> round(pooled([one]), 3), round(pooled([one, one]), 3), round(pooled([one, two]), 3)
    (0.104, 0.104, 0.056)
    """
    if not runs:
        raise InputError("pooled: no runs; expected at least one")
    if len(set(runs)) == 1:
        return runs[0].bound
    certain = fmean(run.possible / run.n for run in runs)
    settled = sum(run.possible / run.n for run in runs if run.first in (0, run.survivors))
    drawn = Counter(run for run in runs if 0 < run.first < run.survivors)
    k, m = sum(run.first_broken for run in drawn), sum(run.first for run in drawn)
    share = highest(k, m)
    if k and m * share < k + 1:
        share = 1.0  # the binomial's tail is not known to be the heaviest there
    weight = max((times * run.survivors / (run.first * run.n) for run, times in drawn.items()), default=0.0)
    return min(certain, (settled + weight * m * share) / len(runs))


def by_threat(case: CaseResult) -> dict[str, Overstated]:
    """Return by how much each robust accuracy of a case is too high; empty where it was not measured."""
    found = [
        Overstated(**check.figures) for check in case.checks if check.number == NUMBER and "survivors" in check.figures
    ]
    return {one.threat: one for one in found}


def over_runs(cases: Sequence[CaseResult]) -> dict[str, list[Overstated]]:
    """Return the same for the runs of one subject, threat by threat; empty unless every run has every threat."""
    rows = [by_threat(case) for case in cases]
    if len({frozenset(row) for row in rows}) != 1:
        return {}
    return {threat: [row[threat] for row in rows] for threat in rows[0]}


def _fewer(k: int, n: int, p: float) -> float:
    """Return the chance that at most k of n break, each with chance p."""
    from scipy.special import betainc

    return 1.0 if k >= n else float(betainc(n - k, k + 1, 1 - p))


def _last(chance: Callable[[float], float], low: float) -> float:
    """Return where a falling chance comes down to `LEVEL`, between `low` and 1."""
    from scipy.optimize import brentq

    return float(brentq(lambda p: chance(p) - LEVEL, low, 1.0)) if chance(1.0) < LEVEL else 1.0
