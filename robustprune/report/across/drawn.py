"""The figures of a contest over suites, and the accuracies that they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from robustprune.report.across.tables import WHAT, Found, opponents
from robustprune.report.figures import Bar, Place, forest, fronts
from robustprune.results.entrants import RANDOM, kind_of
from robustprune.results.seen import MEASURES, Seen

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

REFERENCE = "reference"
Means = Mapping[tuple[str, str, str, str, int], Sequence[Seen]]
"""(suite, family, strategy or reference, recipe, blocks removed) -> its networks."""


def means_of(networks: Sequence[Seen]) -> Means:
    """Put together what differs in parent and seed alone; all random draws are one strategy, as elsewhere."""
    found: dict[tuple[str, str, str, str, int], list[Seen]] = {}
    for one in networks:
        name = one.reference or (RANDOM if kind([one]) == RANDOM else one.strategy)
        found.setdefault((one.suite, one.family, name, one.recipe, len(one.removed)), []).append(one)
    return found


def kind(some: Sequence[Seen]) -> str:
    """Say what these networks are: a kind of strategy, or a reference."""
    return REFERENCE if some[0].reference else kind_of(some[0].strategy, some[0].combines)


def means_frame(means: Means) -> DataFrame:
    """Return a row a point of the figures: MACs as a share of the parent's, accuracies, number of networks."""
    from pandas import DataFrame

    return DataFrame(
        [
            {
                "suite": suite,
                "family": family,
                "strategy": name,
                "kind": kind(some),
                "recipe": recipe,
                "removed": removed,
                "networks": len(some),
                "macs": fmean(one.macs for one in some),
                **{measure: fmean(one.share(measure) for one in some) for measure in MEASURES},
            }
            for (suite, family, name, recipe, removed), some in means.items()
        ]
    )


def drawn_fronts(means: Means, measure: str) -> Figure:
    """Draw accuracy against MACs, a panel a suite and family."""
    panels: dict[str, list[Place]] = {}
    for (suite, family, name, _, _), some in means.items():
        macs, accuracy = fmean(one.macs for one in some), fmean(one.share(measure) for one in some)
        place = Place(name=name, kind=kind(some), macs=macs, accuracy=accuracy)
        panels.setdefault(f"{suite}, {family}", []).append(place)
    return fronts(panels, f"{WHAT[measure]}, %")


def drawn_forest(found: Found, measure: str) -> Figure:
    """Draw every consensus minus every other strategy, a panel a consensus."""
    names = opponents(found, measure)
    panels = {}
    for ours in found.field.consensus:
        bars: dict[str, Bar | None] = {}
        for name in names:
            one = found(ours.name, name, measure)
            if one is not None and (one.found is not None or one.alike):
                bars[name] = None
                if one.found is not None:
                    ends = (100 * end for end in (one.found.difference, one.found.low, one.found.high))
                    difference, low, high = ends
                    sure = one.result in ("better", "worse")
                    bars[name] = Bar(difference=difference, low=low, high=high, sure=sure)
        panels[ours.name] = bars
    return forest(panels, f"points of {WHAT[measure]}:\nthe consensus above minus the strategy of the row")
