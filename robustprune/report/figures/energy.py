"""What networks take in energy: a bar for each."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from robustprune.errors import InputError
from robustprune.report.figures.style import INK, colour, new_axes
from robustprune.report.groups import Group, group
from robustprune.results.costs import energy
from robustprune.results.records import CaseResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = 0.42
"""Inches that a bar takes."""


def _label(one: Group) -> str:
    """Name a network on two lines: what it comes from, and what was done to it."""
    removed = f", {one.removed} removed" if one.removed else ""
    made = "" if one.parents is None else f"\n{one.first.strategy}{removed}"
    return f"{one.first.family}{made}"


def energy_bars(cases: Sequence[CaseResult], what: str) -> Figure:
    """Draw the joules of one kind of work (`Cost.energy_joules`), a bar a network; those not measured are left out."""
    measure, bars = energy(what), []
    for one in group(cases):
        found = [value for case in one.cases if (value := measure.value(case.cost)) is not None]
        if found:
            bars.append((_label(one), fmean(found)))
    if not bars:
        raise InputError(f"energy, {what}: measured of none of the cases")
    figure, axes = new_axes(0.9 + ROW * len(bars), f"{measure.unit}", "")
    places = range(len(bars))
    axes.barh([*places], [value for _, value in bars], height=0.6, color=colour(0))
    axes.set_yticks([*places], [name for name, _ in bars])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * max(value for _, value in bars))
    for place, (_, value) in enumerate(bars):
        axes.annotate(f" {value:.3g}", (value, place), va="center", color=INK, fontsize=8.5)
    return figure
