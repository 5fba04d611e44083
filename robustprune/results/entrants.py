"""Who was measured where, over several suites: each strategy's share of right answers, sample by sample and setting.

A setting is what two strategies must share to be compared: the suite, the parent, the recipe, and how many blocks went.
A strategy's networks of one setting differ in the seed alone and are averaged. A run is a parent where a family has
several, else a seed, as in runs.py. Two suites that attack the same images share their samples, and where they begin
with the same weights they share their runs: neither is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Literal

from robustprune.results.seen import MEASURES, Seen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Shares = NDArray[np.float64]

Kind = Literal["consensus", "single", "random", "depth", "mean"]
"""Combines criteria; a criterion; chance; depth alone; the mean of other strategies, which is no network."""

RANDOM, DEPTH = "random", ("depth-first", "depth-last")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where strategies are compared: equal in all of this, they differ in the blocks alone."""

    samples: str
    """Which images: their hash, or the suite."""
    family: str
    run: str
    suite: str
    recipe: str
    units: str
    removed: int

    @property
    def stratum(self) -> tuple[str, str]:
        """Images and family of parents: runs are drawn within it."""
        return self.samples, self.family


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What one strategy made of one setting."""

    shares: Mapping[str, Shares]
    """Measure -> for every sample, the share of the seeds' networks for which it holds."""
    macs: float
    """As a share of the parent's, mean over the seeds."""
    removed: Mapping[int, frozenset[str]]
    """Seed -> the blocks that went; none for a mean of strategies."""


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A strategy, or the mean of several, with all that is known of it."""

    name: str
    kind: Kind
    entries: Mapping[Setting, Entry]

    def common(self, *others: Entrant) -> list[Setting]:
        """List the settings that all of them share."""
        return [one for one in self.entries if all(one in other.entries for other in others)]


def entrants(networks: Sequence[Seen]) -> list[Entrant]:
    """Gather every strategy, in the order of the networks, over all suites that they come from."""
    pruned = [one for one in networks if not one.reference]
    parents: dict[tuple[str, str], set[str]] = {}
    for one in pruned:
        parents.setdefault((one.samples, one.family), set()).add(one.parent)
    found: dict[str, dict[Setting, list[Seen]]] = {}
    for one in pruned:
        where = _setting(one, len(parents[one.samples, one.family]) > 1)
        found.setdefault(one.strategy, {}).setdefault(where, []).append(one)
    combining = {one.strategy for one in pruned if one.combines}
    return [
        Entrant(
            name=name,
            kind=kind_of(name, name in combining),
            entries={where: _entry(some) for where, some in settings.items()},
        )
        for name, settings in found.items()
    ]


def forced(networks: Sequence[Seen]) -> list[Seen]:
    """List the networks that had no choice: at their number of blocks every strategy took the same from each parent.

    At the structural limit all strategies end in one network. Nothing is compared there.
    """
    places: dict[tuple[str | int, ...], list[Seen]] = {}
    for one in networks:
        if not one.reference:
            places.setdefault((one.suite, one.family, one.recipe, one.units, len(one.removed)), []).append(one)
    return [
        one
        for some in places.values()
        if len({other.removed for other in some}) == 1 < len({other.strategy for other in some})
        for one in some
    ]


def kind_of(strategy: str, combines: bool) -> Kind:
    """Say what a strategy is, by its name and whether it combines criteria; further random draws end in a letter.

    >>> kind_of("random-b", False), kind_of("depth-first (iterative, 1)", False), kind_of("cka", False)
    ('random', 'depth', 'single')
    """
    criterion = strategy.partition(" (")[0]
    if combines:
        return "consensus"
    return "random" if criterion.partition("-")[0] == RANDOM else "depth" if criterion in DEPTH else "single"


def mean_of(name: str, members: Sequence[Entrant]) -> Entrant:
    """Return the mean of several strategies in every setting that any of them has."""
    entries: dict[Setting, list[Entry]] = {}
    for member in members:
        for where, entry in member.entries.items():
            entries.setdefault(where, []).append(entry)
    return Entrant(name=name, kind="mean", entries={where: _mean(some) for where, some in entries.items()})


def chosen_elsewhere(name: str, members: Sequence[Entrant], measure: str) -> Entrant:
    """Return, for every run, the member that is best in all other runs: chosen without the networks it is judged on.

    A mean is over strata, of runs, of settings. Only members that have the settings of the one with most take part.
    """
    most = max((member.entries.keys() for member in members), key=len, default={}.keys())
    whole = [member for member in members if member.entries.keys() == most]
    runs = dict.fromkeys((where.stratum, where.run) for member in whole for where in member.entries)
    entries: dict[Setting, Entry] = {}
    for run in runs if len(runs) > 1 else ():
        others = [where for where in whole[0].entries if (where.stratum, where.run) != run]
        values = [average(one, measure, of=others) for one in whole]
        best = whole[values.index(max(values))]
        here = {where: entry for where, entry in best.entries.items() if (where.stratum, where.run) == run}
        entries |= {where: Entry(shares=entry.shares, macs=entry.macs, removed={}) for where, entry in here.items()}
    return Entrant(name=name, kind="mean", entries=entries)


def average(one: Entrant, measure: str, of: Iterable[Setting] | None = None) -> float:
    """Return the accuracy in some settings (None: all): the mean over strata of that over runs of that over settings.

    nan where it has none of them.
    """
    import numpy as np

    strata: dict[tuple[str, str], dict[str, list[float]]] = {}
    for where in one.entries if of is None else of:
        if where in one.entries:
            runs = strata.setdefault(where.stratum, {})
            runs.setdefault(where.run, []).append(float(one.entries[where].shares[measure].mean()))
    means = [np.mean([np.mean(values) for values in runs.values()]) for runs in strata.values()]
    return float(np.mean(means)) if means else nan


def _setting(one: Seen, several: bool) -> Setting:
    return Setting(
        samples=one.samples,
        family=one.family,
        run=one.parent if several else f"seed {one.seed}",
        suite=one.suite,
        recipe=one.recipe,
        units=one.units,
        removed=len(one.removed),
    )


def _entry(networks: Sequence[Seen]) -> Entry:
    """Average the networks of one setting."""
    import numpy as np

    return Entry(
        shares={m: np.mean([one.row(m) for one in networks], axis=0, dtype=np.float64) for m in MEASURES},
        macs=float(np.mean([one.macs for one in networks])),
        removed={one.seed: one.removed for one in networks},
    )


def _mean(entries: Sequence[Entry]) -> Entry:
    import numpy as np

    shares = {measure: np.mean([entry.shares[measure] for entry in entries], axis=0) for measure in MEASURES}
    return Entry(shares=shares, macs=float(np.mean([entry.macs for entry in entries])), removed={})
