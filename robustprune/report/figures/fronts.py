"""Accuracy against MACs for many strategies, a panel for each family of parents, with the front that nothing beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robustprune.errors import InputError
from robustprune.report.figures.style import INK, WIDTH, Look, dress, legend, looks, new_figure, sign, star
from robustprune.report.figures.tradeoff import pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALE: Look = (INK, ".")
"""How single criteria are drawn: many, and one like the other."""

FRONT: dict[str, Any] = {"color": INK, "linestyle": "--", "linewidth": 1.1}


@dataclass(frozen=True, kw_only=True)
class Place:
    """One strategy at one number of blocks: share of the parent's MACs and accuracy, mean over parents and seeds."""

    name: str
    kind: str
    """consensus, single, random, depth, or reference."""
    macs: float
    accuracy: float

    @property
    def series(self) -> str:
        """What it is called in the legend."""
        return "single criteria" if self.kind == "single" else self.name


def fronts(panels: Mapping[str, Sequence[Place]], ylabel: str) -> Figure:
    """Draw every place in its panel; references are stars and no part of the front.

    A strategy has one look in all panels; single criteria share one, and are named where they are on the front.
    """
    places = [place for panel in panels.values() for place in panel]
    if not places:
        raise InputError("fronts: no network; expected at least one")
    named = [*dict.fromkeys(place.series for place in places if place.kind not in ("single", "reference"))]
    references = [*dict.fromkeys(place.series for place in places if place.kind == "reference")]
    looked = {name: sign(index) for index, name in enumerate(named)}
    looked |= {name: star(index) for index, name in enumerate(references)} | {"single criteria": PALE}
    columns = min(2, len(panels))
    with looks():
        figure = new_figure(0.9 + 2.9 * -(-len(panels) // columns), WIDTH + 3.2 * (columns - 1))
        grid = figure.subplots(-(-len(panels) // columns), columns, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, (title, panel) in zip(grid.flat, panels.items(), strict=False):
            _draw(axes, panel, looked)
            axes.set_title(title, fontsize=9.5, color=INK)
        for axes in grid[-1]:
            axes.set_xlabel("MACs, % of the parent's")
        figure.supylabel(ylabel, fontsize=9.5, color=INK)
        for name, look in looked.items():
            if any(place.series == name for place in places):
                _mark(grid[0][0], [], [], look, name)
        grid[0][0].plot([], [], label="Pareto front of the strategies", **FRONT)
        legend(grid[0][0])
    return figure


def _draw(axes: Axes, panel: Sequence[Place], looked: Mapping[str, Look]) -> None:
    """Draw one panel: all places, rings around those of the front, and names of criteria there."""
    dress(axes)
    for place in sorted(panel, key=lambda one: one.kind != "single"):
        _mark(axes, [100 * place.macs], [100 * place.accuracy], looked[place.series])
    pruned = {(100 * place.macs, 100 * place.accuracy): place for place in panel if place.kind != "reference"}
    front = pareto_front([*pruned])
    if front:
        xs, ys = zip(*front, strict=True)
        axes.step(xs, ys, where="post", zorder=1, **FRONT)
        axes.plot(xs, ys, linestyle="none", marker="o", markersize=9, markerfacecolor="none", color=INK)
    for at in front:
        if pruned[at].kind == "single":
            offset: dict[str, Any] = {"textcoords": "offset points", "xytext": (6, 3), "ha": "left", "fontsize": 7.5}
            axes.annotate(pruned[at].name, at, color=INK, **offset)


def _mark(axes: Axes, xs: Sequence[float], ys: Sequence[float], look: Look, label: str | None = None) -> None:
    shade, marker = look
    size = 8 if shade == INK and marker != "." else 5
    axes.plot(xs, ys, linestyle="none", color=shade, marker=marker, markersize=size, alpha=0.85, label=label)
