"""Inside the networks: which blocks went, what the others still represent, and how far the criteria agree."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from robustprune.errors import InputError
from robustprune.report.figures.style import (
    INK,
    colour,
    dress,
    fade,
    looks,
    new_figure,
)
from robustprune.report.groups import Group, group
from robustprune.results.agreement import mean_correlations
from robustprune.results.records import CaseResult
from robustprune.results.voters import candidates, runs_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


def removed_blocks(cases: Sequence[CaseResult]) -> Figure:
    """Draw which blocks every strategy removed and how often, as a share of its runs; blocks by depth."""
    groups = [one for one in group(cases) if one.removed]
    if not groups:
        raise InputError("removed_blocks: no case removed a block")
    blocks = _blocks(groups)
    shares = [[fmean(block in case.removed for case in one.cases) for block in blocks] for one in groups]
    figure, axes = _block_map(shares, _labels(groups), blocks, 1.0, colour(0))
    axes.set_xlabel("block, in order of depth (full colour: removed for every seed)")
    return figure


def layer_similarity(cases: Sequence[CaseResult]) -> Figure:
    """Draw what every block that stayed lost of the parent's representation: 1 - linear CKA, mean over the runs.

    The number in a cell is the similarity itself; a cross is a block that is gone for every seed.
    """
    children = [one for one in group(cases) if one.parents is not None]
    groups = [one for one in children if any(case.similarity for case in one.cases)]
    if not groups:
        raise InputError("layer_similarity: no case holds similarities")
    blocks = _blocks(groups)
    kept = [[_mean_similarity(one, block) for block in blocks] for one in groups]
    lost = [[1 - value if value == value else 0.0 for value in row] for row in kept]
    strongest = max(0.1, *(max(row) for row in lost))
    figure, axes = _block_map(lost, _labels(groups), blocks, strongest, colour(1))
    axes.set_xlabel("block, by depth (number: linear CKA; x: removed)")
    for row, (one, line) in enumerate(zip(groups, kept, strict=True)):
        for column, (block, value) in enumerate(zip(blocks, line, strict=True)):
            if value == value or block in one.first.removed:
                text = _short(value) if value == value else "x"
                strong = value == value and 1 - value > 0.6 * strongest
                _write(axes, row, column, text, "white" if strong else INK, _fit(blocks))
    return figure


def agreement(cases: Sequence[CaseResult]) -> Figure:
    """Draw Spearman's rank correlation between the criteria's scores of the blocks, averaged over runs."""
    correlations = mean_correlations([run.votes for run in runs_of(cases)])
    names = [*correlations]
    if len(names) < 2:
        raise InputError("agreement: no case holds the scores of two criteria")
    mean = [[*row.values()] for row in correlations.values()]
    with looks():
        figure = new_figure(min(1.9 + 0.36 * len(names), 5.6))
        axes = figure.add_subplot()
        mesh = axes.pcolormesh(mean, cmap=_diverging(), vmin=-1, vmax=1, edgecolors=INK, linewidth=0.25)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        ticks = [position + 0.5 for position in range(len(names))]
        axes.set_xticks(ticks, names, rotation=90)
        axes.set_yticks(ticks, names)
        dress(axes, grid=False)
        axes.tick_params(length=0, labelsize=min(8.5, 170 / len(names)))
        _write_values(axes, mean, min(7.0, 110 / len(names)))
        bar = figure.colorbar(mesh, ax=axes, shrink=0.7, ticks=[-1, 0, 1])
        bar.set_label("Spearman rank correlation", color=INK, fontsize=8.5)
        bar.ax.tick_params(colors=INK, labelsize=8)
        bar.outline.set_visible(False)
    return figure


def candidate_blocks(cases: Sequence[CaseResult]) -> Figure:
    """Draw how often each block is in the lowest half of each criterion, as a share of the runs; blocks by depth.

    The number in a cell is how often it is among those to go, at the numbers of blocks that the cases removed.
    """
    found = {(one.criterion, one.block): one for one in candidates(runs_of(cases))}
    names, blocks = [*dict.fromkeys(name for name, _ in found)], [*dict.fromkeys(block for _, block in found)]
    if len(names) < 2:
        raise InputError("candidate_blocks: no case holds the scores of two criteria")
    cells = [[found.get((name, block)) for block in blocks] for name in names]
    shares = [[one.lowest if one else 0.0 for one in row] for row in cells]
    figure, axes = _block_map(shares, names, blocks, 1.0, colour(2))
    axes.set_xlabel("block, by depth (colour: in the lowest half; number: goes)")
    for row, line in enumerate(cells):
        for column, one in enumerate(line):
            if one and one.chosen:
                _write(axes, row, column, _short(one.chosen), "white" if one.lowest > 0.6 else INK, _fit(blocks))
    return figure


def _blocks(groups: Sequence[Group]) -> list[str]:
    return [*dict.fromkeys(block for one in groups for block in one.first.blocks)]


def _block_map(
    values: Sequence[Sequence[float]], labels: Sequence[str], blocks: Sequence[str], top: float, hue: str
) -> tuple[Figure, Axes]:
    """Draw one row of cells a label, one column a block; 0 is transparent, `top` the full hue."""
    with looks():
        figure = new_figure(1.3 + 0.26 * len(labels))
        axes = figure.add_subplot()
        axes.pcolormesh(values, cmap=fade(hue), vmin=0, vmax=top, edgecolors=INK, linewidth=0.25)
        axes.invert_yaxis()
        axes.set_yticks([row + 0.5 for row in range(len(labels))], labels)
        axes.set_xticks([column + 0.5 for column in range(len(blocks))], blocks, rotation=90)
        dress(axes, grid=False)
        axes.tick_params(length=0, labelsize=7.5)
        axes.tick_params(axis="x", labelsize=min(7.5, 1.4 * _fit(blocks)))
    return figure, axes


def _fit(blocks: Sequence[str]) -> float:
    """Return the font size at which a number of two digits fits into a cell."""
    return min(7.0, 165 / max(len(blocks), 1))


def _short(value: float) -> str:
    """Write a share or a correlation in two digits.

    >>> _short(-0.75), _short(1.0), _short(-0.001)
    ('-.75', '1', '0')
    """
    return f"{round(value, 2) + 0.0:.2f}".removesuffix(".00").replace("0.", ".")


def _write_values(axes: Axes, values: Sequence[Sequence[float]], size: float) -> None:
    """Write each value into its cell, white where the cell is strong, in ink where it is faint."""
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            if value == value:
                shade = "white" if abs(value) > 0.6 else INK
                _write(axes, row, column, _short(value), shade, size)


def _write(axes: Axes, row: int, column: int, text: str, shade: str, size: float) -> None:
    axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=size, color=shade)


def _diverging() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    low, high = to_rgb(colour(1)), to_rgb(colour(0))
    return LinearSegmentedColormap.from_list("agree", [(*low, 1.0), (*high, 0.0), (*high, 1.0)])


def _mean_similarity(one: Group, block: str) -> float:
    values = [case.similarity[block] for case in one.cases if block in case.similarity]
    return fmean(values) if values else float("nan")


def _labels(groups: Sequence[Group]) -> list[str]:
    several = len({other.first.family for other in groups}) > 1
    return [f"{one.first.family}, {one.label}" if several else one.label for one in groups]
