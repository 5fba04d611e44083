"""Differences with their intervals, row by row: each consensus beside every other strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustprune.errors import InputError
from robustprune.report.figures.style import INK, WIDTH, colour, dress, looks, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 3
"""Panels beside each other at most."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One difference in points with the ends of its interval; sure: significant."""

    difference: float
    low: float
    high: float
    sure: bool


def forest(panels: dict[str, dict[str, Bar | None]], xlabel: str) -> Figure:
    """Draw a panel a title, in it a row a name: right of zero is better, full marks are significant.

    All panels have the rows of all, in the order of the first; None marks a row in which nothing differs.
    """
    rows = [*dict.fromkeys(name for panel in panels.values() for name in panel)]
    if not rows:
        raise InputError("forest: no comparison; expected at least one")
    columns = min(PANELS, len(panels))
    lines = -(-len(panels) // columns)
    with looks():
        figure = new_figure(lines * (0.55 + 0.19 * len(rows)) + 0.35, WIDTH + 1.9 * (columns - 1))
        grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, (title, panel) in zip(grid.flat, panels.items(), strict=False):
            _draw(axes, rows, panel)
            axes.set_title(title, fontsize=9.5, color=INK)
        grid[0][0].set_ylim(len(rows) - 0.4, -0.6)
        figure.supxlabel(xlabel, fontsize=9.5, color=INK)
    return figure


def _draw(axes: Axes, rows: Sequence[str], panel: dict[str, Bar | None]) -> None:
    """Draw one panel."""
    dress(axes)
    for place, name in enumerate(rows):
        bar = panel.get(name)
        if bar is not None:
            shade = INK if not bar.sure else colour(2) if bar.difference > 0 else colour(1)
            axes.plot([bar.low, bar.high], [place, place], color=shade, linewidth=1.4)
            face = shade if bar.sure else "none"
            axes.plot(bar.difference, place, marker="o", markersize=4, color=shade, markerfacecolor=face)
        elif name in panel:
            axes.plot(0, place, marker="|", markersize=7, color=INK)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(range(len(rows)), rows)
