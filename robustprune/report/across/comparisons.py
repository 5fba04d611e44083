"""Every comparison of a contest over several suites: strategies two by two, in all settings and in parts of them.

Those in all settings are claims: their p-values are adjusted (Holm) over all of them together, both measures. Those by
number of blocks or by family of parents are looked at without a test. Where two strategies took the same blocks in
every network there is nothing to compare, and nothing is tested.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

from robustprune.report.across.field import Field
from robustprune.results.crossed import Spread
from robustprune.results.entrants import Entrant, Setting, average
from robustprune.results.moderated import moderated, own
from robustprune.results.pooled import Pooled, Stratum, pooled
from robustprune.results.runs import ENOUGH
from robustprune.results.seen import MEASURES
from robustprune.results.significance import holm

if TYPE_CHECKING:
    from pandas import DataFrame

    from robustprune.results.entrants import Shares

ALL, PARTS = "all", ("removed", "family", "suite")
"""All settings; and the fields by whose values they are looked at in part."""

LEVEL = 0.05
APART = 0.01
"""Share of the MACs by which two networks may differ and still count as equally dear."""

Pairing = tuple[Entrant, Entrant]
Variances = dict[frozenset[str], list[Spread]]
"""Two names -> the runs' part of the variance of their difference, stratum by stratum."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which settings are looked at: all, or those in which one field has one value."""

    field: str
    value: str | int = ""

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.value} removed" if self.field == "removed" else f"{self.field} {self.value}".strip()

    def holds(self, setting: Setting) -> bool:
        """Whether a setting is one of them."""
        return self.field == ALL or getattr(setting, self.field) == self.value


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One strategy beside another by one measure, over the settings that both have and that are in scope."""

    ours: Entrant
    theirs: Entrant
    measure: str
    scope: Scope
    settings: tuple[Setting, ...]
    strata: tuple[Stratum, ...]
    same: int
    networks: int
    """Pairs of networks, and in how many of them the same blocks went; 0 beside a mean of strategies."""
    found: Pooled | None = None
    p_holm: float = math.nan

    @property
    def alike(self) -> bool:
        """Nothing differs between the two."""
        return 0 < self.networks == self.same or not any(stratum.rows.any() for stratum in self.strata)

    @property
    def result(self) -> str:
        """Better, worse, no difference shown, same blocks, same outcomes, or too few runs; by the adjusted p-value."""
        if self.alike:
            return "same blocks" if 0 < self.networks == self.same else "same outcomes"
        if self.found is None or self.found.runs < ENOUGH:
            return "too few runs"
        if not self.p_holm < LEVEL:
            return "no difference shown"
        return "better" if self.found.difference > 0 else "worse"

    @cached_property
    def macs(self) -> tuple[float, int]:
        """MACs of ours over theirs, mean over the settings; and in how many they differ by more than APART."""
        ratios = [self.ours.entries[one].macs / self.theirs.entries[one].macs for one in self.settings]
        return sum(ratios) / len(ratios), sum(abs(ratio - 1) > APART for ratio in ratios)


def comparisons(field: Field) -> list[Comparison]:
    """Compare each consensus with everything, and everything with chance; the lead in parts of the settings, too."""
    every, parts = list[Comparison](), list[Comparison]()
    scopes = [
        Scope(field=part, value=value)
        for part in PARTS
        for value in sorted({getattr(where, part) for where in field.lead.entries})
    ]
    for measure in MEASURES:
        pairs = [*field.pairs(measure)]
        every += _compared(field, pairs, measure, Scope(field=ALL))
        of_lead = [pair for pair in pairs if pair[0] is field.lead]
        for scope in scopes:
            parts += _compared(field, of_lead, measure, scope)
    tested = [place for place, one in enumerate(every) if _tested(one)]
    adjusted = holm([one.found.p for place in tested if (one := every[place]).found is not None])
    for place, p in zip(tested, adjusted, strict=True):
        every[place] = replace(every[place], p_holm=p)
    return every + parts


def _compared(field: Field, pairs: Sequence[Pairing], measure: str, scope: Scope) -> list[Comparison]:
    """Compare pairs; those in the same settings lend each other their variances."""
    made = [one for pair in pairs if (one := _comparison(*pair, measure, scope)).strata]
    everyone = {side.name: side for side in (*field.strategies, *(side for pair in pairs for side in pair))}
    known: dict[tuple[Setting, ...], Variances] = {}
    for place, one in enumerate(made):
        if not one.alike:
            if one.settings not in known:
                known[one.settings] = _variances([*everyone.values()], one.settings, measure)
            terms, sides = known[one.settings], frozenset((one.ours.name, one.theirs.name))
            beside = {pair: some for pair, some in terms.items() if pair & sides and not _means(pair - sides, everyone)}
            strategies = {name for pair in beside for name in pair}
            made[place] = replace(
                one, found=pooled(one.strata, moderated(terms[sides], [*beside.values()], len(strategies)))
            )
    return made


def _means(names: Iterable[str], everyone: Mapping[str, Entrant]) -> bool:
    """Whether one of these is the mean of strategies, which says nothing new of how much runs vary."""
    return any(everyone[name].kind == "mean" for name in names)


def _variances(everyone: Sequence[Entrant], settings: Sequence[Setting], measure: str) -> Variances:
    """Return how much runs vary in the difference of every two that have all these settings."""
    sides = [one for one in everyone if all(where in one.entries for where in settings)]
    ends = {one.name: _run_means(one, settings, measure) for one in sides}
    return {
        frozenset((one, other)): own([a - b for a, b in zip(ends[one], ends[other], strict=True)])
        for one, other in combinations(ends, 2)
    }


def _run_means(one: Entrant, settings: Sequence[Setting], measure: str) -> list[Shares]:
    """Return an entrant's accuracy run by run, stratum by stratum."""
    import numpy as np

    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for where in settings:
        value = float(one.entries[where].shares[measure].mean())
        found.setdefault(where.stratum, {}).setdefault(where.run, []).append(value)
    return [np.array([np.mean(values) for values in runs.values()]) for runs in found.values()]


def _comparison(ours: Entrant, theirs: Entrant, measure: str, scope: Scope) -> Comparison:
    """Put two strategies beside each other; strata of a single run are left out, since they say nothing of another."""
    import numpy as np

    runs: dict[tuple[str, str], dict[str, list[Setting]]] = {}
    for one in ours.common(theirs):
        if scope.holds(one):
            runs.setdefault(one.stratum, {}).setdefault(one.run, []).append(one)
    kept = {stratum: own_runs for stratum, own_runs in runs.items() if len(own_runs) > 1}
    strata = []
    for (samples, _), own_runs in kept.items():
        rows = [
            np.mean([ours.entries[one].shares[measure] - theirs.entries[one].shares[measure] for one in some], axis=0)
            for some in own_runs.values()
        ]
        strata.append(Stratum(samples=samples, rows=np.array(rows)))
    settings = tuple(one for own_runs in kept.values() for some in own_runs.values() for one in some)
    same = [
        gone == theirs.entries[one].removed[seed]
        for one in settings
        for seed, gone in ours.entries[one].removed.items()
        if seed in theirs.entries[one].removed
    ]
    return Comparison(
        ours=ours,
        theirs=theirs,
        measure=measure,
        scope=scope,
        settings=settings,
        strata=tuple(strata),
        same=sum(same),
        networks=len(same),
    )


def _tested(one: Comparison) -> bool:
    return one.found is not None and one.found.runs >= ENOUGH


def frame(found: Sequence[Comparison]) -> DataFrame:
    """Return a row a comparison: who, what, where, how many, accuracies, difference, interval, p and p after Holm."""
    from pandas import DataFrame

    return DataFrame([_row(one) for one in found])


def _row(one: Comparison) -> dict[str, Any]:
    pair = one.found
    ours, theirs = (average(side, one.measure, of=one.settings) for side in (one.ours, one.theirs))
    return {
        "strategy": one.ours.name,
        "beside": one.theirs.name,
        "measure": one.measure,
        "scope": one.scope.name,
        "strata": len(one.strata),
        "runs": sum(len(stratum.rows) for stratum in one.strata),
        "settings": len(one.settings),
        "networks": one.networks,
        "same_blocks": one.same,
        "n": pair.n if pair else None,
        "accuracy": ours,
        "accuracy_beside": theirs,
        "difference": pair.difference if pair else 0.0,
        "low": pair.low if pair else 0.0,
        "high": pair.high if pair else 0.0,
        "df": pair.df if pair else None,
        "p": pair.p if pair else None,
        "p_holm": one.p_holm,
        "result": one.result if one.scope.field == ALL else "not tested",
        "macs_ratio": one.macs[0],
        "macs_apart": one.macs[1],
    }
